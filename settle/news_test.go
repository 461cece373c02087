package settle

import (
	"context"
	"errors"
	"io/fs"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
)

// TestNews holds that a study which waits for another site goes on at the moment at which there is news of it, and not when it would have asked by itself: also where the news is of the site, and
// names no study. It is not read anew for that, and its quiet time does not begin again.
func TestNews(t *testing.T) {
	level := SiteReport{Site: "b", Leaf: leaf("a"), Complete: true, Durable: true, Incarnation: "i"}
	with := func(change func(*SiteReport)) SiteReport {
		r := level
		change(&r)
		return r
	}
	site := func(l *Loop, _ dedup.UID) { l.SiteChanged("b") }
	any := func(l *Loop, _ dedup.UID) { l.SiteChanged("") }
	study := func(l *Loop, u dedup.UID) { l.Reported(u) }
	const round, rest = 100 * time.Millisecond, time.Second + 200*time.Millisecond // to be made, verified and settled
	for name, x := range map[string]struct {
		before SiteReport
		say    func(*Loop, dedup.UID)
		took   time.Duration
	}{
		"not compared":           {SiteReport{Site: "b", Lacking: -1}, site, rest},
		"is or is not joining":   {SiteReport{Site: "b", Lacking: -1}, any, rest},
		"not heard of":           {SiteReport{Site: "x"}, site, 0},
		"away":                   {with(func(r *SiteReport) { r.Away = true }), site, 0},
		"begun anew":             {with(func(r *SiteReport) { r.Incarnation = "before" }), site, time.Second + round},
		"holds more":             {with(func(r *SiteReport) { r.Lacking = 1 }), study, rest},
		"is behind":              {with(func(r *SiteReport) { r.Leaf = leaf("b") }), study, 0},
		"is not complete":        {with(func(r *SiteReport) { r.Complete = false }), study, 0},
		"does not hold durably":  {with(func(r *SiteReport) { r.Durable = false }), study, 0},
		"not compared, by study": {SiteReport{Site: "b", Lacking: -1}, study, rest},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newArchive(t)
				a.gate.Sites, a.answers = []string{"b"}, map[string]string{"b": "i"}
				var report atomic.Pointer[SiteReport]
				report.Store(&x.before)
				a.others = func(dedup.UID) []SiteReport { return []SiteReport{*report.Load()} }
				l, stop := a.run(a.config())
				defer stop()
				u := a.put("1.2.3", "a")
				l.Touch(u)
				<-time.After(47 * time.Second) // it has asked by itself a moment ago, or two
				synctest.Wait()
				looks := a.looks
				report.Store(&level)
				x.say(l, u)
				took := a.settled(l, 1)
				if synctest.Wait(); took != x.took || a.looks != looks {
					t.Errorf("settled after %v, and %d looks", took, a.looks-looks)
				}
			})
		})
	}
}

// TestNewsOfMore holds that a settled study, of which a site was found to hold more, is settled again as soon as that is known to be nothing.
func TestNewsOfMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArchive(t)
		a.gate.Sites, a.answers = []string{"b"}, map[string]string{"b": "i"}
		var more atomic.Int32
		a.others = func(dedup.UID) []SiteReport {
			return []SiteReport{{Site: "b", Leaf: leaf("a"), Complete: true, Durable: true, Incarnation: "i", Lacking: int(more.Load())}}
		}
		l, stop := a.run(a.config())
		defer stop()
		u := a.put("1.2.3", "a")
		l.Touch(u)
		a.settled(l, 1)
		<-time.After(time.Minute)
		more.Store(1)
		l.Touch(u)
		<-time.After(47 * time.Second)
		if s := l.Status().Totals; s.Syncing != 1 {
			t.Fatalf("%+v", s)
		}
		more.Store(0)
		l.Reported(u)
		if took := a.settled(l, 1); took > 0 {
			t.Errorf("settled again after %v", took)
		}
	})
}

