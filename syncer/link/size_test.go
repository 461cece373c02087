package link

import (
	"math"
	"testing"
	"time"
)

// path is a model of one, and of senders that share it as Reno's do: each carries what its loss lets it, together no more than the path, whose queue then fills.
type path struct {
	rate float64 // bytes a second
	rtt  time.Duration
	loss float64 // at random
	cpu  float64 // bytes a second that the machines manage; 0: enough
}

const packet = 1400

// carry is one interval of n connections.
func (p path) carry(n int, dt time.Duration) measure {
	each := math.Inf(1)
	if p.loss > 0 {
		each = 1.7 * packet / (p.rtt.Seconds() * math.Sqrt(p.loss))
	}
	limit := p.rate
	if p.cpu > 0 {
		limit = min(limit, p.cpu)
	}
	rate := min(float64(n)*each, limit)
	m := measure{elapsed: dt, delivered: rate * dt.Seconds(), rtt: p.rtt, minRTT: p.rtt, busy: true, used: n}
	m.sent = m.delivered / packet
	m.lost = m.sent * p.loss
	if rate >= p.rate { // a full queue of 30 ms, which loses now and then
		m.rtt += 30 * time.Millisecond
		m.lost += 0.5
	}
	return m
}

// run lets a bundle find its size.
func (p path) run(s sizing, d time.Duration) (last sizing, rate float64, largest int) {
	const tick = 200 * time.Millisecond
	m := measure{}
	for range d / tick {
		m = p.carry(s.want(), tick)
		s = s.next(m, maxBundle)
		largest = max(largest, s.want())
	}
	return s, m.delivered / tick.Seconds(), largest
}

// TestSize is the table of what a bundle is for: 1 where nothing is lost, more where more carry more, and no more than that.
func TestSize(t *testing.T) {
	mbit := 1e6 / 8.
	for _, c := range []struct {
		name        string
		path        path
		least, most int
	}{
		{"WAN, no loss", path{rate: 200 * mbit, rtt: 50 * time.Millisecond}, 1, 1},
		{"WAN, 0.1 %", path{rate: 200 * mbit, rtt: 50 * time.Millisecond, loss: 0.001}, 8, 32},
		{"WAN, 0.5 %", path{rate: 200 * mbit, rtt: 50 * time.Millisecond, loss: 0.005}, 32, 32},
		{"far, 0.01 %", path{rate: 200 * mbit, rtt: 150 * time.Millisecond, loss: 0.0001}, 4, 32},
		{"thin, no loss", path{rate: 8 * mbit, rtt: 50 * time.Millisecond}, 1, 1},
		{"thin, 0.5 %: one fills it", path{rate: 4 * mbit, rtt: 50 * time.Millisecond, loss: 0.005}, 1, 1},
		{"LAN, no loss", path{rate: 1000 * mbit, rtt: 300 * time.Microsecond}, 1, 1},
		{"loopback, buffers run over", path{rate: 1e10, rtt: 100 * time.Microsecond, loss: 0.002, cpu: 3e8}, 1, 1},
		{"metro, 0.5 %, the processor limits", path{rate: 10000 * mbit, rtt: 2 * time.Millisecond, loss: 0.005, cpu: 2e7}, 1, 4},
	} {
		s, rate, largest := c.path.run(sizing{}, 30*time.Second)
		if c.path.loss == 0 && largest > 1 {
			t.Errorf("%s: %d connections were tried", c.name, largest)
		}
		t.Logf("%-36s %2d connections, %.1f MB/s", c.name, s.want(), rate/1e6)
		if s.want() < c.least || s.want() > c.most {
			t.Errorf("%s: %d connections, want %d to %d", c.name, s.want(), c.least, c.most)
		}
		if again, _, _ := c.path.run(s, 10*time.Minute); again.want() > c.most || again.want() < c.least {
			t.Errorf("%s: %d connections ten minutes later", c.name, again.want())
		}
	}
}

// TestSizeFollows holds that a bundle shrinks when the loss is gone, or nobody needs it, and not at once.
func TestSizeFollows(t *testing.T) {
	lossy := path{rate: 2.5e7, rtt: 50 * time.Millisecond, loss: 0.005}
	grown, _, _ := lossy.run(sizing{}, 30*time.Second)
	healed := lossy
	healed.loss = 0
	healed.rate = 1e9
	if s, _, _ := healed.run(grown, 200*time.Millisecond); s.want() != grown.want() {
		t.Errorf("%d connections after a moment without loss", s.want())
	}
	clean := measure{elapsed: time.Second, sent: 5000, delivered: 7e6, rtt: lossy.rtt, minRTT: lossy.rtt, busy: true, used: 32}
	s := grown
	for range 300 {
		s = s.next(clean, maxBundle)
	}
	if s.want() != 1 {
		t.Errorf("%d connections five minutes after the loss is gone", s.want())
	}
	if again, _, _ := lossy.run(sizing{known: 31}, 2*time.Second); again.want() != 32 {
		t.Errorf("%d connections, where 32 are known to be of use", again.want())
	}
	s = grown
	for range 299 {
		s = s.next(measure{elapsed: time.Second}, maxBundle)
	}
	if s.want() != grown.want() {
		t.Error("given up before its time")
	}
	if s = s.next(measure{elapsed: 2 * time.Second}, maxBundle); s.want() != 1 {
		t.Errorf("%d idle connections", s.want())
	}
}

// TestSizeSawtooth holds that what a queue lost is not taken for random loss when the queue is gone at the moment at which somebody looks: after it ran over for the first
// time, when hundreds of packets are sent again, and whenever the sender has filled it again and slows down.
func TestSizeSawtooth(t *testing.T) {
	interval := func(rtt time.Duration, lost float64) measure {
		return measure{elapsed: 200 * time.Millisecond, sent: 3500, lost: lost, delivered: 4.5e6, rtt: rtt, minRTT: 50 * time.Millisecond, busy: true, used: 1}
	}
	const empty, full = 52 * time.Millisecond, 95 * time.Millisecond
	course := []measure{interval(empty, 0), interval(full, 400), interval(empty, 9), interval(empty, 4), interval(empty, 3)}
	for range 50 {
		for range 6 {
			course = append(course, interval(empty, 0))
		}
		course = append(course, interval(full, 0), interval(empty, 3))
	}
	s := sizing{}
	for i, m := range course {
		if s = s.next(m, maxBundle); s.want() > 1 {
			t.Fatalf("%d connections after interval %d", s.want(), i)
		}
	}
}

// TestSizeHolds holds that a trial that gains nothing is not repeated all the time.
func TestSizeHolds(t *testing.T) {
	stuck := measure{elapsed: 200 * time.Millisecond, sent: 1000, lost: 5, delivered: 1e6, rtt: 20 * time.Millisecond, minRTT: 20 * time.Millisecond, busy: true}
	trials, s := 0, sizing{}
	for range 5 * 600 { // ten minutes
		stuck.used = s.want()
		was := s.trying
		if s = s.next(stuck, maxBundle); s.trying && !was {
			trials++
		}
	}
	if trials < 2 || trials > 12 || s.want() > 8 {
		t.Errorf("%d trials in ten minutes, %d connections", trials, s.want())
	}
	if s = (sizing{}).next(stuck, 1); s.want() != 1 {
		t.Error("more than is allowed")
	}
}
