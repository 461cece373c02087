package inbox

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/ingest"
	"github.com/dicomesh/dicomesh/dedup/part10"
)

// taken is a file that is being ingested. It stays open, and leased where that works, until it is removed: so nobody writes it between its reading and its removal.
type taken struct {
	rel    string
	file   *os.File
	memo   memo
	leases bool // the kernel tells who writes it
	leased bool
	result ingest.Result
	final  bool // the result stands before the commit
	failed atomic.Pointer[error]
}

// ReadAt reads the file, and remembers an error of its own disk.
func (t *taken) ReadAt(p []byte, off int64) (int, error) {
	n, err := t.file.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		t.failed.CompareAndSwap(nil, &err)
	}
	return n, err
}

// changed reports whether somebody wrote, or waits to write.
func (t *taken) changed() bool {
	info, err := t.file.Stat()
	return err != nil || stampOf(info) != t.memo.stamp || t.leased && !leased(t.file)
}

// flush ingests what was collected. While it becomes durable the sweep goes on.
func (s *sweep) flush() {
	batch := s.batch
	s.batch, s.bytes = nil, 0
	if len(batch) == 0 || s.over() {
		closeAll(batch)
		return
	}
	b, rest, err := s.add(batch)
	s.turn <- struct{}{}
	if err != nil {
		closeAll(rest)
		s.halt(err)
		<-s.turn
		return
	}
	finish := func() {
		s.finish(b, rest)
		<-s.turn
	}
	if s.paused() > 0 {
		finish() // it decides whether there is a next one
		return
	}
	go finish()
}

func closeAll(batch []*taken) {
	for _, t := range batch {
		_ = t.file.Close()
	}
}

// add takes files apart, until none of them changes meanwhile. Those that do are closed, for another sweep; rest are the others.
func (s *sweep) add(batch []*taken) (b *ingest.Batch, rest []*taken, err error) {
	for rest = batch; ; {
		if b, err = s.config.Archive.OpenBatch(); err != nil {
			return nil, rest, err
		}
		s.addAll(b, rest)
		whole := len(rest)
		rest = slices.DeleteFunc(rest, func(t *taken) bool {
			changed := t.changed()
			if changed {
				_ = t.file.Close()
				s.later(s.config.Quiet)
			}
			return changed
		})
		if len(rest) == whole {
			return b, rest, nil
		}
		b.Discard() // a mixture of what was and what is may be in it
	}
}

// addAll adds files, several at a time.
func (s *sweep) addAll(b *ingest.Batch, batch []*taken) {
	next := make(chan *taken)
	var workers sync.WaitGroup
	for range min(s.config.Ingest.Workers, len(batch)) {
		workers.Go(func() {
			for t := range next {
				t.result, t.final = b.Add(t.rel, t, t.memo.size)
			}
		})
	}
	for _, t := range batch {
		next <- t
	}
	close(next)
	workers.Wait()
}

// halt stops the sweep: nothing can be stored now.
func (s *sweep) halt(err error) {
	s.mu.Lock()
	s.stop = true
	s.mu.Unlock()
	why := "the archive cannot store anything: " + cause(err).Error()
	if durable.IsFull(err) {
		why = "the disk is full; what is in the inbox stays there until there is room"
	}
	s.door.hold(why)
}

// finish makes a batch durable and answers its files. It holds the turn.
func (s *sweep) finish(b *ingest.Batch, batch []*taken) {
	defer closeAll(batch)
	if s.ctx.Err() != nil {
		b.Discard()
		return
	}
	s.commit(b, batch)
	good := 0
	var trouble error
	for _, t := range batch {
		err := t.systems()
		switch {
		case err == nil:
			good++
			s.answer(t)
		case trouble == nil || durable.IsFull(err):
			trouble = err
		}
		if err != nil && !durable.IsFull(err) {
			s.remember(t.rel, t.memo, held) // so that the next try is another file's
		}
	}
	switch {
	case trouble != nil && (good == 0 || durable.IsFull(trouble)):
		s.halt(trouble)
	case trouble != nil:
		s.config.Log.Warn("files of the inbox could not be stored and are tried again", "error", cause(trouble))
	default:
		s.resume()
	}
}

