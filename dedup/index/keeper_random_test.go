package index_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
)

// TestRandomStudies does to a study what sites, collectors, disks and operators do, in any order, and holds after each step: a study that is said to be complete is exactly what
// somebody finds who reads everything, nothing that was ever entered and not collected is missing from it, and a process that starts now says the same as one that
// saw it all happen.
func TestRandomStudies(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(12) {
		w := &fate{site: newSite(t), rng: rand.New(rand.NewPCG(seed, 7)), away: map[string][]byte{}, seen: seen}
		for step := range 14 {
			did := w.step()
			seen[did]++
			w.check(fmt.Sprintf("seed %d, step %d, %s", seed, step, did))
			if t.Failed() {
				return
			}
		}
	}
	for _, what := range []string{"instance", "list", "collect", "take away", "tear", "put back", "complete", "incomplete"} {
		if seen[what] == 0 {
			t.Errorf("it never came to: %s", what)
		}
	}
}

// fate is what happens to one site.
type fate struct {
	*site
	rng     *rand.Rand
	n       int
	records []dedup.Object
	lists   []dedup.Ref
	away    map[string][]byte // files that are gone or torn, by path: as they were
	torn    bool
	seen    map[string]int
}

func (w *fate) step() string {
	switch w.rng.IntN(6) {
	case 0, 1:
		w.n++
		_, o := w.instance(w.n, w.n%3, fmt.Sprint("of ", w.n))
		w.records = append(w.records, o)
		return "instance"
	case 2:
		if len(w.records) > 0 {
			some := w.records[:1+w.rng.IntN(len(w.records))]
			w.lists = append(w.lists, w.list(w.lists, some...))
		}
		return "list"
	case 3:
		_, state := w.truth()
		for _, id := range state.Dominated {
			if len(w.away) == 0 { // a site collects only where nothing is wrong
				must(w.t, os.Remove(w.path(id.Ref)))
				w.lists = slices.DeleteFunc(w.lists, func(r dedup.Ref) bool { return r == id.Ref })
			}
		}
		return "collect"
	case 4:
		return w.harm()
	}
	for path, data := range w.away {
		must(w.t, os.WriteFile(path, data, 0o644))
	}
	clear(w.away)
	w.torn = false
	return "put back"
}

// harm takes a leaf away or cuts it short.
func (w *fate) harm() string {
	_, state := w.truth()
	if len(state.Leaves) == 0 || len(state.Faults) > 0 {
		return "nothing"
	}
	path := w.path(state.Leaves[w.rng.IntN(len(state.Leaves))].Ref)
	data, err := os.ReadFile(path)
	must(w.t, err)
	w.away[path] = data
	must(w.t, os.Remove(path))
	if w.rng.IntN(2) == 0 {
		w.torn = true
		must(w.t, os.WriteFile(path, data[:w.rng.IntN(len(data))], 0o644))
		return "tear"
	}
	return "take away"
}

func (w *fate) check(when string) {
	w.t.Helper()
	look := w.look
	if w.torn { // a file that is known and was torn where it lies: only who looks at everything sees that
		look = w.lookAll
	}
	hot := look()
	leaf, state := w.truth()
	if hot.Complete {
		w.seen["complete"]++
	} else {
		w.seen["incomplete"]++
	}
	switch live := len(state.Instances); {
	case hot.Complete && (hot.Leaf != leaf || !state.Complete() || hot.Instances != live):
		w.t.Errorf("%s: said to be complete, and is not what is there", when)
	case hot.Complete && live != w.n:
		w.t.Errorf("%s: %d of %d instances are said to be all", when, live, w.n)
	case !hot.Complete && len(w.away) == 0:
		w.t.Errorf("%s: nothing is wrong, and it is said to be incomplete: %+v", when, hot)
	}
	saw := w.k
	w.k = w.keeper()
	defer func() { w.k = saw }()
	if cold := look(); cold.Leaf != hot.Leaf || cold.Facts != hot.Facts || cold.MissingCount != hot.MissingCount || cold.VanishedCount != hot.VanishedCount || cold.CorruptCount != hot.CorruptCount {
		w.t.Errorf("%s:\nwho saw it says   %+v\nwho starts now    %+v", when, hot, cold)
	}
}
