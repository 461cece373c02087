package e2e

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/agent/mesh"
	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/dedup/ingest"
	"github.com/dicomesh/dicomesh/gossip/identity"
	"github.com/dicomesh/dicomesh/syncer"
	"github.com/dicomesh/dicomesh/syncer/link"
)

// TestClusterAway is what it costs to find the studies that changed while a site was away: two processes, each with an index of its own, over the links and the messages of
// agents. There are no files: nothing is fetched, so all that travels is what finding takes. In full:
//
//	DICOMESH_STUDIES=100000 DICOMESH_CHANGED=1000 go test ./e2e -run TestClusterAway -v
func TestClusterAway(t *testing.T) {
	t.Parallel()
	all, changed := size(t, "DICOMESH_STUDIES", 1000), size(t, "DICOMESH_CHANGED", 50)
	c := foundCluster(t, "there")
	here, there := c.add("here"), c.sites["there"]
	listen, address := c.net.site("here")
	here.command("join", "--site", "here", "--listen", listen, "--address", address, c.token("there"))
	there.stop()
	if err := os.Mkdir(here.in("tree"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, s := range c.all() {
		s.enter(all, 1, 1)
	}

	sites := c.bare()
	alone := sites["here"].until("there is level", func(x found) bool { return x.Level })
	t.Logf("%d studies, all alike: %d round trips, %d bytes over the line both ways, with handshakes and gossip", all, alone.Trips, c.crossed())
	if alone.Trips > 0 {
		t.Errorf("two sites that hold the same have asked each other %d times", alone.Trips)
	}
	sites["here"].end()
	sites["there"].end()

	there.enter(changed, all/changed, 2)
	before := c.crossed()
	sites = c.bare()
	x := sites["here"].until("all is found", func(x found) bool { return x.Behind >= changed && x.Compared })
	sites["there"].until("all is found at the other end as well", func(x found) bool { return x.Behind >= changed && x.Compared })
	crossed := c.crossed() - before
	t.Logf("%d of %d studies changed: %d bytes said, %d heard in %d round trips, %v after the process began; %d bytes over the line both ways, with handshakes, gossip and what the other site asked",
		changed, all, x.Said, x.Heard, x.Trips, x.After.Round(time.Millisecond), crossed)
	if x.Behind != changed || x.Trips > 4 {
		t.Errorf("%d studies found to differ in %d round trips", x.Behind, x.Trips)
	}
	most := 1000 * changed // the more there are beside each that has changed, the deeper it lies
	if all < 10_000 {
		most = 500 * changed
	}
	if x.Said+x.Heard > most {
		t.Errorf("%d bytes to find %d studies, and %d would be the most", x.Said+x.Heard, changed, most)
	}
	if crossed > 1000*int64(changed) && all >= 10_000 { // a small cluster's is mostly handshakes, and the hearsay of as long as it takes
		t.Errorf("%d bytes over the line to find %d studies", crossed, changed)
	}
}

// enter puts so many studies into the site's index, straight: each step-th of those that there are to be. The agent does not run.
func (s *member) enter(studies, step, version int) {
	s.t.Helper()
	x, err := index.Open(s.t.Context(), s.in("state"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer x.Close()
	for n := range studies {
		uid, err := dedup.ParseUID(fmt.Sprintf("1.2.826.0.1.3680043.%d", n*step))
		if err != nil {
			s.t.Fatal(err)
		}
		leaf := dedup.Digest(sha256.Sum256(fmt.Append(nil, uid, version)))
		if _, err := x.Update(s.t.Context(), uid, index.Change{Leaf: &leaf, Facts: &index.Facts{Instances: 1, Series: 1, Files: 1, Bytes: 1000, Complete: true}}); err != nil {
			s.t.Fatal(err)
		}
	}
}

// crossed is how many bytes have arrived at any site.
func (c *cluster) crossed() (bytes int64) {
	for _, s := range c.all() {
		bytes += c.net.received(s.name, "")
	}
	return bytes
}

// found is what a bare site knows of the other one, and what that has cost.
type found struct {
	Level, Compared bool
	Behind          int           // studies that the other site holds otherwise
	Trips           int           // questions that were answered
	Said, Heard     int           // bytes of them, and of the answers
	After           time.Duration // since the process began
}

// bareSite names the folder of a site which this binary then runs, instead of tests.
const bareSite = "DICOMESH_E2E_BARE_SITE"

// bare is the process of a site.
type bare struct {
	t       *testing.T
	name    string
	process *exec.Cmd
	input   io.Closer
	output  *bufio.Scanner
}

// bare runs all sites as processes that only find out how they differ.
func (c *cluster) bare() map[string]*bare {
	c.t.Helper()
	sites := map[string]*bare{}
	for _, s := range c.all() {
		self, err := os.Executable()
		if err != nil {
			c.t.Fatal(err)
		}
		b := &bare{t: c.t, name: s.name, process: exec.Command(self)}
		b.process.Env = append(os.Environ(), bareSite+"="+s.dir)
		b.process.Stderr = os.Stderr
		in, err := b.process.StdinPipe()
		if err != nil {
			c.t.Fatal(err)
		}
		out, err := b.process.StdoutPipe()
		if err != nil {
			c.t.Fatal(err)
		}
		if err := b.process.Start(); err != nil {
			c.t.Fatal(err)
		}
		b.input, b.output = in, bufio.NewScanner(out)
		c.t.Cleanup(func() { _ = b.process.Process.Kill() }) // it has ended, unless the test has failed
		sites[s.name] = b
	}
	return sites
}

// until reads what the site knows until something holds.
func (b *bare) until(what string, holds func(found) bool) (x found) {
	b.t.Helper()
	late := time.AfterFunc(2*time.Minute, func() { _ = b.process.Process.Kill() })
	defer late.Stop()
	for b.output.Scan() {
		if err := json.Unmarshal(b.output.Bytes(), &x); err != nil {
			b.t.Fatalf("%v in %s", err, b.output.Text())
		}
		if holds(x) {
			return x
		}
	}
	b.t.Fatalf("%s came to its end, or was ended, before this: %s; it knew %+v", b.name, what, x)
	return x
}

// end has the process end, as it does when nobody is there any more.
func (b *bare) end() {
	b.t.Helper()
	_ = b.input.Close()
	for b.output.Scan() { // what it says until then
	}
	if err := b.process.Wait(); err != nil {
		b.t.Errorf("the process of %s: %v", b.name, err)
	}
}

// runBare is the main function of such a process. It ends with its input.
func runBare(dir string) int {
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	if err := serveBare(ctx, dir, json.NewEncoder(os.Stdout)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// meter counts what the questions of a site cost.
type meter struct {
	mu                 sync.Mutex // guards what follows
	trips, said, heard int
}

// metered is a stream of questions: each is one Write, and is answered before the next.
type metered struct {
	syncer.Stream
	*meter
}

func (m metered) Write(b []byte) (int, error) {
	m.mu.Lock()
	m.trips, m.said = m.trips+1, m.said+len(b)
	m.mu.Unlock()
	return m.Stream.Write(b)
}

func (m metered) Read(b []byte) (int, error) {
	n, err := m.Stream.Read(b)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heard += n
	return n, err
}

// serveBare is an agent of which nothing is left but the index, the links and the syncer, which takes nothing in, as if the disk were full. It says what it knows, whenever that changes.
func serveBare(ctx context.Context, dir string, say *json.Encoder) (err error) {
	began := time.Now()
	x, err := index.Open(ctx, filepath.Join(dir, "state"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	state, err := durable.OpenPrivate(filepath.Join(dir, "state"))
	if err != nil {
		return err
	}
	defer state.Close()
	tree, err := durable.OpenOS(filepath.Join(dir, "tree"))
	if err != nil {
		return err
	}
	defer tree.Close()
	var links *mesh.Mesh
	cost := &meter{}
	s, err := bareSyncer(ctx, x, state, tree, func(ctx context.Context, to string, use syncer.Use) (syncer.Stream, error) {
		stream, err := links.Open(ctx, to, bareKinds()[use])
		if err != nil || use != syncer.Query {
			return stream, err
		}
		return metered{stream, cost}, nil
	})
	if err != nil {
		return err
	}
	if links, err = mesh.Open(bareMesh(ctx, state, s)); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var parts sync.WaitGroup
	var failed error
	parts.Go(func() { _ = s.Run(ctx) })
	parts.Go(func() { defer stop(); failed = links.Run(ctx) })
	s.Room(ctx, syncer.Room{Low: true})
	tellBare(ctx, say, func() found {
		x := cost.found()
		x.After = time.Since(began)
		for _, other := range s.Status().Sites { // there is one
			x.Level, x.Compared, x.Behind = other.Level, other.Compared, other.Behind
		}
		return x
	})
	parts.Wait()
	return failed
}

func (m *meter) found() found {
	m.mu.Lock()
	defer m.mu.Unlock()
	return found{Trips: m.trips, Said: m.said, Heard: m.heard}
}

// bareSyncer is a syncer of an index without files.
func bareSyncer(ctx context.Context, x *index.Index, state, tree durable.FS, open syncer.Opener) (*syncer.Syncer, error) {
	_, name, _, err := identity.Describe(state)
	if err != nil {
		return nil, err
	}
	staging, err := durable.OpenStaging(tree, ".dicomesh/tmp")
	if err != nil {
		return nil, err
	}
	library, err := syncer.OpenLibrary(ctx, syncer.LibraryConfig{Tree: tree, Index: x, Key: [32]byte{1}})
	if err != nil {
		return nil, err
	}
	return syncer.New(syncer.Config{Self: name, Open: open, Catalog: library, Archive: library, Tree: tree, Staging: staging, Taken: ingest.Taken(tree)}), nil
}

// bareKinds are the streams of the syncer, as agents have them.
func bareKinds() map[syncer.Use]link.Kind {
	return map[syncer.Use]link.Kind{syncer.Control: link.Control, syncer.Query: link.Data, syncer.Fetch: link.Data + 1}
}

// bareMesh is a mesh that hands streams and links to the syncer.
func bareMesh(ctx context.Context, state durable.FS, s *syncer.Syncer) mesh.Config {
	streams := map[link.Kind]link.Service{}
	for use, kind := range bareKinds() {
		streams[kind] = link.Service{Limit: 32, Serve: func(ctx context.Context, stream *link.Stream) { _ = s.Serve(ctx, stream.Site(), use, stream) }} // a stream that was cut is opened again from there
	}
	return mesh.Config{State: state, Version: "test", Streams: streams,
		Listen: func(address string) (net.PacketConn, error) { return net.ListenPacket("udp", address) },
		Linked: func(e link.Event) {
			if e.Kind == link.Up || e.Kind == link.Down {
				s.Link(ctx, e.Site, e.Kind == link.Up)
			}
		}}
}

// tellBare says what is known whenever it has changed, until ctx ends.
func tellBare(ctx context.Context, say *json.Encoder, know func() found) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for last := (found{}); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := know()
		if last.After = now.After; now != last {
			last = now
			_ = say.Encode(now) // whoever reads has gone: then the input ends as well
		}
	}
}
