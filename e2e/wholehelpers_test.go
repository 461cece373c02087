package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
)

// now is the site's status. The zero Status where no agent answers just now.
func (s *member) now() admin.Status {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	status, err := admin.NewClient(s.in("state")).Status(ctx)
	if err != nil && !errors.Is(err, admin.ErrUnreachable) {
		s.t.Fatalf("status of %s: %v", s.name, err)
	}
	return status
}

// knows is what the site knows of a study; the zero Study if nothing.
func (s *member) knows(study string) admin.Study {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	known, err := admin.NewClient(s.in("state")).Study(ctx, study)
	if err != nil && !errors.Is(err, admin.ErrUnknown) {
		s.t.Fatalf("what %s knows of a study: %v", s.name, err)
	}
	return known
}

// see waits until each site says of the cluster what is expected of it, and returns how long the last one took to say the state, and the reason with it.
func (c *cluster) see(limit time.Duration, state string, reasons map[string]string) (named, explained time.Duration) {
	c.t.Helper()
	began, last := time.Now(), map[string]string{}
	defer func() {
		if c.t.Failed() {
			c.t.Logf("%s was to be said, for %v; said was %v", state, reasons, last)
		}
	}()
	stated := map[string]bool{}
	eventually(c.t, limit, "all sites say "+state+", and why", func() bool {
		right := 0
		for name, reason := range reasons {
			now := c.sites[name].now()
			last[name] = now.State + ": " + now.Reason
			if now.State == state && !stated[name] {
				stated[name], named = true, time.Since(began)
			}
			if now.State == state && regexp.MustCompile(reason).MatchString(now.Reason) {
				right++
			}
		}
		return right == len(reasons)
	})
	for _, s := range c.all() {
		if words, is := last[s.name]; is {
			c.t.Logf("%s says %s", s.name, words)
		}
	}
	return named, time.Since(began)
}

// studyOf is the UID of the one study in a folder.
func studyOf(t *testing.T, folder string) string {
	t.Helper()
	out, _ := dicomesh(t, "ingest", "--tree", t.TempDir(), "--json", folder)
	uids := map[string]bool{}
	for line := range strings.Lines(out) {
		var i struct{ Study string }
		if err := json.Unmarshal([]byte(line), &i); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		uids[i.Study] = true
	}
	if len(uids) != 1 {
		t.Fatalf("%s has %d studies", folder, len(uids))
	}
	for uid := range uids {
		return uid
	}
	return ""
}

// held waits until the site has all of a study, and holds it back for a reason.
func (s *member) held(study string, instances int, reason string) {
	s.t.Helper()
	last := admin.Study{}
	defer func() {
		if s.t.Failed() {
			s.t.Logf("of the study that was to be held %s knows %+v", s.name, last)
		}
	}()
	eventually(s.t, time.Minute, fmt.Sprintf("%s holds %d instances of it back: %s", s.name, instances, reason), func() bool {
		last = s.knows(study)
		return last.State == "held" && last.Instances == instances && regexp.MustCompile(reason).MatchString(last.Reason)
	})
}

// alike holds that all sites have the same archive, and the same current files.
func (c *cluster) alike() {
	c.t.Helper()
	c.equal()
	all := c.all()
	first := current(all[0])
	for _, s := range all[1:] {
		if other := current(s); len(first) == 0 || !maps.Equal(first, other) {
			c.t.Errorf("%d current files at %s, %d at %s, or they differ", len(first), all[0].name, len(other), s.name)
		}
	}
}

// within waits until all sites have settled so many studies and nothing else, and returns how long that took.
func (c *cluster) within(limit time.Duration, studies int) time.Duration {
	c.t.Helper()
	last := map[string]string{}
	defer func() {
		if c.t.Failed() {
			c.t.Logf("%d studies were to be settled; %v", studies, last)
		}
	}()
	return eventually(c.t, limit, fmt.Sprintf("all sites have settled %d studies", studies), func() bool {
		for _, s := range c.all() {
			now := s.now()
			last[s.name] = fmt.Sprintf("%s %s %+v", now.State, now.Reason, now.Studies)
			if now.State != "whole" || now.Studies.Settled != studies || now.Studies.Total != studies || now.Inbox.Waiting > 0 {
				return false
			}
		}
		return true
	})
}

// far is a configuration of a site that is far from the others, and quick otherwise.
var far = strings.Replace(quick, "profile: lan", "profile: wan", 1)

// joinAs has a site join that has another configuration than others, and runs it.
func (c *cluster) joinAs(config, name, at string) *member {
	c.t.Helper()
	s := c.add(name)
	s.configure(config)
	listen, address := c.net.site(name)
	s.command("join", "--site", name, "--listen", listen, "--address", address, c.token(at))
	s.run()
	return s
}

// mend ends all cuts.
func (n *network) mend() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.tracks {
		p.cut = false
	}
}
