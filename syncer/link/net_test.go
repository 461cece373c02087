package link

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dicomesh/dicomesh/syncer/link/linktest"
)

// addressOf is where a site of a test listens.
func addressOf(name string) string {
	return net.JoinHostPort(net.IPv4(10, 0, 0, name[0]).String(), "7946")
}

// keyOf is the same key for the same words.
func keyOf(words ...any) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(fmt.Sprint(words...)))
	return ed25519.NewKeyFromSeed(seed[:])
}

func publicOf(words ...any) ed25519.PublicKey { return keyOf(words...).Public().(ed25519.PublicKey) }

// certificate is one for a key, with these words in it, signed by an authority.
func certificate(t testing.TB, uri string, key, authority ed25519.PrivateKey, until time.Time) tls.Certificate {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: until, URIs: []*url.URL{u}}
	parent := &x509.Certificate{SerialNumber: big.NewInt(2)}
	der, err := x509.CreateCertificate(rand.Reader, leaf, parent, key.Public(), authority)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

var farFuture = time.Unix(1<<33, 0)

// cluster is a few sites on a network.
type cluster struct {
	t     *testing.T
	net   *linktest.Network
	names []string
	sites map[string]*testSite
}

type testSite struct {
	*Endpoint
	name    string
	stop    context.CancelFunc
	done    chan error
	mu      sync.Mutex
	events  []Event
	packets []string
}

// rosterFor is the roster that a site of names is given; who cannot be dialled is in dialOnly, and pairs without a link in apart ("a-c").
func rosterFor(own string, names []string, dialOnly, apart string) Roster {
	r := Roster{Cluster: "test", Door: "door.test", Authorities: []ed25519.PublicKey{publicOf("authority")}}
	for _, name := range names {
		s := Site{Name: name, Key: publicOf(name), Relay: true}
		if !strings.Contains(dialOnly, name) {
			s.Addresses = []string{addressOf(name)}
		}
		s.Dial = !strings.Contains(apart, own+"-"+name) && !strings.Contains(apart, name+"-"+own)
		r.Sites = append(r.Sites, s)
	}
	return r
}

// configFor is a site's, to be changed before start.
func (c *cluster) configFor(name string) Config {
	return Config{
		Name: name, Boot: 1, Roster: rosterFor(name, c.names, "", ""),
		Certificate: certificate(c.t, "dicomesh://test/"+name, keyOf(name), keyOf("authority"), farFuture),
		Listen:      func() (net.PacketConn, error) { return c.net.Port(addressOf(name)) },
	}
}

func newCluster(t *testing.T, latency time.Duration, names ...string) *cluster {
	c := &cluster{t: t, net: linktest.New(linktest.LAN(latency), 1), names: names, sites: map[string]*testSite{}}
	t.Cleanup(c.net.Close)
	return c
}

// start runs a site until the test ends or it is stopped.
func (c *cluster) start(config Config) *testSite {
	c.t.Helper()
	s := &testSite{name: config.Name, done: make(chan error, 1)}
	config.Event = func(e Event) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.events = append(s.events, e)
	}
	if config.Packet == nil {
		config.Packet = func(site string, kind Kind, packet []byte, _ time.Time) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.packets = append(s.packets, fmt.Sprintf("%s/%d %s", site, kind, packet))
		}
	}
	var err error
	if s.Endpoint, err = New(config); err != nil {
		c.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(c.t.Context())
	s.stop = stop
	go func() { s.done <- s.Run(ctx) }()
	c.t.Cleanup(func() { s.end(c.t) })
	c.sites[config.Name] = s
	return s
}

func (c *cluster) startAll() {
	for _, name := range c.names {
		c.start(c.configFor(name))
	}
}

func (s *testSite) end(t *testing.T) {
	s.stop()
	if err := <-s.done; err != nil {
		t.Errorf("site %s: %v", s.name, err)
	}
	s.done <- nil
}

// link is how site s sees its link with another one.
func (s *testSite) link(other string) Stats {
	for _, l := range s.Links() {
		if l.Site == other {
			return l
		}
	}
	return Stats{}
}

// told returns the events of a kind, as text.
func (s *testSite) told(kind EventKind) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, e := range s.events {
		if e.Kind == kind {
			all = append(all, e.Site+": "+e.Reason)
		}
	}
	return all
}

// rivals are the names that those who were refused claimed with another key, "" for each who did not.
func (s *testSite) rivals() (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if e.Kind == Refused {
			all = append(all, e.Rival)
		}
	}
	return all
}

func (s *testSite) got(packet string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.packets, packet)
}

// within waits, in virtual time, until cond holds and says how long that took.
func within(t *testing.T, limit time.Duration, what string, cond func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !cond() {
		if time.Since(began) > limit {
			t.Fatalf("not within %v: %s", limit, what)
		}
		pass(20 * time.Millisecond)
	}
	return time.Since(began)
}

// pass lets virtual time pass.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// linked says whether all pairs have links.
func (c *cluster) linked(pairs ...string) bool {
	for _, p := range pairs {
		a, b, _ := strings.Cut(p, "-")
		if !c.sites[a].link(b).Up || !c.sites[b].link(a).Up {
			return false
		}
	}
	return true
}

// bundled says whether the link of two sites has its data connections.
func (c *cluster) bundled(a, b string) bool {
	l, m := c.sites[a].link(b), c.sites[b].link(a)
	return l.Up && m.Up && l.Connections >= 1 && m.Connections >= 1
}
