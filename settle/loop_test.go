package settle

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
)

// archive is a site by hand: what Look finds, what Generate makes, what Records keep, what others answer. Its rounds judge themselves.
type archive struct {
	t  *testing.T
	mu sync.Mutex

	studies map[dedup.UID]*held
	records map[dedup.UID]Record
	gate    Gate
	others  func(dedup.UID) []SiteReport
	echo    func(context.Context) error
	answers map[string]string // the incarnations of those who answer

	roundTime time.Duration // how long a round takes
	generate  func(context.Context, Job) error
	save      func(Record) error
	damage    error // of the records
	busy      bool

	running map[dedup.UID]bool
	most    int // rounds at once
	looks   int
	rounds  int
	echoes  int
	events  []string
	nonce   int
}

// held is a study of the archive.
type held struct {
	leaf    dedup.Digest
	current dedup.Digest
	missing int
	size    int
}

func newArchive(t *testing.T) *archive {
	return &archive{t: t, studies: make(map[dedup.UID]*held), records: make(map[dedup.UID]Record), running: make(map[dedup.UID]bool),
		gate: Gate{State: Whole, Epoch: "e1"}, roundTime: 100 * time.Millisecond}
}

func (a *archive) config() Config {
	return Config{
		Site: "a", Version: "v1", Look: a.look, Generate: a.round, Records: a, Workers: 3, Log: slog.New(slog.DiscardHandler),
		Busy: func(dedup.UID) bool {
			a.mu.Lock()
			defer a.mu.Unlock()
			return a.busy
		},
		Cluster: Cluster{Gate: a.ask, Echo: a.answer, Others: func(uid dedup.UID) []SiteReport {
			if a.others == nil {
				return nil
			}
			return a.others(uid)
		}},
		Event: func(e Event) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.events = append(a.events, string(e.Kind))
		},
	}
}

func (a *archive) ask() Gate {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.gate
}

// set changes the gate, and tells nobody.
func (a *archive) set(state Wholeness) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gate.State = state
}

func (a *archive) answer(ctx context.Context) (Proof, error) {
	a.mu.Lock()
	a.nonce++
	a.echoes++
	p := Proof{Nonce: fmt.Sprint("n", a.nonce), Epoch: a.gate.Epoch, Sites: a.gate.Sites, Incarnations: a.answers}
	echo := a.echo
	a.mu.Unlock()
	if echo != nil {
		return p, echo(ctx)
	}
	return p, nil
}

func (a *archive) look(_ context.Context, uid dedup.UID) (Holding, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.looks++
	s := a.studies[uid]
	return Holding{Leaf: s.leaf, Complete: s.missing == 0, Missing: s.missing, Instances: s.size}, nil
}

func (a *archive) round(ctx context.Context, j Job) (Round, error) {
	a.mu.Lock()
	if a.running[j.Study] {
		a.t.Error("two rounds of one study at once")
	}
	a.running[j.Study] = true
	a.rounds++
	a.most = max(a.most, len(a.running))
	s := a.studies[j.Study]
	leaf, generate := s.leaf, a.generate
	if s.missing > 0 {
		a.t.Error("a round of an incomplete study")
	}
	if a.gate.State != Whole {
		a.t.Error("a round while the cluster is", a.gate.State)
	}
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.running, j.Study)
	}()
	select {
	case <-time.After(a.roundTime):
	case <-ctx.Done():
		return Round{}, ctx.Err()
	}
	if generate != nil {
		if err := generate(ctx, j); err != nil {
			return Round{}, err
		}
	}
	if err := j.Permit(); err != nil {
		return Round{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	r := Round{Leaf: leaf}
	if s.current != leaf {
		s.current, r.Wrote, r.Changed = leaf, 5, true
	}
	return r, nil
}

// All implements Records.
func (a *archive) All(context.Context) iter.Seq2[Known, error] {
	return func(yield func(Known, error) bool) {
		for uid, s := range a.studies {
			if !yield(Known{uid, s.leaf, a.records[uid]}, a.damage) {
				return
			}
		}
	}
}

// Load implements Records.
func (a *archive) Load(_ context.Context, uid dedup.UID) (Record, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.records[uid], a.damage
}

// Save implements Records.
func (a *archive) Save(_ context.Context, uid dedup.UID, r Record) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.save != nil {
		if err := a.save(r); err != nil {
			return err
		}
	}
	if r.State == Published && a.gate.State != Whole {
		a.t.Error("published while the cluster is", a.gate.State)
	}
	a.records[uid] = r
	return nil
}

