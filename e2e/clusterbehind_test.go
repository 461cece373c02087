package e2e

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
)

// TestClusterBehindBack removes one file of a site's tree while its agent does not run. The index does not know: it is the rescan that finds out, which status dates. From then on nobody
// says that the study is level or settled until the file is there again, and the site says what it misses while it has nobody to fetch it from.
func TestClusterBehindBack(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		is   func(path string) bool // of the file that is removed
	}{
		{"a frame", func(path string) bool { return strings.Contains(path, "/bulkdata/") && strings.HasSuffix(path, ".raw") }},
		{"a list or an instance file", func(path string) bool { return strings.Contains(path, "/deduplicated/") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, "a", "b")
			b, folder := c.sites["b"], sampled(t, "--studies", "1", "--instances", "3")
			c.sites["a"].drop(folder)
			c.within(time.Minute, 1)
			b.stop()
			eventually(t, time.Minute, "a knows that b has gone", func() bool { return c.sites["a"].apart("b") != "" }) // what b said before, a may say for as long
			held := archived(t, b.in("tree"))
			lost := fileWhere(t, held, tt.is)
			if err := os.Remove(b.in("tree", lost)); err != nil {
				t.Fatal(err)
			}
			c.net.cut("a", "b")
			b.run()
			w := c.watched(studyOf(t, folder), b, lost)
			b.misses(studyOf(t, folder), lost)
			if out, code := dicomesh(t, "wait", "--level", "--timeout", "0s", "--data", b.dir); code != 4 {
				t.Errorf("a site that reaches nobody says that all are level: exit code %d, %s", code, out)
			}
			c.net.mend()
			t.Logf("settled at both %v after they met again", c.within(time.Minute, 1).Round(10*time.Millisecond))
			w.end()
			if now := archived(t, b.in("tree")); now[lost] != held[lost] {
				t.Errorf("%s is not as it was", lost)
			}
			c.sound(sums(t, folder))
			c.equal()
		})
	}
}

// apart is why the site does not say of another one that both hold the same.
func (s *member) apart(name string) string {
	s.t.Helper()
	for _, x := range s.now().Sites {
		if x.Name == name {
			return x.NotLevel
		}
	}
	return ""
}

// fileWhere is the first file of a tree for which something holds.
func fileWhere(t *testing.T, files map[string]string, is func(path string) bool) string {
	t.Helper()
	var all []string
	for path := range files {
		if is(path) {
			all = append(all, path)
		}
	}
	if len(all) == 0 {
		t.Fatalf("there is no such file among %d", len(files))
	}
	return slices.Min(all)
}

// misses waits until the site has held its index against its disk since it began to run, and says of a study what it misses, and that this file is gone.
func (s *member) misses(study, path string) {
	s.t.Helper()
	eventually(s.t, time.Minute, s.name+" has held its index against its disk", func() bool { return !s.now().Watch.Rescanned.IsZero() })
	known, said := admin.Study{}, false
	defer func() {
		if s.t.Failed() {
			s.t.Logf("of the study %s knows %+v", s.name, known)
		}
	}()
	_, inside, _ := strings.Cut(path, study+"/")
	eventually(s.t, time.Minute, s.name+" says what it misses", func() bool {
		known = s.knows(study)
		said = known.State == "incomplete" && slices.Contains(known.Missing, inside)
		for _, f := range known.Faults {
			said = said || f.Path == inside
		}
		return said
	})
	s.event("vanished", inside)
	if out := s.ask("status"); !strings.Contains(out, "all held against the index at ") {
		s.t.Errorf("status does not say when: %s", out)
	}
}

// watcher holds, beside a test, that no site says of a study that it is level or settled while a file of it is missing at one of them, and that one knows.
type watcher struct {
	t     *testing.T
	study string
	at    *member // that misses the file
	path  string
	sites []*member
	end   func()
	looks int             // of those in which the file was missing after the rescan
	said  map[string]bool // what was wrong, each once
}

// watched begins to watch, until end is called, or the test ends.
func (c *cluster) watched(study string, at *member, path string) *watcher {
	c.t.Helper()
	w := &watcher{t: c.t, study: study, at: at, path: at.in("tree", path), sites: c.all(), said: map[string]bool{}}
	ctx, stop := context.WithCancel(c.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			w.look(ctx)
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
	}()
	w.end = sync.OnceFunc(func() {
		stop()
		<-done
		if w.looks == 0 {
			c.t.Error("nobody was asked while the file was missing")
		}
		c.t.Logf("%d times somebody was asked while the file was missing", w.looks)
	})
	c.t.Cleanup(w.end)
	return w
}

// look asks all sites. What the site knew before they were asked counts, and whether the file is there after: it only ever comes back. Of the others it is asked only what they say of that
// site: a certificate that they gave out before is true of what was reported then.
func (w *watcher) look(ctx context.Context) {
	status, err := admin.NewClient(w.at.in("state")).Status(ctx)
	if err != nil || status.Watch.Rescanned.IsZero() {
		return
	}
	var said []string
	for _, s := range w.sites {
		client := admin.NewClient(s.in("state"))
		if study, err := client.Study(ctx, w.study); err == nil {
			if study.State == "settled" && s == w.at {
				said = append(said, s.name+" says that it is settled")
			}
			for _, h := range study.Holders {
				if h.Site == w.at.name && h.Level && h.Complete {
					said = append(said, s.name+" says that "+h.Site+" holds all of it")
				}
			}
		}
		if level, err := client.Wait(ctx, admin.Condition{Level: true}, 0); err == nil && level.Holds {
			said = append(said, s.name+" says that all are level")
		}
	}
	if _, err := os.Lstat(w.path); ctx.Err() != nil || !os.IsNotExist(err) {
		return
	}
	w.looks++
	for _, words := range said {
		if !w.said[words] {
			w.t.Errorf("%s of the study is missing, which %s has had the time to see, and %s", filepath.Base(w.path), w.at.name, words)
		}
		w.said[words] = true
	}
}
