package ingest_test

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/ingest"
)

// sharedValues are the names of the bulkdata that each of these files has, objects excepted.
func sharedValues(t *testing.T, files ...file) (names []string) {
	t.Helper()
	count := map[string]int{}
	for _, f := range files {
		fsys := crashfs.New()
		mustAdd(t, fsys, f)
		for name := range contents(t, fsys) {
			if strings.Contains(name, "/bulkdata/") && !strings.HasSuffix(name, ".json.gz") {
				count[name]++
			}
		}
	}
	maps.DeleteFunc(count, func(_ string, n int) bool { return n < len(files) })
	return slices.Sorted(maps.Keys(count))
}

// A value that instances share becomes a file once: in a batch, and in those that come after it.
func TestSharedValue(t *testing.T) {
	files := twenty(t)[:4]
	shared := len(sharedValues(t, files...))
	if shared == 0 {
		t.Fatal("the files share no value")
	}
	for _, each := range []int{1, 2, 4} {
		fsys := crashfs.New()
		a := open(t, fsys)
		for group := range slices.Chunk(files, each) {
			batch(t, a, group...)
		}
		if made, stored := strings.Count(fsys.Log(), "create "), len(contents(t, fsys)); made != stored {
			t.Errorf("in batches of %d: %d files are made for %d", each, made, stored)
		}
		if got := exported(t, fsys); len(got) != len(files) {
			t.Errorf("%d of %d files are given back", len(got), len(files))
		}
	}
}

// Nobody leans on a value that is damaged or gone: it is mended by the next instance that has it.
func TestDamagedSharedValue(t *testing.T) {
	files := twenty(t)[:2]
	whole := crashfs.New()
	mustAdd(t, whole, files...)
	want := contents(t, whole)
	for _, name := range sharedValues(t, files...) {
		for _, damage := range []string{"gone", "flipped"} {
			fsys := crashfs.New()
			a := open(t, fsys)
			batch(t, a, files[0])
			spoil(t, fsys, name, damage)
			if r := batch(t, a, files[1])[files[1].name]; r.Status != ingest.Stored {
				t.Errorf("%s %s: %s %s", name, damage, r.Status, r.Reason)
			} else if !sameAs(t, fsys, want) {
				t.Errorf("%s %s: not mended", name, damage)
			}
		}
	}
}

// A value that goes between the proof and the commit is not leaned on either.
func TestSharedValueGoes(t *testing.T) {
	files := twenty(t)[:2]
	name := sharedValues(t, files...)[0]
	fsys := crashfs.New()
	a := open(t, fsys)
	batch(t, a, files[0])
	b, err := a.OpenBatch()
	if err != nil {
		t.Fatal(err)
	}
	if r, done := b.Add(files[1].name, bytes.NewReader(files[1].data), int64(len(files[1].data))); done {
		t.Fatal(r)
	}
	if err := fsys.Remove(name); err != nil {
		t.Fatal(err)
	}
	if r := b.Commit()[0]; r.Status != ingest.Refused {
		t.Errorf("without %s it is %s", name, r.Status)
	}
	if r := batch(t, a, files[1])[files[1].name]; r.Status != ingest.Stored {
		t.Errorf("the second time: %s %s", r.Status, r.Reason)
	}
}
