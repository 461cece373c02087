package reach

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dicomesh/dicomesh/gossip/roster"
)

// Proof is an echo that all other sites that count have answered, after Echo was called.
type Proof struct {
	Nonce   Nonce
	Epoch   roster.Epoch // of this site's roster, and of each answer
	Answers []Answered   // by site. Whoever makes a certificate holds the reports of a site to the boot and incarnation that it answered with
}

// ErrSilent says that somebody did not answer an echo. Who and why is in the text.
var ErrSilent = errors.New("not all sites answered")

// Echo draws a nonce and returns when all other sites that count have answered it. It fails with ErrSilent when ctx ends before, or after Detect: then the
// judgement knows more; with ErrStopped when this process did not run for a while; and when the roster changed meanwhile.
func (r *Runner) Echo(ctx context.Context) (Proof, error) {
	ctx, cancel := context.WithTimeout(ctx, Detect(r.config.Self.Beat))
	defer cancel()
	var nonce Nonce
	rand.Read(nonce[:])
	x, stops, now := r.beginEcho(nonce)
	results := make(chan func(time.Duration))
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	for {
		send, next := x.due(now)
		for _, a := range send {
			asking.Go(func() { r.ask(ctx, x, a, results) })
		}
		if len(x.open) == 0 {
			return r.endEcho(x, stops)
		}
		timer := time.NewTimer(next - now)
		var took func(time.Duration)
		select {
		case <-ctx.Done():
		case took = <-results:
		case <-timer.C:
		}
		timer.Stop()
		if now = r.now(); ctx.Err() != nil {
			return Proof{}, fmt.Errorf("%w: %s", ErrSilent, x.missing())
		}
		if took != nil {
			took(now)
		}
	}
}

// ask sends one question and hands what came of it to the one who waits. An attempt has two beats, and a little for handing on.
func (r *Runner) ask(ctx context.Context, x *exchange, a attempt, results chan<- func(time.Duration)) {
	once, cancel := context.WithTimeout(ctx, 5*r.config.Self.Beat/2)
	defer cancel()
	answer, err := r.config.Ask(once, a.via, a.question)
	if err != nil && a.via != a.site {
		err = fmt.Errorf("by way of %s: %w", a.via, err)
	}
	select {
	case results <- func(now time.Duration) { x.take(a.site, answer, err, now) }:
	case <-ctx.Done():
	}
}

func (r *Runner) now() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.look().Mono
}

func (r *Runner) beginEcho(nonce Nonce) (x *exchange, stops uint64, now time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.look()
	q := question{nonce: nonce, asker: r.config.Self.Site, cluster: r.core.expected.Cluster}
	return newExchange(q, r.core.expected, r.judge(m), r.config.Self.Beat), r.pulse.stops, m.Mono
}

// endEcho holds that nothing happened meanwhile that makes the answers worthless.
func (r *Runner) endEcho(x *exchange, stops uint64) (Proof, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.look()
	switch {
	case r.pulse.stops != stops:
		return Proof{}, fmt.Errorf("echo: %w", ErrStopped)
	case r.core.expected.Epoch != x.epoch:
		return Proof{}, errors.New("echo: the roster changed meanwhile")
	}
	slices.SortFunc(x.answers, func(a, b Answered) int { return strings.Compare(a.Site, b.Site) })
	return Proof{x.question.nonce, x.epoch, x.answers}, nil
}

// Answer answers a question that came from a site, by a link with it: in this site's name, or by asking the site that it is for, once. A question that was handed on is
// not handed on again. ErrMalformed, ErrRefused, or the error of Ask.
func (r *Runner) Answer(ctx context.Context, from string, asked []byte) ([]byte, error) {
	q, err := decodeQuestion(asked)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.look()
	_, asker := r.core.expected.site(q.asker)
	_, to := r.core.expected.site(q.to)
	q.cluster = r.core.expected.Cluster
	own := Answered{Site: r.config.Self.Site, Epoch: r.core.expected.Epoch, Boot: r.config.Self.Boot}
	r.mu.Unlock()
	switch {
	case !asker || !to:
		return nil, fmt.Errorf("question of %s for %s: %w", q.asker, q.to, ErrRefused)
	case q.to == own.Site:
		own.Incarnation = r.config.Incarnation()
		return q.answer(own, r.config.Self.Key), nil
	case from != q.asker:
		return nil, fmt.Errorf("question of %s for %s came from %s: %w", q.asker, q.to, from, ErrRefused)
	}
	return r.config.Ask(ctx, q.to, asked)
}
