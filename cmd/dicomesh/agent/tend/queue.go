package tend

import (
	"container/heap"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
)

// queue is which study is to be looked at when. The zero queue is empty.
type queue struct {
	waits    waits
	places   map[dedup.UID]*place
	failures map[dedup.UID]int
}

type place struct {
	uid dedup.UID
	at  time.Time
	n   int // in waits
}

// Len is how many studies wait.
func (q *queue) Len() int { return len(q.waits) }

// has reports whether a study waits.
func (q *queue) has(uid dedup.UID) bool { return q.places[uid] != nil }

// first is whoever has waited to the earliest time; there is one.
func (q *queue) first() *place { return q.waits[0] }

// put has a study wait until then, whenever it was to be before, and reports whether it is the first now.
func (q *queue) put(uid dedup.UID, at time.Time) (first bool) {
	p := q.places[uid]
	if p == nil {
		if q.places == nil {
			q.places = make(map[dedup.UID]*place)
		}
		p = &place{uid: uid, at: at}
		q.places[uid] = p
		heap.Push(&q.waits, p)
	} else {
		p.at = at
		heap.Fix(&q.waits, p.n)
	}
	return q.waits[0] == p
}

// take takes the first.
func (q *queue) take() dedup.UID {
	p := heap.Pop(&q.waits).(*place)
	delete(q.places, p.uid)
	return p.uid
}

// failed counts a failure of a study and says how long to wait.
func (q *queue) failed(uid dedup.UID) time.Duration {
	if q.failures == nil {
		q.failures = make(map[dedup.UID]int)
	}
	wait := firstRetry
	for range q.failures[uid] {
		wait = min(2*wait, longRetry)
	}
	q.failures[uid] = min(q.failures[uid]+1, 10)
	return wait
}

// well forgets the failures of a study, and reports whether no study has any now.
func (q *queue) well(uid dedup.UID) bool {
	delete(q.failures, uid)
	return len(q.failures) == 0
}

// waits implements heap.Interface, the earliest first.
type waits []*place

func (w waits) Len() int           { return len(w) }
func (w waits) Less(i, j int) bool { return w[i].at.Before(w[j].at) }
func (w waits) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].n, w[j].n = i, j
}

// Push implements heap.Interface.
func (w *waits) Push(x any) {
	p := x.(*place)
	p.n = len(*w)
	*w = append(*w, p)
}

// Pop implements heap.Interface.
func (w *waits) Pop() any {
	last := len(*w) - 1
	p := (*w)[last]
	(*w)[last] = nil
	*w = (*w)[:last]
	return p
}
