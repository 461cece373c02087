package link

import (
	"context"
	"io"
	"slices"
	"sync"
	"time"
)

// Two sites without a link reach each other through one neighbour that has links with both, for what is small: gossip and control. The neighbour
// passes on only what comes from itself who sent it, so a name cannot be borrowed, and nothing travels a second hop. Streams are sealed (sealed.go).

// route is the connection 0 of the neighbour through which a site can be reached: one that may relay and says that it has a link there. The least
// name is taken, so that all packets go one way. e.mu is held.
func (e *Endpoint) route(site string) *conn {
	var by string
	var best *conn
	for name, n := range e.sites {
		c := n.primary()
		if c != nil && n.site.Relay && name != site && slices.Contains(n.names, site) && (best == nil || name < by) {
			best, by = c, name
		}
	}
	return best
}

// takeFrame passes a relayed packet on, or takes it if it is for this site.
func (e *Endpoint) takeFrame(c *conn, datagram []byte, now time.Time) {
	if len(datagram) < 2 || c.data || !Kind(datagram[1]).primary() {
		return
	}
	from, rest, ok := cutName(datagram[2:])
	if !ok {
		return
	}
	to, packet, ok := cutName(rest)
	if !ok || from == to {
		return
	}
	if to == e.config.Name {
		if e.mayRelay(c.site, from) {
			e.deliver(from, Kind(datagram[1]), packet, now)
		}
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if n := e.neighbourOf(to); from == c.site && n != nil && n.primary() != nil {
		n.enqueue(n.primary(), datagram)
	}
}

// mayRelay says whether the roster lets a neighbour speak for a site.
func (e *Endpoint) mayRelay(neighbour, site string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	n, of := e.sites[neighbour], e.sites[site]
	return n != nil && n.site.Relay && of != nil && neighbour != site
}

// readTarget reads what follows the kind of a relayed stream: the kind that it is in truth, and a site.
func (e *Endpoint) readTarget(s *Stream) (kind Kind, site string, ok bool) {
	s.quic.SetReadDeadline(time.Now().Add(e.config.Timing.Idle))
	defer s.quic.SetReadDeadline(time.Time{})
	var head [2]byte
	if _, err := io.ReadFull(s.quic, head[:]); err != nil || head[1] == 0 || head[1] > MaxName || !Kind(head[0]).primary() {
		return 0, "", false
	}
	name := make([]byte, head[1])
	if _, err := io.ReadFull(s.quic, name); err != nil {
		return 0, "", false
	}
	kind = Kind(head[0])
	return kind, string(name), kind != relay && kind != relayed
}

// passOn relays a stream of a neighbour to another one.
func (e *Endpoint) passOn(ctx context.Context, c *conn, s *Stream) {
	kind, to, ok := e.readTarget(s)
	e.mu.Lock()
	from, dest := e.neighbourOf(c.site), e.neighbourOf(to)
	ok = ok && from != nil && dest != nil && from != dest && dest.primary() != nil && from.relaying < maxRelayed
	var on *conn
	if ok {
		from.relaying++
		on = dest.primary()
		on.streams.Add(1)
	}
	e.mu.Unlock()
	if !ok {
		s.Abort()
		return
	}
	defer func() {
		e.mu.Lock()
		from.relaying--
		e.mu.Unlock()
	}()
	ctx, cancel := context.WithTimeout(ctx, e.config.Timing.Handshake)
	defer cancel()
	qs, err := on.quic.OpenStreamSync(ctx)
	if err != nil {
		on.streams.Add(-1)
		s.Abort()
		return
	}
	out := e.newStream(on, qs, relayed)
	defer out.Close()
	e.splice(s, out, append([]byte{byte(relayed), byte(kind), byte(len(c.site))}, c.site...))
}

// splice copies both ways until both ends are done or have had their time.
func (e *Endpoint) splice(in, out *Stream, header []byte) {
	deadline := time.Now().Add(3 * e.config.Timing.Idle)
	in.SetDeadline(deadline)
	out.SetDeadline(deadline)
	if _, err := out.Write(header); err != nil {
		in.Abort()
		out.Abort()
		return
	}
	pump := func(to, from *Stream) {
		n, err := io.Copy(to, io.LimitReader(from, maxRelayBytes))
		if err != nil || n == maxRelayBytes {
			in.Abort()
			out.Abort()
			return
		}
		to.CloseWrite()
	}
	var both sync.WaitGroup
	both.Go(func() { pump(out, in) })
	both.Go(func() { pump(in, out) })
	both.Wait()
}

// takeRelayed serves a stream that came through a neighbour.
func (e *Endpoint) takeRelayed(ctx context.Context, c *conn, s *Stream) {
	kind, from, ok := e.readTarget(s)
	if !ok || !e.mayRelay(c.site, from) {
		s.Abort()
		return
	}
	done, ok := e.unsealed(c.site)
	if !ok {
		s.Abort()
		return
	}
	s.kind, s.site = kind, from
	err := e.sealIn(s, from)
	done()
	if err != nil {
		s.Abort()
		return
	}
	e.dispatch(ctx, s)
}
