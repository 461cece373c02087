package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
)

// TestStrangers: whoever is not who the roster knows is refused by the acceptor before any byte of data, and said so; it learns no more than that.
func TestStrangers(t *testing.T) {
	for _, c := range []struct {
		name, says    string
		uri           string
		key, signedBy []any
	}{
		{"a wrong authority", "from no authority", "dicomesh://test/b", []any{"b"}, []any{"another authority"}},
		{"signed by itself", "from no authority", "dicomesh://test/b", []any{"b"}, []any{"b"}},
		{"another site's name", "known with another key", "dicomesh://test/b", []any{"x"}, []any{"authority"}},
		{"another site's key", "known with another key", "dicomesh://test/c", []any{"b"}, []any{"authority"}},
		{"a name that is not in the roster", "not in the roster", "dicomesh://test/x", []any{"x"}, []any{"authority"}},
		{"this site's own name", "says that it is this site", "dicomesh://test/a", []any{"a"}, []any{"authority"}},
		{"another cluster", "not for a site of cluster test", "dicomesh://other/b", []any{"b"}, []any{"authority"}},
		{"a name with a path in it", "not for a site of cluster test", "dicomesh://test/b/../a", []any{"b"}, []any{"authority"}},
		{"a name with a query", "not for a site of cluster test", "dicomesh://test/b?x", []any{"b"}, []any{"authority"}},
		{"another scheme", "not for a site of cluster test", "https://test/b", []any{"b"}, []any{"authority"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newCluster(t, 20*time.Millisecond, "a", "b", "c")
				config := k.withEcho("a")
				config.Roster = rosterFor("a", k.names, "bc", "")
				a := k.start(config)
				config = k.withEcho("b")
				config.Certificate = certificate(t, c.uri, keyOf(c.key...), keyOf(c.signedBy...), farFuture)
				b := k.start(config)
				within(t, 5*time.Second, "an event", func() bool { return len(a.told(Refused)) > 0 && len(b.told(Failed)) > 0 })
				pass(10 * time.Second)
				if said := strings.Join(a.told(Refused), "\n"); !strings.Contains(said, c.says) {
					t.Errorf("said: %s", said)
				}
				rival := ""
				if c.says == "known with another key" {
					rival = strings.TrimPrefix(c.uri, "dicomesh://test/")
				}
				if got := a.rivals(); len(got) == 0 || slices.ContainsFunc(got, func(name string) bool { return name != rival }) {
					t.Errorf("who claims a name with another key: %q, want %q", got, rival)
				}
				if a.link("b").Up || a.link("c").Up || b.link("a").Up || len(b.told(Up)) > 0 || a.link("b").Received > 0 {
					t.Error("a link is up")
				}
				if err := roundTrip(t.Context(), b, "a", Data); !errors.Is(err, ErrNoLink) {
					t.Errorf("it could open a stream: %v", err)
				}
				heard := strings.Join(b.told(Failed), "\n")
				if !strings.Contains(heard, "refuses this site") || strings.Contains(heard, "roster has no") && strings.Contains(heard, c.says) {
					t.Errorf("the stranger heard: %s", heard)
				}
			})
		})
	}
}

// TestImpostor: the dialler checks as the acceptor does. What answers at b's address must be b.
func TestImpostor(t *testing.T) {
	for name, uri := range map[string]string{"other key": "dicomesh://test/b", "other site": "dicomesh://test/c"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newCluster(t, 20*time.Millisecond, "a", "b", "c")
				config := k.withEcho("b")
				config.Roster = rosterFor("b", k.names, "a", "")
				key := map[string]string{"other key": "x", "other site": "c"}[name]
				config.Certificate = certificate(t, uri, keyOf(key), keyOf("authority"), farFuture)
				k.start(config)
				a := k.start(k.withEcho("a"))
				within(t, 5*time.Second, "an event", func() bool { return len(a.told(Refused)) > 0 })
				if a.link("b").Up || len(a.told(Up)) > 0 {
					t.Error("a link to an impostor")
				}
			})
		})
	}
}

