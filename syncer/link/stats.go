package link

import (
	"slices"
	"strings"
)

// Links tells how the link with each site of the roster is, by name.
func (e *Endpoint) Links() []Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make([]Stats, 0, len(e.sites))
	for _, n := range e.sites {
		all = append(all, n.stats(e))
	}
	slices.SortFunc(all, func(a, b Stats) int { return strings.Compare(a.Site, b.Site) })
	return all
}

func (n *neighbour) stats(e *Endpoint) Stats {
	s := Stats{Site: n.name, Since: n.since, Connections: len(n.data), Wanted: n.want(e.config.MaxBundle), Loss: n.loss,
		Heard: n.beats.heard, Echoed: n.beats.echoed, Dropped: n.dropped, Neighbours: slices.Clone(n.names)}
	if p := n.primary(); p != nil {
		s.Up, s.Address, s.Dialled = true, p.address(), p.dialler == e.config.Name
		s.RTT = p.quic.ConnectionStats().SmoothedRTT
	}
	sum := n.gone
	for _, c := range slices.Concat(n.primaries, n.data) {
		sum = sum.plus(c.totals())
		s.Streams += int(c.streams.Load())
		if c.data {
			s.RTT = max(s.RTT, c.quic.ConnectionStats().SmoothedRTT)
		}
	}
	s.Sent, s.Received = sum.bytesSent, sum.bytesReceived
	return s
}

// Socket is what the start found out about the port; zero before Run.
func (e *Endpoint) Socket() Socket {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.socket
}