// put gives a study that state.
func (a *archive) put(text, leafText string) dedup.UID {
	a.mu.Lock()
	defer a.mu.Unlock()
	u := uid(a.t, text)
	if a.studies[u] == nil {
		a.studies[u] = &held{size: 1}
	}
	a.studies[u].leaf = leaf(leafText)
	return u
}

func (a *archive) many(n int) []dedup.UID {
	var all []dedup.UID
	for i := range n {
		all = append(all, a.put(fmt.Sprintf("1.2.%d", i), "a"))
	}
	return all
}

// run runs a Loop for the length of a test, in its bubble.
func (a *archive) run(c Config) (l *Loop, stop func()) {
	a.t.Helper()
	l, err := New(c)
	if err != nil {
		a.t.Fatal(err)
	}
	return l, a.start(l)
}

func (a *archive) start(l *Loop) (stop func()) {
	ctx, cancel := context.WithCancel(a.t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	synctest.Wait()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			a.t.Error("Run:", err)
		}
	})
}

// settled waits until so many studies are settled, and nothing else is.
func (a *archive) settled(l *Loop, n int) time.Duration {
	a.t.Helper()
	start := time.Now()
	ctx, cancel := context.WithTimeout(a.t.Context(), time.Hour)
	defer cancel()
	if err := l.Wait(ctx, func() bool { t := l.Status().Totals; return t.Total == n && t.Settled == n }); err != nil {
		a.t.Fatalf("not settled after an hour: %+v", l.Status())
	}
	return time.Since(start)
}

func TestLoopSettles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArchive(t)
		l, stop := a.run(a.config())
		defer stop()
		u := a.put("1.2.3", "a")
		l.Touch(u)
		if took := a.settled(l, 1); took != 2*(time.Second+a.roundTime) {
			t.Errorf("settled after %v", took) // two quiet times, two rounds, and nothing is waited for besides
		}
		s, err := l.Study(t.Context(), u)
		if err != nil || s.State != Settled || s.Published != leaf("a") || s.Certificate == nil || s.Certificate.Sites[0].Site != "a" {
			t.Errorf("%+v, %v", s, err)
		}
		synctest.Wait()
		if got := strings.Join(a.events, " "); got != "touched generated published generated settled" {
			t.Errorf("events: %s", got)
		}
		<-time.After(time.Minute)
		if looks := a.looks; len(l.studies) != 0 || len(l.alarms) > 1 || looks != 1 {
			t.Errorf("at rest: %d studies, %d alarms, %d looks", len(l.studies), len(l.alarms), looks)
		}
		<-time.After(300 * time.Millisecond)
		l.Touch(u)
		if got := l.Status().Totals; got != (Totals{Total: 1, Syncing: 1}) {
			t.Errorf("touched: %+v", got)
		}
		if took := a.settled(l, 1); took != 0 || a.looks != 2 || a.rounds != 2 {
			t.Errorf("a touch that changed nothing: settled after %v, %d looks, %d rounds", took, a.looks, a.rounds)
		}
	})
}

func TestLoopStartsWhereItStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArchive(t)
		l, stop := a.run(a.config())
		all := a.many(200)
		for _, u := range all {
			l.Touch(u)
		}
		a.settled(l, len(all))
		stop()
		a.looks, a.rounds = 0, 0
		a.put("1.2.7", "b")
		a.studies[all[9]].missing = 1
		a.put("1.2.9", "c")
		again, stop := a.run(a.config())
		defer stop()
		if err := again.Wait(t.Context(), func() bool { t := again.Status().Totals; return t.Settled == 199 && t.Incomplete == 1 }); err != nil {
			t.Fatal(err)
		}
		if a.rounds != 2 || a.looks > 5 {
			t.Errorf("%d rounds and %d looks after a start with one changed study and one that is not complete", a.rounds, a.looks)
		}
	})
}

func TestLoopBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArchive(t)
		a.echo = func(ctx context.Context) error {
			<-time.After(time.Second)
			return ctx.Err()
		}
		c := a.config()
		c.Weight = 100
		l, stop := a.run(c)
		defer stop()
		all := a.many(300)
		for i, u := range all {
			a.studies[u].size = 1 + i%60
		}
		a.studies[all[0]].size = 5000 // more than allowed: alone
		a.generate = func(_ context.Context, j Job) error {
			a.mu.Lock()
			defer a.mu.Unlock()
			sum := 0
			for u := range a.running {
				sum += a.studies[u].size
			}
			if sum > 100 && len(a.running) > 1 {
				t.Errorf("%d instances in %d rounds at once", sum, len(a.running))
			}
			return nil
		}
		for _, u := range all {
			l.Touch(u)
		}
		a.settled(l, len(all))
		if a.most != 3 {
			t.Errorf("at most %d rounds at once, with 3 workers", a.most)
		}
		if a.echoes > 60 {
			t.Errorf("%d exchanges for %d studies", a.echoes, len(all))
		}
	})
}

// TestLoopOutlivesItsFunctions has rounds that fail, panic and find no room, saves that fail, and looks that panic.
func TestLoopOutlivesItsFunctions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArchive(t)
		var full atomic.Bool
		full.Store(true)
		luck := rand.New(rand.NewPCG(1, 2))
		a.generate = func(_ context.Context, j Job) error {
			a.mu.Lock()
			n := luck.IntN(10)
			a.mu.Unlock()
			switch {
			case full.Load():
				return fmt.Errorf("write 1.2.840.9/x: %w", syscall.ENOSPC)
			case n < 2:
				panic("patient^name")
			case n < 4:
				return errors.New("bad luck in studies/1.2.840.9")
			}
			return nil
		}
		a.save = func(Record) error {
			if luck.IntN(4) == 0 {
				return errors.New("1.2.840.9: database is locked")
			}
			return nil
		}
		c := a.config()
		var log strings.Builder
		c.Log = slog.New(slog.NewTextHandler(&log, nil))
		c.Look = func(ctx context.Context, uid dedup.UID) (Holding, error) {
			a.mu.Lock()
			n := luck.IntN(5)
			a.mu.Unlock()
			if n == 0 {
				panic("hostile file")
			}
			return a.look(ctx, uid)
		}
		l, stop := a.run(c)
		for _, u := range a.many(40) {
			l.Touch(u)
		}
		<-time.After(10 * time.Minute)
		if s := l.Status(); s.Totals.Settled+s.Totals.Published > 0 || a.rounds < 40 || a.rounds > 40*20 {
			t.Errorf("with a full disk: %+v, %d rounds", s.Totals, a.rounds)
		}
		full.Store(false)
		a.settled(l, 40)
		stop()
		if strings.Contains(log.String(), "1.2.") || strings.Contains(log.String(), "patient") || !strings.Contains(log.String(), "no space left") {
			t.Errorf("the log names studies or patients, or not the cause:\n%.2000s", log.String())
		}
	})
}

// TestLoopGateFlaps opens and closes the gate at random, telling the loop or not; the archive judges each round and each save.
func TestLoopGateFlaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArchive(t)
		c := a.config()
		l, stop := a.run(c)
		defer stop()
		a.roundTime = time.Second
		late := 0
		a.generate = func(_ context.Context, j Job) error {
			<-time.After(3 * time.Second)
			if err := j.Permit(); (err == nil) != (a.ask().State == Whole) && err == nil {
				late++
			}
			return nil
		}
		all := a.many(30)
		luck := rand.New(rand.NewPCG(3, 4))
		for range 600 {
			switch luck.IntN(4) {
			case 0:
				a.set([]Wholeness{Whole, Split, Partial, ""}[luck.IntN(4)])
			case 1:
				l.GateChanged()
			case 2:
				u := all[luck.IntN(len(all))]
				a.put(u.String(), fmt.Sprint("leaf", luck.IntN(1000)))
				l.Touch(u)
			}
			<-time.After(time.Duration(luck.Int64N(int64(2 * time.Second))))
		}
		a.set(Whole)
		for _, u := range all {
			l.Touch(u)
		}
		a.settled(l, len(all))
		if late > 0 || !slices.Contains(a.events, "held") {
			t.Errorf("%d permits while the gate was shut; events %v", late, a.events[:20])
		}
	})
}

