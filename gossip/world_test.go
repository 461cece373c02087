package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// world is a few sites with links in memory: packets are dropped and streams refused where a way is cut, as a link's Send and Open do.
type world struct {
	t     *testing.T
	mu    sync.Mutex
	sites map[string]*testSite
	cuts  map[string]bool // "a b", both ways
	sent  map[string]int  // packets, "from to"
	dark  bool            // a cut is not noticed: packets vanish and streams hang
	wait  sync.WaitGroup
}

type testSite struct {
	*Gossip
	name    string
	stop    context.CancelFunc
	done    chan error
	mu      sync.Mutex
	killed  bool // world.mu guards it
	changes []Member
	known   map[string]bool // the state of the topic "set"
}

const latency = 20 * time.Millisecond

func (w *world) cut(a, b string, is bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cuts[a+" "+b], w.cuts[b+" "+a] = is, is
}

// way is the site at the other end of a way, and whether the way is there.
func (w *world) way(from *testSite, to string) (*testSite, bool, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.sites[to]
	return s, s != nil && !from.killed && !w.cuts[from.name+" "+to], w.dark
}

var errCut = errors.New("no link")

func (w *world) send(from *testSite, to string, packet []byte) error {
	s, ok, dark := w.way(from, to)
	w.mu.Lock()
	w.sent[from.name+" "+to]++
	w.mu.Unlock()
	if len(packet) > 1034 {
		w.t.Errorf("a packet of %d bytes", len(packet))
	}
	if !ok {
		if dark {
			return nil
		}
		return errCut
	}
	packet = slices.Clone(packet)
	w.wait.Go(func() {
		<-time.After(latency)
		s.Packet(from.name, packet, time.Now())
	})
	return nil
}

func (w *world) open(_ context.Context, from *testSite, to string) (net.Conn, error) {
	s, ok, dark := w.way(from, to)
	if !ok && !dark {
		return nil, errCut
	}
	near, far := net.Pipe()
	if ok {
		w.wait.Go(func() {
			<-time.After(latency)
			s.Stream(w.t.Context(), from.name, far)
			far.Close()
		})
	}
	return near, nil
}

// start runs a site with the names of all as its roster.
func (w *world) start(name string, change func(*Config), all ...string) *testSite {
	w.t.Helper()
	s := &testSite{name: name, done: make(chan error, 1), known: map[string]bool{name: true}}
	c := Config{Cluster: "test", Name: name, Sites: all, Meta: Meta{Version: "1", Count: uint64(name[0])},
		Send:    func(to string, packet []byte) error { return w.send(s, to, packet) },
		Open:    func(ctx context.Context, to string) (net.Conn, error) { return w.open(ctx, s, to) },
		Topics:  map[string]Topic{"set": {State: s.state, Merge: s.merge}},
		Changed: func(m Member) { s.mu.Lock(); s.changes = append(s.changes, m); s.mu.Unlock() }}
	if change != nil {
		change(&c)
	}
	var err error
	if s.Gossip, err = New(c); err != nil {
		w.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(w.t.Context())
	s.stop = stop
	w.mu.Lock()
	w.sites[name] = s
	w.mu.Unlock()
	go func() { s.done <- s.Run(ctx) }()
	return s
}

// state and merge are a set of words, each with its length before it.
func (s *testSite) state() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b []byte
	for word := range s.known {
		b = fmt.Appendf(b, "%06d%s", len(word), word)
	}
	return b
}

func (s *testSite) merge(b []byte) (news bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(b) > 6 {
		var n int
		fmt.Sscanf(string(b[:6]), "%d", &n)
		word := string(b[6 : 6+n])
		news = news || !s.known[word]
		s.known[word] = true
		b = b[6+n:]
	}
	return news
}

func (s *testSite) knows(word string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[word]
}

// end stops a site and waits for it.
func (s *testSite) end(t *testing.T) {
	s.stop()
	if err := <-s.done; err != nil {
		t.Errorf("site %s: %v", s.name, err)
	}
	s.done <- nil
}

// kill stops a site as a power cut does: nobody hears of it.
func (w *world) kill(name string) {
	w.mu.Lock()
	s := w.sites[name]
	delete(w.sites, name)
	s.killed = true
	w.mu.Unlock()
	w.wait.Go(func() { s.end(w.t) })
}

func (s *testSite) sees(name string) Member {
	for _, m := range s.Members() {
		if m.Site == name {
			return m
		}
	}
	return Member{}
}

// inWorld runs a test of several sites in virtual time.
func inWorld(t *testing.T, f func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, sites: map[string]*testSite{}, cuts: map[string]bool{}, sent: map[string]int{}}
		t.Cleanup(func() {
			for _, s := range w.sites {
				s.end(t)
			}
			w.wait.Wait()
			<-time.After(3 * time.Minute) // memberlist's own timers run out
		})
		f(t, w)
	})
}

func within(t *testing.T, limit time.Duration, what string, cond func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !cond() {
		if time.Since(began) > limit {
			t.Fatalf("not within %v: %s", limit, what)
		}
		<-time.After(50 * time.Millisecond)
	}
	return time.Since(began)
}

// all says whether each of the sites sees each other one in that state.
func (w *world) all(state State, names ...string) bool {
	for _, a := range names {
		for _, b := range names {
			if a != b && w.sites[a].sees(b).State != state {
				return false
			}
		}
	}
	return true
}
