package watch

import (
	"context"
	"hash/maphash"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
)

// Watcher watches one tree. Its methods may be called from several goroutines, before, while and after Run runs.
type Watcher struct {
	config Config
	disk   tree
	ears   *ears
	wake   chan struct{} // has one in it when there is something to notice

	mu         sync.Mutex
	asked      []ask // of Heat, Expect and Enough, since Run last looked
	status     Status
	unfinished map[dedup.UID][]string
	lines      int // of unfinished
}

// tree is what the watcher asks of the disk. Names of folders that visit gets are relative to the tree's root.
type tree interface {
	probe() root
	list() ([]dedup.UID, error)
	// look finds out what is in a study, and glance what a hint of it is.
	look(study dedup.UID, deep bool, visit func(dir string)) look
	glance(studies []dedup.UID) []uint64
	// read finds out which of a study's files are complete.
	read(study dedup.UID, files []file) []verdict
}

// ask is a call that waits for Run.
type ask struct {
	study dedup.UID
	what  request
}

type request uint8

const (
	heat request = iota
	expect
	enough
)

// New makes a watcher and touches nothing.
func New(c Config) *Watcher {
	c = c.withDefaults()
	wake := make(chan struct{}, 1)
	return &Watcher{
		config:     c,
		disk:       disk{c.Dir, maphash.MakeSeed(), time.Now},
		ears:       &ears{dir: c.Dir, open: openNotifier, wake: wake},
		wake:       wake,
		unfinished: make(map[dedup.UID][]string),
	}
}

func (c Config) withDefaults() Config {
	c.Dir = filepath.Clean(c.Dir)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Hot == 0 {
		c.Hot = 4096
	}
	if c.Deep == 0 {
		c.Deep = 12
	}
	if c.Rest == 0 {
		c.Rest = 9
	}
	for _, d := range []struct {
		given *time.Duration
		def   time.Duration
	}{{&c.Cycle, 5 * time.Minute}, {&c.Quiet, time.Second}, {&c.Patience, 10 * time.Minute}, {&c.pulse, 5 * time.Second}} {
		if *d.given == 0 {
			*d.given = d.def
		}
	}
	return c
}

// Run watches until ctx ends, and returns nil then: nothing that happens to the tree ends it. It is called once.
func (w *Watcher) Run(ctx context.Context) error {
	defer w.ears.close()
	c := newCore(w.config, time.Now())
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		now := time.Now()
		w.notice(c, now)
		j, at := c.next(now)
		w.carryOut(c)
		if j.task != nothing {
			w.do(c, j)
			w.carryOut(c)
			w.publish(c)
			continue
		}
		w.publish(c)
		timer.Reset(time.Until(at))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-w.wake:
		}
	}
	return nil
}

// notice hands the core what was heard and asked.
func (w *Watcher) notice(c *core, now time.Time) {
	c.notice(w.ears.take(), now)
	w.mu.Lock()
	asked := w.asked
	w.asked = nil
	w.mu.Unlock()
	for _, a := range asked {
		switch a.what {
		case heat:
			c.notice(marks{studies: map[dedup.UID]bool{a.study: false}}, now)
		case expect:
			c.expect(a.study, now)
		case enough:
			c.enough(a.study)
		}
	}
}

// do does a job and hands the core what came of it.
func (w *Watcher) do(c *core, j job) {
	began := time.Now()
	switch j.task {
	case arm:
		err := w.ears.arm()
		c.armed(err, time.Now())
	case probe:
		r := w.disk.probe()
		c.present(r, time.Now())
	case enlist:
		uids, err := w.disk.list()
		c.listed(uids, err, w.disk.probe(), time.Now())
	case glance:
		uids := make([]dedup.UID, len(j.studies))
		for i, s := range j.studies {
			uids[i] = s.uid
		}
		hints := w.disk.glance(uids)
		c.glanced(j.studies, hints, time.Now())
	case inspect:
		w.inspect(c, j)
	}
	now := time.Now()
	c.spent(j, now.Sub(began), now)
}

