// Package linktest is a network in memory for tests of many sites in virtual time: real QUIC runs on it inside a testing/synctest bubble.
//
// It is a router for quic-go's simnet with what real paths have: latency, cuts of both or one direction, loss, a rate with a queue that runs over, and a
// largest packet. Time is virtual, scheduling is not, so tests wait for outcomes and bound them.
package linktest

import (
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/quic-go/quic-go/testutils/simnet"
)

// Network connects addresses. Close it in the bubble that made it, after everything that uses it has ended.
type Network struct {
	mu    sync.Mutex
	path  Path
	nodes map[string]simnet.PacketReceiver
	cuts  map[[2]string]bool // from, to
	lines map[[2]string]*line
	draw  *rand.Rand
	done  chan struct{}
	work  sync.WaitGroup
}

// Path is what all ways have in each direction.
type Path struct {
	Latency time.Duration // one way
	Rate    float64       // bytes a second; 0: any
	Queue   time.Duration // what waits longer for the rate is lost
	Loss    float64       // of the packets, from 0 to 1
	Largest int           // bytes of a packet
}

// LAN is a path of that latency with nothing else to it.
func LAN(latency time.Duration) Path {
	return Path{Latency: latency, Queue: 100 * time.Millisecond, Largest: 1472}
}

// line is one way in one direction.
type line struct {
	free time.Time // the rate has no room before
	flow chan inFlight
}

type inFlight struct {
	at     time.Time
	packet simnet.Packet
}

// flying is how many packets a line holds.
const flying = 100_000

// New makes a network. What is drawn is drawn from seed.
func New(path Path, seed uint64) *Network {
	return &Network{path: path, nodes: map[string]simnet.PacketReceiver{}, cuts: map[[2]string]bool{}, lines: map[[2]string]*line{},
		draw: rand.New(rand.NewPCG(seed, seed)), done: make(chan struct{})}
}

// Close stops all lines.
func (w *Network) Close() {
	close(w.done)
	w.work.Wait()
}

// Port opens a UDP port at an IP address and port number, as net.ListenPacket does.
func (w *Network) Port(address string) (net.PacketConn, error) {
	a, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, err
	}
	return simnet.NewBlockingSimConn(a, w), nil
}

// AddNode implements simnet.Router.
func (w *Network) AddNode(a net.Addr, r simnet.PacketReceiver) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes[a.String()] = r
}

// Cut cuts the ways between two addresses in both directions.
func (w *Network) Cut(a, b string) {
	w.CutOneWay(a, b)
	w.CutOneWay(b, a)
}

// CutOneWay loses what goes from one address to the other.
func (w *Network) CutOneWay(from, to string) { w.cut(from, to, true) }

// Heal undoes cuts between two addresses.
func (w *Network) Heal(a, b string) {
	w.cut(a, b, false)
	w.cut(b, a, false)
}

func (w *Network) cut(from, to string, is bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cuts[[2]string{from, to}] = is
}

// Change changes all paths from now on.
func (w *Network) Change(change func(*Path)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(&w.path)
}

// SendPacket implements simnet.Router.
func (w *Network) SendPacket(p simnet.Packet) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	way := [2]string{p.From.String(), p.To.String()}
	if w.cuts[way] || len(p.Data) > w.path.Largest || w.path.Loss > 0 && w.draw.Float64() < w.path.Loss {
		return nil
	}
	l := w.lines[way]
	if l == nil {
		l = &line{flow: make(chan inFlight, flying)}
		w.lines[way] = l
		w.work.Go(func() { w.carry(l) })
	}
	now := time.Now()
	start := now
	if l.free.After(start) {
		start = l.free
	}
	if start.Sub(now) > w.path.Queue {
		return nil
	}
	if w.path.Rate > 0 {
		start = start.Add(time.Duration(float64(len(p.Data)+28) / w.path.Rate * 1e9)) // 28: the headers of IP and UDP
		l.free = start
	}
	select {
	case l.flow <- inFlight{start.Add(w.path.Latency), p}:
	default:
	}
	return nil
}

func (w *Network) carry(l *line) {
	for {
		select {
		case f := <-l.flow:
			if !w.until(f.at) {
				return
			}
			w.mu.Lock()
			r := w.nodes[f.packet.To.String()]
			w.mu.Unlock()
			if r != nil {
				r.RecvPacket(f.packet)
			}
		case <-w.done:
			return
		}
	}
}

// until waits, and says whether the network is still there.
func (w *Network) until(at time.Time) bool {
	wait := time.Until(at)
	if wait <= 0 {
		return true
	}
	select {
	case <-time.After(wait):
		return true
	case <-w.done:
		return false
	}
}
