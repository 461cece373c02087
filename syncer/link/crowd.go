package link

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"

	"github.com/quic-go/quic-go"
)

// crowd is who has come to the door and has not shown yet who it is: handshakes, requests to join, and sites before their HELLO. Each costs some 100 kB, so there are only so
// many; and so that strangers from one place cannot keep all others out, few of them from one address. Who has had a link from an address is not counted with strangers.
type crowd struct {
	mu    sync.Mutex // guards what follows
	total int
	from  map[netip.Addr]int
	known map[netip.Addr]bool
}

// mostKnown bounds how many addresses of sites are remembered.
const mostKnown = 1024

// errCrowd says that somebody has to come again.
var errCrowd = errors.New("too many connections of which nobody knows yet whose they are")

// placeKey is where a connection's context has its place.
type placeKey struct{}

// place is somebody's place in the crowd. leave may be called more than once.
type place struct{ leave func() }

// arrive takes a place for a new connection, until it ends or its place is left. An error turns it away.
func (c *crowd) arrive(ctx context.Context, from net.Addr) (context.Context, error) {
	address := addressIn(from)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.from[address] >= maxFromAddress || !c.known[address] && c.total >= maxStrangers {
		return nil, errCrowd
	}
	c.from[address]++
	c.total++
	p := &place{sync.OnceFunc(func() { c.left(address) })}
	context.AfterFunc(ctx, p.leave)
	return context.WithValue(ctx, placeKey{}, p), nil
}

func (c *crowd) left(address netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total--
	if c.from[address]--; c.from[address] == 0 {
		delete(c.from, address)
	}
}

// admit ends somebody's time in the crowd: it is a site that has a connection now.
func (c *crowd) admit(qc *quic.Conn) {
	if p, is := qc.Context().Value(placeKey{}).(*place); is {
		p.leave()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) >= mostKnown {
		clear(c.known)
	}
	c.known[addressIn(qc.RemoteAddr())] = true
}

// addressIn is an address without its port.
func addressIn(a net.Addr) netip.Addr {
	if u, is := a.(*net.UDPAddr); is {
		return u.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// atTheDoor is asked by quic-go for every connection that somebody begins.
func (e *Endpoint) atTheDoor(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	in, err := e.crowd.arrive(ctx, info.RemoteAddr)
	if err != nil {
		return nil, e.refuse("", info.RemoteAddr, err.Error())
	}
	return in, nil
}
