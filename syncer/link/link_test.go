package link

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dicomesh/dicomesh/syncer/link/linktest"
)

// echoed serves streams by sending back what comes.
var echoed = Service{Serve: func(_ context.Context, s *Stream) { io.Copy(s, s) }}

// roundTrip sends bytes over a stream of a kind and expects them back.
func roundTrip(ctx context.Context, s *testSite, to string, kind Kind) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	stream, err := s.Open(ctx, to, kind)
	if err != nil {
		return err
	}
	defer stream.Close()
	stream.SetDeadline(time.Now().Add(20 * time.Second))
	sent := []byte("from " + s.name + " to " + to)
	if _, err := stream.Write(sent); err != nil {
		return err
	}
	stream.CloseWrite()
	got, err := io.ReadAll(stream)
	if err == nil && !bytes.Equal(got, sent) {
		err = fmt.Errorf("got %q", got)
	}
	return err
}

func (c *cluster) withEcho(name string) Config {
	config := c.configFor(name)
	config.Streams = map[Kind]Service{Gossip: echoed, Control: echoed, Data: echoed}
	return config
}

// TestThreeSites: all links come up by themselves, packets and streams of every kind go both ways, whoever dialled.
func TestThreeSites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 20*time.Millisecond, "a", "b", "c")
		for _, name := range c.names {
			c.start(c.withEcho(name))
		}
		t.Log("links after", within(t, 5*time.Second, "links", func() bool { return c.linked("a-b", "a-c", "b-c") }))
		within(t, 5*time.Second, "bundles", func() bool { return c.bundled("a", "b") && c.bundled("a", "c") && c.bundled("b", "c") })
		for _, from := range c.names {
			for _, to := range c.names {
				if from == to {
					continue
				}
				for _, kind := range []Kind{Gossip, Control, Data} {
					if err := roundTrip(t.Context(), c.sites[from], to, kind); err != nil {
						t.Errorf("%s to %s, kind %d: %v", from, to, kind, err)
					}
				}
				if err := c.sites[from].Send(to, Gossip, []byte("hello")); err != nil {
					t.Error(err)
				}
			}
		}
		pass(time.Minute)
		for _, s := range c.sites {
			for _, l := range s.Links() {
				if !c.sites[l.Site].got(s.name + "/1 hello") {
					t.Errorf("%s did not get the packet of %s", l.Site, s.name)
				}
				if l.Streams != 0 || l.Connections != 1 || time.Since(l.Heard) > 10*time.Second || time.Since(l.Echoed) > 10*time.Second || l.RTT < 30*time.Millisecond {
					t.Errorf("%s: %+v", s.name, l)
				}
			}
			if down := s.told(Down); len(down) > 0 {
				t.Errorf("%s: links came down: %v", s.name, down)
			}
		}
	})
}

// TestBothDialAtOnce: whatever the moment at which the other side dials, one connection 0 stays, and the link does not come down for it.
func TestBothDialAtOnce(t *testing.T) {
	var slowest time.Duration
	for i := range 30 {
		synctest.Test(t, func(t *testing.T) {
			c := newCluster(t, 20*time.Millisecond, "a", "b")
			c.start(c.withEcho("a"))
			pass(time.Duration(i) * 7 * time.Millisecond)
			c.start(c.withEcho("b"))
			began := time.Now()
			one := func() bool {
				return c.sites["a"].primaries("b") == 1 && c.sites["b"].primaries("a") == 1 && c.bundled("a", "b")
			}
			within(t, 10*time.Second, "one connection 0 at both ends", one)
			slowest = max(slowest, time.Since(began))
			pass(time.Minute)
			if !one() || len(c.sites["a"].told(Down))+len(c.sites["b"].told(Down)) > 0 || len(c.sites["a"].told(Up)) != 1 {
				t.Errorf("start %d: it flaps: %v %v", i, c.sites["a"].told(Down), c.sites["b"].told(Down))
			}
			if err := roundTrip(t.Context(), c.sites["b"], "a", Data); err != nil {
				t.Error(err)
			}
		})
	}
	t.Log("settled at the latest after", slowest)
}

