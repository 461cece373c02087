package link

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestNameMoves: a site comes back at another address, and does not dial itself. Its name leads there sooner or later, and is asked for anew at each attempt; until then it fails, and says so.
func TestNameMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 20*time.Millisecond, "a", "b")
		at := func(host byte) string { return net.JoinHostPort(net.IPv4(10, 0, 1, host).String(), "7946") }
		var now atomic.Pointer[string]
		answer := func(address string) { now.Store(&address) }
		answer(at(1))
		config := c.configFor("a")
		for i, s := range config.Roster.Sites {
			if s.Name == "b" {
				config.Roster.Sites[i].Addresses = []string{"b.example.org:7946"}
			}
		}
		config.Resolve = func(ctx context.Context, address string) ([]net.Addr, error) {
			if address != "b.example.org:7946" || *now.Load() == "" {
				return nil, &net.DNSError{Err: "no such host", Name: address, IsNotFound: true}
			}
			return resolve(ctx, *now.Load())
		}
		start := func(boot uint64, address string) *testSite {
			b := c.configFor("b")
			b.Boot, b.Roster = boot, rosterFor("b", c.names, "a", "") // it knows no address of a
			b.Listen = func() (net.PacketConn, error) { return c.net.Port(address) }
			return c.start(b)
		}
		c.start(config)
		old := start(1, at(1))
		within(t, 10*time.Second, "link", func() bool { return c.linked("a-b") })

		old.end(t)
		answer("")
		start(2, at(2))
		pass(2 * time.Minute)
		if c.linked("a-b") || len(c.sites["a"].told(Failed)) == 0 {
			t.Fatalf("a name that leads nowhere: linked, or not told: %q", c.sites["a"].told(Failed))
		}
		answer(at(2))
		took := within(t, 2*time.Minute, "the name is asked for again", func() bool { return c.linked("a-b") })
		t.Log("linked", took, "after the name led there")
	})
}
