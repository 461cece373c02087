package index_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/index"
)

// flip changes one byte of a file, as a disk does.
func (s *site) flip(r dedup.Ref) func() {
	s.t.Helper()
	data, err := os.ReadFile(s.path(r))
	must(s.t, err)
	back := s.remove(r)
	data[len(data)/2] ^= 4
	s.write(r, data)
	return func() {
		must(s.t, os.Remove(s.path(r)))
		back()
	}
}

// cut cuts a file short.
func (s *site) cut(r dedup.Ref) func() {
	s.t.Helper()
	back := s.remove(r)
	s.write(r, []byte("torn"))
	return func() {
		must(s.t, os.Remove(s.path(r)))
		back()
	}
}

// TestSpare holds that of a damaged list it is known, in every process from then on, whether others account for it: as it was when it was right, and not as its name says. The study is not complete as long as it is there, and is when it
// was moved away, or is right again.
func TestSpare(t *testing.T) {
	for name, c := range map[string]struct {
		spoil  func(*site, dedup.Ref) func()
		before func(*site)
		look   func(*site)
	}{
		"its size, by a look at all":    {spoil: (*site).cut, before: func(*site) {}},
		"a byte, after a restart":       {spoil: (*site).flip, before: (*site).restart},
		"its size, while nobody looked": {spoil: (*site).cut, before: (*site).restart},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			x, y := s.record(1, 1, "one"), s.record(2, 1, "two")
			old := s.list(nil, x)
			s.look()
			leaf := s.list([]dedup.Ref{old}, x, y)
			s.whole(s.look(), 2, 1)
			for _, spoilt := range []dedup.Ref{old, leaf} {
				back := c.spoil(s, spoilt)
				c.before(s)
				s.instance(3, 1, "news, so that everything is read")
				for range 2 {
					h := s.lookAll()
					s.broken(h, 0, 1, 0)
					if spare := len(h.Spare) == 1; spare != (spoilt == old) {
						t.Errorf("%v is spare: %v", spoilt, spare)
					}
					s.restart()
				}
				gone := s.remove(spoilt)
				if h := s.look(); spoilt == old {
					s.whole(h, 3, 1)
				} else {
					s.broken(h, 0, 0, 1)
					s.restart()
					s.broken(s.look(), 0, 0, 1)
				}
				gone()
				s.look()
				back()
				s.whole(s.lookAll(), 3, 1)
				if e, has, err := s.x.File(t.Context(), s.uid, spoilt.In(s.uid)); err != nil || !has || e.Damaged || e.Spare {
					t.Errorf("after all it is entered as %+v: %v", e, err)
				}
				must(t, os.Remove(s.path(dedup.Ref{Class: dedup.Instance, Name: "1.2.3.3"})))
				must(t, s.k.Forget(t.Context(), s.uid))
				s.whole(s.lookAll(), 2, 1)
			}
		})
	}
}

// TestNeverSpare holds that nothing is called spare of which it was not seen that others account for it: a list that another one merely names, and one that nobody has read while it was right.
func TestNeverSpare(t *testing.T) {
	s := newSite(t)
	x, y := s.record(1, 1, "one"), s.record(2, 1, "two")
	old := s.list(nil, x, y)
	s.look()
	s.list([]dedup.Ref{old}, x)
	s.look()
	s.cut(old)
	if h := s.lookAll(); len(h.Spare) > 0 {
		t.Errorf("a name is taken for a proof: %+v", h)
	}
	s = newSite(t)
	old = s.list(nil, x)
	s.list([]dedup.Ref{old}, x, y)
	s.record(1, 1, "one")
	s.record(2, 1, "two")
	s.cut(old)
	if h := s.lookAll(); len(h.Spare) > 0 || h.CorruptCount != 1 {
		t.Errorf("a list that was never read: %+v", h)
	}
}

// TestDamagedBefore holds that an index of a release which did not mark what is damaged does not make a leaf spare that was damaged then: its leaves are those without it.
func TestDamagedBefore(t *testing.T) {
	s := newSite(t)
	old := s.list(nil, s.record(1, 1, "one"))
	s.list(nil, s.record(2, 1, "two"))
	s.look()
	s.cut(old)
	s.broken(s.lookAll(), 0, 1, 0)
	e, _, err := s.x.File(t.Context(), s.uid, old.In(s.uid))
	must(t, err)
	e.Damaged = false
	_, err = s.x.Update(t.Context(), s.uid, index.Change{Put: []index.Entry{e}})
	must(t, err)
	s.restart()
	h := s.look()
	if s.broken(h, 0, 1, 0); len(h.Spare) > 0 {
		t.Errorf("it is spare: %+v", h)
	}
}

// leaving is a tree in which a file goes away as it is opened.
type leaving struct {
	durable.Reader
	name string
}

func (l leaving) Open(name string) (durable.File, error) {
	if name == l.name {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return l.Reader.Open(name)
}

// TestGoesAway holds that a leaf which was listed, and is gone when it is to be read, is lost, and the study not what it is without it.
func TestGoesAway(t *testing.T) {
	s := newSite(t)
	one, _ := s.instance(1, 1, "one")
	s.instance(2, 1, "two")
	s.look()
	s.restart()
	s.instance(3, 1, "news, so that everything is read")
	there := s.fs.Reader
	s.fs.Reader = leaving{there, one.In(s.uid)}
	s.broken(s.look(), 0, 0, 1)
	s.fs.Reader = there
	must(t, os.Remove(s.path(one)))
	s.broken(s.look(), 0, 0, 1)
	s.restart()
	s.broken(s.look(), 0, 0, 1)
}

// TestReplacedValue holds that a look at all of a study sees what stands in the place of a value that was entered, also a link to the very bytes; a look at its lists does not look there.
func TestReplacedValue(t *testing.T) {
	for kind, place := range map[string]func(name, away string) error{
		"a link":   func(name, away string) error { return os.Symlink(away, name) },
		"a folder": func(name, _ string) error { return os.Mkdir(name, 0o755) },
		"a fifo":   func(name, _ string) error { return syscall.Mkfifo(name, 0o644) },
	} {
		s := newSite(t)
		s.instance(1, 1, "one")
		s.whole(s.lookAll(), 1, 1)
		v, away := s.value("one"), filepath.Join(t.TempDir(), "away")
		must(t, os.Rename(s.path(v), away))
		must(t, place(s.path(v), away))
		s.whole(s.look(), 1, 1)
		s.broken(s.lookAll(), 1, 0, 1)
		s.broken(s.look(), 1, 0, 0)
		must(t, os.Remove(s.path(v)))
		must(t, os.Rename(away, s.path(v)))
		if s.whole(s.look(), 1, 1); t.Failed() {
			t.Fatal(kind)
		}
	}
}
