package index

import (
	"fmt"
	"math/big"
	"runtime"
	"slices"
	"strconv"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"pgregory.net/rapid"
)

func sumUID(n int) dedup.UID {
	u, err := dedup.ParseUID("1.2.840." + strconv.Itoa(n))
	if err != nil {
		panic(err)
	}
	return u
}

// TestSumsAreSums checks sums against arithmetic of another kind, at every level, for changes in any order.
func TestSumsAreSums(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := NewSums([32]byte{1}, 0)
		held := map[int]Sum{}
		for range rapid.IntRange(0, 40).Draw(t, "changes") {
			n := rapid.IntRange(0, 9).Draw(t, "study")
			was, has := held[n]
			now := Sum{sumUID(n), dedup.Digest{rapid.Byte().Draw(t, "leaf")}, dedup.Digest{rapid.Byte().Draw(t, "others")}, uint64(rapid.IntRange(0, 3).Draw(t, "flags"))}
			switch gone := rapid.Bool().Draw(t, "gone"); {
			case has && gone:
				s.Replace(&was, nil)
				delete(held, n)
			case has:
				s.Replace(&was, &now)
				held[n] = now
			default:
				s.Replace(nil, &now)
				held[n] = now
			}
		}
		for digits := range s.Depth() + 1 {
			for _, x := range held {
				compareNode(t, s, held, Place{digits, firstDigits(KeyOf(x.UID), digits)})
			}
		}
		compareNode(t, s, held, Place{})
	})
}

func firstDigits(k Key, digits int) (bits uint64) {
	p := Place{}
	for d := range digits {
		p = p.Below(int(k[d/2]>>(4*(1-d%2))) & 15)
	}
	return p.Bits
}

func compareNode(t *rapid.T, s *Sums, held map[int]Sum, p Place) {
	want, count := new(big.Int), 0
	for _, x := range held {
		if p.Has(KeyOf(x.UID)) {
			h := s.Hash(x)
			slices.Reverse(h[:])
			want.Add(want, new(big.Int).SetBytes(h[:]))
			count++
		}
	}
	want.Mod(want, new(big.Int).Lsh(big.NewInt(1), 256))
	sum, n := s.Node(p)
	slices.Reverse(sum[:])
	if n != count || new(big.Int).SetBytes(sum[:]).Cmp(want) != 0 {
		t.Fatalf("%d digits: %d studies, want %d; sum %x, want %x", p.Digits, n, count, sum, want)
	}
}

// TestSumsTellApart holds that everything which sites compare is in the hash, that clusters have hashes of their own, and that what cancels under
// XOR does not here.
func TestSumsTellApart(t *testing.T) {
	one := Sum{sumUID(1), dedup.Digest{1}, dedup.Digest{1}, 1}
	s := NewSums([32]byte{1}, 0)
	for name, other := range map[string]Sum{"UID": {sumUID(2), one.Leaf, one.Others, 1}, "leaf": {one.UID, dedup.Digest{2}, one.Others, 1}, "others": {one.UID, one.Leaf, dedup.Digest{}, 1},
		"flags": {one.UID, one.Leaf, one.Others, 2}} {
		if s.Hash(one) == s.Hash(other) {
			t.Errorf("another %s has the same hash", name)
		}
	}
	if NewSums([32]byte{2}, 0).Hash(one) == s.Hash(one) {
		t.Error("another cluster has the same hash")
	}
	empty, _ := s.Root()
	s.Replace(nil, &one)
	s.Replace(nil, &one)
	if twice, n := s.Root(); twice == empty || n != 2 {
		t.Error("a study that was entered twice cancels itself")
	}
}

