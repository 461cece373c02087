package verify_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/dedup/verify"
	"github.com/dicomesh/dicomesh/e2e/raced"
	"github.com/dicomesh/dicomesh/e2e/shareddata"
)

// everyKind are cases that together have every kind of file that dicomesh writes. "same" has twins and rivals, and so variants.
var everyKind = []string{"same", "sequence/large", "frames/fragment-empty", "ts/2", "ts/2.1.98", "ts/2.1.99", "ts/2.4.50", "ts/2.4.57", "ts/2.4.80", "ts/2.4.81",
	"ts/2.4.90", "ts/2.4.100", "ts/2.4.102", "ts/2.4.107", "ts/2.4.110", "ts/2.4.201", "ts/2.5", "ts/2.8.1"}

// ownArchive is an archive with every kind of file of dicomesh's own, and one file of each by the name of its kind.
func ownArchive(t testing.TB) (tree, map[string]dedup.Held) {
	t.Helper()
	a := newTree(t)
	a.ingest(everyKind...)
	a.combine()
	kinds := map[string]dedup.Held{}
	for _, h := range a.all() {
		k := kind(t, a, h)
		if _, has := kinds[k]; !has && len(a.read(h.Path)) > 0 { // a frame of no bytes is right, and has none to flip
			kinds[k] = h
		}
	}
	for _, want := range []string{"instances", "instances variant", "lists", "bulkdata .raw", "bulkdata .bin", "bulkdata .residue", "bulkdata .residue.gz",
		"bulkdata .jpg", "bulkdata .jpg stream", "bulkdata .jls stream", "bulkdata .rle stream", "bulkdata .dfl stream", "bulkdata .mp4", "bulkdata .json.gz patient",
		"bulkdata .json.gz study", "bulkdata .json.gz series", "bulkdata .json.gz image", "bulkdata .json.gz encoding", "bulkdata .json.gz sequence"} {
		if _, has := kinds[want]; !has {
			t.Fatalf("no file of the kind %s", want)
		}
	}
	return a, kinds
}

func kind(t testing.TB, a tree, h dedup.Held) string {
	t.Helper()
	s := h.Ref.Class.String()
	if h.Ref.Ext != "" {
		s += " " + h.Ref.Ext
	}
	if h.Ref.Stream != "" {
		s += " stream"
	}
	if h.Ref.Variant != "" {
		s += " variant"
	}
	if h.Ref.Ext == ".json.gz" {
		folder := dedup.Folder{}
		for _, uid := range a.studies() {
			if strings.Contains(h.Path, uid.String()) {
				var err error
				folder, err = dedup.NewTree(a.fs).Study(uid)
				must(t, err)
			}
		}
		text, err := folder.Read(h, 1<<30)
		must(t, err)
		o, err := dedup.ParseObject(text)
		must(t, err)
		_, d := dedup.Split(o)
		s += " " + string(d.Type)
	}
	return s
}

// places are where a file of that size is flipped: magic, flags, level, system, middle, before the gzip trailer, end, and anywhere.
func places(size int, random *rand.Rand) []int {
	all := []int{0, 3, 8, 9, size / 2, size - 9, size - 1, random.IntN(size)}
	all = slices.DeleteFunc(all, func(at int) bool { return at < 0 || at >= size })
	slices.Sort(all)
	return slices.Compact(all)
}

