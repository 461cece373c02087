package syncer

import (
	"context"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// crowdOf is a catalog of very many studies that remembers how many of them it was asked for.
type crowdOf struct {
	states    []wire.StudyState
	sums      *index.Sums
	most, all int // in one answer, and in all
}

func newCrowd(n int) *crowdOf {
	c := &crowdOf{sums: index.NewSums([32]byte{1}, n)}
	for i := range n {
		s := wire.StudyState{UID: study(i), Leaf: dedup.Digest{1}, Flags: wire.Complete, Change: uint64(i + 1)}
		sum := sumOf(s)
		c.sums.Replace(nil, &sum)
		c.states = append(c.states, s)
	}
	return c
}

func (c *crowdOf) Summary() wire.Summary {
	root, count := c.sums.Root()
	return wire.Summary{Root: root, Count: uint64(count)}
}

func (c *crowdOf) Sums() *index.Sums { return c.sums }

func (c *crowdOf) Below(_ context.Context, p index.Place) (found []wire.StudyState, err error) {
	for _, s := range c.states {
		if p.Has(index.KeyOf(s.UID)) {
			found = append(found, s)
		}
	}
	c.most, c.all = max(c.most, len(found)), c.all+len(found)
	return found, nil
}

func (c *crowdOf) Since(context.Context, uint64, int) ([]wire.StudyState, error) { return nil, nil }

// TestNewSiteBesideMany holds that a site of very many studies never has all of them in memory because another one lists few: one that has just joined has none.
func TestNewSiteBesideMany(t *testing.T) {
	t.Parallel()
	const many, listed = 30_000, 100
	c := newCrowd(many)
	x := &comparison{catalog: c, most: many, keys: map[wire.Key]bool{}}
	var items []wire.Item
	for _, s := range c.states[:listed] {
		h := c.sums.Hash(sumOf(s))
		items = append(items, wire.Item{Key: keyOf(s.UID), Hash: [8]byte(h[:8])})
	}
	items = append(items, wire.Item{Key: keyOf(study(many)), Hash: [8]byte{1}})
	if err := x.items(t.Context(), index.Place{}, items); err != nil {
		t.Fatal(err)
	}
	if len(x.differ) != many-listed || len(x.keys) != 1 || x.partial {
		t.Errorf("%d and %d of %d studies differ, partial: %t", len(x.differ), len(x.keys), many-listed, x.partial)
	}
	if c.most > wire.MaxBelow {
		t.Errorf("%d of %d studies in memory at once", c.most, many)
	}
	c.all = 0
	x = &comparison{catalog: c, most: 5000, keys: map[wire.Key]bool{}}
	if err := x.items(t.Context(), index.Place{}, nil); err != nil {
		t.Fatal(err)
	}
	if len(x.differ) != 5000 || !x.partial || c.all > 3*wire.MaxBelow {
		t.Errorf("%d studies differ, partial: %t, and %d were looked at for them", len(x.differ), x.partial, c.all)
	}
}
