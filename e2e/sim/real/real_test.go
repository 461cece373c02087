package real

import (
	"fmt"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/e2e/raced"
	"github.com/dicomesh/dicomesh/e2e/sim"
)

// wanted is what a run has to have met: one that never split, or never collected anything, has proved nothing.
func wanted() []string {
	return []string{"whole", "partial", "split", "conflict", "variant", "combined", "collected", "held", "disk full", "restore", "suspend", "crash", "settled", "one way", "flapped", "foreign", "corrected",
		"acknowledged", "certificate", "clock"}
}

// number is what an environment variable says, or else n.
func number(t *testing.T, name string, n int) int {
	text := os.Getenv(name)
	if text == "" {
		return n
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestReal lets things happen to clusters of three to five sites, by seeds: DICOMESH_SIM_SEEDS of them, from DICOMESH_SIM_BASE or by the tree that is tested, in DICOMESH_SIM_STEPS steps each. Where the
// number of seeds is given and these have not met all that is wanted, more follow until they have. A usual run has 8 seeds of 10 steps, and one of 4 under the race detector, which cannot meet
// all: DICOMESH_SIM_SEEDS=100 DICOMESH_SIM_STEPS=25 is one in earnest. DICOMESH_SIM_SEED runs one alone, and DICOMESH_SIM_LOGS shows what its sites logged.
func TestReal(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // sites make much, and keep little
	seeds, n := number(t, "DICOMESH_SIM_SEEDS", raced.Pick(t, 8, 1)), number(t, "DICOMESH_SIM_STEPS", raced.Pick(t, 10, 4))
	alone := number(t, "DICOMESH_SIM_SEED", 0)
	first := uint64(number(t, "DICOMESH_SIM_BASE", alone))
	if first == 0 {
		first = sim.Base(t, 1e9)
	}
	if alone != 0 {
		seeds = 1
	}
	seen := map[string]int{}
	missing := func() bool {
		return alone == 0 && os.Getenv("DICOMESH_SIM_SEEDS") != "" && slices.ContainsFunc(wanted(), func(word string) bool { return seen[word] == 0 })
	}
	began, done := time.Now(), 0
	for ; done < seeds || missing() && done < 5*seeds; done++ {
		seed := first + uint64(done)
		ok := t.Run(fmt.Sprint(seed), func(t *testing.T) {
			for word, n := range inWorld(t, seed, 3+int(seed%3), func(w *world) { w.run(n) }) {
				seen[word] += n
			}
		})
		if !ok {
			return
		}
	}
	var words []string
	for _, word := range slices.Sorted(maps.Keys(seen)) {
		words = append(words, fmt.Sprintf("%s %d", word, seen[word]))
	}
	t.Logf("%d seeds of %d steps in %v: %s", done, n, time.Since(began).Round(time.Second), strings.Join(words, ", "))
	if missing() {
		t.Errorf("not all of %v were met", wanted())
	}
}

// run lets so many things happen, and then none.
func (w *world) run(n int) {
	w.steps = n
	for range n {
		w.step()
	}
	w.calm()
}
