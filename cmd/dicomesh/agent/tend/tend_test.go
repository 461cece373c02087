package tend

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/combine"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func uid(t *testing.T, text string) dedup.UID {
	t.Helper()
	u, err := dedup.ParseUID(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// site is an archive by hand. Its studies have instance files, which become one list, and go when they have been accounted for so long.
type site struct {
	mu       sync.Mutex // guards all: a test changes it while the Tender runs
	t        *testing.T
	began    time.Time
	log      []string
	files    map[dedup.UID]int
	listed   map[dedup.UID]time.Time // when their list was made
	waiting  []dedup.UID
	busy     map[dedup.UID]bool // not settled any more
	split    bool
	fail     error
	used     int
	counts   int
	last     time.Time // count
	resting  []dedup.UID
	unlisted error // of a study that is looked for at the start before the others
	tender   *Tender
}

const grace = 10 * time.Minute

func (s *site) say(format string, args ...any) {
	s.log = append(s.log, fmt.Sprintf("%v ", time.Since(s.began).Round(time.Second))+fmt.Sprintf(format, args...))
}

// Study implements Combiner.
func (s *site) Study(_ context.Context, uid dedup.UID) (combine.Combination, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[uid] {
		s.t.Errorf("%s is worked on, and not settled", uid)
	}
	if s.fail != nil {
		s.say("fail %s", uid)
		return combine.Combination{}, s.fail
	}
	if _, is := s.listed[uid]; is || s.files[uid] == 0 {
		return combine.Combination{Reason: "one list is all there is"}, nil
	}
	s.say("combine %s", uid)
	s.listed[uid] = time.Now()
	return combine.Combination{List: dedup.FileID{Ref: dedup.Ref{Class: dedup.List, Name: "l"}}, Inputs: make([]dedup.FileID, s.files[uid]), Records: s.files[uid]}, nil
}

// Collect implements Combiner.
func (s *site) Collect(_ context.Context, uid dedup.UID) (c combine.Collection, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := grace - time.Since(s.listed[uid])
	switch {
	case s.files[uid] == 0:
	case left > 0:
		s.say("wait %s", uid)
		c.Kept = []combine.Kept{{Reason: "young", Left: left}}
	case s.used > 0:
		s.used--
		s.say("used %s", uid)
		c.Kept = []combine.Kept{{Reason: "somebody reads it"}}
	default:
		s.say("collect %s", uid)
		c.Remove = make([]combine.Removal, s.files[uid])
		s.files[uid] = 0
	}
	return c, nil
}

// Waiting implements Combiner.
func (s *site) Waiting() ([]dedup.UID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting, nil
}

// set changes the site while the Tender runs.
func (s *site) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// Count implements Combiner.
func (s *site) Count() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.last.IsZero() && time.Since(s.last) > 10*time.Minute {
		s.t.Errorf("running time was not counted for %v", time.Since(s.last))
	}
	s.counts, s.last = s.counts+1, time.Now()
	return nil
}

// tended runs a Tender over the site for so long.
func (s *site) tended(t *testing.T, d time.Duration, meanwhile func()) Status {
	t.Helper()
	s.t, s.began = t, time.Now()
	s.listed, s.busy = map[dedup.UID]time.Time{}, map[dedup.UID]bool{}
	s.tender = New(Config{Combiner: s, After: time.Minute, Log: slog.New(slog.DiscardHandler),
		Resting: func(context.Context) iter.Seq2[dedup.UID, error] {
			return func(yield func(dedup.UID, error) bool) {
				if s.unlisted != nil && !yield(dedup.UID{}, s.unlisted) {
					return
				}
				for _, u := range s.resting {
					if !yield(u, nil) {
						return
					}
				}
			}
		},
		Idle: func(_ context.Context, uid dedup.UID) (rest Rest, err error) {
			s.set(func() {
				switch {
				case s.split:
					rest = NotNow
				case !s.busy[uid]:
					rest = Idle
				}
			})
			return rest, nil
		},
		Changed: func(uid dedup.UID) { s.set(func() { s.say("changed %s", uid) }) }})
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	ended := make(chan error)
	go func() { ended <- s.tender.Run(ctx) }()
	synctest.Wait()
	if meanwhile != nil {
		meanwhile()
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	return s.tender.Status()
}

func (s *site) holds(want ...string) {
	s.t.Helper()
	if !slices.Equal(s.log, want) {
		s.t.Errorf("happened:\n%s\nwant:\n%s", strings.Join(s.log, "\n"), strings.Join(want, "\n"))
	}
}

// TestTender holds the whole way of a study: a minute after it settled its files become one list, and when it has settled again and time has passed they go.
func TestTender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := uid(t, "1.2")
		s := site{files: map[dedup.UID]int{a: 5}}
		got := s.tended(t, time.Hour, func() {
			s.tender.Settled(a)
			<-time.After(2 * time.Minute)
			s.tender.Settled(a)
		})
		s.holds("1m0s combine 1.2", "1m0s changed 1.2", "3m0s wait 1.2", "11m1s collect 1.2", "11m1s changed 1.2")
		if got != (Status{Combined: 1, Inputs: 5, Collected: 5}) {
			t.Errorf("%+v", got)
		}
		if s.counts < 18 {
			t.Errorf("running time was counted %d times in an hour", s.counts)
		}
	})
}

