package combine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
)

// Due is when time alone will let something go, 0 if nothing waits for that: when to collect again.
func (c Collection) Due() time.Duration {
	var due time.Duration
	for _, k := range c.Kept {
		if k.Left > 0 && (due == 0 || k.Left < due) {
			due = k.Left
		}
	}
	return due
}

// Used reports whether a file stays because somebody reads it: collect again soon.
func (c Collection) Used() bool {
	return slices.ContainsFunc(c.Kept, func(k Kept) bool { return k.Reason == keptUse })
}

// Collection finds out what collecting in a study means now, and changes nothing. fs.ErrNotExist: there is nothing of the study.
func (c *Combiner) Collection(ctx context.Context, uid dedup.UID) (Collection, error) {
	s, err := c.load(ctx, uid)
	if err != nil {
		return Collection{}, err
	}
	state, now := dedup.Resolve(s.Files, s.Bulk), c.peek()
	return planCollect(s.Input, state, c.facts(uid, c.waited(uid).next(state, now), now)), nil
}

// Collect removes what may go of a study, and returns what went and what stayed. When it returns nil the removals are durable.
//
// After an error some of the files are gone, which ones the Collection says, and all that was true of the study is. How long a list has been replaced is known from the first Collect
// on that saw it so: collect when a study has been combined, although nothing is to go yet, and again when it is Due; and Count in between.
func (c *Combiner) Collect(ctx context.Context, uid dedup.UID) (Collection, error) {
	s, err := c.load(ctx, uid)
	if err != nil {
		return Collection{}, err
	}
	state, was := dedup.Resolve(s.Files, s.Bulk), c.waited(uid)
	if len(state.Dominated) == 0 && was.Leaves == "" {
		return Collection{}, nil // also on a tree that nobody may write into
	}
	now, err := c.now()
	if err != nil {
		return Collection{}, fmt.Errorf("collect study %s: %w", uid, err)
	}
	is := was.next(state, now)
	plan := planCollect(s.Input, state, c.facts(uid, is, now))
	names := s.names(plan.Remove)
	plan.Remove = nil
	for part := range slices.Chunk(names, 1000) { // commits get their turn in between
		if err = c.removePart(ctx, s, part, &plan); err != nil {
			break
		}
	}
	for _, r := range plan.Remove {
		delete(is.Lists, listKey(r.File))
	}
	if err == nil && plan.Due() == 0 && len(is.Lists) == 0 {
		is = waiting{}
	}
	if err = errors.Join(err, c.remember(uid, was, is)); err != nil {
		return plan, fmt.Errorf("collect study %s: %w", uid, err)
	}
	return plan, nil
}

// waited is what is remembered of a study.
func (c *Combiner) waited(uid dedup.UID) (w waiting) {
	recall(c.config.Tree, agesOf(uid), &w)
	return w
}

func (c *Combiner) facts(uid dedup.UID, is waiting, now time.Duration) Facts {
	return Facts{
		Keep: c.config.Keep, Grace: c.config.Grace, Settled: now - is.Since,
		Age:   func(id dedup.FileID) time.Duration { return now - is.Lists[listKey(id)] },
		InUse: func(r dedup.Ref) bool { return c.config.InUse(uid, r) },
	}
}

// name is a name that is to go, with all files that it stands for.
type name struct {
	ref      dedup.Ref
	removals []Removal
	paths    []string // in the order in which they are removed: variants, then the canonical path, so that in between it stands for one of those that are there
}

// names puts removals, which are in order, together by their names.
func (s *study) names(removals []Removal) (names []name) {
	for _, r := range removals {
		if len(names) == 0 || names[len(names)-1].ref != r.File.Ref {
			names = append(names, name{ref: r.File.Ref})
		}
		n := &names[len(names)-1]
		n.removals, n.paths = append(n.removals, r), append(n.paths, s.paths[r.File]...)
	}
	for _, n := range names {
		canonical := n.ref.In(s.uid)
		slices.SortFunc(n.paths, func(a, b string) int {
			switch {
			case a == canonical:
				return 1
			case b == canonical:
				return -1
			}
			return strings.Compare(a, b)
		})
	}
	return names
}

// removePart removes some names, and notes in plan which files are gone.
//
// No commit runs meanwhile. One that relies on a file that goes has ended, and what it relied on it for is in the leaf; or it comes later and looks again. And a leaf that
// can be seen is of a commit that has ended or died, so that the sync makes it, and all that it refers to, durable.
func (c *Combiner) removePart(ctx context.Context, s *study, part []name, plan *Collection) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	barrier, err := c.config.Tree.Barrier()
	if err != nil {
		return err
	}
	defer barrier.Close()
	if err := c.leavesStand(s, part); err != nil {
		return err
	}
	// The point of no return: what accounts for the files is durable.
	if err := barrier.SyncAll(); err != nil {
		return err
	}
	part = c.unused(s, part, plan)
	var paths []string
	for _, n := range part {
		paths = append(paths, n.paths...)
	}
	if err := c.config.Gone(ctx, s.uid, paths); err != nil {
		return err
	}
	return errors.Join(c.removeAll(part, plan), barrier.SyncAll())
}

// lock keeps commits, and whoever arranges variants, away.
func (c *Combiner) lock() (unlock func() error, err error) {
	commits, err := durable.LockCommits(c.config.Tree, stagingFolder)
	if err != nil {
		return nil, err
	}
	arranging, err := c.config.Tree.Lock(arrangeLock)
	if err != nil {
		return nil, errors.Join(err, commits.Close())
	}
	return func() error { return errors.Join(arranging.Close(), commits.Close()) }, nil
}

// leavesStand looks again for the leaves for whose sake files go: a commit that failed may have taken one back since it was read.
func (c *Combiner) leavesStand(s *study, part []name) error {
	seen := make(map[dedup.FileID]bool)
	for _, n := range part {
		for _, r := range n.removals {
			if seen[r.By] {
				continue
			}
			seen[r.By] = true
			if _, err := c.config.Tree.Lstat(s.held[r.By].Path); err != nil {
				return err
			}
		}
	}
	return nil
}

// unused leaves out what somebody has begun to read.
func (c *Combiner) unused(s *study, part []name, plan *Collection) (rest []name) {
	for _, n := range part {
		if !c.config.InUse(s.uid, n.ref) {
			rest = append(rest, n)
			continue
		}
		for _, r := range n.removals {
			plan.Kept = append(plan.Kept, Kept{File: r.File, Reason: keptUse})
		}
	}
	return rest
}

// removeAll removes names.
func (c *Combiner) removeAll(part []name, plan *Collection) error {
	for _, n := range part {
		for _, p := range n.paths {
			if err := c.config.Tree.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		plan.Remove = append(plan.Remove, n.removals...)
	}
	return nil
}
