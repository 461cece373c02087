package settle

import (
	"context"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"time"
)

// How many looks and saves are under way at most. Rounds have Config.Workers of their own, so that looks do not wait behind them.
const (
	looksAtOnce = 2
	savesAtOnce = 2
)

// result is how a job ended.
type result struct {
	job    job
	study  *study   // of all jobs but echo
	batch  []*study // of an echo
	event  event
	proof  Proof
	asked  mark // when the echo began
	weight int
	err    error
}

// panicError is a panic in a function of the Config.
type panicError struct{ value any }

func (p *panicError) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// dispatch begins as many jobs as there is room for. start has one done beside the Loop, and does not wait for it.
func (l *Loop) dispatch(ctx context.Context, start func(job func())) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.pulse.now().mono
	begin := func(q *queue, s *study) {
		q.take(s)
		l.status.Waiting--
		l.apply(s, event{kind: began}, now)
		start(l.perform(ctx, s))
	}
	for s := l.looks.peek(); s != nil && l.status.Looking < looksAtOnce; s = l.looks.peek() {
		l.status.Looking++
		begin(&l.looks, s)
	}
	for s := l.saves.peek(); s != nil && l.saving < savesAtOnce; s = l.saves.peek() {
		l.saving++
		begin(&l.saves, s)
	}
	for s := l.rounds.peek(); s != nil && l.status.Rounds < l.config.Workers; s = l.rounds.peek() {
		if l.weight > 0 && l.weight+s.weight() > l.config.Weight {
			break
		}
		l.status.Rounds++
		l.weight += s.weight()
		begin(&l.rounds, s)
	}
	if len(l.echoes) > 0 && !l.echoing {
		batch := l.echoes
		l.echoes, l.echoing = nil, true
		start(func() { l.ask(ctx, batch) })
	}
}

func (s *study) weight() int { return max(1, int(s.instances)) }

// perform returns what does a study's job. It takes what it needs now: the caller holds mu.
func (l *Loop) perform(ctx context.Context, s *study) func() {
	r := result{job: s.job, study: s, weight: s.weight()}
	known, saving, proof := s.known, s.save, s.proof
	return func() {
		r.err = l.guard(ctx, func() (err error) {
			switch r.job {
			case look:
				err = l.look(ctx, s, known, &r.event)
			case save:
				r.event.kind, r.event.record = saved, saving.record
				err = l.save(ctx, s, *saving, proof)
			default:
				r.event.kind = made
				r.event.round, err = l.round(ctx, l.order(s, r.job), r.job)
			}
			return err
		})
		r.event.err = r.err
		l.results <- r
	}
}

// guard turns a panic into an error: one study's costs no other's.
func (l *Loop) guard(ctx context.Context, do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{p}
			l.config.Log.ErrorContext(ctx, "panic", "stack", string(debug.Stack()))
		}
	}()
	return do()
}

func (l *Loop) look(ctx context.Context, s *study, known bool, e *event) (err error) {
	e.kind = looked
	if !known {
		if e.record, err = l.config.Records.Load(ctx, s.uid); err != nil {
			return fmt.Errorf("record: %w", err)
		}
	}
	e.holding, err = l.config.Look(ctx, s.uid)
	return err
}

// save is the last moment to see that what allows it is still true.
func (l *Loop) save(ctx context.Context, s *study, what effect, proof mark) error {
	if what.proof != nil {
		others := l.config.Cluster.Others(s.uid)
		if g := l.config.Cluster.Gate(); !l.rules.open(g) || !answered(*what.proof, g) || voided(*what.proof, others) != "" || lacking(others) != "" {
			return ErrClosed
		}
		if err := l.pulse.check(proof, l.config.Timing.Echo); err != nil {
			return err
		}
	}
	return l.config.Records.Save(ctx, s.uid, what.record)
}

// round asks once more, right before: it may have waited for its turn for long. Whether others have more is asked of a study that is to be shown anew alone.
func (l *Loop) round(ctx context.Context, j Job, did job) (Round, error) {
	if err := j.Permit(); err != nil {
		return Round{}, err
	}
	if did == generate && lacking(l.config.Cluster.Others(j.Study)) != "" {
		return Round{}, ErrClosed
	}
	return l.config.Generate(ctx, j)
}

// order is a round's job, with a permit that holds while the gate stays as it is and this process runs.
func (l *Loop) order(s *study, j job) Job {
	since, gates, epoch := l.pulse.mark(), l.gates.Load(), l.config.Cluster.Gate().Epoch
	if j == aside {
		return Job{s.uid, true, func() error { return l.pulse.check(since, 0) }}
	}
	return Job{s.uid, false, func() error {
		if err := l.pulse.check(since, 0); err != nil {
			return err
		}
		if g := l.config.Cluster.Gate(); !l.rules.open(g) || g.Epoch != epoch || l.gates.Load() != gates {
			return ErrClosed
		}
		return nil
	}}
}

// ask makes one exchange for all studies that wait. They ended their rounds before it began.
func (l *Loop) ask(ctx context.Context, batch []*study) {
	r := result{job: echo, batch: batch, asked: l.pulse.mark()}
	limited, cancel := context.WithTimeout(ctx, l.config.Timing.Echo)
	defer cancel()
	r.err = l.guard(ctx, func() (err error) {
		r.proof, err = l.config.Cluster.Echo(limited)
		return err
	})
	l.results <- r
}

