package agent

import (
	"testing"

	"github.com/dicomesh/dicomesh/dedup/crashfs"
)

// TestJoining: a site is joining until it was level once, and not again because something is on its way to it; after an acknowledgement it has to be level anew.
func TestJoining(t *testing.T) {
	disk := crashfs.New()
	j := openJoining(disk, "first")
	for n, step := range []struct {
		counts, level, want bool
		restart             string // before the step, with this incarnation
	}{
		{counts: true, level: false, want: false},
		{counts: true, level: false, want: false, restart: "first"},
		{counts: true, level: true, want: true},
		{counts: true, level: false, want: true}, // a study is on its way
		{counts: true, level: false, want: true, restart: "first"},
		{counts: false, level: false, want: false}, // acknowledged as down
		{counts: true, level: false, want: false},  // the acknowledgement is over before it was level
		{counts: true, level: false, want: false, restart: "first"},
		{counts: true, level: true, want: true},
		{counts: false, level: true, want: true}, // it can be counted again
		{counts: true, level: true, want: true},
		{counts: true, level: false, want: true, restart: "first"},
		{counts: true, level: false, want: false, restart: "second"}, // another index: nothing is known of what was
	} {
		if step.restart != "" {
			j = openJoining(disk, step.restart)
		}
		if got := j.level(step.counts, func() bool { return step.level }); got != step.want {
			t.Errorf("step %d: it says %v", n, got)
		}
		if err := j.keep(disk, "first"); err != nil {
			t.Fatal(err)
		}
	}
}
