package e2e

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// network carries the UDP packets between the sites of a test, so that a test can cut, thin and count them without being root. Each site listens on an address
// of its own and tells others to come to a door of the network. Who sent a packet is seen from the address that it came from, so every way from one site to another
// can be treated by itself, whoever dialled.
type network struct {
	t       *testing.T
	running sync.WaitGroup

	mu     sync.Mutex // guards what follows, and all tracks and pipes
	names  map[netip.AddrPort]string
	doors  []*door
	tracks map[way]*track
	out    map[string]*pipe // what leaves a site, whoever it is for
	over   chan struct{}
}

// way is from one site to another. Whoever joins, or is no site, is "".
type way struct{ from, to string }

// track is the way from one site to another. Zero values are those of a perfect one.
type track struct {
	queue   chan parcel
	cut     bool
	loss    float64 // of packets, 0 to 1
	delay   time.Duration
	pipe    *pipe
	bytes   int64 // of UDP payload that arrived
	packets int64
}

// pipe is a line of limited rate with a buffer before it: what finds that full is lost.
type pipe struct {
	rate float64 // bytes a second
	free time.Time
}

// pipeBuffer is for how long a packet may wait in a pipe.
const pipeBuffer = 100 * time.Millisecond

// parcel is a packet on its way.
type parcel struct {
	at      time.Time
	packet  []byte
	deliver func([]byte)
}

// newNetwork makes a network that lasts as long as the test.
func newNetwork(t *testing.T) *network {
	n := &network{t: t, names: map[netip.AddrPort]string{}, tracks: map[way]*track{}, out: map[string]*pipe{}, over: make(chan struct{})}
	t.Cleanup(func() {
		n.mu.Lock()
		close(n.over)
		for _, d := range n.doors {
			_ = d.conn.Close()
			for _, s := range d.sessions {
				_ = s.Close()
			}
		}
		n.mu.Unlock()
		n.running.Wait()
	})
	return n
}

// door is the address at which others reach a site.
type door struct {
	net      *network
	site     string
	real     netip.AddrPort
	conn     *net.UDPConn
	sessions map[netip.AddrPort]*net.UDPConn // by who comes; guarded by net.mu
}

// freePort is a UDP address of this machine on which nobody listens.
func freePort(t *testing.T) netip.AddrPort {
	t.Helper()
	for range manyPorts {
		address := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), firstPort+uint16((uint32(os.Getpid())*64+nextPort.Add(1))%manyPorts))
		if c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(address)); err == nil {
			c.Close()
			return address
		}
	}
	t.Fatal("no UDP port is free")
	return netip.AddrPort{}
}

// The ports of sites lie below those that the kernel gives to whoever asks for any: between two starts of a site nobody else gets its port.
const (
	firstPort = 20_000
	manyPorts = 10_000
)

var nextPort atomic.Uint32

// site adds a site, and returns where it is to listen and where others are to come.
func (n *network) site(name string) (listen, address string) {
	n.t.Helper()
	d := &door{net: n, site: name, real: freePort(n.t), sessions: map[netip.AddrPort]*net.UDPConn{}}
	var err error
	if d.conn, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		n.t.Fatal(err)
	}
	enlarge(d.conn)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.names[d.real] = name
	n.doors = append(n.doors, d)
	n.running.Go(d.run)
	return d.real.String(), d.conn.LocalAddr().String()
}

// enlarge asks for large buffers; the kernel gives what it gives.
func enlarge(c *net.UDPConn) {
	_ = c.SetReadBuffer(4 << 20)
	_ = c.SetWriteBuffer(4 << 20)
}

// run takes what comes for the site.
func (d *door) run() {
	buffer := make([]byte, 1<<16)
	for {
		size, from, err := d.conn.ReadFromUDPAddrPort(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // a packet that could not be delivered earlier
		}
		if s := d.session(from); s != nil {
			d.net.send(way{d.net.name(from), d.site}, buffer[:size], func(b []byte) { _, _ = s.Write(b) })
		}
	}
}