// TestNewsIsForWhoWaits holds what news costs: of a site it is read for the studies that wait for that, once, and not for those that wait for the site to fetch them, of which there are very many
// while one is brought level; of a study that is at rest, or at work, it costs nothing.
func TestNewsIsForWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const behind, unknown = 400, 30
		a := newArchive(t)
		a.gate.Sites = []string{"b"}
		var asked atomic.Int64
		all := a.many(behind + unknown)
		waits := map[dedup.UID]bool{}
		for _, u := range all[:unknown] {
			waits[u] = true
		}
		a.others = func(u dedup.UID) []SiteReport {
			asked.Add(1)
			if waits[u] {
				return []SiteReport{{Site: "b", Lacking: -1}}
			}
			return []SiteReport{{Site: "b"}}
		}
		c := a.config()
		var gone atomic.Bool
		c.Look = func(ctx context.Context, u dedup.UID) (Holding, error) {
			if gone.Load() {
				return Holding{}, fs.ErrNotExist
			}
			return a.look(ctx, u)
		}
		l, stop := a.run(c)
		defer stop()
		for _, u := range all {
			l.Touch(u)
		}
		<-time.After(2*time.Minute + 33*time.Millisecond) // none asks by itself just now
		before := asked.Load()
		for range 5 {
			l.SiteChanged("b")
			l.SiteChanged("c")
			l.SiteChanged("b")
			synctest.Wait()
		}
		if n := asked.Load() - before; n != 5*unknown || len(l.blind["b"]) != unknown {
			t.Errorf("five pieces of news, %d studies that wait for it: others were asked of a study %d times, %d are remembered", unknown, n, len(l.blind["b"]))
		}
		before = asked.Load()
		l.Reported(uid(t, "1.2.999"))
		l.Reported(all[behind])
		synctest.Wait()
		if n := asked.Load() - before; n != 1 || len(l.news) > 0 {
			t.Errorf("news of one study, and of one that is not known: others were asked %d times", n)
		}
		gone.Store(true)
		for _, u := range all[:10] {
			l.Touch(u)
		}
		synctest.Wait()
		if len(l.blind["b"]) != unknown-10 {
			t.Errorf("%d studies are remembered, of %d that wait", len(l.blind["b"]), unknown-10)
		}
		gone.Store(false)
		for range 100 {
			l.SiteChanged("")
			synctest.Wait()
		}
		<-time.After(time.Minute)
		synctest.Wait()
		if len(l.alarms) > len(l.studies) {
			t.Errorf("%d alarms are set for %d studies", len(l.alarms), len(l.studies))
		}
		stop()
		l.SiteChanged("b")
		if l.hear(); len(l.blind["b"]) > 0 {
			t.Errorf("%d studies wait for news that they have", len(l.blind["b"]))
		}
	})
}

// TestAskedAgain holds that what allows a round, or a publication, is asked again when its turn comes, after others that take long: a site may have come to hold more, or to count, since it was decided.
func TestAskedAgain(t *testing.T) {
	t.Run("round", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := newArchive(t)
			a.gate.Sites = []string{"b"}
			a.roundTime = 30 * time.Second
			var more atomic.Int32
			a.others = func(dedup.UID) []SiteReport { return []SiteReport{{Site: "b", Lacking: int(more.Load())}} }
			c := a.config()
			c.Workers = 1
			l, stop := a.run(c)
			defer stop()
			for _, u := range a.many(2) {
				l.Touch(u)
			}
			<-time.After(20 * time.Second)
			more.Store(1)
			<-time.After(time.Minute)
			if synctest.Wait(); a.rounds != 1 {
				t.Errorf("%d rounds, and all but the first are of studies of which b holds more", a.rounds)
			}
		})
	})
	for name, change := range map[string]func(a *archive, more *atomic.Int32){
		"publication, more":   func(_ *archive, more *atomic.Int32) { more.Store(1) },
		"publication, roster": func(a *archive, _ *atomic.Int32) { a.gate.Epoch = "e2" },
		"publication, sites":  func(a *archive, _ *atomic.Int32) { a.gate.Sites = []string{"b", "c"} },
		"publication, index":  func(_ *archive, more *atomic.Int32) { more.Store(-2) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newArchive(t)
				a.gate.Sites, a.answers = []string{"b"}, map[string]string{"b": "i"}
				var more atomic.Int32
				a.others = func(dedup.UID) []SiteReport {
					if more.Load() == -2 {
						return []SiteReport{{Site: "b", Incarnation: "another"}}
					}
					return []SiteReport{{Site: "b", Incarnation: "i", Lacking: int(more.Load())}}
				}
				var silent atomic.Bool
				a.echo = func(context.Context) error {
					if silent.Load() {
						return errors.New("silence")
					}
					return nil
				}
				c := a.config()
				slow := &slowly{archive: a, begun: make(chan bool), free: make(chan bool)}
				c.Records, c.Workers = slow, 4
				l, stop := a.run(c)
				defer stop()
				for _, u := range a.many(savesAtOnce + 1) {
					l.Touch(u)
				}
				for range savesAtOnce {
					<-slow.begun
				}
				synctest.Wait()
				silent.Store(true)
				a.mu.Lock()
				change(a, &more)
				a.mu.Unlock()
				close(slow.free)
				<-time.After(time.Minute)
				synctest.Wait()
				if n := len(a.records); n != savesAtOnce {
					t.Errorf("%d studies are published, and all but the first %d on what was true before", n, savesAtOnce)
				}
			})
		})
	}
}

// slowly is an archive whose first saves take their time.
type slowly struct {
	*archive
	begun, free chan bool
}

func (s *slowly) Save(ctx context.Context, u dedup.UID, r Record) error {
	select {
	case s.begun <- true:
		<-s.free
	case <-s.free:
	}
	return s.archive.Save(ctx, u, r)
}
