package reach

import (
	"container/heap"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/gossip/roster"
)

// world is a few cores on a modelled network, in time that the test makes: links that carry beats as real ones do, are given up by an end that hears nothing for 20 s,
// and are made anew when both directions are open; rows that go to every site, directly or through one neighbour; loss, cuts, and machines that stop.
// With one seed it goes the same way each time.
type world struct {
	t           testing.TB
	now         time.Duration // since the world began
	rng         *rand.Rand
	loss        float64
	beat        time.Duration
	events      queue
	sites       map[string]*node
	cuts        map[[2]string]bool // from, to
	sent        int                // messages with rows
	connections int
	changed     func(site string, w Wholeness)
}

// node is a machine with a site on it.
type node struct {
	world   *world
	name    string
	roster  roster.Roster
	core    *Core // nil: it does not run
	pulse   pulse
	boot    uint64
	level   bool
	skew    time.Duration // of its wall clock
	lost    time.Duration // that its monotonic clock stood still
	paused  bool
	frozen  time.Duration // since when, if its monotonic clock stands still
	waiting []func()      // what came while it was stopped
	links   map[string]*linkEnd
	told    string
	verdict Wholeness
	life    int
}

// linkEnd is a link as one end has it.
type linkEnd struct {
	up            bool
	heard, echoed time.Duration // on the world's clock; -1: never
	sent, got     int
	at            map[int]time.Duration
	last          time.Duration // something came, or it was made
	made          int           // which connection it is: what is under way on another one does not arrive
}

const (
	idle    = 20 * time.Second
	latency = 20 * time.Millisecond
)

type event struct {
	at  time.Duration
	seq int
	f   func()
}

type queue struct {
	list []event
	seq  int
}

func (q *queue) Len() int { return len(q.list) }
func (q *queue) Less(i, j int) bool {
	a, b := q.list[i], q.list[j]
	return a.at < b.at || a.at == b.at && a.seq < b.seq
}
func (q *queue) Swap(i, j int) { q.list[i], q.list[j] = q.list[j], q.list[i] }
func (q *queue) Push(x any)    { q.list = append(q.list, x.(event)) }
func (q *queue) Pop() any {
	last := q.list[len(q.list)-1]
	q.list = q.list[:len(q.list)-1]
	return last
}

// private is the same key for the same words, each time.
func private(words ...any) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(fmt.Sprint(words...)))
	return ed25519.NewKeyFromSeed(seed[:])
}

func operator(site string) ed25519.PrivateKey { return private(site, "operator") }

// rosterOf is a roster of these sites; those whose names begin with a dash can only dial out.
func rosterOf(t testing.TB, names ...string) roster.Roster {
	t.Helper()
	var r roster.Roster
	for n, name := range names {
		s := roster.Site{Role: roster.Full, Status: roster.Active, By: "test", Addresses: []string{"10.0.0.1:7946"}}
		if s.Name = name; name[0] == '-' {
			s.Name, s.Addresses = name[1:], nil
		}
		s.Key, s.Operator = roster.KeyOf(private(s.Name)), roster.KeyOf(operator(s.Name))
		var err error
		if n == 0 {
			r, err = roster.New("test", private("root"), s)
		} else {
			r, err = r.With(s, private("root"))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// newWorld starts all sites of a roster at once.
func newWorld(t testing.TB, seed uint64, beat time.Duration, names ...string) *world {
	t.Helper()
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 1)), beat: beat, sites: map[string]*node{}, cuts: map[[2]string]bool{}, changed: func(string, Wholeness) {}}
	r := rosterOf(t, names...)
	for _, s := range r.Sites() {
		w.sites[s.Name] = &node{world: w, name: s.Name, roster: r, level: true, links: map[string]*linkEnd{}}
	}
	for _, p := range r.Links() {
		w.sites[p.A].links[p.B], w.sites[p.B].links[p.A] = freshEnd(), freshEnd()
	}
	for _, name := range w.names() {
		w.start(name, 1)
	}
	return w
}

