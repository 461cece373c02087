package e2e

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"
)

// TestClusterThinOrigin gives studies to a site with a thin line, and has four others that lack them. The others have most of it
// from each other.
func TestClusterThinOrigin(t *testing.T) {
	t.Parallel()
	c := foundCluster(t, "o")
	var folders []string
	for n := range 5 {
		folders = append(folders, noisy(t, "--studies", "2", "--instances", fmt.Sprint(10+n), "--size", "128"))
	}
	content := weightOf(t, folders...)
	receivers := []string{"a", "b", "d", "e"}
	for _, name := range receivers {
		c.join(name, "o")
	}
	c.whole()
	quiet := c.net.sent("o")
	c.net.thin("o", 8e6)
	began := time.Now()
	c.sites["o"].drop(folders...)
	c.level(2*time.Minute, 10)
	out := c.net.sent("o") - quiet
	t.Logf("%d bytes in 10 studies, %d left the origin: %.3f times; level after %v, the line alone takes %v", content, out, float64(out)/float64(content),
		time.Since(began).Round(time.Millisecond), time.Duration(float64(content)/1e6*float64(time.Second)).Round(time.Millisecond))
	if float64(out) > 1.2*float64(content) { // 1.04 where nothing else runs; a packet that is late is sent again
		t.Errorf("%.3f times the content left the origin", float64(out)/float64(content))
	}
	c.equal()
}

// TestClusterFreshFirst gives a site a new study while a backfill of many studies is on its way over the same line: it waits neither behind their bytes nor for one of them to end.
func TestClusterFreshFirst(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "a", "b")
	a, b := c.sites["a"], c.sites["b"]
	c.net.both("a", "b", func(p *track) { p.pipe = limit(20e6) })
	fetch := func(instances int) time.Duration {
		folder := noisy(t, "--studies", "1", "--series", "1", "--instances", fmt.Sprint(instances), "--size", "256")
		began := time.Now()
		a.drop(folder)
		eventually(t, 2*time.Minute, "b has the new study", func() bool { return b.holdsOf(a, instances) })
		return time.Since(began)
	}
	idle := fetch(38)
	b.kill()
	for n := range oldStudies / 2 {
		old := noisy(t, "--studies", "2", "--instances", fmt.Sprint(18+n), "--size", "256")
		if out, code := dicomesh(t, "ingest", "--tree", a.in("tree"), old); code != 0 {
			t.Fatal(out)
		}
	}
	eventually(t, time.Minute, "a knows the old studies", func() bool { return len(a.digests()) == 1+oldStudies })
	b.run()
	began := c.net.received("b", "a")
	eventually(t, time.Minute, "the backfill has begun", func() bool { return c.net.received("b", "a") > began+3_000_000 })
	bound, tries := 2*idle+2*time.Second, 0
	for took := bound + 1; took > bound; {
		if tries++; tries > 3 { // a busy machine may be late once or twice
			t.Fatalf("a new study never comes within %v beside a backfill; it takes %v on an idle line", bound, idle)
		}
		took = fetch(38 + tries)
		t.Logf("a new study took %v on an idle line, %v beside a backfill", idle.Round(time.Millisecond), took.Round(time.Millisecond))
		if maps.Equal(a.digests(), b.digests()) {
			t.Fatal("the backfill was over before: nothing was tested")
		}
	}
	c.level(2*time.Minute, 1+oldStudies+tries)
}

// oldStudies are more than may be pulled from one site at a time.
const oldStudies = 12

// holdsOf reports whether the site holds the study of so many instances as another one does.
func (s *member) holdsOf(other *member, instances int) bool {
	theirs := other.digests()
	for uid, digest := range s.digests() {
		if theirs[uid] == digest && strings.HasSuffix(digest, fmt.Sprint(" ", instances)) {
			return true
		}
	}
	return false
}

// TestClusterLimit holds that a site sends to another one no faster than it was set up to, that the line is used, and that neither gossip nor what sites say about studies waits for it:
// the cluster stays whole, and a study of the other side is settled meanwhile. Other rates:
//
//	DICOMESH_MBIT=20 DICOMESH_INSTANCES=150 go test ./e2e -run TestClusterLimit -v
func TestClusterLimit(t *testing.T) {
	t.Parallel()
	mbit := size(t, "DICOMESH_MBIT", 8)
	rate := float64(mbit) * 1e6 / 8
	c := foundCluster(t, "a")
	a := c.sites["a"]
	a.kill()
	a.configure(strings.Replace(quick, "profile: lan", fmt.Sprintf("profile: lan, limit: %d Mbit/s", mbit), 1))
	a.run()
	b := c.join("b", "a")
	c.whole()
	folder := noisy(t, "--studies", "1", "--series", "1", "--instances", fmt.Sprint(size(t, "DICOMESH_INSTANCES", 50)), "--size", "256")
	content, quiet := weightOf(t, folder), c.net.received("b", "a")
	a.drop(folder)
	came := func() int64 { return c.net.received("b", "a") - quiet }
	eventually(t, time.Minute, "it has begun", func() bool { return came() > content/10 })
	first, began := came(), time.Now()
	other := noisy(t, "--studies", "1", "--series", "1", "--instances", "3", "--size", "32")
	b.drop(other)
	eventually(t, time.Minute, "a has the study that b received", func() bool { return a.holdsOf(b, 3) })
	t.Logf("a study of the other side came after %v, when %d of %d bytes had", time.Since(began).Round(time.Millisecond), came(), content)
	if came() > content*9/10 {
		t.Log("the line was free by then") // a busy machine; the bound below holds all the same
	}
	eventually(t, 2*time.Minute, "most of it has come", func() bool { return came() > content*9/10 })
	last, took := came(), time.Since(began)
	ratio := float64(last-first) / took.Seconds() / rate
	t.Logf("%d bytes in %v: %.3f of %d Mbit/s", last-first, took.Round(time.Millisecond), ratio, mbit)
	if ratio > 1.1 || ratio < 0.3 { // 0.95 to 1.0 where nothing else runs
		t.Errorf("%.3f of the limit", ratio)
	}
	c.level(2*time.Minute, 2)
	for _, s := range c.all() {
		if s.logged("event=down") {
			t.Errorf("%s lost its link meanwhile", s.name)
		}
	}
}
