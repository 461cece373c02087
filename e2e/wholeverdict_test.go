package e2e

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
	"github.com/dicomesh/dicomesh/dedup"
)

// TestWholeJudge gives the judge of the other tests certificates that lie, each in another way, over trees that are what they are.
func TestWholeJudge(t *testing.T) {
	t.Parallel()
	folder := sampled(t, "--studies", "1", "--instances", "3")
	first, _ := halves(t, folder)
	j := &judge{t: t, sites: map[string]*member{}, allowed: map[string]bool{"d: joining": true}, lives: map[string]map[string]bool{}}
	for name, from := range map[string]string{"a": folder, "b": folder, "c": first, "d": first} {
		j.sites[name], j.lives[name] = &member{newSite(t, quick), name}, map[string]bool{"life of " + name: true}
		if out, code := dicomesh(t, "ingest", "--tree", j.sites[name].in("tree"), from); code != 0 {
			t.Fatal(out)
		}
	}
	study := studyOf(t, folder)
	all, part := leafAt(t, j.sites["a"], study), leafAt(t, j.sites["c"], study)
	report := func(site, leaf string) admin.Report {
		return admin.Report{Site: site, Leaf: leaf, Complete: true, Durable: true, Number: 7, Incarnation: "life of " + site}
	}
	right := admin.Certificate{Leaf: all, Sites: []admin.Report{report("a", all), report("b", all)}, Exceptions: []string{"d: joining"}}
	for _, tt := range []struct {
		name   string
		of     []string // who has to be in it
		change func(*admin.Certificate)
		says   string // "": it is right
		open   bool   // it cannot be told yet
	}{
		{"right", []string{"a", "b", "d"}, func(*admin.Certificate) {}, "", false},
		{"a site is missing", []string{"a", "b", "c", "d"}, func(*admin.Certificate) {}, "it names [a b d]", false},
		{"a site is named that is none", []string{"a", "d"}, func(*admin.Certificate) {}, "it names [a b d]", false},
		{"a site that has not got it", []string{"a", "b", "c", "d"}, func(c *admin.Certificate) { c.Sites = append(c.Sites, report("c", all)) }, "c has never held", false},
		{"a site that reported something else", []string{"a", "b", "c", "d"}, func(c *admin.Certificate) { c.Sites = append(c.Sites, report("c", part)) }, "c reported something else", false},
		{"leaves that nobody has held", []string{"a", "d"}, func(c *admin.Certificate) {
			c.Leaf, c.Sites = strings.Repeat("0", 64), []admin.Report{report("a", strings.Repeat("0", 64))}
		}, "a has never held", false},
		{"not complete", []string{"a", "b", "d"}, func(c *admin.Certificate) { c.Sites[1].Complete = false }, "b reported something else", false},
		{"a report without a number", []string{"a", "b", "d"}, func(c *admin.Certificate) { c.Sites[1].Number = 0 }, "has no number", false},
		{"an exception that is not true", []string{"a", "b", "d"}, func(c *admin.Certificate) { c.Exceptions = []string{"d: disk full"} }, "is not true", false},
		{"a life that nobody has seen", []string{"a", "b", "d"}, func(c *admin.Certificate) { c.Sites[1].Incarnation = "another" }, "", true},
	} {
		c := right
		c.Sites, c.Exceptions = slices.Clone(right.Sites), slices.Clone(right.Exceptions)
		tt.change(&c)
		j.names = tt.of
		wrong, err := j.wrong("a", study, c, time.Now())
		if (err != nil) != tt.open || len(wrong) > 0 != (tt.says != "") || tt.says != "" && !strings.Contains(strings.Join(wrong, "; "), tt.says) {
			t.Errorf("%s: the judge says %v %v", tt.name, wrong, err)
		}
	}
	// A file that it needs is gone.
	j.names = []string{"a", "b", "d"}
	gone := slices.Sorted(maps.Keys(names(t, j.sites["b"].in("tree", "studies", study, "bulkdata"))))[0]
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	if wrong, err := j.wrong("a", study, right, time.Now()); err != nil || !strings.Contains(strings.Join(wrong, "; "), "b lacks something") {
		t.Errorf("a file is gone, and the judge says %v %v", wrong, err)
	}
}

// leafAt is the leaf digest of a study in a site's tree.
func leafAt(t *testing.T, s *member, study string) string {
	t.Helper()
	uid, err := dedup.ParseUID(study)
	if err != nil {
		t.Fatal(err)
	}
	p, err := readPast(s.in("tree"), uid)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	return dedup.LeafDigest(dedup.Resolve(p.files, p.source).Leaves).String()
}
