package syncer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/durable/durabletest"
)

// sharing is some pulls of one study that share a depot on a file system that may crash. A file's bytes are the names of those that it refers to.
type sharing struct {
	ctx    context.Context
	depot  *depot
	stored map[string]bool // the names of what a pull has waited for in vain or not: what nobody failed to make durable
	needs  map[string][]string
}

// part is one pull.
type part struct {
	*sharing
	t       *transfer
	closure closure
	put     []receipt
	heads   []string
}

func (s *sharing) pull() *part {
	return &part{sharing: s, t: &transfer{puller: &puller{depot: s.depot}, study: study(1)}, closure: closure{found: map[dedup.Ref]string{}}}
}

func sharedValue(n int) dedup.Ref {
	return dedup.Ref{Class: dedup.Bulkdata, Name: fmt.Sprintf("%064x", n), Ext: ".raw"}
}

func sharedHead(class dedup.Class, n int) dedup.Ref {
	if class == dedup.List {
		return dedup.Ref{Class: dedup.List, Name: fmt.Sprintf("%064x", n)}
	}
	return dedup.Ref{Class: dedup.Instance, Name: fmt.Sprintf("1.2.%d", n)}
}

// value brings a value, which is not waited for.
func (p *part) value(n int) error {
	r, err := p.depot.put(p.t.study, sharedValue(n), nil)
	p.closure.put = append(p.closure.put, r)
	return err
}

// head stages a head that refers to values, of which one may be found in the tree and not be this pull's.
func (p *part) head(class dedup.Class, n, found int, values ...int) error {
	h := head{ref: sharedHead(class, n)}
	name := h.ref.In(p.t.study)
	for _, v := range append(values, found) {
		if v == 0 {
			continue
		}
		h.needs = append(h.needs, sharedValue(v))
		p.needs[name] = append(p.needs[name], sharedValue(v).In(p.t.study))
	}
	if found > 0 {
		p.closure.found[sharedValue(found)] = sharedValue(found).In(p.t.study)
	}
	h.stored = []byte(strings.Join(p.needs[name], " "))
	put, err := p.t.stage(p.ctx, []head{h}, p.closure)
	p.put, p.heads = append(p.put, put...), append(p.heads, name)
	return err
}

// wait ends a pull: its heads are acknowledged if it returns nil.
func (p *part) wait() error {
	err := waitAll(p.ctx, append(p.put, p.closure.put...))
	for _, name := range p.heads {
		p.stored[name] = err == nil
	}
	return err
}

// full has the open load committed as if it were full, and returns when its turn has come.
func (s *sharing) full() error {
	s.depot.mu.Lock()
	l := s.depot.open
	s.depot.open = nil
	s.depot.begin(l)
	s.depot.mu.Unlock()
	for len(s.depot.turn) > 0 {
		select {
		case <-l.done:
			return nil
		case <-time.After(100 * time.Microsecond):
		}
	}
	return nil
}

