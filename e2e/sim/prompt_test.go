package sim

import (
	"fmt"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/e2e/raced"
)

// Studies that are received at all sites at one moment are settled everywhere within seconds, in clusters of all shapes, and after a cut too: a site that waits for what another one has to say hears it,
// also where it is said of no study, and does not ask again after a quarter of a minute.
func TestPromptly(t *testing.T) {
	for seed := range uint64(raced.Pick(t, 20, 3)) {
		w := newWorld(t, seed+1, 0)
		w.receive("1")
		took := w.settles()
		pick(w, w.sites).isolate()
		w.run(time.Minute)
		w.receive("2")
		w.run(10 * time.Second)
		w.mend()
		w.whole()
		again := w.settles()
		w.close()
		w.verdict()
		t.Logf("seed %d, %d sites: settled after %v, and %v after a cut", seed+1, len(w.sites), took, again)
		if took > promptly || again > promptly {
			t.Errorf("seed %d, %d sites: settled after %v, and %v after a cut", seed+1, len(w.sites), took, again)
		}
	}
}

// promptly is two quiet times, an exchange with each other site, two rounds and two echoes, and what it takes to find what differs.
const promptly = 10 * time.Second

// receive has each site take in a study of its own, one shortly after the other.
func (w *world) receive(what string) {
	for n, s := range w.sites {
		uid, err := dedup.ParseUID(fmt.Sprintf("1.2.3.%s.%d", what, n))
		if err != nil {
			w.fail("%v", err)
			return
		}
		w.studies = append(w.studies, uid)
		sop := uid.String() + ".1"
		s.arrive(uid, instanceFile(s.record(sop, what, dedup.Dedup{Content: hashOf(sop)})))
		s.life.happen(func() {})
		w.run(w.between(0, 300*time.Millisecond))
	}
}

// settles is how long it takes until all is level and settled.
func (w *world) settles() time.Duration {
	began := w.now
	for w.failure == "" && w.unsettled() != "" && w.now-began < patience {
		w.run(100 * time.Millisecond)
	}
	return w.now - began
}

// whole waits until all sites say that the cluster is.
func (w *world) whole() {
	for end := w.now + 5*time.Minute; w.failure == ""; w.run(100 * time.Millisecond) {
		all := true
		for _, s := range w.sites {
			all = all && s.life.judge().State == "whole"
		}
		if all {
			return
		}
		if w.now > end {
			w.fail("not whole again")
		}
	}
}
