package reach

import "time"

// longest is the time between two looks at the clocks of a process that runs, however loaded the machine.
const longest = 5 * time.Second

// pulse finds out that this process did not run. Neither clock can tell by itself: the monotonic one stands still while a virtual machine is suspended, and
// people set the wall clock. So both are asked; a wall clock that was set looks like a stop, which costs a few beats. Whoever comes first after a stop has to ask,
// whichever goroutine that is.
type pulse struct {
	clock func() Moment
	last  Moment
	stops uint64
}

// take returns the moment, and for how long the process did not run since the last look; 0 if it did.
func (p *pulse) take() (now Moment, gap time.Duration) {
	now = p.clock()
	if p.last.Mono != 0 {
		gap = max(now.Mono-p.last.Mono, now.Wall.Sub(p.last.Wall).Abs())
	}
	p.last = now
	if gap <= longest {
		return now, 0
	}
	p.stops++
	return now, gap
}

// begin is what the monotonic clock shows first: after the hour, so that nothing that can be known came at 0, which is never.
const begin = time.Hour

// clockFrom is the real clock: what it shows at start, which has a monotonic reading, is begin.
func clockFrom(start time.Time, wall func() time.Time) func() Moment {
	return func() Moment { return Moment{Mono: begin + time.Since(start), Wall: wall().Round(0)} }
}
