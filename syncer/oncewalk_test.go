package syncer

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// TestOneWalks holds that of two sites that find each other to differ, each in studies of its own and in versions of the same, one walks the trees, and the other one asks about what was found, and
// that both know all of it by that.
func TestOneWalks(t *testing.T) {
	w := newWorld(t, 1, "a", "b")
	a, b := w.sites["a"], w.sites["b"]
	w.setLink("a", "b", false)
	w.run(10 * time.Second)
	for n := range 20 {
		a.add(study(n), map[string]int{fmt.Sprint("a", n): 1000})
		b.add(study(n+10), map[string]int{fmt.Sprint("b", n): 1000})
	}
	a.compares, b.compares = 0, 0
	a.core.sites["b"].fed, b.core.sites["a"].fed = 0, 0 // as after a start
	w.setLink("a", "b", true)
	w.settle(time.Minute)
	if a.compares != 1 || b.compares != 0 || a.asks != 0 || b.asks != 1 {
		t.Errorf("%d and %d walks, %d and %d questions about what the other one had found", a.compares, b.compares, a.asks, b.asks)
	}
}

// TestOtherWalks holds that a site that lets the other one walk does so itself when that one does not, or has not found all.
func TestOtherWalks(t *testing.T) {
	for name, keys := range map[string][]wire.Key{"it does not": nil, "it has not found all": {keyOf(study(1))}} {
		t.Run(name, func(t *testing.T) {
			c, now := uneven(t)
			var walks []time.Duration
			e := event(walked{"a", keys})
			for at := now; at.Before(now.Add(20 * time.Second)); at = at.Add(10 * time.Millisecond) {
				effects := c.handle(e, at)
				e = tick{}
				for _, fx := range effects {
					x, is := fx.(compare)
					switch {
					case is && len(x.keys) > 0:
						c.handle(compared{site: "a", some: true}, at)
					case is:
						walks = append(walks, at.Sub(now))
						c.handle(compared{site: "a", err: errors.New("cut")}, at)
					}
				}
			}
			if len(walks) == 0 || walks[0] < c.rules.Uneven/2 || walks[0] > 2*c.rules.Uneven {
				t.Errorf("its own walks: %v", walks)
			}
		})
	}
}

// TestEndlessWalk holds that a site which goes on asking for parts of the tree, and never comes to an end, does not keep another one from walking itself.
func TestEndlessWalk(t *testing.T) {
	c, now := uneven(t)
	for at := now; at.Before(now.Add(20 * c.rules.Uneven)); at = at.Add(100 * time.Millisecond) {
		for _, fx := range c.handle(walked{site: "a"}, at) {
			if _, is := fx.(compare); is {
				t.Logf("it walks after %v", at.Sub(now))
				return
			}
		}
	}
	t.Error("it never walks")
}

// TestNamedBounded holds that a site cannot make another one remember, or ask about, more studies than a feed would tell of.
func TestNamedBounded(t *testing.T) {
	c, now := uneven(t)
	c.sites["a"].asking = true
	for n := range 100 {
		keys := make([]wire.Key, 1000)
		for k := range keys {
			keys[k] = keyOf(study(1000*n + k))
		}
		c.handle(walked{"a", keys}, now)
		if had := len(c.sites["a"].named); uint64(had) > c.rules.FeedMost {
			t.Fatalf("%d keys are remembered", had)
		}
	}
}

// uneven is the core of x, and the other site, a, has said that it holds 7 studies of which nothing is known.
func uneven(t *testing.T) (*core, time.Time) {
	t.Helper()
	sums := index.NewSums([32]byte{7}, 0)
	c := newCore("x", DefaultRules(), func(s wire.StudyState) [32]byte { return sums.Hash(sumOf(s)) })
	now := time.Unix(1_800_000_000, 0)
	c.handle(linkUp{"a"}, now)
	for _, fx := range c.handle(said{"a", wire.Summary{Incarnation: "i", Root: [32]byte{9}, Count: 7, Change: 9}}, now) {
		if _, is := fx.(compare); is {
			t.Fatal("it walks at once, though the name of the other site comes first")
		}
	}
	return c, now
}

// TestAskAbout holds that both sites find the same by one walk: what the one that walked has alone, what the other one has alone, and what both have otherwise.
func TestAskAbout(t *testing.T) {
	mine, x := libraryOf(t, t.TempDir())
	theirs, y := libraryOf(t, t.TempDir())
	enter(t, x, 0, 300, 1)
	enter(t, y, 0, 290, 1)
	enter(t, y, 20, 25, 2)
	enter(t, y, 300, 307, 1)
	for _, l := range []*Library{mine, theirs} {
		if _, err := l.Recount(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var keys []wire.Key
	var found []held
	asking(t, theirs, func(k *talk) (err error) { found, _, err = compareWith(t.Context(), mine, k, 1000); return err }, func(k []wire.Key) { keys = append(keys, k...) })
	var back []held
	asking(t, mine, func(k *talk) (err error) { back, err = askAbout(t.Context(), theirs, k, keys); return err })
	if len(found) != 10+5+7 || len(keys) != len(found) || len(back) != len(found) {
		t.Fatalf("%d found, %d named, %d learned by the other site", len(found), len(keys), len(back))
	}
	were := map[dedup.UID]held{}
	for _, h := range found {
		were[uidOf(h)] = h
	}
	for _, h := range back {
		if was := were[uidOf(h)]; !alike(h.mine, was.theirs) || !alike(h.theirs, was.mine) {
			t.Errorf("%v: one site has %+v, the other %+v", uidOf(h), was, h)
		}
	}
}

// uidOf is the study that is held.
func uidOf(h held) dedup.UID {
	if h.mine.UID != (dedup.UID{}) {
		return h.mine.UID
	}
	return h.theirs.UID
}
