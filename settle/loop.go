package settle

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
)

// Loop brings studies from touched to settled.
type Loop struct {
	config  Config
	rules   rules
	pulse   *pulse
	seeds   [2]maphash.Seed
	wake    chan struct{} // of one: there is something new for Run
	gates   atomic.Uint64 // how often the gate was seen to open, to close, or to be of another roster
	results chan result   // room for every job that may be under way, so none waits to be heard

	mu      sync.Mutex // guards all below. It is never held while a function of the Config runs
	studies map[dedup.UID]*study
	rest    map[key]rest // studies that nothing happens to, in some 30 bytes each
	totals  Totals
	status  Status
	looks   queue
	saves   queue
	rounds  queue
	echoes  []*study            // that wait for the next exchange
	news    []*study            // of which others may say something else
	sites   []string            // of which there is news that names no study
	blind   map[string][]*study // that were found to await news of a site, by site: some do not any more
	alarms  alarms
	weight  int     // of the rounds under way
	events  []Event // not told yet
	gate    Gate    // as it was seen last
	stops   uint64  // pulse.stops, the same
	waiters int
	changed chan struct{} // closed, and made anew, when something changed and somebody waits
	ran     bool
	saving  int
	echoing bool
}

// study is one that is not at rest.
type study struct {
	facts
	uid     dedup.UID
	save    *effect // what is to be saved, else nil
	proof   mark    // when the echo began that allows it
	alarm   time.Duration
	ticket  uint32
	queued  bool   // waits for a worker
	blind   string // the site under which it is in Loop.blind
	cold    bool   // found at the start, and not touched since
	dropped bool   // not the Loop's any more
}

// key stands for a UID. Two studies would have to agree in 128 bits under seeds of this process to be counted as one.
type key [2]uint64

func (l *Loop) key(uid dedup.UID) key {
	return key{maphash.String(l.seeds[0], uid.String()), maphash.String(l.seeds[1], uid.String())}
}

