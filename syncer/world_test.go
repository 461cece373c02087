package syncer

import (
	"cmp"
	"container/heap"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// world is a few cores in one simulated cluster: links with delays, files with sizes, uplinks with rates. It is replayed exactly from its seed.
type world struct {
	t      testing.TB
	rand   *rand.Rand
	now    time.Time
	queue  happenings
	serial int
	sites  map[string]*place
	cut    map[[2]string]bool
	judge  func(p *place, e event, handle func() []effect) []effect // has an event handled; a test may look on
}

// place is one site of a world.
type place struct {
	w        *world
	name     string
	core     *core
	rules    Rules
	holds    map[dedup.UID]map[string]int // the files of each study, with their sizes
	sums     *index.Sums
	change   uint64
	rate     int // bytes a second that it can send
	busy     time.Time
	sent     int            // bytes that left it
	got      map[string]int // how often each file arrived
	pulling  map[dedup.UID]bool
	alarm    time.Time // when the core wants to be called
	compares int
	asks     int // about what another site has found
	blamed   int
	liar     bool // offers what it does not give
}

type happening struct {
	at     time.Time
	serial int
	do     func()
}

type happenings []happening

func (h happenings) Len() int { return len(h) }
func (h happenings) Less(i, j int) bool {
	return cmp.Or(h[i].at.Compare(h[j].at), cmp.Compare(h[i].serial, h[j].serial)) < 0
}
func (h happenings) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *happenings) Push(x any)   { *h = append(*h, x.(happening)) }
func (h *happenings) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

func newWorld(t testing.TB, seed uint64, names ...string) *world {
	w := &world{t: t, rand: rand.New(rand.NewPCG(seed, 1)), now: time.Unix(1_800_000_000, 0), sites: map[string]*place{}, cut: map[[2]string]bool{},
		judge: func(_ *place, _ event, handle func() []effect) []effect { return handle() }}
	for _, name := range names {
		p := &place{w: w, name: name, rules: DefaultRules(), holds: map[dedup.UID]map[string]int{}, sums: index.NewSums([32]byte{7}, 0), rate: 100 << 20,
			got: map[string]int{}, pulling: map[dedup.UID]bool{}}
		p.core = newCore(name, p.rules, func(s wire.StudyState) [32]byte { return p.sums.Hash(p.sum(s)) })
		w.sites[name] = p
	}
	for _, a := range names {
		for _, b := range names {
			if a != b {
				w.sites[a].core.mine = w.sites[a].summary()
				w.sites[a].handle(linkUp{b})
			}
		}
	}
	for _, a := range names {
		w.hello(a)
	}
	return w
}

// after has something done in a while, with some jitter.
func (w *world) after(d time.Duration, do func()) {
	w.serial++
	heap.Push(&w.queue, happening{w.now.Add(d + time.Duration(w.rand.Int64N(int64(d)/4+1))), w.serial, do})
}

// run lets so much time pass.
func (w *world) run(d time.Duration) {
	for end := w.now.Add(d); len(w.queue) > 0 && !w.queue[0].at.After(end); {
		h := heap.Pop(&w.queue).(happening)
		w.now = h.at
		h.do()
	}
}

func (w *world) link(a, b string) bool { return !w.cut[[2]string{min(a, b), max(a, b)}] }

// setLink cuts a link or heals it; both ends notice after a while.
func (w *world) setLink(a, b string, up bool) {
	w.cut[[2]string{min(a, b), max(a, b)}] = !up
	for _, p := range [][2]string{{a, b}, {b, a}} {
		w.after(time.Second, func() {
			if w.link(a, b) != up {
				return
			}
			if !up {
				w.sites[p[0]].handle(linkDown{p[1]})
				return
			}
			w.sites[p[0]].handle(linkUp{p[1]})
			w.after(time.Second, func() { // a control stream stands when both ends know of the link
				w.send(p[0], p[1], &wire.Hello{Summary: w.sites[p[0]].summary()})
			})
		})
	}
}

func (w *world) hello(from string) {
	for to := range w.sites {
		if to != from {
			w.send(from, to, &wire.Hello{Summary: w.sites[from].summary()})
		}
	}
}