func freshEnd() *linkEnd { return &linkEnd{heard: -1, echoed: -1, at: map[int]time.Duration{}} }

func (w *world) names() []string { return slices.Sorted(maps.Keys(w.sites)) }

func (w *world) after(d time.Duration, f func()) {
	w.events.seq++
	heap.Push(&w.events, event{w.now + d, w.events.seq, f})
}

// run lets time pass.
func (w *world) run(d time.Duration) {
	end := w.now + d
	for len(w.events.list) > 0 && w.events.list[0].at <= end {
		e := heap.Pop(&w.events).(event)
		w.now = e.at
		e.f()
	}
	w.now = end
}

// start starts a site's process.
func (w *world) start(name string, boot uint64) {
	n := w.sites[name]
	n.boot, n.told, n.paused, n.frozen, n.waiting = boot, "", false, 0, nil
	n.life++
	for _, l := range n.links {
		*l = *freshEnd()
	}
	n.pulse = pulse{clock: n.clock}
	now, _ := n.pulse.take()
	var err error
	if n.core, err = NewCore(Self{name, private(name), boot, Life{1, byte(n.life)}, w.beat}, n.roster, now.Mono); err != nil {
		w.t.Fatal(err)
	}
	phase := time.Duration(w.rng.Int64N(int64(w.beat)))
	w.every(n, phase, w.beat/2, n.tick)
	w.every(n, phase/2, w.beat, n.beats)
	w.every(n, phase/3, 300*time.Millisecond, n.tend)
}

// every does something as long as this process lives. What a stopped machine should have done, it does once when it goes on.
func (w *world) every(n *node, first, gap time.Duration, f func()) {
	life := n.life
	var again func()
	again = func() {
		if n.life != life || n.core == nil {
			return
		}
		if n.paused {
			n.waiting = append(n.waiting, again)
			return
		}
		f()
		w.after(gap, again)
	}
	w.after(first, again)
}

func (w *world) kill(name string) {
	n := w.sites[name]
	n.core = nil
	n.life++
}

// pause stops a machine; its monotonic clock stands still as well if it is a virtual one.
func (w *world) pause(name string) { w.sites[name].paused = true }

func (w *world) suspend(name string) { w.pause(name); w.sites[name].frozen = w.now }

func (w *world) resume(name string) {
	n := w.sites[name]
	if n.frozen > 0 {
		n.lost, n.frozen = n.lost+w.now-n.frozen, 0
	}
	n.paused = false
	late := n.waiting
	n.waiting = nil
	for _, f := range late {
		f()
	}
}

// clock is what the machine's clocks show.
func (n *node) clock() Moment {
	now := n.world.now
	if n.frozen > 0 {
		now = n.frozen
	}
	return Moment{begin + now - n.lost, time.Unix(1e9, 0).Add(n.world.now + n.skew)}
}

// look is what Runner does with every call.
func (n *node) look() Moment {
	now, gap := n.pulse.take()
	if gap > 0 {
		n.core.Stopped(gap, now.Mono)
	}
	return now
}

func (n *node) tick() {
	n.look()
	var beats []Beats
	for _, to := range slices.Sorted(maps.Keys(n.links)) {
		l := n.links[to]
		b := Beats{Site: to}
		for _, e := range []struct {
			at time.Duration
			to *time.Duration
		}{{l.heard, &b.Heard}, {l.echoed, &b.Echoed}} {
			if e.at >= 0 {
				*e.to = begin + e.at - n.lost
			}
		}
		beats = append(beats, b)
	}
	now := n.look()
	n.core.Tick(beats, n.level, now.Mono)
	n.judge()
	n.send(now.Mono)
	r, epoch := n.roster, n.core.expected.Epoch
	n.spread(func(other *node) {
		if other.core.expected.Epoch != epoch {
			other.setRoster(r)
		}
	})
}

func (n *node) judge() {
	n.verdict = n.core.Judge(n.look())
	if gist := n.verdict.gist(); gist != n.told {
		n.told = gist
		n.world.changed(n.name, n.verdict)
	}
}

