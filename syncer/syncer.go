package syncer

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// Config says what a Syncer is made of.
type Config struct {
	Self      string // this site's name
	Generator string // the version of this site's generator, for others to see
	Open      Opener
	Catalog   Catalog
	Archive   Archive
	Tree      durable.FS
	Staging   *durable.Staging // of the tree, for this Syncer alone
	Saved     string           // the folder of the tree into which durable.Salvage put what an earlier process had staged
	// Taken and Arrange are package ingest's: what a commit does about a name that is taken, and about files that share a name.
	Taken   durable.Taken
	Arrange func(study dedup.UID, ref dedup.Ref) error
	Event   func(Event)     // told what an operator should know; must not block
	Heard   func(dedup.UID) // told of each study of which another site said what it holds; must not block. nil: nobody
	// Revised is told of each study of which Report may say something else though no site has just spoken of it, and Standing of each site when that may be so of it and any study, because its
	// word counts, which did not, or it is another one, or in another state, than it was. They must not block. nil: nobody.
	Revised  func(dedup.UID)
	Standing func(site string)
	Rules    Rules // zero: DefaultRules
	Log      *slog.Logger
}

// EventKind says what happened.
type EventKind string

// The kinds of events.
const (
	Blamed EventKind = "blamed" // a site sent what it should not have, or did not send what it had offered
	Pulled EventKind = "pulled" // a study has come from a site
	Failed EventKind = "failed" // this site could not store what came
	Clash  EventKind = "clash"  // files came whose names other files have here: the study is not level until somebody renames some
)

// Event is something that an operator may want to know.
type Event struct {
	Kind   EventKind
	Site   string
	Study  dedup.UID
	Bytes  uint64
	Reason string
}

// Syncer keeps this site level with the others. Its methods may be called from several goroutines.
type Syncer struct {
	config  Config
	answers *answers
	puller  *puller
	guards  guards
	events  chan event

	mu     sync.Mutex // guards what follows
	core   *core      // nil before Run
	status Status
	pulls  map[dedup.UID]*transfer
}

// line is this site's end of a control stream.
type line struct {
	messages chan wire.Message
	cancel   context.CancelFunc
}

// New makes a Syncer. It touches nothing; Run does.
func New(c Config) *Syncer {
	c = c.filled()
	s := &Syncer{config: c, answers: &answers{catalog: c.Catalog, archive: c.Archive}, events: make(chan event, 1024), pulls: map[dedup.UID]*transfer{},
		guards: guards{sites: map[string]*guard{}}}
	saved := &savings{dir: c.Saved}
	if c.Saved != "" {
		saved.fs = c.Tree
	}
	s.puller = &puller{open: c.Open, archive: c.Archive, tree: c.Tree, depot: newDepot(c.Staging, c.Taken, c.Arrange), lanes: newLanes(c.Rules.Underway), packer: &s.answers.packer, saved: saved,
		shelter: &shelter{staging: c.Staging, most: mostSheltered, tents: map[dedup.UID]*tent{}}, partials: &partials{kept: map[string]*partial{}}, patience: c.Rules.Patience, log: c.Log}
	return s
}

// filled sets what may be left out.
func (c Config) filled() Config {
	c.Rules = c.Rules.filled()
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Event == nil {
		c.Event = func(Event) {}
	}
	if c.Heard == nil {
		c.Heard = func(dedup.UID) {}
	}
	if c.Revised == nil {
		c.Revised = func(dedup.UID) {}
	}
	if c.Standing == nil {
		c.Standing = func(string) {}
	}
	return c
}

// Run works until ctx ends; then it returns when nothing of it runs any more. What was being received and is not committed can be salvaged by the next process.
func (s *Syncer) Run(ctx context.Context) error {
	c := newCore(s.config.Self, s.config.Rules, func(x wire.StudyState) [32]byte { return s.config.Catalog.Sums().Hash(sumOf(x)) })
	c.mine = s.config.Catalog.Summary()
	s.mu.Lock()
	s.core = c
	s.mu.Unlock()
	r := &runner{Syncer: s, ctx: ctx, lines: map[string]*line{}}
	s.puller.progress = func(f fetched) { r.post(f) }
	s.puller.saved.list()
	r.loop()
	r.tasks.Wait()
	s.puller.partials.close()
	s.puller.shelter.close()
	s.puller.depot.stop()
	return nil
}

// post hands an event to the loop. When the loop has ended nobody wants it any more.
func (r *runner) post(e event) {
	select {
	case r.events <- e:
	case <-r.ctx.Done():
	}
}

// send is post for callers from outside: an event that finds no room waits.
func (s *Syncer) send(ctx context.Context, e event) {
	select {
	case s.events <- e:
	case <-ctx.Done():
	}
}

// Link says that the link to a site came up, or that it is gone.
func (s *Syncer) Link(ctx context.Context, site string, up bool) {
	if up {
		s.send(ctx, linkUp{site})
		return
	}
	s.send(ctx, linkDown{site})
}