// strangerPort is a port of somebody who is in no roster.
func strangerPort(t *testing.T, k *cluster) net.PacketConn {
	t.Helper()
	port, err := k.net.Port("10.0.1.1:9")
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// raw dials site a with a TLS configuration of a test's own.
func raw(t *testing.T, k *cluster, change func(*tls.Config)) (*quic.Conn, error) {
	t.Helper()
	transport := &quic.Transport{Conn: strangerPort(t, k)}
	t.Cleanup(func() { transport.Close(); transport.Conn.Close() })
	to, err := net.ResolveUDPAddr("udp", addressOf("a"))
	if err != nil {
		t.Fatal(err)
	}
	c := baseTLS()
	c.NextProtos, c.ServerName = []string{protocolSite}, "door.test"
	change(c)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return transport.Dial(ctx, to, c, &quic.Config{InitialPacketSize: packetSize, EnableDatagrams: true})
}

// TestBareClients: a client without a certificate, with another protocol, or that says nothing, comes no further.
func TestBareClients(t *testing.T) {
	run := func(name string, f func(t *testing.T, k *cluster, a *testSite)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newCluster(t, 20*time.Millisecond, "a", "b")
				config := k.withEcho("a")
				config.Roster = rosterFor("a", k.names, "b", "")
				f(t, k, k.start(config))
			})
		})
	}
	run("no certificate", func(t *testing.T, k *cluster, a *testSite) {
		if c, err := raw(t, k, func(*tls.Config) {}); err == nil { // the client's handshake succeeds; what it writes goes nowhere
			s, _ := c.OpenStream()
			s.Write([]byte{byte(Data)})
			<-c.Context().Done()
		}
		if said := strings.Join(a.told(Refused), ""); !strings.Contains(said, "shows no certificate") {
			t.Errorf("said: %s", said)
		}
	})
	run("no door", func(t *testing.T, k *cluster, a *testSite) {
		shown := false
		_, err := raw(t, k, func(c *tls.Config) {
			c.ServerName = "example.org"
			c.VerifyConnection = func(tls.ConnectionState) error { shown = true; return nil }
		})
		if err == nil || shown {
			t.Errorf("it was shown a certificate: %v", err)
		}
		if said := strings.Join(a.told(Refused), ""); !strings.Contains(said, "name to ask for") {
			t.Errorf("said: %s", said)
		}
	})
	run("another protocol", func(t *testing.T, k *cluster, a *testSite) {
		if _, err := raw(t, k, func(c *tls.Config) { c.NextProtos = []string{"h3"} }); err == nil {
			t.Error("it was let in")
		}
		if said := strings.Join(a.told(Refused), ""); !strings.Contains(said, "h3") {
			t.Errorf("said: %s", said)
		}
	})
	run("joining where nobody joins", func(t *testing.T, k *cluster, a *testSite) {
		if _, err := raw(t, k, func(c *tls.Config) { c.NextProtos = []string{protocolJoin} }); err == nil {
			t.Error("it was let in")
		}
	})
	ownCertificate := func(c *tls.Config) {
		c.Certificates = []tls.Certificate{certificate(t, "dicomesh://test/b", keyOf("b"), keyOf("authority"), farFuture)}
	}
	run("no HELLO", func(t *testing.T, k *cluster, a *testSite) {
		c, err := raw(t, k, ownCertificate)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.SendDatagram([]byte{byte(Gossip), 'x'}); err != nil {
			t.Fatal(err)
		}
		<-c.Context().Done()
		if a.link("b").Up || a.got("b/1 x") {
			t.Error("without a HELLO it was let in")
		}
	})
	run("a HELLO of nonsense", func(t *testing.T, k *cluster, a *testSite) {
		c, err := raw(t, k, ownCertificate)
		if err != nil {
			t.Fatal(err)
		}
		s, _ := c.OpenStream()
		s.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
		<-c.Context().Done()
		if a.link("b").Up {
			t.Error("it was let in")
		}
	})
	run("bulk where gossip is", func(t *testing.T, k *cluster, a *testSite) {
		c, err := raw(t, k, ownCertificate)
		if err != nil {
			t.Fatal(err)
		}
		s, _ := c.OpenStream()
		s.Write(hello{boot: 7, seq: 1}.encode())
		within(t, time.Second, "link", func() bool { return a.link("b").Up })
		bulk, _ := c.OpenStream()
		bulk.Write([]byte{byte(Data), 'x'})
		bulk.SetReadDeadline(time.Now().Add(5 * time.Second))
		var refused *quic.StreamError
		if _, err := bulk.Read(make([]byte, 1)); !errors.As(err, &refused) {
			t.Errorf("bulk on connection 0: %v", err)
		}
		s.Write(encodeFrame(frameNeighbours, []byte{200, 'x'}))
		<-c.Context().Done() // who does not keep to the form loses the connection
	})
}

