package staticwado

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/e2e/raced"
)

// smallSource has one of everything: an image, one that was rejected, one that was replaced, one that is in conflict, one without its frames, a value, an
// attachment, and two lists of one name.
func smallSource(t testing.TB, dialect string) *wado {
	w := newWado(t, dialect)
	value := w.raw(bytes.Repeat([]byte("private "), 200))
	kept := w.image("1.2.3.4.5", 1, object{"00110010": values("LO", "ACME"), "00111001": attribute{"vr": "OB", "BulkDataURI": value}})
	gone := w.image("1.2.3.4.6", 1, nil)
	old, fresh := w.image("1.2.3.4.7", 1, nil), w.image("1.2.3.4.7", 1, object{"00200013": values("IS", 7)})
	first := w.list(nil, kept, gone, old)
	w.list([]string{first, hashOf(old)}, kept, w.rejected(gone), fresh)
	w.instanceFile(w.image("1.2.3.4.8", 1, object{"00200013": values("IS", 1)}))
	w.instanceFile(w.image("1.2.3.4.8", 1, object{"00200013": values("IS", 2)}))
	half := w.image("1.2.3.4.9", 1, nil)
	w.instanceFile(half)
	suffix := ".mht.gz"
	if dialect == "2021" {
		suffix = ".gz"
	}
	if err := w.fs.Remove(w.dir("studies") + "series/1.2.3.4/instances/1.2.3.4.9/frames/1" + suffix); err != nil {
		t.Fatal(err)
	}
	w.file(w.dir("studies")+"attachments/note.txt", []byte("a note"))
	name := w.list([]string{"0123456789012345678901234567890123456789"}, w.image("1.2.3.4.10", 1, nil))
	if dialect == "today" { // in the other layout, with other bytes
		text := readFile(t, w.fs, w.dir("deduplicated")+name+".gz")
		w.file(w.dir("studies")+"deduplicated/"+name+".gz", zipped(append(text, '\n')))
	}
	return w
}

// Whatever the operation at which the power goes off: what is visible is whole, a second run completes, and the tree is the one that a run without a crash makes.
func TestCrash(t *testing.T) {
	for _, dialect := range []string{"today", "2021"} {
		source := smallSource(t, dialect).fs
		want := crashfs.New()
		o := imported(t, want, source)
		if o.counts() != "3 imported, 0 present, 1 deleted, 1 conflict, 1 incomplete, 0 failed" {
			t.Fatal(o)
		}
		checkSame(t, want, source, o)
		if again := imported(t, want, source); again.Files != 0 {
			t.Fatal(again)
		}
		step := raced.Pick(t, 1, 29)
		if dialect != "today" {
			step = raced.Pick(t, 11, 37)
		}
		crashes := 0
		for k := 0; ; k += step {
			tree := crashfs.New()
			tree.Hook = crashfs.CrashAt(k)
			_, err := run1(t, tree, source, Config{})
			if err == nil {
				break
			}
			if !errors.Is(err, crashfs.ErrCrashed) {
				t.Fatalf("%s, crash at operation %d: %v", dialect, k, err)
			}
			crashes++
			after := tree.Crash(rand.New(rand.NewPCG(uint64(k), 1)))
			checkVisible(t, after)
			imported(t, after, source)
			sameTree(t, want, after) // so that a third run writes as little as that to want
			if t.Failed() {
				t.Fatalf("%s, crash at operation %d", dialect, k)
			}
		}
		if crashes*step < 300 {
			t.Errorf("only %d crashes", crashes)
		}
	}
}

// checkVisible checks that no list of ours is there without all that it refers to, that every list reads, and that no instance lives which the source has rejected.
func checkVisible(t *testing.T, tree durable.Reader) {
	t.Helper()
	for _, u := range studies(t, tree) {
		s, _ := resolved(t, tree, u)
		if len(s.Faults) > 0 {
			t.Errorf("faults %v", s.Faults)
		}
		for _, i := range s.Instances {
			for _, r := range i.Records {
				if r.Dedup.Version != "" && len(i.Missing) > 0 {
					t.Errorf("%s lacks %v", i.SOP, i.Missing)
				}
			}
			if rejected := i.SOP.String() == "1.2.3.4.6"; rejected && !i.Deleted {
				t.Error("a rejected instance shows")
			}
		}
	}
}

// A disk that fails at any write is an error, and the next run completes.
func TestDiskFails(t *testing.T) {
	source := smallSource(t, "today").fs
	want := crashfs.New()
	imported(t, want, source)
	broken := errors.New("the disk is broken")
	for k := 0; ; k += raced.Pick(t, 7, 101) {
		tree := crashfs.New()
		tree.Hook = crashfs.FailFrom(k, broken, "write", "create", "rename", "syncall")
		_, err := run1(t, tree, source, Config{})
		if err == nil {
			break
		}
		if !errors.Is(err, broken) {
			t.Fatalf("operation %d: %v", k, err)
		}
		tree.Hook = nil
		imported(t, tree, source)
		sameTree(t, want, tree)
		if t.Failed() {
			t.Fatalf("operation %d", k)
		}
	}
}

var _ dedup.Bulk = either{}
