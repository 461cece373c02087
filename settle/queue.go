package settle

import (
	"container/heap"
	"time"
)

// queue is the studies that wait for one kind of worker: those that were touched while the loop runs, and those that a start found unfinished, of which there may be
// a hundred thousand. Of every four taken up one is of the latter, so neither starves the other.
type queue struct {
	hot, cold []ticket
	taken     int
}

// ticket is a study's place. It holds while its number is the study's.
type ticket struct {
	study  *study
	number uint32
}

func (q *queue) push(s *study) {
	lane := &q.hot
	if s.cold {
		lane = &q.cold
	}
	*lane = append(*lane, ticket{s, s.ticket})
}

// peek returns the study that is next, and leaves it there; nil if none waits.
func (q *queue) peek() *study {
	prune(&q.hot)
	prune(&q.cold)
	switch {
	case len(q.hot) == 0 && len(q.cold) == 0:
		return nil
	case len(q.hot) == 0, len(q.cold) > 0 && q.taken%4 == 3:
		return q.cold[0].study
	}
	return q.hot[0].study
}

// take removes what peek returned.
func (q *queue) take(s *study) {
	q.taken++
	s.ticket++
	s.queued = false
}

// prune removes tickets that do not hold any more from the front.
func prune(lane *[]ticket) {
	for len(*lane) > 0 && ((*lane)[0].number != (*lane)[0].study.ticket || !(*lane)[0].study.queued) {
		(*lane)[0] = ticket{}
		*lane = (*lane)[1:]
	}
}

// alarms are the times at which ladders have to be read again. A study that is put off keeps its place, and is put off when that comes: touches are many.
type alarms []alarm

type alarm struct {
	at    time.Duration
	study *study
}

func (a alarms) Len() int           { return len(a) }
func (a alarms) Less(i, j int) bool { return a[i].at < a[j].at }
func (a alarms) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *alarms) Push(x any)        { *a = append(*a, x.(alarm)) }
func (a *alarms) Pop() any {
	last := (*a)[len(*a)-1]
	(*a)[len(*a)-1] = alarm{}
	*a = (*a)[:len(*a)-1]
	return last
}

// set makes sure that a study is found at its wake.
func (a *alarms) set(s *study) {
	if s.wake != 0 && (s.alarm == 0 || s.wake < s.alarm) {
		s.alarm = s.wake
		heap.Push(a, alarm{s.wake, s})
	}
}

// due removes and returns a study whose wake is over, nil if there is none yet.
func (a *alarms) due(now time.Duration) *study {
	for len(*a) > 0 && (*a)[0].at <= now {
		rang := heap.Pop(a).(alarm)
		s := rang.study
		if rang.at != s.alarm { // one that was set for sooner has rung since
			continue
		}
		if s.alarm = 0; s.dropped || s.wake == 0 {
			continue
		}
		if s.wake <= now {
			return s
		}
		a.set(s)
	}
	return nil
}