func (s *testSite) primaries(other string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Endpoint.mu.Lock()
	defer s.Endpoint.mu.Unlock()
	return len(s.sites[other].primaries)
}

// TestDialOnly: nobody has c's address, and it is a full member all the same.
func TestDialOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 20*time.Millisecond, "a", "b", "c")
		for _, name := range c.names {
			config := c.withEcho(name)
			config.Roster = rosterFor(name, c.names, "c", "")
			c.start(config)
		}
		within(t, 5*time.Second, "links", func() bool { return c.linked("a-b", "a-c", "b-c") && c.bundled("a", "c") })
		for _, kind := range []Kind{Gossip, Data} {
			if err := errors.Join(roundTrip(t.Context(), c.sites["a"], "c", kind), roundTrip(t.Context(), c.sites["c"], "a", kind)); err != nil {
				t.Errorf("kind %d: %v", kind, err)
			}
		}
		if l := c.sites["a"].link("c"); l.Dialled {
			t.Errorf("a dialled c: %+v", l)
		}
	})
}

// TestHubAndSpoke: a and c have links with b alone; what is small goes through it, what is large does not, and names cannot be borrowed.
func TestHubAndSpoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 20*time.Millisecond, "a", "b", "c", "d")
		for _, name := range c.names {
			config := c.withEcho(name)
			config.Roster = rosterFor(name, c.names, "", "a-c a-d c-d")
			c.start(config)
		}
		within(t, 5*time.Second, "links", func() bool { return c.linked("a-b", "b-c", "b-d") && len(c.sites["a"].link("b").Neighbours) == 3 })
		if c.sites["a"].link("c").Up {
			t.Fatal("a and c owe each other no link")
		}
		if err := c.sites["a"].Send("c", Gossip, bytes.Repeat([]byte("x"), MaxPacket)); err != nil {
			t.Error(err)
		}
		if err := roundTrip(t.Context(), c.sites["a"], "c", Gossip); err != nil {
			t.Error("relayed stream:", err)
		}
		pass(time.Second)
		if !c.sites["c"].got("a/1 " + strings.Repeat("x", MaxPacket)) {
			t.Error("the largest packet was not relayed")
		}
		if err := roundTrip(t.Context(), c.sites["a"], "c", Data); !errors.Is(err, ErrNoLink) {
			t.Errorf("a data stream without a link: %v", err)
		}
		for _, from := range []string{"b", "d", "c"} { // b does not pass on what is not a's own
			forged := append([]byte{byte(relay), byte(Gossip)}, encodeNames([]string{from, "c"})...)
			c.sites["a"].inject("b", append(forged, "forged"...))
		}
		pass(time.Second)
		for _, from := range []string{"b", "d", "c"} {
			if c.sites["c"].got(from + "/1 forged") {
				t.Errorf("a borrowed %s's name", from)
			}
		}
		if err := c.sites["a"].Send("b", Gossip, make([]byte, MaxPacket+1)); !errors.Is(err, ErrTooLarge) {
			t.Errorf("a packet that is too large: %v", err)
		}
		if got := c.sites["b"].link("a").Streams + c.sites["b"].link("c").Streams + c.sites["a"].link("b").Streams; got != 0 {
			t.Errorf("%d streams are left open", got)
		}
	})
}

// TestWhoMayRelay: a neighbour that the roster does not let relay is neither asked to nor believed.
func TestWhoMayRelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 20*time.Millisecond, "a", "b", "c")
		for _, name := range c.names {
			config := c.withEcho(name)
			config.Roster = rosterFor(name, c.names, "", "a-c")
			config.Roster.Sites[1].Relay = name == "a" // a takes b for a relay, c does not
			c.start(config)
		}
		within(t, 5*time.Second, "links", func() bool { return c.linked("a-b", "b-c") && len(c.sites["c"].link("b").Neighbours) == 2 })
		if err := c.sites["c"].Send("a", Gossip, []byte("x")); !errors.Is(err, ErrNoLink) {
			t.Errorf("c asks b to relay: %v", err)
		}
		if err := c.sites["a"].Send("c", Gossip, []byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := roundTrip(t.Context(), c.sites["a"], "c", Gossip); err == nil {
			t.Error("c serves a stream on b's word")
		}
		if pass(time.Second); c.sites["c"].got("a/1 x") {
			t.Error("c believes b")
		}
	})
}

