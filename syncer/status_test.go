package syncer

import (
	"testing"
	"time"
)

// TestReportNumber holds that what is reported of another site stands under a number of that site's, also where it holds the same as this one and said so by its sums alone.
func TestReportNumber(t *testing.T) {
	w := newWorld(t, 1, "a", "b")
	a, b := w.sites["a"], w.sites["b"]
	a.add(study(1), some("x", 2, 1000))
	for n := range 5 {
		b.add(study(2+n), some("y", 1, 1000))
		w.settle(10 * time.Second)
	}
	if a.change == b.change {
		t.Fatalf("both sites are at number %d: nothing is shown", a.change)
	}
	r, known := (&Syncer{core: a.core, config: Config{Catalog: &crowdOf{sums: a.sums}}}).Report("b", a.state(study(1)))
	if !known || r.Offers || r.State.Leaf != a.state(study(1)).Leaf || r.Incarnation != "b" || r.State.Change != b.change {
		t.Errorf("known %v, number %d of %s; %s is at %d", known, r.State.Change, r.Incarnation, b.name, b.change)
	}
}
