package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	archive "github.com/dicomesh/dicomesh/dedup/export"
)

// judge watches, beside a test, every certificate that a site gives out, and holds it against what lies in the trees of all the sites that it names: each has held just these
// leaves, complete, when it is said to have reported them, and no site is missing but as an exception that the test has made true. It asks the agents for certificates alone,
// and believes nothing else that they say.
type judge struct {
	t     *testing.T
	sites map[string]*member // that have to be in each certificate
	names []string

	mu      sync.Mutex                 // guards what follows: a test may look, and allow, while the judge looks
	allowed map[string]bool            // exceptions, in the words of certificates
	lives   map[string]map[string]bool // incarnations of each site that were seen
	met     map[string]bool            // certificates that were judged
	studies map[string]bool            // of which there was one
	open    map[string]string          // that cannot be judged yet, and why
	oldest  time.Duration              // by which a site had held something else again when the certificate was seen
}

// oldestWord is the greatest age that a report may have in a certificate, on a machine that is busy: the echo, which is newer, may be 10 s old.
const oldestWord = time.Minute

// judged watches the certificates of a cluster from now on until the test ends. A test in which there was none has shown nothing.
func (c *cluster) judged() *judge {
	c.t.Helper()
	j := &judge{t: c.t, sites: maps.Clone(c.sites), allowed: map[string]bool{}, lives: map[string]map[string]bool{}, met: map[string]bool{}, studies: map[string]bool{}, open: map[string]string{}}
	j.names = slices.Sorted(maps.Keys(j.sites))
	for _, name := range j.names {
		j.lives[name] = map[string]bool{}
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for tick := time.NewTicker(200 * time.Millisecond); ; {
			j.look()
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
			}
		}
	}()
	c.t.Cleanup(func() {
		stop()
		<-done
		j.look()
		for certificate, why := range j.open {
			j.t.Errorf("a certificate of %s: %s", certificate, why)
		}
		if len(j.met) == 0 {
			j.t.Error("there was no certificate to judge")
		}
		j.t.Logf("%d certificates of %d studies were judged; the oldest word in one was out of date by %v", len(j.met), len(j.studies), j.oldest.Round(time.Millisecond))
	})
	return j
}

// allow makes an exception right: "c: acknowledged down".
func (j *judge) allow(exceptions ...string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range exceptions {
		j.allowed[e] = true
	}
}

// leaves says that a site is no member any more.
func (j *judge) leaves(name string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.sites, name)
	j.names = slices.Sorted(maps.Keys(j.sites))
}

// enters says that a site has become a member.
func (j *judge) enters(s *member) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.sites[s.name], j.lives[s.name] = s, map[string]bool{}
	j.names = slices.Sorted(maps.Keys(j.sites))
}

// look judges what there is now. Sites that do not answer have nothing to say.
func (j *judge) look() {
	j.mu.Lock()
	defer j.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for _, name := range j.names {
		client := admin.NewClient(j.sites[name].in("state"))
		if status, err := client.Status(ctx); err == nil && status.Incarnation != "" {
			j.lives[name][status.Incarnation] = true
		}
	}
	for _, name := range j.names {
		client := admin.NewClient(j.sites[name].in("state"))
		rows, err := client.Studies(ctx, admin.Query{State: "settled", Limit: 1000})
		for _, row := range rows {
			if err == nil && !j.met[name+" "+row.Study+fmt.Sprint(row.Change)] {
				j.take(ctx, name, row, client)
			}
		}
	}
}

// take judges the certificate of a study at a site.
func (j *judge) take(ctx context.Context, at string, row admin.Row, client *admin.Client) {
	study, err := client.Study(ctx, row.Study)
	if err != nil || study.State != "settled" { // it has gone on since
		return
	}
	if study.Certificate == nil {
		j.t.Errorf("%s says that %s is settled, and shows no certificate", at, study.Study)
		return
	}
	wrong, err := j.wrong(at, study.Study, *study.Certificate, time.Now())
	certificate := at + " " + study.Study + fmt.Sprint(study.Change)
	if err != nil {
		j.open[certificate] = err.Error()
		return
	}
	delete(j.open, certificate)
	for _, w := range wrong {
		j.t.Errorf("%s says at %s that %s is settled, and that is false: %s; its certificate: %+v", at, time.Now().Format(time.StampMilli), study.Study, w, *study.Certificate)
	}
	j.met[certificate], j.studies[study.Study] = true, true
}

