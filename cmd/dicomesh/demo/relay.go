package demo

import (
	"errors"
	"net"
	"sync"
)

// relay stands before a site's UDP port: the others know its address, and what comes there is passed on. So links can be cut without any right on this machine.
type relay struct {
	to   *net.UDPAddr // the site
	cuts *cuts
	self string

	port *net.UDPConn
	mu   sync.Mutex // guards what follows
	ways map[string]*way
	done bool
	all  sync.WaitGroup
}

// way is one sender's path through a relay: the site answers to a socket of its own, and what comes back there goes to the sender.
type way struct {
	out  *net.UDPConn
	from *net.UDPAddr
}

// cuts says which pairs of sites do not hear each other. Sites are known by the ports that they send from.
type cuts struct {
	mu    sync.Mutex
	sites map[int]string // by port; guarded by mu
	cut   map[[2]string]bool
}

func newCuts() *cuts { return &cuts{sites: map[int]string{}, cut: map[[2]string]bool{}} }

func pair(a, b string) [2]string { return [2]string{min(a, b), max(a, b)} }

// set cuts two sites off from each other, or mends that.
func (c *cuts) set(a, b string, cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut[pair(a, b)] = cut
}

func (c *cuts) drops(port int, to string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	from, known := c.sites[port]
	return known && c.cut[pair(from, to)]
}

// openRelay opens a relay on a free port before a site's.
func openRelay(c *cuts, self string, to *net.UDPAddr) (*relay, error) {
	port, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.sites[to.Port] = self
	c.mu.Unlock()
	r := &relay{to: to, cuts: c, self: self, port: port, ways: map[string]*way{}}
	r.all.Go(r.inward)
	return r, nil
}

// address is what the others are told.
func (r *relay) address() string { return r.port.LocalAddr().String() }

// inward passes on what comes for the site.
func (r *relay) inward() {
	packet := make([]byte, 64<<10)
	for {
		n, from, err := r.port.ReadFromUDP(packet)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue // an ICMP error of an earlier packet
		}
		if r.cuts.drops(from.Port, r.self) {
			continue
		}
		if w := r.way(from); w != nil {
			_, _ = w.out.Write(packet[:n]) // UDP may lose it, so may we
		}
	}
}

// way is the path of a sender, opened when it is first heard.
func (r *relay) way(from *net.UDPAddr) *way {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := from.String()
	if w := r.ways[key]; w != nil || r.done {
		return w
	}
	out, err := net.DialUDP("udp4", nil, r.to)
	if err != nil {
		return nil
	}
	w := &way{out, from}
	r.ways[key] = w
	r.all.Go(func() { r.outward(w) })
	return w
}

// outward passes on what the site answers.
func (r *relay) outward(w *way) {
	packet := make([]byte, 64<<10)
	for {
		n, err := w.out.Read(packet)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		if !r.cuts.drops(w.from.Port, r.self) {
			_, _ = r.port.WriteToUDP(packet[:n], w.from)
		}
	}
}

// close returns when nothing of the relay runs any more.
func (r *relay) close() {
	r.mu.Lock()
	r.done = true
	for _, w := range r.ways {
		_ = w.out.Close()
	}
	r.mu.Unlock()
	_ = r.port.Close()
	r.all.Wait()
}
