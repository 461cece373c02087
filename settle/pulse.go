package settle

import (
	"sync"
	"time"
)

// pulse tells whether this process has been running. Neither clock can by itself: the monotonic one stands still while a virtual machine is suspended, and the wall clock is
// set by people. So a beat compares both, every second; and whoever is about to do something on the strength of what it learned before compares them again,
// because after a stop any goroutine may be the first to run.
type pulse struct {
	now func() stamp

	mu    sync.Mutex // guards all below
	last  stamp      // of the last beat
	stops uint64
}

const (
	beat    = time.Second
	longest = 5 * time.Second // between two beats of a process that runs, however loaded the machine
)

// stamp is a moment on both clocks.
type stamp struct {
	mono time.Duration // begins at an hour
	wall time.Time     // without its monotonic reading
}

// clock returns stamps that count from now.
func clock(wall func() time.Time) func() stamp {
	start := time.Now()
	return func() stamp { return stamp{mono: time.Since(start) + time.Hour, wall: wall().Round(0)} }
}

// since is the time from then to s by the clock that says more. A wall clock that was set back says as much as one that was set forward.
func (s stamp) since(then stamp) time.Duration {
	return max(s.mono-then.mono, s.wall.Sub(then.wall).Abs())
}

func newPulse(now func() stamp) *pulse { return &pulse{now: now, last: now()} }

// beat is to be called every second. Whoever has a mark from before a stop learns of it from check.
func (p *pulse) beat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.take()
}

// take takes a beat, and notes if it comes too late. The caller holds mu.
func (p *pulse) take() stamp {
	now := p.now()
	if now.since(p.last) > longest {
		p.stops++
	}
	p.last = now
	return now
}

// mark is a moment that something is believed since.
type mark struct {
	stamp
	stops uint64
}

func (p *pulse) mark() mark {
	p.mu.Lock()
	defer p.mu.Unlock()
	return mark{p.take(), p.stops}
}

// check is ErrStopped if this process was stopped since the mark, or the mark is older than limit by either clock; 0 is no limit.
func (p *pulse) check(m mark, limit time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.take()
	if p.stops != m.stops || limit > 0 && now.since(m.stamp) > limit {
		return ErrStopped
	}
	return nil
}

// stopped is how often this process was found to have been stopped.
func (p *pulse) stopped() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stops
}
