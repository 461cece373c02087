package e2e

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
)

// TestWholeTwin has a machine come with the name of a member and a key of its own: it is refused and told why, and both that admitted anybody say so. Then both sides of a cut
// admit a machine under one name: when they meet again the one that was first is the member, the other is refused, and that is an alarm until an operator has removed one.
func TestWholeTwin(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "a", "b", "c")
	c.whole()
	j := c.judged()
	a, b, wiped := c.sites["a"], c.sites["b"], c.sites["c"]
	a.drop(sampled(t, "--studies", "1", "--instances", "2"))
	c.within(time.Minute, 1)

	wiped.kill()
	if err := os.RemoveAll(wiped.in("state")); err != nil {
		t.Fatal(err)
	}
	listen, address := c.net.site("again")
	out, code := said(t, "join", "--data", wiped.dir, "--site", "c", "--listen", listen, "--address", address, c.token("a"))
	if code != 1 || !strings.Contains(strings.ReplaceAll(out, "\n ", ":"), "the name is in the roster with another key: choose another name, or remove the old one first (dicomesh remove c)") {
		t.Errorf("a known name with another key: exit code %d: %s", code, out)
	}
	a.event("stranger", "site c: the name is in the roster with another key")
	a.audited(`"kind":"refused"`)
	a.alarmed("c", "claims its name with another key")
	a.audited(`"kind":"roster","by":"a","about":"c","text":"another machine (`)
	if known := a.now(); len(known.Sites) != 3 {
		t.Errorf("a machine that was refused is one of %d sites", len(known.Sites))
	}

	a.ask("remove", "c", "--yes")
	delete(c.sites, "c")
	j.leaves("c")
	c.within(time.Minute, 1)
	c.net.cut("a", "b")
	first := c.twin("d", "a")
	second := c.twin("d", "b")
	c.net.mend()
	const alarm = "a second machine"
	for _, s := range []*member{a, b} {
		s.alarmed("d", alarm)
		s.event("stranger", "is known with another key")
	}
	if now := a.now(); len(now.Sites) != 3 {
		t.Errorf("%d sites are in status", len(now.Sites))
	}
	first.kill()
	second.kill()
}

// TestWholeClone copies a site's machine with its key, and runs both. Each pushes the other off its links; the site that hears both by turns says that they are two, and that the cluster
// is not whole: what one of them holds the other may not.
func TestWholeClone(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "a", "b")
	c.whole()
	a, b := c.sites["a"], c.sites["b"]
	b.stop()
	clone := &member{newSite(t, quick), "b"}
	if out, err := exec.Command("cp", "-a", b.dir+"/.", clone.dir).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
	b.begin()
	clone.begin("--listen", freePort(t).String())
	a.alarmed("b", "two machines use the name and the key of b")
	if now := a.now(); now.State != "split" || !strings.Contains(now.Reason, "two machines use the name and the key of b: stop one of them") {
		t.Errorf("a says %s: %s", now.State, now.Reason)
	}
}

// alarmed waits until an alarm about a site is raised wherever it has to be seen: in status, among the events, and in the metric that monitoring watches.
func (s *member) alarmed(about, says string) {
	s.t.Helper()
	eventually(s.t, time.Minute, s.name+" raises an alarm about "+about, func() bool {
		return slices.ContainsFunc(s.now().Alarms, func(a admin.Alarm) bool { return a.Site == about && strings.Contains(a.Reason, says) })
	})
	s.event("alarm", about+": ")
	for _, command := range []string{"status", "sites"} {
		if out := strings.Join(strings.Fields(s.ask(command)), " "); !strings.Contains(out, "alarm "+about+": ") {
			s.t.Errorf("%s does not speak of it: %s", command, out)
		}
	}
	if _, metrics := s.request("/metrics"); !regexp.MustCompile(`(?m)^dicomesh_roster_alarms\{site="` + about + `"\} [1-9]`).Match(metrics) {
		s.t.Error("the metric does not count it")
	}
}

// twin has a machine join at a site under a name that another machine may have as well, and begins to run it.
func (c *cluster) twin(name, at string) *member {
	c.t.Helper()
	s := &member{newSite(c.t, quick), name}
	listen, address := c.net.site(name)
	s.command("join", "--site", name, "--listen", listen, "--address", address, c.token(at))
	s.begin()
	return s
}
