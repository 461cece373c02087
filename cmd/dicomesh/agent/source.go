package agent

import (
	"context"
	"math"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/settle"
)

// Status implements admin.Source.
func (s *site) Status() admin.Status {
	loop := s.loop.Status()
	t := loop.Totals
	reason := loop.Gate.Reason
	if s.mesh != nil {
		reason = s.reach.Current().Reason // with times
	}
	return admin.Status{
		Site: s.mark.Site, Cluster: s.mark.Cluster, State: string(loop.Gate.State), Reason: reason, Since: s.since(string(loop.Gate.State)),
		Sites: s.sites(), Links: s.lines(), Alarms: s.alarms(),
		Studies: admin.Studies{Total: t.Total, Settled: t.Settled, Published: t.Published, Syncing: t.Syncing, Held: t.Held, Conflict: t.Conflict, Incomplete: t.Incomplete,
			Provisional: s.aside.count()},
		Disk:  *s.room.now.Load(),
		Agent: s.phaseNow(loop.Ready), Started: s.started, Version: s.config.Version, Incarnation: s.index.Incarnation, HTTP: s.address, Page: s.page(), Certificate: s.tls.Ending(s.config.Machine.Wall()),
		Inbox: s.inboxStatus(), Watch: s.watchStatus(), Combining: s.combining(), Removed: s.removed(),
		Work: admin.Work{Rounds: loop.Made, Written: loop.Wrote, Failures: loop.Failures, Faults: s.faults.Load(), Busy: loop.Looking + loop.Rounds},
	}
}

// phaseNow is what the agent as a whole is doing.
func (s *site) phaseNow(ready bool) string {
	if s.ending.Load() {
		return admin.Stopping
	}
	if !ready {
		return admin.Starting
	}
	return admin.Running
}

// since is when the cluster came to be in the state that it is in. It is called every second, whether anybody asks or not.
func (s *site) since(state string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != state {
		s.state, s.stateSince = state, time.Now()
	}
	return s.stateSince
}

func (s *site) inboxStatus() admin.Inbox {
	b := s.inbox.Status()
	return admin.Inbox{Waiting: int(b.Waiting), LeftAlone: int(b.Ignored), Stuck: int(b.Stuck), StuckWhy: b.StuckWhy, Paused: b.Paused, Stored: uint64(b.Stored), Duplicate: uint64(b.Duplicates),
		Conflict: uint64(b.Conflicts), Refused: uint64(b.Refused)}
}

func (s *site) watchStatus() admin.Watch {
	w := s.watcher.Status()
	out := admin.Watch{Watches: w.Watches, Hot: w.Hot, Cold: w.Cold, Unseen: max(0, s.atStart-w.Hot-w.Cold), Unfinished: w.Unfinished, Overflows: w.Overflows, LastCycle: w.LastCycle, Limited: w.Limited}
	out.Unreachable = s.absent()
	if dated := s.library.Summary().Dated; dated > 0 {
		out.Rescanned = time.Unix(int64(dated), 0).UTC()
	}
	return out
}

// Touch implements admin.Source.
func (s *site) Touch(uids []dedup.UID) {
	for _, uid := range uids {
		s.loop.Touch(uid)
		s.watcher.Heat(uid)
	}
}

// Study implements admin.Source.
func (s *site) Study(ctx context.Context, uid dedup.UID) (admin.Study, error) {
	known, err := s.loop.Study(ctx, uid)
	if err != nil {
		return admin.Study{}, err
	}
	row, indexed, err := s.index.Study(ctx, uid)
	if err != nil {
		return admin.Study{}, err
	}
	if known.State == "" && !indexed {
		return admin.Study{}, admin.ErrUnknown
	}
	out := admin.Study{Row: rowOf(row, known), Provisional: known.Provisional != dedup.Digest{} && known.Provisional != known.Published, Missing: []string{}}
	out.Study, out.Certificate = uid.String(), evidence(known.Certificate)
	own := admin.Holder{Site: s.mark.Site, Level: true, Complete: row.Complete, Durable: true}
	if s.absent() != "" {
		own = admin.Holder{Site: s.mark.Site, Why: noArchive}
	}
	out.Holders = append([]admin.Holder{own}, s.holders(known)...)
	return out, s.wants(ctx, uid, &out)
}

