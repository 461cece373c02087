package settle

import (
	"time"

	"github.com/dicomesh/dicomesh/dedup"
)

// advance reads the ladder: the first condition that holds says what is to be done, or waited for. It is read when no job is under way, after every event, from
// facts alone, so no way into a state can be forgotten and no lost event can leave a study behind for longer than facts.wake.
func (r rules) advance(uid dedup.UID, s *facts, v view, now time.Duration, out *effect) {
	s.wake, s.awaits, s.of = 0, nothing, ""
	open := r.open(v.gate)
	if !open {
		s.first = restart(s.first, now) // patience is for a study that keeps changing, not for a cluster that is not whole
	}
	overdue := s.first != 0 && now >= s.first+r.timing.Patience
	free := overdue && now >= s.retry && lacking(v.others) == "" // to go on though it changes meanwhile
	pending := s.made != (dedup.Digest{}) && s.made != s.shown(r)
	switch {
	case pending && free, pending && !s.stale && s.complete && s.made == s.leaf:
		r.publish(s, v, now, out, overdue)
	case s.stale && !(free && s.complete && s.leaf != s.shown(r) && s.looked >= s.first+r.timing.Patience):
		s.lookNow(now, out)
	case s.gone && s.record.State == "":
		out.rest, out.forget = true, true
	case s.gone, !s.complete:
		r.giveUp(s, out)
	case s.leaf == s.shown(r):
		r.confirm(uid, s, v, now, out)
	default:
		r.prepare(s, v, now, out, overdue)
	}
}

// lookNow begins the look that is wanted, or waits until it may.
func (s *facts) lookNow(now time.Duration, out *effect) {
	switch s.step {
	case incomplete, syncing, quieting, holding: // it is that until the look says something else
	default:
		s.step = dirty
	}
	if now < s.lookAt {
		s.wake = s.lookAt
		return
	}
	s.wake, out.job = 0, look // what it waited for until now does not end before the look does
}

// giveUp lets an incomplete study rest: it was looked at often enough, and whatever comes for it touches it.
func (r rules) giveUp(s *facts, out *effect) {
	s.step = incomplete
	leaf := s.leaf
	if s.gone {
		leaf = s.record.Leaf
	}
	if s.record.State == Incomplete && s.record.Leaf == leaf && s.record.Reason == s.reason {
		out.rest = true
		return
	}
	out.job, out.record = save, s.record
	out.record.State, out.record.Leaf, out.record.Reason, out.record.Certificate = Incomplete, leaf, s.reason, nil
}

// wait stays at a step until then, or until it is touched or the gate changes if then is 0.
func (s *facts) wait(at step, why string, until time.Duration) {
	s.step, s.reason, s.wake = at, why, until
}

// await waits for another site to say, or to do, something. Whatever it is wakes the study; that it is asked again all the same, after a while, is for news that got lost.
func (s *facts) await(at step, why string, v view, now time.Duration) {
	s.wait(at, why, now+othersPoll)
	if s.awaits, s.of = ofStudy, unnamed(v); s.of != "" {
		s.awaits = ofSite
	}
}

// prepare brings a study that is complete here, and other than what readers see, to its round.
func (r rules) prepare(s *facts, v view, now time.Duration, out *effect, overdue bool) {
	lack := lacking(v.others)
	quietAt := s.last + r.quiet(s.vain)
	switch {
	case !r.open(v.gate):
		r.hold(s, v, now, out)
	case lack != "":
		s.await(syncing, lack, v, now)
	case now < s.retry:
		s.wait(syncing, s.reason, s.retry)
	case !overdue && now < quietAt:
		s.wait(quieting, "", r.sooner(s.first, quietAt))
	case !overdue && v.busy:
		s.wait(quieting, "more of it is being ingested", now+busyPoll)
	default:
		s.step, s.reason, out.job = generating, "", generate
	}
}

// sooner is then, or when patience ends.
func (r rules) sooner(first, then time.Duration) time.Duration {
	if first == 0 {
		return then
	}
	return min(then, first+r.timing.Patience)
}

// hold keeps a study that the cluster does not allow, and makes provisional output of it where the operator wants some.
func (r rules) hold(s *facts, v view, now time.Duration, out *effect) {
	why := shut(v.gate)
	if s.step != holding || s.reason != why {
		out.say(WasHeld, s.leaf, why)
	}
	s.wait(holding, why, 0)
	if v.gate.State == Partial || !r.policy.Split || s.record.Provisional == s.leaf {
		return
	}
	if at := max(s.last+r.quiet(s.vain), s.retry); now < at {
		s.wake = at
		return
	}
	out.job = aside
}

