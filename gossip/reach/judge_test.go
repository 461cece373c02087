package reach

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dicomesh/dicomesh/e2e/raced"
	"github.com/dicomesh/dicomesh/gossip/roster"
)

// held draws a row of a site, as it lies at another one; few values, so that rows meet.
func held(t *rapid.T, site string) Held {
	row := Row{Site: site, Mark: Mark{rapid.Uint64Range(1, 2).Draw(t, "boot"), rapid.Uint64Range(1, 3).Draw(t, "seq")}, Beat: LAN,
		Level: rapid.Bool().Draw(t, "level")}
	return Cluster{Name: "test"}.sign(row, private(site), time.Duration(rapid.IntRange(1, 3).Draw(t, "born"))*time.Second)
}

func rowsOf(t *rapid.T, label string) Rows {
	rows := Rows{}
	for _, site := range []string{"a", "b", "c"} {
		if rapid.Bool().Draw(t, label+site) {
			rows[site] = held(t, site)
		}
	}
	return rows
}

// TestMerge: rows merge to the same, whatever the order, the grouping and how often.
func TestMerge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := rowsOf(t, "a"), rowsOf(t, "b"), rowsOf(t, "c")
		for what, pair := range map[string][2]Rows{
			"commutative": {Merge(a, b), Merge(b, a)},
			"associative": {Merge(Merge(a, b), c), Merge(a, Merge(b, c))},
			"idempotent":  {Merge(Merge(a, b), b), Merge(a, b)},
			"nothing":     {Merge(a, nil), Merge(nil, a)},
		} {
			if !maps.EqualFunc(pair[0], pair[1], func(x, y Held) bool { return x.compare(y) == 0 && x.born == y.born }) {
				t.Fatalf("not %s: %v, %v", what, pair[0], pair[1])
			}
		}
		for site, h := range Merge(a, b) {
			if a[site].Mark.compare(h.Mark) > 0 || b[site].Mark.compare(h.Mark) > 0 {
				t.Fatalf("a later row of %s is lost", site)
			}
		}
	})
}

// anyView draws what a site may know, most of it well, some of it not.
func anyView(t *rapid.T, expected Expected, now Moment) View {
	v := View{Site: "a", Expected: expected, Rows: Rows{}, Since: Seen{Life{1}, 5},
		Made: []Made{{4, now.Mono - 60*LAN}, {5, now.Mono - 30*LAN}, {6, now.Mono - 14*LAN - 1}, {7, now.Mono - 14*LAN}, {8, now.Mono - 2*LAN}, {9, now.Mono}}}
	mostly := func(label string) bool { return rapid.IntRange(0, 19).Draw(t, label) > 0 }
	seconds := func(limit int, label string) time.Duration {
		if mostly(label) {
			return time.Duration(rapid.IntRange(0, limit*1000).Draw(t, label+" ms")) * time.Millisecond
		}
		return time.Duration(rapid.IntRange(0, 40000).Draw(t, label+" bad ms")) * time.Millisecond
	}
	dead := map[string]bool{}
	for _, p := range expected.Links {
		dead[p.A+p.B] = rapid.IntRange(0, 4).Draw(t, "dead") == 0
	}
	for _, s := range expected.Sites {
		if !mostly("row of " + s.Name) {
			continue
		}
		row := Row{Site: s.Name, Mark: Mark{1, 9}, Beat: LAN, Level: mostly("level"), Epoch: expected.Epoch}
		if !mostly("epoch") {
			row.Epoch[0]++
		}
		for _, o := range expected.Sites {
			if o.Name == s.Name {
				continue
			}
			said := Said{Site: o.Name, In: Way{mostly("in"), true, seconds(8, "in")}, Out: Way{mostly("out"), true, seconds(8, "out")}}
			if dead[s.Name+o.Name] { // from the first to the second
				said.Out.Up = false
			} else if dead[o.Name+s.Name] {
				said.In.Up = false
			}
			if said.Seen = (Seen{Life{1}, rapid.Uint64Range(7, 9).Draw(t, "seen")}); !mostly("seen") {
				said.Seen.Seq = rapid.SampledFrom([]uint64{3, 4, 5, 6, 10}).Draw(t, "seen of old, or never made")
			}
			row.Links = append(row.Links, said)
		}
		v.Rows[s.Name] = Held{Row: row, born: now.Mono - seconds(6, "age")}
		if s.Name == v.Site {
			v.Rows[s.Name] = Held{Row: row, born: now.Mono}
		}
	}
	return v
}