// inject sends a datagram as it is.
func (s *testSite) inject(to string, datagram []byte) {
	s.Endpoint.mu.Lock()
	defer s.Endpoint.mu.Unlock()
	s.sites[to].enqueue(s.sites[to].primary(), datagram)
}

// TestCutHeals: a link that is cut is seen to be down after the idle time, and comes back by itself.
func TestCutHeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 20*time.Millisecond, "a", "b")
		c.start(c.withEcho("a"))
		c.start(c.withEcho("b"))
		within(t, 5*time.Second, "link", func() bool { return c.bundled("a", "b") })
		pass(time.Minute)
		c.net.Cut(addressOf("a"), addressOf("b"))
		down := within(t, 25*time.Second, "down", func() bool { return !c.sites["a"].link("b").Up && !c.sites["b"].link("a").Up })
		if _, err := c.sites["a"].Open(t.Context(), "b", Data); !errors.Is(err, ErrNoLink) {
			t.Errorf("a stream into a cut: %v", err)
		}
		pass(3 * time.Minute)
		c.net.Heal(addressOf("a"), addressOf("b"))
		up := within(t, 20*time.Second, "up again", func() bool { return c.bundled("a", "b") })
		t.Log("down after", down, "up after", up)
		if err := roundTrip(t.Context(), c.sites["b"], "a", Data); err != nil {
			t.Error(err)
		}
		failed := c.sites["a"].told(Failed)
		if len(failed) != 1 || !strings.Contains(failed[0], "no answer") {
			t.Errorf("failures are told when their reason changes: %v", failed)
		}
	})
}

// TestOneWayCut: beats tell which direction is dead, well before the connection is given up.
func TestOneWayCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 20*time.Millisecond, "a", "b")
		c.startAll()
		within(t, 5*time.Second, "link", func() bool { return c.bundled("a", "b") })
		pass(time.Minute)
		c.net.CutOneWay(addressOf("a"), addressOf("b"))
		pass(14 * time.Second)
		a, b := c.sites["a"].link("b"), c.sites["b"].link("a")
		if !a.Up || time.Since(a.Heard) > 4*time.Second || time.Since(a.Echoed) < 13*time.Second {
			t.Errorf("a hears b, and is not heard: %+v", a)
		}
		if time.Since(b.Heard) < 13*time.Second {
			t.Errorf("b does not hear a: %+v", b)
		}
	})
}

// TestPlannedStop: a site that stops tells all others at once, and nothing of it runs on.
func TestPlannedStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 20*time.Millisecond, "a", "b")
		c.start(c.withEcho("a"))
		b := c.start(c.withEcho("b"))
		within(t, 5*time.Second, "link", func() bool { return c.bundled("a", "b") })
		s, err := c.sites["a"].Open(t.Context(), "b", Data)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		b.end(t)
		took := within(t, time.Second, "down at a", func() bool { return !c.sites["a"].link("b").Up })
		if down := c.sites["a"].told(Down); len(down) != 1 || !strings.Contains(down[0], "the site stopped") {
			t.Errorf("after %v: %v", took, down)
		}
		if _, err := io.ReadAll(s); err == nil {
			t.Error("the stream ended well")
		}
		if err := b.Send("a", Gossip, nil); !errors.Is(err, ErrNoLink) {
			t.Errorf("a packet from a stopped endpoint: %v", err)
		}
		if _, err := b.Open(t.Context(), "a", Data); !errors.Is(err, ErrNoLink) {
			t.Errorf("a stream from a stopped endpoint: %v", err)
		}
	})
}

