package syncer

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/syncer/wire"
)

// values are the paths of a site's values, in order.
func (s *site) values() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(s.files())), func(p string) bool { return !strings.HasSuffix(p, ".raw") })
}

// lose removes a file of a study behind a site's back; the site finds that out.
func (s *site) lose(path string) {
	s.t.Helper()
	if err := os.Remove(filepath.Join(s.dir, "tree", "studies", path)); err != nil {
		s.t.Fatal(err)
	}
	s.look(study(1))
}

// TestDifferentLosses: each site has lost another value of a study, and none has all of it. They have the same leaves, and yet they are not level, and mend each other.
func TestDifferentLosses(t *testing.T) {
	t.Parallel()
	m := newMesh()
	a, b, c := m.start(t, "a", t.TempDir()), m.start(t, "b", t.TempDir()), m.start(t, "c", t.TempDir())
	for n := range 4 {
		a.instance(study(1), n, 1000)
	}
	a.look(study(1))
	m.link(t.Context(), a, b)
	m.link(t.Context(), a, c)
	m.link(t.Context(), b, c)
	levelled(t, a, b, c)
	want, values := a.files(), a.values()
	if len(values) < 4 {
		t.Fatalf("there are %d values", len(values))
	}
	m.sever(t.Context(), a, b)
	m.sever(t.Context(), a, c)
	m.sever(t.Context(), b, c)
	a.lose(values[0])
	b.lose(values[1])
	c.lose(values[2])
	flags := map[wire.Flags]bool{}
	for _, s := range []*site{a, b, c} {
		state, err := s.library.State(t.Context(), study(1))
		if err != nil || state.Flags&wire.Complete != 0 {
			t.Fatalf("%s says that it has all: %v, %v", s.name, state, err)
		}
		flags[state.Flags] = true
	}
	if len(flags) != 3 {
		t.Errorf("sites that want different files say the same: %v", flags)
	}
	m.mend(t.Context(), a, b)
	m.mend(t.Context(), a, c)
	m.mend(t.Context(), b, c)
	wait(t, func() bool {
		return maps.Equal(a.files(), want) && maps.Equal(b.files(), want) && maps.Equal(c.files(), want)
	})
	levelled(t, a, b, c)
	if said := a.blames("b") + a.blames("c") + b.blames("a") + b.blames("c") + c.blames("a") + c.blames("b"); said != "" {
		t.Errorf("blamed: %q", said)
	}
}

// TestSameLoss: what both have lost comes from nobody. They are level in it, neither blames the other, and both say that it is not complete.
func TestSameLoss(t *testing.T) {
	t.Parallel()
	m := newMesh()
	a, b := m.start(t, "a", t.TempDir()), m.start(t, "b", t.TempDir())
	a.instance(study(1), 0, 1000)
	a.instance(study(1), 1, 1000)
	a.look(study(1))
	m.link(t.Context(), a, b)
	levelled(t, a, b)
	m.sever(t.Context(), a, b)
	lost := a.values()[0]
	a.lose(lost)
	b.lose(lost)
	m.mend(t.Context(), a, b)
	levelled(t, a, b)
	for _, s := range []*site{a, b} {
		if state, err := s.library.State(t.Context(), study(1)); err != nil || state.Flags&wire.Complete != 0 {
			t.Errorf("%s says that it has all: %v, %v", s.name, state, err)
		}
	}
	if said := a.blames("b") + b.blames("a"); said != "" {
		t.Errorf("blamed: %q", said)
	}
}
