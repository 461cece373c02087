package link

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
)

// besiege has a stranger begin connections with site a from an address, each of which stops in the middle of its handshake. It returns how they ended, later.
func besiege(t *testing.T, k *cluster, from string, connections int) {
	t.Helper()
	port, err := k.net.Port(from)
	if err != nil {
		t.Fatal(err)
	}
	to, err := net.ResolveUDPAddr("udp", addressOf("a"))
	if err != nil {
		t.Fatal(err)
	}
	transport := &quic.Transport{Conn: port}
	ctx, stop := context.WithCancel(t.Context())
	var dials sync.WaitGroup
	t.Cleanup(func() {
		stop()
		dials.Wait()
		transport.Close()
		port.Close()
	})
	for range connections {
		dials.Go(func() {
			c := baseTLS()
			c.NextProtos, c.ServerName = []string{protocolSite}, "door.test"
			c.VerifyConnection = func(tls.ConnectionState) error { // it has heard the site, and says nothing more
				<-ctx.Done()
				return ctx.Err()
			}
			if qc, err := transport.Dial(ctx, to, c, &quic.Config{InitialPacketSize: packetSize}); err == nil {
				qc.CloseWithError(0, "")
			}
		})
	}
}

// TestCrowd: there are places for so many strangers from one address, and for so many altogether; from an address that is known to be a site's there is one besides. Who ends, or was let in,
// leaves his place, once.
func TestCrowd(t *testing.T) {
	c := crowd{from: map[netip.Addr]int{}, known: map[netip.Addr]bool{}}
	come := func(ctx context.Context, address, connections int) (in int, last context.Context) {
		for range connections {
			if got, err := c.arrive(ctx, &net.UDPAddr{IP: net.IPv4(10, 1, byte(address>>8), byte(address)), Port: 9}); err == nil {
				in, last = in+1, got
			}
		}
		return in, last
	}
	ctx, end := context.WithCancel(t.Context())
	first, last := come(ctx, 0, 2*maxFromAddress)
	all := first
	for n := range maxStrangers {
		in, _ := come(ctx, n+1, 1)
		all += in
	}
	if first != maxFromAddress || all != maxStrangers {
		t.Errorf("%d from one address and %d altogether have places", first, all)
	}
	c.known[netip.AddrFrom4([4]byte{10, 1, 9, 9})] = true
	if in, _ := come(ctx, 9<<8|9, 2*maxFromAddress); in != maxFromAddress {
		t.Errorf("%d from an address of a site have places beside strangers", in)
	}
	p := last.Value(placeKey{}).(*place)
	p.leave()
	p.leave()
	c.mu.Lock()
	if n := c.from[netip.AddrFrom4([4]byte{10, 1, 0, 0})]; n != maxFromAddress-1 {
		t.Errorf("one has left, and %d have places", n)
	}
	c.mu.Unlock()
	end()
	for deadline := time.After(time.Minute); ; {
		c.mu.Lock()
		total, addresses := c.total, len(c.from)
		c.mu.Unlock()
		if total == 0 && addresses == 0 {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%d places from %d addresses are taken when all have gone", total, addresses)
		case <-time.After(time.Millisecond):
		}
	}
}

// inCrowd is how many are at the door.
func (s *testSite) inCrowd() int {
	s.crowd.mu.Lock()
	defer s.crowd.mu.Unlock()
	return s.crowd.total
}

// TestSiege: strangers who begin connections and say nothing more are only so many at a time, from one address and altogether; sites that had a link come back meanwhile, and new ones
// get in beside those from one address; the operator is told; when they have gone, nothing of them is left.
func TestSiege(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newCluster(t, 20*time.Millisecond, "a", "b", "c")
		a := k.start(k.withEcho("a"))
		b := k.start(k.withEcho("b"))
		within(t, 5*time.Second, "link", func() bool { return k.bundled("a", "b") })
		besiege(t, k, "10.0.1.1:9", 3*maxFromAddress)
		pass(time.Second)
		if n := a.inCrowd(); n == 0 || n > maxFromAddress {
			t.Errorf("%d are at the door from one address", n)
		}
		if said := strings.Join(a.told(Refused), "\n"); !strings.Contains(said, errCrowd.Error()) {
			t.Errorf("said: %s", said)
		}
		k.start(k.withEcho("c"))
		within(t, 5*time.Second, "a new site's link", func() bool { return k.linked("a-c") })
		for n := range maxStrangers/maxFromAddress + 2 {
			besiege(t, k, fmt.Sprintf("10.0.2.%d:9", n+1), maxFromAddress)
		}
		most := 0
		for range 20 {
			pass(100 * time.Millisecond)
			most = max(most, a.inCrowd())
		}
		if most <= maxFromAddress || most > maxStrangers {
			t.Errorf("%d are at the door", most)
		}
		b.end(t)
		k.start(k.withEcho("b"))
		within(t, 2*time.Second, "the link of a site that was started anew", func() bool { return k.linked("a-b") })
		if err := roundTrip(t.Context(), k.sites["b"], "a", Data); err != nil {
			t.Error(err)
		}
		pass(30 * time.Second)
		if n := a.inCrowd(); n > 0 {
			t.Errorf("%d are still at the door", n)
		}
	})
}

// TestMemberFloods: a site of the cluster that sends datagrams without end, of every kind and of none, and opens streams that it says nothing on, disturbs nobody else's link, and not its own control.
func TestMemberFloods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newCluster(t, 5*time.Millisecond, "a", "b", "c")
		config := k.withEcho("a")
		config.Roster = rosterFor("a", k.names, "b", "")
		a := k.start(config)
		k.start(k.withEcho("c"))
		within(t, 5*time.Second, "link", func() bool { return k.bundled("a", "c") })
		c, err := raw(t, k, func(c *tls.Config) {
			c.Certificates = []tls.Certificate{certificate(t, "dicomesh://test/b", keyOf("b"), keyOf("authority"), farFuture)}
		})
		if err != nil {
			t.Fatal(err)
		}
		s, err := c.OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Write(hello{boot: 7, seq: 1}.encode()); err != nil {
			t.Fatal(err)
		}
		within(t, time.Second, "link", func() bool { return a.link("b").Up })
		ctx, stop := context.WithCancel(t.Context())
		var flood sync.WaitGroup
		flood.Go(func() {
			for n := 0; ctx.Err() == nil && n < 20_000; n++ {
				datagram := append([]byte{byte(n % 7), byte(Gossip), byte(n), 1, 'c', 1, 'a'}, make([]byte, n%1000)...)
				if c.SendDatagram(datagram) != nil {
					return
				}
			}
		})
		flood.Go(func() {
			for {
				x, err := c.OpenStreamSync(ctx)
				if err != nil {
					return
				}
				if _, err := x.Write([]byte{byte(Gossip)}); err != nil {
					return
				}
			}
		})
		for range 20 {
			if err := roundTrip(t.Context(), k.sites["c"], "a", Data); err != nil {
				t.Error(err)
			}
			pass(100 * time.Millisecond)
		}
		if l := a.link("c"); !l.Up || len(a.told(Down)) > 0 {
			t.Errorf("the other link: %+v, %v", l, a.told(Down))
		}
		if n := a.link("b").Streams; n > maxStreams+2 {
			t.Errorf("%d streams are open", n)
		}
		stop()
		flood.Wait()
		c.CloseWithError(0, "")
	})
}
