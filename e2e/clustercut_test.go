package e2e

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestClusterCut cuts the links of three sites to the one that all of them dial, each in another way, while they fetch from it; gives all of them new studies; waits until
// every site has declared the others dead; and heals the links. All are level within 30 s by themselves, and nothing has come twice. A longer cut, and more that comes:
//
//	DICOMESH_CUT=3m DICOMESH_INSTANCES=200 go test ./e2e -run TestClusterCut$ -v
func TestClusterCut(t *testing.T) {
	t.Parallel()
	c := foundCluster(t, "hub")
	hub, spokes := c.sites["hub"], []string{"both", "from", "to"}
	for _, name := range spokes {
		c.joinDialOnly(name, "hub")
		c.net.both("hub", name, func(p *track) { p.pipe = limit(16e6) })
	}
	first := noisy(t, "--studies", "1", "--instances", fmt.Sprint(size(t, "DICOMESH_INSTANCES", 40)), "--size", "128")
	later := noisy(t, "--studies", "2", "--instances", "15", "--size", "128", "--frames", "1")
	own := map[string]string{"hub": parts(t, later)[0], "both": parts(t, later)[1]}
	own["from"], own["to"] = noisy(t, "--studies", "1", "--instances", "16", "--size", "96"), noisy(t, "--studies", "1", "--instances", "17", "--size", "96")
	hub.drop(first)
	for _, name := range spokes {
		eventually(t, time.Minute, name+" has begun", func() bool { return c.net.received(name, "hub") > 600_000 })
	}
	lasts, began := length(t, "DICOMESH_CUT"), time.Now()
	c.net.cut("hub", "both")
	c.net.set("from", "hub", func(p *track) { p.cut = true })
	c.net.set("hub", "to", func(p *track) { p.cut = true })
	for _, s := range c.all() {
		s.drop(own[s.name])
	}
	for _, s := range c.all() {
		eventually(t, 3*time.Minute, s.name+" has given up the others", func() bool { return s.logged("event=down") && s.logged("Marking ") && s.has(own[s.name]) })
	}
	eventually(t, lasts+time.Minute, "the cut has lasted as long as it should", func() bool { return time.Since(began) >= lasts })
	cut := time.Since(began)
	for _, name := range spokes {
		c.net.both("hub", name, func(p *track) { p.cut = false })
	}
	took := c.level(2*time.Minute, 5)
	if took > 30*time.Second {
		t.Errorf("level %v after the cut", took)
	}
	c.sound(sums(t, first, own["hub"], own["both"], own["from"], own["to"]))
	c.equal()
	all := weight(t, hub.in("tree"))
	for _, s := range c.all() {
		lacked := all - weightOf(t, own[s.name])
		if s == hub {
			lacked -= weightOf(t, first)
		}
		came := c.net.received(s.name, "")
		files := s.fetched()
		t.Logf("%s: level %v after a cut of %v; it lacked %d bytes; files of %d have come, %.3f times; with packets that were lost, their headers, gossip and beats %d, %.3f times",
			s.name, took.Round(time.Millisecond), cut.Round(time.Second), lacked, files, float64(files)/float64(lacked), came, float64(came)/float64(lacked))
		if files > lacked+twice || files < lacked*95/100 {
			t.Errorf("%s received files of %d bytes for %d", s.name, files, lacked)
		}
		c.once(s.name, lacked)
	}
}

// length is how long something lasts at least: no time, unless the environment says otherwise.
func length(t *testing.T, variable string) time.Duration {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		t.Fatalf("%s=%q is no length of time", variable, text)
	}
	return d
}

// fetched is how many bytes of files a site has received in all of its pulls, those that were cut among them: of a file that did not come to its end nothing.
func (s *member) fetched() (bytes int64) {
	s.t.Helper()
	text, err := os.ReadFile(s.log)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, line := range pulls.FindAllStringSubmatch(string(text), -1) {
		n, err := strconv.ParseInt(line[1], 10, 64)
		if err != nil {
			s.t.Fatal(err)
		}
		bytes += n
	}
	return bytes
}

// pulls are the lines of an agent's log that tell of the end of a pull.
var pulls = regexp.MustCompile(`(?m) msg="(?:a study came|pull was cut)" .*\bbytes=(\d+)`)

// twice is how many bytes of files may come beyond those that a site lacked, as of a list that is not kept because others say all of it: 5,532 in each of three runs. A group of files that
// comes again is eight times as much.
const twice = 24 << 10

// has reports whether the site has taken all files of a folder.
func (s *member) has(folder string) bool {
	s.t.Helper()
	return s.status().Inbox.Stored >= len(names(s.t, folder))
}

// underway is what may have been under way when a line was cut, and come in vain.
const underway = 1 << 20

// once holds that a site received so many bytes about once: a tenth more for packets and gossip, acknowledgements of what it sent, and what was under way at the cut.
func (c *cluster) once(site string, content int64) {
	c.t.Helper()
	if came := c.net.received(site, ""); came > content*110/100+c.net.sent(site)/25+underway {
		c.t.Errorf("%s received %d bytes for %d", site, came, content)
	}
}

// weightOf is how many bytes files come to in an archive.
func weightOf(t *testing.T, folders ...string) int64 {
	t.Helper()
	tree := t.TempDir()
	for _, folder := range folders {
		if out, code := dicomesh(t, "ingest", "--tree", tree, folder); code != 0 {
			t.Fatal(out)
		}
	}
	return weight(t, tree)
}

// logged reports whether the agent has logged something.
func (s *member) logged(words string) bool {
	s.t.Helper()
	text, err := os.ReadFile(s.log)
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.Contains(string(text), words)
}

// TestClusterBadLine gives sites studies over lines that lose packets and take their time.
func TestClusterBadLine(t *testing.T) {
	for _, tt := range []struct {
		name string
		line func(*track)
	}{
		{"5 percent lost", func(p *track) { p.loss, p.delay = 0.05, 5*time.Millisecond }},
		{"200 ms there and back", func(p *track) { p.delay = 100 * time.Millisecond }},
		{"2 Mbit per second", func(p *track) { p.pipe, p.delay = limit(2e6), 20*time.Millisecond }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := foundCluster(t, "a")
			c.net.both("a", "b", tt.line)
			c.join("b", "a")
			one, other := noisy(t, "--studies", "1", "--instances", "20", "--size", "128"), noisy(t, "--studies", "2", "--instances", "5", "--size", "64", "--frames", "1")
			c.sites["a"].drop(one)
			c.sites["b"].drop(other)
			t.Logf("level after %v", c.level(time.Minute, 3).Round(time.Millisecond))
			c.settledAll()
			c.sound(sums(t, one, other))
			c.equal()
			all := weight(t, c.sites["a"].in("tree"))
			fromA := weightOf(t, one)
			c.once("a", all-fromA)
			c.once("b", fromA)
		})
	}
}
