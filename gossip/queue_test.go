package gossip

import (
	"context"
	"net"
	"testing"
)

// TestNobodyListens: what is spread while no other site is alive does not pile up.
func TestNobodyListens(t *testing.T) {
	g, err := New(Config{Cluster: "test", Name: "a", Send: func(string, []byte) error { return nil },
		Open: func(context.Context, string) (net.Conn, error) { return nil, errCut }})
	if err != nil {
		t.Fatal(err)
	}
	for range 10_000 {
		g.Spread("rows", make([]byte, 300))
	}
	if n := g.delegate.queue.NumQueued(); n > maxRumours {
		t.Errorf("%d messages wait", n)
	}
}