// send delivers a message, if the link is there when it arrives.
func (w *world) send(from, to string, m wire.Message) {
	w.after(20*time.Millisecond, func() {
		p := w.sites[to]
		if !w.link(from, to) || !p.core.site(from).up {
			return
		}
		switch m := m.(type) {
		case *wire.Hello:
			p.handle(said{from, m.Summary})
		case *wire.Changed:
			p.handle(said{from, m.Summary})
			p.handle(holds{from, p.against(m.Studies), true})
		case *wire.Claim:
			p.handle(claimed{from, m.Studies})
		}
	})
}

func (p *place) sum(s wire.StudyState) index.Sum {
	return index.Sum{UID: s.UID, Leaf: s.Leaf, Flags: uint64(s.Flags)}
}

// state is what the site holds of a study.
func (p *place) state(uid dedup.UID) wire.StudyState {
	s := wire.StudyState{UID: uid, Change: p.change}
	if files := p.holds[uid]; len(files) > 0 {
		s.Leaf, s.Flags = dedup.Digest(sha256.Sum256(fmt.Append(nil, slices.Sorted(maps.Keys(files))))), wire.Complete
	}
	return s
}

func (p *place) summary() wire.Summary {
	root, n := p.sums.Root()
	return wire.Summary{Incarnation: p.name, Root: root, Count: uint64(n), Change: p.change}
}

// against puts this site's states beside those of another.
func (p *place) against(theirs []wire.StudyState) []held {
	var out []held
	for _, s := range theirs {
		out = append(out, held{s, p.state(s.UID)})
	}
	return out
}

// add puts files of a study into the site.
func (p *place) add(uid dedup.UID, files map[string]int) {
	was := p.state(uid)
	if p.holds[uid] == nil {
		p.holds[uid] = map[string]int{}
	}
	maps.Copy(p.holds[uid], files)
	p.change++
	p.enter(uid, was)
}

func (p *place) enter(uid dedup.UID, was wire.StudyState) {
	now := p.state(uid)
	a, b := p.sum(was), p.sum(now)
	before, after := &a, &b
	if nothing(was) {
		before = nil
	}
	if nothing(now) {
		after = nil
	}
	p.sums.Replace(before, after)
	p.handle(local{now, p.summary()})
}

// handle gives the core an event and does what it says.
func (p *place) handle(e event) {
	for _, fx := range p.w.judge(p, e, func() []effect { return p.core.handle(e, p.w.now) }) {
		p.perform(fx)
	}
	if at := p.core.next(p.w.now); !at.IsZero() && (p.alarm.IsZero() || at.Before(p.alarm)) {
		p.alarm = at
		p.w.after(max(at.Sub(p.w.now), time.Millisecond), func() {
			p.alarm = time.Time{}
			p.handle(tick{})
		})
	}
}

func (p *place) perform(fx effect) {
	switch fx := fx.(type) {
	case tell:
		for _, to := range fx.sites {
			p.w.send(p.name, to, fx.message)
		}
	case compare:
		if len(fx.keys) > 0 {
			p.w.after(20*time.Millisecond, func() { p.askAbout(fx) })
			return
		}
		p.compares++
		p.w.after(80*time.Millisecond, func() { p.compare(fx.site) })
	case feed:
		p.w.after(40*time.Millisecond, func() { p.feed(fx) })
	case startPull:
		p.start(fx)
	case blame:
		p.blamed++
	}
}

func (p *place) compare(site string) {
	if !p.w.link(p.name, site) {
		p.handle(compared{site: site, err: errors.New("cut")})
		return
	}
	uids := map[dedup.UID]bool{}
	for uid := range p.holds {
		uids[uid] = true
	}
	for uid := range p.w.sites[site].holds {
		uids[uid] = true
	}
	var differ []held
	var keys []wire.Key
	for _, uid := range slices.SortedFunc(maps.Keys(uids), dedup.UID.Compare) {
		if theirs, mine := p.w.sites[site].state(uid), p.state(uid); !alike(theirs, mine) {
			differ, keys = append(differ, held{theirs, mine}), append(keys, keyOf(uid))
		}
	}
	p.w.sites[site].handle(walked{p.name, keys})
	p.handle(holds{site, differ, false})
	p.handle(compared{site: site})
}

