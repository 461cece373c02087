package sim

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/e2e/raced"
	"github.com/dicomesh/dicomesh/gossip/reach"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "replay this seed alone")
	seedsFlag = flag.Int("seeds", 0, "so many seeds, instead of those of a usual run")
	baseFlag  = flag.Uint64("base", 0, "the first of them; 0: from the tree that is tested")
	stepsFlag = flag.Int("steps", 45, "what happens in a run")
)

// always are the things that a run over all seeds must have met, or it has proved nothing.
var always = []string{"split", "partial", "whole", "conflict", "variant", "combined", "collected", "held", "disk full", "restored", "suspend", "published", "settled", "refused", "fetched",
	"one-way", "flap", "crash", "crash in a write", "acknowledged", "returned", "provisional", "not stored", "clock", "exception", "crash in combining"}

// Clusters to which all kinds of things happen, each from its seed alone. A failure prints the line that replays it. Seeds are added until everything was met that has to be.
func TestPure(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // a run makes much, and keeps little
	seen := map[string]int{}
	if *seedFlag != 0 {
		simulate(t, *seedFlag, seen)
		t.Log(words(seen))
		return
	}
	base, seeds := *baseFlag, raced.Pick(t, 140, 6)
	if base == 0 {
		base = Base(t, 1e12)
	}
	if *seedsFlag > 0 {
		seeds = *seedsFlag
	}
	done := uint64(0)
	for most := uint64(10 * seeds); done < uint64(seeds) || !raced.On(t) && len(missing(seen)) > 0 && done < most; {
		done = several(t, base, done, seen)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d seeds: %s", done, words(seen))
	if m := missing(seen); len(m) > 0 && !raced.On(t) { // a few runs need not have had everything
		t.Errorf("it never happened: %q", m)
	}
}

// several runs the next few seeds, as many at a time as there are processors, and returns how many are done then.
func several(t *testing.T, base, done uint64, seen map[string]int) uint64 {
	var all sync.WaitGroup
	worlds := make([]*world, runtime.GOMAXPROCS(0))
	for n := range worlds {
		all.Go(func() { worlds[n] = runSeed(t, base+done+uint64(n), *stepsFlag) })
	}
	all.Wait()
	for _, w := range worlds {
		w.verdict()
		w.add(seen)
	}
	return done + uint64(len(worlds))
}

func missing(seen map[string]int) []string {
	return slices.DeleteFunc(slices.Clone(always), func(what string) bool { return seen[what] > 0 })
}

func words(seen map[string]int) string {
	var all []string
	for _, what := range slices.Sorted(maps.Keys(seen)) {
		all = append(all, fmt.Sprintf("%s %d", what, seen[what]))
	}
	return strings.Join(all, ", ")
}

// simulate runs one seed, and adds what happened to seen.
func simulate(t *testing.T, seed uint64, seen map[string]int) {
	w := runSeed(t, seed, *stepsFlag)
	w.verdict()
	w.add(seen)
}

// add adds what happened.
func (w *world) add(seen map[string]int) {
	for what, n := range w.seen {
		seen[what] += n
	}
}

// newWorld founds a cluster, and lets it come together.
func newWorld(t testing.TB, seed uint64, steps int) *world {
	w := &world{TB: t, seed: seed, steps: steps, rng: rand.New(rand.NewPCG(seed, 0)), cut: map[[2]*site]bool{}, values: map[dedup.Ref]string{},
		files: map[dedup.FileID]dedup.File{}, shown: map[view]dedup.Digest{}, nonces: map[string]*echo{}, packs: map[dedup.FileID][]byte{}, parsed: map[string]dedup.File{}, proved: map[string]bool{},
		dead: map[*link]time.Duration{}, seen: map[string]int{}, beat: reach.WAN}
	if w.one(12) {
		w.beat = reach.LAN
	}
	for n := range 2 + w.rng.IntN(2) {
		uid, err := dedup.ParseUID(fmt.Sprintf("1.2.%d", n+1))
		if err != nil {
			t.Fatal(err)
		}
		w.studies = append(w.studies, uid)
	}
	w.found(3 + w.rng.IntN(3))
	w.run(30 * time.Second)
	return w
}

// runSeed runs one seed to its end, or to the first thing that is not as it must be.
func runSeed(t testing.TB, seed uint64, steps int) *world {
	w := newWorld(t, seed, steps)
	defer w.close()
	all := w.allSteps()
	for n := 0; n < steps && w.failure == ""; n++ {
		w.step(all)
	}
	w.calm()
	return w
}

// close ends all processes.
func (w *world) close() {
	w.end = true
	for _, s := range w.sites {
		if s.life != nil {
			s.stop()
		}
	}
}

// TestReplay holds that a seed says everything: what happens is the same to the last word.
func TestReplay(t *testing.T) {
	for seed := range uint64(raced.Pick(t, 3, 1)) {
		first, again := runSeed(t, seed+1, 20), runSeed(t, seed+1, 20)
		for n, line := range first.trace {
			if n >= len(again.trace) || again.trace[n] != line {
				t.Fatalf("seed %d, line %d: first %q, then %q", seed+1, n, line, again.trace[min(n, len(again.trace)-1)])
			}
		}
	}
}
