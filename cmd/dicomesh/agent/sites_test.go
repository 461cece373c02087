package agent

import (
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/agent/mesh"
	"github.com/dicomesh/dicomesh/gossip"
	"github.com/dicomesh/dicomesh/gossip/reach"
	"github.com/dicomesh/dicomesh/gossip/roster"
	"github.com/dicomesh/dicomesh/syncer/link"
)

// TestStateOf holds that a site is called up only where links lead to it that work: that others think it alive is not enough.
func TestStateOf(t *testing.T) {
	links := []reach.Link{{A: "d", B: "e", Up: true}, {A: "c", B: "d", Up: true}, {A: "a", B: "b", Up: true}, {A: "b", B: "c"}, {A: "a", B: "f", Up: true}, {A: "b", B: "f", Up: true}}
	for _, c := range []struct {
		from, name string
		up         bool
		member     gossip.State
		want       string
	}{
		{"a", "b", true, gossip.Alive, "up"},
		{"a", "b", false, gossip.Alive, "up, through others"},
		{"a", "c", false, gossip.Alive, "silent"},
		{"a", "e", false, gossip.Alive, "silent"},
		{"c", "e", false, gossip.Alive, "up, through others"},
		{"a", "c", false, gossip.Gone, "down"},
	} {
		x := mesh.Site{Row: roster.Site{Name: c.name}, Link: link.Stats{Up: c.up}, Member: gossip.Member{State: c.member}}
		if got := stateOf(x, time.Unix(1000, 0), reached(c.from, links)); got != c.want {
			t.Errorf("%s from %s: %s, want %s", c.name, c.from, got, c.want)
		}
	}
}
