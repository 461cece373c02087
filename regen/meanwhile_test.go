package regen_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup/combine"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/phantom"
	"github.com/dicomesh/dicomesh/regen"
)

// combining is a tree whose files are combined and collected between the listing and the first look at one of them, or the first reading.
type combining struct {
	*crashfs.FS
	looked, read func()
}

func (c *combining) Lstat(name string) (fs.FileInfo, error) {
	happen(&c.looked, name)
	return c.FS.Lstat(name)
}

func (c *combining) Open(name string) (durable.File, error) {
	happen(&c.read, name)
	return c.FS.Open(name)
}

func happen(what *func(), name string) {
	if once := *what; once != nil && strings.Contains(name, "/instances/") {
		*what = nil
		once()
	}
}

// TestCombinedMeanwhile holds that a round of a study that others combine and collect just then lists it again, and shows all of it.
func TestCombinedMeanwhile(t *testing.T) {
	for _, when := range []string{"looked at", "read"} {
		tree, current := &combining{FS: crashfs.New()}, crashfs.New()
		study := phantom.Study{Number: 1, Series: 1, Instances: 3, Size: 16}
		put(t, tree.FS, parts(t, study)...)
		uid := uidOf(t, study.UID())
		collect := func() {
			c := combine.New(combine.Config{Tree: tree.FS})
			_, err := c.Study(t.Context(), uid)
			gone, err2 := c.Collect(t.Context(), uid)
			if err = errors.Join(err, err2); err != nil || len(gone.Remove) != 3 {
				t.Errorf("%d collected: %v", len(gone.Remove), err)
			}
		}
		if when == "read" {
			tree.read = collect
		} else {
			tree.looked = collect
		}
		res := round(t, regen.New(regen.Config{Archive: tree, Current: current}), uid, noon())
		if tree.read != nil || tree.looked != nil {
			t.Errorf("%s: nothing was combined meanwhile", when)
		}
		if again := round(t, regen.New(regen.Config{Archive: tree.FS, Current: current}), uid, noon()); res.Wrote == 0 || again.Wrote != 0 || again.Leaves != res.Leaves {
			t.Errorf("%s: wrote %d files, then %d", when, res.Wrote, again.Wrote)
		}
	}
}
