package e2e

import (
	"maps"
	"slices"
	"testing"
	"time"
)

// TestWholeCuts cuts three sites from each other in four ways. Each site says what the cluster is and why, in time; a study that comes meanwhile goes as far as links allow, is
// held back wherever it is, and is settled everywhere soon after the cut is mended. What was settled before stays as it is.
func TestWholeCuts(t *testing.T) {
	t.Parallel()
	dead := func(p *track) { p.cut = true }
	const none = `: no answer for \d+ s`
	for _, tt := range []struct {
		name    string
		cut     func(*network)
		state   string
		reasons map[string]string
		reach   map[string][]string // who gets a study that is received at a, and one that is received at c
	}{
		{"a site is cut off", func(n *network) { n.cut("a", "b"); n.cut("a", "c") }, "split",
			map[string]string{"a": `a <-> b` + none + `.*a <-> c` + none, "b": `a <-> b` + none + `.*a <-> c` + none, "c": `a <-> b` + none + `.*a <-> c` + none},
			map[string][]string{"a": {"a"}, "c": {"b", "c"}}},
		{"nothing comes into the UDP port of a site", func(n *network) { n.set("a", "c", dead); n.set("b", "c", dead) }, "split",
			// The one that hears nobody cannot know whether it is heard.
			map[string]string{"a": `a -> c` + none + `.*b -> c` + none, "b": `a -> c` + none + `.*b -> c` + none, "c": `a (<->|->) c` + none + `.*b (<->|->) c` + none},
			map[string][]string{"a": {"a", "b"}, "c": {"c"}}},
		{"two sites are cut from each other, a third sees both", func(n *network) { n.cut("a", "c") }, "partial",
			map[string]string{"a": `^a <-> c` + none + `$`, "b": `^a <-> c` + none + `$`, "c": `^a <-> c` + none + `$`},
			map[string][]string{"a": {"a", "b", "c"}, "c": {"a", "b", "c"}}},
		{"one does not hear another, a third sees both", func(n *network) { n.set("a", "c", dead) }, "partial",
			map[string]string{"a": `^a -> c` + none, "b": `^a -> c` + none, "c": `^a -> c` + none},
			map[string][]string{"a": {"a", "b", "c"}, "c": {"a", "b", "c"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, "a", "b", "c")
			c.whole()
			c.judged()
			studies := parts(t, sampled(t, "--studies", "3", "--series", "2", "--instances", "3"))
			c.sites["b"].drop(studies[0])
			c.within(time.Minute, 1)
			before := current(c.sites["a"])
			tt.cut(c.net)
			named, explained := c.see(15*time.Second, tt.state, tt.reasons)
			t.Logf("%s at all three %v after the cut, with the reason after %v; the limit is 15 s", tt.state, named.Round(10*time.Millisecond), explained.Round(10*time.Millisecond))
			late, began := map[string]string{"a": studies[1], "c": studies[2]}, time.Now()
			for name, folder := range late {
				c.sites[name].drop(folder)
			}
			for from, folder := range late {
				uid := studyOf(t, folder)
				for _, s := range c.all() {
					if slices.Contains(tt.reach[from], s.name) {
						s.held(uid, len(names(t, folder)), "^the cluster is "+tt.state+": ")
						t.Logf("what came to %s is held at %s after %v", from, s.name, time.Since(began).Round(10*time.Millisecond))
					} else if known := s.knows(uid); known.State != "" {
						t.Errorf("%s knows of a study that it cannot have: %+v", s.name, known)
					}
				}
			}
			for _, s := range c.all() {
				if now := s.now().Studies; now.Settled != 1 || now.Published > 0 || !maps.Equal(before, current(s)) {
					t.Errorf("%s has published something during the cut, or taken it back: %+v", s.name, now)
				}
			}
			c.net.mend()
			t.Logf("settled at all three %v after it was mended; the limit is 30 s", c.within(30*time.Second, 3).Round(10*time.Millisecond))
			c.sound(sums(t, studies...))
			c.alike()
		})
	}
}

// TestWholeFar is the longer limit of sites that are far from each other.
func TestWholeFar(t *testing.T) {
	t.Parallel()
	c := foundCluster(t, "a")
	for _, s := range c.all() {
		s.kill()
		s.configure(far)
		s.run()
	}
	c.joinAs(far, "b", "a")
	c.whole()
	c.judged()
	c.sites["a"].drop(sampled(t, "--studies", "1", "--instances", "2"))
	c.within(time.Minute, 1)
	c.net.cut("a", "b")
	const reason = `^a <-> b: no answer for \d+ s$`
	named, explained := c.see(45*time.Second, "split", map[string]string{"a": reason, "b": reason})
	t.Logf("split at both %v after the cut, with the reason after %v; the limit is 45 s", named.Round(10*time.Millisecond), explained.Round(10*time.Millisecond))
	c.net.mend()
	t.Logf("whole and settled %v after it was mended", c.within(time.Minute, 1).Round(10*time.Millisecond))
}
