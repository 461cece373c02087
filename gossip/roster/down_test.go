package roster

import (
	"errors"
	"testing"
	"time"
)

func TestAckDown(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 5, time.UTC)
	two, err := founded(t).With(site("b"), private("a", "operator"))
	two = must(t, two, err)
	for _, c := range []struct {
		d    Down
		key  string
		want error
	}{
		{Down{"b", now, "a", now}, "a", ErrUntil},
		{Down{"b", now.Add(-time.Hour), "a", now}, "a", ErrUntil},
		{Down{"b", now.Add(MaxDown + time.Second), "a", now}, "a", ErrUntil},
		{Down{"b", now.Add(time.Hour), "b", now}, "b", ErrItself},
		{Down{"c", now.Add(time.Hour), "a", now}, "a", ErrUnknownSite},
		{Down{"b", now.Add(time.Hour), "a", now}, "stranger", ErrNoOperator},
	} {
		if r, err := two.AckDown(c.d, private(c.key, "operator")); !errors.Is(err, c.want) || r.Epoch() != two.Epoch() {
			t.Errorf("%+v: %v", c.d, err)
		}
	}
	down, err := two.AckDown(Down{"b", now.Add(time.Hour), "a", now}, private("a", "operator"))
	down = must(t, down, err)
	b, err := down.Site("b")
	if err != nil || b.Status != AckDown || b.By != "a" || b.Counts(now.Add(59*time.Minute)) || !b.Counts(now.Add(time.Hour)) {
		t.Errorf("%+v %v", b, err)
	}
	longer, err := down.AckDown(Down{"b", now.Add(2 * time.Hour), "a", now}, private("root"))
	longer = must(t, longer, err)
	if b, _ := longer.Site("b"); b.Counts(now.Add(time.Hour)) {
		t.Error("the second acknowledgement does not count")
	}
	back, err := longer.Return("b", "b", private("b", "operator")) // the site that is back says so itself
	back = must(t, back, err)
	if b, _ := back.Site("b"); b.Status != Active || !b.Counts(now) {
		t.Errorf("%+v", b)
	}
	if same, err := back.Return("b", "a", private("a", "operator")); err != nil || same.Epoch() != back.Epoch() {
		t.Errorf("returned twice: %v", err)
	}
	merged, err := Merge(down, back)
	if merged = must(t, merged, err); merged.Epoch() != back.Epoch() {
		t.Error("an old acknowledgement is more than a return")
	}
	removed, err := down.Remove("b", "a", private("a", "operator"))
	removed = must(t, removed, err)
	for _, f := range []func() (Roster, error){
		func() (Roster, error) {
			return removed.AckDown(Down{"b", now.Add(time.Hour), "a", now}, private("a", "operator"))
		},
		func() (Roster, error) { return removed.Return("b", "a", private("a", "operator")) },
	} {
		if _, err := f(); !errors.Is(err, ErrUnknownSite) {
			t.Errorf("of a removed site: %v", err)
		}
	}
}

// TestBothSaidDown: both halves of a split acknowledged the other as down. After they meet nobody counts, until each has returned.
func TestBothSaidDown(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	two, err := founded(t).With(site("b"), private("a", "operator"))
	two = must(t, two, err)
	atA, errA := two.AckDown(Down{"b", now.Add(time.Hour), "a", now}, private("a", "operator"))
	atB, errB := two.AckDown(Down{"a", now.Add(time.Hour), "b", now}, private("b", "operator"))
	both, err := Merge(must(t, atA, errA), must(t, atB, errB))
	both = must(t, both, err)
	for _, s := range both.Sites() {
		if s.Counts(now) {
			t.Errorf("%s counts", s.Name)
		}
	}
	atA, errA = both.Return("a", "a", private("a", "operator"))
	atB, errB = both.Return("b", "b", private("b", "operator"))
	both, err = Merge(must(t, atA, errA), must(t, atB, errB))
	both = must(t, both, err)
	for _, s := range both.Sites() {
		if !s.Counts(now) {
			t.Errorf("%s does not count", s.Name)
		}
	}
}
