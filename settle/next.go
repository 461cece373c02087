package settle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
)

// step is where the ladder left a study: what is shown of it. No decision reads it but for what stays as it is while a look is under way.
type step uint8

const (
	resting    step = iota // settled or in conflict, and nothing to do
	dirty                  // to be looked at
	incomplete             // what it refers to is not here
	syncing                // another site has more of it, or something failed
	quieting               // changed a moment ago
	holding                // the cluster does not allow it
	generating
	echoing
	publishing // being saved: from then on readers see it
	published  // readers see it; its next round, or another site, is waited for
	verifying
	certifying
)

var steps = [...]string{"rest", "dirty", "incomplete", "syncing", "quiet", "held", "generate", "echo", "publish", "published", "verify", "certify"}

// job is what is being done for a study. There is never more than one, so no study has two rounds at once.
type job uint8

const (
	idle     job = iota
	look         // Config.Look, and Records.Load before it if the record is not known
	generate     // a round
	verify       // a round that is expected to write nothing
	aside        // a provisional round
	echo         // to be in the next exchange
	save         // Records.Save of effect.record
)

var jobs = [...]string{"idle", "look", "generate", "verify", "provisional", "echo", "save"}

// facts are what is known of a study that is not at rest. Times are of this process's monotonic clock, which begins at an hour, so that 0 is never.
type facts struct {
	record Record
	leaf   dedup.Digest // found by the last look
	made   dedup.Digest // what the last round that ended well made; zero since another one began
	reason string

	last   time.Duration // when it was touched last, or was found changed
	first  time.Duration // when it was touched first since it was published last: Patience counts from here
	looked time.Duration // when the last look ended
	lookAt time.Duration // when the next one may begin, if stale
	retry  time.Duration // after a failure: nothing is done again before
	pause  time.Duration // when the next verifying round may begin
	wake   time.Duration // when the ladder has to be read again

	due       time.Time // Round.Due of the last round
	change    uint64    // Holding.Change
	missing   int32     // Holding.Missing and Faults
	instances int32
	vain      uint8 // rounds that were in vain lately: the study changed while they ran or soon after
	tries     uint8 // failures since something went well
	misses    uint8 // looks that found it incomplete, in the same way
	step      step
	job       job
	awaits    news   // what wakes it before its time,
	of        string // and of which site, if it is ofSite
	known     bool   // record is what was saved
	stale     bool   // a look is wanted: it was touched since the last one began, or something did not go well
	told      bool   // it was touched since the last look began
	heeded    bool   // and before that: what that look finds was to be expected
	complete  bool
	conflict  bool
	gone      bool // nothing of it is here
	verified  bool // the last round of this leaf wrote nothing
}

// what happened to a study.
type happening uint8

const (
	touched  happening = iota // somebody says that it may have changed
	woke                      // facts.wake is over
	gated                     // the gate's answer changed
	resumed                   // this process was stopped for a while
	reported                  // others may say something else of it than when they were asked last, and nothing changed here
	began                     // the job was taken up by a worker
	looked
	made
	echoed
	saved
)

// news is what another site may have to say that lets a study go on.
type news uint8

const (
	nothing news = iota
	ofStudy      // what it holds of the study, or offers
	ofSite       // that it has been compared, or is there again: that names no study. Or ofStudy
)

// event is what happened, with what came of it.
type event struct {
	kind    happening
	view    view // for all but touched, began and reported
	news    news // for reported: it is for studies that await this
	record  Record
	holding Holding
	round   Round
	err     error
}

// effect is what is to be done: at most one job, which ends in an event.
type effect struct {
	job     job
	record  Record // for save
	proof   *Proof // save only while this echo is fresh, and allows it; nil: it needs none
	notices []Event
	rest    bool // forget the study: its record, and the State that it was in, say all
	forget  bool // there is no such study
}

func (e *effect) say(kind Kind, leaf dedup.Digest, reason string) {
	e.notices = append(e.notices, Event{Kind: kind, Leaf: leaf, Reason: reason})
}

