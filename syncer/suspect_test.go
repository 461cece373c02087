package syncer

import (
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// TestSuspect holds that a site whose pulls go wrong, of whatever study, is asked after all others and for one study at a time, until one has come through.
func TestSuspect(t *testing.T) {
	sums := index.NewSums([32]byte{7}, 0)
	c := newCore("me", DefaultRules(), func(s wire.StudyState) [32]byte { return sums.Hash(sumOf(s)) })
	now := time.Unix(1_800_000_000, 0)
	running := map[string][]dedup.UID{}
	most := map[string]int{}
	handle := func(e event) {
		for _, fx := range c.handle(e, now) {
			if s, is := fx.(startPull); is {
				running[s.site] = append(running[s.site], s.study)
				most[s.site] = max(most[s.site], len(running[s.site]))
			}
		}
	}
	state := func(n int, leaf byte) wire.StudyState {
		return wire.StudyState{UID: study(n), Leaf: dedup.Digest{leaf}, Flags: wire.Complete}
	}
	offer := func(site string, from, to int) {
		var all []held
		for n := from; n < to; n++ {
			all = append(all, held{state(n, 1), wire.StudyState{UID: study(n)}})
		}
		handle(holds{site, all, true})
	}
	end := func(site string, e end) {
		uid := running[site][0]
		running[site] = running[site][1:]
		if e == through {
			mine := state(0, 1)
			mine.UID = uid
			handle(local{study: mine})
		}
		handle(pulled{study: uid, end: e})
	}
	handle(linkUp{"liar"})
	offer("liar", 0, 20)
	for len(running["liar"]) > 1 {
		end("liar", atFault)
	}
	end("liar", atFault)
	most["liar"] = 0
	for range 60 { // nobody else has them: it is asked again, for one at a time
		now = now.Add(time.Second)
		handle(tick{})
		if len(running["liar"]) > 0 {
			end("liar", atFault)
		}
	}
	if most["liar"] != 1 {
		t.Errorf("%d studies at a time are pulled from a site at fault", most["liar"])
	}
	handle(linkUp{"honest"})
	offer("honest", 0, 20)
	offer("honest", 20, 40)
	offer("liar", 20, 40) // of these nothing is known of it yet, and it is not their origin, who is the last choice
	liars := 0
	for n := 0; n < 200 && len(c.studies) > 0; n++ {
		now = now.Add(10 * time.Millisecond)
		handle(tick{})
		switch {
		case len(running["honest"]) > 0:
			end("honest", through)
		case len(running["liar"]) > 0:
			liars++
			end("liar", atFault)
		}
	}
	if liars+len(running["liar"]) > 1 || len(c.studies) > 1 {
		t.Errorf("%d pulls from the liar while another has it all, %d studies are not here", liars, len(c.studies))
	}
	handle(linkDown{"honest"})
	for len(running["liar"]) > 0 {
		end("liar", through)
	}
	offer("liar", 50, 60)
	now = now.Add(time.Minute)
	handle(tick{})
	if n := len(running["liar"]); n != 1 {
		t.Errorf("%d studies at a time are pulled from a site that has sent nothing right yet", n)
	}
	end("liar", through)
	if n := len(running["liar"]); n < 2 {
		t.Errorf("%d studies at a time are pulled from a site that gives what it offers", n)
	}
}

// TestPartial holds that a comparison which found no more than it was to find takes nothing back of what was known before, and that the next one waits until there is room.
func TestPartial(t *testing.T) {
	c, _, now := lone(t, linkUp{"a"})
	c.rules.Known, c.low = 8, true                     // so that nothing is pulled
	c.sites["a"].compared, c.sites["a"].fed = false, 0 // as after a link came up
	compares := func(e event) (n int) {
		for _, fx := range c.handle(e, now) {
			if _, is := fx.(compare); is {
				n++
			}
		}
		return n
	}
	compares(said{"a", wire.Summary{Incarnation: "i", Root: wire.Sum{9}, Count: 100, Change: 9}})
	now = now.Add(time.Minute)
	compares(tick{})
	if !c.sites["a"].asking {
		t.Fatal("no comparison is under way")
	}
	var found []held
	for n := range 6 {
		found = append(found, held{wire.StudyState{UID: study(10 + n), Leaf: dedup.Digest{1}}, wire.StudyState{UID: study(10 + n)}})
	}
	compares(holds{"a", found, false})
	compares(compared{site: "a", partial: true})
	if n := c.sites["a"].behind; n != 4 || c.studies[study(1)] == nil || c.sites["a"].fed != 0 {
		t.Errorf("%d studies are known, half of what is remembered, the one from before: %v, up to change %d", n, c.studies[study(1)] != nil, c.sites["a"].fed)
	}
	for range 10 { // the first look only notes that roots differ
		now = now.Add(time.Hour)
		if n := compares(tick{}); n > 0 {
			t.Fatalf("%d comparisons, and there is enough to do", n)
		}
	}
	for uid := range c.studies {
		compares(local{study: wire.StudyState{UID: uid, Leaf: dedup.Digest{1}, Change: 1}})
	}
	now = now.Add(time.Hour)
	if n := compares(tick{}); n == 0 && !c.sites["a"].asking {
		t.Error("what is left is not looked for")
	}
}

// TestCutStreams holds that a site which ends streams while its link stands is left alone for longer and longer, though nothing of it can be called a lie.
func TestCutStreams(t *testing.T) {
	c, _, now := lone(t, linkUp{"a"})
	pulls := 0
	for at := now; at.Before(now.Add(30 * time.Minute)); at = at.Add(time.Second) {
		e := event(tick{})
		if len(c.pulls) > 0 {
			e = pulled{study: study(1), end: linkLost}
			pulls++
		}
		c.handle(e, at)
	}
	if pulls < 5 || pulls > 12 {
		t.Errorf("%d pulls in half an hour from a site that cuts each of them", pulls)
	}
}