// TestLoopGateShutsBetween shuts the gate the n-th time that it is asked after an echo was answered; the archive judges what is saved then.
func TestLoopGateShutsBetween(t *testing.T) {
	for n := range 12 {
		synctest.Test(t, func(t *testing.T) {
			a := newArchive(t)
			c := a.config()
			asked, shut := 0, 0
			c.Cluster.Gate = func() Gate {
				a.mu.Lock()
				defer a.mu.Unlock()
				if a.echoes > shut/2 && shut < 4 {
					if asked++; asked > n {
						asked, shut = 0, shut+1
						a.gate.State = Split
					}
				}
				return a.gate
			}
			l, stop := a.run(c)
			defer stop()
			l.Touch(a.put("1.2.3", "a"))
			for range 30 {
				<-time.After(10 * time.Second)
				a.set(Whole)
			}
			a.settled(l, 1)
			if shut < 4 {
				t.Errorf("the gate was shut %d times", shut)
			}
		})
	}
}

// TestLoopHoldsAndResumes: held with the reason, listed, nothing asked for; then, though nobody tells the loop, within seconds of the cut's end settled.
func TestLoopHoldsAndResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArchive(t)
		a.gate = Gate{State: Split, Reason: "a -> c: no answer for 14 s", Epoch: "e1"}
		l, stop := a.run(a.config())
		defer stop()
		all := a.many(5)
		for _, u := range all {
			l.Touch(u)
		}
		<-time.After(time.Hour)
		list := l.List(Held, 3)
		if s := l.Status(); s.Totals.Held != 5 || len(list) != 3 || !strings.Contains(list[0].Reason, "a -> c: no answer") || a.rounds > 0 || a.looks != 5 {
			t.Errorf("%+v, %+v, %d rounds, %d looks", s, list, a.rounds, a.looks)
		}
		v, err := l.Allow(t.Context(), all[0])
		if err != nil || v.Generate || v.Published || v.State != Held || v.Retry == 0 || !strings.Contains(v.Reason, "split") {
			t.Errorf("verdict while held: %+v, %v", v, err)
		}
		a.set(Whole)
		if took := a.settled(l, 5); took > 5*time.Second {
			t.Errorf("settled %v after the cut", took)
		}
		if v, err := l.Allow(t.Context(), all[0]); err != nil || !v.Generate || !v.Published {
			t.Errorf("verdict of a settled study: %+v, %v", v, err)
		}
		a.set(Split)
		<-time.After(time.Minute)
		if s := l.Status(); s.Totals.Settled != 5 {
			t.Errorf("after another cut: %+v", s.Totals)
		}
		if v, _ := l.Allow(t.Context(), all[0]); v.Generate || !v.Published {
			t.Errorf("verdict of a settled study while the cluster is split: %+v", v)
		}
	})
}

// TestLoopSilence: an echo that is not answered holds all that wait for it, and no longer than that.
func TestLoopSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArchive(t)
		var silent atomic.Bool
		silent.Store(true)
		a.echo = func(ctx context.Context) error {
			if silent.Load() {
				<-ctx.Done()
				return errors.New("c did not answer")
			}
			return nil
		}
		l, stop := a.run(a.config())
		defer stop()
		for _, u := range a.many(20) {
			l.Touch(u)
		}
		<-time.After(5 * time.Minute)
		s := l.Status()
		if s.Totals.Held+s.Totals.Syncing != 20 || s.Totals.Held < 1 || len(a.records) > 0 || a.rounds != 20 {
			t.Errorf("%+v, %d records, %d rounds", s, len(a.records), a.rounds)
		}
		silent.Store(false)
		if took := a.settled(l, 20); took > 40*time.Second {
			t.Errorf("settled %v after the silence", took)
		}
	})
}

// clocks are two that can be set apart.
type clocks struct{ mono, wall atomic.Int64 }

// over returns what a Loop sees where these were added to its clocks.
func (c *clocks) over(now func() stamp) func() stamp {
	return func() stamp {
		s := now()
		return stamp{s.mono + time.Duration(c.mono.Load()), s.wall.Add(time.Duration(c.wall.Load()))}
	}
}

