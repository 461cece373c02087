package syncer

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/dicomesh/dicomesh/syncer/wire"
)

// TestOnDiskAlready holds that a site whose index is new, and which nobody has looked through yet, fetches nothing that lies on its disk.
func TestOnDiskAlready(t *testing.T) {
	m := newMesh()
	var fetches atomic.Int32
	m.hook = func(from, _ string, use Use, _ Stream) bool {
		if from == "b" && use == Fetch {
			fetches.Add(1)
		}
		return false
	}
	a := m.start(t, "a", t.TempDir())
	for n := range 40 {
		a.instance(study(n%4), n, 5000)
	}
	a.write(study(1), "letter.pdf", []byte("not DICOM"))
	for n := range 4 {
		a.look(study(n))
	}
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "tree", "studies"), os.DirFS(filepath.Join(a.dir, "tree", "studies"))); err != nil {
		t.Fatal(err)
	}
	m.survey = func(*site) error { return nil }
	b := m.start(t, "b", dir)
	m.link(t.Context(), a, b)
	levelled(t, a, b)
	if n := fetches.Load(); n > 0 {
		t.Errorf("%d requests for what is here", n)
	}
	a.instance(study(1), 100, 5000) // and what is not here comes
	a.look(study(1))
	levelled(t, a, b)
	if fetches.Load() == 0 {
		t.Error("requests are not counted")
	}
}

// TestDamagedHere holds that a value which is torn or gone here is not given to others, that this site says that it lacks it, and that it comes back from a site that has it: while this
// site runs, and when it was damaged while it did not.
func TestDamagedHere(t *testing.T) {
	for _, stopped := range []string{"running", "stopped"} {
		t.Run(stopped, func(t *testing.T) {
			m := newMesh()
			a, b := m.start(t, "a", t.TempDir()), m.start(t, "b", t.TempDir())
			for n := range 3 {
				a.instance(study(1), n, 3000)
			}
			a.look(study(1))
			m.link(t.Context(), a, b)
			levelled(t, a, b)
			want := a.files()
			m.sever(t.Context(), a, b)
			if stopped == "stopped" {
				a.stop()
			}
			torn, gone := a.spoil(want)
			if stopped == "stopped" {
				a = m.start(t, "a", a.dir)
			} else {
				a.look(study(1))
			}
			state, err := a.library.State(t.Context(), study(1))
			if err != nil || state.Flags&wire.Complete != 0 {
				t.Errorf("a site that lacks two values says that it has all: %+v, %v", state.Flags, err)
			}
			shelf, err := a.library.Shelf(t.Context(), study(1))
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{torn, gone} {
				if _, err := shelf.Open(mustRef(t, name), [32]byte{}); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("a damaged value is given out: %v", err)
				}
			}
			m.mend(t.Context(), a, b)
			wait(t, func() bool { return maps.Equal(a.files(), want) })
			levelled(t, a, b)
			if !maps.Equal(b.files(), want) {
				t.Error("the damage has spread")
			}
		})
	}
}

// spoil tears one value of the first study and removes another.
func (s *site) spoil(files map[string]string) (torn, gone string) {
	s.t.Helper()
	var values []string
	for name := range files {
		if strings.HasSuffix(name, ".raw") {
			values = append(values, name)
		}
	}
	slices.Sort(values)
	first, second := filepath.Join(s.dir, "tree", "studies", values[0]), filepath.Join(s.dir, "tree", "studies", values[1])
	if err := errors.Join(os.Remove(first), os.WriteFile(first, []byte("torn"), 0o644), os.Remove(second)); err != nil {
		s.t.Fatal(err)
	}
	_, torn, _ = strings.Cut(values[0], "/")
	_, gone, _ = strings.Cut(values[1], "/")
	return torn, gone
}
