package agent

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/events"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/agent/tend"
	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/combine"
	"github.com/dicomesh/dicomesh/settle"
)

// openTender makes what combines and collects, unless the operator does not want it.
func (s *site) openTender() {
	c := s.config.Combine
	if !c.Enabled {
		return
	}
	combiner := combine.New(combine.Config{Tree: floored{FS: s.tree, refusal: s.room.refusal}, Keep: time.Duration(c.Keep), Grace: time.Duration(c.Grace),
		InUse: s.reading.uses, Gone: s.library.Gone, Clock: s.config.Machine.Clock})
	s.tender = tend.New(tend.Config{Combiner: combiner, After: time.Duration(c.After), Resting: s.resting, Idle: s.idle, Changed: s.rewritten, Did: s.tended, Log: s.log})
}

// runTender runs it.
func (s *site) runTender(work *group) {
	if s.tender != nil {
		work.run("combine", s.tender.Run)
	}
}

// rest hears that a study has settled.
func (s *site) rest(uid dedup.UID) {
	if s.tender != nil {
		s.tender.Settled(uid)
	}
}

// resting are the studies that are settled and not one list. The next ones are looked for after a rest as long as the search for the last ones took: at the start there is
// other work. One that cannot be listed comes with its error, and keeps no other away.
func (s *site) resting(ctx context.Context) iter.Seq2[dedup.UID, error] {
	return func(yield func(dedup.UID, error) bool) {
		for after, more := uint64(0), true; more && ctx.Err() == nil; {
			began := time.Now()
			var found []dedup.UID
			var err error
			if found, after, more, err = s.settled(ctx, after); err != nil {
				yield(dedup.UID{}, err)
				return
			}
			for _, uid := range found {
				if many, err := s.scattered(uid); (many || err != nil) && !yield(uid, err) {
					return
				}
			}
			timer := time.NewTimer(time.Since(began))
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
			timer.Stop()
		}
	}
}

// settled are those among the next studies of the index, and behind which change to go on; more is false at its end.
func (s *site) settled(ctx context.Context, after uint64) (found []dedup.UID, last uint64, more bool, err error) {
	last, seen := after, 0
	for row, err := range s.index.Studies(ctx, after) {
		if err != nil {
			return nil, last, false, err
		}
		last = row.Change
		if s.records.read(row).State == settle.Settled {
			found = append(found, row.UID)
		}
		if seen++; seen == atOnce {
			return found, last, true, nil
		}
	}
	return found, last, false, nil
}

// scattered reports whether a study is more than one list.
func (s *site) scattered(uid dedup.UID) (bool, error) {
	folder, err := dedup.NewTree(s.tree).Study(uid)
	if err != nil {
		return false, err
	}
	heads, err := folder.Heads()
	return len(heads) > 1 || len(heads) == 1 && heads[0].Ref.Class == dedup.Instance, err
}

// idle says whether a study may be combined and collected: it is settled, the cluster would let its files be made again, and there is room. While other studies are on their
// way it is not known of other sites for some moments what they hold of this one, so a no is not for long.
func (s *site) idle(ctx context.Context, uid dedup.UID) (tend.Rest, error) {
	switch v, err := s.loop.Allow(ctx, uid); {
	case err != nil || v.State != settle.Settled:
		return tend.Changing, err
	case !v.Generate || s.room.refusal() != nil:
		return tend.NotNow, nil
	}
	return tend.Idle, nil
}

// rewritten hears of a study whose lists and instance files this site itself has changed.
func (s *site) rewritten(uid dedup.UID) {
	s.own.add(uid)
	s.loop.Touch(uid)
}

// tended says what was done.
func (s *site) tended(d tend.Done) {
	switch {
	case d.Combined > 0:
		s.events.Add(events.Combined, d.Study.String(), fmt.Sprintf("%d instance files and lists into a list of %d records", d.Combined, d.Records))
	case d.Collected > 0:
		s.events.Add(events.Collected, d.Study.String(), fmt.Sprintf("%d instance files and lists that a list accounts for", d.Collected))
	}
}

// combining is how that goes.
func (s *site) combining() admin.Combining {
	if s.tender == nil {
		return admin.Combining{}
	}
	x := s.tender.Status()
	return admin.Combining{On: true, Lists: x.Combined, Inputs: x.Inputs, Collected: x.Collected, Failures: x.Failures, Waiting: x.Waiting, Reason: x.Reason}
}
