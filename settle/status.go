package settle

import (
	"context"
	"slices"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
)

// Totals counts studies by state; Total is the sum of the others.
type Totals struct {
	Total, Settled, Published, Syncing, Held, Conflict, Incomplete int
}

// Status is what the loop can say of all studies.
type Status struct {
	Ready    bool // all records have been read: before that the totals are not of all studies
	Totals   Totals
	Gate     Gate
	Looking  int    // looks under way
	Rounds   int    // rounds under way
	Waiting  int    // studies that wait for a worker
	Touches  uint64 // since the start, as all below
	Looked   uint64
	Made     uint64 // rounds that ended well
	Wrote    uint64 // files that they wrote
	Failures uint64 // looks, rounds and saves that failed
	Echoes   uint64 // that were answered by all
	Silences uint64 // echoes that were not
	Stops    uint64 // times that this process was found to have been stopped
}

// StudyStatus is what the loop can say of one study.
type StudyStatus struct {
	Study       dedup.UID
	State       State
	Step        string       // in the words of the format text's state machine, lower case: "quiet", "generate", "echo" ...; "rest" for a study at rest
	Leaf        dedup.Digest // here, when it was last looked at
	Published   dedup.Digest // what readers see; zero: nothing
	Provisional dedup.Digest
	Reason      string // why it is not further; "" if there is nothing to say
	Others      []SiteReport
	Certificate *Certificate // of a settled study
}

// Verdict answers whoever wants to generate, or to serve, a study on his own.
type Verdict struct {
	Generate    bool // a round may run now, as far as the cluster and the study are concerned
	Published   bool // readers may be shown what is in the current tree
	Provisional bool // there is provisional output, or a provisional round may run: the operator allows it
	State       State
	Reason      string        // why not
	Retry       time.Duration // when asking again makes sense, where Generate is false
}

// Status returns the totals. It does not wait for anything.
func (l *Loop) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.status
	s.Totals, s.Gate = l.totals, l.gate
	return s
}

// count enters that so many more studies are in a state.
func (l *Loop) count(state State, n int) {
	l.totals.Total += n
	switch state {
	case Settled:
		l.totals.Settled += n
	case Published:
		l.totals.Published += n
	case Held:
		l.totals.Held += n
	case Conflict:
		l.totals.Conflict += n
	case Incomplete:
		l.totals.Incomplete += n
	default:
		l.totals.Syncing += n
	}
}

// state is what a study that is not at rest counts as.
func (s *study) state() State {
	switch s.step {
	case incomplete:
		return Incomplete
	case holding:
		return Held
	case published, verifying, certifying:
		return Published
	case resting:
		return s.record.State
	}
	return Syncing
}

// Study returns what is known of a study; State is "" if nothing is.
func (l *Loop) Study(ctx context.Context, uid dedup.UID) (StudyStatus, error) {
	l.mu.Lock()
	s := l.studies[uid]
	if s != nil {
		status, known := s.status(), s.known
		l.mu.Unlock()
		status.Others = l.config.Cluster.Others(uid)
		if known {
			return status, nil
		}
		r, err := l.config.Records.Load(ctx, uid)
		status.Published, status.Provisional = r.Published, r.Provisional
		return status, err
	}
	state := l.rest[l.key(uid)].state()
	l.mu.Unlock()
	status := StudyStatus{Study: uid, State: state}
	if state == "" {
		return status, nil
	}
	r, err := l.config.Records.Load(ctx, uid)
	status.Step, status.Leaf, status.Published, status.Provisional = steps[resting], r.Leaf, r.Published, r.Provisional
	status.Reason, status.Others = r.Reason, l.config.Cluster.Others(uid)
	if state == Settled {
		status.Certificate = r.Certificate
	}
	return status, err
}

// status is what is known of it in memory. The caller holds mu.
func (s *study) status() StudyStatus {
	status := StudyStatus{Study: s.uid, State: s.state(), Step: steps[s.step], Leaf: s.leaf, Published: s.record.Published,
		Provisional: s.record.Provisional, Reason: s.reason}
	if status.State == Settled {
		status.Certificate = s.record.Certificate
	}
	return status
}

// List returns up to limit of the studies in a state that are not at rest, in order of their UIDs: all that are Syncing, Held or Published, and those
// that are Incomplete while they are looked for. The others are in the index with their Records.
func (l *Loop) List(state State, limit int) []StudyStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []*study
	for _, s := range l.studies {
		if s.state() == state {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b *study) int { return a.uid.Compare(b.uid) })
	var list []StudyStatus
	for _, s := range found[:min(limit, len(found))] {
		list = append(list, s.status())
	}
	return list
}

// Wait returns nil as soon as cond returns true, which is asked again whenever anything changed. Before the records have been read it is not asked. cond may call
// the Loop's other methods. Any number may wait.
func (l *Loop) Wait(ctx context.Context, cond func() bool) error {
	l.mu.Lock()
	l.waiters++
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		l.waiters--
		l.mu.Unlock()
	}()
	for {
		l.mu.Lock()
		changed, ready := l.changed, l.status.Ready
		l.mu.Unlock()
		if ready && cond() {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		}
	}
}

// Allow is the gate for those who generate or serve outside of the loop: lazily, or by hand. They ask again right before they begin, and at once after they ended:
// a round that ran while the gate closed has to be followed by a Touch.
func (l *Loop) Allow(ctx context.Context, uid dedup.UID) (Verdict, error) {
	s, err := l.Study(ctx, uid)
	if err != nil {
		return Verdict{}, err
	}
	g := l.config.Cluster.Gate()
	v := Verdict{Published: s.Published != (dedup.Digest{}), State: s.State}
	v.Provisional = s.Provisional != (dedup.Digest{}) || l.config.Policy.Split && g.State != Whole && g.State != Partial
	switch lack := lacking(s.Others); {
	case s.State == "":
		v.Reason = "nothing is known of it"
	case !l.rules.open(g):
		v.Reason = shut(g)
	case s.State == Incomplete:
		v.Reason = s.Reason
	case lack != "":
		v.Reason = lack
	default:
		v.Generate = true
		return v, nil
	}
	v.Retry = retryAfter
	return v, nil
}

// retryAfter is when a client that was refused should ask again: within it most studies are done, and a cut is rarely over.
const retryAfter = 10 * time.Second
