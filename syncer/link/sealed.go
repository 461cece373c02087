package link

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// A relayed stream is one of TLS 1.3 between its two ends, who show each other the certificates that they show on a link: the neighbour in between can end it or hold it up, and
// can neither read it, change it, nor open one in another's name. The kind of the stream is part of the protocol's name, so that it cannot be passed on as another kind.

// errCut says that the neighbour in between ended a stream, and not who is at its other end.
var errCut = fmt.Errorf("the relay ended it: %w", ErrNoLink)

// sealedTLS is for the end of a relayed stream at which site is the other one.
func (e *Endpoint) sealedTLS(s *Stream, site string) *tls.Config {
	c := baseTLS(e.config.Certificate)
	c.NextProtos = []string{fmt.Sprintf("%s/%d", protocolRelayed, s.kind)}
	c.ServerName = noDoor
	c.ClientAuth = tls.RequestClientCert
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		if _, err := e.judge(cs.PeerCertificates, site, s.conn.quic.RemoteAddr()); err != nil {
			return fmt.Errorf("%w: %w", ErrRefused, err)
		}
		return nil
	}
	return c
}

// sealOut makes a stream that goes through a neighbour one to site alone. The handshake is made by the first who reads or writes.
func (e *Endpoint) sealOut(s *Stream, site string) {
	c := e.sealedTLS(s, site)
	verify := c.VerifyConnection
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		err := verify(cs)
		if err != nil {
			e.tellForged(s, site, err)
		}
		return err
	}
	s.sealed, s.shaking = tls.Client(carrier{s}, c), make(chan struct{}, 1)
}

// shake makes the handshake of a sealed stream, or waits until somebody else has. crypto/tls would have the others wait for a lock: a Close among them could not cut off what it waits for,
// and virtual time stands still for whoever waits for one.
func (s *Stream) shake() error {
	if s.shaken.Load() {
		return nil
	}
	s.shaking <- struct{}{}
	defer func() { <-s.shaking }()
	err := s.sealed.Handshake()
	s.shaken.Store(err == nil)
	return err
}

// sealIn is for the other end. It returns when the site has shown who it is. What was passed on and is not from there is told of.
func (e *Endpoint) sealIn(s *Stream, from string) error {
	s.quic.SetDeadline(time.Now().Add(2 * e.config.Timing.Handshake))
	defer s.quic.SetDeadline(time.Time{})
	t := tls.Server(carrier{s}, e.sealedTLS(s, from))
	if err := t.Handshake(); err != nil {
		if forged(err) {
			e.tellForged(s, from, err)
		}
		return fmt.Errorf("a stream from %s by way of %s: %w", from, s.conn.site, err)
	}
	s.sealed = t
	s.shaken.Store(true)
	return nil
}

// forged reports whether a handshake failed by what came, and not because it was cut, took too long, or was refused from there.
func forged(err error) bool {
	var noTLS tls.RecordHeaderError
	var here *net.OpError
	return errors.Is(err, ErrRefused) || errors.As(err, &noTLS) || errors.As(err, &here) && here.Op == "local error" // crypto/tls's word for what it refused
}

// tellForged tells of the neighbour that relays a stream of another site's name. It may have made it up, or that site sent it rubbish to pass on.
func (e *Endpoint) tellForged(s *Stream, of string, err error) {
	e.tell(Event{Kind: Forged, Site: s.conn.site, Address: s.conn.address(), Reason: fmt.Sprintf("what it passed on in the name of %s is not sealed by that site, and which of the two is to blame cannot be told: %v", of, err)})
}

// unsealed takes one of the places that a neighbour has for streams whose other end has not shown yet who it is. The caller calls done.
func (e *Endpoint) unsealed(neighbour string) (done func(), ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.neighbourOf(neighbour)
	if n == nil || n.serving[relayed] >= maxRelayed {
		return nil, false
	}
	n.serving[relayed]++
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		n.serving[relayed]--
	}, true
}

// carrier carries a sealed stream: what its TLS reads and writes. An end that was not sealed is none that its other end made.
type carrier struct{ *Stream }

// Read implements net.Conn.
func (c carrier) Read(p []byte) (int, error) {
	n, err := c.quic.Read(p)
	switch {
	case n > 0: // what is wrong is said once more
		err = nil
	case err == io.EOF:
		err = errCut
	}
	return n, err
}

// Write implements net.Conn.
func (c carrier) Write(p []byte) (int, error) { return c.quic.Write(p) }

// Close implements net.Conn; the stream is closed by whoever has it.
func (c carrier) Close() error { return nil }

// finish says to the other end of a sealed stream that nothing more will be written. The lock for writing is held.
func (s *Stream) finish() {
	if s.sealed != nil && s.shaken.Load() {
		_ = s.sealed.CloseWrite() // who cannot be told any more finds it cut
	}
}

var _ net.Conn = carrier{}
