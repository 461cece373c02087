package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// group runs parts that live and end together: the first that ends with an error ends the others, and wait returns when none runs any more.
type group struct {
	ctx  context.Context
	end  context.CancelCauseFunc
	wg   sync.WaitGroup
	once sync.Once
	err  error
}

// newGroup is a group whose parts end with ctx.
func newGroup(ctx context.Context) *group {
	g := &group{}
	g.ctx, g.end = context.WithCancelCause(ctx)
	return g
}

// run starts a part. It ends well with nil, or with the end of its context; one that ends so by itself leaves the others running.
func (g *group) run(name string, part func(context.Context) error) {
	g.wg.Go(func() {
		err := part(g.ctx)
		if err == nil || g.ctx.Err() != nil && errors.Is(err, context.Canceled) {
			return
		}
		g.once.Do(func() { g.err = fmt.Errorf("%s: %w", name, err) })
		g.end(g.err)
	})
}

// stop tells the parts to end.
func (g *group) stop() { g.end(context.Canceled) }

// wait returns when all parts have ended, with the error that ended them.
func (g *group) wait() error {
	g.wg.Wait()
	g.end(nil)
	return g.err
}

// done is a part of another group that ends with this one.
func (g *group) done(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-g.ctx.Done():
		return context.Cause(g.ctx)
	}
}

// regularly does something at once, and again each interval, until ctx ends or it fails.
func regularly(ctx context.Context, do func() error) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if err := do(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
