package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestWholeLost takes a member's state away, and another one's marker: neither starts, each says what to type, and what it says works. Nothing is lost by it.
func TestWholeLost(t *testing.T) {
	t.Parallel()
	t.Run("the state", func(t *testing.T) {
		t.Parallel()
		c := newCluster(t, "a", "b")
		c.whole()
		j := c.judged()
		b := c.sites["b"]
		studies := parts(t, sampled(t, "--studies", "2", "--series", "1", "--instances", "3"))
		c.sites["a"].drop(studies[0])
		c.within(time.Minute, 1)
		j.look()
		b.kill()
		if out, code := dicomesh(t, "ingest", "--tree", b.in("tree"), studies[1]); code != 0 { // what nobody else has
			t.Fatal(out)
		}
		if err := os.RemoveAll(b.in("state")); err != nil {
			t.Fatal(err)
		}
		b.refusesToStart("dicomesh: the tree is that of site b, a member of cluster test, but there is no state of it (site.json), in which its keys are put it back from a backup, or " +
			"name it with paths.state in config.yaml. Only if it is lost for good: another site takes this one out of the cluster (dicomesh remove b) and makes a token (dicomesh token); " +
			"join with that here, under another name (dicomesh join), and start again with --accept-loss state")
		c.sites["a"].ask("remove", "b", "--yes")
		listen, address := c.net.site("b2")
		b.command("join", "--site", "b2", "--listen", listen, "--address", address, c.token("a"))
		delete(c.sites, "b")
		b.name, c.sites["b2"] = "b2", b
		j.leaves("b")
		j.enters(b)
		j.allow("b2: joining")
		b.begin("--accept-loss", "state")
		t.Logf("settled at both %v after it was done", c.within(time.Minute, 2).Round(10*time.Millisecond))
		c.sound(sums(t, studies...))
		c.alike()
	})
	t.Run("the marker", func(t *testing.T) {
		t.Parallel()
		c := newCluster(t, "a", "b")
		c.whole()
		c.judged()
		b := c.sites["b"]
		studies := parts(t, sampled(t, "--studies", "2", "--series", "1", "--instances", "3"))
		c.sites["a"].drop(studies[0])
		c.within(time.Minute, 1)
		b.kill()
		if err := os.Remove(b.in("tree", ".dicomesh", "site.json")); err != nil {
			t.Fatal(err)
		}
		b.refusesToStart("dicomesh: the state is that of site b, but the tree has no marker of it (.dicomesh/site.json): the file system that holds the tree is probably not mounted " +
			"mount it and start again. Only if the tree is lost for good: dicomesh agent --accept-loss tree")
		c.sites["a"].drop(studies[1])
		b.begin("--accept-loss", "tree")
		t.Logf("settled at both %v after it was done", c.within(time.Minute, 2).Round(10*time.Millisecond))
		c.sound(sums(t, studies...))
		c.alike()
	})
}

// refusesToStart holds that the site's agent ends by itself, and says why in these words, wherever its lines break.
func (s *member) refusesToStart(words string) {
	s.t.Helper()
	out, code := said(s.t, "agent", "--data", s.dir, "--http", "127.0.0.1:0")
	if code != 1 || !strings.Contains(strings.Join(strings.Fields(out), " "), words) {
		s.t.Errorf("exit code %d, and it says: %s\nand not: %s", code, out, words)
	}
}

// said is everything that a command says on both of its outputs, and its exit code.
func said(t *testing.T, args ...string) (string, int) {
	t.Helper()
	out, err := exec.Command(filepath.Join(binDir(), "dicomesh"), args...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit == nil {
		return string(out), 0
	}
	return string(out), exit.ExitCode()
}

// TestWholeByHand holds that the commands without an agent do not publish from the tree of a site that is one of several, and that what is asked for all the same never
// gets where the agent publishes.
func TestWholeByHand(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "a", "b", "c")
	a := c.sites["a"]
	folder := sampled(t, "--studies", "1", "--instances", "2")
	a.drop(folder)
	c.within(time.Minute, 1)
	before := current(a)
	for _, s := range c.all() {
		s.stop()
	}
	tree, aside := a.in("tree"), filepath.Join(t.TempDir(), "aside")
	const words = "the tree is that of site a of cluster test, and b and c may hold more of a study: only the running agent can ask"
	for _, into := range []string{aside, a.in("current")} {
		if out, code := said(t, "regen", "--tree", tree, "--current", into); code != 1 || !strings.Contains(strings.Join(strings.Fields(out), " "), words) || !strings.Contains(out, "--provisional") {
			t.Errorf("regen: exit code %d: %s", code, out)
		}
	}
	if n := len(names(t, filepath.Join(aside, "studies"))); n > 0 {
		t.Errorf("%d files were made", n)
	}
	if out, code := said(t, "regen", "--tree", tree, "--current", a.in("current"), "--provisional"); code != 1 || !strings.Contains(out, "an agent publishes to") {
		t.Errorf("regen --provisional where the agent publishes: exit code %d: %s", code, out)
	}
	if out, code := said(t, "regen", "--tree", tree, "--current", aside, "--provisional"); code != 0 || len(names(t, filepath.Join(aside, "studies"))) != len(before) {
		t.Errorf("regen --provisional: exit code %d, %d files: %s", code, len(names(t, filepath.Join(aside, "studies"))), out)
	}
	server := startServer(t, "--current", t.TempDir(), "--tree", tree)
	refuses(t, server.url+"/"+studyOf(t, folder), words)
	server.stop()
}
