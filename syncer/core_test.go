package syncer

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

func study(n int) dedup.UID {
	u, err := dedup.ParseUID(fmt.Sprintf("1.2.%d", n))
	if err != nil {
		panic(err)
	}
	return u
}

// some are so many files of one size.
func some(prefix string, n, size int) map[string]int {
	files := map[string]int{}
	for i := range n {
		files[fmt.Sprintf("%s-%04d", prefix, i)] = size
	}
	return files
}

// TestEverySiteGetsEveryStudy ingests at all sites while links flap, and holds that all is level soon after peace, by itself, and that each site
// fetched each file once.
func TestEverySiteGetsEveryStudy(t *testing.T) {
	for seed := range uint64(5) {
		w := newWorld(t, seed, "a", "b", "c", "d")
		names := slices.Sorted(maps.Keys(w.sites))
		for step := range 40 {
			p := w.sites[names[w.rand.IntN(len(names))]]
			p.add(study(w.rand.IntN(8)), some(fmt.Sprintf("%d-%s", step, p.name), 1+w.rand.IntN(5), 50_000))
			if a, b := names[w.rand.IntN(4)], names[w.rand.IntN(4)]; a != b && w.rand.IntN(3) == 0 {
				w.setLink(a, b, w.rand.IntN(2) == 0)
			}
			w.run(time.Duration(w.rand.IntN(1500)) * time.Millisecond)
		}
		for i, a := range names {
			for _, b := range names[i+1:] {
				w.setLink(a, b, true)
			}
		}
		w.settle(time.Minute)
		for name, p := range w.sites {
			for file, times := range p.got {
				if times != 1 {
					t.Errorf("seed %d: %s got %s %d times", seed, name, file, times)
				}
			}
		}
		quiet(t, w)
	}
}

// quiet holds that a level cluster says and does nothing more.
func quiet(t *testing.T, w *world) {
	t.Helper()
	w.run(15 * time.Minute) // what sleeps until a retry that is not wanted any more
	before := w.serial
	w.run(time.Hour)
	if w.serial != before {
		t.Errorf("%d things happen in an hour in which nothing changes", w.serial-before)
	}
}

// TestCutAndHealed holds that two halves which both took studies in are level within seconds of the link's return.
func TestCutAndHealed(t *testing.T) {
	w := newWorld(t, 1, "a", "b")
	w.sites["a"].add(study(1), some("x", 20, 1000))
	w.settle(10 * time.Second)
	w.setLink("a", "b", false)
	w.run(time.Minute)
	w.sites["a"].add(study(2), some("y", 20, 1000))
	w.sites["b"].add(study(1), some("z", 20, 1000))
	w.run(2 * time.Minute)
	if w.level() {
		t.Fatal("level without a link")
	}
	w.setLink("a", "b", true)
	if took := w.settle(30 * time.Second); took > 5*time.Second {
		t.Errorf("level %v after the link was back", took)
	}
}

// TestThinOrigin holds that a study leaves a thin site once, however many sites want it, and that the others do not wait for nothing.
func TestThinOrigin(t *testing.T) {
	for seed := range uint64(5) {
		w := newWorld(t, seed, "a", "b", "c", "d", "e")
		w.sites["a"].rate = 1 << 20
		content := 0
		for n := range 6 {
			w.sites["a"].add(study(n), some(fmt.Sprint(n), 30, 100_000))
			content += 30 * 100_000
			w.run(2 * time.Second)
		}
		took := w.settle(5 * time.Minute)
		if sent := w.sites["a"].sent; float64(sent) > 1.1*float64(content) {
			t.Errorf("seed %d: %.2f times the content left the thin site", seed, float64(sent)/float64(content))
		}
		if ideal := time.Duration(content) * time.Second / (1 << 20); took > 2*ideal+5*time.Second {
			t.Errorf("seed %d: level after %v, where the thin site needs %v", seed, took, ideal)
		}
	}
}

// TestFirstInLineIsGone holds that a site does not wait for ever for one whose turn it is: one that is down, has no room, or claims and stalls.
func TestFirstInLineIsGone(t *testing.T) {
	for name, spoil := range map[string]func(w *world, first string){
		"down":    func(w *world, first string) { w.setLink("a", first, false) },
		"no room": func(w *world, first string) { w.sites[first].handle(room{Room{Low: true}}) },
		"stalls":  func(w *world, first string) { w.setLink("a", first, false) }, // after it has claimed
	} {
		w := newWorld(t, 3, "a", "b", "c")
		w.run(time.Second)
		w.sites["a"].rate = 100_000
		first, other := "b", "c"
		if rank("c", "a", study(1)) < rank("b", "a", study(1)) {
			first, other = "c", "b"
		}
		if name != "stalls" {
			spoil(w, first)
			w.run(3 * time.Second)
		}
		w.sites["a"].add(study(1), some("x", 10, 50_000))
		if name == "stalls" {
			w.run(700 * time.Millisecond)
			spoil(w, first)
			w.setLink(first, other, false)
		}
		w.run(40 * time.Second)
		if !alike(w.sites[other].state(study(1)), w.sites["a"].state(study(1))) {
			t.Errorf("%s: %s waits for %s", name, other, first)
		}
	}
}

// TestHub holds that sites without a link between them get each other's studies through a third one.
func TestHub(t *testing.T) {
	w := newWorld(t, 4, "a", "hub", "z")
	w.setLink("a", "z", false)
	w.run(3 * time.Second)
	w.sites["a"].add(study(1), some("x", 10, 1000))
	w.sites["z"].add(study(1), some("y", 10, 1000))
	w.settle(20 * time.Second)
}