// TestRestart: a site that was killed and started anew has its links back within seconds, though its old connections seem to stand.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 20*time.Millisecond, "a", "b")
		c.start(c.withEcho("a"))
		old := c.start(c.withEcho("b"))
		within(t, 5*time.Second, "link", func() bool { return c.bundled("a", "b") })
		c.net.Cut(addressOf("a"), addressOf("b")) // as a kill: its CLOSE is lost
		old.end(t)
		pass(3 * time.Second)
		c.net.Heal(addressOf("a"), addressOf("b"))
		config := c.withEcho("b")
		config.Boot = 2
		c.start(config)
		took := within(t, 4*time.Second, "the new process", func() bool {
			return c.bundled("a", "b") && roundTrip(t.Context(), c.sites["a"], "b", Control) == nil
		})
		t.Log("back after", took)
		if err := roundTrip(t.Context(), c.sites["a"], "b", Data); err != nil {
			t.Error(err)
		}
		a := c.sites["a"] // whoever has a stream to the old process has to hear that it is gone
		if down, up := a.told(Down), a.told(Up); len(down) != 1 || down[0] != "b: it was started anew" || len(up) != 2 {
			t.Errorf("told of %q and %q", down, up)
		}
	})
}

// TestLostAtOneEnd: a connection that one end has lost without the other knowing is given up as soon as the one who lost it dials.
func TestLostAtOneEnd(t *testing.T) {
	for _, who := range []string{"a", "b"} {
		synctest.Test(t, func(t *testing.T) {
			c := newCluster(t, 20*time.Millisecond, "a", "b")
			c.startAll()
			within(t, 5*time.Second, "link", func() bool { return c.bundled("a", "b") })
			pass(5 * time.Second)
			other := map[string]string{"a": "b", "b": "a"}[who]
			c.net.Cut(addressOf("a"), addressOf("b"))
			c.sites[who].lose(other)
			pass(100 * time.Millisecond)
			c.net.Heal(addressOf("a"), addressOf("b"))
			took := within(t, 6*time.Second, "a packet gets through", func() bool {
				c.sites[other].Send(who, Gossip, []byte("there"))
				pass(50 * time.Millisecond)
				return c.sites[who].got(other + "/1 there")
			})
			pass(5 * time.Second)
			if c.sites["a"].primaries("b") != 1 || c.sites["b"].primaries("a") != 1 {
				t.Error("more than one connection 0 stays")
			}
			t.Log("lost at", who, "back after", took)
		})
	}
}

// lose closes the connection 0 to another site.
func (s *testSite) lose(other string) {
	s.Endpoint.mu.Lock()
	p := s.sites[other].primary()
	s.Endpoint.mu.Unlock()
	p.close(codeLost)
}

// TestSmallPath: a path that takes 1,252 bytes a packet, and no more, is good enough.
func TestSmallPath(t *testing.T) {
	for _, largest := range []int{1252, 1200} {
		synctest.Test(t, func(t *testing.T) {
			c := newCluster(t, 20*time.Millisecond, "a", "b")
			c.net.Change(func(p *linktest.Path) { p.Largest = largest })
			c.start(c.withEcho("a"))
			c.start(c.withEcho("b"))
			within(t, 5*time.Second, "link", func() bool { return c.bundled("a", "b") })
			if err := c.sites["a"].Send("b", Gossip, bytes.Repeat([]byte("x"), MaxPacket)); err != nil {
				t.Error(err)
			}
			if err := roundTrip(t.Context(), c.sites["a"], "b", Data); err != nil {
				t.Error(err)
			}
			pass(time.Second)
			if !c.sites["b"].got("a/1 " + strings.Repeat("x", MaxPacket)) {
				t.Errorf("the largest packet did not pass a path of %d", largest)
			}
		})
	}
}

// TestStalledReaders: readers that stop reading bulk hold up neither packets nor the streams of connection 0, nor more streams than they may.
func TestStalledReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 20*time.Millisecond, "a", "b")
		stalled := make(chan struct{})
		config := c.withEcho("b")
		config.Memory = 2 << 20
		config.Streams[Data] = Service{Limit: 8, Serve: func(context.Context, *Stream) { <-stalled }}
		c.start(c.withEcho("a"))
		c.start(config)
		within(t, 5*time.Second, "link", func() bool { return c.bundled("a", "b") })
		refused := make(chan error, 16)
		for range 16 {
			go func() {
				s, err := c.sites["a"].Open(t.Context(), "b", Data)
				if err != nil {
					refused <- err
					return
				}
				defer s.Close()
				s.SetWriteDeadline(time.Now().Add(time.Minute))
				_, err = s.Write(make([]byte, 4<<20))
				refused <- err
			}()
		}
		pass(20 * time.Second)
		if n := len(refused); n != 8 {
			t.Errorf("%d of 16 streams ended, where 8 are served", n)
		}
		began := time.Now()
		if err := roundTrip(t.Context(), c.sites["a"], "b", Gossip); err != nil || time.Since(began) > time.Second {
			t.Errorf("gossip is held up: %v after %v", err, time.Since(began))
		}
		c.sites["a"].Send("b", Gossip, []byte("packet"))
		pass(time.Second)
		if !c.sites["b"].got("a/1 packet") {
			t.Error("packets are held up")
		}
		if got := c.sites["b"].budgets.of("a"); got > 2<<20 {
			t.Errorf("%d bytes granted, budget 2 MiB", got)
		}
		close(stalled)
		pass(time.Minute)
		if got := c.sites["b"].link("a").Streams + c.sites["a"].link("b").Streams; got != 0 {
			t.Errorf("%d streams are left", got)
		}
	})
}

