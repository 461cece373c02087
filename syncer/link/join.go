package link

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/quic-go/quic-go"
)

// Joining has a protocol of its own, so that a stranger never comes near what sites do. The stranger knows the key of the site from its
// token and checks it; the site knows nothing of the stranger but what the request proves. One request and one answer go over one stream:
//
//	request:  the bytes, to the end of the stream
//	answer:   one byte, 0 granted or 1 not, and the admission, or the reason for people
//
// What they say is not this package's: see Config.Admit.

// Join asks a site for admission over a port of its own. key is the site's; the addresses are tried in turn. ask makes the request, bound to the connection that it goes
// over (see Application.Binding). ErrRefused with the site's words if it says no.
func Join(ctx context.Context, port net.PacketConn, key ed25519.PublicKey, addresses []string, ask func(binding []byte) ([]byte, error)) ([]byte, error) {
	transport := &quic.Transport{Conn: port}
	defer transport.Close()
	failure := errors.New("no address to ask at")
	for _, address := range addresses {
		resolved, err := resolve(ctx, address)
		if err != nil {
			failure = fmt.Errorf("resolve %s: %w", address, err)
			continue
		}
		for _, a := range resolved {
			answer, err := joinAt(ctx, transport, a, key, ask)
			if err == nil || errors.Is(err, ErrRefused) || ctx.Err() != nil {
				return answer, err
			}
			failure = fmt.Errorf("ask %s: %s", a, inWords(err))
		}
	}
	return nil, failure
}

func joinAt(ctx context.Context, transport *quic.Transport, to net.Addr, key ed25519.PublicKey, ask func([]byte) ([]byte, error)) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	c := baseTLS()
	c.NextProtos = []string{protocolJoin}
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		if len(cs.PeerCertificates) > 0 {
			if shown, is := cs.PeerCertificates[0].PublicKey.(ed25519.PublicKey); is && key.Equal(shown) {
				return nil
			}
		}
		return fmt.Errorf("%w: what answers at %s is not the site that made the token", ErrRefused, to)
	}
	qc, err := transport.Dial(ctx, to, c, &quic.Config{InitialPacketSize: packetSize, HandshakeIdleTimeout: 5 * time.Second})
	if err != nil {
		return nil, err
	}
	defer qc.CloseWithError(quic.ApplicationErrorCode(codeEnded), codeEnded.String())
	binding, err := bindingOf(qc)
	if err != nil {
		return nil, err
	}
	request, err := ask(binding)
	if err != nil {
		return nil, err
	}
	return exchange(ctx, qc, request)
}

func bindingOf(qc *quic.Conn) ([]byte, error) {
	state := qc.ConnectionState().TLS
	return state.ExportKeyingMaterial(bindingLabel, nil, 32)
}

func exchange(ctx context.Context, qc *quic.Conn, request []byte) ([]byte, error) {
	s, err := qc.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	s.SetDeadline(deadline)
	if _, err := s.Write(request); err != nil {
		return nil, err
	}
	s.Close()
	answer, err := io.ReadAll(io.LimitReader(s, maxAdmission+1))
	switch {
	case err != nil:
		return nil, err
	case len(answer) == 0 || len(answer) > maxAdmission:
		return nil, fmt.Errorf("an answer of %d bytes", len(answer))
	case answer[0] != 0:
		return nil, fmt.Errorf("%w: %s", ErrRefused, bytes.ToValidUTF8(answer[1:min(len(answer), 500)], nil))
	}
	return answer[1:], nil
}

// answerJoin lets one stranger ask once, if not too many do.
func (e *Endpoint) answerJoin(ctx context.Context, qc *quic.Conn) {
	defer qc.CloseWithError(quic.ApplicationErrorCode(codeEnded), codeEnded.String())
	e.mu.Lock()
	ok := e.joining < maxJoining && e.joins.take(time.Now())
	if ok {
		e.joining++
	}
	e.mu.Unlock()
	if !ok {
		qc.CloseWithError(quic.ApplicationErrorCode(codeBusy), codeBusy.String())
		e.refuse("", qc.RemoteAddr(), "too many requests to join")
		return
	}
	defer func() {
		e.mu.Lock()
		e.joining--
		e.mu.Unlock()
	}()
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if err := e.admit(ctx, qc); err != nil {
		e.refuse("", qc.RemoteAddr(), "a request to join: "+err.Error())
		return
	}
	e.tell(Event{Kind: Joined, Address: qc.RemoteAddr().String(), Reason: "a request to join was granted"})
}

func (e *Endpoint) admit(ctx context.Context, qc *quic.Conn) error {
	s, err := qc.AcceptStream(ctx)
	if err != nil {
		return err
	}
	deadline, _ := ctx.Deadline()
	s.SetDeadline(deadline)
	request, err := io.ReadAll(io.LimitReader(s, maxJoin+1))
	if err != nil {
		return err
	}
	if len(request) > maxJoin {
		return fmt.Errorf("more than %d bytes", maxJoin)
	}
	binding, err := bindingOf(qc)
	if err != nil {
		return err
	}
	answer, no := e.config.Admit(ctx, Application{qc.RemoteAddr(), binding, request})
	if no != nil {
		answer = append([]byte{1}, no.Error()...)
	} else {
		answer = append([]byte{0}, answer...)
	}
	_, err = s.Write(answer)
	s.Close()
	s.CancelRead(quic.StreamErrorCode(codeEnded))
	select { // the one who asked closes when it has read
	case <-qc.Context().Done():
	case <-ctx.Done():
	}
	if no != nil {
		return no
	}
	return err
}
