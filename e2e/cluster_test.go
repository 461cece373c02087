package e2e

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/e2e/shareddata"
)

// TestClusterWalks is the walking skeleton: two agents, one link, one study copied, regenerated at both.
func TestClusterWalks(t *testing.T) {
	c := newCluster(t, "a", "b")
	folder := sampled(t, "--studies", "1", "--instances", "3")
	c.sites["a"].drop(folder)
	c.level(time.Minute, 1)
	c.settledAll()
	c.sound(sums(t, folder))
	c.equal()
	a, b := current(c.sites["a"]), current(c.sites["b"])
	if len(a) == 0 || !maps.Equal(a, b) {
		t.Errorf("%d current files at one site, %d at the other, or they differ", len(a), len(b))
	}
}

// current are the sums of a site's current files, by their paths below it.
func current(s *member) map[string]string {
	files := map[string]string{}
	for path, sum := range regular(s.t, s.in("current", "studies")) {
		rel, err := filepath.Rel(s.dir, path)
		if err != nil {
			s.t.Fatal(err)
		}
		files[rel] = sum
	}
	return files
}

// TestClusterOfThree gives studies to three sites at once: a large one, phantoms, the real ones of several series, and one of which each site gets some instances. In the
// end each site has every file and gives each back byte for byte, however the sites can reach each other.
func TestClusterOfThree(t *testing.T) {
	large := sampled(t, "--studies", "1", "--series", "5", "--instances", "100")
	small := parts(t, sampled(t, "--studies", "6", "--series", "2", "--instances", "3", "--frames", "2"))
	shared := parts(t, parts(t, sampled(t, "--studies", "1", "--series", "3", "--instances", "4", "--frames", "3"))[0])
	real := realStudies(t)
	want, studies := given(t, slices.Concat(small, []string{large}, shared, real)...)
	for _, tt := range []struct {
		name  string
		make  func(t *testing.T) *cluster
		whole bool // no link that is owed is missing
	}{
		{"each with each", func(t *testing.T) *cluster { return newCluster(t, "a", "b", "c") }, true},
		{"the third with the second alone", func(t *testing.T) *cluster {
			c := newCluster(t, "a", "b")
			c.net.cut("a", "c")
			c.join("c", "b")
			return c
		}, false},
		{"one that can only dial out", func(t *testing.T) *cluster {
			c := newCluster(t, "a", "b")
			c.joinDialOnly("c", "b")
			return c
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := tt.make(t)
			c.sites["a"].drop(slices.Concat(small[:3], []string{large, shared[0]})...)
			c.sites["b"].drop(slices.Concat(small[3:5], shared[1:2])...)
			c.sites["c"].drop(slices.Concat(small[5:], shared[2:], real)...)
			took := c.level(2*time.Minute, studies)
			t.Logf("%d files, level after %v", len(want), took.Round(time.Millisecond))
			if tt.whole {
				c.settledAll()
			}
			c.sound(want)
			c.equal()
		})
	}
}

// realStudies are folders of real studies of several series.
func realStudies(t *testing.T) (folders []string) {
	t.Helper()
	if corpus, found := shareddata.Find("data", "dicom", "study"); found || os.Getenv("CI") == "true" {
		shareddata.Dir(t, "data", "dicom", "study")
		folders = parts(t, corpus)
	}
	return folders
}
