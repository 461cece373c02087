package ingest_test

import (
	"bytes"
	"errors"
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

// replaced is what may stand in the place of a file whose bytes lie elsewhere.
var replaced = map[string]func(name, elsewhere string) error{
	"a link":   func(name, elsewhere string) error { return os.Symlink(elsewhere, name) },
	"a folder": func(name, _ string) error { return os.MkdirAll(name+"/more", 0o755) },
	"a fifo":   func(name, _ string) error { return syscall.Mkfifo(name, 0o644) },
}

// TestReplacedWhileRunning holds that nothing is acknowledged for which this process would rely on a file that it has stored before, and in whose place something else is by now; that the next try mends it, and that
// every file comes back. A link with the very bytes behind it is no file of the archive.
func TestReplacedWhileRunning(t *testing.T) {
	var files []file
	s := phantom.Study{Number: 1, Series: 1, Instances: 2, Size: 16}
	for i := range s.All() {
		var b bytes.Buffer
		if err := i.Write(&b); err != nil {
			t.Fatal(err)
		}
		files = append(files, file{i.Path(), b.Bytes()})
	}
	for kind, place := range replaced {
		dir, away := t.TempDir(), t.TempDir()
		fsys, err := durable.OpenOS(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer fsys.Close()
		a := open(t, fsys)
		first := batch(t, a, files[0])[files[0].name]
		shared := 0
		for name := range contents(t, fsys) {
			if strings.Contains(name, "/bulkdata/") && strings.HasSuffix(name, ".json.gz") { // of values it is read whether they are there
				shared++
				elsewhere := filepath.Join(away, filepath.Base(name))
				if err := errors.Join(os.Rename(filepath.Join(dir, name), elsewhere), place(filepath.Join(dir, name), elsewhere)); err != nil {
					t.Fatal(err)
				}
			}
		}
		tries := 0
		for ; tries < 3; tries++ {
			if r := batch(t, a, files[1])[files[1].name]; r.Status == ingest.Stored {
				break
			}
		}
		got, back := map[string]bool{}, t.TempDir()
		give := func(r export.Result) { got[r.SOP.String()] = r.Err == nil && r.Exact }
		if err := export.New(fsys).Study(t.Context(), first.Study, back, give); err != nil || tries == 3 || shared < 3 {
			t.Errorf("%s: stored after %d tries, %d files were replaced, %v", kind, tries, shared, err)
		}
		if r := batch(t, a, files[0])[files[0].name]; r.Status == ingest.Refused {
			t.Errorf("%s: the first file again: %s", kind, r.Reason)
		}
		if delete(got, first.SOP.String()); len(got) != 1 {
			t.Fatalf("%s: there are %d others", kind, len(got))
		}
		for _, exact := range got {
			if !exact {
				t.Errorf("%s: what was stored beside it does not come back", kind)
			}
		}
		if err := export.New(fsys).Study(t.Context(), first.Study, back, give); err != nil || !got[first.SOP.String()] || len(got) != 2 {
			t.Errorf("%s: after all: %v, %v", kind, got, err)
		}
	}
}
