package syncer

import (
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// tear replaces a file of a site by one that is cut short.
func (s *site) tear(study dedup.UID, ref dedup.Ref) {
	s.t.Helper()
	if err := os.Remove(filepath.Join(s.dir, "tree", ref.In(study))); err != nil {
		s.t.Fatal(err)
	}
	s.write(study, ref.Path(), []byte("torn"))
}

// superseded makes a study at a site that is one list, and has another one for which that accounts.
func (s *site) superseded(study dedup.UID) (older, leaf dedup.Ref) {
	s.t.Helper()
	for n := range 2 {
		s.instance(study, n, 1000)
	}
	older = s.combine(study)
	s.instance(study, 2, 1000)
	leaf = s.combine(study)
	for n := range 3 {
		s.collect(study, instanceRef(study, n))
	}
	return older, leaf
}

// TestDamagedList holds that a list which is damaged here is neither offered nor given to others, and comes back from a site that has it: one that counts, and one that another accounts for.
func TestDamagedList(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a leaf", "accounted for"} {
		t.Run(name, func(t *testing.T) {
			m := newMesh()
			a, b := m.start(t, "a", t.TempDir()), m.start(t, "b", t.TempDir())
			spoilt, leaf := a.superseded(study(1))
			if name == "a leaf" {
				spoilt = leaf
			}
			m.link(t.Context(), a, b)
			levelled(t, a, b)
			want := a.files()
			m.sever(t.Context(), a, b)
			a.tear(study(1), spoilt)
			a.look(study(1))
			state, heads, err := a.library.Heads(t.Context(), study(1))
			if err != nil || state.Flags&wire.Complete != 0 {
				t.Errorf("a site with a damaged list says that it has all: %+v, %v", state.Flags, err)
			}
			for _, h := range heads {
				if h.Ref == spoilt {
					t.Error("a damaged list is offered")
				}
			}
			m.mend(t.Context(), a, b)
			wait(t, func() bool { return maps.Equal(a.files(), want) })
			levelled(t, a, b)
			if said := a.blames("b") + b.blames("a"); said != "" || !maps.Equal(b.files(), want) {
				t.Errorf("blamed: %q; the damage has spread: %v", said, !maps.Equal(b.files(), want))
			}
		})
	}
}

// TestExhaustedBy holds that no other pull than one that came through tells that a site has nothing more to give, and that it tells so only of the states that it was of.
func TestExhaustedBy(t *testing.T) {
	for end, want := range map[end]bool{through: true, linkLost: false, notHere: false, atFault: false} {
		c, s, now := lone(t, linkUp{"a"})
		mine := wire.StudyState{UID: study(1), Leaf: dedup.Digest{1}, Change: 5} // not complete
		c.handle(local{study: mine, summary: wire.Summary{Incarnation: "mine", Root: c.hash(mine), Count: 1, Change: 5}}, now)
		c.handle(tick{}, now.Add(20*time.Second))
		if len(c.pulls) != 1 || s.Exhausted("a", mine) {
			t.Fatalf("%d pulls, and it is known that nothing comes of it: %v", len(c.pulls), s.Exhausted("a", mine))
		}
		c.handle(pulled{study: study(1), end: end}, now.Add(21*time.Second))
		if got := s.Exhausted("a", mine); got != want {
			t.Errorf("after a pull that ended as %d: %v", end, got)
		}
		later := mine
		later.Change++
		if s.Exhausted("a", later) || s.Exhausted("b", mine) {
			t.Error("it is known of what the core has not heard of")
		}
		c.handle(holds{"a", []held{{wire.StudyState{UID: study(1), Leaf: dedup.Digest{2}, Change: 9}, mine}}, true}, now.Add(22*time.Second))
		if s.Exhausted("a", mine) {
			t.Error("it holds something else since")
		}
	}
}

// TestExhausted holds when a site is known to have nothing that could mend a study here: not before it was asked, not of a link that is down, and when all that it offers has come.
func TestExhausted(t *testing.T) {
	t.Parallel()
	m := newMesh()
	a, b := m.start(t, "a", t.TempDir()), m.start(t, "b", t.TempDir())
	older, _ := a.superseded(study(1))
	m.link(t.Context(), a, b)
	levelled(t, a, b)
	b.collect(study(1), older)
	exhausted := func() bool {
		state, err := a.library.State(t.Context(), study(1))
		if err != nil {
			t.Fatal(err)
		}
		return a.syncer.Exhausted("b", state)
	}
	m.sever(t.Context(), a, b)
	a.tear(study(1), older)
	a.look(study(1))
	wait(t, func() bool { // until the core has heard of it
		state, err := a.library.State(t.Context(), study(1))
		a.syncer.mu.Lock()
		defer a.syncer.mu.Unlock()
		return err == nil && a.syncer.core.mine.Change >= state.Change && !a.syncer.core.sites["b"].up
	})
	if exhausted() {
		t.Error("a site that there is no link to is known to have nothing")
	}
	m.mend(t.Context(), a, b)
	wait(t, exhausted)
	if !a.has(study(1), older) || b.has(study(1), older) {
		t.Error("the list is not as it was left")
	}
}
