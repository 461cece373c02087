package regen_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/ingest"
	"github.com/dicomesh/dicomesh/dedup/phantom"
	"github.com/dicomesh/dicomesh/regen"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// noon is when tests take place.
func noon() time.Time { return time.Unix(1_700_000_000, 0) }

// put ingests files in one batch; what is refused ends the test.
func put(t testing.TB, fsys durable.FS, files ...[]byte) {
	t.Helper()
	a, err := ingest.Open(fsys)
	must(t, err)
	defer a.Close()
	b, err := a.OpenBatch()
	must(t, err)
	for i, f := range files {
		if res, done := b.Add(fmt.Sprint(i), bytes.NewReader(f), int64(len(f))); done && res.Err != nil {
			t.Fatalf("file %d: %v", i, res.Err)
		}
	}
	for i, res := range b.Commit() {
		if res.Err != nil {
			t.Fatalf("file %d: %v", i, res.Err)
		}
	}
}

// parts are the Part 10 files of a phantom study.
func parts(t testing.TB, s phantom.Study) [][]byte {
	t.Helper()
	var out [][]byte
	for i := range s.All() {
		var b bytes.Buffer
		must(t, i.Write(&b))
		out = append(out, b.Bytes())
	}
	return out
}

func uidOf(t testing.TB, s string) dedup.UID {
	t.Helper()
	u, err := dedup.ParseUID(s)
	must(t, err)
	return u
}

// round does a round that must succeed.
func round(t testing.TB, g *regen.Generator, uid dedup.UID, now time.Time) regen.Result {
	t.Helper()
	res, err := g.Study(t.Context(), uid, now)
	must(t, err)
	return res
}

// contents are all files below studies/ of a current tree, decompressed.
func contents(t testing.TB, fsys durable.Reader) map[string]string {
	t.Helper()
	out := map[string]string{}
	walk(t, fsys, "studies", out)
	return out
}

func walk(t testing.TB, fsys durable.Reader, dir string, out map[string]string) {
	t.Helper()
	entries, err := fsys.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	must(t, err)
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if e.IsDir() {
			walk(t, fsys, name, out)
			continue
		}
		out[name] = string(content(t, fsys, name))
	}
}

// content is one file, decompressed.
func content(t testing.TB, fsys durable.Reader, name string) []byte {
	t.Helper()
	f, err := fsys.Open(name)
	must(t, err)
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(name, ".gz") {
		r, err = gzip.NewReader(f)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return b
}

// names are the keys in order.
func names[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// small is a study of two series.
func small() phantom.Study { return phantom.Study{Number: 1, Series: 2, Instances: 3, Size: 16} }

// Every file of the format's list is there, and a second round writes none.
func TestEveryFileIsThere(t *testing.T) {
	archive, current := crashfs.New(), crashfs.New()
	put(t, archive, parts(t, small())...)
	uid := uidOf(t, small().UID())
	g := regen.New(regen.Config{Archive: archive, Current: current, NoThumbnails: true})
	res := round(t, g, uid, noon())
	want := map[string]bool{}
	root := "studies/" + uid.String() + "/"
	for _, name := range []string{"studies.gz", "series.gz", "deduplicated.gz", "status.gz"} {
		want[root+name] = true
	}
	for i := range small().All() {
		series := root + "series/" + i.SeriesInstanceUID() + "/"
		want[series+"metadata.gz"], want[series+"instances.gz"] = true, true
		want[series+"instances/"+i.SOPInstanceUID()+"/frames/1"] = true
	}
	have := contents(t, current)
	bulk := 0
	maps.DeleteFunc(have, func(name, _ string) bool {
		if !strings.HasPrefix(name, root+"bulkdata/") {
			return false
		}
		bulk++
		return true
	})
	if !slices.Equal(names(have), names(want)) {
		t.Errorf("files:\n%s\nwant:\n%s", strings.Join(names(have), "\n"), strings.Join(names(want), "\n"))
	}
	if all := len(want) + bulk; res.Wrote != all || res.Files != all || bulk == 0 {
		t.Errorf("%+v for %d files", res, len(want))
	}
	ops := current.Ops()
	if res := round(t, g, uid, noon()); res.Wrote != 0 || res.Files != len(want)+bulk {
		t.Errorf("a second round: %+v", res)
	}
	for _, op := range strings.Split(current.Log(), "\n")[ops:] {
		if strings.HasPrefix(op, "write ") || strings.HasPrefix(op, "replace ") || strings.HasPrefix(op, "sync") {
			t.Errorf("a second round does: %s", op)
		}
	}
}

// The order of arrival makes no difference, and neither does a lost record.
func TestOrderMakesNoDifference(t *testing.T) {
	files := parts(t, small())
	uid := uidOf(t, small().UID())
	one, other, current, twin := crashfs.New(), crashfs.New(), crashfs.New(), crashfs.New()
	put(t, one, files...)
	for _, f := range slices.Backward(files) {
		put(t, other, f)
		round(t, regen.New(regen.Config{Archive: other, Current: twin, NoThumbnails: true}), uid, noon())
	}
	g := regen.New(regen.Config{Archive: one, Current: current, NoThumbnails: true})
	round(t, g, uid, noon())
	if a, b := contents(t, current), contents(t, twin); !maps.Equal(a, b) {
		t.Errorf("trees differ: %v", differing(a, b))
	}
	must(t, current.Remove(".dicomesh/studies/"+uid.String()+".gz"))
	if res := round(t, g, uid, noon()); res.Wrote != 0 {
		t.Errorf("without its record a round writes: %+v", res)
	}
}

func differing(a, b map[string]string) (out []string) {
	for name, content := range a {
		if b[name] != content {
			out = append(out, name)
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			out = append(out, name)
		}
	}
	return out
}
