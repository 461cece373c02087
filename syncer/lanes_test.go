package syncer

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// testPath is a link in virtual time: an answer takes so long at least, and all of them together come no faster than so many bytes a second.
type testPath struct {
	takes time.Duration
	carry float64
	mu    sync.Mutex
	free  time.Time // when all that was asked for has come
}

// answer is when so many bytes that are asked for now have come.
func (p *testPath) answer(bytes int64) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.free.Before(now) {
		p.free = now
	}
	p.free = p.free.Add(time.Duration(float64(bytes) / p.carry * float64(time.Second)))
	return max(p.takes, p.free.Sub(now)+p.takes/4)
}

// drive has as many pulls as there may be ask for all that they get leave for, for a while, and returns what came in the second half, and the longest that
// was under way then for more than half of the time, in seconds of what the path carries.
func drive(t *testing.T, p *testPath, lasts time.Duration) (bytes int64, queue float64) {
	ctx, stop := context.WithTimeout(t.Context(), lasts)
	defer stop()
	l := newLanes(64 << 20)
	begin := time.Now()
	var all sync.WaitGroup
	var mu sync.Mutex
	for range 2 * atATime {
		all.Go(func() {
			for ctx.Err() == nil {
				got, err := l.acquire(ctx, "b", Fresh, leastRequest)
				if err != nil {
					return
				}
				l.heard("b", p.takes/4) // the first byte of the luckiest answer
				<-time.After(p.answer(got))
				l.release("b", Fresh, got, got)
				mu.Lock()
				if time.Since(begin) > lasts/2 {
					bytes += got
				}
				mu.Unlock()
			}
		})
	}
	var over, looks int
	for ctx.Err() == nil {
		<-time.After(50 * time.Millisecond)
		l.mu.Lock()
		if looks++; float64(l.lane("b").underway) > 0.25*p.carry {
			over++
		}
		l.mu.Unlock()
	}
	all.Wait()
	return bytes, float64(over) / float64(looks)
}

// A path that loses packets at random answers late, however little is asked of it: the more is under way the more it carries. It is not taken for a slow one.
func TestLanesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lasts = 20 * time.Second
		bytes, _ := drive(t, &testPath{takes: 200 * time.Millisecond, carry: 20e6}, lasts)
		if rate := float64(bytes) / (lasts / 2).Seconds(); rate < 15e6 {
			t.Errorf("%.1f MB/s of 20", rate/1e6)
		}
	})
}

// On a path that is slow what is under way stays little, but for the trials: what is more urgent does not wait behind it.
func TestLanesSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lasts = 5 * time.Minute
		bytes, over := drive(t, &testPath{takes: 40 * time.Millisecond, carry: 1e6}, lasts)
		if rate := float64(bytes) / (lasts / 2).Seconds(); rate < 0.9e6 {
			t.Errorf("%.2f MB/s of 1", rate/1e6)
		}
		if over > 0.15 {
			t.Errorf("more than 0.25 s is under way %.0f %% of the time", 100*over)
		}
	})
}

// A site nearby is asked for no more than keeps the link busy: what is under way is memory. Of a fast site far away more is under way.
func TestLanesNearby(t *testing.T) {
	for _, c := range []struct {
		takes       time.Duration
		least, most float64 // seconds of what the path carries
	}{{4 * time.Millisecond, 0.1, 0.2}, {100 * time.Millisecond, 0.3, 0.45}} {
		synctest.Test(t, func(t *testing.T) {
			const carry, lasts = 100e6, 10 * time.Second
			bytes, _ := drive(t, &testPath{takes: c.takes, carry: carry}, lasts)
			if rate := float64(bytes) / (lasts / 2).Seconds(); rate < 0.95*carry {
				t.Errorf("%v: %.0f MB/s of %.0f", c.takes, rate/1e6, carry/1e6)
			}
			l := newLanes(64 << 20)
			s := l.lane("b")
			s.rate, s.answer = carry, c.takes/4
			if under := float64(s.window()) / carry; under < c.least || under > c.most {
				t.Errorf("%v: %.2f s are under way", c.takes, under)
			}
			if each := s.request(); each < 512<<10 {
				t.Errorf("%v: %d bytes a request", c.takes, each)
			}
		})
	}
}

// Pieces of a file are given back in order, often several at once. That is no rate: of the last ones of them it would be gigabytes a second.
func TestLanesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLanes(64 << 20)
		var asked []int64
		for range 4 {
			got, err := l.acquire(t.Context(), "b", Fresh, leastRequest)
			if err != nil {
				t.Fatal(err)
			}
			asked = append(asked, got)
		}
		<-time.After(time.Second)
		total := int64(0)
		for _, got := range asked {
			l.release("b", Fresh, got, got)
			total += got
			<-time.After(time.Microsecond)
		}
		if rate := l.rate("b"); rate > float64(total) {
			t.Errorf("%d bytes in a second are %.0f bytes a second", total, rate)
		}
		if got, err := l.acquire(t.Context(), "b", Fresh, leastRequest); err != nil || got > 1<<20 {
			t.Errorf("%d bytes may be asked for, %v", got, err)
		}
	})
}
