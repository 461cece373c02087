package syncer

import (
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// TestBeside holds that a study which is more urgent does not wait for one that is less urgent to end, however many of those there are, and that nothing runs without bound for it.
func TestBeside(t *testing.T) {
	sums := index.NewSums([32]byte{7}, 0)
	c := newCore("me", DefaultRules(), func(s wire.StudyState) [32]byte { return sums.Hash(sumOf(s)) })
	now := time.Unix(1_800_000_000, 0)
	started := func(e event) (n int) {
		for _, fx := range c.handle(e, now) {
			if _, is := fx.(startPull); is {
				n++
			}
		}
		return n
	}
	offer := func(site string, hint bool, from, to int) event {
		var all []held
		for n := from; n < to; n++ {
			all = append(all, held{wire.StudyState{UID: study(n), Leaf: dedup.Digest{1}}, wire.StudyState{UID: study(n)}})
		}
		return holds{site, all, hint}
	}
	waits := func(from, to int) dedup.UID { // one that is not being pulled
		for n := from; c.pulls[study(n)] != nil && n < to; n++ {
			from = n + 1
		}
		return study(from)
	}
	started(linkUp{"a"})
	for _, step := range []struct {
		what string
		e    func() event
		want int
	}{
		{"a backfill from one site", func() event { return offer("a", false, 0, 50) }, 6},
		{"new studies", func() event { return offer("a", true, 100, 150) }, 2},
		{"a study that a viewer waits for", func() event { return asked{waits(0, 50)} }, 1},
		{"another one", func() event { return asked{waits(0, 50)} }, 1},
		{"and one too many", func() event { return asked{waits(0, 50)} }, 0},
		{"a backfill from another site", func() event { started(linkUp{"b"}); return offer("b", false, 200, 250) }, 0},
		{"a new study there", func() event { return offer("b", true, 300, 301) }, 0},
	} {
		n := started(step.e())
		now = now.Add(time.Minute) // so that nobody's turn is waited for
		if n += started(tick{}); n != step.want {
			t.Errorf("%s: %d pulls are started, want %d", step.what, n, step.want)
		}
	}
	// A pull that somebody waits for now is as urgent as one that began so: it takes the place of one of those.
	c, now = newCore("me", DefaultRules(), c.hash), now.Add(time.Hour)
	started(linkUp{"a"})
	started(offer("a", false, 0, 50))
	for uid := range c.pulls {
		started(asked{uid})
	}
	if n := started(asked{waits(0, 50)}); n != 0 {
		t.Errorf("%d pulls are started beside six that are as urgent", n)
	}
}
