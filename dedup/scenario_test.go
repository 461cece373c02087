package dedup

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// treeBulk is a study's bulkdata on disk.
type treeBulk struct {
	t      testing.TB
	folder Folder
}

func (b treeBulk) Object(h Hash) (Object, error) {
	held, _, err := b.folder.Find(Ref{Class: Bulkdata, Name: h.text, Ext: ".json.gz"})
	if err != nil {
		return nil, err
	}
	data, err := b.folder.Read(held, 1<<20)
	if err != nil {
		return nil, err
	}
	return ParseObject(data)
}

func (b treeBulk) Has(r Ref) bool {
	_, _, err := b.folder.Find(r)
	return err == nil
}

// load reads the lists and instance files of a study.
func load(t testing.TB, tree Tree, u UID) ([]File, Bulk) {
	t.Helper()
	folder, err := tree.Study(u)
	if err != nil {
		t.Fatal(err)
	}
	held, _, err := folder.Files()
	if err != nil {
		t.Fatal(err)
	}
	var files []File
	for _, h := range held {
		if h.Ref.Class != List && h.Ref.Class != Instance {
			continue
		}
		data, err := folder.Read(h, 1<<24)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, ParseFile(h.Ref, data))
	}
	return files, treeBulk{t, folder}
}

const scenarioStudy = "1.3.6.1.4.1.5962.1.1.0.0.0.1196530851.28319.0.1"

// scenario loads the trees of some folders of the golden scenarios as if one site had received all of them.
func scenario(t *testing.T, dirs ...string) (files []File, bulk Bulk) {
	t.Helper()
	for _, dir := range dirs {
		more, b := load(t, openTree(t, filepath.Join(golden(t), "scenarios-ct-77654033", dir)), UID{scenarioStudy})
		files = append(files, more...)
		if bulk != nil {
			b = eitherBulk{bulk, b}
		}
		bulk = b
	}
	return files, bulk
}

type eitherBulk [2]Bulk

func (e eitherBulk) Object(h Hash) (Object, error) {
	if o, err := e[0].Object(h); err == nil {
		return o, nil
	}
	return e[1].Object(h)
}

func (e eitherBulk) Has(r Ref) bool { return e[0].Has(r) || e[1].Has(r) }

// summary is a study in words: how many instances live, deleted, in conflict, their patients, and leaves of files.
func summary(s *State) string {
	live, deleted, conflicts, records := 0, 0, 0, 0
	names := map[string]bool{}
	for _, i := range s.Instances {
		records += len(i.Records)
		switch {
		case i.Deleted:
			deleted++
			continue
		case i.Conflict:
			conflicts++
		}
		live++
		names[s.Merge(i.Records[0]).Text(0x00100010)] = true
	}
	var patients []string
	for name := range names {
		patients = append(patients, name)
	}
	slices.Sort(patients)
	return fmt.Sprintf("%d live, %d deleted, %d in conflict, %d records, %s, %d of %d, complete %v",
		live, deleted, conflicts, records, strings.Join(patients, " "), len(s.Leaves), len(s.Leaves)+len(s.Dominated), s.Complete())
}

// What the reference gets right it gets right here, and what it gets wrong, by file times, is told apart.
func TestScenarios(t *testing.T) {
	for _, test := range []struct {
		name string
		dirs []string
		want string
	}{
		{"one site", []string{"two-site/site-a"}, "2 live, 0 deleted, 0 in conflict, 2 records, Doe^Archibald, 1 of 1, complete true"},
		{"two sites united", []string{"two-site/site-a", "two-site/site-b"}, "4 live, 0 deleted, 0 in conflict, 4 records, Doe^Archibald, 2 of 2, complete true"},
		{"two sites after the reference's merge", []string{"two-site/merged-after-metadata"}, "4 live, 0 deleted, 0 in conflict, 4 records, Doe^Archibald, 1 of 3, complete true"},
		{"incremental", []string{"incremental"}, "4 live, 0 deleted, 0 in conflict, 4 records, Doe^Archibald, 1 of 3, complete true"},
		{"reject", []string{"reject"}, "3 live, 1 deleted, 0 in conflict, 3 records, Doe^Archibald, 1 of 2, complete true"},
		{"reject with inverted times", []string{"reject-mtime-inverted"}, "3 live, 1 deleted, 0 in conflict, 3 records, Doe^Archibald, 1 of 2, complete true"},
		{"force-update", []string{"force-update"}, "4 live, 0 deleted, 0 in conflict, 4 records, Updated^Name, 1 of 2, complete true"},
		{"conflict", []string{"conflict-same-sop/site-a", "conflict-same-sop/site-b"}, "1 live, 0 deleted, 1 in conflict, 2 records, Newer^Name, 2 of 2, complete true"},
		{"conflict, one site rewrote its list", []string{"conflict-same-sop/merged-site-a-list-newer"}, "1 live, 0 deleted, 0 in conflict, 1 records, Newer^Name, 1 of 2, complete true"},
		{"conflict, the other did", []string{"conflict-same-sop/merged-site-b-list-newer"}, "1 live, 0 deleted, 0 in conflict, 1 records, Doe^Archibald, 1 of 2, complete true"},
		{"conflict, both did: each list supersedes the other", []string{"conflict-same-sop/merged-site-a-list-newer", "conflict-same-sop/merged-site-b-list-newer"},
			"1 live, 0 deleted, 1 in conflict, 2 records, Newer^Name, 2 of 4, complete true"},
	} {
		files, bulk := scenario(t, test.dirs...)
		s := Resolve(files, bulk)
		if got := summary(s); got != test.want {
			t.Errorf("%s: %s\nwant %s", test.name, got, test.want)
		}
		slices.Reverse(files)
		if again := Resolve(files, bulk); summary(again) != summary(s) || LeafDigest(again.Leaves) != LeafDigest(s.Leaves) {
			t.Errorf("%s: the order of files matters: %s", test.name, summary(again))
		}
	}
}

