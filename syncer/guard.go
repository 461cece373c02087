package syncer

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// guards bound what each neighbour can have this site do by what it says and asks: one that floods is slowed down, and nobody else is.
type guards struct {
	mu    sync.Mutex
	sites map[string]*guard // guarded by mu; nil: nobody is guarded against
}

// of is the guard for a site. A nil guard lets everything through.
func (g *guards) of(site string) *guard {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sites == nil {
		return nil
	}
	x := g.sites[site]
	if x == nil {
		x = &guard{asking: make(chan struct{}, questions), heard: bucket{rate: hearing, burst: hearingMost}, answers: bucket{rate: answering, burst: answeringMost}}
		g.sites[site] = x
	}
	return x
}

// The bounds for one neighbour, in seconds of this site's time a second, and how much it may save up. What is said of a study costs a look into the index, a question a few
// of them, and any message a step of the core. What a site says while its new index is filled, and
// asks while it fetches a thousand small studies, comes near to this; in peace it is a hundredth.
const (
	hearing, hearingMost     = 0.5, 2
	answering, answeringMost = 1, 30
	step                     = 250 * time.Microsecond

	questions  = 4        // that are answered at a time
	packMemory = 16 << 20 // bytes that are held to compress what it fetches
	sayFloodIn = time.Minute
)

// guard is for one neighbour.
type guard struct {
	asking  chan struct{} // a token in it for each question that is being answered
	packing atomic.Int64  // bytes of packMemory in use

	mu             sync.Mutex // guards what follows
	heard, answers bucket
	said           time.Time // when it was last told that it floods
}

// hold waits until the neighbour may say one more message, after one that has cost so much, and reports whether it floods and nobody was told lately. While it waits nothing is read, so that the
// neighbour has to wait as well.
func (g *guard) hold(ctx context.Context, cost time.Duration) (floods bool) {
	if g == nil {
		return false
	}
	now := time.Now()
	g.mu.Lock()
	wait := g.heard.take(max(step, cost), now)
	if wait > 0 && now.Sub(g.said) > sayFloodIn {
		floods, g.said = true, now
	}
	g.mu.Unlock()
	rest(ctx, wait)
	return floods
}

// rest waits.
func rest(ctx context.Context, wait time.Duration) {
	if wait <= 0 {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(wait):
	}
}

// ask waits for a place among the questions that are being answered. The caller calls done.
func (g *guard) ask(ctx context.Context) (done func(), err error) {
	if g == nil {
		return func() {}, nil
	}
	select {
	case g.asking <- struct{}{}:
		return func() { <-g.asking }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// answered waits, in that place, as long as a question that has cost so much makes the neighbour wait for its next one.
func (g *guard) answered(ctx context.Context, cost time.Duration) {
	if g == nil {
		return
	}
	g.mu.Lock()
	wait := g.answers.take(max(step, cost), time.Now())
	g.mu.Unlock()
	rest(ctx, wait)
}

// pack takes so many bytes of packMemory, if they are free. The caller gives them back.
func (g *guard) pack(bytes int64) (free bool) {
	if g == nil {
		return true
	}
	if g.packing.Add(bytes) <= packMemory {
		return true
	}
	g.packing.Add(-bytes)
	return false
}

// bucket is a token bucket of time that starts full, and may be overdrawn: who does that waits.
type bucket struct {
	rate, burst float64 // seconds a second, and seconds at most
	spent       float64
	last        time.Time
}

// take takes so much time and returns how long to wait before the next.
func (b *bucket) take(cost time.Duration, now time.Time) time.Duration {
	b.spent = max(0, b.spent-b.rate*now.Sub(b.last).Seconds()) + cost.Seconds()
	b.last = now
	return time.Duration(max(0, b.spent-b.burst) / b.rate * float64(time.Second))
}