// inspect looks at a study, whose folders are watched first if it is hot, and reads the files that may be complete now.
func (w *Watcher) inspect(c *core, j job) {
	uid := j.study.uid
	var limit error
	l := w.disk.look(uid, j.deep, func(dir string) {
		if j.hot && limit == nil {
			limit = w.ears.watch(uid, dir)
		}
	})
	l.limit = limit
	if check := c.looked(j.study, l, time.Now()); len(check) > 0 {
		verdicts := w.disk.read(uid, check)
		c.checked(j.study, check, verdicts, time.Now())
	}
}

// carryOut carries out what the core wants done.
func (w *Watcher) carryOut(c *core) {
	for _, e := range c.effects() {
		switch {
		case e.touch != 0:
			w.config.Log.Debug("study touched", "study", e.study.String(), "why", e.touch.String())
			w.config.Touched(e.study, e.touch)
		case e.cool:
			w.ears.cool(e.study)
		case e.unfinished:
			w.show(e.study, e.paths)
		}
	}
}

func (w *Watcher) show(study dedup.UID, paths []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines += len(paths) - len(w.unfinished[study])
	w.unfinished[study] = paths
	if len(paths) == 0 {
		delete(w.unfinished, study)
	}
}

// publish makes what the core is doing the status, and says in the log what an operator should know of it.
func (w *Watcher) publish(c *core) {
	now := c.report()
	now.Watches = w.ears.count()
	w.mu.Lock()
	now.Unfinished = w.lines
	was := w.status
	w.status = now
	w.mu.Unlock()
	log := w.config.Log
	switch {
	case was.Unreachable.IsZero() && !now.Unreachable.IsZero():
		log.Error("archive is not there, nothing is concluded from that", "reason", now.Reason)
	case !was.Unreachable.IsZero() && now.Unreachable.IsZero():
		log.Info("archive is back, all of it is looked at again", "since", was.Unreachable)
	case was.Reason != now.Reason && now.Reason != "":
		log.Warn("studies cannot be listed", "reason", now.Reason)
	}
	if was.Limited == "" && now.Limited != "" {
		log.Warn("fewer folders are watched than wanted, the rest is looked at in turns", "watches", now.Watches, "reason", now.Limited)
	}
	if was.Overflows == 0 && now.Overflows > 0 {
		log.Warn("notifications were lost, what is watched is looked at again; further losses are counted in the status")
	}
}

// report is the core's part of the status.
func (c *core) report() Status {
	s := c.status
	s.Hot, s.Cold = c.hot.Len(), max(0, c.known-c.hot.Len())
	s.Unreachable, s.Reason = c.away, c.reason
	if c.reason == "" {
		s.Reason = c.unlist
	}
	return s
}

// Status is what the watcher is doing. It never waits for the disk.
func (w *Watcher) Status() Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status
}

// Heat says that a study is likely to have news: it is looked at, and its folders are watched from now on, until others had news after it.
func (w *Watcher) Heat(study dedup.UID) { w.ask(ask{study, heat}) }

// Expect says that something of a study is missing that no watched folder will show, such as bulkdata. The study is touched again and again, after
// two seconds at first and every five minutes in the end, sooner again when it has other news, until Enough is called.
// A study that is expected already stays so; a call costs next to nothing.
func (w *Watcher) Expect(study dedup.UID) { w.ask(ask{study, expect}) }

// Enough ends Expect.
func (w *Watcher) Enough(study dedup.UID) { w.ask(ask{study, enough}) }

func (w *Watcher) ask(a ask) {
	w.mu.Lock()
	w.asked = append(w.asked, a)
	w.mu.Unlock()
	w.ears.rouse()
}

// Unfinished are the paths in the tree of a study's files that are not complete yet. It tells what the last look saw: a file that began to appear since is
// not among them, so whoever reads a file of another writer still has to be ready for half of one.
func (w *Watcher) Unfinished(study dedup.UID) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.unfinished[study])
}
