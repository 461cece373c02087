package syncer

import (
	"context"
	"slices"
	"sync"
	"time"
)

// lanes share each link between pulls: how much may be asked for at a time, and who may ask next.
//
// What is under way on a link is at most what the link was measured to carry in 0.4 s: enough to keep it busy at any round-trip time
// that matters, little enough that what is more urgent does not wait behind it, and that the first connection of a bundle that is about to grow is not
// left with all of it. On a slow link it is less, where answers come sooner and more gains nothing (widening), and on a fast one to a site nearby: about half of it is lost by a cut, or by the end of this process. A lane asks for nothing while a more urgent one asks or has something under way;
// it gets a request through every few seconds all the same: a hospital that never sleeps is backfilled too, and viewers who never rest do not keep what is new away.
type lanes struct {
	most  int64 // bytes under way on one link
	mu    sync.Mutex
	sites map[string]*lane // guarded by mu
}

// lane is one link.
type lane struct {
	most     int64
	rate     float64 // bytes a second, measured while something was under way
	underway int64
	active   [Backfill + 1]int
	waiting  [Backfill + 1][]*waiter // in the order in which they get leave
	last     [Backfill + 1]time.Time // when a lane last got a request through
	alarm    *time.Timer             // looks again when that was long enough ago; nil before anybody waits for it

	answer   time.Duration // how long the first byte of an answer takes at least, as far as was seen lately; 0: nothing is known
	answered time.Time     // when that was seen

	since time.Time // when this measurement began
	idle  bool      // nothing was under way before it
	got   int64
	full  bool // somebody had to wait for room meanwhile

	wider widening
}

// waiter waits for leave.
type waiter struct {
	least int64
	leave chan int64 // has room for it
}

// widening finds out whether a slow link is slow because too little is under way on it. Where packets are lost at random an answer takes several round
// trips, and a window that is sized by the rate, and the rate by the window, would stay as they are; and a bundle of connections of which most have nothing to do never shows what it can carry.
// So now and then more is under way for a while, and stays if the link carried more.
type widening struct {
	on    bool      // more is under way
	trial bool      // it is not known yet whether that is of use
	since time.Time // when on was last changed; zero: never
	base  float64   // the rate before
	hold  time.Duration
}

// The measures of a widening.
const (
	widenAfter  = time.Second // of a window that is full
	widenTrial  = 1500 * time.Millisecond
	widenWorth  = 1.15        // the rate must be so many times what it was
	widenAgain  = time.Minute // the wait after trials that were of no use doubles up to this
	widenLonger = 2
)

// next is the widening after a measurement of a link on which somebody waited for room.
func (w widening) next(rate float64, now time.Time) widening {
	switch lasted := now.Sub(w.since); {
	case w.since.IsZero():
		w.since, w.hold = now, widenAfter
	case !w.on && lasted >= w.hold:
		w.on, w.trial, w.base, w.since = true, true, rate, now
	case w.trial && lasted >= widenTrial && rate >= widenWorth*w.base:
		w.trial, w.hold = false, widenAfter
	case w.trial && lasted >= widenTrial:
		w.on, w.trial, w.since, w.hold = false, false, now, min(widenAgain, widenLonger*w.hold)
	}
	return w
}

// The bounds of what is under way on a link, and of one request. There are many requests at a time, because each rides on one connection: a bundle of 32
// shows what it is good for, and carries it, with two streams on each.
const (
	leastUnderway = 256 << 10 // while nothing is known of the link
	leastSlow     = 64 << 10
	slowLink      = 4e6                  // bytes a second
	nearby        = 5 * time.Millisecond // an answer that begins so soon comes over a link that is never idle with 0.15 s under way: more is only memory, which is out of the processor's caches when it is read
	leastRequest  = 32 << 10
	mostRequest   = 8 << 20
	atATime       = 64
	fewAtATime    = 24              // where that still makes requests of
	nearAtATime   = 16              // of a site nearby
	largeRequest  = 256 << 10       // so many bytes and more: each costs a stream, and a link that fast has no bundle
	trickleEach   = 3 * time.Second // a lane gets a request through beside more urgent ones
)

func newLanes(most int64) *lanes {
	return &lanes{most: max(most, leastUnderway), sites: map[string]*lane{}}
}

// lane is one link's share. The caller holds the lock.
func (l *lanes) lane(site string) *lane {
	s := l.sites[site]
	if s == nil {
		s = &lane{most: l.most}
		l.sites[site] = s
	}
	return s
}

// near reports whether a fast link goes to a site nearby.
func (s *lane) near() bool { return s.rate > slowLink && s.answer > 0 && s.answer < nearby }

// window is how much may be under way.
func (s *lane) window() int64 {
	const long, short, closeBy = 0.4, 0.1, 0.15 // seconds
	if s.near() {
		return min(s.most, max(leastUnderway, int64(s.rate*closeBy)))
	}
	if s.rate == 0 || s.answer == 0 || s.rate > slowLink || s.wider.on {
		return min(s.most, max(leastUnderway, int64(s.rate*long)))
	}
	return min(s.most, max(leastSlow, int64(s.rate*min(long, short+2*s.answer.Seconds()))))
}

