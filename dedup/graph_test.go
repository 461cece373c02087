package dedup

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// gone is what it says, by trying all ways, and is the same for any numbering.
func TestGone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 9).Draw(t, "nodes")
		var g graph
		g.add(n)
		var reaches [9][9]bool
		for range rapid.IntRange(0, 2*n).Draw(t, "edges") {
			a, b := rapid.IntRange(0, n-1).Draw(t, "a"), rapid.IntRange(0, n-1).Draw(t, "b")
			g.edge(int32(a), int32(b))
			reaches[a][b] = true
		}
		for k := range n {
			for i := range n {
				for j := range n {
					reaches[i][j] = reaches[i][j] || reaches[i][k] && reaches[k][j]
				}
			}
		}
		got := g.gone()
		for i := range n {
			want := false
			for j := range n {
				want = want || reaches[i][j] && !reaches[j][i]
			}
			if got[i] != want {
				t.Fatalf("node %d of %v: %v", i, g.after, got)
			}
		}
		if n > 0 && !slices.Contains(got, false) {
			t.Fatalf("nothing stays of %v", g.after)
		}
	})
}

func TestGoneOfALongChain(t *testing.T) {
	var g graph
	const n = 200_000
	g.add(n)
	for i := range int32(n - 1) {
		g.edge(i, i+1)
	}
	if gone := g.gone(); gone[n-1] || slices.Contains(gone[:n-1], false) {
		t.Error("the end of the chain alone should stay")
	}
}
