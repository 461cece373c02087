package ingest_test

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/combine"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
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

// TestSetAsideInPart holds that what was moved is told, and durable, when another list could not be.
func TestSetAsideInPart(t *testing.T) {
	fsys := crashfs.New()
	mustAdd(t, fsys, pick(t, "same/original"))
	study := studyOf(t, fsys)
	was := map[string]dedup.Digest{}
	for _, digit := range []string{"a", "b", "c"} {
		name := "studies/" + study.String() + "/deduplicated/" + strings.Repeat(digit, 64) + ".gz"
		if err := durable.WriteFile(fsys, name, []byte("no list at all")); err != nil {
			t.Fatal(err)
		}
		was[name] = dedup.Digest{1}
	}
	fsys.Hook = func(o crashfs.Op) (bool, error) {
		if o.Kind == "rename" && strings.Contains(o.Name, "/bbb") {
			return false, fs.ErrPermission
		}
		return true, nil
	}
	if n, err := ingest.SetAside(fsys, study, was); n != 2 || !errors.Is(err, fs.ErrPermission) {
		t.Errorf("%d lists were moved, %v", n, err)
	}
	left := fsys.Crash(rand.New(rand.NewPCG(1, 1)))
	if kept, err := left.ReadDir(".dicomesh/quarantine"); len(kept) != 2 || err != nil {
		t.Errorf("%d files are kept, %v", len(kept), err)
	}
}
