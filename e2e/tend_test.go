package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// tidy is a configuration of a site that combines a study as soon as it has settled, and collects what it may at once.
const tidy = quick + "combine: {after: 500ms, grace: 0s}\n"

// tidyCluster is newCluster with another configuration.
func tidyCluster(t *testing.T, config, first string, others ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, net: newNetwork(t), sites: map[string]*member{}}
	s := c.add(first)
	s.configure(config)
	listen, address := c.net.site(first)
	s.command("init", "--cluster", "test", "--site", first, "--listen", listen, "--address", address)
	s.run()
	for _, name := range others {
		c.joinAs(config, name, first)
	}
	return c
}

// heads counts the lists and the instance files of a site's archive.
func (s *member) heads() (lists, instances int) {
	for path := range names(s.t, s.in("tree", "studies")) {
		switch {
		case strings.Contains(path, "/deduplicated/instances/"):
			instances++
		case strings.Contains(path, "/deduplicated/"):
			lists++
		}
	}
	return lists, instances
}

// combined waits until each site has so many studies, settled, and of each the instance files have become lists.
func (c *cluster) combined(studies, lists int) {
	c.t.Helper()
	last := map[string]string{}
	defer func() {
		if c.t.Failed() {
			c.t.Logf("%d studies were to be %d lists; %v", studies, lists, last)
		}
	}()
	eventually(c.t, time.Minute, "all studies are lists", func() bool {
		for _, s := range c.all() {
			now := s.now()
			l, i := s.heads()
			last[s.name] = fmt.Sprintf("%s %s %+v %+v, %d lists, %d instance files", now.State, now.Reason, now.Studies, now.Combining, l, i)
			if now.Studies.Settled != studies || now.Studies.Total != studies || l != lists || i != 0 {
				return false
			}
		}
		return true
	})
}

// TestClusterCombines holds that three sites make lists of what came to them as instance files, by themselves and all the same ones: no instance file stays, nothing is
// lost, every file is given back byte for byte, and each site shows the same as before. Then more comes of a study that is a list already.
func TestClusterCombines(t *testing.T) {
	t.Parallel()
	c := tidyCluster(t, tidy, "a", "b", "c")
	folders := parts(t, sampled(t, "--studies", "3", "--series", "2", "--instances", "6"))
	late := parts(t, parts(t, folders[0])[0])[0]
	aside := filepath.Join(t.TempDir(), "late.dcm")
	want := sums(t, folders...)
	if err := os.Rename(late, aside); err != nil {
		t.Fatal(err)
	}
	c.sites["a"].drop(folders[:2]...)
	c.sites["b"].drop(folders[2:]...)
	c.combined(3, 3)
	c.alike()
	shown := current(c.sites["a"])
	for _, s := range c.all() {
		if x := s.now().Combining; !x.On || x.Lists == 0 && x.Collected == 0 || x.Failures > 0 {
			t.Errorf("%s says %+v", s.name, x)
		}
		if !slices.ContainsFunc(strings.Split(s.ask("events", "--last", "1000"), "\n"), func(line string) bool { return strings.Contains(line, " collected ") }) {
			t.Errorf("%s does not say that it collected anything", s.name)
		}
	}

	c.sites["c"].drop(aside)
	c.combined(3, 4) // the list that was replaced stays for a day
	c.alike()
	c.sound(want)
	if now := current(c.sites["b"]); maps.Equal(now, shown) {
		t.Error("an instance more, and the same files")
	}
}

// TestCombinesNot holds that a site that is told so leaves its archive as it came.
func TestCombinesNot(t *testing.T) {
	t.Parallel()
	s := newSite(t, strings.Replace(tidy, "after:", "enabled: false, after:", 1))
	s.start()
	s.drop(sampled(t, "--studies", "1", "--series", "1", "--instances", "4"))
	s.settled()
	m := &member{s, "alone"}
	if x := m.now().Combining; x.On || x.Lists > 0 {
		t.Errorf("it says %+v", x)
	}
	if lists, instances := m.heads(); lists != 0 || instances != 4 {
		t.Errorf("%d lists, %d instance files", lists, instances)
	}
}
