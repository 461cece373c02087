package link

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
)

// initialWindow is what a neighbour may send on a connection before it is granted more.
const initialWindow = 512 << 10

// conn is one connection of a link, after its HELLO.
type conn struct {
	dial
	quic    *quic.Conn
	site    string
	data    bool
	opened  *quic.Stream
	first   *bufio.Reader // of that stream
	queue   chan []byte   // datagrams to send
	streams atomic.Int64  // open, either way
	before  uint64        // packets sent up to the last interval; Endpoint.mu guards it
	losing  bool          // another connection 0 stays; Endpoint.mu guards it
}

func (c *conn) address() string { return c.quic.RemoteAddr().String() }

func (c *conn) key() ed25519.PublicKey {
	certificates := c.quic.ConnectionState().TLS.PeerCertificates
	if len(certificates) == 0 {
		return nil
	}
	key, _ := certificates[0].PublicKey.(ed25519.PublicKey)
	return key
}

func (c *conn) close(why code) {
	c.quic.CloseWithError(quic.ApplicationErrorCode(why), why.String())
}

// totals are counts of a connection, or of many.
type totals struct {
	bytesSent, bytesReceived uint64
	packetsSent, packetsLost uint64
	bytesLost                uint64
}

func (t totals) plus(o totals) totals {
	return totals{t.bytesSent + o.bytesSent, t.bytesReceived + o.bytesReceived, t.packetsSent + o.packetsSent, t.packetsLost + o.packetsLost, t.bytesLost + o.bytesLost}
}

func (c *conn) totals() totals {
	s := c.quic.ConnectionStats()
	return totals{s.BytesSent, s.BytesReceived, s.PacketsSent, s.PacketsLost, s.BytesLost}
}

// serve runs a connection until it ends.
func (e *Endpoint) serve(c *conn) {
	var parts sync.WaitGroup
	parts.Go(func() { e.sendPackets(c) })
	parts.Go(func() { e.receivePackets(c) })
	if !c.data {
		parts.Go(func() { e.writeControl(c) })
		parts.Go(func() { e.readControl(c) })
	}
	e.acceptStreams(c)
	<-c.quic.Context().Done()
	parts.Wait()
	e.budgets.forget(c.quic)
	e.leave(c, whyEnded(context.Cause(c.quic.Context())))
}

// whyEnded puts the end of a connection in words.
func whyEnded(err error) string {
	var app *quic.ApplicationError
	var idle *quic.IdleTimeoutError
	var reset *quic.StatelessResetError
	switch {
	case errors.As(err, &app):
		who := "here"
		if app.Remote {
			who = "there"
		}
		return fmt.Sprintf("closed from %s: %s", who, code(app.ErrorCode))
	case errors.As(err, &idle):
		return "no answer"
	case errors.As(err, &reset):
		return "it was started anew"
	case err == nil:
		return codeEnded.String()
	}
	return err.Error()
}

// acceptStreams hands the streams that the other end opens to whom they are for.
func (e *Endpoint) acceptStreams(c *conn) {
	ctx := c.quic.Context()
	for {
		s, err := c.quic.AcceptStream(ctx)
		if err != nil {
			return
		}
		c.streams.Add(1)
		if !e.begin(func() { e.receiveStream(ctx, c, s) }) {
			c.streams.Add(-1)
			return
		}
	}
}

// receiveStream reads what a stream is for and serves it.
func (e *Endpoint) receiveStream(ctx context.Context, c *conn, qs *quic.Stream) {
	s := e.newStream(c, qs, 0)
	defer s.Close()
	qs.SetReadDeadline(time.Now().Add(e.config.Timing.Idle))
	var kind [1]byte
	if _, err := io.ReadFull(qs, kind[:]); err != nil {
		s.Abort()
		return
	}
	qs.SetReadDeadline(time.Time{})
	s.kind = Kind(kind[0])
	if s.kind.primary() == c.data { // bulk on connection 0, or gossip where bulk is
		s.Abort()
		return
	}
	switch s.kind {
	case relay:
		e.passOn(ctx, c, s)
	case relayed:
		e.takeRelayed(ctx, c, s)
	default:
		e.dispatch(ctx, s)
	}
}

// dispatch calls the service for a stream, if there is one and its limit allows.
func (e *Endpoint) dispatch(ctx context.Context, s *Stream) {
	service, known := e.config.Streams[s.kind]
	limit := service.Limit
	if limit == 0 {
		limit = 16
	}
	e.mu.Lock()
	n := e.neighbourOf(s.site)
	ok := known && service.Serve != nil && n != nil && n.serving[s.kind] < limit
	if ok {
		n.serving[s.kind]++
	}
	e.mu.Unlock()
	if !ok {
		s.Abort()
		return
	}
	defer func() {
		e.mu.Lock()
		n.serving[s.kind]--
		e.mu.Unlock()
	}()
	service.Serve(ctx, s)
}

// budgets bound what neighbours may have us buffer: a window is granted only while its site's budget lasts.
type budgets struct {
	mu      sync.Mutex
	memory  int64
	granted map[*quic.Conn]*grant
	sites   map[string]int64
}

type grant struct {
	site  string
	bytes int64
}

func (b *budgets) init(memory int64) {
	b.memory, b.granted, b.sites = memory, map[*quic.Conn]*grant{}, map[string]int64{}
}

// charge enters a connection whose site is known now. Those of strangers get no more than their first window.
func (b *budgets) charge(c *quic.Conn, site string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.granted[c] = &grant{site, initialWindow}
	b.sites[site] += initialWindow
}

// grow is asked by quic-go, which holds locks of its own: nothing of it may be called here.
func (b *budgets) grow(c *quic.Conn, delta uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	g := b.granted[c]
	if g == nil || b.sites[g.site]+int64(delta) > b.memory {
		return false
	}
	g.bytes += int64(delta)
	b.sites[g.site] += int64(delta)
	return true
}

func (b *budgets) forget(c *quic.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	g := b.granted[c]
	if g == nil {
		return
	}
	delete(b.granted, c)
	if b.sites[g.site] -= g.bytes; b.sites[g.site] <= 0 {
		delete(b.sites, g.site)
	}
}
