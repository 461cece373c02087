package syncer

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
)

// folding is a file system to which names of attachments that differ in case alone are one.
type folding struct{ durable.FS }

// fold is the name under which something is there.
func (f folding) fold(name string) string {
	entries, _ := f.FS.ReadDir(path.Dir(name))
	for _, e := range entries {
		if strings.EqualFold(e.Name(), path.Base(name)) && strings.HasSuffix(name, ".txt") {
			return path.Join(path.Dir(name), e.Name())
		}
	}
	return name
}

func (f folding) Open(name string) (durable.File, error) { return f.FS.Open(f.fold(name)) }
func (f folding) Lstat(name string) (fs.FileInfo, error) { return f.FS.Lstat(f.fold(name)) }
func (f folding) Rename(from, to string) error           { return f.FS.Rename(from, f.fold(to)) }

// TestClash holds of files of class other that cannot both be at a site - two contents of one name, and two names that are one to its file system - that the site says so, once as an event and as the reason why the study is not level, and
// does not ask for them again and again; and that all is level when somebody has renamed them.
func TestClash(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ there, here, says string }{
		"one name":      {"letter.txt", "letter.txt", "other files have their names"},
		"one name to b": {"Letter.txt", "letter.txt", "upper and lower case are the same"},
	} {
		t.Run(name, func(t *testing.T) {
			var asked overheard
			m := newMesh()
			asked.listen(m, "b")
			m.tree = func(site string, fsys durable.FS) durable.FS {
				if site == "b" {
					return folding{fsys}
				}
				return fsys
			}
			m.rules = func(r *Rules) { r.RetryMost = 100 * time.Millisecond }
			a, b := m.start(t, "a", t.TempDir()), m.start(t, "b", t.TempDir())
			a.instance(study(1), 1, 100)
			a.write(study(1), c.there, []byte("a letter"))
			b.write(study(1), c.here, []byte("another letter"))
			a.look(study(1))
			b.look(study(1))
			m.link(t.Context(), a, b)
			why := func(of *site, other string) string {
				d, _ := of.syncer.Difference(other, study(1))
				return d.Why
			}
			wait(t, func() bool { return strings.Contains(why(b, "a"), c.says) && b.count(Clash) == 1 })
			ref := dedup.Ref{Class: dedup.Other, Name: c.there}
			before := asked.count(ref)
			for range 3 {
				b.tried("a", study(1))
			}
			if n := asked.count(ref); n != before || b.count(Clash) != 1 || !strings.Contains(why(b, "a"), c.says) {
				t.Errorf("it was asked for %d times, and then %d; %d events; %q", before, n, b.count(Clash), why(b, "a"))
			}
			if text, err := os.ReadFile(filepath.Join(b.dir, "tree", "studies", study(1).String(), c.here)); err != nil || string(text) != "another letter" {
				t.Errorf("what was there is %q: %v", text, err)
			}
			for _, s := range []*site{a, b} {
				if s == a || c.here == c.there {
					in := filepath.Join(s.dir, "tree", "studies", study(1).String())
					if err := os.Rename(filepath.Join(in, c.there), filepath.Join(in, "of "+s.name+".txt")); err != nil {
						t.Fatal(err)
					}
				}
				s.look(study(1))
			}
			equal(t, a, b)
		})
	}
}

// tried waits for the end of one more pull of a study from another site.
func (s *site) tried(other string, uid dedup.UID) {
	s.t.Helper()
	last := func() time.Time {
		s.syncer.mu.Lock()
		defer s.syncer.mu.Unlock()
		if d := s.syncer.core.studies[uid]; d != nil {
			return d.tried[other].ended
		}
		return time.Time{}
	}
	was := last()
	wait(s.t, func() bool { return last().After(was) })
}
