package link

import (
	"encoding/binary"
	"fmt"
	"time"
)

// Datagrams begin with a byte: 0 a beat; a kind's number, and the packet; or relay, a kind, the source's name, the destination's name, each with its length
// before it, and the packet. A relayed packet goes through one neighbour and no further.
const beat = 0

// Send sends a packet to a site, through a neighbour if there is no link. It copies the packet and never blocks: what finds the queue full is dropped and counted.
// nil means no more than that it was queued. ErrTooLarge, ErrNoLink.
func (e *Endpoint) Send(site string, kind Kind, packet []byte) error {
	if len(packet) > MaxPacket {
		return fmt.Errorf("%w: %d bytes for %s", ErrTooLarge, len(packet), site)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.neighbourOf(site)
	if n == nil {
		return fmt.Errorf("send to %s: %w", site, ErrNoLink)
	}
	if c := n.primary(); c != nil {
		n.enqueue(c, append([]byte{byte(kind)}, packet...))
		return nil
	}
	c := e.route(site)
	if c == nil {
		return fmt.Errorf("send to %s: %w", site, ErrNoLink)
	}
	frame := append([]byte{byte(relay), byte(kind)}, encodeNames([]string{e.config.Name, site})...)
	e.sites[c.site].enqueue(c, append(frame, packet...))
	return nil
}

func (n *neighbour) enqueue(c *conn, datagram []byte) {
	select {
	case c.queue <- datagram:
	default:
		n.dropped++
	}
}

// sendPackets empties the queue of a connection. quic-go's own queue blocks when 32 wait in it, which is why there is ours before it.
func (e *Endpoint) sendPackets(c *conn) {
	for {
		select {
		case datagram := <-c.queue:
			if err := c.quic.SendDatagram(datagram); err != nil { // lost, as datagrams may be
				e.mu.Lock()
				if n := e.sites[c.site]; n != nil {
					n.dropped++
				}
				e.mu.Unlock()
			}
		case <-c.quic.Context().Done():
			return
		}
	}
}

func (e *Endpoint) receivePackets(c *conn) {
	for {
		datagram, err := c.quic.ReceiveDatagram(c.quic.Context())
		if err != nil {
			return
		}
		if len(datagram) == 0 {
			continue
		}
		now := time.Now()
		switch kind := Kind(datagram[0]); {
		case kind == beat:
			e.heardBeat(c, datagram[1:], now)
		case kind == relay:
			e.takeFrame(c, datagram, now)
		case kind.primary() && !c.data:
			e.deliver(c.site, kind, datagram[1:], now)
		}
	}
}

func (e *Endpoint) deliver(site string, kind Kind, packet []byte, now time.Time) {
	if e.config.Packet != nil {
		e.config.Packet(site, kind, packet, now)
	}
}

// beats are what tells whether data goes both ways: each end sends a number over a data connection now and then, with the last one that it got.
type beats struct {
	sent   uint64
	got    uint64
	at     [16]time.Time // when the last ones were sent
	heard  time.Time     // when one came
	echoed time.Time     // when the newest was sent that the other end is known to have got
}

// afresh is what stays when either end begins to count anew.
func (b beats) afresh() beats { return beats{heard: b.heard, echoed: b.echoed} }

// next is the next beat to send.
func (b *beats) next(now time.Time) []byte {
	b.sent++
	b.at[b.sent%16] = now
	return binary.AppendUvarint(binary.AppendUvarint([]byte{beat}, b.sent), b.got)
}

func (b *beats) take(datagram []byte, now time.Time) {
	numbers, err := parseNumbers(datagram, 2)
	if err != nil {
		return
	}
	b.heard = now
	b.got = max(b.got, numbers[0])
	if echo := numbers[1]; echo <= b.sent && b.sent-echo < 16 && b.at[echo%16].After(b.echoed) {
		b.echoed = b.at[echo%16]
	}
}

func (e *Endpoint) heardBeat(c *conn, datagram []byte, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if n := e.sites[c.site]; n != nil && c.data {
		n.beats.take(datagram, now)
	}
}
