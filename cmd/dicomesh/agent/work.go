package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/events"
	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/dedup/ingest"
	"github.com/dicomesh/dicomesh/regen"
	"github.com/dicomesh/dicomesh/settle"
	"github.com/dicomesh/dicomesh/watch"
)

// holding is what a study is here, for settle. Of one that misses something the tree is asked again and again, because what comes late may come where nobody watches.
func (s *site) holding(ctx context.Context, uid dedup.UID) (settle.Holding, error) {
	look, whole := s.library.Look, s.wide.take(uid)
	if whole {
		look = s.library.LookAll
	}
	h, err := look(ctx, uid)
	if whole && (err != nil || h.Retry > 0) { // what may still be being written is of a class that another look would not see
		s.wide.add(uid)
	}
	if err != nil {
		return settle.Holding{}, err
	}
	s.troubles(h)
	if !h.Complete && h.Retry == 0 && h.CorruptCount+h.VanishedCount > 0 && (s.rewrite(ctx, h) || s.setAside(ctx, h)) {
		if h, err = look(ctx, uid); err != nil {
			return settle.Holding{}, err
		}
	}
	if h.Nothing() {
		s.watcher.Enough(uid)
		return settle.Holding{}, fs.ErrNotExist
	}
	if h.Complete && h.Retry == 0 {
		s.watcher.Enough(uid)
	} else {
		s.watcher.Expect(uid)
	}
	return settle.Holding{Leaf: h.Leaf, Complete: h.Complete, Missing: h.MissingCount, Faults: h.CorruptCount + h.VanishedCount, Conflict: h.Conflict,
		Instances: h.Instances, Change: h.Change}, nil
}

// rewrite has instance files that are damaged or gone written once more from lists that have their records, and reports whether any was.
func (s *site) rewrite(ctx context.Context, h index.Holding) bool {
	was := s.entered(ctx, h.Study, dedup.Instance, slices.Concat(h.Corrupt, h.Vanished))
	if len(was) == 0 {
		return false
	}
	n, err := ingest.Rewrite(ctx, floored{FS: s.tree, refusal: s.room.refusal}, h.Study, was)
	if err != nil {
		s.log.Warn("damaged files could not be written again from a list", "error", err)
	}
	if n > 0 {
		s.own.add(h.Study)
		s.events.Add(events.Fault, h.Study.String(), fmt.Sprintf("%d instance files that were damaged or gone were written again from a list that has their records", n))
	}
	return n > 0
}

// entered are the contents of files of one class that are not as they should be, as they were entered, by path. One of which the index does not say it now is left out: the next look finds it again.
func (s *site) entered(ctx context.Context, study dedup.UID, class dedup.Class, all []index.Trouble) map[string]dedup.Digest {
	was := make(map[string]dedup.Digest, len(all))
	for _, t := range all {
		if e, known, err := s.index.File(ctx, study, t.Path); err == nil && known && t.Ref.Class == class {
			was[t.Path] = e.Content
		}
	}
	return was
}

// setAside has damaged lists for which others account moved into quarantine when no other site can bring them back, and reports whether any was. Else the study could never be complete again.
func (s *site) setAside(ctx context.Context, h index.Holding) bool {
	if len(h.Spare) == 0 || !s.exhausted(ctx, h.Study) {
		return false
	}
	n, err := ingest.SetAside(s.tree, h.Study, s.entered(ctx, h.Study, dedup.List, h.Spare))
	if err != nil {
		s.log.Warn("damaged lists could not be moved into quarantine; it is tried again", "error", err)
	}
	if n > 0 {
		s.own.add(h.Study)
		s.events.Add(events.Fault, h.Study.String(), fmt.Sprintf("%d damaged lists, for which other lists account and which no other site has, were moved into the tree's quarantine", n))
	}
	return n > 0
}

// exhausted reports whether all other active sites have given what they have of a study.
func (s *site) exhausted(ctx context.Context, uid dedup.UID) bool {
	if s.mesh == nil {
		return true
	}
	mine, err := s.library.State(ctx, uid)
	return err == nil && !slices.ContainsFunc(s.reach.Current().Others, func(name string) bool { return !s.syncer.Exhausted(name, mine) })
}

// generate does a round for settle.
func (s *site) generate(ctx context.Context, job settle.Job) (settle.Round, error) {
	if job.Provisional {
		return s.provisional(ctx, job)
	}
	if err := s.records.hide(ctx, job.Study); err != nil {
		return settle.Round{}, err
	}
	r, err := s.round(ctx, job, s.current)
	if missing := (*regen.Incomplete)(nil); errors.As(err, &missing) { // the index does not know of it, or there would have been no round
		s.wide.add(job.Study)
	}
	if err == nil && s.shelf.limit > 0 {
		bytes, _ := regen.Size(s.current, job.Study) // a study without instances has no files
		s.shelf.made(job.Study, bytes)
	}
	return r, err
}

