package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestWholeDown has a site that is down for long: an operator says so until a time, and the others settle without it, by name; when that time is over they wait for it again; when
// it is back and level it counts, before the time that a second operator named. All of it is in status and in the audit log, whose chain verify holds.
func TestWholeDown(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "a", "b", "c")
	c.whole()
	j := c.judged()
	a, b, down := c.sites["a"], c.sites["b"], c.sites["c"]
	studies := parts(t, sampled(t, "--studies", "4", "--series", "1", "--instances", "3"))
	a.drop(studies[0])
	c.within(time.Minute, 1)

	down.kill()
	const missed = `a <-> c: no answer for \d+ s.*b <-> c: no answer for \d+ s`
	c.see(15*time.Second, "split", map[string]string{"a": missed, "b": missed})
	a.drop(studies[1])
	a.held(studyOf(t, studies[1]), 3, "^the cluster is split: ")
	j.allow("c: acknowledged down")
	a.ask("ack-down", "c", "--for", "18s")
	const without = `^without c: acknowledged as down until .*, at a$`
	c.see(15*time.Second, "whole", map[string]string{"a": without, "b": without})
	for _, s := range []*member{a, b} {
		eventually(t, 20*time.Second, s.name+" settles without c", func() bool { return s.now().Studies.Settled == 2 })
		if state := s.stateOf("c"); !strings.Contains(state, "acknowledged down until") || !strings.Contains(state, "by a") {
			t.Errorf("%s says of c: %s", s.name, state)
		}
	}
	c.see(time.Minute, "split", map[string]string{"a": missed, "b": missed}) // it is over
	b.drop(studies[2])
	b.held(studyOf(t, studies[2]), 3, "^the cluster is split: ")

	down.run()
	t.Logf("settled at all three %v after the return", c.within(30*time.Second, 3).Round(10*time.Millisecond))
	down.kill()
	b.ask("ack-down", "c", "--for", "1h")
	a.drop(studies[3])
	for _, s := range []*member{a, b} {
		eventually(t, 30*time.Second, s.name+" settles without c", func() bool { return s.now().Studies.Settled == 4 })
	}
	down.run()
	for _, s := range c.all() {
		eventually(t, 30*time.Second, "c counts again at "+s.name, func() bool { return s.now().Reason == "" && !strings.Contains(s.stateOf("c"), "down") })
	}
	t.Logf("settled at all three %v after that", c.within(30*time.Second, 4).Round(10*time.Millisecond))
	c.sound(sums(t, studies...))
	c.alike()

	a.audited(`"kind":"ack-down","by":"a","about":"c"`)
	b.audited(`"kind":"ack-down","by":"b","about":"c"`)
	down.audited(`"kind":"returned","by":"c","about":"c","text":"level with the others again"`)
	a.stop()
	flipped(t, a)
}

// stateOf is how the site says that another one is.
func (s *member) stateOf(name string) string {
	s.t.Helper()
	for _, x := range s.now().Sites {
		if x.Name == name {
			return x.State
		}
	}
	return ""
}

// audited waits until the site's audit log has an entry.
func (s *member) audited(entry string) {
	s.t.Helper()
	eventually(s.t, 20*time.Second, "the audit log of "+s.name+" has "+entry, func() bool {
		for path := range names(s.t, s.in("state", "audit")) {
			if text, err := os.ReadFile(path); err == nil && strings.Contains(string(text), entry) {
				return true
			}
		}
		return false
	})
}

// flipped holds that verify finds nothing wrong with the audit log of a site that has stopped, and finds one byte that was changed, in the last entry too, and entries that are cut off at its end.
func flipped(t *testing.T, s *member) {
	t.Helper()
	log := filepath.Join(s.in("state", "audit"), "00000001.log")
	was, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	last := bytes.LastIndexByte(was[:len(was)-1], '\n') + 1
	if last == 0 {
		t.Fatalf("the log has one entry: %s", was)
	}
	flip := func(at int) []byte {
		text := bytes.Clone(was)
		text[at] ^= 1
		return text
	}
	if err := os.Chmod(log, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		what, says string
		text       []byte
	}{
		{"nothing is changed", "", was},
		{"a byte is another", `(?m)^audit +audit/00000001\.log:\d+: `, flip(bytes.Index(was, []byte("granted")))},
		{"a byte of the last entry is another", `(?m)^audit +audit\.head:1: entry \d+ is not the one that was written`, flip(last + bytes.Index(was[last:], []byte(`"at":"`)) + len(`"at":"201`))},
		{"the last entry is cut off", `(?m)^audit +audit\.head:1: it ended with entry \d+, and entry \d+ is the last that is there`, was[:last]},
	} {
		if err := os.WriteFile(log, tt.text, 0o600); err != nil {
			t.Fatal(err)
		}
		out, code := said(t, "verify", "--tree", s.in("tree"))
		if tt.says == "" && code != 0 || tt.says != "" && (code != 1 || !regexp.MustCompile(tt.says).MatchString(out) || !strings.Contains(out, "the audit log is not as it was written")) {
			t.Errorf("%s, and verify says, with exit code %d: %s", tt.what, code, out)
		}
	}
}
