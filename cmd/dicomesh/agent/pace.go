package agent

import (
	"context"
	"sync"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/config"
	"github.com/dicomesh/dicomesh/syncer/link"
)

// pacer keeps what goes to each site within a limit: a bucket of tokens for each link. Files wait until it is not empty, one after another. What is said about studies is little and
// goes first: it overdraws the bucket by up to a second, and the files that come after it pay for it. Gossip, hints and beats do not ride on data streams, and are not asked for.
type pacer struct {
	rate  float64 // bytes a second
	mu    sync.Mutex
	links map[string]*bucket // by site; guarded by mu
}

// bucket is the limit of one link.
type bucket struct {
	turn chan struct{} // held by the file whose turn it is

	mu     sync.Mutex // guards what follows
	tokens float64    // bytes that may go; below 0: that went too early
	last   time.Time
}

// The measures of a bucket.
const (
	headers   = 1.05        // what goes, with the headers of QUIC, UDP and IP, in bytes of a stream
	overdraft = time.Second // what is said about studies goes so far ahead
	savedFor  = 20          // milliseconds: what an idle link may send at once, because a timer can be late
	savedUp   = 32 << 10    // bytes: that much at least
)

// newPacer is a link.Config.Pace; nil where there is no limit.
func newPacer(limit config.Rate) func(ctx context.Context, site string, kind link.Kind, n int) error {
	if limit == 0 {
		return nil
	}
	p := &pacer{rate: float64(limit), links: map[string]*bucket{}}
	return p.wait
}

// wait returns when so many bytes may go to a site, or when ctx ends.
func (p *pacer) wait(ctx context.Context, site string, kind link.Kind, n int) error {
	b := p.link(site)
	if kind != kindFetch {
		return b.take(ctx, p.rate, headers*float64(n), p.rate*overdraft.Seconds())
	}
	select {
	case b.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-b.turn }()
	return b.take(ctx, p.rate, headers*float64(n), 0)
}

func (p *pacer) link(site string) *bucket {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.links[site]
	if b == nil {
		b = &bucket{turn: make(chan struct{}, 1), last: time.Now()}
		p.links[site] = b
	}
	return b
}

// take takes so many tokens as soon as no more than debt is owed.
func (b *bucket) take(ctx context.Context, rate, tokens, debt float64) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		late := b.late(rate, tokens, debt)
		if late <= 0 {
			return nil
		}
		timer := time.NewTimer(late)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// late takes tokens, or says when to try again.
func (b *bucket) late(rate, tokens, debt float64) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.tokens = min(max(savedUp, rate*savedFor/1000), b.tokens+rate*now.Sub(b.last).Seconds())
	b.last = now
	if owed := -b.tokens - debt; owed > 0 {
		return time.Duration(owed/rate*float64(time.Second)) + 1
	}
	b.tokens -= tokens
	return 0
}
