package watch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dicomesh/dicomesh/dedup"
)

// ended is a context that ends when a test is done with its watcher. (The test's own ends too late: outside of its bubble.)
type ended struct {
	context.Context
	stop <-chan struct{}
}

func (e ended) Done() <-chan struct{} { return e.stop }
func (e ended) Err() error {
	select {
	case <-e.stop:
		return context.Canceled
	default:
		return nil
	}
}

// TestPausingWriter: a file whose writer pauses for 2 s again and again, twice as long as Quiet, is never told of as complete before it is.
func TestPausingWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.told.check = func(study dedup.UID, why Why) {
			if len(w.holds(study)) == 0 {
				t.Errorf("%s was touched (%s) while its only file was torn", study, why)
			}
		}
		w.run(func() {
			for range 10 {
				w.write(uid("1.1"), "slow.gz", false)
				w.pass(2 * time.Second)
				if got := w.w.Unfinished(uid("1.1")); len(got) != 1 || !strings.HasSuffix(got[0], "slow.gz") {
					t.Fatalf("unfinished is %v", got)
				}
			}
			w.write(uid("1.1"), "slow.gz", true)
			w.pass(3 * time.Second)
			if got := w.told.of("1.1"); !slices.Equal(got, []Why{Appeared}) {
				t.Errorf("3 s after its end the study was touched: %v", got)
			}
			if got, s := w.w.Unfinished(uid("1.1")), w.w.Status(); len(got) > 0 || s.Unfinished > 0 {
				t.Errorf("still unfinished: %v, %+v", got, s)
			}
		})
	})
}

// TestTornBesideWhole: an unfinished file holds back no other one's news, and is itself told of when it is complete.
func TestTornBesideWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.run(func() {
			w.write(uid("1.1"), "torn.gz", false)
			w.pass(10 * time.Second)
			w.write(uid("1.1"), "whole.gz", true)
			w.pass(3 * time.Second)
			if got := w.told.of("1.1"); !slices.Equal(got, []Why{Appeared}) {
				t.Errorf("touched: %v", got)
			}
			w.deafen(true) // nobody says that the rest has come
			w.write(uid("1.1"), "torn.gz", true)
			w.pass(2 * time.Minute)
			if got := w.told.of("1.1"); !slices.Equal(got, []Why{Appeared, Appeared}) {
				t.Errorf("touched: %v", got)
			}
		})
	})
}

func (w *world) busy() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.worked
}

func (w *world) deafen(deaf bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deaf = deaf
}

// TestTorn: a file that stays torn is told of as that, once; if it is mended after all, as new.
func TestTorn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.run(func() {
			w.write(uid("1.1"), "torn.gz", false)
			w.pass(9 * time.Minute)
			if got := w.told.of("1.1"); len(got) > 0 {
				t.Errorf("touched after 9 minutes: %v", got)
			}
			w.pass(time.Hour)
			if got := w.told.of("1.1"); !slices.Equal(got, []Why{Torn}) {
				t.Errorf("touched: %v", got)
			}
			w.write(uid("1.1"), "torn.gz", true)
			w.pass(3 * time.Second)
			if got := w.told.of("1.1"); !slices.Equal(got, []Why{Torn, Appeared}) {
				t.Errorf("touched: %v", got)
			}
		})
	})
}

// TestFirst: what is there at start is told of once, unless it is only a torn file.
func TestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.write(uid("1.1"), "old.gz", true)
		w.write(uid("1.2"), "torn.gz", false)
		w.write(uid("1.3"), "old.gz", false) // as old as that: whoever looks finds out
		w.studies[uid("1.3")]["studies/1.3/deduplicated/old.gz"].modified = time.Now().Add(-time.Hour)
		w.run(func() {
			w.pass(5 * time.Second)
			for study, want := range map[string][]Why{"1.1": {First}, "1.2": nil, "1.3": {First}} {
				if got := w.told.of(study); !slices.Equal(got, want) {
					t.Errorf("%s was touched: %v", study, got)
				}
			}
			w.write(uid("1.2"), "torn.gz", true)
			w.pass(5 * time.Second)
			if got := w.told.of("1.2"); !slices.Equal(got, []Why{First}) {
				t.Errorf("touched: %v", got)
			}
		})
	})
}

