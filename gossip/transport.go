package gossip

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// transport is memberlist's network: the links of the site. It opens and closes nothing of theirs; when it is detached, all of its channels and calls
// give up, so that memberlist, which shuts its transport down first and goes on sending, never waits for it.
type transport struct {
	config  Config
	packets chan *memberlist.Packet
	streams chan net.Conn
	done    chan struct{}
	sending sync.RWMutex // held by those who send, so that nothing is sent when Shutdown has returned
	mu      sync.Mutex
	open    map[*stream]bool // closed when the transport is detached
}

var _ memberlist.NodeAwareTransport = (*transport)(nil)

func newTransport(c Config) *transport {
	return &transport{config: c, packets: make(chan *memberlist.Packet, handOff), streams: make(chan net.Conn), done: make(chan struct{}),
		open: map[*stream]bool{}}
}

const port = 7946 // of the addresses, where it means nothing

// addressOf is the address by which memberlist knows a site: from fd00::/8, made of its name, so always the same and never anybody else's.
func addressOf(site string) net.IP {
	sum := sha256.Sum256([]byte("dicomesh site\x00" + site))
	return append(net.IP{0xfd}, sum[:15]...)
}

// siteAddr is the same as a net.Addr.
type siteAddr string

func (siteAddr) Network() string { return "udp" }
func (a siteAddr) String() string {
	return net.JoinHostPort(addressOf(string(a)).String(), "7946")
}

// opError is the one kind of error on which memberlist tries other ways; it looks at the type, so it must not be wrapped.
func opError(op string, err error) error { return &net.OpError{Op: op, Net: "udp", Err: err} }

// FinalAdvertiseAddr implements memberlist.Transport.
func (t *transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return addressOf(t.config.Name), port, nil
}

// WriteToAddress implements memberlist.NodeAwareTransport. memberlist keeps the packet for others, and Send copies it.
func (t *transport) WriteToAddress(packet []byte, to memberlist.Address) (time.Time, error) {
	now := time.Now()
	t.sending.RLock()
	defer t.sending.RUnlock()
	select {
	case <-t.done:
		return now, opError("write", errStopped)
	default:
	}
	if err := t.config.Send(to.Name, packet); err != nil {
		return now, opError("write", err)
	}
	return now, nil
}

// DialAddressTimeout implements memberlist.NodeAwareTransport. The deadline is set before anything is written, for memberlist sets one only later.
func (t *transport) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(t.context(), timeout)
	defer cancel()
	c, err := t.config.Open(ctx, to.Name)
	if err != nil {
		return nil, opError("dial", err)
	}
	if err := c.SetDeadline(time.Now().Add(min(timeout, streamTime))); err != nil {
		c.Close()
		return nil, opError("dial", err)
	}
	s := t.stream(to.Name, c)
	if s == nil {
		return nil, opError("dial", errStopped)
	}
	return s, nil
}

// stream wraps a stream, or closes it and returns nil if the transport is detached.
func (t *transport) stream(site string, c net.Conn) *stream {
	s := &stream{Conn: c, peer: siteAddr(site), closed: make(chan struct{}), of: t}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		c.Close()
		return nil
	}
	t.open[s] = true
	return s
}

// context ends when the transport is detached.
func (t *transport) context() context.Context { return untilDone{t.done} }

// untilDone is a context that ends with a channel.
type untilDone struct{ done chan struct{} }

func (c untilDone) Deadline() (time.Time, bool) { return time.Time{}, false }
func (c untilDone) Done() <-chan struct{}       { return c.done }
func (c untilDone) Value(any) any               { return nil }
func (c untilDone) Err() error {
	select {
	case <-c.done:
		return context.Canceled
	default:
		return nil
	}
}

// WriteTo and DialTimeout are never called where names are required.
func (t *transport) WriteTo([]byte, string) (time.Time, error) {
	return time.Now(), opError("write", errNameless)
}

// DialTimeout implements memberlist.Transport.
func (t *transport) DialTimeout(string, time.Duration) (net.Conn, error) {
	return nil, opError("dial", errNameless)
}

var errNameless = errors.New("an address without a site's name")

// PacketCh implements memberlist.Transport.
func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// StreamCh implements memberlist.Transport.
func (t *transport) StreamCh() <-chan net.Conn { return t.streams }

// Shutdown implements memberlist.Transport: it detaches from the links and leaves them open.
func (t *transport) Shutdown() error {
	t.mu.Lock()
	open := t.open
	if open != nil {
		close(t.done)
	}
	t.open = nil
	t.mu.Unlock()
	t.sending.Lock()
	defer t.sending.Unlock()
	for s := range open {
		s.Close()
	}
	return nil
}

// packet hands an incoming packet on, or drops it.
func (t *transport) packet(site string, packet []byte, at time.Time) {
	select {
	case t.packets <- &memberlist.Packet{Buf: packet, From: siteAddr(site), Timestamp: at}:
	case <-t.done:
	default:
	}
}

// stream is an incoming or outgoing stream of memberlist's.
type stream struct {
	net.Conn
	head   []byte // read already
	peer   siteAddr
	of     *transport
	once   sync.Once
	closed chan struct{}
}

// RemoteAddr is the site's address as memberlist knows it.
func (s *stream) RemoteAddr() net.Addr { return s.peer }

func (s *stream) Read(p []byte) (int, error) {
	if len(s.head) > 0 {
		n := copy(p, s.head)
		s.head = s.head[n:]
		return n, nil
	}
	return s.Conn.Read(p)
}

// Close may be called more than once.
func (s *stream) Close() error {
	err := s.Conn.Close()
	s.once.Do(func() {
		close(s.closed)
		s.of.mu.Lock()
		defer s.of.mu.Unlock()
		delete(s.of.open, s)
	})
	return err
}

// Of memberlist's wire: the mark of a label, and the types of messages that nobody here sends, which cost much to take: what unpacks to something larger.
const (
	labelMark    = 244
	compressed   = 9
	encryptedMsg = 10
)

var errCompressed = errors.New("a compressed stream, which no site sends")

// incoming hands an incoming stream to memberlist and waits until it is done with it.
func (t *transport) incoming(ctx context.Context, site string, c net.Conn) error {
	s := t.stream(site, c)
	if s == nil {
		return errStopped
	}
	defer s.Close()
	if err := s.look(); err != nil {
		return err
	}
	select {
	case t.streams <- s:
	case <-t.done:
		return errStopped
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-s.closed:
	case <-t.done:
	case <-ctx.Done():
	}
	return nil
}

// look reads a stream up to the type of its message and refuses what would unpack.
func (s *stream) look() error {
	s.SetReadDeadline(time.Now().Add(streamTime))
	head := make([]byte, 2, 2+255+1)
	if _, err := io.ReadFull(s.Conn, head[:1]); err != nil {
		return err
	}
	kind := head[:1]
	if head[0] == labelMark {
		if _, err := io.ReadFull(s.Conn, head[1:2]); err != nil {
			return err
		}
		head = head[:2+int(head[1])+1]
		if _, err := io.ReadFull(s.Conn, head[2:]); err != nil {
			return err
		}
		kind = head[len(head)-1:]
	} else {
		head = head[:1]
	}
	if kind[0] == compressed || kind[0] == encryptedMsg {
		return errCompressed
	}
	s.head = head
	return nil
}
