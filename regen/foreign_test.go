package regen_test

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/e2e/shareddata"
	"github.com/dicomesh/dicomesh/regen"
)

// goldenTree is a tree of another writer's in memory.
func goldenTree(t *testing.T, dir string) *crashfs.FS {
	t.Helper()
	out := crashfs.New()
	must(t, filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, p)
		must(t, err)
		b, err := os.ReadFile(p)
		must(t, err)
		if folder := path.Dir(filepath.ToSlash(name)); folder != "." {
			must(t, durable.MkdirAll(out, folder))
		}
		return durable.WriteFile(out, filepath.ToSlash(name), b)
	}))
	return out
}

// regenerated is the current tree of an archive.
func regenerated(t *testing.T, archive durable.Reader) map[string]string {
	t.Helper()
	current := crashfs.New()
	g := regen.New(regen.Config{Archive: archive, Current: current})
	studies, err := g.Studies()
	must(t, err)
	for _, uid := range studies {
		round(t, g, uid, noon())
		if res := round(t, g, uid, noon()); res.Wrote > 0 {
			t.Errorf("%s: a second round: %+v", uid, res)
		}
	}
	return contents(t, current)
}

// Frames that another writer keeps beside its records are published out of their envelopes: those that we have of the same input.
func TestForeignFrames(t *testing.T) {
	root := shareddata.Dir(t, "data", "golden")
	compared := 0
	for _, name := range []string{"ct-cr-two-studies", "ct-ge-private", "sc-rle-2frame", "us-palette", "suyash-1-2-3", "sr-rtstruct"} {
		var input [][]byte
		must(t, filepath.WalkDir(filepath.Join(root, name, "input"), func(p string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				var b []byte
				if b, err = os.ReadFile(p); err == nil && len(b) > 132 && string(b[128:132]) == "DICM" {
					input = append(input, b)
				}
			}
			return err
		}))
		ours := crashfs.New()
		put(t, ours, input...)
		want := regenerated(t, ours)
		for _, stage := range []string{"create-default", "stage1-instance", "stage3-metadata", "seed-dialect-2021"} {
			dir := filepath.Join(root, name, stage)
			if _, err := os.Stat(dir); err != nil {
				continue
			}
			got := regenerated(t, goldenTree(t, dir))
			checkReferences(t, got)
			for at, content := range want {
				if !strings.Contains(at, "/frames/") && path.Base(at) != "pixeldata" {
					continue
				}
				compared++
				if stage == "create-default" && got[at] != "" {
					continue // it has encoded them again
				}
				if got[at] != content {
					t.Errorf("%s %s: %s has %d bytes, want %d", name, stage, at, len(got[at]), len(content))
				}
			}
		}
	}
	if compared < 12 {
		t.Errorf("only %d frames were compared", compared)
	}
}

// checkReferences holds that what the JSON refers to is there; a writer that is not dicomesh is not held to every rule of JSON.
func checkReferences(t *testing.T, files map[string]string) {
	t.Helper()
	for name, text := range files {
		base := path.Dir(name)
		switch path.Base(name) {
		case "studies.gz":
			base = "."
		case "series.gz", "metadata.gz", "instances.gz":
		default:
			continue
		}
		for _, after := range strings.Split(text, `"BulkDataURI":"`)[1:] {
			uri, _, _ := strings.Cut(after, `"`)
			_, file := files[path.Join(base, uri)]
			_, frames := files[path.Join(base, uri, "1")]
			if !file && !frames {
				t.Errorf("%s: nothing answers %s", name, uri)
			}
		}
	}
}

// While a frame of another writer's is missing nothing is published.
func TestForeignFrameMissing(t *testing.T) {
	archive := goldenTree(t, shareddata.Dir(t, "data", "golden", "sc-rle-2frame", "stage3-metadata"))
	studies, _, err := dedup.NewTree(archive).Studies()
	must(t, err)
	folder, err := dedup.NewTree(archive).Study(studies[0])
	must(t, err)
	held, _, err := folder.Files()
	must(t, err)
	for _, h := range held {
		if !strings.HasSuffix(h.Path, "frames/2.mht") {
			continue
		}
		must(t, archive.Rename(h.Path, "late"))
		current := crashfs.New()
		g := regen.New(regen.Config{Archive: archive, Current: current})
		_, err := g.Study(t.Context(), studies[0], noon())
		var incomplete *regen.Incomplete
		if !errors.As(err, &incomplete) || len(incomplete.Missing) != 1 || !strings.HasSuffix(incomplete.Missing[0].Path(), "frames/2.mht") {
			t.Fatalf("without a frame: %v", err)
		}
		if left := contents(t, current); len(left) > 0 {
			t.Errorf("published all the same: %v", names(left))
		}
		must(t, archive.Rename("late", h.Path))
		round(t, g, studies[0], noon())
		return
	}
	t.Fatal("there is no second frame")
}