// TestManyCold: among 100,000 studies, of which 4,096 are watched, a list that nobody tells of is found within 10 minutes, and background work leaves
// nine tenths of the time to others.
func TestManyCold(t *testing.T) {
	t.Parallel()
	const studies = 100_000
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.Deep = 1 << 30 }) // hints alone have to do
		for i := range studies {
			w.write(uid(fmt.Sprintf("1.2.%d", i)), "old.gz", true)
			w.inode = 0
		}
		w.pass(time.Hour)
		w.run(func() {
			for w.w.Status().Touches < studies {
				w.pass(10 * time.Second)
			}
			w.pass(5 * time.Minute)
			now := w.w.Status()
			if now.Hot != 4096 || now.Cold != studies-4096 || now.Watches != 2+2*4096 || now.Cycles == 0 {
				t.Errorf("%+v", now)
			}
			const cold = "1.2.50001"
			worked, asked := w.busy(), time.Now()
			w.deafen(true)
			w.write(uid(cold), "foreign.gz", true)
			w.deafen(false)
			w.pass(10 * time.Minute)
			if got := w.told.of(cold); !slices.Contains(got, Appeared) {
				t.Fatalf("10 minutes later %s was touched: %v", cold, got)
			}
			t.Logf("found after %v", w.told.when[uid(cold)].Sub(asked).Round(time.Second))
			if share := float64(w.busy()-worked) / float64(10*time.Minute); share > 0.1 {
				t.Errorf("background work took %.0f %% of the time", 100*share)
			}
			t.Logf("%+v", w.w.Status())
		})
	})
}

// TestBackgroundYields: a disk on which a cycle cannot be done in time is not worked harder for it.
func TestBackgroundYields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.perLook, w.perHint = 100*time.Millisecond, 100*time.Millisecond
		for i := range 2000 {
			w.write(uid(fmt.Sprintf("1.2.%d", i)), "old.gz", true)
		}
		w.pass(time.Hour)
		w.run(func() {
			w.pass(10 * time.Minute)
			worked := w.busy()
			w.pass(2 * time.Hour)
			if share := float64(w.busy()-worked) / float64(2*time.Hour); share > 0.11 {
				t.Errorf("background work took %.0f %% of the time", 100*share)
			}
			if s := w.w.Status(); s.Cycles == 0 || s.CycleTook < 30*time.Minute {
				t.Errorf("%+v", s)
			}
			// News do not wait for any of that.
			w.write(uid("1.2.77"), "new.gz", true)
			w.pass(15 * time.Second)
			if got := w.told.of("1.2.77"); !slices.Contains(got, Appeared) {
				t.Errorf("touched: %v", got)
			}
		})
	})
}

// TestExpect: whoever waits for something is called often at first, rarer later, often again after news, and no more when it is there.
func TestExpect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.write(uid("1.1"), "list.gz", true)
		w.run(func() {
			w.pass(5 * time.Second)
			w.told.forget()
			calls := func() int { return len(w.told.of("1.1")) }
			w.w.Expect(uid("1.1"))
			w.pass(3 * time.Second)
			w.w.Expect(uid("1.1")) // again, as after each look; that changes nothing
			w.pass(time.Minute)
			if n := calls(); n < 4 || n > 5 { // after 2, 6, 14, 30, 62 s
				t.Errorf("%d calls in the first minute", n)
			}
			w.pass(time.Hour)
			before := calls()
			w.pass(time.Hour)
			if n := calls() - before; n < 11 || n > 13 {
				t.Errorf("%d calls in an hour, later", n)
			}
			w.write(uid("1.1"), "more.gz", true)
			w.pass(20 * time.Second)
			if n := calls() - before; n < 15 {
				t.Errorf("no more calls after news: %d", n)
			}
			w.w.Enough(uid("1.1"))
			w.pass(time.Second)
			before = calls()
			w.pass(time.Hour)
			if n := calls() - before; n > 0 || w.w.Status().Expected > 0 {
				t.Errorf("%d calls for what nobody waits for; %+v", n, w.w.Status())
			}
		})
	})
}