// askAbout is compare for the studies that the other site has found.
func (p *place) askAbout(fx compare) {
	p.asks++
	if !p.w.link(p.name, fx.site) {
		p.handle(compared{site: fx.site, some: true, err: errors.New("cut")})
		return
	}
	var both []held
	for _, holds := range []map[dedup.UID]map[string]int{p.holds, p.w.sites[fx.site].holds} {
		for uid := range holds {
			if slices.Contains(fx.keys, keyOf(uid)) {
				both = append(both, held{p.w.sites[fx.site].state(uid), p.state(uid)})
			}
		}
	}
	slices.SortFunc(both, func(a, b held) int { return a.theirs.UID.Compare(b.theirs.UID) })
	p.handle(holds{fx.site, both, false})
	p.handle(compared{site: fx.site, some: true})
}

// feed answers with everything: that a feed may tell more than it must is within its contract.
func (p *place) feed(fx feed) {
	if !p.w.link(p.name, fx.site) {
		p.handle(compared{site: fx.site, feed: true, err: errors.New("cut")})
		return
	}
	from := p.w.sites[fx.site]
	var states []wire.StudyState
	for uid := range from.holds {
		states = append(states, from.state(uid))
	}
	slices.SortFunc(states, func(a, b wire.StudyState) int { return a.UID.Compare(b.UID) })
	p.handle(holds{fx.site, p.against(states), false})
	p.handle(compared{site: fx.site, feed: true, next: from.change})
}

// start transfers what the source has and this site lacks, file by file, at the source's rate. What arrived before a cut stays.
func (p *place) start(fx startPull) {
	if p.pulling[fx.study] {
		p.w.t.Fatalf("%s pulls %s twice at a time", p.name, fx.study)
	}
	p.pulling[fx.study] = true
	from := p.w.sites[fx.site]
	var files []string
	for f := range from.holds[fx.study] {
		if _, has := p.holds[fx.study][f]; !has {
			files = append(files, f)
		}
	}
	slices.Sort(files)
	p.w.after(40*time.Millisecond, func() { p.next(fx, from, files, 0) })
}

func (p *place) next(fx startPull, from *place, files []string, bytes uint64) {
	over := func(e end) {
		delete(p.pulling, fx.study)
		p.handle(pulled{study: fx.study, end: e})
	}
	switch {
	case !p.w.link(p.name, from.name):
		over(linkLost)
	case len(files) == 0:
		over(through)
	case from.liar:
		over(atFault)
	default:
		size := from.holds[fx.study][files[0]]
		begin := from.busy
		if begin.Before(p.w.now) {
			begin = p.w.now
		}
		from.busy = begin.Add(time.Duration(size) * time.Second / time.Duration(from.rate))
		from.sent += size
		p.w.after(from.busy.Sub(p.w.now)+time.Millisecond, func() {
			p.got[files[0]]++
			p.handle(fetched{fx.study, bytes + uint64(size)})
			p.add(fx.study, map[string]int{files[0]: size})
			p.next(fx, from, files[1:], bytes+uint64(size))
		})
	}
}

// level reports whether all sites of the list hold the same, and no core believes otherwise.
func (w *world) level() bool {
	var first *place
	for _, name := range slices.Sorted(maps.Keys(w.sites)) {
		p := w.sites[name]
		if first == nil {
			first = p
		}
		if !p.sums.Equal(first.sums) || len(p.core.studies) > 0 || len(p.core.pulls) > 0 {
			return false
		}
	}
	return true
}

// settle runs until all is level, and no longer than so much time.
func (w *world) settle(most time.Duration) time.Duration {
	w.t.Helper()
	began := w.now
	for !w.level() {
		if w.now.Sub(began) > most {
			for _, name := range slices.Sorted(maps.Keys(w.sites)) {
				p := w.sites[name]
				w.t.Logf("%s: %d studies, %d differ, %d pulls, %d compares", name, len(p.holds), len(p.core.studies), len(p.core.pulls), p.compares)
			}
			w.t.Fatalf("not level after %v", most)
		}
		before := w.now
		w.run(100 * time.Millisecond)
		w.now = before.Add(100 * time.Millisecond)
	}
	return w.now.Sub(began)
}
