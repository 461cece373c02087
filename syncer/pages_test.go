package syncer

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// TestPages holds that pages give every head once, in whole parts, and that what is asked for at once is all.
func TestPages(t *testing.T) {
	var heads []wire.Head
	for n := range 3000 {
		heads = append(heads, wire.Head{Digest: sha256.Sum256(fmt.Append(nil, n))})
	}
	for _, most := range []uint64{0, 1, 100, 512, 2999, 3000} {
		seen := map[dedup.Digest]int{}
		pages, largest := 0, 0
		for from, more := uint64(0), true; more; more = from > 0 {
			got, next := page(heads, from, most)
			for _, h := range got {
				seen[h.Digest]++
				if p := uint64(h.Digest[0]); p < from || next > 0 && p >= next {
					t.Errorf("part %d is in the page from %d to %d", p, from, next)
				}
			}
			pages, largest, from = pages+1, max(largest, len(got)), next
		}
		if len(seen) != len(heads) || most > 0 && largest > int(most)+40 && most < 2999 {
			t.Errorf("most %d: %d of %d heads in %d pages of up to %d", most, len(seen), len(heads), pages, largest)
		}
		for d, n := range seen {
			if n != 1 {
				t.Errorf("most %d: %x is in %d pages", most, d, n)
			}
		}
	}
}

// TestManyHeads pulls a study of more heads than a page has, page by page.
func TestManyHeads(t *testing.T) {
	m := newMesh()
	a, b := m.start(t, "a", t.TempDir()), m.start(t, "b", t.TempDir())
	for n := range pageHeads + pageHeads/2 {
		a.instance(study(1), n, 10)
	}
	a.look(study(1))
	m.link(t.Context(), a, b)
	levelled(t, a, b)
	if !maps.Equal(a.files(), b.files()) {
		t.Error("not the same files")
	}
}

// TestStride holds how groups grow and shrink.
func TestStride(t *testing.T) {
	s := stride{firstHeads}
	for range 10 {
		s.took(time.Millisecond)
	}
	if s.heads != groupHeads {
		t.Errorf("groups of %d on a fast link", s.heads)
	}
	s.took(2 * time.Second)
	if s.heads != groupHeads {
		t.Errorf("groups of %d after one that took two seconds", s.heads)
	}
	for range 10 {
		s.took(time.Minute)
	}
	if s.heads != firstHeads {
		t.Errorf("groups of %d on a slow link", s.heads)
	}
}