// commit commits a batch. One that failed, and not for want of room, may have failed for one file's place alone: then each file has a batch of its own.
func (s *sweep) commit(b *ingest.Batch, batch []*taken) {
	s.settle(b, batch)
	waiting := slices.DeleteFunc(slices.Clone(batch), func(t *taken) bool { return t.final })
	if len(waiting) < 2 || slices.ContainsFunc(waiting, func(t *taken) bool { return t.systems() == nil || durable.IsFull(t.result.Err) }) {
		return
	}
	for _, t := range waiting {
		alone, err := s.config.Archive.OpenBatch()
		if err != nil {
			return
		}
		t.result, t.final = alone.Add(t.rel, t, t.memo.size)
		s.settle(alone, []*taken{t})
	}
}

// settle commits a batch and hands out its answers.
func (s *sweep) settle(b *ingest.Batch, batch []*taken) {
	results := make(map[string]ingest.Result, len(batch))
	for _, r := range b.Commit() {
		results[r.Path] = r
	}
	b.Discard()
	for _, t := range batch {
		if r, has := results[t.rel]; has && !t.final {
			t.result = r
		}
	}
}

// maxTries is how often a file is tried whose refusal nobody understands.
const maxTries = 3

// systems is why a file could not be stored, if that is not the file's own fault. Only what is known to be that sends a file to the quarantine; what is not known to be
// anybody's does after some tries.
func (t *taken) systems() error {
	err := t.result.Err
	var number syscall.Errno
	switch {
	case err == nil, t.failed.Load() != nil:
		return nil
	case durable.IsFull(err), errors.Is(err, durable.ErrNotStored):
		return err
	case errors.Is(err, part10.ErrFormat), errors.Is(err, ingest.ErrNoPlace), errors.Is(err, part10.ErrDiffers), errors.Is(err, part10.ErrResidue):
		return nil
	case !errors.As(err, &number) && t.memo.tries >= maxTries:
		return nil
	}
	return err
}

// answer tells what became of a file, and takes it out of the inbox.
func (s *sweep) answer(t *taken) {
	r := t.result
	if failed := t.failed.Load(); failed != nil && r.Status == ingest.Refused {
		r.Reason = "it cannot be read: " + cause(*failed).Error()
	}
	if r.Status == ingest.Refused {
		now := s.now()
		if errors.Is(r.Err, part10.ErrTruncated) && !s.pace.hopeless(t.memo, now, t.leases) {
			m := t.memo
			m.state = early
			s.remember(t.rel, m, early)
			s.later(max(s.pace.wait(m, now, t.leases), s.config.Quiet))
			return
		}
		if s.away(t.rel, r, t.memo.size) {
			s.waiting(-1, -t.memo.size)
		}
		return
	}
	if s.config.Ingest.SHA256 {
		r.SHA256 = sum(t)
	}
	s.report(r)
	s.remove(t)
}

func sum(t *taken) string {
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(t, 0, t.memo.size)); err != nil {
		return ""
	}
	return hex.EncodeToString(h.Sum(nil))
}

// remove removes a file that the archive has. It is the one that was read: nobody can have written it, and another one that took its name is left.
func (s *sweep) remove(t *taken) {
	info, err := s.root.Lstat(t.rel)
	if err == nil && stampOf(info) == t.memo.stamp {
		err = s.unlink(s.root, t.rel)
	} else if err == nil {
		s.later(s.config.Quiet) // it is not the same any more
		return
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.remain(t.rel, "stored, and may not be removed", err)
		return
	}
	s.waiting(-1, -t.memo.size)
	s.gone(t.rel)
}

// away moves what was refused to the quarantine, and tells.
func (s *sweep) away(rel string, r ingest.Result, size int64) (moved bool) {
	err := s.quarantine.put(s.root, rel, note{Reason: r.Reason, Size: size, Time: s.now()})
	switch {
	case err == nil:
		s.report(r)
		s.gone(rel)
		return true
	case errors.Is(err, os.ErrNotExist):
		return true
	case durable.IsFull(err):
		s.halt(err)
	default:
		s.remain(rel, "refused, and may not be moved to the quarantine", err)
	}
	return false
}

// remain leaves something where it is because its folder does not yield it.
func (s *sweep) remain(rel, what string, err error) {
	why := stuckWords(what, err)
	s.fix(rel, why)
	s.stays(why)
}

// report counts an answer and passes it on.
func (s *sweep) report(r ingest.Result) {
	s.change(func(of *Status) {
		switch r.Status {
		case ingest.Stored:
			of.Stored++
		case ingest.Duplicate:
			of.Duplicates++
		case ingest.Conflict:
			of.Conflicts++
		case ingest.Refused:
			of.Refused++
		}
		of.Last = s.now()
	})
	if s.config.Report != nil {
		s.config.Report(r)
	}
}
