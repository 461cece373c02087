package reach

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dicomesh/dicomesh/gossip/roster"
)

// mesh is a few Runners that hear each other in memory, in virtual time. Messages take 10 ms; a direction that is cut carries none.
type mesh struct {
	t     *testing.T
	mu    sync.Mutex // guards all below
	sites map[string]*runningSite
	cuts  map[string]bool // "a>b"
}

type runningSite struct {
	*Runner
	name    string
	stop    context.CancelFunc
	done    chan error
	skew    atomic.Int64 // of its wall clock
	heard   map[string]time.Time
	echoed  map[string]time.Time
	changes []Wholeness
	asks    int
}

// inMesh runs a test in virtual time, and holds that nothing of the Runners is left at its end.
func inMesh(t *testing.T, r roster.Roster, f func(t *testing.T, m *mesh)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := &mesh{t: t, sites: map[string]*runningSite{}, cuts: map[string]bool{}}
		for _, s := range r.Sites() {
			m.make(s.Name, r)
		}
		for _, s := range m.sites {
			ctx, stop := context.WithCancel(t.Context())
			s.stop = stop
			go func() { s.done <- s.Run(ctx) }()
		}
		beating, end := context.WithCancel(t.Context())
		var beats sync.WaitGroup
		beats.Go(func() { m.beat(beating) })
		f(t, m)
		for _, s := range m.sites {
			s.stop()
			if err := <-s.done; err != nil {
				t.Errorf("%s: %v", s.name, err)
			}
		}
		end()
		beats.Wait()
	})
}

func (m *mesh) make(name string, r roster.Roster) {
	m.t.Helper()
	s := &runningSite{name: name, done: make(chan error, 1), heard: map[string]time.Time{}, echoed: map[string]time.Time{}}
	var err error
	s.Runner, err = New(Config{Self: Self{Site: name, Key: private(name), Boot: 1, Beat: LAN}, Roster: r,
		Links: func() []Heard { return m.links(s) }, Send: func(to string, message []byte) { m.send(s, to, message) },
		Changed: func(w Wholeness) { m.mu.Lock(); defer m.mu.Unlock(); s.changes = append(s.changes, w) },
		Ask:     func(ctx context.Context, to string, q []byte) ([]byte, error) { return m.ask(ctx, s, to, q) }, Incarnation: func() string { return "of " + name }})
	if err != nil {
		m.t.Fatal(err)
	}
	real := s.pulse.clock
	s.pulse.clock = func() Moment {
		now := real()
		now.Wall = now.Wall.Add(time.Duration(s.skew.Load()))
		return now
	}
	m.sites[name] = s
}

// beat lets every link beat once a second: a beat comes, and tells of the last that came the other way.
func (m *mesh) beat(ctx context.Context) {
	ticker := time.NewTicker(LAN)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			m.mu.Lock()
			for _, from := range m.sites {
				for _, to := range m.sites {
					if from != to && !m.cuts[from.name+">"+to.name] {
						to.heard[from.name] = now
						if !m.cuts[to.name+">"+from.name] {
							to.echoed[from.name] = now
						}
					}
				}
			}
			m.mu.Unlock()
		}
	}
}

func (m *mesh) links(s *runningSite) []Heard {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []Heard
	for _, o := range m.sites {
		if o != s {
			all = append(all, Heard{o.name, s.heard[o.name], s.echoed[o.name]})
		}
	}
	return all
}

func (m *mesh) cut(ways ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, way := range ways {
		m.cuts[way] = true
	}
}

func (m *mesh) isCut(from, to string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cuts[from+">"+to]
}

func (m *mesh) send(s *runningSite, to string, message []byte) {
	if !m.isCut(s.name, to) {
		time.AfterFunc(10*time.Millisecond, func() { m.sites[to].Merge(message) })
	}
}