// New makes a Loop that does nothing until it runs. The error names what the Config lacks: nothing is taken for granted, least of all a whole cluster.
func New(c Config) (*Loop, error) {
	for _, part := range []struct {
		name    string
		missing bool
	}{{"Look", c.Look == nil}, {"Generate", c.Generate == nil}, {"Busy", c.Busy == nil}, {"Records", c.Records == nil}, {"Log", c.Log == nil},
		{"Cluster.Gate", c.Cluster.Gate == nil}, {"Cluster.Others", c.Cluster.Others == nil}, {"Cluster.Echo", c.Cluster.Echo == nil}} {
		if part.missing {
			return nil, fmt.Errorf("settle without %s", part.name)
		}
	}
	if c.Workers <= 0 {
		c.Workers = max(1, runtime.NumCPU()/2)
	}
	if c.Weight <= 0 {
		c.Weight = 20_000
	}
	if c.Wall == nil {
		c.Wall = time.Now
	}
	c.Timing = c.Timing.set()
	return &Loop{
		config:  c,
		rules:   rules{c.Site, c.Incarnation, c.Version, c.Policy, c.Timing},
		pulse:   newPulse(clock(c.Wall)),
		seeds:   [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		wake:    make(chan struct{}, 1),
		results: make(chan result, looksAtOnce+savesAtOnce+c.Workers+1),
		studies: make(map[dedup.UID]*study),
		rest:    make(map[key]rest),
		blind:   make(map[string][]*study),
		changed: make(chan struct{}),
	}, nil
}

// Touch says that something of the study may have changed here, or in what others report of it. It costs about a microsecond, does not wait for anything, and may be
// called from anywhere, before Run too: from then on the study does not count as settled.
func (l *Loop) Touch(uid dedup.UID) {
	if uid == (dedup.UID{}) {
		return
	}
	now := l.pulse.now().mono
	l.mu.Lock()
	l.status.Touches++
	s := l.studies[uid]
	if s == nil {
		s = l.add(uid)
		l.note(s, Event{Kind: WasTouched}) // the first of many, while it is not at rest
	}
	if s.cold {
		s.cold = false
		if s.queued { // it overtakes those that wait since the start
			l.enqueue(s, s.job)
		}
	}
	l.apply(s, event{kind: touched}, now)
	l.mu.Unlock()
	l.nudge()
}

// Reported says that Cluster.Others may answer something else of a study now, of which nothing changed here: it goes on at once if it waits for that. Who says nothing
// costs it some seconds.
func (l *Loop) Reported(uid dedup.UID) {
	l.mu.Lock()
	s := l.studies[uid]
	if s != nil { // one at rest waits for nothing
		l.news = append(l.news, s)
	}
	l.mu.Unlock()
	if s != nil {
		l.nudge()
	}
}

// SiteChanged says that Cluster.Others may say something else of a site and of any study, because of what that site is and not of what it holds: it has been compared, or is there
// again. Those that wait for that go on at once. "" stands for any site.
func (l *Loop) SiteChanged(site string) {
	l.mu.Lock()
	if !slices.Contains(l.sites, site) {
		l.sites = append(l.sites, site)
	}
	l.mu.Unlock()
	l.nudge()
}

// GateChanged says that Cluster.Gate answers something else now. It is asked now and then all the same, so a forgotten call costs a second.
func (l *Loop) GateChanged() { l.nudge() }

func (l *Loop) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// add takes a study up. The caller holds mu.
func (l *Loop) add(uid dedup.UID) *study {
	s := &study{uid: uid, facts: facts{step: dirty}}
	if r, known := l.rest[l.key(uid)]; known {
		delete(l.rest, l.key(uid))
		l.count(r.state(), -1)
	}
	l.studies[uid] = s
	l.count(Syncing, 1)
	return s
}

// apply lets next decide and enters what it says. The caller holds mu.
func (l *Loop) apply(s *study, e event, now time.Duration) {
	before := s.state()
	var out effect
	s.facts, out = l.rules.next(s.uid, s.facts, e, now)
	for _, n := range out.notices {
		l.note(s, n)
	}
	switch {
	case out.rest:
		l.drop(s, before, out.forget)
		return
	case out.job != idle:
		if s.save = nil; out.job == save {
			kept := out // a copy, so that out need not be kept otherwise: touches are many
			s.save = &kept
		}
		l.enqueue(s, out.job)
	}
	l.alarms.set(s)
	if s.awaits == ofSite && s.blind != s.of {
		s.blind = s.of
		l.blind[s.of] = append(l.blind[s.of], s)
	}
	if after := s.state(); after != before {
		l.count(before, -1)
		l.count(after, 1)
	}
	l.tell()
}

// drop lets a study rest: from then on it is a key and a State.
func (l *Loop) drop(s *study, before State, forget bool) {
	delete(l.studies, s.uid)
	s.dropped = true
	if of := s.blind; of != "" {
		l.blind[of] = slices.DeleteFunc(l.blind[of], func(o *study) bool { return o == s })
	}
	l.count(before, -1)
	if !forget {
		l.lay(s.uid, s.record.State)
	}
	l.tell()
}

// rest is the State of a study at rest, in a byte.
type rest uint8

func (r rest) state() State { return [...]State{"", Settled, Conflict, Incomplete}[r] }

// lay enters a study at rest.
func (l *Loop) lay(uid dedup.UID, state State) {
	for r := rest(0); r <= 3; r++ {
		if r.state() == state {
			l.rest[l.key(uid)] = r
		}
	}
	l.count(state, 1)
}

func (l *Loop) enqueue(s *study, j job) {
	switch j {
	case look:
		l.looks.push(s)
	case save:
		l.saves.push(s)
	case echo:
		l.echoes = append(l.echoes, s)
		return
	default:
		l.rounds.push(s)
	}
	if !s.queued {
		s.queued = true
		l.status.Waiting++
	}
}

func (l *Loop) note(s *study, e Event) {
	e.Study, e.Time = s.uid, l.pulse.now().wall
	if e.Kind == WasFailed {
		l.status.Failures++
	}
	l.events = append(l.events, e)
}

// tell wakes those who wait.
func (l *Loop) tell() {
	if l.waiters > 0 {
		close(l.changed)
		l.changed = make(chan struct{})
	}
}

// Run reads the records and works until ctx is done; it then waits for what it began and returns nil. Any other error is that of the records: without them it is
// not known what was published. It runs once.
func (l *Loop) Run(ctx context.Context) error {
	l.mu.Lock()
	again := l.ran
	l.ran = true
	l.mu.Unlock()
	if again {
		return errors.New("settle runs already")
	}
	var group sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		l.end(ctx, &group)
	}()
	group.Go(func() { l.beats(ctx) })
	if err := l.read(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("records of studies: %w", err)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		l.turn(ctx, group.Go)
		timer.Reset(l.idle())
		select {
		case <-ctx.Done():
		case <-l.wake:
		case <-timer.C:
		case r := <-l.results:
			if r.err == nil || ctx.Err() == nil {
				l.finish(r)
			}
		}
	}
	return nil
}

// turn does all that there is to be done now.
func (l *Loop) turn(ctx context.Context, start func(job func())) {
	l.observe()
	l.hear()
	l.ring()
	l.dispatch(ctx, start)
	l.emit(ctx)
}

// end waits for what was begun, and enters what of it ended well: what is saved is saved.
func (l *Loop) end(ctx context.Context, group *sync.WaitGroup) {
	group.Wait()
	for len(l.results) > 0 {
		if r := <-l.results; r.err == nil {
			l.finish(r)
		}
	}
	l.emit(ctx)
}

// read takes in what is known from before: what has not changed since rests on.
func (l *Loop) read(ctx context.Context) error {
	for k, err := range l.config.Records.All(ctx) {
		if err != nil {
			return err
		}
		l.mu.Lock()
		if l.studies[k.Study] == nil {
			l.enter(k)
		}
		l.mu.Unlock()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.status.Ready = true
	l.tell()
	return ctx.Err()
}

func (l *Loop) enter(k Known) {
	r := k.Record
	if done := r.State == Settled || r.State == Conflict; done && r.Leaf == k.Leaf && r.Version == l.config.Version && r.Due.IsZero() {
		l.lay(k.Study, r.State)
		return
	}
	now := l.pulse.now().mono
	s := l.add(k.Study)
	s.cold, s.told, s.last = true, true, now // whatever happened to it may have happened just now
	s.record, s.known, s.due = r, true, r.Due
	s.stale, s.lookAt = true, now
	l.apply(s, event{kind: woke, view: view{gate: l.gate}}, now)
}

// beats keeps the pulse until ctx is done.
func (l *Loop) beats(ctx context.Context) {
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		l.pulse.beat()
		l.nudge()
	}
}