// TestFlip flips a byte, or one bit, of each kind of file in turn: exactly that file is named, without an index, with one that was made before, and with
// one that was made afterwards.
func TestFlip(t *testing.T) {
	a, kinds := ownArchive(t)
	before := a.recorded()
	if faults, others, s := a.verify(verify.Config{Deep: true, Index: before}); len(faults) > 0 || s.Right != s.Files {
		t.Fatalf("%+v\n%s%s", s, lines(faults), lines(others))
	}
	random := rand.New(rand.NewPCG(5, 6))
	for name, h := range kinds {
		t.Run(name, func(t *testing.T) {
			good := a.read(h.Path)
			defer a.write(h.Path, good)
			for n, at := range places(len(good), random) {
				if (n+len(name))%raced.Pick(t, 1, 9) > 0 {
					continue
				}
				flipped := slices.Clone(good)
				flipped[at] ^= []byte{0xFF, 1 << random.IntN(8), 0x80}[n%3]
				a.write(h.Path, flipped)
				what := fmt.Sprintf("byte %d of %d from %02x to %02x", at, len(good), good[at], flipped[at])
				states := map[string]*index.Index{"no index": nil}
				if n%3 == 1 {
					states["an index from before"] = before
				}
				if n == 3 {
					after := a.state()
					must(t, after.Rebuild(t.Context(), a.fs, nil))
					states["an index from afterwards"] = after
				}
				for state, x := range states {
					faults, _ := a.study(t, h, verify.Config{Deep: true, Index: x})
					if len(faults) != 1 || faults[0].Path != h.Path || faults[0].Kind != verify.Corrupt {
						t.Errorf("%s, with %s:\n%s", what, state, lines(faults))
					}
				}
			}
		})
	}
}

// TestFlipForeign flips bytes of other writers' files. With the digests that were taken when they were first seen exactly that file is named. Without them
// nothing else is, and unless the name can be checked it says that nobody can tell.
func TestFlipForeign(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for _, c := range [][]string{{"ct-ge-private/stage1-instance", "ct-ge-private/stage2-group"}, {"sc-rle-2frame/create-default"}, {"ct-ge-private/seed-dialect-2021"}} {
		t.Run(c[0], func(t *testing.T) {
			a := newTree(t)
			for _, dir := range c {
				{
					a.copyFrom(shareddata.Dir(t, "data", "golden", filepath.FromSlash(dir)))
				}
			}
			known := a.recorded()
			log := a.state() // what is left of known when its index is deleted: the log
			for _, uid := range a.studies() {
				entries, err := known.Digests.Study(uid)
				must(t, err)
				for _, e := range entries {
					must(t, log.Digests.Append(uid, []index.Entry{e}))
				}
			}
			for n, h := range a.all() {
				if n%raced.Pick(t, 1, 13) > 0 {
					continue
				}
				flipForeign(t, a, h, known, log, random)
			}
		})
	}
}

func flipForeign(t *testing.T, a tree, h dedup.Held, known, log *index.Index, random *rand.Rand) {
	t.Helper()
	_, others := a.study(t, h, verify.Config{Deep: true})
	mute := slices.ContainsFunc(others, func(f verify.Finding) bool { return f.Kind == verify.CannotTell && f.Path == h.Path })
	good := a.read(h.Path)
	defer a.write(h.Path, good)
	for _, at := range places(len(good), random) {
		flipped := slices.Clone(good)
		flipped[at] ^= 1 << random.IntN(8)
		a.write(h.Path, flipped)
		for name, x := range map[string]*index.Index{"index and log": known, "the log alone": log, "nothing": nil} {
			faults, others := a.study(t, h, verify.Config{Deep: true, Index: x})
			named := len(faults) == 1 && faults[0].Path == h.Path && faults[0].Kind == verify.Corrupt
			silent := slices.ContainsFunc(others, func(f verify.Finding) bool { return f.Kind == verify.CannotTell && f.Path == h.Path })
			envelope := !mute && bytes.Equal(content(h.Path, good), content(h.Path, flipped)) // a name that is right says nothing of the envelopes
			if !named && (x == known || x == log && mute || !silent && !envelope || len(faults) > 0) {
				t.Errorf("%s: byte %d of %d, with %s:\n%s%s", h.Path, at, len(good), name, lines(faults), lines(others))
			}
		}
	}
}

// content is what is in a file, in its envelopes; nil if that cannot be had.
func content(name string, stored []byte) []byte {
	in := io.Reader(bytes.NewReader(stored))
	if strings.HasSuffix(name, ".gz") {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil
		}
		in = z
	}
	body, _, err := dedup.Unwrap(in)
	if err != nil {
		return nil
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return nil
	}
	return data
}
