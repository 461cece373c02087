package regen_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/regen"
)

// hostile puts things into a study of an archive on disk that nobody should: links, names, files that are none.
func hostile(t *testing.T, study string) {
	t.Helper()
	secret := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(secret, []byte("secret"), 0o600))
	for _, dir := range []string{"bulkdata/abc/de", "series/1.2.3/instances/1.2.3.4/frames", "deduplicated/instances", "variants/instances"} {
		must(t, os.MkdirAll(filepath.Join(study, dir), 0o755))
	}
	for _, name := range []string{"bulkdata/abc/de/0123456789012345678901234567890123456789012345678901234.raw", "deduplicated/" + strings.Repeat("a", 64) + ".gz",
		"deduplicated/instances/1.2.3.5.gz", "series/1.2.3/instances/1.2.3.4/frames/1", "series/1.2.3/instances/1.2.3.4/frames/2.mht", "thumbnail"} {
		must(t, os.Symlink(secret, filepath.Join(study, name)))
	}
	must(t, os.Symlink(filepath.Dir(secret), filepath.Join(study, "bulkdata/abd")))
	for _, name := range []string{"deduplicated/..%2f..%2fsecret.gz", "deduplicated/instances/....gz", "deduplicated/instances/-.gz", "bulkdata/abc/de/\\..\\x", "\n", "deduplicated/tempFile-1"} {
		must(t, os.WriteFile(filepath.Join(study, name), []byte("secret"), 0o600))
	}
}

// Links, odd names and empty files in a study of the archive are never published, and keep nothing else back.
func TestHostileArchive(t *testing.T) {
	dir, current := t.TempDir(), crashfs.New()
	archive, err := durable.OpenOS(dir)
	must(t, err)
	defer archive.Close()
	put(t, archive, parts(t, small())...)
	uid := uidOf(t, small().UID())
	clean := crashfs.New()
	round(t, regen.New(regen.Config{Archive: archive, Current: clean}), uid, noon())
	hostile(t, filepath.Join(dir, "studies", uid.String()))
	round(t, regen.New(regen.Config{Archive: archive, Current: current}), uid, noon())
	if got, want := contents(t, current), contents(t, clean); !maps.Equal(got, want) {
		t.Errorf("other files: %v", differing(got, want))
	}
}

// A link, a folder or a fifo in the place of a value of the archive is the value's absence, also a link to the very bytes: nothing is published of it, by no way in which files are shared.
func TestHostileValues(t *testing.T) {
	dir := t.TempDir()
	archive, err := durable.OpenOS(dir)
	must(t, err)
	defer archive.Close()
	put(t, archive, parts(t, tiny())...)
	uid := uidOf(t, tiny().UID())
	away := filepath.Join(t.TempDir(), "away")
	values, err := filepath.Glob(filepath.Join(dir, "studies", uid.String(), "bulkdata", "*", "*", "*"))
	if err != nil || len(values) < 4 {
		t.Fatalf("%d values, %v", len(values), err)
	}
	for _, name := range values {
		for kind, place := range map[string]func() error{
			"a link":   func() error { return os.Symlink(away, name) },
			"a folder": func() error { return os.Mkdir(name, 0o755) },
			"a fifo":   func() error { return syscall.Mkfifo(name, 0o644) },
		} {
			must(t, os.Rename(name, away))
			must(t, place())
			current := openDisk(t)
			_, err := onDisk(archive, current, true).Study(t.Context(), uid, noon())
			var incomplete *regen.Incomplete
			if !errors.As(err, &incomplete) || len(incomplete.Missing) != 1 {
				t.Errorf("%s in the place of %s: %v", kind, filepath.Base(name), err)
			}
			if _, err := current.Lstat("studies"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s in the place of %s: something is published: %v", kind, filepath.Base(name), err)
			}
			must(t, os.Remove(name))
			must(t, os.Rename(away, name))
		}
	}
}

