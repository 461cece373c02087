package link

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestRealPorts: two endpoints on real UDP ports find each other, carry 8 MiB unharmed each way, tell what their ports can do, and leave nothing running.
func TestRealPorts(t *testing.T) {
	ports := map[string]net.PacketConn{}
	for _, name := range []string{"a", "b"} {
		port, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		ports[name] = port
	}
	k := &cluster{t: t, names: []string{"a", "b"}, sites: map[string]*testSite{}}
	hashed := func(_ context.Context, s *Stream) {
		h := sha256.New()
		io.Copy(h, s)
		s.Write(h.Sum(nil))
	}
	for _, name := range k.names {
		config := k.configFor(name)
		config.Listen = func() (net.PacketConn, error) { return ports[name], nil }
		for i, s := range config.Roster.Sites {
			config.Roster.Sites[i].Addresses = []string{"localhost:" + portOf(ports[s.Name])}
		}
		config.Resolve = func(ctx context.Context, address string) ([]net.Addr, error) {
			all, err := resolve(ctx, address)
			var v4 []net.Addr
			for _, a := range all {
				if a.(*net.UDPAddr).IP.To4() != nil {
					v4 = append(v4, a)
				}
			}
			return v4, err
		}
		config.Streams = map[Kind]Service{Data: {Serve: hashed}}
		k.start(config)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for _, way := range [][2]string{{"a", "b"}, {"b", "a"}} {
		began := time.Now()
		if err := carry(ctx, k.sites[way[0]], way[1], 8<<20); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s to %s: %.0f MB/s", way[0], way[1], 8/time.Since(began).Seconds()*1.048)
	}
	socket := k.sites["a"].Socket()
	t.Logf("%+v", socket)
	if socket.ReceiveBuffer == 0 || socket.Address == "" || (socket.ReceiveBuffer < wantedBuffer) != strings.Contains(socket.Advice, "rmem_max") {
		t.Errorf("%+v", socket)
	}
	for _, s := range k.sites {
		s.end(t)
	}
	if left := running("syncer/link.(*Endpoint)"); left != "" {
		t.Errorf("Run returned, and this goes on:\n%s", left)
	}
	until := time.Now().Add(time.Minute)
	for running("quic-go") != "" {
		if time.Now().After(until) {
			t.Fatalf("quic-go goes on:\n%s", running("quic-go"))
		}
		<-time.After(10 * time.Millisecond)
	}
}

func portOf(c net.PacketConn) string {
	_, port, _ := net.SplitHostPort(c.LocalAddr().String())
	return port
}

// carry sends bytes to a site that answers with their hash.
func carry(ctx context.Context, s *testSite, to string, n int) error {
	var stream *Stream
	for { // until the link is up
		var err error
		if stream, err = s.Open(ctx, to, Data); err == nil {
			break
		}
		if ctx.Err() != nil {
			return err
		}
		<-time.After(20 * time.Millisecond)
	}
	defer stream.Close()
	deadline, _ := ctx.Deadline()
	stream.SetDeadline(deadline)
	piece := make([]byte, 1<<20)
	for i := range piece {
		piece[i] = byte(i * 7 >> 3)
	}
	h := sha256.New()
	for range n / len(piece) {
		h.Write(piece)
		if _, err := stream.Write(piece); err != nil {
			return err
		}
	}
	stream.CloseWrite()
	got, err := io.ReadAll(stream)
	if err == nil && string(got) != string(h.Sum(nil)) {
		err = errors.New("it arrived changed")
	}
	return err
}

// running are the stacks in which a word occurs.
func running(word string) string {
	buffer := make([]byte, 4<<20)
	var found []string
	for _, g := range strings.Split(string(buffer[:runtime.Stack(buffer, true)]), "\n\n") {
		if strings.Contains(g, word) && !strings.Contains(g, "testing.tRunner") {
			found = append(found, g)
		}
	}
	return strings.Join(found, "\n\n")
}

// TestPortFails: a port that cannot be opened, or that fails, ends Run with an error and leaves nothing.
func TestPortFails(t *testing.T) {
	k := &cluster{t: t, names: []string{"a", "b"}, sites: map[string]*testSite{}}
	config := k.configFor("a")
	broken := errors.New("no such port")
	config.Listen = func() (net.PacketConn, error) { return nil, broken }
	e, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Run(t.Context()); !errors.Is(err, broken) {
		t.Error(err)
	}
	config.Listen = func() (net.PacketConn, error) {
		return net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	}
	if e, err = New(config); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Run(ctx); err != nil {
		t.Error(err)
	}
	if err := e.Run(t.Context()); err == nil {
		t.Error("it ran twice")
	}
	if _, err := New(Config{Name: "a"}); err == nil {
		t.Error("an endpoint without a key")
	}
}

func FuzzHello(f *testing.F) {
	f.Add(hello{boot: 1, seq: 2, others: standing{3, 4, 5}}.encode())
	f.Add(welcome{boot: 1}.encode())
	f.Add(append(encodeFrame(frameNeighbours, encodeNames([]string{"a", "bc"})), encodeFrame(frameWant, []byte{7})...))
	f.Fuzz(func(t *testing.T, data []byte) {
		if h, err := readHello(reader(data)); err == nil {
			if again, err := readHello(reader(h.encode())); err != nil || again != h {
				t.Fatalf("%+v is read back as %+v, %v", h, again, err)
			}
		}
		if w, err := readWelcome(reader(data)); err == nil {
			if again, err := readWelcome(reader(w.encode())); err != nil || again != w {
				t.Fatalf("%+v is read back as %+v, %v", w, again, err)
			}
		}
		if names, ok := parseNames(data); ok && string(encodeNames(names)) != string(data) {
			t.Fatal("two forms of names")
		}
		for r := reader(data); ; {
			_, body, err := readFrame(r)
			if err != nil {
				return
			}
			if len(body) > maxFrame {
				t.Fatal("a frame that is too large")
			}
		}
	})
}

func reader(data []byte) *bufio.Reader { return bufio.NewReader(bytes.NewReader(data)) }
