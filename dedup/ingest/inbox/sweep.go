package inbox

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"
	"syscall"
	"time"

	"github.com/dicomesh/dicomesh/dedup/ingest"
	"golang.org/x/sys/unix"
)

const (
	// maxDepth is how deep folders nest that are looked into.
	maxDepth = 64
	// listing is how many names of a folder are in memory at a time.
	listing = 512
	// writingAgain is when a file that somebody writes is looked at again, if nothing was heard of it.
	writingAgain = time.Second
	// shortest is the least time between two sweeps.
	shortest = 10 * time.Millisecond
)

// sweep is one look at all that is in the inbox, and the taking of what is ready. Files leave while it goes; it keeps no list of them.
type sweep struct {
	*door
	ctx   context.Context // of the Run
	batch []*taken
	bytes int64
	turn  chan struct{} // held by the batch that commits

	mu    sync.Mutex    // guards what follows
	wait  time.Duration // until the next one
	stop  bool          // nothing can be stored now
	count Status        // what it saw
	left  int           // what left the inbox
}

// sweep looks at everything, and says when to do so again.
func (d *door) sweep(ctx context.Context) time.Duration {
	d.sweeps++
	start := d.now()
	s := &sweep{door: d, ctx: ctx, wait: poll, turn: make(chan struct{}, 1)}
	s.folder(".", 0)
	s.flush()
	s.turn <- struct{}{} // the last commit is over
	if ctx.Err() == nil && !s.stop {
		d.forget() // what it did not see is not there
	}
	d.change(func(of *Status) {
		of.Waiting, of.WaitingBytes, of.Writing = s.count.Waiting, s.count.WaitingBytes, s.count.Writing
		of.Ignored, of.Unwatched = s.count.Ignored, s.count.Unwatched
		if s.count.Stuck > 0 && of.Stuck == 0 {
			d.config.Log.Warn("something in the inbox stays there", "number", s.count.Stuck, "reason", s.count.StuckWhy)
		}
		of.Stuck, of.StuckWhy = s.count.Stuck, s.count.StuckWhy
	})
	if s.stop {
		return d.paused()
	}
	if s.left > 0 {
		return max(s.wait, shortest)
	}
	// A look at a million files that cannot be taken yet must not be all that this machine does.
	return max(s.wait, min(poll, 2*d.now().Sub(start)), shortest)
}

// over reports whether the rest is to be left alone.
func (s *sweep) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stop || s.ctx.Err() != nil
}