// TestUnreadStreams: a service that does not read what comes ends the other end's writes at once, and costs nothing of what may be sent later.
func TestUnreadStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 5*time.Millisecond, "a", "b")
		config := c.withEcho("b")
		config.Streams[Data+1] = Service{Serve: func(context.Context, *Stream) {}}
		c.start(c.withEcho("a"))
		c.start(config)
		within(t, 5*time.Second, "link", func() bool { return c.bundled("a", "b") })
		for range 40 {
			s, err := c.sites["a"].Open(t.Context(), "b", Data+1)
			if err != nil {
				t.Fatal(err)
			}
			s.SetDeadline(time.Now().Add(5 * time.Second))
			began := time.Now()
			if _, err := s.Write(make([]byte, 4<<20)); err == nil || time.Since(began) > time.Second {
				t.Fatalf("written for %v: %v", time.Since(began), err)
			}
			s.Close()
		}
		if err := roundTrip(t.Context(), c.sites["a"], "b", Data); err != nil {
			t.Error(err)
		}
	})
}

// TestBudget: a fast sender to a fast reader is granted no more than the site's budget, over all connections.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 50*time.Millisecond, "a", "b")
		config := c.withEcho("b")
		config.Memory = 2 << 20
		c.start(c.withEcho("a"))
		c.start(config)
		within(t, 5*time.Second, "link", func() bool { return c.bundled("a", "b") })
		s, err := c.sites["a"].Open(t.Context(), "b", Data)
		if err != nil {
			t.Fatal(err)
		}
		go io.Copy(io.Discard, s)
		if _, err := s.Write(make([]byte, 24<<20)); err != nil {
			t.Error(err)
		}
		s.Close()
		if got := c.sites["b"].budgets.of("a"); got > 2<<20 || got < 1<<20 {
			t.Errorf("%d bytes granted of 2 MiB", got)
		}
		c.sites["b"].end(t)
		if got := c.sites["b"].budgets.of("a"); got != 0 {
			t.Errorf("%d bytes granted to nobody", got)
		}
	})
}

func (b *budgets) of(site string) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sites[site]
}

// TestPace: the hook is asked for all bytes of data streams before they go, and its refusal ends the write.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 20*time.Millisecond, "a", "b")
		config := c.withEcho("a")
		asked := 0
		config.Pace = func(ctx context.Context, site string, kind Kind, n int) error {
			select {
			case <-time.After(time.Duration(n) * time.Second / 100_000): // 100 kB/s
			case <-ctx.Done():
				return ctx.Err()
			}
			if asked += n; site != "b" || kind != Data {
				t.Errorf("%d bytes of a stream of kind %d for %s", n, kind, site)
			}
			return nil
		}
		c.start(config)
		c.start(c.withEcho("b"))
		within(t, 5*time.Second, "link", func() bool { return c.bundled("a", "b") })
		s, err := c.sites["a"].Open(t.Context(), "b", Data)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		began := time.Now()
		go io.Copy(io.Discard, s)
		if _, err := s.Write(make([]byte, 1_000_000)); err != nil || asked != 1_000_000 || time.Since(began) < 9*time.Second {
			t.Errorf("%d bytes asked for, %v, %v", asked, time.Since(began), err)
		}
	})
}
