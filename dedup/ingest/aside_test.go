package ingest_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/combine"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/ingest"
	"github.com/zeebo/blake3"
)

// TestSetAside holds that a damaged list is moved into quarantine, where its bytes are kept, and that one which is right, or gone, is not touched.
func TestSetAside(t *testing.T) {
	for _, damage := range []string{"", "gone", "flipped", "empty"} {
		fsys := crashfs.New()
		mustAdd(t, fsys, pick(t, "same/original"))
		study := studyOf(t, fsys)
		if _, err := combine.New(combine.Config{Tree: fsys}).Study(t.Context(), study); err != nil {
			t.Fatal(err)
		}
		was, list := map[string]dedup.Digest{}, ""
		for name, text := range contents(t, fsys) {
			if strings.Contains(name, "/deduplicated/") && !strings.Contains(name, "/instances/") {
				was[name], list = blake3.Sum256([]byte(text)), name
			}
		}
		if damage != "" {
			spoil(t, fsys, list, damage)
		}
		want := 0
		if damage == "flipped" || damage == "empty" {
			want = 1
		}
		if n, err := ingest.SetAside(fsys, study, was); n != want || err != nil {
			t.Errorf("%q: %d lists were moved, %v", damage, n, err)
		}
		_, err := fsys.Lstat(list)
		if there := !errors.Is(err, fs.ErrNotExist); there != (damage == "") {
			t.Errorf("%q: it is there: %v", damage, there)
		}
		kept, err := fsys.ReadDir(".dicomesh/quarantine")
		if len(kept) != want || err != nil && want > 0 {
			t.Errorf("%q: %d files are kept, %v", damage, len(kept), err)
		}
	}
}