// ask brings a question and its answer, each over its direction.
func (m *mesh) ask(ctx context.Context, from *runningSite, to string, question []byte) ([]byte, error) {
	m.mu.Lock()
	from.asks++
	m.mu.Unlock()
	wait := func() error {
		select {
		case <-time.After(10 * time.Millisecond):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if m.isCut(from.name, to) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if err := wait(); err != nil {
		return nil, err
	}
	answer, err := m.sites[to].Answer(ctx, from.name, question)
	if m.isCut(to, from.name) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return answer, errors.Join(err, wait())
}

// within waits until all of the sites say that.
func (m *mesh) within(limit time.Duration, want State, sites ...string) time.Duration {
	m.t.Helper()
	began := time.Now()
	for {
		said := true
		for _, s := range sites {
			said = said && m.sites[s].Current().State == want
		}
		if said {
			return time.Since(began)
		}
		if time.Since(began) > limit {
			m.t.Fatalf("not %s within %v: %+v", want, limit, m.sites[sites[0]].Current())
		}
		<-time.After(100 * time.Millisecond)
	}
}

func TestAlone(t *testing.T) {
	inMesh(t, rosterOf(t, "a"), func(t *testing.T, m *mesh) {
		if w := m.sites["a"].Current(); w.State != Whole {
			t.Errorf("%+v", w)
		}
		if p, err := m.sites["a"].Echo(t.Context()); err != nil || len(p.Answers) > 0 || p.Nonce == (Nonce{}) {
			t.Errorf("%+v %v", p, err)
		}
	})
}

// TestRunners: whole within seconds, a cut is named in time at all three, by Changed as well, once for each thing that happens.
func TestRunners(t *testing.T) {
	inMesh(t, rosterOf(t, "a", "b", "c"), func(t *testing.T, m *mesh) {
		all := []string{"a", "b", "c"}
		m.within(5*LAN, Whole, all...)
		<-time.After(time.Minute)
		m.cut("a>c", "c>a")
		t.Log("named after", m.within(10*LAN, Partial, all...))
		<-time.After(time.Minute)
		for _, name := range all {
			s := m.sites[name]
			if w := s.Current(); !strings.HasPrefix(w.Reason, "a <-> c: no answer for ") || w.Cause != "a <-> c: no answer" {
				t.Errorf("%s: %s", name, w.Reason)
			}
			m.mu.Lock()
			last := s.changes[len(s.changes)-1]
			if n := len(s.changes); last.State != Partial || n > 20 {
				t.Errorf("%s was told %d times, last of %s", name, n, last.State)
			}
			for n := range len(s.changes) - 1 {
				if s.changes[n].gist() == s.changes[n+1].gist() {
					t.Errorf("%s was told twice of %s", name, s.changes[n].Reason)
				}
			}
			m.mu.Unlock()
		}
		m.mu.Lock()
		clear(m.cuts)
		m.mu.Unlock()
		m.within(5*LAN, Whole, all...)
	})
}

// TestSuspended: a process that did not run says so to whoever asks first, before any goroutine of its own has done anything, and is whole again after it heard all anew.
func TestSuspended(t *testing.T) {
	inMesh(t, rosterOf(t, "a", "b"), func(t *testing.T, m *mesh) {
		m.within(5*LAN, Whole, "a", "b")
		a := m.sites["a"]
		a.skew.Add(int64(time.Minute)) // the wall clock went on, the monotonic one did not: a virtual machine
		if w := a.Current(); w.State != Split || w.Reason != "this site was stopped for 60 s, or its clock was set; a <-> b: no answer yet" {
			t.Errorf("%s: %s", w.State, w.Reason)
		}
		if w := m.sites["b"].Current(); w.State != Whole {
			t.Errorf("b: %s: %s", w.State, w.Reason)
		}
		t.Log("whole again after", m.within(6*LAN, Whole, "a"))
	})
}

// TestEcho: one exchange, all answers are of now and under this roster.
func TestEcho(t *testing.T) {
	inMesh(t, rosterOf(t, "a", "b", "c"), func(t *testing.T, m *mesh) {
		m.within(5*LAN, Whole, "a", "b", "c")
		p, err := m.sites["a"].Echo(t.Context())
		if err != nil || len(p.Answers) != 2 || p.Epoch != m.sites["a"].Current().Epoch {
			t.Fatalf("%+v %v", p, err)
		}
		for n, site := range []string{"b", "c"} {
			if p.Answers[n] != (Answered{site, p.Epoch, 1, "of " + site}) {
				t.Errorf("%+v", p.Answers[n])
			}
		}
		if again, err := m.sites["a"].Echo(t.Context()); err != nil || again.Nonce == p.Nonce {
			t.Error("a nonce came twice", err)
		}
		if m.sites["a"].asks != 4 {
			t.Errorf("%d questions for two echoes of two", m.sites["a"].asks)
		}
	})
}

// TestEchoRelayed: without a direct link, or with one that is dead in one direction, a neighbour of both hands question and answer on.
func TestEchoRelayed(t *testing.T) {
	inMesh(t, rosterOf(t, "a", "-b", "-c"), func(t *testing.T, m *mesh) {
		m.cut("b>c", "c>b") // they owe each other nothing
		m.within(5*LAN, Whole, "a", "b", "c")
		if p, err := m.sites["b"].Echo(t.Context()); err != nil || len(p.Answers) != 2 {
			t.Errorf("%+v %v", p, err)
		}
	})
	inMesh(t, rosterOf(t, "a", "b", "c"), func(t *testing.T, m *mesh) {
		m.within(5*LAN, Whole, "a", "b", "c")
		m.cut("b>c")
		if p, err := m.sites["b"].Echo(t.Context()); err != nil || len(p.Answers) != 2 { // nobody has noticed yet: the second attempt goes another way
			t.Errorf("%+v %v", p, err)
		}
		m.within(10*LAN, Partial, "a", "b", "c")
		for _, from := range []string{"b", "c"} {
			began := time.Now()
			if p, err := m.sites[from].Echo(t.Context()); err != nil || len(p.Answers) != 2 || time.Since(began) > LAN {
				t.Errorf("%+v %v after %v", p, err, time.Since(began))
			}
		}
	})
}

// TestEchoFails: who does not answer is named; what happens meanwhile makes an echo worth nothing.
func TestEchoFails(t *testing.T) {
	r := rosterOf(t, "a", "b", "c")
	inMesh(t, r, func(t *testing.T, m *mesh) {
		m.within(5*LAN, Whole, "a", "b", "c")
		a := m.sites["a"]
		m.cut("a>c", "b>c")
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if _, err := a.Echo(ctx); !errors.Is(err, ErrSilent) || !strings.HasSuffix(err.Error(), ": c: no answer") {
			t.Error(err)
		}
		began := time.Now()
		if _, err := a.Echo(t.Context()); !errors.Is(err, ErrSilent) || time.Since(began) > Detect(LAN)+LAN {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
	inMesh(t, r, func(t *testing.T, m *mesh) {
		m.within(5*LAN, Whole, "a", "b", "c")
		m.sites["a"].config.Ask = during(m.sites["a"], func() { m.sites["a"].skew.Add(int64(time.Minute)) })
		if _, err := m.sites["a"].Echo(t.Context()); !errors.Is(err, ErrStopped) {
			t.Error(err)
		}
	})
	inMesh(t, r, func(t *testing.T, m *mesh) {
		m.within(5*LAN, Whole, "a", "b", "c")
		now := time.Now()
		other, err := r.AckDown(roster.Down{Site: "c", Until: now.Add(time.Hour), By: "b", Now: now}, operator("b"))
		if err != nil {
			t.Fatal(err)
		}
		m.sites["b"].SetRoster(other)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if _, err := m.sites["a"].Echo(ctx); !errors.Is(err, ErrSilent) || !strings.Contains(err.Error(), "b: it has another roster") {
			t.Error(err)
		}
	})
	inMesh(t, r, func(t *testing.T, m *mesh) {
		m.within(5*LAN, Whole, "a", "b", "c")
		a, now := m.sites["a"], time.Now()
		other, err := r.AckDown(roster.Down{Site: "c", Until: now.Add(time.Hour), By: "a", Now: now}, operator("a"))
		if err != nil {
			t.Fatal(err)
		}
		a.config.Ask = during(a, func() { a.SetRoster(other) })
		if _, err := a.Echo(t.Context()); err == nil || errors.Is(err, ErrSilent) {
			t.Errorf("over a change of the roster: %v", err)
		}
	})
}

// TestAcknowledgementEnds: at the very moment at which an acknowledgement ends nothing rests on it any more, whenever the last look was.
func TestAcknowledgementEnds(t *testing.T) {
	until := time.Date(2000, 1, 1, 0, 1, 0, 0, time.UTC) // a bubble begins at midnight
	r, err := rosterOf(t, "a", "b", "c").AckDown(roster.Down{Site: "c", Until: until, By: "a", Now: until.Add(-time.Minute)}, operator("a"))
	if err != nil {
		t.Fatal(err)
	}
	inMesh(t, r, func(t *testing.T, m *mesh) {
		m.cut("a>c", "b>c", "c>a", "c>b")
		m.within(5*LAN, Whole, "a", "b")
		const ahead = 230 * time.Millisecond // of the walls, so that it ends between two looks
		for _, s := range m.sites {
			s.skew.Store(int64(ahead))
		}
		for at := until.Add(-2*time.Second - ahead); !at.After(until); at = at.Add(50 * time.Millisecond) {
			<-time.After(time.Until(at))
			left := time.Until(until) - ahead
			for _, s := range []string{"a", "b"} {
				if w := m.sites[s].Current(); w.State == Whole != (left > 0) || len(w.Without) == 1 != (left > 0) {
					t.Errorf("%s, %v before the end: %s without %q", s, left, w.State, w.Without)
				}
			}
		}
	})
}

// during is Ask with something that happens at the first question.
func during(s *runningSite, f func()) func(context.Context, string, []byte) ([]byte, error) {
	ask, once := s.config.Ask, sync.Once{}
	return func(ctx context.Context, to string, q []byte) ([]byte, error) {
		once.Do(f)
		return ask(ctx, to, q)
	}
}

// TestQuestions: who is not of the roster gets no answer, and a question travels one hop.
func TestQuestions(t *testing.T) {
	inMesh(t, rosterOf(t, "a", "b", "c"), func(t *testing.T, m *mesh) {
		b := m.sites["b"]
		q := question{nonce: Nonce{1}, asker: "a", to: "c"}
		for what, c := range map[string]struct {
			from string
			q    question
			want error
		}{
			"handed on twice":    {"c", question{asker: "a", to: "c"}, ErrRefused},
			"a stranger asks":    {"a", question{asker: "x", to: "b"}, ErrRefused},
			"a stranger's asked": {"a", question{asker: "a", to: "x"}, ErrRefused},
			"itself":             {"a", question{asker: "b", to: "b"}, ErrMalformed},
		} {
			if answer, err := b.Answer(t.Context(), c.from, c.q.encode()); !errors.Is(err, c.want) {
				t.Errorf("%s: %x %v", what, answer, err)
			}
		}
		if _, err := b.Answer(t.Context(), "a", []byte("nonsense")); !errors.Is(err, ErrMalformed) {
			t.Error(err)
		}
		if answer, err := b.Answer(t.Context(), "a", q.encode()); err != nil || len(answer) == 0 {
			t.Error(err)
		}
	})
}

// TestWays: directly first where the link is up, then over neighbours of both, then directly all the same.
func TestWays(t *testing.T) {
	w := Wholeness{Sites: []Site{{Name: "a"}, {Name: "b"}, {Name: "c"}, {Name: "d"}},
		Links: []Link{{A: "a", B: "b", Up: true}, {A: "a", B: "c", Up: true}, {A: "a", B: "d"}, {A: "b", B: "d", Up: true}, {A: "c", B: "d"}}}
	for to, want := range map[string][]string{"b": {"b"}, "d": {"b", "d"}, "c": {"c"}} {
		if got := w.waysTo("a", to); !slices.Equal(got, want) {
			t.Errorf("to %s by %v", to, got)
		}
	}
}

func TestConfig(t *testing.T) {
	good := Config{Self: Self{Site: "a", Key: private("a"), Boot: 1, Beat: LAN}, Roster: rosterOf(t, "a"), Links: func() []Heard { return nil }, Send: func(string, []byte) {},
		Ask:         func(context.Context, string, []byte) ([]byte, error) { return nil, nil },
		Incarnation: func() string { return "" }}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for n, change := range []func(*Config){
		func(c *Config) { c.Links = nil }, func(c *Config) { c.Send = nil }, func(c *Config) { c.Ask = nil }, func(c *Config) { c.Incarnation = nil },
		func(c *Config) { c.Self.Boot = 0 }, func(c *Config) { c.Self.Key = nil }, func(c *Config) { c.Self.Site = "" }, func(c *Config) { c.Self.Beat = time.Hour },
	} {
		bad := good
		if change(&bad); func() error { _, err := New(bad); return err }() == nil {
			t.Errorf("no error for change %d", n)
		}
	}
}

// BenchmarkCurrent is what a gate costs that is asked before every file.
func BenchmarkCurrent(b *testing.B) {
	for _, n := range []int{3, 20} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var names []string
			for k := range n {
				names = append(names, fmt.Sprintf("s%02d", k))
			}
			r, err := New(Config{Self: Self{Site: "s00", Key: private("s00"), Boot: 1, Beat: LAN}, Roster: rosterOf(b, names...), Links: func() []Heard { return nil },
				Send: func(string, []byte) {}, Ask: func(context.Context, string, []byte) ([]byte, error) { return nil, nil }, Incarnation: func() string { return "" }})
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				r.Current()
			}
		})
	}
}