// A list that is torn, empty, a bomb or no list at all keeps the study as it was: what it may have corrected is not known.
func TestHostileHeads(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	for range 16 {
		_, err := z.Write(make([]byte, 1<<20))
		must(t, err)
	}
	must(t, z.Close())
	whole := dedup.Compress(nil, []byte(`[{"00080018":{"Value":["1.2.3.4"],"vr":"UI"}}]`))
	for name, bytes := range map[string][]byte{"empty": {}, "torn": whole[:len(whole)-9], "no gzip": []byte("[]"), "a bomb": bomb.Bytes(),
		"no JSON": dedup.Compress(nil, []byte("{")), "deep": dedup.Compress(nil, []byte(strings.Repeat(`[`, 1<<20)))} {
		archive, current := crashfs.New(), crashfs.New()
		put(t, archive, parts(t, tiny())...)
		uid := uidOf(t, tiny().UID())
		g := regen.New(regen.Config{Archive: archive, Current: current})
		round(t, g, uid, noon())
		before := contents(t, current)
		must(t, durable.WriteFile(archive, "studies/"+uid.String()+"/deduplicated/"+strings.Repeat("b", 64)+".gz", bytes))
		_, err := g.Study(t.Context(), uid, noon())
		var incomplete *regen.Incomplete
		if !errors.As(err, &incomplete) || len(incomplete.Faults) != 1 {
			t.Errorf("%s: %v", name, err)
		}
		if after := contents(t, current); !maps.Equal(before, after) {
			t.Errorf("%s: changed %v", name, differing(before, after))
		}
	}
}

// What somebody puts into the current tree is not followed, stands in nobody's way, and goes.
func TestHostileCurrent(t *testing.T) {
	archive := openDisk(t)
	put(t, archive, parts(t, small())...)
	uid := uidOf(t, small().UID())
	dir := t.TempDir()
	current, err := durable.OpenOS(dir)
	must(t, err)
	defer current.Close()
	g := onDisk(archive, current, false)
	round(t, g, uid, noon())
	want := contents(t, current)
	outside := t.TempDir()
	must(t, os.WriteFile(filepath.Join(outside, "keep"), []byte("keep"), 0o600))
	study := filepath.Join(dir, "studies", uid.String())
	var series string
	for i := range small().All() {
		series = filepath.Join(study, "series", i.SeriesInstanceUID())
	}
	for name, spoil := range map[string]func() error{
		"a link in place of a file": func() error {
			return errors.Join(os.Remove(study+"/studies.gz"), os.Symlink(outside+"/keep", study+"/studies.gz"))
		},
		"a folder in place of a file": func() error {
			return errors.Join(os.Remove(study+"/series.gz"), os.MkdirAll(study+"/series.gz/a/b", 0o755), os.WriteFile(study+"/series.gz/a/x", nil, 0o600))
		},
		"a file in place of a folder": func() error { return errors.Join(os.RemoveAll(series), os.WriteFile(series, []byte("x"), 0o600)) },
		"a link in place of a folder": func() error { return errors.Join(os.RemoveAll(series), os.Symlink(outside, series)) },
		"a link in place of all":      func() error { return errors.Join(os.RemoveAll(study), os.Symlink(outside, study)) },
		"a stray link":                func() error { return os.Symlink(outside, filepath.Join(study, "bulkdata", "link")) },
		"an empty file": func() error {
			return errors.Join(os.Remove(study+"/deduplicated.gz"), os.WriteFile(study+"/deduplicated.gz", nil, 0o600))
		},
		"a long file": func() error {
			return errors.Join(os.Remove(study+"/deduplicated.gz"), os.WriteFile(study+"/deduplicated.gz", make([]byte, 1<<20), 0o600))
		},
	} {
		must(t, spoil())
		if _, err := g.Study(t.Context(), uid, noon()); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		round(t, g, uid, noon().Add(2*regen.Grace))
		if got := contents(t, current); !maps.Equal(got, want) {
			t.Errorf("%s: %v", name, differing(got, want))
		}
		if res := round(t, g, uid, noon().Add(2*regen.Grace)); res.Changed() {
			t.Errorf("%s: a third round: %+v", name, res)
		}
		if kept, err := os.ReadDir(outside); err != nil || len(kept) != 1 {
			t.Errorf("%s: outside there is %v, %v", name, kept, err)
		}
	}
}
