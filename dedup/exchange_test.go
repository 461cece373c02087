package dedup

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// pulled is what a site holds when it has taken what it wants of what another one offers: of the lists and the leaves there all that no leaf here spares (PROTOCOL section 2).
func pulled(mine, theirs []File) []File {
	s := Resolve(mine, newBulk())
	var spares []func(File) bool
	for _, f := range mine {
		if slices.Contains(s.Leaves, f.ID) {
			spares = append(spares, f.Spares())
		}
	}
	offered := Resolve(theirs, newBulk())
	out := slices.Clone(mine)
	for _, f := range theirs {
		held := slices.ContainsFunc(out, func(g File) bool { return g.ID == f.ID })
		offers := f.ID.Ref.Class == List || slices.Contains(offered.Leaves, f.ID)
		if !held && offers && !slices.ContainsFunc(spares, func(spares func(File) bool) bool { return spares(f) }) {
			out = append(out, f)
		}
	}
	return out
}

// Whoever pulls from whom, in whatever order and however often: in the end all have the leaves that one site with everything would have. So what sites hold merges commutatively,
// associatively and idempotently, though none takes what it does not need. Lists of static-wado can name each other in circles and are left out.
func TestPullsMerge(t *testing.T) {
	spared := 0
	rapid.Check(t, func(rt *rapid.T) {
		files := study(t, rt, false, false)
		sites := make([][]File, 3)
		for _, f := range files {
			for n := range sites {
				if rapid.IntRange(0, 2).Draw(rt, "held") > 0 {
					sites[n] = append(sites[n], f)
				}
			}
		}
		a, b, c := sites[0], sites[1], sites[2]
		want := Resolve(slices.Concat(a, b, c), newBulk())
		for what, got := range map[string][]File{
			"a takes b, then c":        pulled(pulled(a, b), c),
			"a takes c, then b":        pulled(pulled(a, c), b),
			"a takes what b took of c": pulled(a, pulled(b, c)),
			"b takes what c took of a": pulled(b, pulled(c, a)),
		} {
			for n, held := range [][]File{got, pulled(pulled(got, b), c)} {
				if s := Resolve(held, newBulk()); LeafDigest(s.Leaves) != LeafDigest(want.Leaves) || instances(s) != instances(want) {
					rt.Fatalf("%s, and %d times more: %s\nwith all there is: %s", what, n, show(s), show(want))
				}
			}
		}
		spared += len(slices.Concat(a, b)) - len(pulled(a, b))
	})
	if spared == 0 {
		t.Error("nothing was ever spared")
	}
}