// run lets pulls share batches in the ways that there are: heads beside the values of other pulls in one batch, heads whose values are in two, of which one
// is on its way, and a head that relies on a value which another pull's batch has shown, or is about to.
func (s *sharing) run(fsys durable.FS) error {
	staging, err := durable.OpenStaging(fsys, ".dicomesh/tmp")
	if err != nil {
		return err
	}
	defer staging.Close()
	s.depot = newDepot(staging, func(string, string) (string, error) { return "", nil }, nil)
	s.depot.linger = 0
	defer s.depot.stop()
	a, b, c, d, e := s.pull(), s.pull(), s.pull(), s.pull(), s.pull()
	for _, step := range []func() error{
		func() error { return a.value(1) },
		func() error { return a.head(dedup.Instance, 1, 0, 1) },
		func() error { return b.value(2) },
		func() error { return b.head(dedup.List, 2, 0, 2) },
		a.wait, b.wait,
		func() error { return a.value(3) },
		s.full,
		func() error { return a.value(4) },
		func() error { return b.value(5) },
		func() error { return b.head(dedup.List, 5, 0, 5) },
		func() error { return a.head(dedup.Instance, 3, 0, 3, 4) },
		func() error { return c.head(dedup.List, 6, 1) },
		c.wait, b.wait, a.wait,
		func() error { return d.value(7) }, // e finds it when its name can be seen, which may be taken back
		s.full,
		func() error { return e.head(dedup.List, 8, 7) },
		e.wait,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// check looks from outside: a head that can be seen is whole, and so is all that it refers to; what was acknowledged can be seen.
func (s *sharing) check(fsys durable.FS) error {
	var errs []error
	for name, needs := range s.needs {
		data, err := durabletest.Read(fsys, name)
		if errors.Is(err, fs.ErrNotExist) && !s.stored[name] {
			continue
		}
		if err != nil || string(data) != strings.Join(needs, " ") {
			errs = append(errs, fmt.Errorf("%s, acknowledged: %v, is %q: %w", name, s.stored[name], data, err))
		}
		for _, need := range needs {
			if _, err := fsys.Lstat(need); err != nil {
				errs = append(errs, fmt.Errorf("%s can be seen: %w", name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// TestDepotOrder crashes pulls that share batches, and has each operation fail in both ways, at every operation: whatever is left, no list and no instance file
// stands without its values, and what was acknowledged stands.
func TestDepotOrder(t *testing.T) {
	hooks := map[string]func(k int) func(crashfs.Op) (bool, error){
		"crash":               crashfs.CrashAt,
		"failed":              func(k int) func(crashfs.Op) (bool, error) { return crashfs.FailAt(k, false, syscall.EIO) },
		"failed and happened": func(k int) func(crashfs.Op) (bool, error) { return crashfs.FailAt(k, true, syscall.EIO) },
	}
	for name, hook := range hooks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for k, cut := 0, true; cut; k++ {
				f := crashfs.New()
				reached := false
				f.Hook = func(o crashfs.Op) (bool, error) {
					reached = reached || o.N >= k
					return hook(k)(o)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				s := &sharing{ctx: ctx, stored: map[string]bool{}, needs: map[string][]string{}}
				err := s.run(f)
				cancel()
				if cut = reached; !cut && err != nil {
					t.Fatalf("undisturbed: %v", err)
				}
				f.Hook = nil
				for seed := range uint64(8) {
					if err := s.check(f.Crash(rand.New(rand.NewPCG(uint64(k), seed)))); err != nil {
						t.Fatalf("at operation %d, seed %d: %v", k, seed, err)
					}
				}
				if k > 2000 {
					t.Fatal("it never ends")
				}
			}
		})
	}
}

// TestOneBrokenStudy holds that a study whose folder cannot be written into, here because a file stands where a folder should be, does not keep others from coming: their files are
// committed together with its own. And that it comes itself when that is mended.
func TestOneBrokenStudy(t *testing.T) {
	t.Parallel()
	m := newMesh()
	a, b := m.start(t, "a", t.TempDir()), m.start(t, "b", t.TempDir())
	for n := range 8 {
		for i := range 3 {
			a.instance(study(n), i, 3000)
		}
		a.look(study(n))
	}
	b.write(study(0), "bulkdata", []byte("not a folder"))
	m.link(t.Context(), a, b)
	wait(t, func() bool {
		for n := range 7 {
			if !b.alike(a, study(n+1)) {
				return false
			}
		}
		return b.count(Failed) > 0
	})
	failed := b.count(Failed)
	wait(t, func() bool { return b.count(Failed) > failed }) // and it is tried again
	if err := os.Remove(filepath.Join(b.dir, "tree", "studies", study(0).String(), "bulkdata")); err != nil {
		t.Fatal(err)
	}
	wait(t, func() bool { return b.alike(a, study(0)) })
}

// TestPutNowhere holds that a file for which nothing can be staged failed here: it is told, and not taken for a link that was cut.
func TestPutNowhere(t *testing.T) {
	t.Parallel()
	m := newMesh()
	b := m.start(t, "b", t.TempDir())
	if err := os.RemoveAll(filepath.Join(b.dir, "tree", ".dicomesh", "tmp")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.syncer.puller.depot.put(study(0), sharedValue(0), []byte("value")); !notStored(err) {
		t.Errorf("%v", err)
	}
}

// TestPutAlone holds that the files of a study that failed are in nobody's batch, and that others are.
func TestPutAlone(t *testing.T) {
	t.Parallel()
	m := newMesh()
	b := m.start(t, "b", t.TempDir())
	d := b.syncer.puller.depot
	b.write(study(0), "bulkdata", []byte("not a folder"))
	put := func(n int) error {
		ref := sharedValue(n)
		r, err := d.put(study(n), ref, []byte("value"))
		if err == nil {
			err = r.wait(t.Context())
		}
		return err
	}
	if err := put(0); !notStored(err) {
		t.Fatalf("it is stored in a folder that is none: %v", err)
	}
	l, err := d.enter(1) // a batch in which somebody has a place cannot be committed
	if err != nil {
		t.Fatal(err)
	}
	defer l.users.Done()
	if err := put(0); !notStored(err) {
		t.Errorf("what failed before is stored now: %v", err)
	}
	if _, can := d.follow(study(1), nil); !can {
		t.Error("another study is not let into the open batch")
	} else {
		l.users.Done()
	}
	if _, can := d.follow(study(0), nil); can {
		t.Error("a study that failed is let into the open batch")
		l.users.Done()
	}
}
