package syncer

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/combine"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// overheard counts which files a site asks for.
type overheard struct {
	mu    sync.Mutex
	asked map[string]int // by path in the study
}

// listen has a mesh's requests overheard that a site makes.
func (o *overheard) listen(m *mesh, asker string) {
	o.asked = map[string]int{}
	m.hook = func(from, to string, use Use, s Stream) bool {
		m.mu.Lock()
		there := m.sites[to]
		m.mu.Unlock()
		if use != Fetch || from != asker || there == nil {
			return false
		}
		heard := &heard{Stream: s}
		_ = there.syncer.Serve(there.ctx, from, use, heard)
		o.mu.Lock()
		defer o.mu.Unlock()
		for said := bufio.NewReader(&heard.said); ; {
			x, err := wire.Read(said, wire.MaxFrame)
			if err != nil {
				return true
			}
			if f, is := x.(*wire.Fetch); is {
				for _, w := range f.Files {
					o.asked[w.Ref.Path()]++
				}
			}
		}
	}
}

func (o *overheard) count(ref dedup.Ref) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.asked[ref.Path()]
}

// heard is a stream that remembers what was said on it.
type heard struct {
	Stream
	said bytes.Buffer
}

func (h *heard) Read(b []byte) (int, error) {
	n, err := h.Stream.Read(b)
	_, _ = h.said.Write(b[:n])
	return n, err
}

// combine combines a study at a site, and returns the list.
func (s *site) combine(study dedup.UID) dedup.Ref {
	s.t.Helper()
	c, err := combine.New(combine.Config{Tree: s.fs}).Study(s.t.Context(), study)
	if err != nil || c.List.Ref == (dedup.Ref{}) {
		s.t.Fatalf("combine: %+v, %v", c.Reason, err)
	}
	s.look(study)
	return c.List.Ref
}

// collect removes a file as package combine does when it has been accounted for long enough: first from the index, so that nobody is offered what is about to go.
func (s *site) collect(study dedup.UID, ref dedup.Ref) {
	s.t.Helper()
	if err := s.library.Gone(s.t.Context(), study, []string{ref.In(study)}); err != nil {
		s.t.Fatal(err)
	}
	for e, err := range s.index.Files(s.t.Context(), study) {
		if err != nil || e.Ref == ref {
			s.t.Fatalf("the index has %v, which is about to be removed: %v", e.Ref, err)
		}
	}
	if err := s.fs.Remove(ref.In(study)); err != nil {
		s.t.Fatal(err)
	}
	s.look(study)
}

// instanceRef is the file of an instance that site.instance wrote.
func instanceRef(study dedup.UID, n int) dedup.Ref {
	return dedup.Ref{Class: dedup.Instance, Name: fmt.Sprintf("%s.%d", study, n)}
}

func (s *site) has(study dedup.UID, ref dedup.Ref) bool {
	_, err := s.fs.Lstat(ref.In(study))
	return err == nil
}

// equal waits until sites have the same digest tree, and nothing is pulled.
func equal(t *testing.T, sites ...*site) {
	t.Helper()
	wait(t, func() bool {
		for _, s := range sites {
			for _, x := range s.syncer.Status().Sites {
				if x.Pulls > 0 || !x.Level {
					return false
				}
			}
			if s.library.Summary().Root != sites[0].library.Summary().Root {
				return false
			}
		}
		return true
	})
}

// TestCollectedStaysAway: a list that this site has collected does not come back because a neighbour still has it, however often the study changes: it travels once
// more, and is seen to say nothing that is not here. A neighbour that has not the list which says it all is not asked for instance files either.
func TestCollectedStaysAway(t *testing.T) {
	m := newMesh()
	var o overheard
	o.listen(m, "b")
	a, b := m.start(t, "a", t.TempDir()), m.start(t, "b", t.TempDir())
	m.link(t.Context(), a, b)
	uid := study(1)
	for n := range 2 {
		a.instance(uid, n, 1000)
	}
	a.look(uid)
	older := a.combine(uid)
	a.instance(uid, 2, 1000)
	a.look(uid)
	leaf := a.combine(uid)
	equal(t, a, b)
	if !b.has(uid, older) || !b.has(uid, leaf) {
		t.Fatal("lists that nobody has collected did not come") // both were leaves, or may explain what somebody has
	}
	b.collect(uid, older)
	asked := o.count(older)
	for n := 3; n < 6; n++ {
		a.instance(uid, n, 1000)
		a.look(uid)
		equal(t, a, b)
		if !b.has(uid, instanceRef(uid, n)) || b.has(uid, older) {
			t.Fatalf("after instance %d: it is there: %v; the list that was collected is back: %v", n, b.has(uid, instanceRef(uid, n)), b.has(uid, older))
		}
	}
	if more := o.count(older) - asked; more > 1 {
		t.Errorf("the list came %d times to be refused", more)
	}
}

// TestAccountedStaysAway: an instance file that this site has collected is not taken from one that has not the list yet, which gets it.
func TestAccountedStaysAway(t *testing.T) {
	m := newMesh()
	a, b := m.start(t, "a", t.TempDir()), m.start(t, "b", t.TempDir())
	uid := study(1)
	for n := range 3 {
		a.instance(uid, n, 1000)
		b.instance(uid, n, 1000)
	}
	a.look(uid)
	b.look(uid)
	leaf := b.combine(uid)
	for n := range 3 {
		b.collect(uid, instanceRef(uid, n))
	}
	m.link(t.Context(), a, b)
	equal(t, a, b)
	if !a.has(uid, leaf) {
		t.Error("the list did not come to the site that lacked it")
	}
	for n := range 3 {
		if b.has(uid, instanceRef(uid, n)) {
			t.Errorf("instance file %d is back", n)
		}
	}
}

// TestSparedWhereComplete: of a study that lacks something nothing is spared, though a list says it all: it may be what the study is healed from.
func TestSparedWhereComplete(t *testing.T) {
	s := newMesh().start(t, "a", t.TempDir())
	uid := study(1)
	for n := range 2 {
		s.instance(uid, n, 1000)
	}
	s.look(uid)
	text, err := os.ReadFile(filepath.Join(s.dir, "tree", instanceRef(uid, 0).In(uid)))
	if err != nil {
		t.Fatal(err)
	}
	content, _, err := content(instanceRef(uid, 0), text)
	if err != nil {
		t.Fatal(err)
	}
	f := dedup.ParseFile(instanceRef(uid, 0), content)
	leaf := s.combine(uid)
	s.collect(uid, instanceRef(uid, 0))
	spared := func() dedup.Ref {
		shelf, err := s.library.Shelf(t.Context(), uid)
		if err != nil {
			t.Fatal(err)
		}
		by, err := shelf.Spared(t.Context(), []dedup.File{f})
		if err != nil {
			t.Fatal(err)
		}
		return by[0].Ref
	}
	if spared() != leaf {
		t.Error("the list does not spare what it says")
	}
	for name := range s.files() {
		if strings.HasSuffix(name, ".raw") {
			if err := s.fs.Remove("studies/" + name); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.look(uid)
	if spared() != (dedup.Ref{}) {
		t.Error("a list of which values are missing spares something")
	}
}