// next is the whole decision: what is known of a study, what happened, and when, give what is known then, and what is to be done.
func (r rules) next(uid dedup.UID, s facts, e event, now time.Duration) (facts, effect) {
	var out effect
	switch e.kind {
	case touched:
		return r.touch(s, now)
	case began:
		r.begin(&s)
		return s, out
	case reported:
		if s.job == idle && s.awaits >= e.news {
			s.wake, s.awaits, s.of = now, nothing, ""
		}
		return s, out
	case gated:
		if s.step == holding {
			s.last, s.first = now, restart(s.first, now) // what the others have to say after a cut comes within the quiet time
			if r.open(e.view.gate) {
				s.step = dirty
			}
		}
	case resumed:
		s.last = max(s.last, now) // nobody was listening, so it was not quiet
	case looked:
		r.looked(&s, e, now, &out)
	case made:
		r.made(&s, e, now, &out)
	case echoed:
		if e.err != nil {
			e.view.proof = nil // whatever it says
		}
		r.echoed(&s, e, now, &out)
	case saved:
		r.saved(&s, e, now, &out)
	}
	if s.job != idle { // its end will be judged by what is true then
		return s, out
	}
	if out.job == idle {
		r.advance(uid, &s, e.view, now, &out)
	}
	s.job = out.job
	return s, out
}

// restart is since, begun anew if it was begun.
func restart(since, now time.Duration) time.Duration {
	if since == 0 {
		return 0
	}
	return now
}

// touch wants a look. The first touch after some quiet gets one at once: most touches of a study at rest change nothing. While more of them come the look waits for
// their end, because a look reads what the study has, and a study may come in a thousand files.
func (r rules) touch(s facts, now time.Duration) (facts, effect) {
	quiet := r.quiet(s.vain)
	at := now
	if now-max(s.last, s.looked) < quiet {
		at = now + quiet
		if end := s.first + r.timing.Patience; s.first != 0 && s.looked < end {
			at = max(now, min(at, end))
		}
	}
	if waited := s.step == incomplete || s.step == syncing; s.first == 0 || waited && now-s.last >= quiet {
		s.first = now // what was waited for was not the end of changes
	}
	s.last, s.stale, s.told, s.lookAt = now, true, true, max(at, s.retry)
	var out effect
	if s.job == idle {
		s.lookNow(now, &out)
		s.job = out.job
	}
	return s, out
}

// begin is when a job is taken up. What changed before a look began it will see; what changed after a round began it may not.
func (r rules) begin(s *facts) {
	switch s.job {
	case look:
		s.stale, s.heeded, s.told = false, s.told, false
	case generate:
		s.made = dedup.Digest{}
	case verify:
		s.verified = false
	}
}

// looked takes in what a look found.
func (r rules) looked(s *facts, e event, now time.Duration, out *effect) {
	before := s.looked
	s.job, s.looked = idle, now
	if !s.known && (e.err == nil || errors.Is(e.err, fs.ErrNotExist)) {
		s.record, s.known, s.due = e.record, true, e.record.Due
	}
	switch {
	case errors.Is(e.err, fs.ErrNotExist):
		s.complete = false
		if s.gone = true; s.record.State != "" {
			s.reason = "nothing of it is here"
			out.say(WasGone, s.record.Leaf, s.reason)
		}
		return
	case e.err != nil:
		r.failed(s, "look", e.err, now, out)
		return
	}
	h := e.holding
	if h.Leaf != s.leaf {
		r.changed(s, before, now)
	}
	missing := int32(min(h.Missing+h.Faults, 1<<30))
	if h.Leaf != s.leaf || missing != s.missing {
		s.misses = 0
	}
	s.leaf, s.missing, s.instances, s.change = h.Leaf, missing, int32(min(h.Instances, 1<<30)), h.Change
	s.complete, s.conflict, s.gone = h.Complete, h.Conflict, false
	if s.complete {
		s.misses, s.reason = 0, ""
		return
	}
	r.missed(s, h, now, out)
}

// changed is when a look finds another leaf digest than the one before, which ended at before.
func (r rules) changed(s *facts, before, now time.Duration) {
	s.verified, s.tries, s.retry, s.pause = false, 0, 0, 0
	s.vain = r.decayed(s.vain, now-before)
	if s.leaf != (dedup.Digest{}) && (s.made == s.leaf || s.shown(r) == s.leaf) {
		s.vain = min(s.vain+1, growths)
	}
	if !s.heeded {
		s.last = now // nobody said so: who knows when it was
	}
	if s.first == 0 {
		s.first = now
	}
}

// missed is when a look finds that something is not here. It is looked for again, more and more seldom; most of it comes with a touch.
func (r rules) missed(s *facts, h Holding, now time.Duration, out *effect) {
	s.reason = count(h.Missing, "file that it refers to is not here", "files that it refers to are not here")
	if h.Missing == 0 {
		s.reason = count(h.Faults, "list or instance file cannot be read", "lists or instance files cannot be read")
	}
	if s.step != incomplete {
		out.say(WasIncomplete, h.Leaf, s.reason)
	}
	s.step = incomplete
	if s.misses++; s.misses <= lastMiss && !s.stale {
		s.stale, s.lookAt = true, now+doubled(firstMiss, longMiss, s.misses-1)
	}
}

