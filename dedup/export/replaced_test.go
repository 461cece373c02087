package export_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/export"
	"github.com/dicomesh/dicomesh/dedup/ingest"
	"github.com/dicomesh/dicomesh/dedup/phantom"
)

// TestReplaced puts a link, a folder and a fifo in the place of each value of an instance, the link to the very bytes outside of the tree: no file is made of any, neither whole nor in part, nobody waits for a writer, and with the
// value itself back it is what came in.
func TestReplaced(t *testing.T) {
	dir, away := t.TempDir(), filepath.Join(t.TempDir(), "away")
	fsys, err := durable.OpenOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer fsys.Close()
	a, err := ingest.Open(fsys)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := a.OpenBatch()
	if err != nil {
		t.Fatal(err)
	}
	for i := range (phantom.Study{Number: 1, Series: 1, Instances: 1, Size: 16}).All() {
		var buf bytes.Buffer
		if err := i.Write(&buf); err != nil {
			t.Fatal(err)
		}
		b.Add(i.Path(), bytes.NewReader(buf.Bytes()), int64(buf.Len()))
	}
	study := b.Commit()[0].Study
	give := func() (r export.Result, files []string) {
		out := t.TempDir()
		if err := export.New(fsys).Study(t.Context(), study, out, func(one export.Result) { r = one }); err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(out, "*", "*", "*"))
		if err != nil {
			t.Fatal(err)
		}
		return r, files
	}
	values := 0
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(name, "/bulkdata/") {
			return err
		}
		values++
		for kind, place := range map[string]func() error{
			"a link":   func() error { return os.Symlink(away, name) },
			"a folder": func() error { return os.Mkdir(name, 0o755) },
			"a fifo":   func() error { return syscall.Mkfifo(name, 0o644) },
		} {
			if err := errors.Join(os.Rename(name, away), place()); err != nil {
				return err
			}
			if r, files := give(); r.Exact || r.Err == nil || len(files) > 0 && !strings.HasSuffix(name, ".residue.gz") {
				t.Errorf("%s in the place of %s: %+v, files %v", kind, filepath.Base(name), r, files)
			}
			if err := errors.Join(os.Remove(name), os.Rename(away, name)); err != nil {
				return err
			}
		}
		return nil
	})
	if r, _ := give(); err != nil || values < 3 || !r.Exact {
		t.Errorf("%d values, %v; in the end %+v", values, err, r)
	}
}
