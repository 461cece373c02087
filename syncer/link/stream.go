package link

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
)

// Stream is a stream of bytes to another site and back; it is a net.Conn. Both ends must Close it, whatever happened: until then it counts, here
// and there, and what was not read keeps its place in the other end's window.
type Stream struct {
	quic    *quic.Stream
	conn    *conn
	site    string
	kind    Kind
	own     string
	pace    func(ctx context.Context, site string, kind Kind, n int) error
	writing sync.Mutex
	closed  atomic.Bool
	sealed  *tls.Conn     // of a relayed stream, what is between its two ends; nil of others
	shaking chan struct{} // holds whoever makes its handshake
	shaken  atomic.Bool   // it is made
}

var _ net.Conn = (*Stream)(nil)

// newStream wraps a stream that is counted already.
func (e *Endpoint) newStream(c *conn, qs *quic.Stream, kind Kind) *Stream {
	s := &Stream{quic: qs, conn: c, site: c.site, kind: kind, own: e.config.Name}
	if c.data {
		s.pace = e.config.Pace
	}
	return s
}

// Site is the site at the other end, which has shown its key: of a relayed stream not the neighbour that relays. Where this site opened such a stream it has when the first bytes come.
func (s *Stream) Site() string { return s.site }

// Read reads. At the end of what the other end wrote it is io.EOF.
func (s *Stream) Read(p []byte) (int, error) {
	if s.sealed != nil {
		if err := s.shake(); err != nil {
			return 0, err
		}
		return s.sealed.Read(p)
	}
	return s.quic.Read(p)
}

// paceAt is how much of a write is asked for at a time: on a thin line it goes at once.
const paceAt = 16 << 10

// Write writes, no faster than Config.Pace allows. That it returns means that the bytes are on their way, not that they arrived.
func (s *Stream) Write(p []byte) (int, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.sealed != nil {
		if err := s.shake(); err != nil {
			return 0, err
		}
		return s.sealed.Write(p)
	}
	if s.pace == nil {
		return s.quic.Write(p)
	}
	done := 0
	for done < len(p) {
		part := p[done:min(len(p), done+paceAt)]
		if err := s.pace(s.quic.Context(), s.site, s.kind, len(part)); err != nil {
			return done, err
		}
		n, err := s.quic.Write(part)
		if done += n; err != nil {
			return done, err
		}
	}
	return done, nil
}

// CloseWrite says that nothing more will be written; reading goes on.
func (s *Stream) CloseWrite() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.finish()
	return s.quic.Close()
}

// Close ends both directions: what was written is still delivered, what was not read is not wanted. (quic-go's own Close leaves the receiving side open.)
// A Write under way is cut off.
func (s *Stream) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	defer s.conn.streams.Add(-1)
	defer s.quic.CancelRead(quic.StreamErrorCode(codeEnded))
	if !s.writing.TryLock() {
		s.quic.CancelWrite(quic.StreamErrorCode(codeEnded))
		return nil
	}
	defer s.writing.Unlock()
	s.finish()
	s.quic.Close() // fails only if that was done before
	return nil
}

// Abort ends both directions at once, so that the other end sees an error and not an end. Close must still be called.
func (s *Stream) Abort() {
	s.quic.CancelWrite(quic.StreamErrorCode(codeBusy))
	s.quic.CancelRead(quic.StreamErrorCode(codeBusy))
}

// SetDeadline, SetReadDeadline and SetWriteDeadline are net.Conn's.
func (s *Stream) SetDeadline(t time.Time) error { return s.quic.SetDeadline(t) }

// SetReadDeadline is for Read.
func (s *Stream) SetReadDeadline(t time.Time) error { return s.quic.SetReadDeadline(t) }

// SetWriteDeadline is for Write.
func (s *Stream) SetWriteDeadline(t time.Time) error { return s.quic.SetWriteDeadline(t) }

// LocalAddr names this site.
func (s *Stream) LocalAddr() net.Addr { return siteAddr(s.own) }

// RemoteAddr names the other one.
func (s *Stream) RemoteAddr() net.Addr { return siteAddr(s.site) }

// siteAddr is a site's name as an address.
type siteAddr string

func (siteAddr) Network() string  { return "dicomesh" }
func (a siteAddr) String() string { return string(a) }

// Open opens a stream of that kind to a site. Kinds of connection 0 go through a neighbour where there is no link. A data stream waits for a data
// connection as long as ctx allows, and for room among the streams that are open. ErrNoLink at once if there is no way.
func (e *Endpoint) Open(ctx context.Context, site string, kind Kind) (*Stream, error) {
	c, via, err := e.choose(ctx, site, kind)
	if err != nil {
		return nil, fmt.Errorf("open a stream to %s: %w", site, err)
	}
	header := []byte{byte(kind)}
	if via {
		header = append([]byte{byte(relay), byte(kind), byte(len(site))}, site...)
	}
	qs, err := c.quic.OpenStreamSync(ctx)
	if err != nil {
		c.streams.Add(-1)
		return nil, fmt.Errorf("open a stream to %s: %w: %w", site, ErrNoLink, err)
	}
	s := e.newStream(c, qs, kind)
	s.site = site
	qs.SetWriteDeadline(time.Now().Add(e.config.Timing.Idle))
	if _, err := qs.Write(header); err != nil {
		s.Abort()
		s.Close()
		return nil, fmt.Errorf("open a stream to %s: %w: %w", site, ErrNoLink, err)
	}
	qs.SetWriteDeadline(time.Time{})
	if via {
		e.sealOut(s, site)
	}
	return s, nil
}

// choose is the connection for a stream, which it counts: for data the least used of the bundle.
func (e *Endpoint) choose(ctx context.Context, site string, kind Kind) (c *conn, via bool, err error) {
	e.mu.Lock()
	n := e.neighbourOf(site)
	if n == nil {
		e.mu.Unlock()
		return nil, false, ErrNoLink
	}
	if kind.primary() {
		defer e.mu.Unlock()
		if c = n.primary(); c == nil {
			c, via = e.route(site), true
		}
		if c == nil {
			return nil, false, ErrNoLink
		}
		c.streams.Add(1)
		return c, via, nil
	}
	e.mu.Unlock()
	err = e.await(ctx, n, func() bool {
		if c = n.leastUsed(e.config.MaxBundle); c != nil {
			c.streams.Add(1)
		}
		return c != nil || n.primary() == nil || e.transport == nil
	})
	if err == nil && c == nil {
		err = ErrNoLink
	}
	return c, false, err
}

// leastUsed is among the first connections of a bundle, as many as are wanted: those beyond fall idle and are closed. e.mu is held.
func (n *neighbour) leastUsed(most int) *conn {
	var best *conn
	for i, c := range n.data {
		if i < n.want(most) && (best == nil || c.streams.Load() < best.streams.Load()) && c.quic.Context().Err() == nil {
			best = c
		}
	}
	return best
}
