package settle

import (
	"context"
	"errors"
	"time"
)

// Stepper drives a Loop by hand where nothing may depend on chance: in a simulation that has to be replayed exactly. The caller keeps the time, calls Step
// whenever something may have happened, and does the jobs. What the Loop decides, and what it asks before it acts on that, is what it does under Run.
type Stepper struct {
	*Loop
	start func(job func())
}

// NewStepper makes a Loop that tells the time by clock (of its monotonic reading 0 is never). start takes a job and does it later, beside other steps: it returns when the
// function of the Config that it is about has. A Stepper is for one goroutine at a time.
func NewStepper(c Config, clock func() (mono time.Duration, wall time.Time), start func(job func())) (*Stepper, error) {
	if clock == nil || start == nil {
		return nil, errors.New("settle by hand without a clock, or without anybody to do the jobs")
	}
	l, err := New(c)
	if err != nil {
		return nil, err
	}
	l.pulse = newPulse(func() stamp {
		mono, wall := clock()
		return stamp{mono, wall}
	})
	return &Stepper{l, start}, nil
}

// Read takes in the records, as Run does first.
func (s *Stepper) Read(ctx context.Context) error { return s.read(ctx) }

// Beat is to be called every second, as Run does: that is how a Loop knows that its process was not stopped.
func (s *Stepper) Beat() { s.pulse.beat() }

// Step takes in the jobs that have ended, begins those that are due, and says in how long time alone will ask for the next one.
func (s *Stepper) Step(ctx context.Context) time.Duration {
	for len(s.results) > 0 {
		s.finish(<-s.results)
	}
	s.turn(ctx, s.start)
	return s.idle()
}