// TestLimits: the kernel grants fewer watches than wanted, then none, then no queue. Nothing is missed, and it is said.
func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.Hot = 100 })
		w.granted = 60
		for i := range 200 {
			w.write(uid(fmt.Sprintf("1.2.%d", i)), "old.gz", true)
		}
		w.run(func() {
			w.pass(time.Minute)
			s := w.w.Status()
			if !strings.Contains(s.Limited, "max_user_watches") || s.Hot < 10 || s.Hot > 30 || s.Watches > 60 || s.Rescans.Limit == 0 {
				t.Errorf("%+v", s)
			}
			all := func(name string, within time.Duration) {
				t.Helper()
				w.told.forget()
				for i := range 200 {
					w.write(uid(fmt.Sprintf("1.2.%d", i)), name, true)
				}
				w.pass(within)
				if n := w.told.count(Appeared); n != 200 {
					t.Errorf("%s: %d of 200 studies were touched; %+v", name, n, w.w.Status())
				}
			}
			all("limited.gz", 6*time.Minute)

			w.mu.Lock()
			w.refuse = unix.EMFILE
			w.mu.Unlock()
			w.w.ears.mu.Lock()
			w.w.ears.heard.folders = true // whatever it was, the watcher begins anew
			w.w.ears.mu.Unlock()
			w.pass(time.Minute)
			if s := w.w.Status(); !strings.Contains(s.Limited, "max_user_instances") || s.Watches != 0 {
				t.Errorf("%+v", s)
			}
			all("blind.gz", 6*time.Minute)
			w.write(uid("1.9"), "new.gz", true)
			w.pass(time.Minute)
			if got := w.told.of("1.9"); !slices.Contains(got, Appeared) {
				t.Errorf("a new study was touched: %v", got)
			}

			w.mu.Lock()
			w.refuse, w.granted = nil, 1000
			w.mu.Unlock()
			w.pass(3 * time.Hour)
			if s := w.w.Status(); s.Limited != "" || s.Watches < 100 {
				t.Errorf("%+v", s)
			}
			all("granted.gz", 6*time.Minute)
		})
	})
}

// TestFailingDisk: a study that cannot be looked at is looked at again and again, with nobody touched, and found when it can.
func TestFailingDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.Cycle = time.Hour })
		set := func(err error) { w.mu.Lock(); w.fails = err; w.mu.Unlock() }
		w.run(func() {
			set(errors.New("input/output error"))
			w.write(uid("1.1"), "new.gz", true)
			w.pass(5 * time.Minute)
			if s := w.w.Status(); s.Failing != 1 || s.Touches > 0 || s.Looks > 15 {
				t.Errorf("%+v", s)
			}
			set(nil)
			w.pass(time.Minute + 5*time.Second)
			if s := w.w.Status(); s.Failing != 0 || !slices.Equal(w.told.of("1.1"), []Why{Appeared}) {
				t.Errorf("%v, %+v", w.told.of("1.1"), s)
			}
		})
	})
}

// TestAway: while the tree is not there nobody is touched, whatever looks at it say; afterwards all is found that came meanwhile.
func TestAway(t *testing.T) {
	for what, away := range map[string]func(*world, bool){
		"error": func(w *world, away bool) {
			w.lost = nil
			if away {
				w.lost = errors.New("stale file handle")
			}
		},
		"empty": func(w *world, away bool) { w.empty = away },
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				set := func(gone bool) { w.mu.Lock(); away(w, gone); w.mu.Unlock() }
				for i := range 50 {
					w.write(uid(fmt.Sprintf("1.%d", i)), "old.gz", true)
				}
				w.run(func() {
					w.pass(time.Minute + 2*time.Second) // between two looks at the root
					w.told.forget()
					w.write(uid("1.1"), "in flight.gz", true) // looked at when the tree is gone, and nobody knows it yet
					set(true)
					w.w.Expect(uid("1.2"))
					w.pass(time.Hour)
					if s := w.w.Status(); s.Unreachable.IsZero() || s.Reason == "" || time.Since(s.Unreachable) < 50*time.Minute {
						t.Errorf("%+v", s)
					}
					if !strings.Contains(w.log.String(), "archive is not there") {
						t.Errorf("log: %s", w.log.String())
					}
					if len(w.told.said) > 0 {
						t.Errorf("touched: %v", w.told.said)
					}
					w.deafen(true)
					w.write(uid("1.3"), "meanwhile.gz", true)
					w.remove(uid("1.4"), "old.gz")
					w.deafen(false)
					set(false)
					w.pass(time.Minute)
					for study, want := range map[string]Why{"1.1": Appeared, "1.2": Expected, "1.3": Appeared, "1.4": Vanished} {
						if got := w.told.of(study); !slices.Contains(got, want) {
							t.Errorf("%s was touched: %v", study, got)
						}
					}
					if s := w.w.Status(); !s.Unreachable.IsZero() || s.Rescans.Returned != 1 || w.told.count(Vanished) != 1 {
						t.Errorf("%+v, %v", s, w.told.said)
					}
				})
			})
		})
	}
}