// TestLoopStopped stops the process for a minute at each step: SIGSTOP moves both clocks; a suspended machine's monotonic clock stands still; somebody sets the time.
// What was echoed, permitted or quiet before counts no more.
func TestLoopStopped(t *testing.T) {
	for _, kind := range []string{"SIGSTOP", "suspended", "set back"} {
		for _, at := range []string{"round", "echo", "save"} {
			t.Run(kind+" in "+at, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { stopAt(t, kind, at) })
			})
		}
	}
}

func stopAt(t *testing.T, kind, at string) {
	a := newArchive(t)
	var c clocks
	stopped := 0
	sleep := func(step string) {
		if step != at || stopped > 0 {
			return
		}
		stopped++
		switch kind {
		case "SIGSTOP":
			c.mono.Add(int64(time.Minute))
			c.wall.Add(int64(time.Minute))
		case "suspended":
			c.wall.Add(int64(time.Minute))
		case "set back":
			c.wall.Add(-int64(time.Hour))
		}
	}
	denied := 0
	a.generate = func(_ context.Context, j Job) error {
		sleep("round")
		err := j.Permit()
		if err != nil {
			denied++
		}
		return err
	}
	a.echo = func(context.Context) error {
		sleep("echo")
		return nil
	}
	config := a.config()
	saves := 0
	a.save = func(r Record) error {
		saves++
		return nil
	}
	l, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	now := c.over(l.pulse.now)
	l.pulse = newPulse(now)
	if at == "save" { // between the answer and its use: the gate is asked then
		gate := l.config.Cluster.Gate
		l.config.Cluster.Gate = func() Gate {
			if a.echoes == 1 && saves == 0 {
				sleep("save")
			}
			return gate()
		}
	}
	defer a.start(l)()
	l.Touch(a.put("1.2.3", "a"))
	a.settled(l, 1)
	want := map[string]int{"round": 2, "echo": 3, "save": 3}[at] // echoes: one to publish, one to settle, and one that was for nothing
	if a.echoes != want || stopped != 1 || at == "round" && denied == 0 {
		t.Errorf("%d echoes, %d permits refused, stopped %d times", a.echoes, denied, stopped)
	}
	if s := l.Status(); s.Stops != 1 {
		t.Errorf("the stop was seen %d times", s.Stops)
	}
}

// TestLoopSeesOthers: level or not, with certificates that name them.
func TestLoopSeesOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArchive(t)
		a.gate.Sites, a.gate.Without, a.answers = []string{"b", "c"}, []string{"d"}, map[string]string{"b": "i"}
		var level atomic.Bool
		var l *Loop
		a.others = func(dedup.UID) []SiteReport {
			b := SiteReport{Site: "b", Leaf: leaf("old"), Complete: true, Durable: true, Number: 41, Incarnation: "i"}
			if level.Load() {
				b.Leaf, b.Number = leaf("a"), 42
			}
			return []SiteReport{b, {Site: "c", Full: true, Lacking: -1}}
		}
		l, stop := a.run(a.config())
		defer stop()
		u := a.put("1.2.3", "a")
		l.Touch(u)
		<-time.After(time.Minute)
		s, err := l.Study(t.Context(), u)
		if err != nil || s.State != Published || s.Reason != "b is not level" || s.Certificate != nil {
			t.Errorf("%+v, %v", s, err)
		}
		level.Store(true)
		l.Touch(u)
		if took := a.settled(l, 1); took > time.Second {
			t.Errorf("settled %v after b was level", took)
		}
		s, err = l.Study(t.Context(), u)
		if err != nil || fmt.Sprint(s.Certificate.Exceptions) != "[c: disk full d: acknowledged down]" || len(s.Certificate.Sites) != 2 || s.Certificate.Sites[1].Number != 42 {
			t.Errorf("%+v, %v", s.Certificate, err)
		}
	})
}

