package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/events"
)

// stopped is for how long TestWholeStopped stops a site: DICOMESH_TEST_STOP=60s is its full size.
func stopped(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("DICOMESH_TEST_STOP")
	if text == "" {
		return 8 * time.Second // what is heard before a stop of more than 5 s counts for nothing after it
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestWholeStopped stops a site with SIGSTOP in the middle of its work, and cuts it off while it stands, so that nothing that it hears afterwards is newer than what waits in its
// socket. Continued, it may finish the one rename that it was in, and publishes and settles nothing, for all that it knows is old. When the cut is mended it settles all.
func TestWholeStopped(t *testing.T) {
	t.Parallel()
	t.Run("in a round", func(t *testing.T) {
		t.Parallel()
		s := newStopping(t, quick)
		var uid string
		for n := 0; ; n++ { // until a round was caught in its middle
			folder := sampled(t, "--studies", "1", "--series", "2", "--instances", strconv.Itoa(150+10*n), "--frames", "2")
			uid = studyOf(t, folder)
			s.give(folder)
			s.appears(s.site.in("current", "studies", uid))
			s.stop()
			if !there(s.site.in("current", "studies", uid, "status.gz")) { // the last file of a round
				break
			}
			t.Log("the round was over before it was caught")
			s.goOn()
			s.cluster.within(time.Minute, s.studies)
		}
		s.stands()
		changed := s.alone()
		t.Logf("stopped with %d current files of the study; %d names changed when it went on", len(visible(t, s.site))-s.files, changed)
		if changed > 1 {
			t.Errorf("%d names were given or taken on what was known before the stop", changed)
		}
		s.heal()
	})
	t.Run("published and not yet settled", func(t *testing.T) {
		t.Parallel()
		s := newStopping(t, slow)
		folder := sampled(t, "--studies", "1", "--instances", "3")
		uid := studyOf(t, folder)
		s.give(folder)
		eventually(t, time.Minute, "the study is published", func() bool { return s.site.knows(uid).State == "published" })
		s.stop() // its verifying round begins 4 s after that
		s.stands()
		if changed := s.alone(); changed > 0 {
			t.Errorf("%d names were given or taken", changed)
		}
		if known := s.site.knows(uid); known.State != "published" && known.State != "held" || known.Certificate != nil {
			t.Errorf("the study is %+v", known)
		}
		s.heal()
	})
}

// slow is quick but for the time that a study has to be quiet.
const slow = "links: {profile: lan}\nsettle: {quiet: 4s}\ninbox: {quiet: 100ms, patience: 2s}\nwatch: {patience: 1s}\ndisk: {watermark: 0, watermark_percent: 0, floor: 0}\n"

// stopping is a cluster of two, of which one is stopped.
type stopping struct {
	t       *testing.T
	cluster *cluster
	site    *member
	studies int
	folders []string
	files   int               // current files of what was settled before
	halted  map[string]uint64 // current files, by their inodes, while it stood
	since   time.Time         // when it went on
}

// newStopping makes the cluster, the second site of which has a configuration of its own, and settles a study there.
func newStopping(t *testing.T, config string) *stopping {
	t.Helper()
	c := foundCluster(t, "a")
	s := &stopping{t: t, cluster: c, site: c.joinAs(config, "b", "a")}
	c.whole()
	c.judged()
	s.give(sampled(t, "--studies", "1", "--instances", "2"))
	c.within(time.Minute, 1)
	s.files = len(visible(t, s.site))
	return s
}

// give has a study received at the other site.
func (s *stopping) give(folder string) {
	s.t.Helper()
	s.cluster.sites["a"].drop(folder)
	s.studies++
	s.folders = append(s.folders, folder)
}

// appears waits for a folder, closely: what happens next is over in a moment.
func (s *stopping) appears(path string) {
	s.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(3 * time.Minute); !there(path); <-tick.C {
		if time.Now().After(end) {
			s.t.Fatalf("%s did not appear", path)
		}
	}
}

// stop stops the site between two instructions.
func (s *stopping) stop() {
	s.t.Helper()
	s.signal(syscall.SIGSTOP)
	s.halted = visible(s.t, s.site)
}

func (s *stopping) goOn() {
	s.t.Helper()
	s.signal(syscall.SIGCONT)
	s.since = time.Now()
}

func (s *stopping) signal(what syscall.Signal) {
	s.t.Helper()
	if err := s.site.process.Process.Signal(what); err != nil {
		s.t.Fatal(err)
	}
}

// stands lets the site stand for the time of the test, and cuts it off after a while, when there is something in its socket.
func (s *stopping) stands() {
	s.t.Helper()
	began := time.Now()
	arrived := s.cluster.net.received("b", "a")
	eventually(s.t, time.Minute, "packets wait in the socket of the site", func() bool {
		return time.Since(began) > time.Second && s.cluster.net.received("b", "a") > arrived
	})
	s.cluster.net.cut("a", "b")
	eventually(s.t, stopped(s.t)+time.Minute, "it has stood for the time of the test", func() bool { return time.Since(began) > stopped(s.t) })
}

// alone continues the site, which is cut off, and watches it for a while: nothing is published or settled. It returns how many names in its current tree have changed.
func (s *stopping) alone() int {
	s.t.Helper()
	s.goOn()
	eventually(s.t, 30*time.Second, "the site says that it is split", func() bool { return s.site.now().State == "split" && time.Since(s.since) > 5*time.Second })
	s.t.Logf("it says: %s", s.site.now().Reason)
	for _, e := range s.site.happened() {
		if e.Time.After(s.since) && (e.Kind == events.Published || e.Kind == events.Settled) {
			s.t.Errorf("%v after it went on it said that a study is %s", e.Time.Sub(s.since), e.Kind)
		}
	}
	changed, after := 0, visible(s.t, s.site)
	for name, inode := range after {
		if s.halted[name] != inode {
			changed++
		}
	}
	for name := range s.halted {
		if _, is := after[name]; !is {
			changed++
		}
	}
	return changed
}

// heal mends the cut: all is settled, and nothing is lost.
func (s *stopping) heal() {
	s.t.Helper()
	s.cluster.net.mend()
	s.t.Logf("settled at both %v after the cut was mended", s.cluster.within(30*time.Second, s.studies).Round(10*time.Millisecond))
	s.cluster.sound(sums(s.t, s.folders...))
	s.cluster.alike()
}

// happened are the site's last events.
func (s *member) happened() []events.Event {
	s.t.Helper()
	list, err := admin.NewClient(s.in("state")).Events(s.t.Context(), 10_000)
	if err != nil {
		s.t.Fatal(err)
	}
	return list
}

// visible are the current files that readers of a site could see, by their inodes: a file that was replaced has another one.
func visible(t *testing.T, s *member) map[string]uint64 {
	t.Helper()
	files := map[string]uint64{}
	root := s.in("current", "studies")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if os.IsNotExist(err) { // it is being replaced
			return nil
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil {
			return err
		}
		stat, is := info.Sys().(*syscall.Stat_t)
		if !is {
			t.Fatal("this system has no inodes")
		}
		files[path] = stat.Ino
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