// Beyond says whether a site without a link can be reached by way of a neighbour: then it is told and asked what it holds, on streams for Control and Query, and gives no files. Where
// there is a link it changes nothing, so it may be said again and again.
func (s *Syncer) Beyond(ctx context.Context, site string, up bool) { s.send(ctx, beyond{site, up}) }

// Local says what this site holds of a study now, after every change: package index's Keeper has looked.
func (s *Syncer) Local(ctx context.Context, state wire.StudyState) {
	s.send(ctx, local{study: state})
}

// Room says whether anything can be taken in, and all sites are told at once. The catalog has to say the same from now on.
func (s *Syncer) Room(ctx context.Context, r Room) { s.send(ctx, room{r}) }

// Ask makes a study that a viewer waits for go first.
func (s *Syncer) Ask(ctx context.Context, study dedup.UID) { s.send(ctx, asked{study}) }

// Serve answers on an incoming stream, and returns when it is over; the caller closes it. A neighbour that says what it should not is an error.
func (s *Syncer) Serve(ctx context.Context, site string, use Use, stream Stream) error {
	t := newTalk(ctx, stream)
	defer t.done()
	var err error
	switch use {
	case Control:
		err = s.listen(ctx, site, t)
	case Query:
		err = s.answers.queries(ctx, t, s.guards.of(site), func(keys []wire.Key) { s.send(ctx, walked{site, keys}) })
	case Fetch:
		err = s.answers.fetch(ctx, t, s.guards.of(site))
	}
	if errors.Is(err, errFault) || errors.Is(err, wire.ErrFrame) {
		s.config.Event(Event{Kind: Blamed, Site: site, Reason: err.Error()})
	}
	return err
}

// runner is a Syncer that runs.
type runner struct {
	*Syncer
	ctx   context.Context
	lines map[string]*line // control streams, by site
	tasks sync.WaitGroup
}

// loop feeds the core and performs what it decides.
func (r *runner) loop() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var e event
		select {
		case <-r.ctx.Done():
			return
		case e = <-r.events:
		case <-timer.C:
			e = tick{}
		}
		if f, ok := e.(fence); ok {
			close(f.passed)
			continue
		}
		now := time.Now()
		if l, ok := e.(local); ok { // looks end in any order: the newest summary is the one that counts
			l.summary = r.config.Catalog.Summary()
			e = l
		}
		r.links(e)
		effects, at := r.handle(e, now)
		for _, fx := range effects {
			r.perform(fx)
		}
		if !at.IsZero() {
			timer.Reset(max(time.Until(at), time.Millisecond))
		}
		r.pass(e)
		r.settle(e)
	}
}

// settle removes what an earlier process had saved of a study of which everything has come.
func (r *runner) settle(e event) {
	p, ended := e.(pulled)
	if !ended {
		return
	}
	r.mu.Lock()
	_, differs := r.core.studies[p.study]
	r.mu.Unlock()
	if !differs {
		r.puller.saved.settle(p.study)
	}
}

// handle gives the core an event, and returns what to do, and when to call again.
func (r *runner) handle(e event, now time.Time) ([]effect, time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	effects, at := r.core.handle(e, now), r.core.next(now)
	r.report()
	return effects, at
}

// pass tells on what other sites said.
func (r *runner) pass(e event) {
	if h, ok := e.(holds); ok {
		for _, x := range h.studies {
			r.config.Heard(x.theirs.UID)
		}
	}
}

// links opens and closes control streams as links come and go.
func (r *runner) links(e event) {
	switch e := e.(type) {
	case linkUp:
		r.dial(e.site)
	case linkDown:
		r.hangUp(e.site)
	case beyond:
		switch n := r.core.sites[e.site]; {
		case e.up && (n == nil || !n.up):
			r.dial(e.site)
		case !e.up && n != nil && n.far:
			r.hangUp(e.site)
		}
	}
}

func (r *runner) dial(site string) {
	r.hangUp(site)
	ctx, cancel := context.WithCancel(r.ctx)
	l := &line{messages: make(chan wire.Message, 256), cancel: cancel}
	r.lines[site] = l
	r.tasks.Go(func() { r.talk(ctx, site, l) })
}

func (r *runner) hangUp(site string) {
	if l := r.lines[site]; l != nil {
		l.cancel()
		delete(r.lines, site)
	}
}