// round does a round into a current tree, asking for leave for each name.
func (s *site) round(ctx context.Context, job settle.Job, into Folder) (settle.Round, error) {
	g := regen.New(regen.Config{Archive: s.reading, Current: permitted{FS: into, permit: job.Permit}, NoThumbnails: !s.config.Regen.Thumbnails, Memory: s.memory,
		Share: func(from, to string) error { return s.config.Machine.Share(s.tree, from, into, to) }})
	r, err := g.Study(ctx, job.Study, s.config.Machine.Wall())
	if err != nil {
		return settle.Round{}, err
	}
	return settle.Round{Leaf: r.Leaves, Wrote: r.Wrote, Changed: r.Changed(), Due: r.Due}, nil
}

// busy reports whether files are being taken of which nobody knows yet which study they are of.
func (s *site) busy(dedup.UID) bool {
	b := s.inbox.Status()
	return b.Waiting > b.Writing && b.Paused == ""
}

// Every study is looked at in full once a day, at a tenth of a core: what vanished, and what came where nobody watches, is found by that.
const (
	rescanEach = 24 * time.Hour
	rescanRest = 9
)

// survey holds the index against the tree: at once and without rest when it is new, else by and by, and then every day.
func (s *site) survey(ctx context.Context) error {
	for fresh := s.index.Fresh; ; fresh = false {
		rest, seen := rescanRest, 0
		if fresh {
			rest = 0
		}
		err := s.library.Rescan(ctx, rest, func(h index.Holding, err error) {
			seen++
			s.surveyed(h, err)
		})
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil: // the tree is away, which the watcher says; it is tried again
			s.log.Warn("the tree could not be held against the index", "error", err)
		case fresh:
			if seen > 0 {
				s.events.Add(events.Index, "", fmt.Sprintf("the index was made from the tree: %d studies", seen))
			}
			if err := s.index.Complete(ctx); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(rescanEach):
		}
	}
}

// surveyed takes one study of a survey.
func (s *site) surveyed(h index.Holding, err error) {
	if err != nil { // settle meets the same error, says it, and tries again
		s.log.Warn("a study could not be held against the index", "error", err)
		return
	}
	s.troubles(h)
	if h.Changed {
		s.loop.Touch(h.Study)
	}
}

// wide are studies of which every file is to be looked at, not only lists and instance files and what those refer to.
type wide struct {
	mu      sync.Mutex
	studies map[dedup.UID]bool
}

func (w *wide) add(uid dedup.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.studies == nil {
		w.studies = map[dedup.UID]bool{}
	}
	w.studies[uid] = true
}

func (w *wide) take(uid dedup.UID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	has := w.studies[uid]
	delete(w.studies, uid)
	return has
}

// amiss hears of a study of which a reader did not find a file as it was: all of it is looked at, now and not with the next survey.
func (s *site) amiss(uid dedup.UID) {
	s.wide.add(uid)
	s.loop.Touch(uid)
}

// noticed hears of a study from the watcher. What appeared or vanished may be of a class that an ordinary look does not see; what this site itself has just stored is
// known already.
func (s *site) noticed(uid dedup.UID, why watch.Why) {
	if (why == watch.Appeared || why == watch.Vanished) && !s.own.take(uid) {
		s.wide.add(uid)
	}
	s.loop.Touch(uid)
}

// errMounted says that the folder of the tree is another file system than the one that is open.
var errMounted = errors.New("another file system is mounted where the tree was")

// mounted ends the site when the tree that is open is not the one that has its name any more, and the one that has it is this site's: then everything is opened again.
// Meanwhile nothing new is taken.
func (s *site) mounted(ctx context.Context) error {
	return regularly(ctx, func() error {
		back, reason := s.away()
		if back {
			return errMounted
		}
		s.sayAway(reason)
		s.watchState()
		return nil
	})
}

// away is why the tree that is open is not the one at its path, "" if it is; back is true when that one is this site's.
func (s *site) away() (back bool, reason string) {
	if same, err := s.config.Machine.Same(s.tree, s.config.Paths.Tree); err != nil {
		return false, "the tree cannot be read: " + err.Error()
	} else if same {
		return false, ""
	}
	other, err := s.config.Machine.Folder(s.config.Paths.Tree)
	if err != nil {
		return false, "the tree is not there: is it mounted?"
	}
	defer other.Close()
	m, err := readMark(other, treeMark)
	if err != nil || m == nil || m.ID != s.mark.ID {
		return false, "another folder is where the tree was: is it mounted?"
	}
	return true, ""
}

// absent is why the tree is not there, as far as anybody here has noticed; "" if it is. What the index knows of it then is a memory.
func (s *site) absent() string {
	if w := s.watcher.Status(); !w.Unreachable.IsZero() {
		return w.Reason
	}
	if away := s.room.away.Load(); away != nil {
		return *away
	}
	return ""
}

// sayAway keeps why the tree is away: while it is, nothing is stored in what lies open without a name. The watcher says it to the operator.
func (s *site) sayAway(reason string) {
	was := s.room.away.Load()
	if (was == nil) == (reason == "") {
		return
	}
	if reason == "" {
		s.room.away.Store(nil)
		s.log.Info("the tree is there again, new files are taken")
		return
	}
	s.room.away.Store(&reason)
	s.log.Error("the tree is away, nothing new is taken", "reason", reason)
}

// alive reports whether the parts answer. What hangs in the kernel, on a disk that is gone, does not count: to start again would not help.
func (s *site) alive() bool {
	s.loop.Status()
	s.inbox.Status()
	s.watcher.Status()
	return true
}