// wrong is what is false about a certificate that was seen at some moment. The error says why that cannot be told yet.
func (j *judge) wrong(at, study string, c admin.Certificate, seen time.Time) (wrong []string, err error) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	var named []string
	for _, e := range c.Exceptions {
		name, _, _ := strings.Cut(e, ":")
		if named = append(named, name); !j.allowed[e] {
			say("the exception %q is not true", e)
		}
	}
	for _, r := range c.Sites {
		named = append(named, r.Site)
		switch {
		case r.Leaf != c.Leaf || !r.Complete || !r.Durable:
			say("%s reported something else", r.Site)
		case r.Number == 0:
			say("the report of %s has no number", r.Site)
		case j.sites[r.Site] == nil: // said below
		case r.Incarnation != "" && !j.lives[r.Site][r.Incarnation], r.Incarnation == "" && r.Site != at:
			return nil, fmt.Errorf("%s was never seen as %q", r.Site, r.Incarnation)
		default:
			why, err := j.held(r.Site, study, c.Leaf, seen)
			if err != nil {
				return nil, err
			}
			if why != "" {
				say("%s %s", r.Site, why)
			}
		}
	}
	if slices.Sort(named); !slices.Equal(named, j.names) {
		say("it names %v, and the cluster is %v", named, j.names)
	}
	return wrong, nil
}

// held says what is wrong with the word that a site has held these leaves of a study, and all that they need.
func (j *judge) held(site, study, leaf string, seen time.Time) (why string, err error) {
	uid, err := dedup.ParseUID(study)
	if err != nil {
		return "", err
	}
	past, err := readPast(j.sites[site].in("tree"), uid)
	if err != nil {
		return "", fmt.Errorf("read the tree of %s: %w", site, err)
	}
	defer past.close()
	n, complete := past.when(leaf)
	switch {
	case n < 0:
		return "has never held these leaves", nil
	case past.times[n].After(seen):
		return "has held them later", nil
	case !complete:
		return "lacks something of them", nil
	}
	if n+1 < len(past.times) {
		if old := seen.Sub(past.times[n+1]); old > oldestWord {
			return fmt.Sprintf("has held something else for %v", old), nil
		} else if old > j.oldest {
			j.oldest = old
		}
	}
	return "", nil
}

// past is what a tree has held of a study, one moment after another. Lists and instance files are written once, keep the time at which they got their names, and are collected
// much later than any test ends: so the disk itself tells.
type past struct {
	fs     *durable.OS
	source archive.Source
	files  []dedup.File // in the order in which they came
	times  []time.Time  // of each
}

func readPast(tree string, uid dedup.UID) (p *past, err error) {
	p = &past{}
	if p.fs, err = durable.OpenOS(tree); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	folder, err := dedup.NewTree(p.fs).Study(uid)
	if err != nil {
		return nil, err
	}
	heads, err := folder.Heads()
	if err != nil {
		return nil, err
	}
	p.source = archive.NewSource(p.fs, folder)
	came := map[string]time.Time{}
	for _, h := range heads {
		info, err := os.Lstat(filepath.Join(tree, h.Path))
		if err != nil {
			return nil, err
		}
		stat, is := info.Sys().(*syscall.Stat_t)
		if !is {
			return nil, errors.New("this system does not say when a file got its name")
		}
		came[h.Path] = time.Unix(stat.Ctim.Unix())
	}
	slices.SortStableFunc(heads, func(a, b dedup.Held) int { return came[a.Path].Compare(came[b.Path]) })
	for _, h := range heads {
		text, err := folder.Read(h, 64<<20)
		if err != nil {
			return nil, err
		}
		p.files, p.times = append(p.files, dedup.ParseFile(h.Ref, text)), append(p.times, came[h.Path])
	}
	return p, nil
}

func (p *past) close() { _ = p.fs.Close() }

// when is the moment at which the tree held these leaves last, and whether all that they need is there; -1: it never did.
func (p *past) when(leaf string) (moment int, complete bool) {
	for n := len(p.files) - 1; n >= 0; n-- {
		if n+1 < len(p.files) && p.times[n] == p.times[n+1] {
			continue // they came together
		}
		state := dedup.Resolve(p.files[:n+1], p.source)
		if dedup.LeafDigest(state.Leaves).String() == leaf {
			return n, state.Complete()
		}
	}
	return -1, false
}