// A list's name does not say what is in it: both files are kept, and both count, until a list that names them accounts for both.
func TestScenarioSameName(t *testing.T) {
	_, bulk := scenario(t, "reject")
	dir := filepath.Join(golden(t), "scenarios-ct-77654033", "same-name-different-bytes")
	read := func(path string) File {
		name := strings.TrimSuffix(filepath.Base(path), ".gz")
		return ParseFile(Ref{Class: List, Name: name}, gunzip(t, filepath.Join(dir, path)))
	}
	const name, rejecting = "898b1940136b657ef157d63c07ddc6c1ec9db076c613ecc556c57a149130087b.gz", "6ac6b36a6eb8c915e7876edb91ac34162cb359984344631bae4b041e8226dbff.gz"
	files := []File{read("from-create/" + name), read("from-instance-group/" + name)}
	s := Resolve(files, bulk)
	if want := "4 live, 0 deleted, 0 in conflict, 4 records, Doe^Archibald, 2 of 2, complete true"; len(s.Variants) != 1 || summary(s) != want {
		t.Errorf("variants %v, %s", s.Variants, summary(s))
	}
	s = Resolve(append(files, read("from-create/"+rejecting)), bulk)
	if want := "3 live, 1 deleted, 0 in conflict, 3 records, Doe^Archibald, 1 of 3, complete true"; len(s.Variants) != 1 || summary(s) != want {
		t.Errorf("variants %v, %s", s.Variants, summary(s))
	}
}

// Every golden tree resolves: nothing is missing or in conflict unless the case is about that, each instance has its series, and a merged
// instance has its patient and study.
func TestGoldenStates(t *testing.T) {
	studies := 0
	walkGoldenTrees(t, func(path string, tree Tree) {
		uids, _, err := tree.Studies()
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range uids {
			files, bulk := load(t, tree, u)
			alone := !strings.HasSuffix(path, "stage2-group") && !strings.Contains(path, "scenarios")
			if len(files) > 0 && alone {
				studies++
				checkGoldenState(t, path, u, Resolve(files, bulk))
			}
		}
	})
	if studies < 15 {
		t.Errorf("only %d studies", studies)
	}
}

func checkGoldenState(t *testing.T, path string, u UID, s *State) {
	t.Helper()
	if !s.Complete() || s.Conflict() || len(s.Instances) == 0 {
		t.Errorf("%s: %s", path, summary(s))
	}
	for _, i := range s.Instances {
		m := s.Merge(i.Records[0])
		_, hasPatient := m.Find(0x00100020)
		if i.Series.text == "" || !hasPatient || m.Text(0x0020000D) != u.text || m.Text(tagSOPInstanceUID) != i.SOP.text || m.Text(0x00080060) == "" {
			t.Errorf("%s: series %q, merged %.200s", path, i.Series, m.AppendJSON(nil))
		}
		if len(s.Closure(i.Records[0])) < 3 {
			t.Errorf("%s: closure %v", path, s.Closure(i.Records[0]))
		}
		if strings.Contains(path, "ct-ge-private") && !strings.Contains(path, "seed") {
			if m.Text(0x00090010) != "GEMS_IDEN_01" || m.vr(0x00091011) != "" || len(s.Closure(i.Records[0])) != 6 {
				t.Errorf("%s: %v, %s", path, s.Closure(i.Records[0]), m.AppendJSON(nil))
			}
		}
	}
}

// With one extract not there yet the study is known to be incomplete, its list speaks for nobody, and once it comes all is well.
func TestScenarioHalfArrived(t *testing.T) {
	files, bulk := scenario(t, "two-site/merged-after-metadata")
	for i := range files {
		files[i].extracts = nil
	}
	patient := files[0].records[0].Dedup.Refs[0]
	s := Resolve(files, without{bulk, patient})
	if want := "4 live, 0 deleted, 0 in conflict, 4 records, , 3 of 3, complete false"; summary(s) != want {
		t.Errorf("%s, want %s", summary(s), want)
	}
	if m := s.Instances[0].Missing; len(m) != 1 || m[0].Hash() != patient {
		t.Errorf("missing %v", m)
	}
	if got := summary(Resolve(files, bulk)); got != "4 live, 0 deleted, 0 in conflict, 4 records, Doe^Archibald, 1 of 3, complete true" {
		t.Error(got)
	}
}

type without struct {
	Bulk
	hidden Hash
}

func (w without) Object(h Hash) (Object, error) {
	if h == w.hidden {
		return nil, ErrName
	}
	return w.Bulk.Object(h)
}
