package link

import (
	"slices"
	"testing"
)

// TestBetter holds that both ends prefer the same connection, of any two that may stand at a time, and the table of what is preferred.
func TestBetter(t *testing.T) {
	for _, c := range []struct {
		name        string
		wins, loses dial
	}{
		{"the lower name's", dial{"a", 5, 1}, dial{"b", 5, 9}},
		{"the later of one dialler", dial{"b", 5, 9}, dial{"b", 5, 8}},
		{"the one of the process that was started later", dial{"b", 6, 1}, dial{"a", 5, 9}},
	} {
		if !better(c.wins, c.loses) || better(c.loses, c.wins) {
			t.Errorf("%s does not win", c.name)
		}
	}
	if d := (dial{"a", 1, 1}); better(d, d) {
		t.Error("better than itself")
	}
}

func TestInsert(t *testing.T) {
	first, second, third := &conn{dial: dial{"b", 1, 1}}, &conn{dial: dial{"a", 1, 4}}, &conn{dial: dial{"b", 1, 2}}
	held, losers := insert(nil, first)
	if len(losers) > 0 {
		t.Error("one connection, and a loser")
	}
	held, losers = insert(held, second)
	if held[0] != second || !slices.Equal(losers, []*conn{first}) {
		t.Error("the lower name's does not win")
	}
	held, _ = insert(held, third)
	if !slices.Equal(held, []*conn{second, third, first}) {
		t.Error("the order is wrong")
	}
}

func TestLost(t *testing.T) {
	for _, c := range []struct {
		name      string
		said      standing
		seq, boot uint64
		lost      bool
	}{
		{"held", standing{7, 3, 3}, 3, 7, false},
		{"seen and not held", standing{7, 3, 0}, 3, 7, true},
		{"an older one, where a later is held", standing{7, 4, 4}, 3, 7, true},
		{"not seen yet", standing{7, 2, 2}, 3, 7, false},
		{"said of an earlier process of ours", standing{6, 9, 0}, 3, 7, false},
	} {
		if got := c.said.lost(c.seq, c.boot); got != c.lost {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
