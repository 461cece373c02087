package link

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// heardBy are what a service has heard, by the site that it is said to be from.
type heardBy struct {
	mu  sync.Mutex
	all []string
}

func (h *heardBy) serve(_ context.Context, s *Stream) {
	b, err := io.ReadAll(s)
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(b) > 0 {
		h.all = append(h.all, s.Site()+": "+string(b))
	}
	if err != nil {
		h.all = append(h.all, s.Site()+" failed")
	}
}

func (h *heardBy) said() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.all, "; ")
}

// raw opens a stream of s to a neighbour that begins with these bytes: what a relay sends that lies.
func (s *testSite) raw(t *testing.T, to string, header []byte) *Stream {
	t.Helper()
	s.Endpoint.mu.Lock()
	on := s.sites[to].primary()
	on.streams.Add(1)
	s.Endpoint.mu.Unlock()
	qs, err := on.quic.OpenStreamSync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := s.newStream(on, qs, relayed)
	if _, err := out.Write(header); err != nil {
		t.Fatal(err)
	}
	return out
}

// inTheNameOf is the header of a relayed stream.
func inTheNameOf(site string, kind Kind) []byte {
	return append([]byte{byte(relayed), byte(kind), byte(len(site))}, site...)
}

// hub starts a, b and c, of which b alone has links with both others, and c hears what comes on control streams.
func hub(t *testing.T) (*cluster, *heardBy) {
	c, heard := newCluster(t, 20*time.Millisecond, "a", "b", "c"), &heardBy{}
	for _, name := range c.names {
		config := c.withEcho(name)
		config.Roster = rosterFor(name, c.names, "", "a-c")
		config.Streams[Ask] = echoed
		if name == "c" {
			config.Streams[Control] = Service{Serve: heard.serve}
		}
		c.start(config)
	}
	within(t, 5*time.Second, "links", func() bool { return c.linked("a-b", "b-c") && len(c.sites["a"].link("b").Neighbours) == 2 })
	return c, heard
}

// TestRelayThatLies: a neighbour that relays says nothing in another site's name: neither in the clear, nor with its own certificate, nor by passing on what the other
// meant as another kind of stream, or changed. It is told of, and nobody else is.
func TestRelayThatLies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, heard := hub(t)
		b := c.sites["b"]
		clear := b.raw(t, "c", inTheNameOf("a", Control))
		_, _ = clear.Write([]byte("in the clear, and long enough to be read as a record"))
		_ = clear.CloseWrite()
		borrowed := b.raw(t, "c", inTheNameOf("a", Control))
		borrowed.kind = Control
		own := tls.Client(carrier{borrowed}, &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, Certificates: []tls.Certificate{b.config.Certificate}, NextProtos: []string{protocolRelayed + "/2"}})
		_, _ = own.Write([]byte("with a certificate of b"))
		_, _ = own.CloseWrite(), borrowed.CloseWrite()
		pass(time.Second)
		if said := heard.said(); said != "" {
			t.Errorf("c believes b that it heard of a: %s", said)
		}
		if told := c.sites["c"].told(Forged); len(told) != 2 || !strings.HasPrefix(told[0], "b: ") || !strings.HasPrefix(told[1], "b: ") || !strings.Contains(strings.Join(told, ""), "it is \"b\" and not a") {
			t.Errorf("told of: %v", told)
		}
		for _, s := range []*Stream{clear, borrowed} {
			s.Close()
		}
		if _, err := c.sites["a"].Open(t.Context(), "c", Control); err != nil { // b, when it is honest, may go on
			t.Error(err)
		}
	})
}

// between has b take a stream that a means for c, and say what becomes of it.
func between(t *testing.T, c *cluster, do func(fromA, toC *Stream)) *Stream {
	t.Helper()
	b := c.sites["b"]
	relays := make(chan *Stream, 1)
	b.config.Streams[Gossip] = Service{Serve: func(ctx context.Context, s *Stream) { relays <- s; <-ctx.Done() }}
	a := c.sites["a"]
	out := a.raw(t, "b", []byte{byte(Gossip)}) // as far as b's honest half sees it; a means it for c
	out.kind, out.site = Control, "c"
	out.SetDeadline(time.Now().Add(30 * time.Second))
	a.sealOut(out, "c")
	go func() {
		select {
		case in := <-relays:
			do(in, b.raw(t, "c", inTheNameOf("a", Control)))
		case <-t.Context().Done():
		}
	}()
	return out
}

