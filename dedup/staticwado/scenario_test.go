package staticwado

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/e2e/shareddata"
)

const scenarios = "scenarios-ct-77654033"

// scenario is a copy of some folders of the golden scenarios, united as if one disk had received them all, with shuffled file times. The scenarios come without
// frames; withFrames puts back those of the same files.
func scenario(t *testing.T, withFrames bool, dirs ...string) durable.Reader {
	t.Helper()
	var from []string
	for _, dir := range dirs {
		from = append(from, shareddata.Dir(t, "data", "golden", scenarios, dir))
	}
	if withFrames {
		from = append(from, framesAlone(t))
	}
	return openSource(t, shuffled(t, from...))
}

// framesAlone is a folder with nothing but the frames of the four files.
func framesAlone(t *testing.T) string {
	t.Helper()
	const study = "1.3.6.1.4.1.5962.1.1.0.0.0.1196530851.28319.0.1"
	dir := shareddata.Dir(t, "data", "golden", "ct-cr-two-studies", "stage1-instance", "studies", study, "series")
	return under(t, under(t, under(t, dir, "series"), study), "studies")
}

// patients are the names that a study's live instances show.
func patients(t *testing.T, s *dedup.State) string {
	t.Helper()
	names := map[string]bool{}
	for _, i := range s.Instances {
		for _, r := range i.Records {
			names[s.Merge(r).Text(0x00100010)] = true
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(names)), " ")
}

// What each scenario comes to, with its frames and without: an instance without frames stays the foreign record that it was, and is just as live, deleted or in
// conflict.
func TestScenarios(t *testing.T) {
	for _, test := range []struct {
		name, want, without, patients string
		dirs                          []string
	}{
		{"one site", "2 imported, 0 present, 0 deleted, 0 conflict, 0 incomplete, 0 failed", "0 imported, 0 present, 0 deleted, 0 conflict, 2 incomplete, 0 failed",
			"Doe^Archibald", []string{"two-site/site-a"}},
		{"two sites united", "4 imported, 0 present, 0 deleted, 0 conflict, 0 incomplete, 0 failed", "0 imported, 0 present, 0 deleted, 0 conflict, 4 incomplete, 0 failed",
			"Doe^Archibald", []string{"two-site/site-a", "two-site/site-b"}},
		{"two sites after the reference's merge", "4 imported, 0 present, 0 deleted, 0 conflict, 0 incomplete, 0 failed", "0 imported, 0 present, 0 deleted, 0 conflict, 4 incomplete, 0 failed",
			"Doe^Archibald", []string{"two-site/merged-after-metadata"}},
		{"incremental", "4 imported, 0 present, 0 deleted, 0 conflict, 0 incomplete, 0 failed", "0 imported, 0 present, 0 deleted, 0 conflict, 4 incomplete, 0 failed",
			"Doe^Archibald", []string{"incremental"}},
		{"reject", "3 imported, 0 present, 1 deleted, 0 conflict, 0 incomplete, 0 failed", "0 imported, 0 present, 1 deleted, 0 conflict, 3 incomplete, 0 failed",
			"Doe^Archibald", []string{"reject"}},
		{"reject with inverted times", "3 imported, 0 present, 1 deleted, 0 conflict, 0 incomplete, 0 failed", "0 imported, 0 present, 1 deleted, 0 conflict, 3 incomplete, 0 failed",
			"Doe^Archibald", []string{"reject-mtime-inverted"}},
		{"force-update", "4 imported, 0 present, 0 deleted, 0 conflict, 0 incomplete, 0 failed", "0 imported, 0 present, 0 deleted, 0 conflict, 4 incomplete, 0 failed",
			"Updated^Name", []string{"force-update"}},
		{"conflict", "0 imported, 0 present, 0 deleted, 1 conflict, 0 incomplete, 0 failed", "0 imported, 0 present, 0 deleted, 0 conflict, 1 incomplete, 0 failed",
			"Doe^Archibald Newer^Name", []string{"conflict-same-sop/site-a", "conflict-same-sop/site-b"}},
		{"conflict, one site rewrote its list", "1 imported, 0 present, 0 deleted, 0 conflict, 0 incomplete, 0 failed", "0 imported, 0 present, 0 deleted, 0 conflict, 1 incomplete, 0 failed",
			"Newer^Name", []string{"conflict-same-sop/merged-site-a-list-newer"}},
		{"conflict, the other did", "1 imported, 0 present, 0 deleted, 0 conflict, 0 incomplete, 0 failed", "0 imported, 0 present, 0 deleted, 0 conflict, 1 incomplete, 0 failed",
			"Doe^Archibald", []string{"conflict-same-sop/merged-site-b-list-newer"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, withFrames := range []bool{true, false} {
				source := scenario(t, withFrames, test.dirs...)
				want, tree := test.want, crashfs.New()
				if !withFrames {
					want = test.without
				}
				o := imported(t, tree, source)
				if o.counts() != want || len(o.findings) > 0 {
					t.Errorf("%s", o)
				}
				checkSame(t, tree, source, o)
				s, _ := resolved(t, tree, studies(t, source)[0])
				if got := patients(t, s); got != test.patients {
					t.Errorf("patients %s", got)
				}
				if withFrames && len(s.Leaves) != 1 {
					t.Errorf("%d leaves", len(s.Leaves))
				}
				if again := imported(t, tree, source); again.Files != 0 || again.Instances[Deleted] != o.Instances[Deleted] {
					t.Errorf("the second run: %s", again)
				}
			}
		})
	}
}

