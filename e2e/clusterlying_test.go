package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestClusterLying has a member with a valid certificate lie to a real agent: that it has studies, all of them, of which it gives other bytes, names that lead out of the archive, offers without end,
// a bomb, nothing, and a body without end. Each is refused and told, the liar is marked, in the list of sites and in the metrics, and the same studies come from who has them. Nothing is settled
// while a member says otherwise, memory is bounded, and nothing lies outside the folders of the site. A stream on which it talks rubbish is seen to have failed at its end.
func TestClusterLying(t *testing.T) {
	t.Parallel()
	folder := sampled(t, "--studies", strconv.Itoa(len(liesTold)), "--instances", "2")
	want, _ := given(t, folder)
	c := newCluster(t, "a", "b")
	a, b := c.sites["a"], c.sites["b"]
	studies := studiesOf(t, folder)
	begun := peak(t, a.process.Process.Pid)
	said := c.lie("liar", "a", studies)
	for _, why := range liesTold {
		a.event("neighbour", why)
	}
	if !said.Aborted {
		t.Errorf("who talks rubbish on a control stream sees %s", said.Why)
	}
	a.event("neighbour", "liar: ")
	marked(t, a)
	b.drop(folder)
	delete(c.sites, "liar")
	c.level(2*time.Minute, len(studies))
	c.sound(want)
	c.equal()
	if n := a.status().Studies["settled"]; n > 0 {
		t.Errorf("%d studies are settled, and a member says that it has other content of each", n)
	}
	t.Logf("%d MB resident at most, %d before", peak(t, a.process.Process.Pid)>>20, begun>>20)
	if used := peak(t, a.process.Process.Pid); used > begun+150<<20 {
		t.Errorf("%d MB resident, and %d before", used>>20, begun>>20)
	}
	outside(t, filepath.Dir(a.dir))
}

// lie has a new member join, and lie of studies. It returns what the member says of how it fared.
func (c *cluster) lie(name, at string, studies []string) (said confession) {
	c.t.Helper()
	s := c.add(name)
	listen, address := c.net.site(name)
	s.command("join", "--site", name, "--listen", listen, "--address", address, c.token(at))
	self, err := os.Executable()
	if err != nil {
		c.t.Fatal(err)
	}
	process := exec.Command(self)
	process.Env = append(os.Environ(), lyingSite+"="+s.dir, lyingStudies+"="+strings.Join(studies, ","))
	process.Stderr = os.Stderr
	in, err := process.StdinPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	out, err := process.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		_ = in.Close()
		_ = process.Process.Kill()
		_ = process.Wait() // it was killed
	})
	late := time.AfterFunc(2*time.Minute, func() { _ = process.Process.Kill() })
	defer late.Stop()
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		c.t.Fatal("the liar came to its end before it had lied")
	}
	if err := json.Unmarshal(lines.Bytes(), &said); err != nil {
		c.t.Fatalf("%v in %s", err, lines.Text())
	}
	go func() {
		for lines.Scan() { // what it says of other sites
		}
	}()
	return said
}

// studiesOf are the UIDs of the studies that a folder has files of.
func studiesOf(t *testing.T, folder string) (uids []string) {
	t.Helper()
	tree := t.TempDir()
	if out, code := dicomesh(t, "ingest", "--tree", tree, folder); code != 0 {
		t.Fatal(out)
	}
	for _, path := range parts(t, filepath.Join(tree, "studies")) {
		uids = append(uids, filepath.Base(path))
	}
	return uids
}

// marked holds that a site shows the liar as one, and nobody else.
func marked(t *testing.T, s *member) {
	t.Helper()
	var sites []struct {
		Name string
		Mark *struct {
			Times     int
			Reason    string
			Until     time.Time
			AskedLast bool `json:"asked_last"`
		}
	}
	s.decode(s.ask("sites", "--json"), &sites)
	for _, x := range sites {
		switch {
		case (x.Mark != nil) != (x.Name == "liar"):
			t.Errorf("%s is marked: %+v", x.Name, x.Mark)
		case x.Mark != nil && (x.Mark.Times < len(liesTold) || x.Mark.Reason == "" || !x.Mark.AskedLast || time.Until(x.Mark.Until) < 23*time.Hour):
			t.Errorf("the mark of the liar is %+v", x.Mark)
		}
	}
	table := s.ask("sites")
	if !regexp.MustCompile(`(?m)^liar .*marked`).MatchString(table) || !strings.Contains(table, "the mark ends") {
		t.Errorf("the table of sites does not show it:\n%s", table)
	}
	_, metrics := s.request("/metrics")
	for site, n := range map[string]int{"a": 0, "b": 0, "liar": 1} {
		if line := fmt.Sprintf("dicomesh_site_marked{site=%q} %d\n", site, n); !strings.Contains(string(metrics), line) {
			t.Errorf("the metrics do not have %s", line)
		}
	}
}

// peak is the most memory that a process has had in use.
func peak(t *testing.T, pid int) (bytes uint64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text)
	if m == nil {
		t.Fatalf("no VmHWM in %s", text)
	}
	kB, err := strconv.ParseUint(string(m[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kB << 10
}

// outside holds that nothing of what a liar named lies anywhere: above the site's folders, inside of them, or where its names led.
func outside(t *testing.T, folder string) {
	t.Helper()
	above := folder
	for range strings.Count(lyingUp, "../") {
		above = filepath.Dir(above)
		if found, _ := filepath.Glob(filepath.Join(above, "dicomesh-lying*")); len(found) > 0 {
			t.Errorf("outside of the site: %v", found)
		}
	}
	if _, err := os.Lstat(lyingAbsolute); err == nil {
		t.Errorf("there is %s", lyingAbsolute)
	}
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err == nil && (strings.Contains(d.Name(), "dicomesh-lying") || strings.Contains(d.Name(), "1.2.3.4.5.6.7.")) && !d.IsDir() {
			t.Errorf("%s is kept", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
