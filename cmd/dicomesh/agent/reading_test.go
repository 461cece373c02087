package agent

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/combine"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/ingest"
	"github.com/dicomesh/dicomesh/dedup/phantom"
)

// closable is a file system that need not be closed.
type closable struct{ *crashfs.FS }

func (closable) Close() error { return nil }

// TestReadingKeeps holds that an instance file that somebody reads outlasts its collection, and goes when nobody does any more.
func TestReadingKeeps(t *testing.T) {
	tree := newReading(closable{crashfs.New()})
	archive, err := ingest.Open(tree)
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	study := received(t, archive)
	combiner := combine.New(combine.Config{Tree: tree.Folder, InUse: tree.uses})
	if _, err := combiner.Study(t.Context(), study); err != nil {
		t.Fatal(err)
	}
	folder, err := dedup.NewTree(tree).Study(study)
	if err != nil {
		t.Fatal(err)
	}
	heads, err := folder.Heads()
	if err != nil || len(heads) != 4 {
		t.Fatalf("%d heads: %v", len(heads), err)
	}
	var read dedup.Held
	for _, h := range heads {
		if h.Ref.Class == dedup.Instance {
			read = h
		}
	}
	f, err := tree.Open(read.Path)
	if err != nil {
		t.Fatal(err)
	}
	first, err := combiner.Collect(t.Context(), study)
	if err != nil || len(first.Remove) != 2 || !first.Used() {
		t.Errorf("while one of three is read: %+v, %v", first, err)
	}
	if _, err := io.Copy(io.Discard, f); err != nil {
		t.Error(err)
	}
	for range 2 { // twice is once
		if err := f.Close(); err != nil && len(tree.open) > 0 {
			t.Error(err)
		}
	}
	if second, err := combiner.Collect(t.Context(), study); err != nil || len(second.Remove) != 1 || second.Used() {
		t.Errorf("when nobody reads any more: %+v, %v", second, err)
	}
	if len(tree.open) != 0 {
		t.Errorf("counted as open: %v", tree.open)
	}
	if _, err := tree.Open("nothing"); err == nil || len(tree.open) != 0 {
		t.Errorf("a file that is not there: %v, %v", err, tree.open)
	}
}

// received takes a study of three instances into an archive.
func received(t *testing.T, archive *ingest.Archive) (uid dedup.UID) {
	t.Helper()
	study, dir := phantom.Study{Number: 1, Series: 1, Instances: 3, Size: 32}, t.TempDir()
	var paths []string
	for i := range study.All() {
		var text bytes.Buffer
		if err := i.Write(&text); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, strings.ReplaceAll(i.Path(), "/", "_"))
		if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	err := archive.Run(t.Context(), ingest.Config{}, slices.Values(paths), func(r ingest.Result) {
		if uid = r.Study; r.Status != ingest.Stored {
			t.Errorf("%+v", r)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return uid
}
