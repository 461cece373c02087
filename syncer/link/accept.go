package link

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quic-go/quic-go"
)

// accept takes connections until ctx ends, or the port fails.
func (e *Endpoint) accept(ctx context.Context, listener *quic.Listener) error {
	for {
		c, err := listener.Accept(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("accept connections: %w", err)
		}
		began := e.begin(func() {
			if c.ConnectionState().TLS.NegotiatedProtocol == protocolJoin {
				e.answerJoin(ctx, c)
			} else {
				e.welcome(ctx, c)
			}
		})
		if !began {
			c.CloseWithError(quic.ApplicationErrorCode(codeStopped), codeStopped.String())
		}
	}
}

// welcome answers the HELLO of a site that has shown who it is, and serves the connection.
func (e *Endpoint) welcome(ctx context.Context, qc *quic.Conn) {
	c, h, err := e.greeted(ctx, qc)
	if err != nil {
		qc.CloseWithError(quic.ApplicationErrorCode(codeProtocol), codeProtocol.String())
		return
	}
	e.budgets.charge(qc, c.site)
	no, ok := e.enter(c, h) // before the answer, for the dialler may send as soon as it has it
	c.opened.SetWriteDeadline(time.Now().Add(2 * e.config.Timing.Handshake))
	_, err = c.opened.Write(welcome{minorVersion, e.config.Boot, no}.encode())
	if !ok {
		e.turnAway(qc, c.opened, no)
		return
	}
	e.crowd.admit(qc)
	if err != nil {
		c.close(codeProtocol)
	}
	c.opened.SetDeadline(time.Time{})
	if c.data {
		c.opened.Close()
		c.opened.CancelRead(quic.StreamErrorCode(codeEnded))
	}
	e.serve(c)
}

// turnAway lets the answer arrive before it closes the connection.
func (e *Endpoint) turnAway(qc *quic.Conn, s *quic.Stream, no code) {
	s.Close()
	select {
	case <-qc.Context().Done():
	case <-time.After(e.config.Timing.Drain):
	}
	qc.CloseWithError(quic.ApplicationErrorCode(no), no.String())
	e.budgets.forget(qc)
}

// greeted reads the dialler's HELLO.
func (e *Endpoint) greeted(ctx context.Context, qc *quic.Conn) (*conn, hello, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*e.config.Timing.Handshake)
	defer cancel()
	certificates := qc.ConnectionState().TLS.PeerCertificates
	if len(certificates) == 0 {
		return nil, hello{}, errors.New("no certificate")
	}
	e.mu.Lock()
	cluster := e.roster.Cluster
	e.mu.Unlock()
	site, err := nameIn(certificates[0], cluster)
	if err != nil {
		return nil, hello{}, err
	}
	s, err := qc.AcceptStream(ctx)
	if err != nil {
		return nil, hello{}, err
	}
	s.SetReadDeadline(time.Now().Add(2 * e.config.Timing.Handshake))
	first := bufio.NewReader(s)
	h, err := readHello(first)
	if err != nil {
		return nil, hello{}, err
	}
	return &conn{dial: dial{site, h.boot, h.seq}, quic: qc, site: site, data: h.data, opened: s, first: first,
		queue: make(chan []byte, queueDepth)}, h, nil
}
