package agent

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/gossip/roster"
)

func keyFor(text string) ed25519.PrivateKey {
	sum := sha256.Sum256([]byte(text))
	return ed25519.NewKeyFromSeed(sum[:])
}

func member(name, machine string) roster.Site {
	return roster.Site{Name: name, Key: roster.KeyOf(keyFor(machine)), Operator: roster.KeyOf(keyFor(machine + " operator")), Role: roster.Full, Status: roster.Active, By: name}
}

// TestRosterNews holds what a site hears of the roster: what others said, once, nothing of what was typed at itself, and a known name with another key.
func TestRosterNews(t *testing.T) {
	r, err := roster.New("north", keyFor("root"), member("a", "a"))
	if err != nil {
		t.Fatal(err)
	}
	step := func(change func(roster.Roster) (roster.Roster, error), want ...string) {
		t.Helper()
		before := r
		after, err := change(before)
		if err != nil {
			t.Fatal(err)
		}
		r = after
		var got []string
		for _, n := range newsOf(before, after, "a") {
			got = append(got, fmt.Sprintf("%s %s %s: %s", n.event, n.entry, n.about, n.text))
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("heard %q, want %q", got, want)
		}
		if again := newsOf(after, after, "a"); len(again) > 0 {
			t.Errorf("heard again: %v", again)
		}
	}
	now := time.Now().Truncate(time.Second)
	until := now.Add(time.Hour)
	words := until.Local().Format(time.DateTime)
	operator := keyFor("a operator")
	down := func(by string) func(roster.Roster) (roster.Roster, error) {
		return func(r roster.Roster) (roster.Roster, error) {
			return r.AckDown(roster.Down{Site: "b", Until: until, By: by, Now: now}, operator)
		}
	}
	step(func(r roster.Roster) (roster.Roster, error) { return r.With(member("b", "b"), operator) })
	step(down("c"), "operator ack-down b: down and not waited for until "+words+", said at c")
	step(func(r roster.Roster) (roster.Roster, error) { return r.Return("b", "b", operator) }, "operator returned b: waited for again, said at b")
	step(down("a"))
	step(func(mine roster.Roster) (roster.Roster, error) {
		elsewhere, err := roster.New("north", keyFor("root"), member("a", "a"))
		if err == nil {
			elsewhere, err = elsewhere.With(member("b", "another machine"), operator)
		}
		if err != nil {
			return mine, err
		}
		return roster.Merge(mine, elsewhere)
	}, fmt.Sprintf("alarm roster b: %s", secondMachine(t)))
	step(func(r roster.Roster) (roster.Roster, error) { return r.Remove("b", "c", keyFor("root")) }, "operator removed b: removed from the cluster, said at c")
}

// secondMachine is what the alarm of TestRosterNews says.
func secondMachine(t *testing.T) string {
	t.Helper()
	first, second := roster.KeyOf(keyFor("b")), roster.KeyOf(keyFor("another machine"))
	if string(second[:]) < string(first[:]) {
		first, second = second, first
	}
	return fmt.Sprintf("a second machine (key %s) claims the name of key %s: remove one of them", second, first)
}

// TestOverdue holds that the end of an acknowledgement is said once, and that of the next one again.
func TestOverdue(t *testing.T) {
	now := time.Now()
	b := func(status roster.Status, until time.Time) []roster.Site {
		return []roster.Site{{Name: "b", Status: status, Until: until}, {Name: "c", Status: roster.Active}}
	}
	o := overdue{}
	for n, tt := range []struct {
		sites []roster.Site
		want  int
	}{{b(roster.AckDown, now.Add(time.Minute)), 0}, {b(roster.AckDown, now), 1}, {b(roster.AckDown, now), 0}, {b(roster.Active, time.Time{}), 0}, {b(roster.AckDown, now), 1},
		{b(roster.AckDown, now.Add(-time.Second)), 1}} {
		if got := o.look(tt.sites, now); len(got) != tt.want {
			t.Errorf("step %d: %v", n, got)
		}
	}
}

// TestRivals holds that a name that is claimed with another key is said once, and is an alarm for a day after the last claim.
func TestRivals(t *testing.T) {
	var r rivals
	at := time.Unix(1000, 0)
	if r.alarm("c", at) != "" {
		t.Error("an alarm about nothing")
	}
	for n, want := range []bool{true, false, false} {
		if r.seen("c", "192.0.2.1:8730", at) != want {
			t.Errorf("claim %d is said: %v", n, !want)
		}
		at = at.Add(23 * time.Hour)
	}
	if text := r.alarm("c", at); !strings.Contains(text, "another machine (192.0.2.1:8730) claims its name with another key") || !strings.Contains(text, "dicomesh remove c") {
		t.Errorf("%q", text)
	}
	if text := r.alarm("d", at); text != "" {
		t.Errorf("of another site: %q", text)
	}
	if text := r.alarm("c", at.Add(2*time.Hour)); text != "" {
		t.Errorf("a day later: %q", text)
	}
	if !r.seen("c", "192.0.2.1:8730", at.Add(2*time.Hour)) {
		t.Error("it is not said again after a day")
	}
}
