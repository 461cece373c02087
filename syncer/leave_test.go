package syncer

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// leave is one who asks for leave.
type leave struct {
	bytes int64
	err   error
}

// ask has one ask for leave, and returns when it has it, or waits.
func ask(ctx context.Context, l *lanes, urgency Lane, least int64) *leave {
	var a leave
	go func() { a.bytes, a.err = l.acquire(ctx, "b", urgency, least) }()
	synctest.Wait()
	return &a
}

// Who does not want it any more gets no leave, also where nobody has to wait, and keeps it from nobody.
func TestLanesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLanes(64 << 20)
		ctx, stop := context.WithCancel(t.Context())
		first := ask(t.Context(), l, Backfill, 100<<10)
		large := ask(ctx, l, Fresh, 200<<10)
		behind := ask(t.Context(), l, Backfill, 32<<10)
		if first.bytes == 0 || large.bytes > 0 || behind.bytes > 0 {
			t.Fatalf("%v, %v and %v", first, large, behind)
		}
		stop()
		synctest.Wait()
		if !errors.Is(large.err, context.Canceled) || behind.bytes == 0 {
			t.Errorf("%v is over, and %v behind it waits", large, behind)
		}
		l.release("b", Backfill, first.bytes, first.bytes)
		l.release("b", Backfill, behind.bytes, behind.bytes)
		if late := ask(ctx, l, Fresh, 32<<10); !errors.Is(late.err, context.Canceled) {
			t.Errorf("leave for %d bytes, %v", late.bytes, late.err)
		}
		if s := l.lane("b"); s.underway != 0 || s.active != [Backfill + 1]int{} {
			t.Errorf("%d bytes are under way, %v", s.underway, s.active)
		}
	})
}

// Leave that is given at the moment at which nobody wants it any more is given back.
func TestLanesOverMeanwhile(t *testing.T) {
	l := newLanes(64 << 20)
	w := &waiter{32 << 10, make(chan int64, 1)}
	l.mu.Lock()
	s := l.lane("b")
	s.waiting[Fresh] = append(s.waiting[Fresh], w)
	l.serve(s)
	given := s.underway
	l.mu.Unlock()
	l.withdraw(s, Fresh, w)
	if given == 0 || s.underway != 0 || s.active[Fresh] != 0 {
		t.Errorf("of %d bytes %d are under way of nobody", given, s.underway)
	}
}

// A lane whose more urgent ones never rest gets a request through every few seconds, each of them, and no more.
func TestLanesTrickle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lasts = 5 * time.Minute
		ctx, stop := context.WithTimeout(t.Context(), lasts)
		defer stop()
		l, p := newLanes(64<<20), &testPath{takes: 40 * time.Millisecond, carry: 1e6}
		var all sync.WaitGroup
		var mu sync.Mutex
		var came [Backfill + 1]int
		for urgency := Asked; urgency <= Backfill; urgency++ {
			for range 8 {
				all.Go(func() {
					for bytes, err := l.acquire(ctx, "b", urgency, leastRequest); err == nil; bytes, err = l.acquire(ctx, "b", urgency, leastRequest) {
						<-time.After(p.answer(bytes))
						l.release("b", urgency, bytes, bytes)
						mu.Lock()
						came[urgency]++
						mu.Unlock()
					}
				})
			}
		}
		all.Wait()
		for urgency := Fresh; urgency <= Backfill; urgency++ {
			if n := came[urgency]; n < 80 || n > 110 {
				t.Errorf("%d requests of lane %d in %v, beside %d of viewers", n, urgency, lasts, came[Asked])
			}
		}
	})
}

// Within a lane nobody is passed over, also who asks for much: leave comes in the order in which it was asked for.
func TestLanesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLanes(64 << 20)
		first := ask(t.Context(), l, Fresh, 100<<10)
		var order, want []int64
		for _, kib := range []int64{240, 220, 200, 180, 160, 100} { // one at a time, but for the last: for that there is room
			want = append(want, kib)
			go func() {
				bytes, err := l.acquire(t.Context(), "b", Fresh, kib<<10)
				if err != nil {
					return
				}
				order = append(order, kib)
				<-time.After(time.Second)
				l.release("b", Fresh, bytes, bytes)
			}()
			synctest.Wait()
		}
		l.release("b", Fresh, first.bytes, first.bytes)
		<-time.After(time.Minute)
		if !slices.Equal(order, want) {
			t.Errorf("leave was given in the order %v", order)
		}
	})
}