// TestSumsDepth holds that two sites with trees of different depth compare down to where the shallower ends.
func TestSumsDepth(t *testing.T) {
	for expected, depth := range map[int]int{0: 3, 65536: 3, 65537: 4, 1 << 20: 4, 10_000_000: 5} {
		if got := NewSums([32]byte{}, expected).Depth(); got != depth {
			t.Errorf("%d studies: depth %d, want %d", expected, got, depth)
		}
	}
	shallow, deep := NewSums([32]byte{1}, 0), NewSums([32]byte{1}, 100_000)
	for n := range 1000 {
		x := Sum{UID: sumUID(n), Leaf: dedup.Digest{byte(n)}, Flags: 1}
		shallow.Replace(nil, &x)
		deep.Replace(nil, &x)
	}
	if !shallow.Equal(deep) {
		t.Error("the same studies are not equal")
	}
	for n := range 16 {
		p := Place{}.Below(n).Below(n).Below(n)
		a, _ := shallow.Node(p)
		if b, _ := deep.Node(p); a != b {
			t.Errorf("node %d differs", n)
		}
	}
}

// BenchmarkSums is what one change costs, and what 10 million studies take in memory.
func BenchmarkSums(b *testing.B) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s := NewSums([32]byte{1}, 10_000_000)
	runtime.ReadMemStats(&after)
	was := Sum{UID: sumUID(1), Leaf: dedup.Digest{1}, Flags: 1}
	s.Replace(nil, &was)
	for n := 0; b.Loop(); n++ {
		now := was
		now.Leaf = dedup.Digest{byte(n), byte(n >> 8), 1}
		s.Replace(&was, &now)
		was = now
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "MB/10Mstudies")
	runtime.KeepAlive(fmt.Sprint(s.Depth()))
}

// TestBelow holds that the index finds the studies below a place, all of them and no others, at every depth.
func TestBelow(t *testing.T) {
	x, err := Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	const studies = 300
	for n := range studies {
		if _, err := x.Update(t.Context(), sumUID(n), Change{Leaf: &dedup.Digest{byte(n)}}); err != nil {
			t.Fatal(err)
		}
	}
	for digits := range 17 {
		for n := range 20 {
			p := Place{digits, firstDigits(KeyOf(sumUID(n)), digits)}
			found := map[dedup.UID]bool{}
			for s, err := range x.Below(t.Context(), p) {
				if err != nil {
					t.Fatal(err)
				}
				found[s.UID] = true
			}
			for m := range studies {
				if found[sumUID(m)] != p.Has(KeyOf(sumUID(m))) {
					t.Fatalf("%d digits of study %d: study %d is there: %t", digits, n, m, found[sumUID(m)])
				}
			}
		}
	}
}

// TestOthers holds that files of class other count in the row's digest, whichever way they come and go, and that nothing else does.
func TestOthers(t *testing.T) {
	x, err := Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	entry := func(path string, content byte) Entry {
		ref, err := dedup.ParseRef(path)
		if err != nil {
			t.Fatal(err)
		}
		return Entry{Ref: ref, Path: "studies/1.2/" + path, Content: dedup.Digest{content}}
	}
	others := func(c Change) dedup.Digest {
		if _, err := x.Update(t.Context(), sumUID(1), c); err != nil {
			t.Fatal(err)
		}
		s, _, err := x.Study(t.Context(), sumUID(1))
		if err != nil {
			t.Fatal(err)
		}
		return s.Others
	}
	a, b := entry("series/1/instances/2/frames/1.gz", 1), entry("notes.txt", 2)
	if got := others(Change{Put: []Entry{entry("deduplicated/instances/1.gz", 3)}}); got != (dedup.Digest{}) {
		t.Error("an instance file counts")
	}
	one := others(Change{Put: []Entry{a}})
	two := others(Change{Put: []Entry{b}})
	if one == (dedup.Digest{}) || one == two || others(Change{State: "x"}) != two {
		t.Error("a file of class other does not count, or is forgotten")
	}
	if others(Change{Gone: []string{b.Path}}) != one || others(Change{Gone: []string{a.Path}}) != (dedup.Digest{}) {
		t.Error("a file that is gone counts")
	}
	if others(Change{Put: []Entry{b, a}}) != two {
		t.Error("the order counts")
	}
}
