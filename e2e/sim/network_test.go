package sim

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/dicomesh/dicomesh/gossip/reach"
	"github.com/dicomesh/dicomesh/syncer"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// silence is after which time without a sign a connection is given up.
const silence = 20 * time.Second

// link is between two sites.
type link struct {
	ends  [2]*site
	owed  bool // the roster asks for it: else they reach each other by way of others alone
	up    bool
	far   bool // it is not up, and they reach each other by way of another one
	id    int  // of the connection: the next one has another
	heard [2]time.Duration
	ready time.Duration // when a new connection stands, if nothing happens before; 0: none is being made
	waits [2][]wire.Message
}

func (w *world) link(a, b *site) *link {
	for _, l := range w.links {
		if l.ends == [2]*site{a, b} || l.ends == [2]*site{b, a} {
			return l
		}
	}
	return nil
}

// open reports whether what is sent straight to a site arrives.
func (w *world) open(from, to *site) bool { return !w.cut[[2]*site{from, to}] }

// both reports whether what either sends arrives.
func (w *world) both(l *link) bool {
	return w.open(l.ends[0], l.ends[1]) && w.open(l.ends[1], l.ends[0])
}

// passes reports whether what is sent on a connection arrives: straight, or by way of another site.
func (w *world) passes(l *link, from, to *site) bool {
	if !l.far {
		return l.up && w.open(from, to)
	}
	return w.middle(from, to, func(by *site) bool { return w.open(from, by) && w.open(by, to) })
}

// middle reports whether some site that runs has links with both and is of use.
func (w *world) middle(a, b *site, use func(*site) bool) bool {
	return slices.ContainsFunc(w.sites, func(by *site) bool {
		return by != a && by != b && by.awake() && w.link(a, by).up && w.link(by, b).up && use(by)
	})
}

// awake reports whether the site runs.
func (s *site) awake() bool { return s.life != nil && !s.life.paused }

// second lets a second of the links' work be done.
func (w *world) second() {
	for _, l := range w.links {
		w.keep(l)
	}
	if !w.end {
		w.after(time.Second, w.second)
	}
}

// keep gives a connection up, or makes one.
func (w *world) keep(l *link) {
	if l.up {
		for n, to := range l.ends {
			if from := l.ends[1-n]; !to.awake() || from.awake() && w.open(from, to) {
				l.heard[n] = w.now // of one that is stopped: it finds what came when it goes on
			}
			if w.now-l.heard[n] > silence {
				w.drop(l)
				return
			}
		}
		return
	}
	awake := l.ends[0].awake() && l.ends[1].awake()
	w.beyond(l, awake && w.middle(l.ends[0], l.ends[1], func(*site) bool { return true }))
	switch able := l.owed && w.both(l) && awake; {
	case !able:
		l.ready = 0
	case l.ready == 0:
		l.ready = w.now + w.between(200*time.Millisecond, 3*time.Second)
	case w.now >= l.ready:
		w.connect(l)
	}
}

func (w *world) connect(l *link) {
	l.up, l.far, l.ready, l.heard, l.waits = true, false, 0, [2]time.Duration{w.now, w.now}, [2][]wire.Message{}
	l.id++
	w.say("link %s-%s up", l.ends[0].name, l.ends[1].name)
	w.tell(l, func(p *life, other *site) { p.sync.Link(p.ctx, other.name, true) })
}

// beyond lets two sites without a link find, or lose, a way by another one.
func (w *world) beyond(l *link, able bool) {
	if l.far == able {
		return
	}
	l.far, l.waits = able, [2][]wire.Message{}
	l.id++
	w.tell(l, func(p *life, other *site) { p.sync.Beyond(p.ctx, other.name, able) })
}

// tell tells both ends what became of their connection, and lets them greet each other. An end that is stopped learns of it when it goes on.
func (w *world) tell(l *link, what func(*life, *site)) {
	for n, s := range l.ends {
		if s.life == nil {
			continue
		}
		p, other := s.life, l.ends[1-n]
		p.after(w.between(0, 50*time.Millisecond), func() {
			what(p, other)
			w.send(s, other, p.sync.Greeting())
			w.send(s, other, nil) // the roster
		})
	}
}

// drop ends a connection. Each end hears of it, one that is stopped when it goes on.
func (w *world) drop(l *link) {
	if !l.up {
		return
	}
	l.up, l.waits = false, [2][]wire.Message{}
	l.id++
	w.say("link %s-%s down", l.ends[0].name, l.ends[1].name)
	w.tell(l, func(p *life, other *site) { p.sync.Link(p.ctx, other.name, false) })
}

