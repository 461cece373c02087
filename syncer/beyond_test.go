package syncer

import (
	"errors"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// lone is a core that knows one other site, which holds a study that is not here.
func lone(t *testing.T, up event) (*core, *Syncer, time.Time) {
	t.Helper()
	sums := index.NewSums([32]byte{7}, 0)
	c := newCore("x", DefaultRules(), func(s wire.StudyState) [32]byte { return sums.Hash(sumOf(s)) })
	now := time.Unix(1_800_000_000, 0)
	c.handle(up, now)
	theirs := wire.StudyState{UID: study(1), Leaf: dedup.Digest{1}, Flags: wire.Complete, Change: 1}
	c.handle(said{"a", wire.Summary{Incarnation: "i", Root: c.hash(theirs), Count: 1, Change: 1}}, now)
	c.handle(holds{"a", []held{{theirs, wire.StudyState{UID: study(1)}}}, true}, now)
	return c, &Syncer{core: c, config: Config{Catalog: &crowdOf{sums: sums}}}, now
}

// TestOffersUntilThrough holds that a site offers what it holds for as long as no pull has brought it: one that was cut, or found no room, says nothing.
func TestOffersUntilThrough(t *testing.T) {
	for end, want := range map[end]bool{through: false, linkLost: true, notHere: true, atFault: true} {
		c, s, now := lone(t, linkUp{"a"})
		c.handle(tick{}, now.Add(20*time.Second)) // whoever's turn it is: nobody else is there
		if len(c.pulls) != 1 {
			t.Fatal("nothing is pulled")
		}
		if r, known := s.Report("a", wire.StudyState{UID: study(1)}); !known || !r.Offers {
			t.Error("a site offers nothing while a pull from it runs")
		}
		c.handle(pulled{study: study(1), end: end}, now.Add(21*time.Second))
		if r, known := s.Report("a", wire.StudyState{UID: study(1)}); !known || r.Offers != want {
			t.Errorf("after a pull that ended as %d the site offers: %v", end, r.Offers)
		}
	}
}

// TestComparisonThatFails holds that a comparison that comes to no end is not begun again at once: who answers nonsense would be asked without a pause.
func TestComparisonThatFails(t *testing.T) {
	c, _, now := lone(t, linkUp{"a"})
	asks := func(effects []effect) (n int) {
		for _, fx := range effects {
			switch fx.(type) {
			case compare, feed:
				n++
			}
		}
		return n
	}
	odd := wire.Summary{Incarnation: "i", Root: [32]byte{9}, Count: 7, Change: 9}
	c.handle(said{"a", odd}, now)
	asked, open := 0, true // the first began when the site was first heard
	for at := now; at.Before(now.Add(30 * time.Second)); at = at.Add(10 * time.Millisecond) {
		e := event(tick{})
		if open {
			e = compared{site: "a", err: errors.New("nonsense")}
		}
		n := asks(c.handle(e, at))
		asked, open = asked+n, n > 0
	}
	if asked < 2 || asked > 11 {
		t.Errorf("%d comparisons in 30 s with a site that answers nonsense", asked)
	}
}

// TestBeyond holds that a site that is reached by way of another one is compared with and reported, and taken for a source only to find that it has nothing to give.
func TestBeyond(t *testing.T) {
	c, s, now := lone(t, beyond{"a", true})
	c.handle(linkUp{"hub"}, now)
	c.handle(said{"hub", wire.Summary{Incarnation: "h"}}, now)
	if r, known := s.Report("a", wire.StudyState{UID: study(1)}); !known || !r.Offers {
		t.Errorf("a site beyond the hub: reported %v, offers %v", known, r.Offers)
	}
	theirs := c.studies[study(1)].theirs["a"]
	c.handle(pulled{study: study(1), end: linkLost}, now)
	c.handle(holds{"hub", []held{{theirs, wire.StudyState{UID: study(1)}}}, true}, now.Add(time.Second))
	if p := c.pulls[study(1)]; p == nil || p.pull.from != "hub" {
		t.Error("what the hub holds is not pulled from there")
	}
	c.handle(beyond{"hub", false}, now)
	c.handle(linkUp{"a"}, now)
	c.handle(beyond{"a", false}, now)
	if !c.sites["hub"].up || !c.sites["a"].up || c.sites["a"].far {
		t.Error("what is said of sites beyond counts for one with a link")
	}
}
