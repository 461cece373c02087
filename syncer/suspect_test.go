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
	now = now.Add(20 * time.Second)
	handle(tick{})
	most["liar"] = len(running["liar"])
	for n := 0; len(running["honest"]) > 0 && n < 100; n++ {
		end("honest", through)
	}
	if most["liar"] > 1 || len(c.studies) > most["liar"] {
		t.Errorf("%d pulls from the liar while another has it all, %d studies are not here", most["liar"], len(c.studies))
	}
	for len(running["liar"]) > 0 {
		end("liar", through)
	}
	offer("liar", 30, 40)
	now = now.Add(time.Minute)
	handle(tick{})
	for len(running["liar"]) == 1 { // that comes through
		end("liar", through)
	}
	if len(running["liar"]) < 2 && len(c.studies) > 0 {
		t.Errorf("a site that gives what it offers is asked for %d at a time", len(running["liar"]))
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
