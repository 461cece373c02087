package mesh

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/gossip"
	"github.com/dicomesh/dicomesh/gossip/identity"
	"github.com/dicomesh/dicomesh/gossip/reach"
	"github.com/dicomesh/dicomesh/gossip/roster"
	"github.com/dicomesh/dicomesh/syncer/link"
	"github.com/dicomesh/dicomesh/syncer/link/linktest"
)

// world is a few sites on a network, each with its state folder.
type world struct {
	t     *testing.T
	net   *linktest.Network
	disks map[string]*crashfs.FS
	sites map[string]*site
	log   logs
}

type site struct {
	*Mesh
	stop   context.CancelFunc
	done   chan error
	mu     sync.Mutex
	events []link.Event
}

// logs counts what memberlist complains about.
type logs struct {
	mu    sync.Mutex
	lines strings.Builder
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.Write(b)
}

func (l *logs) count(words string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.lines.String(), words)
}

func addressOf(name string) string { return fmt.Sprintf("10.0.0.%d:7946", name[0]) }

// inWorld runs a test in virtual time.
func inWorld(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, net: linktest.New(linktest.LAN(20*time.Millisecond), 1), disks: map[string]*crashfs.FS{}, sites: map[string]*site{}}
		t.Cleanup(func() {
			for name := range w.sites {
				w.stop(name)
			}
			<-time.After(3 * time.Minute) // memberlist's own timers run out
			w.net.Close()
		})
		f(t, w)
	})
}

// found makes the cluster, at a.
func (w *world) found() {
	w.t.Helper()
	w.disks["a"] = crashfs.New()
	if _, err := identity.Create(w.disks["a"], identity.Founding{Cluster: "test", Site: "a", Addresses: []string{addressOf("a")}, Now: time.Now()}); err != nil {
		w.t.Fatal(err)
	}
	w.start("a")
}

// join lets a site join at another one, with a token that is made beside its running agent, and starts it. Without an address it can only dial out.
func (w *world) join(name, at string, addresses ...string) {
	w.t.Helper()
	text, err := identity.NewToken(w.disks[at], identity.Permit{Role: roster.Full, TTL: time.Hour, Now: time.Now()})
	if err != nil {
		w.t.Fatal(err)
	}
	token, err := identity.ParseToken(text)
	if err != nil {
		w.t.Fatal(err)
	}
	w.disks[name] = crashfs.New()
	a, err := identity.Apply(w.disks[name], token, name, "", addresses)
	if err != nil {
		w.t.Fatal(err)
	}
	port, err := w.net.Port(addressOf(name))
	if err != nil {
		w.t.Fatal(err)
	}
	answer, err := link.Join(w.t.Context(), port, token.Key[:], token.Addresses, a.Request)
	if err == nil {
		err = a.Accept(answer)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	port.Close()
	w.start(name)
}

func (w *world) start(name string) *site {
	w.t.Helper()
	s := &site{done: make(chan error, 1)}
	echo := link.Service{Serve: func(_ context.Context, s *link.Stream) { io.Copy(s, s) }}
	var err error
	s.Mesh, err = Open(Config{State: w.disks[name], Version: "test", Listen: func(string) (net.PacketConn, error) { return w.net.Port(addressOf(name)) },
		Streams: map[link.Kind]link.Service{link.Control: echo, link.Data: echo}, Log: slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Linked: func(e link.Event) { s.mu.Lock(); s.events = append(s.events, e); s.mu.Unlock() }})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(w.t.Context())
	s.stop = stop
	go func() { s.done <- s.Run(ctx) }()
	w.sites[name] = s
	return s
}

// stop stops a site as planned.
func (w *world) stop(name string) {
	s := w.sites[name]
	delete(w.sites, name)
	s.stop()
	if err := <-s.done; err != nil {
		w.t.Errorf("site %s: %v", name, err)
	}
}

// three makes a, b and c of one cluster, all alive to each other.
func (w *world) three(addressOfC ...string) {
	w.t.Helper()
	w.found()
	w.join("b", "a", addressOf("b"))
	w.join("c", "b", addressOfC...)
	within(w.t, 20*time.Second, "three sites", func() bool { return w.all(gossip.Alive, "a", "b", "c") && w.epochs() == 1 })
}

func (s *site) sees(name string) Site {
	for _, other := range s.Sites() {
		if other.Row.Name == name {
			return other
		}
	}
	return Site{}
}

// downs is how often a link has gone.
func (s *site) downs() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if e.Kind == link.Down {
			n++
		}
	}
	return n
}

