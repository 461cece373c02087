package link

import "time"

// How many data connections a link has. quic-go's sender halves its window at every loss, so on a path that loses packets at random one connection carries
// what its window allows, and n carry n times that, up to what the path has. Where packets are lost because a queue ran over, more connections gain
// nothing. The two are told apart by what precedes the loss (a full queue shows in the round-trip time) and by trying: a larger bundle
// stays only if it carried more.
const (
	lossWorth   = 0.00005              // below this one connection is fast enough for what it is
	lossGone    = 0.00002              // a bundle grew for more than this, and shrinks below it
	lostAtLeast = 2                    // packets: one may be anything
	overrun     = 10                   // packets lost in one interval, and a fiftieth of it or a queue to be seen: the queue has run over
	settling    = 3                    // intervals after that say nothing either: what ran over is sent again
	shrinkAfter = 50_000               // packets that say that the loss is gone; also how many the evidence rests on at most, twice
	bulk        = 500                  // bytes a packet: who sends less mostly acknowledges what the other end sends
	gainWorth   = 1.25                 // a trial must carry so much more
	firstHold   = 2 * time.Second      // of busy time, after a trial that gained nothing (the old size may have lived on better days); doubled
	longestHold = 10 * time.Minute     // each time, up to this
	keepWarm    = 5 * time.Minute      // a bundle that nothing uses is given up then
	shortPath   = time.Millisecond     // on shorter paths it is the processor that limits
	someQueue   = 2 * time.Millisecond // in the round-trip time, besides a quarter of it
	step        = 8                    // a trial is of so many times as many
	windowRTTs  = 5                    // rates are measured over so long; the first such window of a size is for getting up to speed, and not counted
	leastWindow = 200 * time.Millisecond
)

// measure is what the data connections of a link did in one interval.
type measure struct {
	elapsed     time.Duration
	sent, lost  float64 // packets
	delivered   float64 // bytes
	rtt, minRTT time.Duration
	busy        bool // there were streams to send for
	used        int  // connections that carried some of it
}

// sizing is how many data connections this end wants, and why. The zero value wants one.
type sizing struct {
	extra      int     // wanted besides the first
	known      int     // extra connections that were of use before this link fell idle
	sent, lost float64 // packets while no queue was seen
	overran    int     // intervals that are not listened to, because a queue ran over
	window     window
	windows    int     // that are over, since all that are wanted are used
	rate       float64 // bytes a second, in the last one
	trying     bool    // this size is on trial
	before     int     // extra connections before the trial
	base       float64 // the rate that they carried
	hold       time.Duration
	lastHold   time.Duration
	idle       time.Duration
}

// window is a stretch of time in which a rate is measured.
type window struct {
	lasted  time.Duration
	carried float64
}

func (s sizing) want() int { return 1 + s.extra }

// next is the sizing after one more interval, with most connections at most.
func (s sizing) next(m measure, most int) sizing {
	if !m.busy || m.delivered < bulk*m.sent {
		s.trying, s.windows, s.window = false, 0, window{} // nothing to send is no verdict
		if s.idle += m.elapsed; s.idle >= keepWarm {
			return sizing{lastHold: s.lastHold, known: max(s.known, s.extra)}
		}
		return s
	}
	s.idle = 0
	s.hold = max(0, s.hold-m.elapsed)
	s = s.observe(m)
	if s.trying && s.windows >= 2 {
		s = s.judge()
	}
	switch {
	case s.trying || s.windows < 1: // the first trial needs no more than to be seen to lose: the sooner a short sync has its bundle, the better
	case s.worthMore(m) && s.want() < most:
		s = s.resized(min(most, max(s.want()*step, 1+s.known))-1, s.extra)
		s.trying = true
	case s.extra > 0 && s.sent >= shrinkAfter && s.lost < lossGone*s.sent:
		s = s.resized(s.want()/2-1, 0)
		s.known = 0
	}
	return s
}

// observe takes an interval into the evidence.
func (s sizing) observe(m measure) sizing {
	if m.used < s.want() {
		s.windows, s.window = 0, window{}
		return s
	}
	s.window = window{s.window.lasted + m.elapsed, s.window.carried + m.delivered}
	if s.window.lasted >= max(windowRTTs*m.rtt, leastWindow) {
		s.rate = s.window.carried / s.window.lasted.Seconds()
		s.windows, s.window = s.windows+1, window{}
	}
	queue := m.rtt > m.minRTT+m.minRTT/4+someQueue // what is lost now is lost in a queue that is full
	switch {
	case m.lost >= overrun && (queue || m.lost >= m.sent/50):
		s.overran = settling
		return s
	case queue:
		s.overran = max(s.overran, 1) // a loss is known when the sender has slowed down for it, and the queue may be gone
		return s
	case s.overran > 0:
		s.overran--
		return s
	}
	s.sent, s.lost = s.sent+m.sent, s.lost+m.lost
	if s.sent > 2*shrinkAfter {
		s.sent, s.lost = s.sent/2, s.lost/2
	}
	return s
}

// worthMore says whether the loss is such that more connections may carry more.
func (s sizing) worthMore(m measure) bool {
	return s.hold == 0 && m.minRTT >= shortPath && s.lost >= lostAtLeast && s.lost >= lossWorth*s.sent
}

// resized is another size, of which nothing is known yet.
func (s sizing) resized(extra, before int) sizing {
	s.base, s.before = s.rate, before
	s.extra, s.sent, s.lost, s.windows, s.window = extra, 0, 0, 0, window{}
	return s
}

// judge ends a trial: more connections stay if they carried more.
func (s sizing) judge() sizing {
	s.trying = false
	if s.rate >= gainWorth*s.base {
		s.lastHold = 0
		return s
	}
	s = s.resized(s.before, s.before)
	s.known = 0
	s.lastHold = min(max(firstHold, 2*s.lastHold), longestHold)
	s.hold = s.lastHold
	return s
}
