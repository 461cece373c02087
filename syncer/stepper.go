package syncer

import (
	"context"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// Stepper drives a Syncer by hand where nothing may depend on chance: in a simulation that has to be replayed exactly. The caller keeps the time, calls Step whenever something
// happened, and performs the orders. What is pulled, from whom and when is decided as under Run, and sets are compared as there; how a pull is
// performed is the caller's. Of the Config it needs Self, Open for queries, and Catalog. Link, Local, Room, Ask and Report are those of the Syncer.
type Stepper struct {
	*Syncer
	runner *runner
}

// Order is something that a Stepper wants done: one of its fields is set, but for To.
type Order struct {
	To   []string // who is to be told Tell: nothing says whether it arrives
	Tell wire.Message
	Talk func() // to be called beside other steps: it has a conversation with a site on a stream
	Pull *Pull  // to be answered with Pulled
}

// Pull is a study that is to be pulled from a site.
type Pull struct {
	Study dedup.UID
	Site  string
}

// NewStepper makes one that works until ctx ends. It is for one goroutine at a time, but that Talk may be under way between steps.
func NewStepper(ctx context.Context, c Config) *Stepper {
	c.Log = nil
	c = c.filled()
	s := &Syncer{config: c, answers: &answers{catalog: c.Catalog, archive: c.Archive}, events: make(chan event, 1024), pulls: map[dedup.UID]*transfer{}}
	s.core = newCore(c.Self, c.Rules, func(x wire.StudyState) [32]byte { return c.Catalog.Sums().Hash(sumOf(x)) })
	s.core.mine = c.Catalog.Summary()
	return &Stepper{Syncer: s, runner: &runner{Syncer: s, ctx: ctx, lines: map[string]*line{}}}
}

// Greeting is the first message on every control stream.
func (s *Stepper) Greeting() wire.Message {
	return &wire.Hello{Minor: wire.Minor, Generator: s.config.Generator, Summary: s.config.Catalog.Summary()}
}

// Hear takes a message that came from a site on its control stream.
func (s *Stepper) Hear(site string, m wire.Message) error { return s.heard(s.runner.ctx, site, m) }

// Pulled is the end of a pull. What this site holds now was told before by Local. The error says why not all came: one of durable.ErrNotStored, or the link.
func (s *Stepper) Pulled(study dedup.UID, err error) {
	result, why := through, ""
	switch {
	case err == nil:
	case notStored(err):
		result, why = notHere, err.Error()
	default:
		result = linkLost
	}
	s.runner.post(pulled{study, result, why})
}

// Step takes in all that happened, and says what is to be done, and when it wants to be called though nothing happens: zero if never.
func (s *Stepper) Step(now time.Time) (orders []Order, next time.Time) {
	for first := true; first || len(s.events) > 0; first = false {
		var e event = tick{}
		if len(s.events) > 0 {
			e = <-s.events
		}
		if l, is := e.(local); is {
			l.summary = s.config.Catalog.Summary()
			e = l
		}
		effects, at := s.runner.handle(e, now)
		for _, fx := range effects {
			if o, is := s.order(fx); is {
				orders = append(orders, o)
			}
		}
		next = at
		s.runner.pass(e)
	}
	return orders, next
}

func (s *Stepper) order(fx effect) (Order, bool) {
	switch fx := fx.(type) {
	case tell:
		return Order{To: fx.sites, Tell: fx.message}, true
	case compare:
		return Order{Talk: func() { s.runner.compare(fx) }}, true
	case feed:
		return Order{Talk: func() { s.runner.feed(fx) }}, true
	case startPull:
		return Order{Pull: &Pull{fx.study, fx.site}}, true
	case revised, standing:
		s.runner.perform(fx)
	}
	return Order{}, false
}