// all says whether each of the sites sees each other one in that state.
func (w *world) all(state gossip.State, names ...string) bool {
	for _, a := range names {
		for _, b := range names {
			if a != b && w.sites[a].sees(b).Member.State != state {
				return false
			}
		}
	}
	return true
}

// epochs is how many different rosters there are.
func (w *world) epochs() int {
	different := map[roster.Epoch]bool{}
	for _, s := range w.sites {
		different[s.Roster().Epoch()] = true
	}
	return len(different)
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

// pass lets virtual time pass.
func pass(d time.Duration) { <-time.After(d) }

func roundTrip(ctx context.Context, s *site, to string, kind link.Kind) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	stream, err := s.Open(ctx, to, kind)
	if err != nil {
		return err
	}
	defer stream.Close()
	stream.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := stream.Write([]byte("there and back")); err != nil {
		return err
	}
	stream.CloseWrite()
	got, err := io.ReadAll(stream)
	if err == nil && !bytes.Equal(got, []byte("there and back")) {
		err = fmt.Errorf("got %q", got)
	}
	return err
}

// TestJoinOfThree: three sites by tokens, each at another one, know each other within a second, over real QUIC and real memberlist; what one tells all hear.
func TestJoinOfThree(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.found()
		w.join("b", "a", addressOf("b"))
		w.join("c", "b", addressOf("c"))
		took := within(t, 5*time.Second, "all alive, one roster", func() bool { return w.all(gossip.Alive, "a", "b", "c") && w.epochs() == 1 })
		t.Log("joined after", took)
		w.sites["a"].Tell([32]byte{7}, 12, 34)
		t.Log("told after", within(t, 5*time.Second, "a's meta at c", func() bool {
			m := w.sites["c"].sees("a").Member.Meta
			return m.Root == [32]byte{7} && m.Count == 12 && m.Change == 34 && m.Roster == w.sites["a"].Roster().Epoch()
		}))
		pass(10 * time.Minute)
		if n := w.log.count("Suspect ") + w.log.count("Failed UDP ping") + w.log.count("Push/Pull with"); n > 0 {
			t.Errorf("memberlist complains %d times of links that are well", n)
		}
		for _, s := range w.sites {
			for _, e := range s.events {
				if e.Kind == link.Down || e.Kind == link.Failed {
					t.Errorf("%+v", e)
				}
			}
		}
	})
}

// TestKilledSite: a site that vanishes is seen by the links first, by gossip after memberlist's WAN times; a cut of three minutes heals by itself.
func TestKilledSite(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.three(addressOf("c"))
		pass(time.Minute)
		for _, other := range []string{"a", "b"} {
			w.net.Cut(addressOf("c"), addressOf(other))
		}
		began := time.Now()
		within(t, 5*time.Second, "a hears nothing", func() bool { return time.Since(w.sites["a"].sees("c").Link.Heard) > 4*time.Second })
		byBeats := time.Since(began)
		within(t, 25*time.Second, "the link is down", func() bool { return !w.sites["a"].sees("c").Link.Up && !w.sites["b"].sees("c").Link.Up })
		byLink := time.Since(began)
		within(t, time.Minute, "gossip says so", func() bool { return w.sites["a"].sees("c").Member.State == gossip.Gone })
		t.Logf("no beat for 4 s after %v, link down after %v, gone by hearsay after %v", byBeats, byLink, time.Since(began))
		pass(3*time.Minute - time.Since(began))
		for _, other := range []string{"a", "b"} {
			w.net.Heal(addressOf("c"), addressOf(other))
		}
		t.Log("healed after", within(t, 30*time.Second, "all alive again", func() bool { return w.all(gossip.Alive, "a", "b", "c") }))
		within(t, 15*time.Second, "both links", func() bool { return w.sites["c"].sees("a").Link.Up && w.sites["c"].sees("b").Link.Up })
		for _, to := range []string{"a", "b"} {
			if err := roundTrip(t.Context(), w.sites["c"], to, link.Data); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestPlannedStop: a site that stops as planned has left, at both others, and its links say why; when it comes back, it is back at once.
func TestPlannedStop(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.three(addressOf("c"))
		w.stop("c")
		within(t, time.Second, "c left", func() bool {
			a, b := w.sites["a"].sees("c"), w.sites["b"].sees("c")
			return a.Member.State == gossip.Left && b.Member.State == gossip.Left && !a.Link.Up && !b.Link.Up
		})
		w.start("c")
		t.Log("back after", within(t, 10*time.Second, "c is back", func() bool { return w.all(gossip.Alive, "a", "b", "c") }))
	})
}

