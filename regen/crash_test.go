package regen_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/phantom"
	"github.com/dicomesh/dicomesh/e2e/raced"
	"github.com/dicomesh/dicomesh/regen"
)

// tiny is a study whose sweep is short.
func tiny() phantom.Study { return phantom.Study{Number: 1, Series: 1, Instances: 2, Size: 8} }

// remove deletes instances of a study by one list, as a correction does.
func remove(t testing.TB, archive durable.FS, study string, sops ...string) {
	t.Helper()
	var records []dedup.Object
	for _, sop := range sops {
		list, err := dedup.ParseList(content(t, archive, "studies/"+study+"/deduplicated/instances/"+sop+".gz"))
		must(t, err)
		_, d := dedup.Split(list[0])
		o := dedup.Object{{Tag: 0x00080018, JSON: []byte(`{"Value":["` + sop + `"],"vr":"UI"}`)}}
		sealed, _, err := dedup.Seal(o, dedup.Dedup{Type: dedup.TypeInstance, Delete: true, Replace: []dedup.Hash{d.Hash, d.Content}})
		must(t, err)
		records = append(records, sealed)
	}
	name, text := dedup.ComposeList(dedup.Dedup{}, nil, records)
	must(t, durable.WriteFile(archive, "studies/"+study+"/deduplicated/"+name.String()+".gz", dedup.Compress(nil, text)))
}

// What a correction removed goes: out of the JSON at once, from the disk ten minutes later; and comes back when it comes again.
func TestRemoved(t *testing.T) {
	archive, current := crashfs.New(), crashfs.New()
	put(t, archive, parts(t, small())...)
	uid, sop, series := uidOf(t, small().UID()), "", ""
	for i := range small().All() {
		sop, series = i.SOPInstanceUID(), i.SeriesInstanceUID()
	}
	g := regen.New(regen.Config{Archive: archive, Current: current})
	round(t, g, uid, noon())
	before := contents(t, current)
	remove(t, archive, uid.String(), sop)
	res := round(t, g, uid, noon())
	if res.Removed != 2 || !res.Due.Equal(noon().Add(regen.Grace)) {
		t.Errorf("one instance less: %+v", res)
	}
	after := contents(t, current)
	for name, text := range after {
		if strings.HasSuffix(name, ".gz") && !strings.HasSuffix(name, "deduplicated.gz") && strings.Contains(text, sop) {
			t.Errorf("%s still names it", name)
		}
	}
	frame := "studies/" + uid.String() + "/series/" + series + "/instances/" + sop + "/frames/1"
	if _, still := after[frame]; !still {
		t.Error("the frame is gone while readers may be under way")
	}
	if res := round(t, g, uid, noon().Add(regen.Grace-time.Second)); res.Changed() || res.Due.IsZero() {
		t.Errorf("a second before: %+v", res)
	}
	if res := round(t, g, uid, noon().Add(regen.Grace)); res.Changed() || !res.Due.IsZero() {
		t.Errorf("ten minutes later: %+v", res)
	}
	if _, err := current.Lstat(path.Dir(path.Dir(frame))); err == nil {
		t.Error("its folder is still there")
	}
	var all []string
	for i := range small().All() {
		all = append(all, i.SOPInstanceUID())
	}
	remove(t, archive, uid.String(), all[:5]...)
	round(t, g, uid, noon())
	if _, err := current.Lstat("studies/" + uid.String() + "/studies.gz"); err == nil {
		t.Error("a study without instances still answers")
	}
	round(t, g, uid, noon().Add(regen.Grace))
	if left := contents(t, current); len(left) != 0 || len(before) == 0 {
		t.Errorf("left of a removed study: %v", names(left))
	}
}

// A clock that is set back by a day keeps nothing for a day; one that is set back by a little does not take away at once what readers may be under way to.
func TestRemovedClockSetBack(t *testing.T) {
	archive, current := crashfs.New(), crashfs.New()
	put(t, archive, parts(t, small())...)
	uid, sop := uidOf(t, small().UID()), ""
	for i := range small().All() {
		sop = i.SOPInstanceUID()
	}
	g := regen.New(regen.Config{Archive: archive, Current: current})
	round(t, g, uid, noon())
	remove(t, archive, uid.String(), sop)
	round(t, g, uid, noon())
	if res := round(t, g, uid, noon().Add(-time.Minute)); !res.Due.Equal(noon().Add(regen.Grace)) {
		t.Errorf("set back by a minute: %+v", res)
	}
	if res := round(t, g, uid, noon().Add(-24*time.Hour)); !res.Due.IsZero() {
		t.Errorf("set back by a day: %+v", res)
	}
	for name := range contents(t, current) {
		if strings.Contains(name, sop) {
			t.Errorf("%s is still there", name)
		}
	}
}