// saw counts.
func (s *sweep) saw(what func(*Status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	what(&s.count)
}

// waiting counts files that wait, or do not any more.
func (s *sweep) waiting(files, bytes int64) {
	s.saw(func(c *Status) { c.Waiting, c.WaitingBytes = c.Waiting+files, c.WaitingBytes+bytes })
}

// soon asks for the next sweep after a while.
func (s *sweep) soon(wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wait = min(s.wait, wait)
}

// gone notes that something left, and when its folder may follow it.
func (s *sweep) gone(rel string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left++
	if path.Dir(rel) != "." {
		s.wait = min(s.wait, s.config.Patience+shortest)
	}
}

// later leaves a file for another sweep.
func (s *sweep) later(wait time.Duration) {
	s.saw(func(c *Status) { c.Writing++ })
	s.soon(wait)
}

// folder looks at a folder and those in it. It reports whether the folder is gone: nothing was in it, and for long.
func (s *sweep) folder(rel string, depth int) (gone bool) {
	if !s.watch(rel) {
		s.saw(func(c *Status) { c.Unwatched++ })
	}
	dir, err := s.root.Open(rel)
	if err != nil {
		s.odd(rel, err)
		return false
	}
	defer dir.Close()
	info, err := dir.Stat()
	if err != nil {
		s.odd(rel, err)
		return false
	}
	for empty := true; !s.over(); {
		entries, err := dir.ReadDir(listing)
		for _, e := range entries {
			if s.over() {
				return false
			}
			empty = s.entry(path.Join(rel, e.Name()), e, depth) && empty
		}
		if err == nil {
			continue
		}
		if !errors.Is(err, io.EOF) {
			s.odd(rel, err)
			return false
		}
		return empty && depth > 0 && s.empty(rel, stampOf(info))
	}
	return false
}

// stays notes that a file or folder is where it is for a reason that somebody has to mend.
func (s *sweep) stays(why string) {
	s.saw(func(c *Status) {
		if c.Stuck++; c.StuckWhy == "" {
			c.StuckWhy = why
		}
	})
}

// stuckWords says what could not be done, why, and what to do about it.
func stuckWords(what string, err error) string {
	var number syscall.Errno
	if errors.As(err, &number) {
		err = number
	}
	what += ": " + cause(err).Error()
	if errors.Is(err, fs.ErrPermission) {
		what += ". Give what is in the inbox to the user that the agent runs as (chown -R), or let that user read and write there"
	}
	return what
}

// yields reports whether this user may remove what is in a folder. Where a sticky bit forbids it all the same the removal says so.
func yields(from *os.Root, dir string) bool {
	f, err := from.Open(dir)
	if err != nil {
		return false
	}
	defer f.Close()
	return unix.Faccessat(int(f.Fd()), ".", unix.W_OK|unix.X_OK, unix.AT_EACCESS) == nil
}

// odd notes that something could not be looked at. Names are not said: they may be patients'.
func (s *sweep) odd(rel string, err error) {
	if !errors.Is(err, fs.ErrNotExist) {
		s.stays(stuckWords("cannot be read", err))
		s.config.Log.Debug("something in the inbox cannot be looked at", "name_length", len(rel), "error", cause(err))
	}
}

// cause is an error without the path that it is about.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// empty removes a folder in which nothing was for long. Whoever puts something into it at the same time is not disturbed: only an empty folder can be removed.
func (s *sweep) empty(rel string, at stamp) (gone bool) {
	if wait := s.config.Patience - at.age(s.now()); wait > 0 {
		s.soon(wait)
		return false
	}
	return s.root.Remove(rel) == nil
}

// entry looks at one name of a folder. It reports whether that is gone.
func (s *sweep) entry(rel string, e fs.DirEntry, depth int) (gone bool) {
	switch {
	case leftAlone(e.Name()):
		s.saw(func(c *Status) { c.Ignored++ })
	case e.IsDir() && depth >= maxDepth:
		s.refuse(rel, "folders nest too deep")
	case e.IsDir():
		return s.folder(rel, depth+1)
	case e.Type()&fs.ModeSymlink != 0:
		s.refuse(rel, "a symbolic link, which is not followed: put the files themselves here")
	case !e.Type().IsRegular():
		s.refuse(rel, "not a regular file")
	default:
		s.file(rel)
	}
	return false
}

// refuse moves what cannot be read to the quarantine.
func (s *sweep) refuse(rel, reason string) {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	if !s.away(rel, ingest.Result{Path: rel, Status: ingest.Refused, Reason: reason}, 0) {
		s.waiting(1, 0)
	}
}

// file looks whether it is a file's turn.
func (s *sweep) file(rel string) {
	info, err := s.root.Lstat(rel)
	if err != nil || !info.Mode().IsRegular() {
		return // it went, or became something else: the next sweep says what
	}
	at := stampOf(info)
	s.waiting(1, at.size)
	now := s.now()
	leases := s.leases && at.dev == s.dev
	m := s.recall(rel, at, now)
	if m.stuck != "" {
		if !s.yields(s.root, path.Dir(rel)) {
			s.stays(m.stuck)
			return
		}
		if s.pace.wait(m, now, leases) > 0 {
			s.stays(m.stuck)
		}
	}
	if wait := s.pace.wait(m, now, leases); wait > 0 {
		s.later(wait)
		return
	}
	f, err := s.root.OpenFile(rel, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		s.unreadable(rel, m, err)
		return
	}
	opened, err := f.Stat()
	if err != nil || stampOf(opened) != at {
		_ = f.Close()
		s.later(s.config.Quiet)
		return
	}
	t := &taken{rel: rel, file: f, memo: m, leases: leases}
	if leases && !s.lease(t) {
		_ = f.Close()
		return
	}
	s.batch, s.bytes = append(s.batch, t), s.bytes+at.size
	if len(s.batch) >= s.files() || s.bytes >= s.config.Ingest.Bytes {
		s.flush()
	}
}

// files is how many files make a batch. In a pause one file tries whether it is over.
func (s *sweep) files() int {
	if s.paused() > 0 {
		return 1
	}
	return s.config.Ingest.Files
}

// lease makes sure that nobody writes the file, now and until it is closed. False: it is not its turn.
func (s *sweep) lease(t *taken) bool {
	switch lease(t.file) {
	case nobody:
		t.leased = true
		return true
	case writing:
		s.later(writingAgain)
		return false
	}
	// This one file is another user's.
	t.leases = false
	wait := s.pace.wait(t.memo, s.now(), false)
	if wait > 0 {
		s.later(wait)
	}
	return wait == 0
}

// unreadable leaves a file that may not be read to whoever brought it, who may still give it its permissions; and then moves it away.
func (s *sweep) unreadable(rel string, m memo, err error) {
	switch wait := s.pace.wait(m, s.now(), false); {
	case errors.Is(err, fs.ErrNotExist):
	case !errors.Is(err, fs.ErrPermission):
		s.remain(rel, "cannot be read", err)
	case wait > 0:
		s.later(wait)
	default:
		s.waiting(-1, -m.size)
		s.refuse(rel, "it may not be read: "+cause(err).Error()+": give it to the user that the agent runs as")
	}
}
