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