// TestLostHints holds that sums find what nobody was told of, at a cost that is not paid again and again while it is being brought.
func TestLostHints(t *testing.T) {
	w := newWorld(t, 5, "a", "b")
	w.run(time.Second)
	a := w.sites["a"]
	for n := range 50 { // entered behind the core's back
		a.holds[study(n)] = some(fmt.Sprint(n), 10, 100_000)
		s := a.sum(a.state(study(n)))
		a.sums.Replace(nil, &s)
	}
	a.rate = 1 << 20 // so that it takes a while
	a.add(study(100), some("told", 1, 10))
	w.settle(2 * time.Minute)
	if n := w.sites["b"].compares; n > 3 {
		t.Errorf("%d comparisons for one loss", n)
	}
}

// TestLiar holds that a site which offers what it does not give is blamed and left alone for longer and longer, and that others are asked at once.
func TestLiar(t *testing.T) {
	w := newWorld(t, 6, "a", "b", "c")
	w.run(time.Second)
	w.sites["a"].liar = true
	w.sites["a"].add(study(1), some("x", 10, 1000))
	w.run(10 * time.Minute)
	c := w.sites["c"]
	if c.blamed < 2 || c.blamed > 12 {
		t.Errorf("blamed %d times in ten minutes", c.blamed)
	}
	if w.sites["b"].add(study(1), some("x", 10, 1000)); w.now.IsZero() {
		t.Fatal("no time")
	}
	w.run(3 * time.Second)
	if !alike(c.state(study(1)), w.sites["b"].state(study(1))) {
		t.Error("c does not take from b what a does not give")
	}
}

// TestUrgent holds the order of lanes: what a viewer waits for, then what is new, then what was found to differ.
func TestUrgent(t *testing.T) {
	sums := index.NewSums([32]byte{}, 0)
	c := newCore("me", Rules{Pulls: 1, FromSite: 1, Turn: time.Second, Stall: time.Second, Retry: time.Second, RetryMost: time.Minute, Uneven: time.Hour},
		func(s wire.StudyState) [32]byte {
			return sums.Hash(index.Sum{UID: s.UID, Leaf: s.Leaf, Flags: uint64(s.Flags)})
		})
	now := time.Unix(1, 0)
	c.handle(linkUp{"a"}, now)
	at := func(n int) held {
		return held{theirs: wire.StudyState{UID: study(n), Leaf: dedup.Digest{1}}, mine: wire.StudyState{UID: study(n)}}
	}
	c.handle(holds{"a", []held{at(1), at(2), at(3)}, false}, now) // 1 starts at once
	c.handle(holds{"a", []held{at(4)}, true}, now)
	c.handle(asked{study(3)}, now)
	var order []dedup.UID
	for running := study(1); len(order) < 3; {
		c.handle(local{study: wire.StudyState{UID: running, Leaf: dedup.Digest{1}}}, now)
		for _, fx := range c.handle(pulled{study: running, end: through}, now) {
			if s, ok := fx.(startPull); ok {
				running = s.study
				order = append(order, running)
			}
		}
	}
	if want := []dedup.UID{study(3), study(4), study(2)}; !slices.Equal(order, want) {
		t.Errorf("pulled in the order %v, want %v", order, want)
	}
}

// TestMovedStudy holds that a study which takes over instances of another waits for that one, and that two which wait for each other do not wait for ever.
func TestMovedStudy(t *testing.T) {
	sums := index.NewSums([32]byte{}, 0)
	hash := func(s wire.StudyState) [32]byte { return sums.Hash(index.Sum{UID: s.UID, Leaf: s.Leaf}) }
	now := time.Unix(1, 0)
	starts := func(states ...held) (started []dedup.UID) {
		c := newCore("me", DefaultRules(), hash)
		c.handle(linkUp{"a"}, now)
		for _, fx := range append(c.handle(holds{"a", states, true}, now), c.handle(tick{}, now.Add(time.Second))...) {
			if s, ok := fx.(startPull); ok {
				started = append(started, s.study)
			}
		}
		return started
	}
	at := func(n int, after dedup.UID) held {
		return held{theirs: wire.StudyState{UID: study(n), Leaf: dedup.Digest{1}, After: after}, mine: wire.StudyState{UID: study(n)}}
	}
	if got := starts(at(1, study(2)), at(2, dedup.UID{})); !slices.Equal(got, []dedup.UID{study(2)}) {
		t.Errorf("started %v, want the second alone", got)
	}
	if got := starts(at(1, study(2)), at(2, study(1))); len(got) != 2 {
		t.Errorf("of two that wait for each other %v are started", got)
	}
	if got := starts(at(1, study(9))); len(got) != 1 {
		t.Errorf("a study that waits for one which is level is not started")
	}
}

// TestNewIncarnation holds that what a site said before its index was made anew counts for nothing.
func TestNewIncarnation(t *testing.T) {
	w := newWorld(t, 8, "a", "b")
	w.run(time.Second)
	c := w.sites["b"].core
	w.sites["b"].core.low = true // so that nothing is pulled
	w.sites["a"].add(study(1), some("x", 3, 10))
	w.run(time.Second)
	if len(c.studies) != 1 {
		t.Fatalf("%d studies differ", len(c.studies))
	}
	s := w.sites["a"].summary()
	s.Incarnation = "another"
	c.handle(said{"a", s}, w.now)
	if len(c.studies) != 0 || c.sites["a"].fed != 0 || c.sites["a"].differs != [32]byte{} {
		t.Errorf("%d studies are still believed to differ", len(c.studies))
	}
}
