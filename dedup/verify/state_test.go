package verify_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/dedup/verify"
)

// keptState is an archive with a file whose name says nothing, and the closed state folder that knows it.
func keptState(t *testing.T) (a tree, dir string) {
	t.Helper()
	a = newTree(t)
	a.ingest("ts/2", "sequence/large")
	for _, uid := range a.studies() {
		a.write("studies/"+uid.String()+"/notes/1.txt", []byte("an attachment of study "+uid.String()))
	}
	dir = filepath.Join(t.TempDir(), "state")
	x, err := index.Open(t.Context(), dir)
	must(t, err)
	a.verify(verify.Config{Deep: true, Index: x, Record: verify.Keep{Index: x}})
	must(t, x.Close())
	return a, dir
}

// flipping calls look with each of so many states in which one byte of a file of the state folder is another one.
func flipping(t *testing.T, dir, file string, step int, look func(at int, x *index.Index)) {
	t.Helper()
	name := filepath.Join(dir, file)
	good, err := os.ReadFile(name)
	must(t, err)
	for at := 0; at < len(good); at += step {
		flipped := slices.Clone(good)
		flipped[at] ^= 0xFF
		must(t, os.WriteFile(name, flipped, 0o600))
		for _, beside := range []string{"-wal", "-shm"} {
			_ = os.Remove(name + beside)
		}
		x, err := index.OpenReader(t.Context(), dir)
		if err != nil {
			t.Fatalf("byte %d of %s: %v", at, file, err)
		}
		look(at, x)
		must(t, x.Close())
	}
	must(t, os.WriteFile(name, good, 0o600))
}

// TestFlipDigestLog flips bytes of the digest log: it is named, and no file of the tree is, of which it now knows nothing.
func TestFlipDigestLog(t *testing.T) {
	a, dir := keptState(t)
	flipping(t, dir, "digests", 11, func(at int, x *index.Index) {
		faults, _, _ := a.verify(verify.Config{Deep: true, Index: x})
		if len(faults) != 1 || faults[0].Path != "digests" || faults[0].Kind != verify.Corrupt {
			t.Errorf("byte %d:\n%s", at, lines(faults))
		}
	})
}

// TestFlipIndex flips bytes of the index: it is a cache, so verification goes on to the end without what is damaged, and calls no file wrong for it.
func TestFlipIndex(t *testing.T) {
	a, dir := keptState(t)
	unusable := 0
	flipping(t, dir, "index.db", 331, func(at int, x *index.Index) {
		faults, others, _ := a.verify(verify.Config{Deep: true, Index: x})
		if len(faults) != 0 {
			t.Errorf("byte %d:\n%s", at, lines(faults))
		}
		if x.SetAside != nil || slices.ContainsFunc(others, func(f verify.Finding) bool { return f.Path == "index.db" }) {
			unusable++
		}
	})
	if unusable == 0 {
		t.Error("no byte of the index mattered, or nobody said so")
	}
}

// TestEmptyIndex is what a crash may leave of an index that was just begun: a file without a byte.
func TestEmptyIndex(t *testing.T) {
	a, dir := keptState(t)
	must(t, os.WriteFile(filepath.Join(dir, "index.db"), nil, 0o600))
	x, err := index.OpenReader(t.Context(), dir)
	must(t, err)
	if x.SetAside == nil {
		t.Error("an empty file passes for an index")
	}
	must(t, x.Close())
	x, err = index.Open(t.Context(), dir)
	must(t, err)
	defer x.Close()
	if faults, _, _ := a.verify(verify.Config{Deep: true, Index: x}); !x.Fresh || len(faults) > 0 {
		t.Errorf("fresh: %t\n%s", x.Fresh, lines(faults))
	}
}
