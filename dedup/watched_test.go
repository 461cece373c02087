package dedup

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/dicomesh/dicomesh/dedup/durable"
)

func TestStudiesAt(t *testing.T) {
	for p, want := range map[string][]string{
		"studies/1.2":                         {"1.2"},
		"studies/1.2/deduplicated/x.gz":       {"1.2"},
		"deduplicated/1.2/x.gz":               {"1.2"},
		"instances/1.2":                       {"1.2"},
		"studies/abc/def/1.2/deduplicated":    {"1.2"},
		"studies/123/456/1.2":                 {"123", "1.2"},
		"studies/123/deduplicated/1.2":        {"123"},
		"studies":                             nil,
		"studies/index.json.gz":               nil,
		"studies/abc/def":                     nil,
		"studies/abc/1.2":                     nil,
		"other/1.2":                           nil,
		".dicomesh/tmp/0/1.2":                 nil,
		"studies/../1.2":                      nil,
		"":                                    nil,
		"studies/abc/def/not a UID/1.2/3.gz":  nil,
		"studies/1.2 /deduplicated":           nil,
		"instances/abc/def/1.2.3/abcdef01.gz": {"1.2.3"},
	} {
		var got []string
		for _, u := range StudiesAt(p) {
			got = append(got, u.String())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, not %v", p, got, want)
		}
	}
}

// TestHeadFolders holds that every folder in which Heads finds something is named, and that Others finds the rest and never bulkdata.
func TestHeadFolders(t *testing.T) {
	dir := t.TempDir()
	h := "studies/1.2/"
	sha := func(c string) string { return c + "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde" }
	for _, p := range []string{
		h + "deduplicated/" + sha("a") + ".gz", h + "deduplicated/instances/1.2.3.gz", h + "deduplicated/isntances/1.2.4.gz",
		h + "variants/lists/" + sha("a") + "." + sha("b") + ".gz", h + "variants/instances/1.2.3." + sha("b") + ".gz",
		"deduplicated/1.2/" + sha("c") + ".gz", "instances/1.2/" + sha("d") + ".gz",
		h + "series/1.3/instances/1.2.3/frames/1.mht", h + "readme.txt", h + "series/tempFile-1", h + "bulkdata/abc/de/f.raw", h + "bulkdata/notes.txt",
	} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(p)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, p), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	fsys, err := durable.OpenOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer fsys.Close()
	u, _ := ParseUID("1.2")
	f, err := NewTree(fsys).Study(u)
	if err != nil {
		t.Fatal(err)
	}
	heads, err := f.Heads()
	if err != nil || len(heads) != 7 {
		t.Fatal(heads, err)
	}
	folders := f.HeadFolders()
	for _, held := range heads {
		if !slices.Contains(folders, filepath.Dir(held.Path)) {
			t.Errorf("%s is not in %v", held.Path, folders)
		}
	}
	others, err := f.Others()
	var names []string
	for _, held := range others {
		names = append(names, held.Ref.Name)
	}
	if want := []string{"readme.txt", "series/1.3/instances/1.2.3/frames/1.mht"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("%v (%v), not %v", names, err, want)
	}
}
