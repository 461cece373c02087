package inbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// poll is how often the inbox is looked at though nothing was heard: of what comes over a network file system from another machine, the kernel says nothing.
	poll = 5 * time.Second
	// maxWatched is how many folders are watched; the others wait for the poll.
	maxWatched = 1000
	// maxMemos bounds what is remembered of files that wait.
	maxMemos = 10_000
	// The first pause and the longest when nothing can be stored.
	firstPause, longestPause = time.Second, 30 * time.Second
)

// door is an Inbox that runs.
type door struct {
	*Inbox
	pace       pace
	root       *os.Root
	dev        uint64 // of root
	quarantine *quarantine
	watcher    *fsnotify.Watcher // nil: there are no inotify instances left
	watched    map[string]bool
	leases     bool
	sweeps     int

	mu    sync.Mutex    // guards what follows
	pause time.Duration // 0: not paused
	memos map[string]memo
}

// open makes and opens the folders, and finds out what the kernel tells about them.
func (b *Inbox) open() (_ *door, err error) {
	c := b.config
	d := &door{Inbox: b, pace: pace{c.Quiet, c.Patience, c.BrokenOff}, watched: make(map[string]bool), memos: make(map[string]memo)}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	if err := apart(c.Dir, c.Quarantine); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return nil, err
	}
	if d.root, err = os.OpenRoot(c.Dir); err != nil {
		return nil, err
	}
	info, err := d.root.Lstat(".")
	if err != nil {
		return nil, err
	}
	d.dev = stampOf(info).dev
	if d.quarantine, err = openQuarantine(c.Quarantine); err != nil {
		return nil, err
	}
	if d.leases, err = b.probe(d.root); err != nil {
		return nil, fmt.Errorf("is it writable? %w", err)
	}
	b.change(func(s *Status) { s.Leases = d.leases })
	if d.watcher, err = fsnotify.NewWatcher(); err != nil {
		d.watcher = nil
		c.Log.Warn("inbox is not watched and looked at every few seconds", "error", err)
	}
	if !d.leases {
		c.Log.Warn("the file system of the inbox does not tell who writes a file: files are taken when they have not changed for long", "patience", c.Patience)
	}
	return d, nil
}

// apart refuses a quarantine inside the inbox: what is put there would come in again.
func apart(dir, quarantine string) error {
	inbox, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	other, err := filepath.Abs(quarantine)
	if err != nil {
		return err
	}
	if rel, err := filepath.Rel(inbox, other); err == nil && rel != ".." && !strings.HasPrefix(rel, "../") {
		return errors.New("the quarantine must not be inside the inbox")
	}
	return nil
}

func (d *door) close() {
	if d.watcher != nil {
		_ = d.watcher.Close()
	}
	if d.quarantine != nil {
		_ = d.quarantine.root.Close()
	}
	if d.root != nil {
		_ = d.root.Close()
	}
}

// watch asks to hear of changes in a folder. It comes before the folder is listed, so that nothing falls in between.
func (d *door) watch(rel string) (ok bool) {
	switch {
	case d.watcher == nil:
		return false
	case d.watched[rel]:
		return true
	case len(d.watched) >= maxWatched:
		// The kernel drops a watch with its folder, and does not say how many are left: ask for all that stand.
		clear(d.watched)
		for _, path := range d.watcher.WatchList() {
			if rel, err := filepath.Rel(d.config.Dir, path); err == nil {
				d.watched[rel] = true
			}
		}
		if len(d.watched) >= maxWatched {
			return false
		}
	}
	if d.watcher.Add(filepath.Join(d.config.Dir, rel)) != nil {
		return false
	}
	d.watched[rel] = true
	return true
}

// sleep returns when it is time for the next sweep: after the time that the last one said, or earlier when something came, but not before it had time to be complete.
func (d *door) sleep(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	due := d.now().Add(wait)
	var events <-chan fsnotify.Event
	var errs <-chan error
	if d.watcher != nil && d.paused() == 0 {
		events, errs = d.watcher.Events, d.watcher.Errors
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case e := <-events:
			if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
				if rel, err := filepath.Rel(d.config.Dir, e.Name); err == nil {
					delete(d.watched, rel)
				}
			}
			if !d.concerns(e) {
				continue
			}
			d.change(func(s *Status) { s.Waiting = max(s.Waiting, 1) })
		case err := <-errs: // more came than the kernel keeps: it is all found by looking
			d.config.Log.Debug("inbox events were lost", "error", err)
		}
		if soon := d.now().Add(d.config.Quiet); soon.Before(due) {
			due = soon
			timer.Reset(d.config.Quiet)
		}
	}
}

// concerns reports whether an event is about a file that may be taken: our own removals are not, and files that are left alone.
func (d *door) concerns(e fsnotify.Event) bool {
	return (e.Has(fsnotify.Create) || e.Has(fsnotify.Write) || e.Has(fsnotify.Chmod)) && !leftAlone(filepath.Base(e.Name))
}

// paused is how long it does nothing before it tries again; 0 when it is not so.
func (d *door) paused() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.pause
}

func (d *door) setPause(next func(was time.Duration) time.Duration) (was time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	was = d.pause
	d.pause = next(was)
	return was
}

// hold pauses: nothing is taken for a while, and for longer each time.
func (d *door) hold(why string) {
	was := d.setPause(func(was time.Duration) time.Duration { return min(max(d.Inbox.pause, 2*was), longestPause) })
	if was == 0 {
		d.config.Log.Warn("inbox paused", "reason", why)
		d.change(func(s *Status) { s.PausedSince = d.now() })
	}
	d.change(func(s *Status) { s.Paused = why })
}

// resume ends a pause.
func (d *door) resume() {
	if was := d.setPause(func(time.Duration) time.Duration { return 0 }); was == 0 {
		return
	}
	d.config.Log.Info("inbox resumed")
	d.change(func(s *Status) { s.Paused, s.PausedSince = "", time.Time{} })
}

// recall is what is remembered of a file, now that it is seen again.
func (d *door) recall(rel string, s stamp, now time.Time) memo {
	d.mu.Lock()
	defer d.mu.Unlock()
	m, known := d.memos[rel]
	if !known || m.stamp != s {
		m = memo{stamp: s, since: now}
	}
	m.sweep = d.sweeps
	if known || len(d.memos) < maxMemos {
		d.memos[rel] = m
	}
	return m
}

// remember takes down why a file was not taken.
func (d *door) remember(rel string, m memo, s state) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m.state, m.tried, m.stuck, m.tries, m.sweep = s, d.now(), "", m.tries+1, d.sweeps
	if _, known := d.memos[rel]; known || len(d.memos) < 2*maxMemos { // the others are tried again each time
		d.memos[rel] = m
	}
}

// fix notes of a file that is remembered why it stays where it is.
func (d *door) fix(rel, why string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if m, known := d.memos[rel]; known {
		m.state, m.tried, m.stuck = held, d.now(), why
		d.memos[rel] = m
	}
}

// forget drops files that the last sweep did not see.
func (d *door) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for rel, m := range d.memos {
		if m.sweep != d.sweeps {
			delete(d.memos, rel)
		}
	}
}
