package e2e

import (
	"bufio"
	"encoding/json"
	"io"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestPage walks through the status page of a hospital in a real browser while its cluster lives: studies come, a link is cut, the hospital is cut off, a study is received there, the lines
// are mended, the agent ends and is started again. The page is never loaded again; it is used by the keyboard alone. What must hold of it whatever it shows, walk.js holds: it asks nobody
// but its agent, its console is silent, it names no patient, and it can be read and fits, in the dark and on a small screen. SCREENSHOT=/tmp/seen keeps what was seen.
func TestPage(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	c := foundCluster(t, "hospital")
	hospital := c.sites["hospital"]
	hospital.kill()
	address := freeAddress(t)
	hospital.begin("--http", address)
	c.join("centre", "hospital")
	c.stand("standby", "hospital")
	folders := parts(t, sampled(t, "--studies", "4", "--series", "2", "--instances", "3"))
	hospital.drop(folders[0])
	c.sites["centre"].drop(folders[1])
	c.level(time.Minute, 2)
	c.settledAll()
	studies := hospital.rows(2)

	b.step("open", look{"url": "http://" + address + "/", "never": hospital.patients()})
	b.step("state", look{"state": "whole", "reason": "All 3 sites reach each other", "look": "whole"})
	b.step("links", look{"down": 0})
	b.step("counted", look{"state": "settled", "n": 2})
	b.search(studies)
	b.step("visit", look{"site": "centre", "says": "It holds the same of every study", "look": "open-site"})

	b.step("scrolls", look{})
	c.sites["standby"].drop(folders[2])
	third := hospital.rows(3, studies...)[0]
	b.step("listed", look{"study": third.Study, "state": "settled"})
	b.step("event", look{"kind": "settled", "study": third.Name})
	b.step("study", look{"study": third.Study, "says": "Whole and safe at hospital, centre, standby.", "look": "open-study"})

	c.net.cut("hospital", "centre")
	b.step("state", look{"state": "partial", "reason": "centre", "look": "partial"})
	b.step("links", look{"down": 2})
	b.step("opened", look{"study": third.Study, "says": "Whole and safe at hospital, centre, standby."})
	c.net.cut("hospital", "standby")
	b.step("told", look{"says": "Whole and safe at hospital. Not known of centre, standby: there is no contact."}) // it was open, and is about now
	b.step("state", look{"state": "split", "reason": "hospital is cut off: nothing comes from centre or standby."})
	hospital.drop(folders[3])
	fourth := hospital.rows(4, append(studies, third)...)[0]
	b.step("listed", look{"study": fourth.Study, "state": "held"})
	b.step("closed", look{"study": third.Study})
	b.step("waits", look{"study": fourth.Study, "reason": "the cluster is split"})
	b.step("only", look{"state": "held", "n": 1})
	b.step("site", look{"site": "centre", "says": "at least 1 study", "look": "split"}) // it may lack more: nobody here knows
	b.step("visit", look{"site": "standby", "says": fourth.Name, "look": "open-site-split"})

	for _, name := range []string{"centre", "standby"} {
		c.net.both("hospital", name, func(p *track) { p.cut = false })
	}
	b.step("state", look{"state": "whole", "reason": "All 3 sites reach each other"})
	b.step("listed", look{"study": fourth.Study, "state": "settled"})
	b.step("counted", look{"state": "held", "n": 0, "look": "after"})

	hospital.stop()
	b.step("gone", look{"site": "hospital", "look": "gone"})
	hospital.begin("--http", address)
	b.step("back", look{})
	b.step("state", look{"state": "whole", "reason": "All 3 sites reach each other", "look": "back"})
	c.sites["standby"].kill()
	b.step("state", look{"state": "split", "reason": "hospital and standby do not reach each other"})
	b.step("opened", look{"study": third.Study, "says": "Not known of standby: there is no contact."})
	hospital.command("ack-down", "standby", "--for", "1h")
	b.step("told", look{"says": "Not known of standby, for which nobody waits: an operator has said that it is down."})
	b.step("told", look{"says": "acknowledged down until", "look": "open-study-waived"})
	b.step("closed", look{"study": third.Study})
	b.step("state", look{"state": "whole", "reason": "standby", "look": "waived"})
	b.close()
}

// search looks for studies by what they are called, wholly and in part, by their UIDs, and by what is not there.
func (b *browser) search(studies []named) {
	b.t.Helper()
	b.step("skips", look{})
	for typed, found := range map[string][]named{studies[0].Name: studies[:1], strings.ToUpper(studies[1].Name[2:]): studies[1:2], studies[1].Study: studies[1:2], "no such study": {}} {
		uids := make([]string, len(found))
		for i, s := range found {
			uids[i] = s.Study
		}
		b.step("search", look{"text": typed, "studies": uids})
	}
	b.step("search", look{"text": "", "studies": []string{studies[0].Study, studies[1].Study}})
}

// TestPageLogin signs in to a page that asks who is there, and calls studies by their UIDs: with what is no token, and with one; signs out; and is put out when the token is taken back.
func TestPageLogin(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	s := newSite(t, quick+"http: {access: required, study_names: uid}\n")
	s.start()
	s.drop(sampled(t, "--studies", "1", "--series", "1", "--instances", "1"))
	s.settled()
	uid := slices.Collect(maps.Keys(s.studies()))[0]
	token := s.grant("wall")
	b.step("login", look{"url": "http://" + s.status().HTTP + "/", "look": "login"})
	b.step("enter", look{"token": "dicomesh-http-none", "says": "dicomesh access add NAME", "look": "login-refused"})
	b.step("enter", look{"token": token})
	b.step("state", look{"state": "whole", "reason": "One site, alone"})
	b.step("listed", look{"study": uid, "state": "settled", "look": "alone"})
	b.step("study", look{"study": uid, "says": "Study Instance UID", "look": "open-uid"})
	b.step("leave", look{})
	b.step("enter", look{"token": token})
	if out, code := dicomesh(t, "access", "remove", "--data", s.dir, "wall"); code != 0 {
		t.Fatal(out)
	}
	b.step("turned", look{"says": "Signed out", "look": "login-again"})
	b.close()
	s.stop()
}

// grant makes a token for the site's port.
func (s *agentSite) grant(name string) string {
	s.t.Helper()
	c := exec.Command(filepath.Join(binDir(), "dicomesh"), "access", "add", "--data", s.dir, name)
	out, err := c.Output()
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// stand has a site join as one that stands by, and runs it.
func (c *cluster) stand(name, at string) {
	c.t.Helper()
	s := c.add(name)
	listen, address := c.net.site(name)
	s.command("join", "--site", name, "--listen", listen, "--address", address, c.token(at, "--role", "standby"))
	s.run()
}

// named is a study and what the page calls it.
type named struct{ Study, Name string }

// rows waits until a site has so many studies, and returns those that are not among others.
func (s *member) rows(n int, others ...named) (studies []named) {
	s.t.Helper()
	var all []named
	eventually(s.t, time.Minute, "the studies are here", func() bool {
		s.decode(string(s.get("/api/v1/studies")), &all)
		return len(all) == n
	})
	for _, row := range all {
		known := false
		for _, o := range others {
			known = known || o == row
		}
		if !known {
			studies = append(studies, row)
		}
	}
	return studies
}

// patients are what must not be seen of the patients whose studies a site has, nor of those who come: all of them are phantoms.
func (s *member) patients() (words []string) {
	s.t.Helper()
	for _, row := range s.objects("/studies") {
		words = append(words, row.text("00100010"), row.text("00100020"), row.text("00100030"))
	}
	if len(words) == 0 || words[0] == "" {
		s.t.Fatalf("nobody is named: %q", words)
	}
	return append(words, "phantom")
}

// browser is a browser that walk.js drives.
type browser struct {
	t       *testing.T
	process *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Scanner
	said    strings.Builder
}

// look is what a step of walk.js takes.
type look map[string]any

// newBrowser starts a browser. Where there is none the test is skipped.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	modules := nodeModules(t, "playwright-core", "axe-core")
	if !isFile(chromium) {
		missing(t, "chromium")
	}
	b := &browser{t: t, process: exec.Command("node", filepath.Join("testdata", "page", "walk.js"), modules, chromium)}
	b.process.Stderr = &b.said
	out, err := b.process.StdoutPipe()
	if err == nil {
		b.in, err = b.process.StdinPipe()
	}
	if err == nil {
		err = b.process.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	b.out = bufio.NewScanner(out)
	b.out.Buffer(nil, 1<<20)
	t.Cleanup(b.close)
	return b
}

// step does a step, which has to end well.
func (b *browser) step(do string, with look) {
	b.t.Helper()
	with["do"] = do
	began := time.Now()
	if err := json.NewEncoder(b.in).Encode(with); err != nil || !b.out.Scan() {
		b.t.Fatalf("%s: the browser has gone: %v, %v: %s", do, err, b.out.Err(), b.said.String())
	}
	var answer struct{ Fault string }
	if err := json.Unmarshal(b.out.Bytes(), &answer); err != nil {
		b.t.Fatalf("%s: %v in %s", do, err, b.out.Text())
	}
	if answer.Fault != "" {
		b.t.Fatalf("%s %v: %s", do, with, answer.Fault)
	}
	b.t.Logf("%s: %v", do, time.Since(began).Round(time.Millisecond))
}

// close ends the browser, which takes its profile with it.
func (b *browser) close() {
	b.t.Helper()
	if b.process == nil {
		return
	}
	_ = b.in.Close() // it may have gone
	if err := b.process.Wait(); err != nil {
		b.t.Errorf("the browser ends with %v: %s", err, b.said.String())
	}
	b.process = nil
}