// evidence is a certificate as it is shown; nil: there is none.
func evidence(c *settle.Certificate) *admin.Certificate {
	if c == nil {
		return nil
	}
	out := &admin.Certificate{Leaf: c.Leaf.String(), Generator: c.Version, Epoch: c.Epoch, Nonce: c.Nonce, Sites: []admin.Report{}, Exceptions: c.Exceptions}
	for _, x := range c.Sites {
		out.Sites = append(out.Sites, admin.Report{Site: x.Site, Leaf: x.Leaf.String(), Complete: x.Complete, Durable: x.Durable, Number: x.Number, Incarnation: x.Incarnation})
	}
	return out
}

// wants fills in what is missing or wrong of a study that is not complete.
func (s *site) wants(ctx context.Context, uid dedup.UID, out *admin.Study) error {
	if out.State != string(settle.Incomplete) {
		return nil
	}
	held, err := s.library.Look(ctx, uid)
	if err != nil {
		return err
	}
	out.MissingCount = held.MissingCount
	for _, ref := range held.Missing {
		out.Missing = append(out.Missing, fileName(ref))
	}
	for _, t := range append(held.Corrupt, held.Vanished...) {
		out.Faults = append(out.Faults, admin.Fault{Path: fileName(t.Ref), Reason: t.Reason})
	}
	return nil
}

// rowOf is a study in a list.
func rowOf(row index.Study, known settle.StudyStatus) admin.Row {
	out := admin.Row{Change: row.Change, Study: row.UID.String(), State: string(known.State), Instances: row.Instances, Series: row.Series, Bytes: row.Bytes, Reason: known.Reason}
	if known.State == "" {
		out.State = string(settle.Syncing) // the index has it, and the loop is still reading its records
	}
	if leaf := row.Leaf; leaf != (dedup.Digest{}) {
		out.Leaf = leaf.String()
	}
	return out
}

// atOnce is how many rows of the index are read before they are looked at. A walk that asked for more while it holds a connection could wait for itself.
const atOnce = 1000

// Studies implements admin.Source: a page of the index, with each study's state as it is now.
func (s *site) Studies(ctx context.Context, q admin.Query) ([]admin.Row, error) {
	var found []admin.Row
	moving := map[dedup.UID]bool{}
	for _, known := range s.loop.List(settle.State(q.State), math.MaxInt) {
		moving[known.Study] = true
	}
	for at := q; ; {
		rows, err := s.rows(ctx, at)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			at.Pass(row.Change)
			if row.Nothing() && row.Published == nil || q.Match != nil && !q.Match(row.UID) {
				continue
			}
			one, ok, err := s.row(ctx, row, q.State, moving)
			if err != nil {
				return nil, err
			}
			if ok {
				found = append(found, one)
			}
			if len(found) == q.Limit {
				return found, nil
			}
		}
		if len(rows) < atOnce {
			return found, nil
		}
	}
}

// rows are the next rows of the index.
func (s *site) rows(ctx context.Context, q admin.Query) ([]index.Study, error) {
	all := s.index.Studies(ctx, q.After)
	if q.Before > 0 {
		all = s.index.Newest(ctx, q.Before)
	}
	var rows []index.Study
	for row, err := range all {
		if err != nil {
			return nil, err
		}
		if rows = append(rows, row); len(rows) == atOnce {
			break
		}
	}
	return rows, nil
}

// row is a study in a list of those in a state ("": all); false if it is in another one. A study at rest is in the state of its record, so only those that may be meant
// are asked for; moving are the others that may be.
func (s *site) row(ctx context.Context, row index.Study, state string, moving map[dedup.UID]bool) (admin.Row, bool, error) {
	if state != "" && !moving[row.UID] && string(s.records.read(row).State) != state {
		return admin.Row{}, false, nil
	}
	known, err := s.loop.Study(ctx, row.UID)
	if err != nil {
		return admin.Row{}, false, err
	}
	found := rowOf(row, known)
	return found, state == "" || found.State == state, nil
}