// TestHubAndSpoke: a and c can only dial out, so they owe each other no link and meet through b alone. Gossip never doubts either; when one dies, both others see it.
func TestHubAndSpoke(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.found() // a is the hub here
		w.join("b", "a")
		w.join("c", "a")
		within(t, 20*time.Second, "three sites", func() bool { return w.all(gossip.Alive, "a", "b", "c") && w.epochs() == 1 })
		if w.sites["b"].sees("c").Owed || w.sites["b"].sees("c").Link.Up || !w.sites["b"].sees("a").Owed {
			t.Error("who owes whom a link is wrong")
		}
		pass(30 * time.Minute)
		if n := w.log.count("Suspect ") + w.log.count("Failed UDP ping") + w.log.count("Push/Pull with"); n > 0 {
			t.Errorf("%d complaints in 30 minutes", n)
		}
		if err := roundTrip(t.Context(), w.sites["b"], "c", link.Control); err != nil {
			t.Error("through the hub:", err)
		}
		w.net.Cut(addressOf("c"), addressOf("a"))
		t.Log("gone after", within(t, 90*time.Second, "c is gone", func() bool {
			return w.sites["a"].sees("c").Member.State == gossip.Gone && w.sites["b"].sees("c").Member.State == gossip.Gone
		}))
	})
}

// TestOneLinkCut: only a and c are cut from each other: gossip goes through b and doubts nobody, which is why it may not decide; the link says what is.
func TestOneLinkCut(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.three(addressOf("c"))
		w.net.Cut(addressOf("a"), addressOf("c"))
		pass(5 * time.Minute)
		if !w.all(gossip.Alive, "a", "b", "c") {
			t.Error("gossip lost somebody")
		}
		if a := w.sites["a"].sees("c"); a.Link.Up || time.Since(a.Link.Heard) < 4*time.Minute || !a.Owed {
			t.Errorf("the link: %+v", a.Link)
		}
		if err := roundTrip(t.Context(), w.sites["a"], "c", link.Control); err != nil {
			t.Error("through b:", err)
		}
	})
}

// TestPart: a and c have a link on which a is not heard any more. What waits on it at a would wait until c's own time-out and longer; the link is closed when it is judged silent, what waits ends
// at once, the two reach each other through b, and when the path is whole again so is the link. One that has just come up is left alone, whatever was judged of the one before.
func TestPart(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.three(addressOf("c"))
		pass(time.Minute)
		a, c := w.sites["a"], w.sites["c"]
		stream, err := a.Open(t.Context(), "c", link.Data)
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		ended := make(chan error, 1)
		go func() {
			_, err := stream.Read(make([]byte, 1)) // an answer that does not come
			ended <- err
		}()
		w.net.CutOneWay(addressOf("a"), addressOf("c"))
		pass(10 * time.Second)
		limit := reach.Silence(reach.LAN)
		judged := func(age time.Duration) []reach.Link {
			return []reach.Link{{A: "a", B: "b", Up: true, There: reach.Way{Up: true, Known: true}, Back: reach.Way{Up: true, Known: true}},
				{A: "a", B: "c", There: reach.Way{Known: true, Age: age}, Back: reach.Way{Up: true, Known: true}},
				{A: "b", B: "c", There: reach.Way{Known: true, Age: age}, Back: reach.Way{}}}
		}
		a.Part(judged(limit-1), limit)
		pass(time.Second)
		if !a.sees("c").Link.Up || len(ended) > 0 {
			t.Fatal("the link is down before its time")
		}
		began := time.Now()
		a.Part(judged(limit), limit)
		c.Part(judged(limit), limit)
		if err := <-ended; err == nil || time.Since(began) > time.Second {
			t.Errorf("what waited on the link ended with %v after %v", err, time.Since(began))
		}
		pass(time.Second)
		if a.sees("c").Link.Up || c.sees("a").Link.Up || !a.sees("b").Link.Up {
			t.Errorf("after the judgement a sees c: %v, c sees a: %v, a sees b: %v", a.sees("c").Link.Up, c.sees("a").Link.Up, a.sees("b").Link.Up)
		}
		if err := roundTrip(t.Context(), a, "c", link.Control); err != nil {
			t.Error("through b:", err)
		}
		w.net.Heal(addressOf("a"), addressOf("c"))
		t.Log("up again after", within(t, 25*time.Second, "the link", func() bool { return a.sees("c").Link.Up && c.sees("a").Link.Up }))
		was := a.downs()
		a.Part(judged(time.Minute), limit)
		pass(time.Second)
		if n := a.downs() - was; n > 0 {
			t.Error("a link that had just come up was closed")
		}
	})
}