// TestRelayThatChanges: what a neighbour changes on its way is not believed, and what it cuts off does not look like the end that the other site made.
func TestRelayThatChanges(t *testing.T) {
	for name, want := range map[string]string{"nothing": "a: all of it", "a byte": "a: all of; a failed", "the end": "a: all of; a failed"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, heard := hub(t)
				var lies atomic.Bool
				out := between(t, c, func(in, to *Stream) {
					go func() { io.Copy(in, to) }()
					buffer := make([]byte, 4096)
					for {
						n, err := in.Read(buffer)
						if n > 6 && lies.Load() && name == "a byte" {
							buffer[6] ^= 1 // of what the record holds
						}
						if n > 0 && !(lies.Load() && name == "the end") {
							_, _ = to.Write(buffer[:n])
						}
						if err != nil || lies.Load() && name == "the end" {
							_ = to.CloseWrite()
							return
						}
					}
				})
				defer out.Close()
				_, err := out.Write([]byte("all of"))
				pass(time.Second)
				lies.Store(true)
				_, again := out.Write([]byte(" it"))
				if err := errors.Join(err, again, out.CloseWrite()); err != nil {
					t.Fatal(err)
				}
				pass(time.Second)
				if said := heard.said(); said != want {
					t.Errorf("heard %q, want %q", said, want)
				}
			})
		})
	}
}

// TestRelayOfAnotherKind: a stream that its site opened as one kind is not taken for another. Streams whose other end shows nothing take few places, and give them back.
func TestRelayOfAnotherKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, heard := hub(t)
		out := between(t, c, func(in, to *Stream) {
			go func() { io.Copy(in, to); in.Abort() }()
			io.Copy(to, in)
		})
		out.kind = Ask
		c.sites["a"].sealOut(out, "c")
		_, err := out.Write([]byte("a question"))
		if out.Close(); err == nil || heard.said() != "" {
			t.Errorf("c hears a question as if it were said of itself: %q, %v", heard.said(), err)
		}
		pass(20 * time.Second)
		for range 2 * maxRelayed {
			defer c.sites["b"].raw(t, "c", inTheNameOf("a", Control)).Close()
		}
		pass(time.Second)
		if n := c.sites["c"].link("b").Streams; n != maxRelayed {
			t.Errorf("%d streams of nobody are open", n)
		}
		pass(11 * time.Second)
		if n := c.sites["c"].link("b").Streams; n != 0 {
			t.Errorf("%d streams of nobody are still open", n)
		}
	})
}

// TestRelayAnswers: a neighbour that answers in the place of the site which is asked is found out by who asks, and told of.
func TestRelayAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := hub(t)
		b := c.sites["b"]
		b.config.Streams[Gossip] = Service{Serve: func(ctx context.Context, s *Stream) {
			s.kind = Ask
			own := tls.Server(carrier{s}, b.sealedTLS(s, "a"))
			_, _ = own.Write([]byte("I am c"))
			<-ctx.Done()
		}}
		out := c.sites["a"].raw(t, "b", []byte{byte(Gossip)})
		out.kind, out.site = Ask, "c"
		out.SetDeadline(time.Now().Add(30 * time.Second))
		c.sites["a"].sealOut(out, "c")
		defer out.Close()
		_, err := out.Write([]byte("who are you"))
		if !errors.Is(err, ErrRefused) {
			_, err = out.Read(make([]byte, 10))
		}
		if !errors.Is(err, ErrRefused) {
			t.Errorf("b answers for c: %v", err)
		}
		if told := c.sites["a"].told(Forged); len(told) != 1 || !strings.Contains(told[0], "b: what it passed on in the name of c is not sealed by that site") {
			t.Errorf("told of: %v", told)
		}
	})
}

// TestSealedTogether: on a relayed stream somebody reads, and so makes the handshake, while another writes; and somebody closes one of which the handshake goes on for ever.
func TestSealedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := hub(t)
		a, b := c.sites["a"], c.sites["b"]
		out, err := a.Open(t.Context(), "c", Ask)
		if err != nil {
			t.Fatal(err)
		}
		var reading sync.WaitGroup
		var heard []byte
		reading.Go(func() { heard, err = io.ReadAll(out) })
		synctest.Wait() // the handshake is under way
		if _, err := out.Write([]byte("both ways")); err != nil {
			t.Fatal(err)
		}
		if err := out.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		reading.Wait()
		if out.Close(); err != nil || string(heard) != "both ways" {
			t.Errorf("c says %q, %v", heard, err)
		}

		b.config.Streams[Gossip] = Service{Serve: func(ctx context.Context, _ *Stream) { <-ctx.Done() }}
		stuck := a.raw(t, "b", []byte{byte(Gossip)})
		a.sealOut(stuck, "c")
		reading.Go(func() { _, err = stuck.Read(make([]byte, 1)) })
		synctest.Wait()
		stuck.Close()
		reading.Wait()
		if err == nil {
			t.Error("something was read of a stream that nobody answered")
		}
	})
}