// session is the socket through which the packets of somebody reach the site, and its answers come back. nil when the network is over.
func (d *door) session(from netip.AddrPort) *net.UDPConn {
	d.net.mu.Lock()
	defer d.net.mu.Unlock()
	if s := d.sessions[from]; s != nil {
		return s
	}
	select {
	case <-d.net.over:
		return nil
	default:
	}
	s, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(d.real))
	if err != nil {
		return nil
	}
	enlarge(s)
	d.sessions[from] = s
	d.net.running.Go(func() {
		buffer := make([]byte, 1<<16)
		for {
			size, err := s.Read(buffer)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue // nobody listens there just now
			}
			d.net.send(way{d.site, d.net.name(from)}, buffer[:size], func(b []byte) { _, _ = d.conn.WriteToUDPAddrPort(b, from) })
		}
	})
	return s
}

// name is the site with an address.
func (n *network) name(a netip.AddrPort) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.names[netip.AddrPortFrom(a.Addr().Unmap(), a.Port())]
}

// track is one way. The caller holds the lock.
func (n *network) track(w way) *track {
	p := n.tracks[w]
	if p == nil {
		p = &track{queue: make(chan parcel, 1<<14)}
		n.tracks[w] = p
		n.running.Go(func() { n.carry(p) })
	}
	return p
}

// send puts a packet on its way, or loses it.
func (n *network) send(w way, packet []byte, deliver func([]byte)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-n.over:
		return
	default:
	}
	p, at := n.track(w), time.Now()
	if p.cut || rand.Float64() < p.loss {
		return
	}
	for _, line := range []*pipe{n.out[w.from], p.pipe} {
		if line == nil {
			continue
		}
		line.free = later(line.free, at)
		if line.free.Sub(at) > pipeBuffer {
			return
		}
		line.free = line.free.Add(time.Duration(float64(len(packet)) / line.rate * float64(time.Second)))
		at = line.free
	}
	select {
	case p.queue <- parcel{at.Add(p.delay), append([]byte(nil), packet...), deliver}:
	default: // a queue without a bound would be no network
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// carry delivers the packets of one way in order, each in its time.
func (n *network) carry(p *track) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-n.over:
			return
		case x := <-p.queue:
			if wait := time.Until(x.at); wait > 0 {
				timer.Reset(wait)
				select {
				case <-n.over:
					return
				case <-timer.C:
				}
			}
			n.mu.Lock()
			lost := p.cut
			if !lost {
				p.bytes += int64(len(x.packet))
				p.packets++
			}
			n.mu.Unlock()
			if !lost {
				x.deliver(x.packet)
			}
		}
	}
}

// set changes the way from one site to another.
func (n *network) set(from, to string, change func(*track)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change(n.track(way{from, to}))
}

// both changes the ways between two sites.
func (n *network) both(a, b string, change func(*track)) {
	n.set(a, b, change)
	n.set(b, a, change)
}

// cut cuts the ways between two sites.
func (n *network) cut(a, b string) { n.both(a, b, func(p *track) { p.cut = true }) }

// thin limits what a site may send, altogether.
func (n *network) thin(site string, bitsPerSecond float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.out[site] = &pipe{rate: bitsPerSecond / 8}
}

// limit is a pipe of its own.
func limit(bitsPerSecond float64) *pipe { return &pipe{rate: bitsPerSecond / 8} }

// received is how many bytes have arrived at a site from another, or from all others ("").
func (n *network) received(site, from string) (bytes int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for w, p := range n.tracks {
		if w.to == site && (from == "" || w.from == from) {
			bytes += p.bytes
		}
	}
	return bytes
}

// sent is how many bytes of a site have arrived somewhere.
func (n *network) sent(site string) (bytes int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for w, p := range n.tracks {
		if w.from == site {
			bytes += p.bytes
		}
	}
	return bytes
}