// TestTenderLeavesAlone holds that a study that changes, or does not settle again, is not touched; and that each time it settles the wait begins anew.
func TestTenderLeavesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := uid(t, "1.2"), uid(t, "1.3")
		s := site{files: map[dedup.UID]int{a: 5, b: 5}}
		s.tended(t, 3*time.Hour, func() {
			s.tender.Settled(a)
			s.set(func() { s.busy[a] = true })
			for range 10 {
				s.tender.Settled(b)
				<-time.After(50 * time.Second)
			}
		})
		s.holds("8m30s combine 1.3", "8m30s changed 1.3")
	})
}

// TestTenderWaits holds that a study is not forgotten that had settled and might not be worked on when its time came: nobody says anew that it is settled.
func TestTenderWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := uid(t, "1.2")
		s := site{files: map[dedup.UID]int{a: 5}, split: true}
		s.tended(t, time.Hour, func() {
			s.tender.Settled(a)
			<-time.After(10*time.Minute + 30*time.Second)
			s.set(func() { s.split = false })
		})
		s.holds("11m0s combine 1.2", "11m0s changed 1.2")
	})
}

// TestTenderBegins holds that what came to rest, or waited, before this process began is not forgotten, and what waits is found again every hour.
func TestTenderBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := uid(t, "1.2"), uid(t, "1.3")
		s := site{files: map[dedup.UID]int{a: 5, b: 2}, resting: []dedup.UID{a}, unlisted: errors.New("its folder cannot be read")}
		s.tended(t, 2*time.Hour, func() {
			<-time.After(30 * time.Minute)
			s.set(func() { s.waiting, s.listed[b] = []dedup.UID{b}, time.Now().Add(-time.Hour) })
		})
		s.holds("1m0s combine 1.2", "1m0s changed 1.2", "1h1m0s collect 1.3", "1h1m0s changed 1.3")
	})
}

// TestTenderFails holds that a study that cannot be combined is tried again, more and more seldom, that one failure keeps no other study, and that what is in use goes later.
func TestTenderFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := uid(t, "1.2"), uid(t, "1.3")
		s := site{files: map[dedup.UID]int{a: 5, b: 2}, fail: errors.New("no room"), used: 1}
		var failed Status
		got := s.tended(t, 3*time.Hour, func() {
			s.tender.Settled(a)
			<-time.After(5 * time.Minute)
			failed = s.tender.Status()
			s.set(func() { s.fail, s.listed[b] = nil, time.Now().Add(-time.Hour) })
			s.tender.Settled(b)
		})
		s.holds("1m0s fail 1.2", "2m0s fail 1.2", "4m0s fail 1.2", "6m0s used 1.3", "7m0s collect 1.3", "7m0s changed 1.3", "8m0s combine 1.2", "8m0s changed 1.2")
		if failed.Failures != 3 || failed.Reason != "combine or collect: no room" || got.Reason != "" || got.Failures != 3 {
			t.Errorf("%+v, then %+v", failed, got)
		}
	})
}