// publish brings a study whose files are made to its readers. An echo that was not answered keeps it held until one is.
func (r rules) publish(s *facts, v view, now time.Duration, out *effect, overdue bool) {
	lack := lacking(v.others)
	quietAt := s.last + r.quiet(s.vain)
	switch {
	case !r.open(v.gate):
		r.hold(s, v, now, out)
	case lack != "":
		s.await(syncing, lack, v, now)
	case now < s.retry:
		s.wake = s.retry // at the step where it failed
	case !overdue && now < quietAt:
		s.wait(quieting, "", r.sooner(s.first, quietAt))
	case v.proof == nil || !answered(*v.proof, v.gate):
		if out.job = echo; s.step != holding {
			s.step, s.reason = echoing, ""
		}
	case voided(*v.proof, v.others) != "":
		s.await(syncing, voided(*v.proof, v.others), v, now)
	default:
		s.step, s.reason, out.job, out.proof = publishing, "", save, v.proof
		out.record = Record{State: Published, Leaf: s.made, Published: s.made, Version: r.version, Due: s.due}
	}
}

// confirm brings a study that readers see as it is to its certificate.
func (r rules) confirm(uid dedup.UID, s *facts, v view, now time.Duration, out *effect) {
	done := Settled
	if s.conflict {
		done = Conflict
	}
	if s.record.State == done && s.record.Leaf == s.leaf {
		r.keep(s, v, now, out)
		return
	}
	lack := lacking(v.others)
	switch {
	case !r.open(v.gate):
		s.wait(published, shut(v.gate), 0)
	case lack != "":
		s.await(syncing, lack, v, now)
	case now < max(s.retry, s.pause) && !s.verified:
		s.wait(published, s.reason, max(s.retry, s.pause))
	case !s.verified:
		s.step, s.reason, out.job = verifying, "", verify
	case s.conflict:
		s.step, s.reason, out.job, out.record = certifying, "", save, s.record
		out.record.State, out.record.Leaf, out.record.Due, out.record.Certificate = Conflict, s.leaf, s.due, nil
	default:
		r.settle(uid, s, v, now, out)
	}
}

// settle makes the certificate of a study that is verified, once every site is level.
func (r rules) settle(uid dedup.UID, s *facts, v view, now time.Duration, out *effect) {
	certificate, why := r.certify(uid, Stand{r.site, s.leaf, true, true, s.change, r.incarnation}, v)
	switch {
	case certificate == nil:
		s.await(published, why, v, now)
	case now < s.retry:
		s.wait(published, s.reason, s.retry)
	case v.proof == nil || !answered(*v.proof, v.gate):
		s.step, s.reason, out.job = certifying, "", echo
	case voided(*v.proof, v.others) != "":
		s.await(published, voided(*v.proof, v.others), v, now)
	default:
		certificate.Nonce = v.proof.Nonce
		s.step, s.reason, out.job, out.proof, out.record = certifying, "", save, v.proof, s.record
		out.record.State, out.record.Leaf, out.record.Due, out.record.Certificate = Settled, s.leaf, s.due, certificate
		out.record.Reason, out.record.Provisional = "", dedup.Digest{}
	}
}

// keep lets a settled study rest, as soon as it has cooled down and what its last round replaced is removed. Only certain news of more at another site ends that:
// a cut, or a site that has not been compared, takes nothing back.
func (r rules) keep(s *facts, v view, now time.Duration, out *effect) {
	more := surplus(v.others)
	switch open := r.open(v.gate); {
	case more != "" && open:
		s.await(syncing, more, v, now)
		return
	case more != "":
		if s.step != holding {
			out.say(WasHeld, s.leaf, more)
		}
		s.wait(holding, more, 0)
		return
	case !s.due.Equal(s.record.Due):
		out.job, out.record = save, s.record
		out.record.Due = s.due
	case s.due.IsZero():
		cold := s.last + r.cool(s.vain)
		if s.wake = cold; s.made == (dedup.Digest{}) || now >= cold {
			s.wake, out.rest = 0, true
		}
	case now < s.retry:
		s.wake = s.retry
	case v.wall.Before(s.due) && s.due.Sub(v.wall) <= farthest:
		s.wake = now + min(s.due.Sub(v.wall), longMiss) // a clock that is wrong costs a look at it now and then
	case open:
		out.job = verify
	}
	s.step, s.reason = resting, ""
}
