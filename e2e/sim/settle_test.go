package sim

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"slices"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/gossip/reach"
	"github.com/dicomesh/dicomesh/settle"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// version is the generator's, everywhere.
const version = "sim"

// output is what the current tree has of a study: a sum of what its readers see, and the leaves that it was made of.
type output struct {
	leaf, view dedup.Digest
	made       time.Duration
}

// errDied ends work whose process is gone.
var errDied = errors.New("the process died")

// settling is how the process's loop reaches the world.
func (l *life) settling() settle.Config {
	return settle.Config{
		Site: l.name, Version: version, Workers: 2, Records: records{l}, Log: slog.New(slog.DiscardHandler), Event: l.event,
		Policy:   settle.Policy{Partial: l.seed%3 == 1, Split: l.seed%5 == 2},
		Busy:     func(dedup.UID) bool { return false },
		Look:     l.holding,
		Generate: l.generate,
		Cluster:  settle.Cluster{Gate: l.gate, Others: l.others, Echo: l.echo},
	}
}

func (l *life) event(e settle.Event) {
	l.seen[string(e.Kind)]++
	if e.Kind != settle.WasTouched {
		l.say("%s: study %s %s %s %s", l.name, e.Study, e.Kind, short(e.Leaf), e.Reason)
	}
}

func short(d dedup.Digest) string { return fmt.Sprintf("%x", d[:3]) }

// gate, others and echo are as in package agent.
func (l *life) gate() settle.Gate {
	l.notice()
	w := l.judge()
	return settle.Gate{State: settle.Wholeness(w.State), Reason: w.Cause, Epoch: w.Epoch.String(), Sites: w.Others, Without: w.Without}
}

func (l *life) others(uid dedup.UID) (all []settle.SiteReport) {
	w := l.judge()
	mine := l.disk.rows[uid].StudyState
	mine.UID = uid
	for _, x := range w.Sites {
		if !slices.Contains(w.Others, x.Name) {
			continue
		}
		o := settle.SiteReport{Site: x.Name, Lacking: -1, Joining: x.Joining}
		if r, known := l.sync.Report(x.Name, mine); known {
			o.Leaf, o.Lacking = r.State.Leaf, 0
			o.Complete = r.State.Flags&wire.Complete != 0
			o.Durable = o.Complete
			o.Full, o.Number, o.Incarnation = r.Low, r.State.Change, r.Incarnation
			if r.Offers {
				o.Lacking = 1
			}
		}
		all = append(all, o)
	}
	return all
}

// echo is one exchange: when it was asked, and which process of each site answered it.
type echo struct {
	by      *life
	asked   time.Duration
	answers map[string]*life
}

// echo asks every other site that counts, directly or by way of one that both have a link with.
func (l *life) echo(context.Context) (settle.Proof, error) {
	k, w, stops := l.working, l.judge(), l.stops
	nonce := fmt.Sprintf("%s-%d", l.name, len(l.nonces))
	x, said := &echo{l, l.now, map[string]*life{}}, map[string]string{}
	l.nonces[nonce] = x
	for end := l.mono() + reach.Detect(l.beat); len(x.answers) < len(w.Others); {
		if !k.sleep(l.between(20*time.Millisecond, 200*time.Millisecond)) {
			return settle.Proof{}, errDied
		}
		for _, name := range w.Others {
			to := l.world.site(name)
			if x.answers[name] == nil && to.awake() && l.asks(to) && to.life.judge().Epoch == w.Epoch {
				x.answers[name], said[name] = to.life, to.life.disk.incarnation
			}
		}
		if l.mono() > end {
			return settle.Proof{}, reach.ErrSilent
		}
	}
	l.notice()
	switch {
	case l.stops != stops:
		return settle.Proof{}, settle.ErrStopped
	case l.judge().Epoch != w.Epoch:
		return settle.Proof{}, errors.New("the roster changed meanwhile")
	}
	return settle.Proof{Nonce: nonce, Epoch: w.Epoch.String(), Sites: w.Others, Incarnations: said}, nil
}

