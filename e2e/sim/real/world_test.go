package real

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/gossip/identity"
	"github.com/dicomesh/dicomesh/gossip/roster"
	"github.com/dicomesh/dicomesh/syncer/link"
	"github.com/dicomesh/dicomesh/syncer/link/linktest"
)

// world is a cluster on a network, and what happened to it.
type world struct {
	t     *testing.T
	dir   string
	seed  uint64
	steps int
	rng   *rand.Rand
	net   *linktest.Network
	sites []*site
	cuts  map[[2]string]time.Time // from, to: since when nothing gets through
	began time.Time
	trace []string
	seen  map[string]int // what happened at all: a run in which something never does proves nothing

	files   map[dedup.FileID]dedup.File // every list and instance file that was ever seen anywhere
	must    map[study]bool              // files that must be accounted for everywhere in the end
	serial  int                         // of what is written
	certain map[string]bool             // certificates that were looked at, by site, study and nonce
	history map[string]bool             // which leaves each site was seen to hold: site, study, digest
	pending []*delivery
	looks   int
}

// study is a file of a study.
type study struct {
	uid dedup.UID
	id  dedup.FileID
}

// inWorld makes a cluster of so many sites, and takes it down when f has returned.
func inWorld(t *testing.T, seed uint64, sites int, f func(w *world)) map[string]int {
	t.Helper()
	seen := map[string]int{}
	dir := t.TempDir()
	defer watched(seed)()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, dir: dir, seed: seed, rng: rand.New(rand.NewPCG(seed, 7)), net: linktest.New(linktest.LAN(5*time.Millisecond), seed), cuts: map[[2]string]time.Time{},
			began: time.Now(), seen: seen, files: map[dedup.FileID]dedup.File{}, must: map[study]bool{}, certain: map[string]bool{}, history: map[string]bool{}}
		t.Cleanup(func() {
			for _, s := range w.sites {
				if s.running() {
					s.end()
				}
			}
			<-time.After(3 * time.Minute) // memberlist's own timers run out
			w.net.Close()
		})
		w.found(sites)
		f(w)
	})
	return seen
}

// longest is what a run may take, by the world outside: a site that does something again and again at once lets no made time pass.
const longest = 10 * time.Minute

// watched ends the process if what it begins does not end, and shows where it is.
func watched(seed uint64) (end func()) {
	late := time.AfterFunc(longest, func() {
		debug.SetTraceback("all")
		panic(fmt.Sprintf("seed %d does not end: DICOMESH_SIM_SEED=%d go test ./e2e/sim/real -run TestReal", seed, seed))
	})
	return func() { late.Stop() }
}

// found makes the cluster: the first site founds it, the others join there.
func (w *world) found(sites int) {
	w.t.Helper()
	first := newSite(w, "a")
	w.sites = append(w.sites, first)
	state := first.identity()
	_, err := identity.Create(state, identity.Founding{Cluster: "simulated", Site: "a", Addresses: []string{first.address()}, Now: time.Now()})
	if err != nil {
		w.t.Fatal(err)
	}
	state.Close()
	first.start()
	for n := 1; n < sites; n++ {
		w.join(string(rune('a' + n)))
	}
	w.within(time.Minute, "the cluster is whole", func() bool { return w.all(func(s *site) bool { return s.doors.Source.Status().State == "whole" }) })
}

func (w *world) join(name string) {
	w.t.Helper()
	s, first := newSite(w, name), w.sites[0].identity()
	defer first.Close()
	text, err := identity.NewToken(first, identity.Permit{Role: roster.Full, TTL: time.Hour, Now: time.Now()})
	if err != nil {
		w.t.Fatal(err)
	}
	token, err := identity.ParseToken(text)
	if err != nil {
		w.t.Fatal(err)
	}
	state := s.identity()
	defer state.Close()
	a, err := identity.Apply(state, token, name, "", []string{s.address()})
	if err != nil {
		w.t.Fatal(err)
	}
	port, err := w.net.Port(s.address())
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
	w.sites = append(w.sites, s)
	s.start()
}

// all reports whether something holds of every site that runs.
func (w *world) all(is func(*site) bool) bool {
	return !slices.ContainsFunc(w.sites, func(s *site) bool { return s.running() && !is(s) })
}

// say adds a line to the trace.
func (w *world) say(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf("%8.1f s  ", time.Since(w.began).Seconds())+fmt.Sprintf(format, args...))
}

// fail ends the run with its seed and its trace.
func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	for _, s := range w.sites {
		if os.Getenv("DICOMESH_SIM_LOGS") != "" {
			w.t.Logf("log of %s:\n%s", s.name, strings.Join(s.log.last(300), "\n"))
		}
	}
	w.t.Logf("trace:\n%s", strings.Join(w.trace, "\n"))
	w.t.Fatalf("%s\nreplay with: DICOMESH_SIM_SEED=%d DICOMESH_SIM_STEPS=%d go test ./e2e/sim/real -run TestReal", fmt.Sprintf(format, args...), w.seed, w.steps) // a log that is cut keeps its last line
}

// slice is the time between two looks.
const slice = 250 * time.Millisecond

// pass lets made time pass, and looks all the while.
func (w *world) pass(d time.Duration) { w.passes(d, func() bool { return false }) }

// passes lets time pass until something holds, but no longer than d.
func (w *world) passes(d time.Duration, until func() bool) bool {
	for end := time.Now().Add(d); ; {
		if until() {
			return true
		}
		if !time.Now().Before(end) {
			return false
		}
		<-time.After(slice)
		synctest.Wait()
		w.look()
	}
}

// within fails if something does not come to hold in time.
func (w *world) within(limit time.Duration, what string, is func() bool) {
	w.t.Helper()
	if !w.passes(limit, is) {
		w.fail("not within %v: %s", limit, what)
	}
}

// cut loses what goes from one site to another from now on.
func (w *world) cut(from, to string) {
	if _, is := w.cuts[[2]string{from, to}]; !is {
		w.cuts[[2]string{from, to}] = time.Now()
	}
	w.reconnect()
}

// heal undoes all cuts between two sites.
func (w *world) heal(a, b string) {
	delete(w.cuts, [2]string{a, b})
	delete(w.cuts, [2]string{b, a})
	w.reconnect()
}

// reconnect makes the network what cuts and suspended machines leave of it.
func (w *world) reconnect() {
	for i, a := range w.sites {
		for _, b := range w.sites[:i] {
			w.net.Heal(a.address(), b.address())
		}
	}
	for pair := range maps.Keys(w.cuts) {
		w.net.CutOneWay(w.site(pair[0]).address(), w.site(pair[1]).address())
	}
	for _, s := range w.sites {
		if s.suspended() || s.running() && s.power.off.Load() {
			w.dark(s.name)
		}
	}
}

// dark loses everything that goes to a site and from it.
func (w *world) dark(name string) {
	for _, other := range w.sites {
		if other.name != name {
			w.net.Cut(w.site(name).address(), other.address())
		}
	}
}

func (w *world) site(name string) *site { return w.sites[name[0]-'a'] }

// parcel writes a file that is to be ingested.
func (w *world) parcel(text []byte) string {
	w.serial++
	path := filepath.Join(w.dir, fmt.Sprintf("%d.dcm", w.serial))
	if err := os.WriteFile(path, text, 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}