// TestWholeMeansIt holds each judgement to the words of the definition, written down a second time. Views are drawn at random, most of them nearly well.
func TestWholeMeansIt(t *testing.T) {
	now := Moment{time.Hour, time.Unix(1e9, 0)}
	rosters := []Expected{Expect(rosterOf(t, "a")), Expect(rosterOf(t, "a", "b", "c")), Expect(rosterOf(t, "a", "-b", "-c")), Expect(down(t, rosterOf(t, "a", "b", "c"), now.Wall))}
	seen := map[State]int{}
	rapid.Check(t, func(t *rapid.T) {
		for range 20 {
			v := anyView(t, rapid.SampledFrom(rosters).Draw(t, "roster"), now)
			w := v.Judge(now)
			seen[w.State]++
			if want := defined(v, now); w.State != want {
				t.Fatalf("%s (%s), and by definition it is %s", w.State, w.Reason, want)
			}
			if w.State != Whole && (w.Reason == "" || w.Cause == "") {
				t.Fatalf("%s without a reason", w.State)
			}
		}
	})
	for _, s := range []State{Whole, Partial, Split} {
		if seen[s] == 0 {
			t.Errorf("never %s", s)
		}
	}
	t.Log(seen)
}

func down(t testing.TB, r roster.Roster, now time.Time) roster.Roster {
	t.Helper()
	r, err := r.AckDown(roster.Down{Site: "c", Until: now.Add(time.Hour), By: "a", Now: now}, operator("a"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// defined is the definition: whole iff same epoch everywhere, every expected link between sites that count fresh in both directions, and together they connect
// them; partial iff links connect them and all rows are fresh.
func defined(v View, now Moment) State {
	var count []string
	for _, s := range v.Expected.Sites {
		if s.Status == roster.Active || !now.Wall.Before(s.Until) {
			count = append(count, s.Name)
		}
	}
	fresh := func(site string) bool {
		h, is := v.Rows[site]
		if site == v.Site {
			return is
		}
		seen := h.of(v.Site).Seen
		return is && now.Mono-h.born <= 6*LAN && seen.Life == v.Since.Life && seen.Seq >= 7 && seen.Seq <= 9 // those that were made in the last 14 beats
	}
	works := func(from, to string) bool {
		in, out := v.Rows[to].of(from).In, v.Rows[from].of(to).Out
		return fresh(to) && in.Up && in.Age <= 8*LAN || fresh(from) && out.Up && out.Age <= 8*LAN
	}
	all, reached := true, []string{}
	if len(count) > 0 {
		reached = append(reached, count[0])
	}
	for range count {
		for _, p := range v.Expected.Links {
			a, b := slices.Contains(reached, p.A), slices.Contains(reached, p.B)
			if slices.Contains(count, p.A) && slices.Contains(count, p.B) {
				up := works(p.A, p.B) && works(p.B, p.A)
				all = all && up
				if up && a != b {
					reached = append(reached, p.A, p.B)
				}
			}
		}
	}
	for _, s := range count {
		if !fresh(s) || s != v.Site && v.Rows[s].Epoch != v.Expected.Epoch || !slices.Contains(reached, s) {
			return Split
		}
	}
	switch {
	case !slices.Contains(count, v.Site):
		return Split
	case all:
		return Whole
	}
	return Partial
}

// TestMeterAtLoss: with one packet in ten lost each way, a link that is measured a million times, some eleven days of LAN beats, is never down in either direction.
func TestMeterAtLoss(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 10))
	const beat = LAN
	var near, far ways // at both ends
	var nearHeard, farHeard, nearEchoed, farEchoed, nearGot, farGot time.Duration
	arrives := func() bool { return rng.IntN(10) > 0 }
	ups := 0
	for n := 1; n <= 1_000_000; n++ {
		now := time.Duration(n) * beat
		if arrives() { // near -> far
			farHeard, farGot, farEchoed = now, now, max(farEchoed, nearGot)
		}
		if arrives() { // far -> near
			nearHeard, nearGot, nearEchoed = now, now, max(nearEchoed, farGot)
		}
		near = near.next(Beats{Heard: nearHeard, Echoed: nearEchoed}, 0, now, beat)
		far = far.next(Beats{Heard: farHeard, Echoed: farEchoed}, 0, now, beat)
		up := (near.in.up || far.out.up) && (far.in.up || near.out.up)
		if up {
			ups++
		}
		if n > 20 && !up {
			t.Fatalf("down at beat %d: %+v %+v", n, near, far)
		}
	}
	t.Logf("up at %d of 1000000 beats", ups)
}

// TestHonest is I7, seeded: in worlds where links are cut, in one direction or both, machines stop, die, come back with old numbers, and packets are lost, no site says
// whole when an expected link, or a site, has been dead for Detect; and all say whole soon after everything works.
func TestHonest(t *testing.T) {
	sometimes := map[string]int{}
	for seed := range uint64(raced.Pick(t, 9, 3)) { // nothing here runs beside anything else
		names := [][]string{{"a", "b", "c"}, {"a", "b", "-c", "-d"}, {"a", "b"}}[seed%3]
		w := newWorld(t, seed, []time.Duration{LAN, WAN}[seed%2], names...)
		w.loss = []float64{0, 0.1}[seed/2%2]
		o := &observer{t: t, seed: seed, world: w, dead: map[string]time.Duration{}, sometimes: sometimes}
		for range 20 {
			o.disturb()
			o.watch(time.Duration(w.rng.IntN(20)) * w.beat)
		}
		o.mend()
		o.watch(45 * w.beat)
		for _, name := range w.names() {
			if got := w.sites[name].verdict; got.State != Whole {
				t.Errorf("seed %d: %s at the end: %s: %s", seed, name, got.State, got.Reason)
			}
		}
		if t.Failed() {
			return
		}
	}
	t.Log(sometimes)
	for _, what := range []string{"cut", "one way", "kill", "restore", "pause", "suspend", "clock", "whole", "partial", "split", "limit"} {
		if sometimes[what] == 0 && !raced.On(t) {
			t.Errorf("never: %s", what)
		}
	}
}

// observer stands outside of a world.
type observer struct {
	t         *testing.T
	seed      uint64
	world     *world
	dead      map[string]time.Duration // what does not work, since when: "a>b", or "a"
	sometimes map[string]int
}

// disturb does something.
func (o *observer) disturb() {
	w := o.world
	pick := func() string { return w.names()[w.rng.IntN(len(w.sites))] }
	a, b := pick(), pick()
	n := w.sites[a]
	did := ""
	switch k := w.rng.IntN(10); {
	case k < 2 && a != b:
		w.cut(a, b)
		w.cut(b, a)
		did = "cut"
	case k == 2 && a != b:
		w.cut(a, b)
		did = "one way"
	case k < 5:
		w.heal(a, b)
		w.heal(b, a)
	case k == 5 && n.core != nil && !n.paused:
		w.kill(a)
		did = "kill"
	case k == 6 && n.core == nil:
		did = "restore"
		w.start(a, 1+w.rng.Uint64N(n.boot+1)) // a number that was used before, or not
	case k == 7 && n.core != nil && !n.paused:
		w.pause(a)
		if did = "pause"; w.rng.IntN(2) > 0 {
			n.frozen = w.now
			did = "suspend"
		}
	case k == 8 && n.paused:
		w.resume(a)
	case k == 9 && !n.paused:
		n.skew += time.Duration(w.rng.IntN(7200)-3600) * time.Second
		did = "clock"
	}
	o.sometimes[did]++
}

// mend makes all work.
func (o *observer) mend() {
	w := o.world
	w.cuts, w.loss = map[[2]string]bool{}, 0
	for _, name := range w.names() {
		switch n := w.sites[name]; {
		case n.paused:
			w.resume(name)
		case n.core == nil:
			w.start(name, n.boot+1)
		}
	}
}

// watch lets time pass and looks at what is said each half second.
func (o *observer) watch(d time.Duration) {
	w := o.world
	for end := w.now + d; w.now < end; w.run(500 * time.Millisecond) {
		broken := map[string]bool{}
		for _, s := range w.names() {
			n := w.sites[s]
			broken[s] = n.core == nil || n.paused
			for to := range n.links {
				broken[s+">"+to] = w.cuts[[2]string{s, to}]
			}
		}
		for what, is := range broken {
			if _, was := o.dead[what]; is && !was {
				o.dead[what] = w.now
			} else if !is {
				delete(o.dead, what)
			}
		}
		o.judge()
	}
}

func (o *observer) judge() {
	w := o.world
	long := ""
	for what, since := range o.dead {
		if w.now-since > Detect(w.beat)+time.Second { // and the time that rows take
			long = fmt.Sprintf("%s is dead for %v", what, w.now-since)
		}
	}
	for _, s := range w.names() {
		n := w.sites[s]
		if n.core == nil || n.paused {
			continue
		}
		state := n.core.Judge(n.look()).State
		o.sometimes[string(state)]++
		if long != "" {
			o.sometimes["limit"]++
			if state == Whole {
				o.t.Fatalf("seed %d: at %v, %s says whole, but %s", o.seed, w.now, s, long)
			}
		}
	}
}
