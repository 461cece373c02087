package combine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
)

// Combination finds out what combining a study means, and changes nothing. fs.ErrNotExist: there is nothing of the study.
func (c *Combiner) Combination(ctx context.Context, uid dedup.UID) (Combination, error) {
	_, plan, err := c.combination(ctx, uid)
	return plan, err
}

// combination reads a study and plans. A study in which others collect meanwhile is read again.
func (c *Combiner) combination(ctx context.Context, uid dedup.UID) (s *study, plan Combination, err error) {
	for range attempts {
		if s, err = c.load(ctx, uid); err != nil {
			return nil, plan, err
		}
		if err = c.whole(ctx, s); err == nil {
			return s, PlanCombine(s.Input), nil
		} else if !errors.Is(err, errVanished) {
			break
		}
	}
	return nil, plan, err
}

// Study combines a study's leaves into one list. When it returns nil the list that it returns stands in the tree, durably, and was read back; the zero List says that there
// was nothing to do, and Reason why. The inputs are still there: Collect removes them when it is time.
//
// After an error the list may be there or not; it does no harm, and the next call ends the work. A file that another commit took back meanwhile is an error that
// satisfies errors.Is(err, fs.ErrNotExist) and durable.ErrNotStored: try again.
func (c *Combiner) Study(ctx context.Context, uid dedup.UID) (Combination, error) {
	s, plan, err := c.combination(ctx, uid)
	if err != nil || plan.List == (dedup.FileID{}) {
		return plan, err
	}
	if err := c.write(s, plan); err != nil {
		return plan, fmt.Errorf("combine study %s: %w", uid, err)
	}
	if err := c.check(s, plan); err != nil {
		return plan, fmt.Errorf("combine study %s: %w", uid, err)
	}
	return plan, nil
}

// write stores the list. Everything that it refers to is there: its inputs were seen, and an instance file or a list is seen only when what it refers to is durable. That they are not taken
// back, as what a failed commit had shown is, the batch sees to.
func (c *Combiner) write(s *study, plan Combination) error {
	staging, err := durable.OpenStaging(c.config.Tree, stagingFolder)
	if err != nil {
		return err
	}
	defer staging.Close()
	batch, err := staging.OpenBatch()
	if err != nil {
		return err
	}
	defer batch.Discard()
	temp, err := batch.Create()
	if err != nil {
		return err
	}
	if _, err := temp.Write(dedup.Compress(nil, plan.Content)); err != nil {
		return err
	}
	if err := batch.Place(temp, plan.List.Ref.In(s.uid), int(dedup.List)); err != nil {
		return err
	}
	for _, id := range plan.Inputs {
		for _, p := range s.paths[id] {
			batch.Rely(p)
		}
	}
	return batch.Commit(nil) // the name says the content
}

// check reads the list back and holds the study with it against the study without.
func (c *Combiner) check(s *study, plan Combination) error {
	folder, err := c.tree.Study(s.uid)
	if err != nil {
		return err
	}
	held, _, err := folder.Find(plan.List.Ref)
	if err != nil {
		return err
	}
	list, err := c.head(folder, held)
	if err == nil {
		err = list.Fault
	}
	if err != nil {
		return err
	}
	s.Files = slim(s.Files)
	before, after := dedup.Resolve(s.Files, s.Bulk), dedup.Resolve(append(slices.Clip(s.Files), list.Slim()), s.Bulk)
	if list.ID != plan.List || !proves(before, after, plan.List, plan.Inputs) {
		return fmt.Errorf("list %s is not what was written: %w", plan.List.Ref, dedup.ErrDamaged)
	}
	return nil
}