// view is what the world is now for a study.
func (l *Loop) view(s *study) view {
	return view{gate: l.config.Cluster.Gate(), busy: l.config.Busy(s.uid), others: l.config.Cluster.Others(s.uid), wall: l.pulse.now().wall}
}

// finish enters how a job ended.
func (l *Loop) finish(r result) {
	if r.job == echo {
		l.finishEcho(r)
		return
	}
	l.mu.Lock()
	switch r.job {
	case look:
		l.status.Looking--
		l.status.Looked++
	case save:
		l.saving--
	default:
		l.status.Rounds--
		l.weight -= r.weight
		l.status.Wrote += uint64(r.event.round.Wrote)
		if r.err == nil {
			l.status.Made++
		}
	}
	l.mu.Unlock()
	l.happen(r.study, r.event)
}

// finishEcho gives an echo to all that waited for it. Each checks its age again when it makes use of it.
func (l *Loop) finishEcho(r result) {
	if r.err == nil {
		r.err = l.pulse.check(r.asked, l.config.Timing.Echo)
	}
	l.mu.Lock()
	l.echoing = false
	if r.err == nil {
		l.status.Echoes++
	} else {
		l.status.Silences++
	}
	for _, s := range r.batch {
		s.proof = r.asked
	}
	l.mu.Unlock()
	for _, s := range r.batch {
		e := event{kind: echoed, err: r.err}
		if r.err == nil {
			e.view.proof = &r.proof
		}
		l.happen(s, e)
	}
}

// happen looks at the world and lets an event happen to a study.
func (l *Loop) happen(s *study, e event) {
	v := l.view(s)
	v.proof = e.view.proof
	e.view = v
	l.mu.Lock()
	defer l.mu.Unlock()
	if !s.dropped {
		l.apply(s, e, l.pulse.now().mono)
	}
}

// observe sees whether the gate's answer changed, or this process was stopped, and lets all studies know that are not at rest.
func (l *Loop) observe() {
	g, stops := l.config.Cluster.Gate(), l.pulse.stopped()
	l.mu.Lock()
	same := g.State == l.gate.State && g.Reason == l.gate.Reason && g.Epoch == l.gate.Epoch && slices.Equal(g.Sites, l.gate.Sites) &&
		slices.Equal(g.Without, l.gate.Without)
	if l.rules.open(g) != l.rules.open(l.gate) || g.Epoch != l.gate.Epoch {
		l.gates.Add(1)
	}
	resume := stops != l.stops
	l.status.Stops += stops - l.stops
	l.gate, l.stops = g, stops
	if !same {
		l.tell()
	}
	l.mu.Unlock()
	if resume {
		l.all(resumed)
	}
	if !same {
		l.all(gated)
	}
}

// hear lets the studies go on that wait for the news there is: they are read when their alarms ring.
func (l *Loop) hear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.pulse.now().mono
	tell := func(studies []*study, e event) {
		for _, s := range studies {
			if !s.dropped {
				l.apply(s, e, now)
			}
		}
	}
	studies, sites := l.news, l.sites
	l.news, l.sites = nil, nil
	tell(studies, event{kind: reported, news: ofStudy})
	if slices.Contains(sites, "") {
		sites = slices.Sorted(maps.Keys(l.blind))
	}
	for _, site := range sites {
		blind := l.blind[site]
		delete(l.blind, site)
		for _, s := range blind {
			if s.blind == site {
				s.blind = ""
			}
		}
		tell(blind, event{kind: reported, news: ofSite})
	}
}

// all lets something happen to all studies that are not at rest, in order.
func (l *Loop) all(kind happening) {
	l.mu.Lock()
	studies := slices.Collect(maps.Values(l.studies))
	l.mu.Unlock()
	slices.SortFunc(studies, func(a, b *study) int { return a.uid.Compare(b.uid) })
	for _, s := range studies {
		l.happen(s, event{kind: kind})
	}
}

// ring reads the ladders whose time has come; a part of them at once, so that jobs go on meanwhile.
func (l *Loop) ring() {
	for range 256 {
		l.mu.Lock()
		s := l.alarms.due(l.pulse.now().mono)
		l.mu.Unlock()
		if s == nil {
			return
		}
		l.happen(s, event{kind: woke})
	}
}

// idle is how long nothing will happen by itself.
func (l *Loop) idle() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.alarms) == 0 {
		return time.Minute
	}
	return max(0, l.alarms[0].at-l.pulse.now().mono)
}

// emit tells what happened, in order.
func (l *Loop) emit(ctx context.Context) {
	l.mu.Lock()
	events := l.events
	l.events = nil
	l.mu.Unlock()
	for _, e := range events {
		if e.Kind == WasFailed {
			l.config.Log.WarnContext(ctx, "a study failed and is tried again", "cause", e.cause)
		}
		l.config.Log.DebugContext(ctx, "study", "what", string(e.Kind), "study", e.Study.String(), "leaf", e.Leaf.String(), "reason", e.Reason)
		if l.config.Event != nil {
			l.config.Event(e)
		}
	}
}
