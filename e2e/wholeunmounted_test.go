package e2e

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
)

// TestWholeUnmounted takes the tree of a running site away, as a disk does that is unmounted. Its index still knows every study: nobody may take that for the archive. Both sites
// say so of the one and of each study, nothing is level and nothing new is settled; a new study is shown meanwhile where it is. When the tree is back all of it comes right by itself.
func TestWholeUnmounted(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "a", "b")
	c.judged()
	a, b := c.sites["a"], c.sites["b"]
	first := sampled(t, "--studies", "1", "--series", "1", "--instances", "2", "--size", "16")
	study := studyOf(t, first)
	b.drop(first)
	c.within(time.Minute, 1)

	if err := os.Rename(a.in("tree"), a.in("unmounted")); err != nil {
		t.Fatal(err)
	}
	for _, s := range c.all() {
		eventually(t, time.Minute, s.name+" says that the archive of a is not there", func() bool {
			for _, x := range s.now().Sites {
				if x.Name == "a" {
					return strings.Contains(x.State, "without its archive")
				}
			}
			return false
		})
		for _, h := range s.knows(study).Holders {
			if h.Safe() != (h.Site == "b") {
				t.Errorf("%s says of %s, when the tree of a is away: %+v", s.name, h.Site, h)
			}
		}
		s.wanting(admin.Condition{Level: true}, "archive is not there")
		s.wanting(admin.Condition{Level: true, Study: study}, "archive is not there")
	}
	a.wanting(admin.Condition{Settled: true}, "tree is not there")

	second := sampled(t, "--studies", "2", "--series", "1", "--instances", "2", "--size", "16") // the first of them again
	b.drop(second)
	late := ""
	eventually(t, time.Minute, "b publishes what came meanwhile, and does not call it settled", func() bool {
		for uid := range b.digests() {
			if uid != study {
				late = uid
			}
		}
		if late == "" {
			return false
		}
		now := b.knows(late)
		if now.State == "settled" {
			t.Fatalf("it is settled, and a has no archive: %+v", now.Certificate)
		}
		return now.State == "published" && strings.Contains(now.Reason, "archive of a is not there")
	})
	if err := os.Rename(a.in("unmounted"), a.in("tree")); err != nil {
		t.Fatal(err)
	}
	c.within(time.Minute, 2)
	for _, s := range c.all() {
		s.ask("wait", "--level", "--timeout", "60s")
	}
	want, _ := given(t, second)
	c.sound(want)
}

// wanting asks whether a condition holds at the site now: it must not, and the answer says why.
func (s *member) wanting(what admin.Condition, why string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	if answer, err := admin.NewClient(s.in("state")).Wait(ctx, what, 0); err != nil || answer.Holds || !strings.Contains(answer.Reason, why) {
		s.t.Errorf("asked for %+v %s answers %+v, %v", what, s.name, answer, err)
	}
}