// failed is when something that was tried went wrong. The study is looked at again before it is tried again.
func (r rules) failed(s *facts, what string, err error, now time.Duration, out *effect) {
	s.reason = fmt.Sprintf("%s: %v", what, err)
	s.retry = now + doubled(firstRetry, longRetry, s.tries)
	s.tries = min(s.tries+1, growths)
	s.stale, s.lookAt = true, max(s.lookAt, s.retry)
	out.notices = append(out.notices, Event{Kind: WasFailed, Leaf: s.leaf, Reason: s.reason, cause: cause(err)})
}

// cause is what a log may say of an error: texts name paths, and those name studies.
func cause(err error) string {
	var errno syscall.Errno
	var panicked *panicError
	switch {
	case errors.As(err, &errno):
		return errno.Error()
	case errors.As(err, &panicked):
		return "panic"
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded.Error()
	}
	return "see the study's reason"
}

// withdrawn reports whether that error says that the job was given up because of what this site knows, or does not know, of the others, and is nobody's fault.
func withdrawn(err error) bool { return errors.Is(err, ErrClosed) || errors.Is(err, ErrStopped) }

// made takes in what a round did.
func (r rules) made(s *facts, e event, now time.Duration, out *effect) {
	did := s.job
	s.job = idle
	switch {
	case withdrawn(e.err):
		s.last = now
		return
	case e.err != nil:
		r.failed(s, jobs[did], e.err, now, out)
		return
	}
	out.say(WasGenerated, e.round.Leaf, "")
	s.retry = 0
	if e.round.Leaf != s.leaf && !s.stale {
		s.stale, s.lookAt = true, now
	}
	if did == aside {
		s.tries = 0
		out.job, out.record = save, s.record
		out.record.Provisional = e.round.Leaf
		return
	}
	s.made, s.due = e.round.Leaf, e.round.Due
	if latest := e.view.wall.Add(farthest); s.due.After(latest) {
		s.due = latest
	}
	still := e.round.Wrote == 0 && !e.round.Changed
	s.verified = did == verify && still && e.round.Leaf == s.leaf
	if did == generate || still {
		s.tries = 0
		return
	}
	s.reason = fmt.Sprintf("a round of what was published changed files, %d of them", e.round.Wrote)
	s.pause = now + doubled(r.timing.Quiet, longRetry, s.tries) // somebody else writes there, or the generator is not the function that it should be
	s.tries = min(s.tries+1, growths)
	if s.record.State != "" {
		s.record.State, s.record.Certificate = Published, nil
	}
}

// echoed takes in an answer, or silence.
func (r rules) echoed(s *facts, e event, now time.Duration, out *effect) {
	s.job = idle
	switch {
	case errors.Is(e.err, ErrStopped):
		s.last = now
	case e.err != nil:
		s.reason = fmt.Sprintf("echo: %v", e.err)
		s.retry = now + doubled(firstRetry, longSilent, s.tries)
		s.tries = min(s.tries+1, growths)
		if s.step == echoing || s.step == holding {
			if s.step == echoing {
				out.say(WasHeld, s.leaf, s.reason)
			}
			s.step, s.first = holding, restart(s.first, now)
		}
	default:
		s.tries, s.retry = 0, 0
	}
}

// saved takes in that a record is saved, or is not.
func (r rules) saved(s *facts, e event, now time.Duration, out *effect) {
	s.job = idle
	switch {
	case withdrawn(e.err):
		s.last = now
		return
	case e.err != nil:
		r.failed(s, "save", e.err, now, out)
		return
	}
	before := s.record
	s.record, s.tries, s.retry = e.record, 0, 0
	state := s.record.State
	switch {
	case state == Published && (before.Published != s.record.Published || before.Version != s.record.Version):
		out.say(WasPublished, s.record.Published, "")
		s.pause = now + r.timing.Quiet
		if s.first = 0; s.stale {
			s.first = now
		}
	case state == Conflict && before.State != Conflict:
		out.say(WasConflict, s.record.Leaf, "")
	case state == Settled && before.State != Settled:
		out.say(WasSettled, s.record.Leaf, "")
	}
}

// shown is what readers see, if this generator made it.
func (s *facts) shown(r rules) dedup.Digest {
	if s.record.Version != r.version {
		return dedup.Digest{}
	}
	return s.record.Published
}
