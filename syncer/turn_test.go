package syncer

import (
	"slices"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// TestTurn holds that a site leaves a study that the origin alone holds to the one whose turn it is: also while that one has a part of it, and in the moment between the
// end of its claim and its word that it holds the study.
func TestTurn(t *testing.T) {
	now := time.Unix(1000, 0)
	uid := study(1)
	for n := 2; rank("x", "o", uid) > rank("b", "o", uid); n++ {
		uid = study(n)
	}
	state := func(leaf byte) wire.StudyState { return wire.StudyState{UID: uid, Leaf: dedup.Digest{leaf}} }
	c := newCore("b", DefaultRules(), func(s wire.StudyState) (h [32]byte) { return s.Leaf })
	pulls := func(e event) bool {
		return slices.ContainsFunc(c.handle(e, now), func(x effect) bool { p, is := x.(startPull); return is && p.site == "o" })
	}
	for _, site := range []string{"o", "x"} {
		c.handle(linkUp{site}, now)
		c.handle(said{site, wire.Summary{Incarnation: site}}, now)
		c.handle(compared{site: site}, now)
	}
	late := func(d time.Duration) bool { now = now.Add(d); return pulls(tick{}) }
	claim := func(fetched uint64, over bool) event {
		return claimed{"x", []wire.Claimed{{UID: uid, Leaf: state(2).Leaf, Fetched: fetched, Over: over}}}
	}
	if pulls(holds{"o", []held{{theirs: state(2)}}, true}) || pulls(claim(1, false)) || late(10*time.Second) {
		t.Error("it does not wait for the one whose turn it is")
	}
	c.handle(holds{"x", []held{{theirs: state(3)}}, true}, now) // a part, which is had from it, and of which nothing more comes for a while
	if pulls(pulled{study: uid, end: through}) || pulls(claim(2, false)) || late(10*time.Second) {
		t.Error("it does not wait for one that has a part")
	}
	if pulls(claim(3, true)) || late(100*time.Millisecond) {
		t.Error("it does not wait for the word of one that has it now")
	}
	if !late(5 * time.Second) {
		t.Error("it waits for ever")
	}
}

// TestTurnLateWord holds that the origin is left alone though its word comes late, as over a thin line: after that of the first who fetched the study from it, or a part.
func TestTurnLateWord(t *testing.T) {
	now := time.Unix(1000, 0)
	uid := study(1)
	state := func(leaf byte) wire.StudyState { return wire.StudyState{UID: uid, Leaf: dedup.Digest{leaf}} }
	c := newCore("b", DefaultRules(), func(s wire.StudyState) (h [32]byte) { return s.Leaf })
	var from []string
	handle := func(e event) {
		for _, x := range c.handle(e, now) {
			if p, is := x.(startPull); is {
				from = append(from, p.site)
			}
		}
	}
	claim := func(leaf byte, over bool) event {
		return claimed{"x", []wire.Claimed{{UID: uid, Leaf: state(leaf).Leaf, Fetched: 1, Over: over}}}
	}
	for _, site := range []string{"o", "x"} {
		handle(linkUp{site})
		handle(said{site, wire.Summary{Incarnation: site}})
		handle(compared{site: site})
	}
	handle(claim(1, false))
	handle(claim(1, true))
	handle(holds{"x", []held{{theirs: state(1)}}, true}) // what there was of the study when the claim began
	handle(claim(2, false))
	handle(holds{"o", []held{{theirs: state(2)}}, true}) // and now the word of what there is
	handle(pulled{study: uid, end: through})
	if !slices.Equal(from, []string{"x"}) {
		t.Errorf("it pulls from %v", from)
	}
	handle(claim(2, true))
	handle(holds{"x", []held{{theirs: state(2)}}, true})
	if !slices.Equal(from, []string{"x", "x"}) {
		t.Errorf("it pulls from %v", from)
	}
}

// TestEndlessClaim holds that a site which says for ever that it fetches a study, and never comes to hold it, keeps others from the only one that does for an hour and no longer,
// also when it says now and then that it is over, or that it fetches something else.
func TestEndlessClaim(t *testing.T) {
	for name, says := range map[string]func(n int) wire.Claimed{
		"bytes": func(n int) wire.Claimed {
			return wire.Claimed{UID: study(1), Leaf: dedup.Digest{1}, Fetched: uint64(n + 1)}
		},
		"over": func(n int) wire.Claimed {
			return wire.Claimed{UID: study(1), Leaf: dedup.Digest{1}, Fetched: uint64(n), Over: n%7 == 6}
		},
		"new ones": func(n int) wire.Claimed {
			return wire.Claimed{UID: study(1), Leaf: dedup.Digest{byte(n), byte(n >> 8)}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			q := newQueueing()
			q.rules = DefaultRules()
			q.do(linkUp{"liar"})
			q.do(linkUp{"origin"})
			q.do(claimed{"liar", []wire.Claimed{says(0)}})
			q.offer("origin", 1, 2)
			waited := 0
			for ; waited < 2*3600 && len(q.running["origin"]) == 0; waited++ {
				q.now = q.now.Add(time.Second)
				q.do(claimed{"liar", []wire.Claimed{says(waited + 1)}})
			}
			if waited < 3000 || waited > 3700 {
				t.Errorf("a study was left to another site for %d s", waited)
			}
		})
	}
}
