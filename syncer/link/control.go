package link

import (
	"encoding/binary"
	"slices"
	"time"
)

// writeControl tells the other end, over the stream that HELLO opened, how many data connections this end wants and with whom it has links, each time
// that changes. Frames carry what is, not what changed, so none needs to be kept.
func (e *Endpoint) writeControl(c *conn) {
	var wanted int
	var names []string
	for first := true; ; first = false {
		e.mu.Lock()
		n := e.sites[c.site]
		if n == nil {
			e.mu.Unlock()
			return
		}
		change, want, linked := n.change, n.sizing.want(), e.linked()
		e.mu.Unlock()
		var frames []byte
		if want != wanted {
			frames = append(frames, encodeFrame(frameWant, binary.AppendUvarint(nil, uint64(want)))...)
		}
		if first || !slices.Equal(linked, names) {
			frames = append(frames, encodeFrame(frameNeighbours, encodeNames(linked))...)
		}
		wanted, names = want, linked
		if len(frames) > 0 {
			c.opened.SetWriteDeadline(time.Now().Add(e.config.Timing.Idle))
			if _, err := c.opened.Write(frames); err != nil {
				c.close(codeProtocol)
				return
			}
		}
		select {
		case <-change:
		case <-c.quic.Context().Done():
			return
		}
	}
}

// readControl takes what the other end tells. Whoever does not keep to the form loses the connection.
func (e *Endpoint) readControl(c *conn) {
	for {
		kind, body, err := readFrame(c.first)
		if err != nil || !e.takeControl(c, kind, body) {
			c.close(codeProtocol)
			return
		}
	}
}

func (e *Endpoint) takeControl(c *conn, kind uint64, body []byte) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.sites[c.site]
	if n == nil {
		return false
	}
	switch kind {
	case frameWant:
		numbers, err := parseNumbers(body, 1)
		if err != nil {
			return false
		}
		n.wants = int(min(numbers[0], maxBundle))
		n.changed()
	case frameNeighbours:
		names, ok := parseNames(body)
		if !ok {
			return false
		}
		n.names = names
	}
	return true
}
