package agent

import (
	"testing"
	"time"
)

// TestBlames holds that a site which sent what it should not have is marked, with what it did last and how often, for a day after that, and then no more; and nobody else.
func TestBlames(t *testing.T) {
	var b blames
	now := time.Unix(1_800_000_000, 0)
	if m := b.mark("liar", true, now); m != nil {
		t.Errorf("nothing was said, and it is marked: %+v", m)
	}
	b.add("liar", "a first thing", now)
	now = now.Add(20 * time.Hour)
	b.add("liar", "a second\x1b[2J thing", now)
	if m := b.mark("other", false, now); m != nil {
		t.Errorf("another site is marked: %+v", m)
	}
	now = now.Add(blamedFor)
	m := b.mark("liar", true, now)
	if m == nil || m.Times != 2 || m.Reason != "a second[2J thing" || m.Seconds != blamedFor.Seconds() || !m.Until.Equal(now) || !m.AskedLast {
		t.Errorf("at the last moment it is marked %+v", m)
	}
	if m := b.mark("liar", false, now); m == nil || m.AskedLast {
		t.Errorf("its pulls go well again: %+v", m)
	}
	now = now.Add(time.Second)
	if m := b.mark("liar", true, now); m != nil {
		t.Errorf("its mark has not ended: %+v", m)
	}
	b.add("liar", "a third", now)
	if m := b.mark("liar", false, now); m == nil || m.Times != 1 {
		t.Errorf("counted anew it is %+v", m)
	}
}