// While an extract is missing nothing is published, and what was stays; when it comes all is there.
func TestLateExtract(t *testing.T) {
	archive, current := crashfs.New(), crashfs.New()
	put(t, archive, parts(t, small())...)
	uid := uidOf(t, small().UID())
	folder, err := dedup.NewTree(archive).Study(uid)
	must(t, err)
	held, _, err := folder.Files()
	must(t, err)
	g := regen.New(regen.Config{Archive: archive, Current: current})
	for _, h := range held {
		if h.Ref.Class != dedup.Bulkdata || h.Ref.Ext == ".residue.gz" {
			continue
		}
		must(t, archive.Rename(h.Path, "late"))
		_, err := g.Study(t.Context(), uid, noon())
		var incomplete *regen.Incomplete
		if !errors.As(err, &incomplete) || len(incomplete.Missing) == 0 || !strings.Contains(err.Error(), "bulkdata/") {
			t.Errorf("without %s: %v", h.Path, err)
		}
		if files := contents(t, current); len(files) > 0 {
			t.Fatalf("without %s there is %v", h.Path, names(files))
		}
		must(t, archive.Rename("late", h.Path))
	}
	if res := round(t, g, uid, noon()); res.Wrote == 0 {
		t.Errorf("complete: %+v", res)
	}
}

// whole checks what can be seen of a current tree at any moment: every file is a whole file of one of the states, and everything that JSON
// refers to is there.
func whole(t *testing.T, k int, files map[string]string, states ...map[string]string) {
	t.Helper()
	for name, text := range files {
		known := false
		for _, state := range states {
			known = known || state[name] == text && text != ""
		}
		if !known {
			t.Errorf("crash at %d: %s is neither old nor new: %d bytes", k, name, len(text))
		}
		if base := path.Base(name); strings.HasSuffix(base, ".gz") && base != "deduplicated.gz" && !json.Valid([]byte(text)) {
			t.Errorf("crash at %d: %s is no JSON", k, name)
		}
	}
	checkCurrent(t, files)
}

// sweep cuts the power at every operation of a round of g's on current and looks at what is left.
func sweep(t *testing.T, archive durable.Reader, start func() *crashfs.FS, before, after map[string]string, uid dedup.UID) {
	t.Helper()
	for k := 0; ; k += raced.Pick(t, 1, 8) {
		if k > 3000 {
			t.Fatal("the round does not end")
		}
		current := start()
		from := current.Ops()
		current.Hook = crashfs.CrashAt(from + k)
		_, err := regen.New(regen.Config{Archive: archive, Current: current}).Study(t.Context(), uid, noon())
		left := current.Crash(rand.New(rand.NewPCG(uint64(k), 1)))
		whole(t, k, lenient(left), before, after)
		again := regen.New(regen.Config{Archive: archive, Current: left})
		round(t, again, uid, noon())
		round(t, again, uid, noon().Add(2*regen.Grace))
		if got := contents(t, left); !maps.Equal(got, after) {
			t.Fatalf("crash at %d: the next rounds leave %v", k, differing(got, after))
		}
		if err == nil {
			return
		}
	}
}

// lenient is contents for a tree in which files may be damaged: those are empty.
func lenient(fsys durable.Reader) map[string]string {
	out := map[string]string{}
	var walk func(dir string)
	walk = func(dir string) {
		entries, _ := fsys.ReadDir(dir)
		for _, e := range entries {
			name := path.Join(dir, e.Name())
			if e.IsDir() {
				walk(name)
				continue
			}
			f, err := fsys.Open(name)
			if err != nil {
				continue
			}
			b, _ := io.ReadAll(f)
			f.Close()
			if strings.HasSuffix(name, ".gz") {
				z, err := gzip.NewReader(bytes.NewReader(b))
				if err == nil {
					b, err = io.ReadAll(z)
				}
				if err != nil {
					b = nil
				}
			}
			out[name] = string(b)
		}
	}
	walk("studies")
	return out
}

// A power cut at any operation of the first regeneration leaves whole files, and the next round repairs.
func TestCrashInFirstRound(t *testing.T) {
	archive, reference := crashfs.New(), crashfs.New()
	put(t, archive, parts(t, tiny())...)
	uid := uidOf(t, tiny().UID())
	round(t, regen.New(regen.Config{Archive: archive, Current: reference}), uid, noon())
	sweep(t, archive, crashfs.New, nil, contents(t, reference), uid)
}

// So does one in the round after a correction.
func TestCrashInCorrection(t *testing.T) {
	archive, reference := crashfs.New(), crashfs.New()
	put(t, archive, parts(t, tiny())...)
	uid, sop := uidOf(t, tiny().UID()), ""
	for i := range tiny().All() {
		sop = i.SOPInstanceUID()
	}
	corrected := crashfs.New()
	put(t, corrected, parts(t, tiny())...)
	remove(t, corrected, uid.String(), sop)
	old := regen.New(regen.Config{Archive: archive, Current: reference})
	round(t, old, uid, noon())
	before := contents(t, reference)
	g := regen.New(regen.Config{Archive: corrected, Current: reference})
	round(t, g, uid, noon())
	round(t, g, uid, noon().Add(regen.Grace))
	start := func() *crashfs.FS {
		current := crashfs.New()
		round(t, regen.New(regen.Config{Archive: archive, Current: current}), uid, noon())
		return current
	}
	sweep(t, corrected, start, before, contents(t, reference), uid)
}