// TestAnything does anything to a tree, loses notifications and the tree itself, and holds that whoever looked when told has seen every whole file in the
// end, and was never told of studies that never had one.
func TestAnything(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { anything(t, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func anything(t *testing.T, r *rand.Rand) {
	w := newWorld(t, func(c *Config) { c.Hot, c.Cycle = 5, time.Minute })
	w.granted = 8 + r.IntN(20)
	seen := make(map[dedup.UID]map[string]thing)
	w.told.check = func(study dedup.UID, why Why) {
		seen[study] = w.holds(study)
		if strings.HasPrefix(study.String(), "9.") && why != Torn && why != Vanished {
			t.Errorf("%s never had a whole file and was touched: %s", study, why)
		}
	}
	some := func() dedup.UID { return uid(fmt.Sprintf("1.%d", r.IntN(15))) }
	file := func() string { return fmt.Sprintf("%d.gz", r.IntN(6)) }
	act := func() {
		switch r.IntN(16) {
		case 0, 1, 2, 3:
			w.write(some(), file(), r.IntN(3) > 0)
		case 4:
			w.write(uid(fmt.Sprintf("9.%d", r.IntN(3))), file(), false)
		case 5, 6:
			w.replace(some(), file())
		case 7:
			w.remove(some(), file())
		case 8:
			w.removeStudy(some())
		case 9, 10:
			w.deafen(r.IntN(2) == 0)
		case 11:
			w.mu.Lock()
			w.empty = r.IntN(3) == 0
			w.mu.Unlock()
		case 12:
			w.mu.Lock()
			w.fails, w.lost = nil, nil
			if r.IntN(3) == 0 {
				w.fails = errors.New("input/output error")
			} else if r.IntN(4) == 0 {
				w.lost = errors.New("stale file handle")
			}
			w.mu.Unlock()
		case 13:
			w.mu.Lock()
			w.granted = r.IntN(30)
			if w.events != nil && w.watched != nil {
				w.overflow()
			}
			w.mu.Unlock()
		case 14:
			w.w.Heat(some())
		case 15:
			w.pass(time.Duration(r.IntN(200)) * time.Second)
		}
	}
	w.run(func() {
		for range 400 {
			act()
			w.pass(time.Duration(r.IntN(1500)) * time.Millisecond)
		}
		w.mu.Lock()
		w.empty, w.fails, w.lost, w.deaf = false, nil, nil, false
		w.mu.Unlock()
		w.pass(time.Hour)
		for i := range 15 {
			study := uid(fmt.Sprintf("1.%d", i))
			for p, f := range w.holds(study) {
				if seen[study][p] != f {
					t.Errorf("%s: nobody was told of %s", study, p)
				}
			}
			for p := range seen[study] {
				if _, there := w.holds(study)[p]; !there && w.holds(study) != nil && len(w.studies) > 0 {
					t.Errorf("%s: nobody was told that %s is gone", study, p)
				}
			}
		}
		if s := w.w.Status(); s.Unfinished > 0 || !s.Unreachable.IsZero() && len(w.studies) > 0 {
			t.Errorf("%+v", s)
		}
	})
}
