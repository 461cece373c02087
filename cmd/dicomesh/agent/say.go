package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/audit"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/events"
	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/dedup/ingest"
	"github.com/dicomesh/dicomesh/settle"
	"github.com/dicomesh/dicomesh/syncer"
	"github.com/dicomesh/dicomesh/syncer/link"
)

// What happens in the parts becomes events here, and nowhere else: so one look shows that none of them names a patient.

// ofStudy are settle's words that an operator should hear, and under which kind. The others are steps on the way.
func ofStudy(k settle.Kind) (events.Kind, bool) {
	kind, ok := map[settle.Kind]events.Kind{
		settle.WasIncomplete: events.Incomplete, settle.WasHeld: events.Held, settle.WasFailed: events.Generation, settle.WasPublished: events.Published,
		settle.WasConflict: events.Conflict, settle.WasSettled: events.Settled, settle.WasGone: events.Vanished,
	}[k]
	return kind, ok
}

// studyEvent says what happened to a study.
func (s *site) studyEvent(e settle.Event) {
	if e.Kind == settle.WasConflict {
		s.record(audit.Conflict, e.Study.String(), e.Reason)
	}
	if e.Kind == settle.WasSettled {
		s.rest(e.Study)
	}
	if kind, ok := ofStudy(e.Kind); ok {
		s.events.Add(kind, e.Study.String(), e.Reason)
	}
}

// taken says what became of a file of the inbox. Its name is not said: it may be a patient's.
func (s *site) taken(r ingest.Result) {
	study := ""
	if r.Study != (dedup.UID{}) {
		study = r.Study.String()
		s.own.add(r.Study)
		s.loop.Touch(r.Study)
		s.watcher.Heat(r.Study)
	}
	if r.Status == ingest.Refused {
		s.events.Add(events.Refused, study, r.Reason)
	}
	s.log.Debug("instance taken", "status", string(r.Status), "study", study, "reason", r.Reason)
}

// troubles says which files of a study do not count, each once.
func (s *site) troubles(h index.Holding) {
	for _, t := range h.Corrupt {
		if t.New {
			s.faults.Add(1)
			s.events.Add(events.Fault, h.Study.String(), fileName(t.Ref)+": "+t.Reason)
		}
	}
	for _, t := range h.Vanished {
		if t.New {
			s.faults.Add(1)
			s.events.Add(events.Vanished, h.Study.String(), fileName(t.Ref)+": "+t.Reason)
		}
	}
}

// fileName names a file of the archive: by hash or UID. Others have the names that somebody gave them, who may have thought of a patient.
func fileName(r dedup.Ref) string {
	if r.Class == dedup.Other {
		return "a file of another kind"
	}
	return r.Path()
}

// roomChanged says that a disk is full, low, or can only be read, or none of them again.
func (s *site) roomChanged(before, now admin.Disk) {
	kind := map[string]events.Kind{admin.DiskOK: events.DiskRoom, admin.DiskLow: events.DiskLow, admin.DiskFull: events.DiskFull, admin.DiskReadOnly: events.DiskFull}[now.State]
	if rank(before) > rank(now) && now.State == admin.DiskLow {
		kind = events.DiskRoom
	}
	reason := now.Reason
	switch {
	case reason != "":
	case before.State == admin.DiskReadOnly:
		reason = "it can be written again"
	default:
		reason = "there is room again"
	}
	s.events.Add(kind, "", fmt.Sprintf("%s: %s", now.Path, reason))
	s.log.Warn("room on disk changed", "path", now.Path, "state", now.State, "free", now.Free)
}

// linkEvent says what happened to a link.
func (s *site) linkEvent(e link.Event) {
	kind := map[link.EventKind]events.Kind{link.Up: events.Link, link.Down: events.Link, link.Failed: events.Link, link.Refused: events.Stranger, link.Warning: events.Link,
		link.Joined: events.Joined, link.Forged: events.Neighbour}[e.Kind]
	words := fmt.Sprintf("%s %s", e.Site, e.Kind)
	if e.Site == "" {
		words = string(e.Kind)
	}
	if e.Address != "" {
		words += " (" + e.Address + ")"
	}
	if e.Reason != "" {
		words += ": " + e.Reason
	}
	if e.Omitted > 0 {
		words += fmt.Sprintf("; %d more before", e.Omitted)
	}
	s.events.Add(kind, "", words)
	s.disowned.note(e, time.Now())
	switch e.Kind {
	case link.Refused, link.Forged:
		s.record(audit.Refused, e.Site, words)
	case link.Joined:
		s.record(audit.Roster, e.Site, words)
	}
}

// record has a decision written into the audit log, soon: whoever decides does not wait for a disk. One that finds no room is said in the log, not kept.
func (s *site) record(kind audit.Kind, about, text string) {
	select {
	case s.entries <- audit.Entry{At: time.Now(), Kind: kind, By: s.mark.Site, About: about, Text: text}:
	default:
		s.log.Error("the audit log cannot keep up, a decision is not in it", "kind", string(kind))
	}
}

// writeAudit writes decisions, those that wait together at once, until the site ends; then what still waits.
func (s *site) writeAudit(ctx context.Context) error {
	for {
		var some []audit.Entry
		select {
		case e := <-s.entries:
			some = append(some, e)
		case <-ctx.Done():
		}
		for more := true; more; {
			select {
			case e := <-s.entries:
				some = append(some, e)
			default:
				more = false
			}
		}
		if len(some) > 0 {
			if err := s.audit.Append(some...); err != nil {
				s.log.Error("decisions could not be written into the audit log", "count", len(some), "error", err)
			}
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// syncEvent says what came from another site, or should not have.
func (s *site) syncEvent(e syncer.Event) {
	study := ""
	if e.Study != (dedup.UID{}) {
		study = e.Study.String()
	}
	switch e.Kind {
	case syncer.Blamed:
		s.blames.add(e.Site, e.Reason, time.Now())
		s.events.Add(events.Neighbour, study, e.Site+": "+e.Reason)
		s.log.Warn("a site sent what it should not have", "site", e.Site, "reason", e.Reason)
	case syncer.Failed:
		s.events.Add(events.Neighbour, study, "could not store what came from "+e.Site+": "+e.Reason)
		s.log.Warn("what came could not be stored", "site", e.Site, "reason", e.Reason)
	case syncer.Clash:
		s.events.Add(events.Neighbour, study, e.Site+" has another file of a name: "+e.Reason)
	case syncer.Pulled:
		s.log.Debug("a study came", "site", e.Site, "study", study, "bytes", e.Bytes)
	}
}
