package verify_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/dedup/verify"
)

// TestFile holds that one file alone gets the answer that a whole verification gives it: each kind of file, sound and harmed.
func TestFile(t *testing.T) {
	a, kinds := ownArchive(t)
	check := index.KeeperConfig{Check: verify.New(verify.Config{Tree: a.fs, Deep: true}).File}.Check
	uid := a.studies()[0]
	folder, err := dedup.NewTree(a.fs).Study(uid)
	must(t, err)
	for name, h := range kinds {
		m, err := index.Measure(a.fs, h, nil)
		must(t, err)
		c := check(folder, h)
		if head := h.Ref.Class == dedup.List || h.Ref.Class == dedup.Instance; c.Answer != dedup.Right || c.Entry != m.Entry || c.Gone || (c.File != nil) != head {
			t.Errorf("%s: %s (%s), measured as %+v", name, c.Answer, c.Reason, c.Entry)
		}
		for _, harm := range harms[1:7] {
			good := a.read(h.Path)
			harm.do(a, h, h)
			if c := check(folder, h); c.Answer != dedup.Corrupt || c.Reason == "" {
				t.Errorf("%s %s: %s", name, harm.name, c.Answer)
			}
			a.write(h.Path, good)
		}
		good := a.read(h.Path)
		must(t, os.Remove(a.path(h.Path)))
		if c := check(folder, h); !c.Gone {
			t.Errorf("%s removed: %+v", name, c)
		}
		a.write(h.Path, good)
	}
	if c := verify.New(verify.Config{Tree: a.fs}).File(folder, kinds["bulkdata .raw"]); c.Answer != dedup.CannotTell {
		t.Errorf("a frame that was not read is %s", c.Answer)
	}
}

// TestJudge holds that a list and an instance file in memory are right as they were written, and not with any bit of them flipped, also where they expand to the same;
// and that nothing is said of another writer's.
func TestJudge(t *testing.T) {
	a, kinds := ownArchive(t)
	var c dedup.Compressor
	unharmed := 0 // flips that expand to what was written
	for _, name := range []string{"instances", "lists"} {
		h := kinds[name]
		stored := a.read(h.Path)
		text := expand(stored)
		if answer := verify.Judge(&c, dedup.ParseFile(h.Ref, text), text, stored); answer != dedup.Right {
			t.Errorf("%s: %s", name, answer)
		}
		for i := range 8 * min(len(stored), 1000) {
			stored[i/8] ^= 1 << (i % 8)
			if flipped := expand(stored); flipped != nil {
				if bytes.Equal(flipped, text) {
					unharmed++
				}
				if answer := verify.Judge(&c, dedup.ParseFile(h.Ref, flipped), flipped, stored); answer != dedup.CannotTell {
					t.Errorf("%s with bit %d flipped: %s", name, i, answer)
				}
			}
			stored[i/8] ^= 1 << (i % 8)
		}
	}
	text := expand(a.read(kinds["lists"].Path))
	var other bytes.Buffer
	z, err := gzip.NewWriterLevel(&other, gzip.BestCompression) // which the header says
	must(t, err)
	_, err = z.Write(text)
	must(t, errors.Join(err, z.Close()))
	if answer := verify.Judge(&c, dedup.ParseFile(kinds["lists"].Ref, text), text, other.Bytes()); answer != dedup.CannotTell {
		t.Errorf("a list in another envelope: %s", answer)
	}
	if unharmed == 0 {
		t.Error("no flip left the content as it was")
	}
	foreign := []byte(`[{"00080018":{"Value":["1.2.3.1"],"vr":"UI"}}]`)
	f := dedup.ParseFile(dedup.Ref{Class: dedup.Instance, Name: "1.2.3.1"}, foreign)
	if answer := verify.Judge(&c, f, foreign, dedup.Compress(nil, foreign)); f.Fault != nil || answer != dedup.CannotTell {
		t.Errorf("another writer's: %s, %v", answer, f.Fault)
	}
}

// expand is what a gzipped file holds, nil if it is damaged.
func expand(stored []byte) []byte {
	z, err := gzip.NewReader(bytes.NewReader(stored))
	if err != nil {
		return nil
	}
	text, err := io.ReadAll(z)
	if err != nil {
		return nil
	}
	return text
}