// TestExpired: a certificate whose dates are over is odd, and no more than that, because it may be our clock that is wrong.
func TestExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newCluster(t, 20*time.Millisecond, "a", "b")
		a := k.start(k.withEcho("a"))
		config := k.withEcho("b")
		config.Certificate = certificate(t, "dicomesh://test/b", keyOf("b"), keyOf("authority"), time.Unix(1, 0))
		k.start(config)
		within(t, 5*time.Second, "link", func() bool { return k.linked("a-b") })
		if said := a.told(Warning); len(said) == 0 || !strings.Contains(said[0], "1970-01-01") {
			t.Errorf("said: %v", said)
		}
	})
}

// TestRemovedSite: a site that leaves the roster loses its connections at once, streams and all, and does not come back; admitted anew, it does.
func TestRemovedSite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newCluster(t, 20*time.Millisecond, "a", "b", "c")
		for _, name := range k.names {
			k.start(k.withEcho(name))
		}
		a := k.sites["a"]
		within(t, 5*time.Second, "links", func() bool { return k.bundled("a", "b") && k.bundled("a", "c") && k.bundled("b", "c") })
		s, err := a.Open(t.Context(), "c", Data)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		without := rosterFor("a", []string{"a", "b"}, "", "")
		a.SetRoster(without)
		pass(100 * time.Millisecond)
		if _, err := s.Write([]byte("x")); err == nil {
			t.Error("a stream to a removed site goes on")
		}
		pass(time.Minute)
		if len(k.sites["c"].told(Failed)) == 0 || k.sites["c"].link("a").Up || a.link("c").Site != "" || !a.link("b").Up {
			t.Errorf("c sees %+v", k.sites["c"].link("a"))
		}
		if said := strings.Join(a.told(Refused), "\n"); !strings.Contains(said, "removed from the roster") || !strings.Contains(said, "not in the roster") {
			t.Errorf("said: %s", said)
		}
		other := rosterFor("a", k.names, "", "")
		other.Sites[2].Key = publicOf("c, set up anew")
		a.SetRoster(other)
		pass(20 * time.Second)
		if a.link("c").Up {
			t.Error("the old key is taken for the new one")
		}
		a.SetRoster(rosterFor("a", k.names, "", ""))
		within(t, 20*time.Second, "link", func() bool { return k.bundled("a", "c") })
	})
}

// TestFloodIsCounted: many refusals are few events, and a number.
func TestFloodIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newCluster(t, time.Millisecond, "a", "b")
		a := k.start(k.withEcho("a"))
		pass(time.Second)
		to := &net.UDPAddr{IP: net.IPv4(10, 0, 9, 9), Port: 1}
		for i := range 500 {
			a.refuse("", to, fmt.Sprint("stranger ", i))
		}
		pass(2 * time.Second)
		a.refuse("", to, "the last")
		a.mu.Lock()
		defer a.mu.Unlock()
		if last := a.events[len(a.events)-1]; len(a.events) > 60 || last.Omitted < 400 {
			t.Errorf("%d events, the last says %d were omitted", len(a.events), last.Omitted)
		}
	})
}
