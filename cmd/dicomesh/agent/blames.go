package agent

import (
	"sync"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
)

// blames are the sites that sent what they should not have, or did not give what they had offered.
type blames struct {
	mu sync.Mutex // guards what follows
	of map[string]blamed
}

// blamed is one of them, and what it did last.
type blamed struct {
	times  int
	last   time.Time
	reason string
}

// blamedFor is how long a site is marked after what it did last: long enough to be seen by who looks once a day. It is kept in memory: an agent that starts marks nobody.
const blamedFor = 24 * time.Hour

// add marks a site. Of one whose mark has ended it is counted anew.
func (b *blames) add(site, reason string, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.of == nil {
		b.of = map[string]blamed{}
	}
	was := b.of[site]
	if now.Sub(was.last) > blamedFor {
		was.times = 0
	}
	b.of[site] = blamed{was.times + 1, now, reason}
}

// mark is what is to be said of a site; nil if nothing is. suspect says that its pulls still go wrong.
func (b *blames) mark(site string, suspect bool, now time.Time) *admin.Mark {
	b.mu.Lock()
	defer b.mu.Unlock()
	was, marked := b.of[site]
	if !marked || now.Sub(was.last) > blamedFor {
		delete(b.of, site)
		return nil
	}
	return &admin.Mark{Times: was.times, Seconds: now.Sub(was.last).Seconds(), Until: was.last.Add(blamedFor).Round(0).UTC().Truncate(time.Second), Reason: plain(was.reason), AskedLast: suspect}
}