// heard is told how long a site took to begin an answer.
func (l *lanes) heard(site string, took time.Duration) {
	const lately = 10 * time.Second
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.lane(site)
	if now := time.Now(); s.answer == 0 || took < s.answer || now.Sub(s.answered) > lately {
		s.answer, s.answered = max(took, 1), now
	}
}

// request is how much one request may ask for.
func (s *lane) request() int64 {
	if s.near() { // there is next to never a bundle, and each request costs a stream
		return min(mostRequest, max(leastRequest, s.window()/nearAtATime))
	}
	many, few := s.window()/atATime, s.window()/fewAtATime
	if many >= largeRequest {
		return min(mostRequest, few)
	}
	return max(leastRequest, many)
}

// rate is what a link was measured to carry, in bytes a second; 0 if nothing is known.
func (l *lanes) rate(site string) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lane(site).rate
}

// acquire waits for leave to ask a site for so many bytes at least, and returns for how many. Within a lane leave is given in the order in which it was asked for. The caller
// calls release when the answer has come, or has not. With a context that has ended there is no leave.
func (l *lanes) acquire(ctx context.Context, site string, urgency Lane, least int64) (bytes int64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	l.mu.Lock()
	s := l.lane(site)
	if len(s.waiting[urgency]) == 0 {
		if bytes, _ = s.give(urgency, least, time.Now()); bytes > 0 {
			l.mu.Unlock()
			return bytes, nil
		}
	}
	w := &waiter{least, make(chan int64, 1)}
	s.waiting[urgency] = append(s.waiting[urgency], w)
	l.serve(s)
	l.mu.Unlock()
	select {
	case bytes = <-w.leave:
		return bytes, nil
	case <-ctx.Done():
		l.withdraw(s, urgency, w)
		return 0, ctx.Err()
	}
}

// withdraw takes out one who does not wait any more, or gives back what it was given meanwhile.
func (l *lanes) withdraw(s *lane, urgency Lane, w *waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(s.waiting[urgency], w); i >= 0 {
		s.waiting[urgency] = slices.Delete(s.waiting[urgency], i, i+1)
	} else {
		s.back(urgency, <-w.leave)
	}
	l.serve(s)
}

// serve gives leave to those whose turn it is, the most urgent first. The caller holds the lock.
func (l *lanes) serve(s *lane) {
	var again time.Time
	now := time.Now()
	for urgency := Asked; urgency <= Backfill; urgency++ {
		for len(s.waiting[urgency]) > 0 {
			w := s.waiting[urgency][0]
			bytes, due := s.give(urgency, w.least, now)
			if bytes == 0 {
				again = earlier(again, due)
				break
			}
			s.waiting[urgency] = s.waiting[urgency][1:]
			w.leave <- bytes
		}
	}
	switch {
	case again.IsZero() && s.alarm != nil:
		s.alarm.Stop()
	case again.IsZero():
	case s.alarm != nil:
		s.alarm.Reset(again.Sub(now))
	default:
		s.alarm = time.AfterFunc(again.Sub(now), func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.serve(s)
		})
	}
}

// give gives leave for so many bytes at least, or for none: then it says when to try again though nothing changes, zero if only a change can help.
func (s *lane) give(urgency Lane, least int64, now time.Time) (bytes int64, due time.Time) {
	bytes = max(least, s.request())
	if s.underway > 0 && s.underway+bytes > s.window() {
		s.full = true
		return 0, time.Time{}
	}
	for more := Asked; more < urgency; more++ {
		if len(s.waiting[more]) == 0 && s.active[more] == 0 {
			continue
		}
		if s.active[urgency] > 0 {
			return 0, time.Time{}
		}
		if due = s.last[urgency].Add(trickleEach); due.After(now) {
			return 0, due
		}
	}
	s.underway += bytes
	s.active[urgency]++
	s.last[urgency] = now
	if s.since.IsZero() {
		s.since, s.idle = now, true
	}
	return bytes, time.Time{}
}

// release gives leave back: of asked bytes so many came.
func (l *lanes) release(site string, urgency Lane, asked, came int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.lane(site)
	s.got += came
	s.back(urgency, asked)
	l.serve(s)
}

// back takes leave back. The caller holds the lock.
func (s *lane) back(urgency Lane, asked int64) {
	s.underway -= asked
	s.active[urgency]--
	if took := time.Since(s.since); took > 200*time.Millisecond || s.underway == 0 && s.idle && took > 0 {
		s.measure(took)
	}
	if s.underway == 0 { // the few that came last, all at once, are no measure of anything
		s.got, s.full, s.since = 0, false, time.Time{}
	}
}

// measure takes a stretch of time in which something was under way throughout. That it carried little says little, unless more was wanted.
func (s *lane) measure(took time.Duration) {
	if now := float64(s.got) / took.Seconds(); s.got >= leastRequest && (s.full || now > s.rate) {
		if s.rate == 0 {
			s.rate = now
		}
		s.rate += (now - s.rate) / 4 // slowly up as well: what a connection does before its first loss says nothing of what comes
		if s.full {
			s.wider = s.wider.next(s.rate, time.Now())
		}
	}
	s.got, s.full, s.since, s.idle = 0, false, time.Now(), false
}
