package durable_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/durable/durabletest"
)

// A mover goes on making folders where it made some. What it makes it does not look at again; what it finds there it does. When it is closed nothing of that is open.
func TestMoverGrows(t *testing.T) {
	for way, wrap := range ways {
		t.Run(way, func(t *testing.T) {
			dir := t.TempDir()
			outside, root := filepath.Join(dir, "outside"), filepath.Join(dir, "root")
			must(t, os.MkdirAll(outside+"/b", 0o755))
			must(t, os.MkdirAll(root+"/tmp", 0o755))
			o := wrap(openOS(t, root))
			m := durable.NewMover(o)
			defer m.Close()
			staging := "tmp"
			move := func(to string) ([]string, error) {
				from := staging + "/" + strconv.Itoa(rand.Int())
				durabletest.Write(t, o, from, to)
				return m.Move(from, to)
			}
			for study := range 40 { // more folders than stay open, and any of them may be the one too many
				if study > 0 && study != 21 {
					staging = fmt.Sprintf("tmp/%d", study)
					must(t, os.Mkdir(filepath.Join(root, staging), 0o755))
				}
				for _, c := range []struct {
					name string
					made []string
				}{
					{"a/b/1", []string{"a", "a/b", "a/b/1"}}, {"a/b/2", []string{"a/b/2"}}, {"a/c/3", []string{"a/c", "a/c/3"}}, {"d/e/4", []string{"d", "d/e", "d/e/4"}},
				} {
					top := fmt.Sprintf("studies/%d/bulkdata", study)
					made, err := move(top + "/" + c.name)
					must(t, err)
					var want []string
					for _, w := range c.made {
						want = append(want, top+"/"+w)
					}
					if c.name == "a/b/1" {
						made = slices.DeleteFunc(made, func(s string) bool { return !strings.HasPrefix(s, top+"/") })
					}
					if !slices.Equal(made, want) {
						t.Errorf("%s made %q, want %q", c.name, made, want)
					}
					if got, err := os.ReadFile(filepath.Join(root, top, c.name)); err != nil || string(got) != top+"/"+c.name {
						t.Errorf("%s is %q, %v", c.name, got, err)
					}
				}
				top := filepath.Join(root, fmt.Sprintf("studies/%d/bulkdata", study))
				must(t, os.Symlink(outside, top+"/out"))
				must(t, os.Symlink(outside+"/b", top+"/a/link"))
				for _, name := range []string{"out/b/5", "out/new/5", "a/link/5"} {
					if _, err := move(fmt.Sprintf("studies/%d/bulkdata/new%s/x/6", study, path.Base(path.Dir(name)))); err != nil {
						t.Fatal(err)
					}
					made, err := move(fmt.Sprintf("studies/%d/bulkdata/%s", study, name))
					wantRefused(t, "move", name, err)
					if len(made) != 0 {
						t.Errorf("%s made %q", name, made)
					}
				}
				if _, err := move(fmt.Sprintf("studies/%d/bulkdata/a/b/1", study)); !errors.Is(err, fs.ErrExist) {
					t.Errorf("a name that is taken: %v", err)
				}
			}
			if left, err := os.ReadDir(outside + "/b"); err != nil || len(left) != 0 {
				t.Errorf("outside there is %v, %v", left, err)
			}
			must(t, m.Close())
			if open := openBelow(t, root); len(open) != 0 {
				t.Errorf("%d folders are still open: %s ...", len(open), open[0])
			}
		})
	}
}

// openBelow are the files and folders below a folder that this process has open.
func openBelow(t *testing.T, dir string) (open []string) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	for _, e := range entries {
		if name, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(name, dir+"/") {
			open = append(open, name)
		}
	}
	return open
}
