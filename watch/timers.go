package watch

import (
	"container/heap"
	"time"
)

// timers are studies by time. A study whose time has changed stays in under the old one until that has come: whoever takes it says whether it holds still.
type timers struct{ heap timerHeap }

type timer struct {
	at    time.Time
	study *study
}

func (t *timers) add(at time.Time, s *study) { heap.Push(&t.heap, timer{at, s}) }

// take is the next study whose time has come, nil if there is none.
func (t *timers) take(now time.Time, holds func(*study, time.Time) bool) *study {
	if at, ok := t.next(holds); !ok || at.After(now) {
		return nil
	}
	return heap.Pop(&t.heap).(timer).study
}

// next is when the next study's time comes.
func (t *timers) next(holds func(*study, time.Time) bool) (time.Time, bool) {
	for len(t.heap) > 0 {
		if first := t.heap[0]; holds(first.study, first.at) {
			return first.at, true
		}
		heap.Pop(&t.heap)
	}
	return time.Time{}, false
}

type timerHeap []timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h timerHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *timerHeap) Push(x any)        { *h = append(*h, x.(timer)) }
func (h *timerHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = timer{}
	*h = old[:len(old)-1]
	return last
}