// Frames that come later complete what was incomplete.
func TestFramesComeLater(t *testing.T) {
	tree := crashfs.New()
	imported(t, tree, scenario(t, false, "reject"))
	source := scenario(t, true, "reject")
	o := imported(t, tree, source)
	if want := "3 imported, 0 present, 1 deleted, 0 conflict, 0 incomplete, 0 failed"; o.counts() != want {
		t.Errorf("%s", o)
	}
	checkSame(t, tree, source, o)
	if again := imported(t, tree, source); again.Files != 0 {
		t.Errorf("the second run: %s", again)
	}
	checkOneLeaf(t, tree)
}

// What the source rejects or replaces after it was taken over goes from the tree too.
func TestSourceChanges(t *testing.T) {
	for _, test := range []struct{ later, want, patients string }{
		{"reject", "0 imported, 3 present, 1 deleted, 0 conflict, 0 incomplete, 0 failed", "Doe^Archibald"},
		{"force-update", "4 imported, 0 present, 0 deleted, 0 conflict, 0 incomplete, 0 failed", "Updated^Name"},
	} {
		tree := crashfs.New()
		imported(t, tree, scenario(t, true, "two-site/merged-after-metadata"))
		source := scenario(t, true, test.later)
		o := imported(t, tree, source)
		if o.counts() != test.want {
			t.Errorf("%s: %s", test.later, o)
		}
		checkSame(t, tree, source, o)
		checkOneLeaf(t, tree)
		s, _ := resolved(t, tree, studies(t, source)[0])
		if got := patients(t, s); got != test.patients {
			t.Errorf("%s: patients %s", test.later, got)
		}
		for _, dir := range []string{test.later, "two-site/merged-after-metadata"} {
			if again := imported(t, tree, scenario(t, true, dir)); again.Files != 0 {
				t.Errorf("%s again: %s", dir, again)
			}
		}
	}
}

// A rejected instance that a modality sends again stays deleted: the removal knows its content. So it does when the archive grows elsewhere.
func TestRejectedStaysRejected(t *testing.T) {
	tree := crashfs.New()
	imported(t, tree, scenario(t, true, "reject"))
	name, err := os.ReadFile(filepath.Join(shareddata.Dir(t, "data", "golden", scenarios, "reject"), "REJECTED_SOP.txt"))
	if err != nil {
		t.Fatal(err)
	}
	sop, err := dedup.ParseUID(strings.TrimSpace(string(name)))
	if err != nil {
		t.Fatal(err)
	}
	other := crashfs.New() // somebody else's archive, in which it lives
	imported(t, other, scenario(t, true, "incremental"))
	u := studies(t, other)[0]
	theirs, _ := resolved(t, other, u)
	live, _ := theirs.Instance(sop)
	ours, _ := resolved(t, tree, u)
	if i, ok := ours.Instance(sop); !ok || !i.Deleted {
		t.Fatalf("%s is not deleted", sop)
	}
	again, _, err := dedup.Seal(without(live.Records[0].Object), dedup.Dedup{Type: dedup.TypeInstance, Content: live.Records[0].Dedup.Content})
	if err != nil {
		t.Fatal(err)
	}
	if got := ours.Judge(again); got != dedup.Removed {
		t.Errorf("the same content again is %s", got)
	}
	imported(t, tree, scenario(t, true, "incremental"))
	ours, _ = resolved(t, tree, u)
	if i, _ := ours.Instance(sop); !i.Deleted {
		t.Error("a list that knows nothing of the removal brought it back")
	}
}

func without(o dedup.Object) dedup.Object {
	content, _ := dedup.Split(o)
	return content
}

// The two files of one list name are kept side by side, and a list that supersedes both is believed.
func TestSameNameDifferentBytes(t *testing.T) {
	const study = "1.3.6.1.4.1.5962.1.1.0.0.0.1196530851.28319.0.1"
	dir := shareddata.Dir(t, "data", "golden", scenarios, "same-name-different-bytes")
	source := func(from string) durable.Reader {
		lists := under(t, under(t, filepath.Join(dir, from), study), "deduplicated")
		return openSource(t, shuffled(t, lists, under(t, shareddata.Dir(t, "data", "golden", "ct-cr-two-studies", "stage1-instance", "studies"), "studies")))
	}
	tree, other := crashfs.New(), crashfs.New()
	for _, from := range []string{"from-create", "from-instance-group"} {
		imported(t, tree, source(from))
	}
	for _, from := range []string{"from-instance-group", "from-create"} {
		imported(t, other, source(from))
	}
	u, _ := dedup.ParseUID(study)
	s, _ := resolved(t, tree, u)
	if len(s.Variants) != 1 || len(s.Leaves) != 1 {
		t.Errorf("variants %v, leaves %v", s.Variants, s.Leaves)
	}
	variants := 0
	for name := range contents(t, tree) {
		if strings.Contains(name, "/variants/lists/") {
			variants++
		}
	}
	if variants != 2 {
		t.Errorf("%d variants on disk", variants)
	}
	live, deleted := 0, 0
	for _, i := range s.Instances {
		if i.Deleted {
			deleted++
		} else {
			live++
		}
	}
	if live != 3 || deleted != 1 {
		t.Errorf("%d live, %d deleted", live, deleted)
	}
	theirs, _ := resolved(t, other, u)
	if shown(theirs) != shown(s) {
		t.Errorf("the order of imports matters:\n%s\n%s", shown(s), shown(theirs))
	}
	canonical := "studies/" + study + "/deduplicated/898b1940136b657ef157d63c07ddc6c1ec9db076c613ecc556c57a149130087b.gz"
	if string(readFile(t, tree, canonical)) != string(readFile(t, other, canonical)) {
		t.Error("the canonical path has one variant here and another there")
	}
	if again := imported(t, tree, source("from-create")); again.Files != 0 {
		t.Errorf("once more: %s", again)
	}
}