// asks reports whether a question to a site arrives, and its answer.
func (l *life) asks(to *site) bool {
	works := func(a, b *site) bool {
		link := l.world.link(a, b)
		return link.up && l.both(link) && b.awake()
	}
	return works(l.site, to) || slices.ContainsFunc(l.world.sites, func(s *site) bool {
		return s != l.site && s != to && works(l.site, s) && works(s, to)
	})
}

// holding looks at a study.
func (l *life) holding(_ context.Context, uid dedup.UID) (settle.Holding, error) {
	if !l.working.sleep(l.between(time.Millisecond, 20*time.Millisecond)) {
		return settle.Holding{}, errDied
	}
	r := l.disk.rows[uid]
	if len(r.files) == 0 {
		return settle.Holding{}, fs.ErrNotExist
	}
	h := settle.Holding{Leaf: r.Leaf, Complete: r.Flags&wire.Complete != 0, Conflict: r.Flags&wire.Conflict != 0, Change: r.Change, Faults: len(r.study.Faults)}
	for _, i := range r.study.Instances {
		h.Missing += len(i.Missing)
		if !i.Deleted {
			h.Instances++
		}
	}
	return h, nil
}

// generate makes the current files of a study. What is asked before the first name is asked again before the last one.
func (l *life) generate(_ context.Context, j settle.Job) (settle.Round, error) {
	for range 2 {
		if err := j.Permit(); err != nil {
			return settle.Round{}, err
		}
		if !l.working.sleep(l.between(10*time.Millisecond, 300*time.Millisecond)) {
			return settle.Round{}, errDied
		}
	}
	r, _ := l.disk.read(l.world, j.Study)
	if r.study == nil || !r.study.Complete() {
		return settle.Round{}, errors.New("not complete")
	}
	if err := j.Permit(); err != nil {
		return settle.Round{}, err
	}
	out := output{r.Leaf, shown(r.study), l.now}
	l.shows(j.Study, out)
	if j.Provisional {
		l.seen["provisional"]++
		return settle.Round{Leaf: r.Leaf, Wrote: 1}, nil
	}
	l.permitted(j.Study)
	was := l.disk.current[j.Study]
	l.disk.current[j.Study] = out
	if was.leaf != out.leaf || was.view != out.view {
		return settle.Round{Leaf: r.Leaf, Wrote: 1, Changed: was.view != out.view}, nil
	}
	return settle.Round{Leaf: r.Leaf}, nil
}

// shown is a sum of what readers of a study see.
func shown(s *dedup.State) dedup.Digest {
	h := sha256.New()
	for _, i := range s.Instances {
		if i.Deleted {
			continue
		}
		fmt.Fprintf(h, "%s %s %v %d\n", i.SOP, i.Series, i.Conflict, len(i.Records))
		for _, r := range i.Records {
			merged := s.Merge(r)
			_, _ = h.Write(merged.AppendJSON(nil))
		}
	}
	fmt.Fprint(h, s.Disputes)
	return dedup.Digest(h.Sum(nil))
}

// records implements settle.Records.
type records struct{ *life }

// All implements settle.Records.
func (r records) All(context.Context) iter.Seq2[settle.Known, error] {
	return func(yield func(settle.Known, error) bool) {
		for _, uid := range r.studies {
			if row := r.disk.rows[uid]; len(row.files) > 0 && !yield(settle.Known{Study: uid, Leaf: row.Leaf, Record: r.disk.records[uid]}, nil) {
				return
			}
		}
	}
}

// Load implements settle.Records.
func (r records) Load(_ context.Context, uid dedup.UID) (settle.Record, error) {
	return r.disk.records[uid], nil
}

// Save implements settle.Records.
func (r records) Save(_ context.Context, uid dedup.UID, record settle.Record) error {
	r.saved(uid, r.disk.records[uid], record)
	r.disk.records[uid] = record
	return nil
}