// TestRemovedSite: removed at a, c is out of all rosters, has no links, and cannot come back with what it has.
func TestRemovedSite(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.three(addressOf("c"))
		if err := w.sites["a"].Remove("c", ""); err != nil {
			t.Fatal(err)
		}
		within(t, 5*time.Second, "b knows, and c has no links", func() bool {
			return w.sites["b"].sees("c").Row.Name == "" && !w.sites["c"].sees("a").Link.Up && !w.sites["c"].sees("b").Link.Up
		})
		w.stop("c")
		if _, err := Open(Config{State: w.disks["c"]}); err == nil {
			pass(time.Minute) // it may not have heard of its removal; then the others refuse it
			w.start("c")
		}
		pass(time.Minute)
		if w.sites["a"].sees("c").Row.Name != "" || len(w.sites["a"].Sites()) != 2 {
			t.Error("c came back")
		}
	})
}

// TestMissedRoster: a change of the roster that found no link is heard soon after there is one again, though gossip has not missed anybody meanwhile.
func TestMissedRoster(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.three(addressOf("c"))
		w.join("d", "a", addressOf("d"))
		within(t, 20*time.Second, "four sites", func() bool { return w.all(gossip.Alive, "a", "b", "c", "d") && w.epochs() == 1 })
		w.stop("c")
		w.stop("d") // their rows make the roster too large for packets, which are sent several times
		pass(time.Minute)
		w.net.Cut(addressOf("a"), addressOf("b"))
		within(t, 30*time.Second, "the link is down", func() bool { return !w.sites["a"].sees("b").Link.Up && !w.sites["b"].sees("a").Link.Up })
		if err := w.sites["a"].AckDown("b", time.Now().Add(time.Hour), ""); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		if !w.all(gossip.Alive, "a", "b") {
			t.Fatal("gossip has missed somebody: nothing is shown")
		}
		w.net.Heal(addressOf("a"), addressOf("b"))
		within(t, 20*time.Second, "the link is up", func() bool { return w.sites["a"].sees("b").Link.Up && w.sites["b"].sees("a").Link.Up })
		t.Log("heard after", within(t, 10*time.Second, "one roster", func() bool { return w.epochs() == 1 }))
	})
}

// TestAckDown: what an operator says of one site at another one is heard by all.
func TestAckDown(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.three(addressOf("c"))
		until := time.Now().Add(24 * time.Hour)
		if err := w.sites["b"].AckDown("c", until, ""); err != nil {
			t.Fatal(err)
		}
		within(t, 5*time.Second, "a knows", func() bool {
			row := w.sites["a"].sees("c").Row
			return row.Status == roster.AckDown && row.By == "b" && row.Until.Equal(until.UTC().Truncate(time.Second))
		})
		if err := w.sites["a"].AckDown("c", time.Time{}, ""); err != nil {
			t.Fatal(err)
		}
		within(t, 5*time.Second, "b knows", func() bool { return w.sites["b"].sees("c").Row.Status == roster.Active })
	})
}
