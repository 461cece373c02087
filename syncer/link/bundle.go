package link

import (
	"errors"
	"slices"
	"time"
)

// quietBefore is how long a surplus data connection must have had no stream before it is closed.
const quietBefore = 10 * time.Second

// busyTick and idleTick are the intervals at which a bundle is looked at.
const (
	busyTick = 200 * time.Millisecond
	idleTick = time.Second
)

// usedPackets in one interval are more than a connection sends for itself.
const usedPackets = 10

// keepBundle sees that the data connections of a link are as many as both ends want, and sends the beats. Whoever dialled connection 0 dials them.
func (e *Endpoint) keepBundle(n *neighbour) {
	var b bundleKeeper
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		e.mu.Lock()
		change, busy := n.change, b.look(e, n, time.Now())
		e.mu.Unlock()
		tick := idleTick
		if busy {
			tick = busyTick
		}
		timer.Reset(tick)
		select {
		case <-timer.C:
		case <-change:
		case <-n.ctx.Done():
			return
		}
	}
}

// bundleKeeper is what keepBundle remembers.
type bundleKeeper struct {
	looked  time.Time // when the interval that is measured began
	beaten  time.Time
	quiet   map[*conn]time.Time // since when a connection has had no stream
	failed  time.Time           // when dialling failed last
	backoff time.Duration
}

// look does what is to be done now and says whether the bundle is in use. e.mu is held.
func (b *bundleKeeper) look(e *Endpoint, n *neighbour, now time.Time) (busy bool) {
	p := n.primary()
	if p == nil {
		b.looked, n.last = now, totals{}
		return false
	}
	for _, c := range n.data {
		busy = busy || c.streams.Load() > 0
	}
	if d := now.Sub(b.looked); d >= busyTick/2 {
		e.measure(n, d, busy)
		b.looked = now
	}
	if len(n.data) > 0 && now.Sub(b.beaten) >= e.config.Timing.Beat {
		n.enqueue(n.data[0], n.beats.next(now))
		b.beaten = now
	}
	if p.dialler == e.config.Name {
		b.fill(e, n, p, now)
		b.thin(e, n, now)
	}
	return busy
}

// measure takes the last interval into account.
func (e *Endpoint) measure(n *neighbour, d time.Duration, busy bool) {
	m := measure{elapsed: d, busy: busy}
	var sum totals
	for _, c := range n.data {
		s := c.quic.ConnectionStats()
		sum = sum.plus(c.totals())
		if c.streams.Load() > 0 || s.PacketsSent-c.before >= usedPackets {
			m.used++
			m.rtt = max(m.rtt, s.SmoothedRTT) // of the others it is old news
		}
		c.before = s.PacketsSent
		if m.minRTT == 0 || s.MinRTT < m.minRTT {
			m.minRTT = s.MinRTT
		}
	}
	m.sent = since(n.last.packetsSent, sum.packetsSent)
	m.lost = since(n.last.packetsLost, sum.packetsLost)
	m.delivered = since(n.last.bytesSent, sum.bytesSent) - since(n.last.bytesLost, sum.bytesLost)
	n.last = sum
	if m.sent > 0 {
		n.loss += (m.lost/m.sent - n.loss) * min(1, m.sent/1000)
	}
	was := n.want(e.config.MaxBundle)
	n.sizing = n.sizing.next(m, e.config.MaxBundle)
	if n.want(e.config.MaxBundle) != was {
		n.changed()
	}
}

// since is how much a counter grew. Counters of connections that ended are no longer in the sum, so it can also shrink.
func since(before, now uint64) float64 {
	if now < before {
		return 0
	}
	return float64(now - before)
}

// fill dials what is missing, all at once.
func (b *bundleKeeper) fill(e *Endpoint, n *neighbour, p *conn, now time.Time) {
	if now.Sub(b.failed) < b.backoff {
		return
	}
	for range n.want(e.config.MaxBundle) - len(n.data) - n.dialling {
		n.dialling++
		began := e.beginLocked(func() {
			err := e.dial(n, p.quic.RemoteAddr(), true)
			e.mu.Lock()
			defer e.mu.Unlock()
			n.dialling--
			if err == nil {
				b.backoff = 0
			} else if !errors.Is(err, ErrNoLink) {
				b.failed, b.backoff = time.Now(), min(max(firstBackoff, 2*b.backoff), e.config.Timing.MaxBackoff)
			}
			n.changed()
		})
		if !began {
			n.dialling--
		}
	}
}

// thin closes connections beyond those wanted that have been without a stream for a while, at either end: streams of the other end count here as well.
func (b *bundleKeeper) thin(e *Endpoint, n *neighbour, now time.Time) {
	surplus := n.data[min(len(n.data), n.want(e.config.MaxBundle)):]
	quiet := map[*conn]time.Time{}
	for _, c := range surplus {
		if c.streams.Load() > 0 {
			continue
		}
		since, was := b.quiet[c]
		if !was {
			since = now
		}
		quiet[c] = since
		if now.Sub(since) >= quietBefore {
			n.data = slices.DeleteFunc(slices.Clone(n.data), func(o *conn) bool { return o == c })
			e.beginLocked(func() { c.close(codeSurplus) })
		}
	}
	b.quiet = quiet
}