// talk keeps a control stream to a site for as long as the link stands. One that breaks is opened again, and begins with a hello that says everything anew.
func (r *runner) talk(ctx context.Context, site string, l *line) {
	for wait := 100 * time.Millisecond; ctx.Err() == nil; wait = min(2*wait, 5*time.Second) {
		began := time.Now()
		if err := r.speak(ctx, site, l); err != nil && ctx.Err() == nil {
			r.config.Log.Debug("control stream ended", "site", site, "error", err)
		}
		if time.Since(began) > time.Minute {
			wait = 100 * time.Millisecond
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

func (r *runner) speak(ctx context.Context, site string, l *line) error {
	s, err := r.config.Open(ctx, site, Control)
	if err != nil {
		return err
	}
	defer s.Close()
	t := newTalk(ctx, s)
	defer t.done()
	ended := make(chan struct{})
	r.tasks.Go(func() {
		defer close(ended)
		_, _ = s.Read(make([]byte, 1)) // nothing is said back, so it returns when the stream is over: its connection may end while there is nothing to say
	})
	again := time.NewTicker(greetEach)
	defer again.Stop()
	hello := func() wire.Message {
		return &wire.Hello{Minor: wire.Minor, Generator: r.config.Generator, Summary: r.config.Catalog.Summary()}
	}
	m := hello()
	for {
		if err := t.say(m); err != nil {
			return err
		}
		_ = t.SetDeadline(time.Time{}) // a stream that is over says so when it is written to
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ended:
			return errors.New("ended from there")
		case m = <-l.messages:
		case <-again.C:
			m = hello()
		}
	}
}

// greetEach is how often a site says what it holds though nothing changed: for whoever missed it, because a hint found no room, or came just before it was noticed that an
// old link was gone.
const greetEach = 15 * time.Second

// perform does what the core decided.
func (r *runner) perform(fx effect) {
	switch fx := fx.(type) {
	case tell:
		for _, site := range fx.sites {
			if l := r.lines[site]; l != nil {
				select {
				case l.messages <- fx.message:
				default: // a hint that finds no room is lost; the sums find what it said
				}
			}
		}
	case compare:
		r.tasks.Go(func() { r.compare(fx) })
	case feed:
		r.tasks.Go(func() { r.feed(fx) })
	case startPull:
		t := &transfer{puller: r.puller, study: fx.study, site: fx.site, lists: map[dedup.FileID]bool{}}
		t.lane.Store(uint32(fx.lane))
		r.keep(fx.study, t)
		r.tasks.Go(func() { r.pull(t) })
	case revised:
		for _, uid := range fx.studies {
			r.config.Revised(uid)
		}
	case standing:
		r.config.Standing(fx.site)
	case raise:
		r.mu.Lock()
		if t := r.pulls[fx.study]; t != nil {
			t.lane.Store(uint32(fx.lane))
		}
		r.mu.Unlock()
	}
}

func (r *runner) keep(study dedup.UID, t *transfer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t == nil {
		delete(r.pulls, study)
		return
	}
	r.pulls[study] = t
}

// ask has a conversation with a site on a stream of its own.
func (r *runner) ask(site string, do func(*talk) error) error {
	s, err := r.config.Open(r.ctx, site, Query)
	if err != nil {
		return err
	}
	defer s.Close()
	t := newTalk(r.ctx, s)
	defer t.done()
	t.patience = r.config.Rules.Patience
	err = blameStall(r.ctx, do(t))
	if errors.Is(err, errFault) {
		r.config.Event(Event{Kind: Blamed, Site: site, Reason: err.Error()})
	}
	return err
}

func (r *runner) compare(fx compare) {
	var differ []held
	var partial bool
	err := r.ask(fx.site, func(t *talk) (err error) {
		if len(fx.keys) > 0 {
			differ, err = askAbout(r.ctx, r.config.Catalog, t, fx.keys)
			return err
		}
		differ, partial, err = compareWith(r.ctx, r.config.Catalog, t, r.config.Rules.Known/2)
		return err
	})
	if err == nil {
		r.post(holds{fx.site, differ, false})
	}
	r.post(compared{site: fx.site, some: len(fx.keys) > 0, err: err, partial: partial})
}

func (r *runner) feed(fx feed) {
	var both []held
	var next uint64
	err := r.ask(fx.site, func(t *talk) (err error) {
		both, next, err = follow(r.ctx, r.config.Catalog, t, fx)
		return err
	})
	if err == nil {
		r.post(holds{fx.site, both, false})
	}
	r.post(compared{site: fx.site, feed: true, next: next, err: err})
}

// pull performs one pull and says how it ended.
func (r *runner) pull(t *transfer) {
	err := r.puller.pull(r.ctx, t)
	r.keep(t.study, nil)
	x := Event{Kind: Pulled, Site: t.site, Study: t.study, Bytes: t.bytes.Load()}
	result := through
	switch {
	case err == nil && t.clashing.news:
		x.Kind, x.Reason = Clash, t.clashing.why()
	case err == nil && x.Bytes == 0:
		x.Kind = ""
	case err == nil:
	case notStored(err):
		x.Kind, x.Reason, result = Failed, err.Error(), notHere
	case errors.Is(err, errFault):
		x.Kind, x.Reason, result = Blamed, err.Error(), atFault
	default:
		x.Kind, result = "", linkLost
		r.config.Log.Debug("pull was cut", "site", t.site, "bytes", x.Bytes, "error", err)
	}
	if x.Kind != "" {
		r.config.Event(x)
	}
	if err == nil {
		x.Reason = t.clashing.why()
	}
	r.post(pulled{t.study, result, x.Reason})
}