// send says something on a control stream, which keeps the order. nil is the roster that the sender has when it arrives.
func (w *world) send(from, to *site, m wire.Message) {
	l := w.link(from, to)
	if !l.up && !l.far {
		return
	}
	way := slices.Index(l.ends[:], to)
	l.waits[way] = append(l.waits[way], m)
	id := l.id
	var deliver func()
	deliver = func() {
		switch {
		case l.id != id:
		case !w.passes(l, from, to):
			w.after(500*time.Millisecond, deliver)
		default:
			m := l.waits[way][0]
			l.waits[way] = l.waits[way][1:]
			if to.life != nil {
				to.life.after(0, func() { to.life.hear(from, m) })
			}
		}
	}
	w.after(w.between(5*time.Millisecond, 60*time.Millisecond), deliver)
}

// packet sends what may be lost.
func (w *world) packet(from, to *site, take func(*life)) {
	if !w.passes(w.link(from, to), from, to) || to.life == nil || w.one(100) {
		return
	}
	to.life.after(w.between(5*time.Millisecond, 60*time.Millisecond), func() { take(to.life) })
}

// sendBeats tells each neighbour that this site is there, and when the last of their beats that has come was sent.
func (l *life) sendBeats() {
	for _, to := range l.world.sites {
		if to == l.site || !l.world.link(l.site, to).up {
			continue
		}
		sent, got := l.mono(), l.got[to.name]
		l.world.packet(l.site, to, func(other *life) {
			other.heard[l.name] = other.mono()
			other.got[l.name] = sent
			other.echoed[l.name] = max(other.echoed[l.name], got)
		})
	}
}

// beats are what the links tell.
func (l *life) beats() (all []reach.Beats) {
	for _, s := range l.world.sites {
		if s != l.site {
			all = append(all, reach.Beats{Site: s.name, Heard: l.heard[s.name], Echoed: l.echoed[s.name]})
		}
	}
	return all
}

// errCut is what is heard of a connection that is gone.
var errCut = errors.New("the connection is gone")

// trip waits for as long as it takes to ask a site something and to hear the answer, on a connection that stands.
func (k *worker) trip(to *site, id int) error {
	w := k.life.world
	l := w.link(k.life.site, to)
	for wait := w.between(10*time.Millisecond, 120*time.Millisecond); ; wait = 500 * time.Millisecond {
		if !k.sleep(wait) || l.id != id {
			return errCut
		}
		if w.passes(l, k.life.site, to) && w.passes(l, to, k.life.site) && to.awake() {
			return nil
		}
	}
}

// stream is one end of a conversation.
type stream struct {
	worker  *worker
	peer    *site
	link    *link
	id      int
	in, out *pipe
}

// pipe is one direction of a conversation.
type pipe struct {
	bytes  []byte
	closed bool
}

// openStream implements syncer.Opener.
func (l *life) openStream(_ context.Context, name string, use syncer.Use) (syncer.Stream, error) {
	to := l.world.site(name)
	link := l.world.link(l.site, to)
	if !link.up && !link.far {
		return nil, errCut
	}
	there, back := &pipe{}, &pipe{}
	own := &stream{l.working, to, link, link.id, back, there}
	other := to.life
	if other == nil { // nobody says so before the connection is given up
		return own, nil
	}
	other.begin(func(k *worker) {
		s := &stream{k, l.site, link, link.id, there, back}
		_ = other.sync.Serve(other.ctx, l.name, use, s) // what is wrong with a question the asker hears
		_ = s.Close()
	})
	return own, nil
}

// Read implements io.Reader. It waits as long as a stream may wait.
func (s *stream) Read(p []byte) (int, error) {
	w, waited := s.worker.life.world, time.Duration(0)
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		switch {
		case s.link.id != s.id, waited > 30*time.Second:
			return 0, errCut
		case !w.passes(s.link, s.peer, s.worker.life.site):
		case len(s.in.bytes) > 0:
			n := copy(p, s.in.bytes)
			s.in.bytes = s.in.bytes[n:]
			return n, nil
		case s.in.closed:
			return 0, io.EOF
		}
		if !s.worker.sleep(wait) {
			return 0, errCut
		}
		waited += wait
	}
}

// Write implements io.Writer.
func (s *stream) Write(p []byte) (int, error) {
	if s.link.id != s.id {
		return 0, errCut
	}
	s.out.bytes = append(s.out.bytes, p...)
	return len(p), nil
}

// Close implements io.Closer.
func (s *stream) Close() error {
	s.out.closed = true
	return nil
}

// SetDeadline implements syncer.Stream: how long a read waits is virtual time.
func (s *stream) SetDeadline(time.Time) error { return nil }
