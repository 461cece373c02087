package syncer

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
)

// TestReplaced puts something else in the place of a value while its site runs, a link to the very bytes among it. It is not given to who asks for it, who asks is what has the site look, and it comes back from who has it.
func TestReplaced(t *testing.T) {
	t.Parallel()
	for kind, place := range map[string]func(name, away string) error{
		"a link":   func(name, away string) error { return os.Symlink(away, name) },
		"a folder": func(name, _ string) error { return os.Mkdir(name, 0o755) },
		"a fifo":   func(name, _ string) error { return syscall.Mkfifo(name, 0o644) },
		"nothing":  func(string, string) error { return nil },
	} {
		t.Run(kind, func(t *testing.T) {
			m := newMesh()
			a, b := m.start(t, "a", t.TempDir()), m.start(t, "b", t.TempDir())
			a.instance(study(1), 1, 3000)
			a.look(study(1))
			m.link(t.Context(), a, b)
			levelled(t, a, b)
			want := a.files()
			var value string
			for name := range want {
				if strings.HasSuffix(name, ".raw") {
					value = name
				}
			}
			at, away := filepath.Join(a.dir, "tree", "studies", value), filepath.Join(t.TempDir(), "away")
			if err := errors.Join(os.Rename(at, away), place(at, away)); err != nil {
				t.Fatal(err)
			}
			shelf, err := a.library.Shelf(t.Context(), study(1))
			if err != nil {
				t.Fatal(err)
			}
			_, inside, _ := strings.Cut(value, "/")
			if book, err := shelf.Open(mustRef(t, inside), dedup.Digest{}); err == nil {
				t.Errorf("%d bytes are given out", book.Size)
			}
			select {
			case uid := <-a.amiss:
				a.look(uid)
			default:
				t.Fatal("nobody is told")
			}
			wait(t, func() bool {
				info, err := os.Lstat(at)
				return err == nil && info.Mode().IsRegular() && maps.Equal(a.files(), want)
			})
			levelled(t, a, b)
		})
	}
}