// TestLoopTouchesFromEverywhere: functions of the Config may touch, and a study that is touched does not count as settled from then on.
func TestLoopTouchesFromEverywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArchive(t)
		c := a.config()
		u := a.put("1.2.3", "a")
		var l *Loop
		var left atomic.Int32
		left.Store(3)
		c.Event = func(e Event) {
			if e.Kind == WasSettled && left.Load() > 0 {
				left.Add(-1)
				l.Touch(e.Study)
				if l.Status().Totals.Settled != 0 {
					t.Error("settled after a touch")
				}
			}
		}
		a.others = func(dedup.UID) []SiteReport {
			if left.Load() > 1 {
				l.Touch(u)
			}
			return nil
		}
		l, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		l.Touch(u) // before Run
		defer a.start(l)()
		<-time.After(5 * time.Second)
		left.Store(0)
		a.settled(l, 1)
	})
}

func TestLoopWithoutRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArchive(t)
		a.put("1.2.3", "a")
		a.damage = errors.New("damaged")
		l, err := New(a.config())
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Run(t.Context()); !errors.Is(err, a.damage) {
			t.Errorf("Run: %v", err)
		}
		if err := l.Run(t.Context()); err == nil {
			t.Error("it ran twice")
		}
	})
}

// TestLoopFresh: what is touched does not wait behind what a start found unfinished, and does not keep it from its turn.
func TestLoopFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArchive(t)
		all := a.many(2000)
		l, stop := a.run(a.config())
		defer stop()
		<-time.After(3 * time.Second)
		fresh := all[1999]
		start := time.Now()
		l.Touch(fresh)
		err := l.Wait(t.Context(), func() bool {
			s, err := l.Study(t.Context(), fresh)
			return err != nil || s.State == Settled
		})
		if took := time.Since(start); err != nil || took > 5*time.Second {
			t.Errorf("a touched study settled after %v, behind 2000 others: %v", took, err)
		}
		a.settled(l, len(all))
		var q queue
		for i := range 8 {
			s := &study{cold: i < 4, queued: true}
			q.push(s)
		}
		var order []bool
		for s := q.peek(); s != nil; s = q.peek() {
			q.take(s)
			order = append(order, s.cold)
		}
		if fmt.Sprint(order) != "[false false false true false true true true]" {
			t.Errorf("cold ones in order: %v", order)
		}
	})
}

// TestWaitIsNotAskedTooEarly: before the records have been read, nothing is settled only because nothing is known.
func TestWaitIsNotAskedTooEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArchive(t)
		l, err := New(a.config())
		if err != nil {
			t.Fatal(err)
		}
		var over atomic.Bool
		go func() {
			if err := l.Wait(t.Context(), func() bool { return true }); err != nil {
				t.Error(err)
			}
			over.Store(true)
		}()
		synctest.Wait()
		if over.Load() {
			t.Error("Wait returned before Run")
		}
		defer a.start(l)()
		if !over.Load() {
			t.Error("Wait goes on though the records have been read")
		}
		late, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.Wait(late, func() bool { return false }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait in vain: %v", err)
		}
	})
}

func TestNewWantsEverything(t *testing.T) {
	a := newArchive(t)
	for name, drop := range map[string]func(*Config){
		"Cluster.Gate": func(c *Config) { c.Cluster.Gate = nil }, "Cluster.Echo": func(c *Config) { c.Cluster.Echo = nil },
		"Records": func(c *Config) { c.Records = nil }, "Busy": func(c *Config) { c.Busy = nil },
	} {
		c := a.config()
		drop(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

// TestStopInTheMiddle ends Run while looks, rounds and an echo are under way: nothing of it runs on (the bubble would say so), and what was saved stands.
func TestStopInTheMiddle(t *testing.T) {
	for ms := range 60 {
		synctest.Test(t, func(t *testing.T) {
			a := newArchive(t)
			a.echo = func(ctx context.Context) error {
				select {
				case <-ctx.Done():
				case <-time.After(300 * time.Millisecond):
				}
				return ctx.Err()
			}
			l, stop := a.run(a.config())
			for _, u := range a.many(10) {
				l.Touch(u)
			}
			<-time.After(time.Duration(ms*70) * time.Millisecond)
			stop()
			if len(a.running) > 0 {
				t.Error("a round runs after Run returned")
			}
			if slices.Contains(a.events, string(WasFailed)) {
				t.Error("stopping counts as a failure")
			}
		})
	}
}
