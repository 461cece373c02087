package agent

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dicomesh/dicomesh/syncer/link"
)

// TestPacer holds that many streams of files together go at the limit and no faster, each link by itself; that what is said about studies goes first and is paid for; and that a stream
// that is over does not keep the others waiting.
func TestPacer(t *testing.T) {
	const limit, part, lasts = 1_000_000, 16 << 10, 30 * time.Second
	for _, talks := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			pace := newPacer(limit)
			ctx, stop := context.WithTimeout(t.Context(), lasts)
			defer stop()
			var all sync.WaitGroup
			var mu sync.Mutex
			sent := map[string]int{}
			send := func(ctx context.Context, site string, kind link.Kind, n int) {
				for pace(ctx, site, kind, n) == nil {
					mu.Lock()
					sent[site] += n
					mu.Unlock()
					if kind != kindFetch {
						<-time.After(100 * time.Millisecond)
					}
				}
			}
			for range 32 {
				all.Go(func() { send(ctx, "b", kindFetch, part) })
				all.Go(func() { send(ctx, "c", kindFetch, part) })
				over, end := context.WithTimeout(ctx, 5*time.Second)
				defer end()
				all.Go(func() { send(over, "b", kindFetch, part) })
			}
			if talks {
				all.Go(func() { send(ctx, "b", kindQuery, 4<<10) })
			}
			var longest time.Duration
			for ctx.Err() == nil {
				<-time.After(time.Second)
				asked := time.Now()
				if err := pace(t.Context(), "b", kindQuery, 100); err != nil {
					t.Error(err)
				}
				longest = max(longest, time.Since(asked))
			}
			all.Wait()
			for site, n := range sent {
				if got := headers * float64(n) / lasts.Seconds(); got < 0.98*limit || got > 1.02*limit {
					t.Errorf("%s was sent %.0f bytes a second, the limit is %d", site, got, limit)
				}
			}
			if longest > 50*time.Millisecond {
				t.Errorf("a question waits for %v behind files", longest)
			}
		})
	}
}

// TestPacerQuestions holds that questions alone do not go beyond the limit for ever, that an idle link saves up little, and that no limit is none.
func TestPacerQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit, lasts = 1_000_000, 20 * time.Second
		pace := newPacer(limit)
		if err := pace(t.Context(), "b", kindFetch, 1); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Hour)
		began, sent := time.Now(), 0
		for ; time.Since(began) < lasts; sent += 16 << 10 {
			if err := pace(t.Context(), "b", kindQuery, 16<<10); err != nil {
				t.Fatal(err)
			}
		}
		if most := limit * (lasts.Seconds() + 3); headers*float64(sent) > most {
			t.Errorf("%d bytes of answers in %v at %d a second", sent, lasts, limit)
		}
		over, stop := context.WithCancel(t.Context())
		stop()
		if err := pace(over, "b", kindFetch, 1); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
	if newPacer(0) != nil {
		t.Error("a limit of 0 is one")
	}
}
