package link

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/quic-go/quic-go"
)

// backoff is how long to wait before another attempt: each time twice as long, up to most.
type backoff struct{ last time.Duration }

const firstBackoff = 250 * time.Millisecond

// next is drawn around the wait, so that sites that lost each other at one moment do not come back at one moment. chance is from 0 to 1.
func (b *backoff) next(most time.Duration, chance float64) time.Duration {
	b.last = min(max(2*b.last, firstBackoff), most)
	return b.last*3/4 + time.Duration(chance*float64(b.last)/2)
}

// keepDialling sees that there is a connection 0 to a site that is owed a link and can be dialled, until the site leaves the roster.
func (e *Endpoint) keepDialling(n *neighbour) {
	var wait backoff
	for {
		var to []string
		needed := func() bool {
			to = n.site.Addresses
			return n.primary() == nil && n.site.Dial && len(to) > 0
		}
		if e.await(n.ctx, n, needed) != nil {
			return
		}
		began := time.Now()
		if e.dialSite(n, to) {
			e.await(n.ctx, n, func() bool { return n.primary() == nil })
		}
		if time.Since(began) > 10*time.Second { // it stood, or a dark path has taken its time already
			wait = backoff{}
		}
		select {
		case <-time.After(wait.next(e.config.Timing.MaxBackoff, rand.Float64())):
		case <-n.ctx.Done():
			return
		}
	}
}

// dialSite tries the addresses of a site in turn and says whether one of them was good.
func (e *Endpoint) dialSite(n *neighbour, to []string) bool {
	failure := errors.New("its name has no address")
	for _, address := range to {
		ctx, cancel := context.WithTimeout(n.ctx, 2*e.config.Timing.Handshake)
		addresses, err := e.config.Resolve(ctx, address)
		cancel()
		if err != nil {
			failure = fmt.Errorf("resolve %s: %w", address, err)
			continue
		}
		for _, a := range addresses {
			if err = e.dial(n, a, false); err == nil {
				return true
			}
			failure = fmt.Errorf("dial %s: %w", a, err)
			if e.await(alreadyDone(n.ctx), n, func() bool { return n.primary() != nil }) == nil { // it has dialled us meanwhile
				return true
			}
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if text := inWords(failure); n.failure != text && n.ctx.Err() == nil {
		n.failure = text
		e.tellLocked(Event{Kind: Failed, Site: n.name, Reason: text})
	}
	return false
}

// alreadyDone makes await look once and not wait.
func alreadyDone(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}

// inWords says what an operator can act on.
func inWords(err error) string {
	var transport *quic.TransportError
	var idle *quic.IdleTimeoutError
	var slow *quic.HandshakeTimeoutError
	switch {
	case errors.As(err, &idle), errors.As(err, &slow), errors.Is(err, context.DeadlineExceeded):
		return "no answer: the address, a firewall, or the site is down"
	case errors.As(err, &transport) && transport.Remote && transport.ErrorCode.IsCryptoError():
		return NotInRoster
	}
	return err.Error()
}

// dial makes one connection to a site and, after HELLO and its answer, serves it.
func (e *Endpoint) dial(n *neighbour, to net.Addr, data bool) error {
	ctx, cancel := context.WithTimeout(n.ctx, 3*e.config.Timing.Handshake)
	defer cancel()
	e.mu.Lock()
	transport := e.transport
	e.dials++
	h := hello{minor: minorVersion, data: data, boot: e.config.Boot, seq: e.dials}
	e.mu.Unlock()
	if transport == nil {
		return ErrNoLink
	}
	qc, err := transport.Dial(ctx, to, e.dialTLS(n.name, to), e.quic)
	if err != nil {
		return err
	}
	c, err := e.greet(ctx, n, qc, h)
	if err != nil {
		qc.CloseWithError(quic.ApplicationErrorCode(codeProtocol), codeProtocol.String())
		return fmt.Errorf("no welcome: %w", err)
	}
	e.budgets.charge(qc, c.site)
	if no, ok := e.enter(c, h); !ok {
		c.close(no)
		e.budgets.forget(qc)
		return fmt.Errorf("%w here: %s", ErrRefused, no)
	}
	if !e.begin(func() { e.serve(c) }) {
		c.close(codeStopped)
		e.budgets.forget(qc)
		return ErrNoLink
	}
	return nil
}

// greet says HELLO and waits for the answer: until then nobody knows whether the other end has let us in.
func (e *Endpoint) greet(ctx context.Context, n *neighbour, qc *quic.Conn, h hello) (*conn, error) {
	s, err := qc.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	s.SetDeadline(deadline)
	h.others = e.standingOf(n)
	if _, err := s.Write(h.encode()); err != nil {
		return nil, err
	}
	first := bufio.NewReader(s)
	w, err := readWelcome(first)
	if err != nil {
		if cause := context.Cause(qc.Context()); cause != nil { // why the connection ended says more than that the stream did
			err = cause
		}
		return nil, err
	}
	if w.no != 0 {
		return nil, fmt.Errorf("%w: %s", ErrRefused, w.no)
	}
	s.SetDeadline(time.Time{})
	if h.data {
		s.Close()
		s.CancelRead(quic.StreamErrorCode(codeEnded))
	}
	return &conn{dial: dial{e.config.Name, w.boot, h.seq}, quic: qc, site: n.name, data: h.data, opened: s, first: first,
		queue: make(chan []byte, queueDepth)}, nil
}

// standingOf is what we know of the other end's dials: see ties.go.
func (e *Endpoint) standingOf(n *neighbour) standing {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := standing{boot: n.boot, seen: n.seen}
	for _, c := range n.primaries {
		if c.dialler == n.name && c.boot == n.boot {
			s.held = max(s.held, c.seq)
		}
	}
	return s
}
