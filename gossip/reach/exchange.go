package reach

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dicomesh/dicomesh/gossip/roster"
)

// exchange is one echo: which sites are asked, by which ways, and who has answered. It is pure: due says whom to ask now, take takes what came of it.
type exchange struct {
	question question // with the nonce; to is filled in
	epoch    roster.Epoch
	retry    time.Duration // between two attempts with one site
	open     map[string]*asked
	answers  []Answered
}

// asked is a site that has not answered yet.
type asked struct {
	key   roster.Key
	ways  []string // to whom its question can go, best first: itself, or a neighbour that hands it on
	tries int
	busy  bool          // a question is under way
	next  time.Duration // when to ask again
	why   string        // it has not answered
}

// attempt is a question that is to be sent.
type attempt struct {
	site, via string
	question  []byte
}

// newExchange asks all sites that count in that judgement.
func newExchange(q question, e Expected, w Wholeness, beat time.Duration) *exchange {
	x := &exchange{question: q, epoch: w.Epoch, retry: beat / 2, open: map[string]*asked{}}
	for _, name := range w.Others {
		if s, is := e.site(name); is {
			x.open[name] = &asked{key: s.Key, ways: w.waysTo(q.asker, name), why: "no answer"}
		}
	}
	return x
}

// waysTo are whom a question from one site to another can go to: itself if their link is up, then neighbours with links to both, and itself if all else fails.
func (w Wholeness) waysTo(from, to string) []string {
	up := func(a, b string) bool {
		return slices.ContainsFunc(w.Links, func(l Link) bool { return l.Up && (l.A == a && l.B == b || l.A == b && l.B == a) })
	}
	var ways []string
	if up(from, to) {
		ways = append(ways, to)
	}
	for _, s := range w.Sites {
		if s.Name != from && s.Name != to && up(from, s.Name) && up(s.Name, to) {
			ways = append(ways, s.Name)
		}
	}
	if !up(from, to) {
		ways = append(ways, to)
	}
	return ways
}

// due are the questions to send now, and when to ask again.
func (x *exchange) due(now time.Duration) (send []attempt, next time.Duration) {
	next = now + time.Hour
	for _, site := range slices.Sorted(maps.Keys(x.open)) {
		a := x.open[site]
		switch {
		case a.busy:
		case a.next > now:
			next = min(next, a.next)
		default:
			q := x.question
			q.to = site
			send = append(send, attempt{site, a.ways[a.tries%len(a.ways)], q.encode()})
			a.busy = true
			a.tries++
		}
	}
	return send, next
}

// take takes what came of an attempt.
func (x *exchange) take(site string, answer []byte, err error, now time.Duration) {
	a, is := x.open[site]
	if !is {
		return
	}
	a.busy, a.next = false, now+x.retry
	q := x.question
	q.to = site
	var got Answered
	if err == nil {
		got, err = q.open(answer, a.key)
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		a.why = "no answer"
	case err != nil:
		a.why = err.Error()
	case got.Epoch != x.epoch:
		a.why = "it has another roster"
	default:
		delete(x.open, site)
		x.answers = append(x.answers, got)
	}
}

// missing says in words who has not answered; "" if all have.
func (x *exchange) missing() string {
	var all []string
	for _, site := range slices.Sorted(maps.Keys(x.open)) {
		all = append(all, fmt.Sprintf("%s: %s", site, x.open[site].why))
	}
	return joined(all)
}