func (n *node) merge(message []byte) {
	_ = n.core.Take(message, n.look().Mono) // rows of a site that others have removed, or do not know yet, are refused
	n.send(n.look().Mono)
}

func (n *node) send(now time.Duration) {
	for _, m := range n.core.Out(now) {
		n.world.sent++
		n.sendTo(m.To, func(other *node) { other.merge(m.Row) })
	}
}

func (n *node) setRoster(r roster.Roster) {
	merged, err := roster.Merge(n.roster, r)
	if err != nil {
		n.world.t.Fatal(err)
	}
	if merged.Epoch() != n.roster.Epoch() {
		n.roster = merged
		n.core.SetRoster(merged, n.look().Mono)
		n.judge()
	}
}

// deliver brings something from one machine to another, or not.
func (w *world) deliver(from, to string, f func(*node)) {
	if w.cuts[[2]string{from, to}] || w.rng.Float64() < w.loss || w.sites[from].core == nil {
		return
	}
	n := w.sites[to]
	w.after(latency+time.Duration(w.rng.Int64N(int64(latency))), func() {
		life := n.life
		arrive := func() {
			if n.core != nil && n.life == life {
				f(n)
			}
		}
		switch {
		case n.paused && len(n.waiting) < 200: // the socket's buffer
			n.waiting = append(n.waiting, arrive)
		case !n.paused:
			arrive()
		}
	})
}

// spread sends to every site of the roster.
func (n *node) spread(f func(*node)) {
	for _, s := range n.core.expected.Sites {
		n.sendTo(s.Name, f)
	}
}

// sendTo sends over the link that this end believes in, else through a neighbour.
func (n *node) sendTo(to string, f func(*node)) {
	w := n.world
	if to == n.name || w.sites[to] == nil {
		return
	}
	if l := n.links[to]; l != nil && l.up {
		w.deliver(n.name, to, f)
		return
	}
	for _, by := range slices.Sorted(maps.Keys(n.links)) {
		if via := w.sites[by]; n.links[by].up && via.links[to] != nil && via.links[to].up {
			w.deliver(n.name, by, func(via *node) { w.deliver(via.name, to, f) })
			return
		}
	}
}

// beats sends one to each neighbour.
func (n *node) beats() {
	w := n.world
	for _, to := range slices.Sorted(maps.Keys(n.links)) {
		l := n.links[to]
		if !l.up {
			continue
		}
		l.sent++
		number, got := l.sent, l.got
		l.at[number] = w.now
		delete(l.at, number-16)
		from, made := n.name, l.made
		w.deliver(n.name, to, func(other *node) {
			o := other.links[from]
			if !o.up || o.made != made {
				return
			}
			o.heard, o.last, o.got = w.now, w.now, max(o.got, number)
			if at, is := o.at[got]; is {
				o.echoed = max(o.echoed, at)
			}
		})
	}
}

// tend gives up links on which nothing comes, and makes those anew whose directions are both open and whose ends both run.
func (n *node) tend() {
	w := n.world
	for to, l := range n.links {
		other := w.sites[to]
		far := other.links[n.name]
		open := !w.cuts[[2]string{n.name, to}] && !w.cuts[[2]string{to, n.name}] && other.core != nil && !other.paused
		switch {
		case l.up && w.now-l.last > idle:
			l.up = false
		case open && (!l.up || !far.up):
			w.connections++
			for _, end := range []*linkEnd{l, far} {
				end.up, end.last, end.sent, end.got, end.at, end.made = true, w.now, 0, 0, map[int]time.Duration{}, w.connections
			}
		}
	}
}

// cut and heal change one direction.
func (w *world) cut(from, to string)  { w.cuts[[2]string{from, to}] = true }
func (w *world) heal(from, to string) { delete(w.cuts, [2]string{from, to}) }

// change changes the roster at one site, by its operator.
func (w *world) change(at string, f func(roster.Roster, ed25519.PrivateKey) (roster.Roster, error)) {
	n := w.sites[at]
	r, err := f(n.roster, operator(at))
	if err != nil {
		w.t.Fatal(err)
	}
	n.setRoster(r)
}
