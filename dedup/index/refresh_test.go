package index

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
)

// put makes a file, or takes the place of one.
func put(t *testing.T, f *crashfs.FS, name string, data []byte) {
	t.Helper()
	must(t, durable.MkdirAll(f, filepath.Dir(name)))
	must(t, durable.ReplaceFile(f, name, data))
}

// TestRefresh holds that the index follows the tree: what is new comes, what is gone goes, and a file that it knows stays as it knows it, until it is rebuilt.
func TestRefresh(t *testing.T) {
	f, x := crashfs.New(), open(t, t.TempDir())
	one, two, three := "studies/1.2.3/notes/a", "studies/1.2.3/notes/b.gz", "studies/1.2.4/notes/c"
	put(t, f, one, []byte("one"))
	put(t, f, two, dedup.Compress(nil, []byte("twice")))
	put(t, f, three, []byte("three"))
	var last Progress
	must(t, x.Rebuild(t.Context(), f, func(p Progress) { last = p }))
	if last.Files != 3 || last.FilesTotal != 3 || last.Bytes != last.BytesTotal || x.Fresh {
		t.Errorf("progress ends at %+v, fresh %v", last, x.Fresh)
	}
	study, err := dedup.ParseUID("1.2.3")
	must(t, err)
	files, err := x.Manifest(t.Context(), study)
	must(t, err)
	if len(files) != 2 || files[one].Size != 3 || files[two].Size != 5 || files[two].Disk == 5 || files[two].Stored == files[two].Content {
		t.Errorf("indexed is %+v", files)
	}
	before, _, err := x.Study(t.Context(), study)
	must(t, err)
	must(t, x.Refresh(t.Context(), f, nil))
	if after, _, err := x.Study(t.Context(), study); err != nil || after.Change != before.Change {
		t.Errorf("nothing changed, and it is change %d after %d: %v", after.Change, before.Change, err)
	}
	put(t, f, one, []byte("damaged"))
	must(t, f.Remove(two))
	must(t, f.Remove(three))
	must(t, f.Remove("studies/1.2.4/notes"))
	must(t, f.Remove("studies/1.2.4"))
	put(t, f, "studies/1.2.3/notes/d", []byte("four"))
	must(t, x.Refresh(t.Context(), f, nil))
	again, err := x.Manifest(t.Context(), study)
	must(t, err)
	if len(again) != 2 || again[one] != files[one] || again["studies/1.2.3/notes/d"].Size != 4 {
		t.Errorf("refreshed is %+v", again)
	}
	for s, err := range x.Studies(t.Context(), 0) {
		if err != nil || s.UID != study {
			t.Errorf("study %s is there: %v", s.UID, err)
		}
	}
	must(t, x.Rebuild(t.Context(), f, nil))
	if e, _, err := x.File(t.Context(), study, one); err != nil || e.Size != 7 {
		t.Errorf("rebuilt is %+v: %v", e, err)
	}
}

// TestFresh holds that an index which never saw the whole tree says so after a new start too.
func TestFresh(t *testing.T) {
	dir := t.TempDir()
	x := open(t, dir)
	for _, want := range []bool{true, false} {
		if x.Fresh != want {
			t.Errorf("fresh is %v", x.Fresh)
		}
		must(t, x.Refresh(t.Context(), crashfs.New(), nil))
		must(t, x.Close())
		x = open(t, dir)
	}
}

// TestLocate holds the three places of state.
func TestLocate(t *testing.T) {
	dir := t.TempDir()
	tree, other := filepath.Join(dir, "tree"), filepath.Join(dir, "archive")
	locate := func(tree, given, want string) {
		t.Helper()
		if got, err := Locate(tree, given); got != want || err != nil {
			t.Errorf("the state of %s is %s (%v), want %s", tree, got, err, want)
		}
	}
	locate(tree, "", filepath.Join(tree, ".dicomesh", "state"))
	must(t, os.Mkdir(filepath.Join(dir, "state"), 0o700))
	locate(tree, "", filepath.Join(dir, "state"))
	locate(tree+"/", "", filepath.Join(dir, "state"))
	locate(other, "", filepath.Join(other, ".dicomesh", "state"))
	locate(tree, filepath.Join(dir, "elsewhere"), filepath.Join(dir, "elsewhere"))
	must(t, os.Mkdir(tree, 0o755))
	t.Chdir(tree)
	locate(".", "", filepath.Join(dir, "state"))
	x := open(t, filepath.Join(other, ".dicomesh", "state"))
	if info, err := os.Stat(x.dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder has mode %v: %v", info.Mode(), err)
	}
}
