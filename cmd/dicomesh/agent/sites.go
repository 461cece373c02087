package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/audit"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/events"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/agent/mesh"
	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/gossip"
	"github.com/dicomesh/dicomesh/gossip/identity"
	"github.com/dicomesh/dicomesh/gossip/reach"
	"github.com/dicomesh/dicomesh/gossip/roster"
	"github.com/dicomesh/dicomesh/settle"
	"github.com/dicomesh/dicomesh/syncer"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// sites are the members of the cluster as this site knows them.
func (s *site) sites() []admin.Site {
	if s.mesh == nil {
		return []admin.Site{{Name: s.mark.Site, Role: "full", State: "up", Links: []admin.Link{}}}
	}
	known, near := s.syncer.Status().Sites, reached(s.mark.Site, s.reach.Current().Links)
	var all []admin.Site
	for _, x := range s.mesh.Sites() {
		row := admin.Site{Name: x.Row.Name, Role: string(x.Row.Role), State: stateOf(x, s.config.Machine.Wall(), near), Links: []admin.Link{}}
		if x.Self {
			row.Lag = s.ownLag()
			if s.absent() != "" {
				row.NotLevel, row.State = noArchive, row.State+withoutArchive
			}
			all = append(all, row)
			continue
		}
		if x.Owed || x.Link.Up {
			row.Links = append(row.Links, linkOf(s.mark.Site, x))
		}
		if heard := x.Link.Heard; !heard.IsZero() {
			row.LastSeen = time.Since(heard).Seconds()
		}
		if said := known[x.Row.Name].Said; said != nil && said.Away {
			row.State += withoutArchive
		}
		row.Lag = s.lag(x.Row.Name, known[x.Row.Name])
		row.Mark = s.blames.mark(x.Row.Name, known[x.Row.Name].Suspect, time.Now())
		if row.Waived = !x.Row.Counts(s.config.Machine.Wall()); !row.Waived {
			row.NotLevel = notLevel(known[x.Row.Name], s.library.Summary())
		}
		all = append(all, row)
	}
	return all
}

// noArchive is why nothing that a site has in its index is held to be safe there.
const noArchive = "its archive is not there: is it mounted?"

// withoutArchive is what the state of such a site ends with.
const withoutArchive = ", without its archive"

// notLevel is why a site is not known to hold all that this one holds now, and nothing else; "": it is.
func notLevel(known syncer.SiteStatus, mine wire.Summary) string {
	switch {
	case !known.Up:
		return "there is no way to ask it what it holds"
	case known.Said == nil:
		return "it has not said yet what it holds"
	case known.Said.Away:
		return noArchive
	case known.Said.Root != mine.Root || known.Said.Count != mine.Count:
		return "it does not hold all the same, and is being compared with"
	}
	return ""
}

// reached are the sites to which links lead that work, from one on.
func reached(from string, links []reach.Link) map[string]bool {
	found := map[string]bool{from: true}
	for more := true; more; {
		more = false
		for _, l := range links {
			if l.Up && found[l.A] != found[l.B] {
				found[l.A], found[l.B], more = true, true, true
			}
		}
	}
	return found
}

// stateOf is how a site is, in a word or a few. That others think it alive is hearsay, which lasts for a while: links must lead to it as well.
func stateOf(x mesh.Site, wall time.Time, reached map[string]bool) string {
	switch {
	case x.Self:
		return "up"
	case !x.Row.Counts(wall) && x.Row.Status == roster.AckDown:
		return fmt.Sprintf("acknowledged down until %s by %s", x.Row.Until.Local().Format(time.DateTime), x.Row.By)
	case x.Link.Up:
		return "up"
	case x.Member.State == gossip.Alive && reached[x.Row.Name]:
		return "up, through others"
	case x.Member.State == gossip.Alive:
		return "silent"
	case x.Row.Status == roster.AckDown:
		return "down, and its acknowledgement is over"
	}
	return "down"
}

func linkOf(own string, x mesh.Site) admin.Link {
	l := admin.Link{To: own, State: "down"}
	if x.Link.Up {
		l.State = "up"
		l.Connections, l.Wanted, l.RTT, l.Loss = x.Link.Connections, x.Link.Wanted, x.Link.RTT.Seconds(), x.Link.Loss
		l.Sent, l.Received = x.Link.Sent, x.Link.Received
	}
	return l
}

// lines are the expected links of the cluster, as it is judged by them.
func (s *site) lines() []admin.Line {
	lines := []admin.Line{}
	if s.mesh == nil {
		return lines
	}
	for _, l := range s.reach.Current().Links {
		lines = append(lines, admin.Line{A: l.A, B: l.B, There: wayOf(l.There, l.Unknown), Back: wayOf(l.Back, l.Unknown), Reason: l.Reason})
	}
	return lines
}

// wayOf is one direction of a link.
func wayOf(w reach.Way, unknown bool) admin.Way {
	out := admin.Way{State: "down", Silent: -1}
	if w.Known {
		out.Silent = w.Age.Seconds()
	}
	switch {
	case unknown:
		out.State = "unknown"
	case w.Up:
		out.State = "up"
	}
	return out
}

// mostSized is of how many studies that a site lacks the bytes are added up: beyond that the number of studies says enough.
const mostSized = 1000

// lag is what a site lacks of what this one holds, as far as it is known: what a comparison found, or, of a site without a link, what has changed here since it went.
func (s *site) lag(name string, known syncer.SiteStatus) (lag admin.Lag) {
	oldest := time.Now()
	for _, d := range s.lacking(name, known) {
		if lag.Studies++; d.Since.Before(oldest) {
			oldest = d.Since
		}
		if lag.Studies > mostSized {
			continue
		}
		if row, has, err := s.index.Study(s.workCtx, d.Study); err == nil && has {
			lag.Bytes += row.Bytes
		}
	}
	if lag.Studies > 0 {
		lag.Seconds = time.Since(oldest).Seconds()
	}
	return lag
}

// lacking are the studies of which a site has not got all that is here, those first that have differed longest.
func (s *site) lacking(name string, known syncer.SiteStatus) []syncer.Difference {
	var all []syncer.Difference
	if known.Behind > 0 {
		all, _ = s.syncer.Differences(name, math.MaxInt)
		all = slices.DeleteFunc(all, func(d syncer.Difference) bool { return !d.Lacks })
	}
	return append(all, s.unheard(name, all)...)
}

// unheard are the studies that have changed here since a site lost its link, and are not among those that are known to differ.
func (s *site) unheard(name string, known []syncer.Difference) (all []syncer.Difference) {
	had := make(map[dedup.UID]bool, len(known))
	for _, d := range known {
		had[d.Study] = true
	}
	s.missed.since(name, func(study dedup.UID, at time.Time) bool {
		if !had[study] {
			all = append(all, syncer.Difference{Study: study, Since: at, Lacks: true, Why: "no link: it changed here since that site was last heard"})
		}
		return true
	})
	slices.SortFunc(all, func(a, b syncer.Difference) int {
		return cmp.Or(a.Since.Compare(b.Since), a.Study.Compare(b.Study))
	})
	return all
}

// ownLag is what this site lacks of what the others hold, as far as it is known. How many bytes that are nobody has said.
func (s *site) ownLag() (lag admin.Lag) {
	wants, oldest := map[dedup.UID]bool{}, time.Time{}
	for name, known := range s.syncer.Status().Sites {
		if known.Behind == 0 {
			continue
		}
		differ, _ := s.syncer.Differences(name, math.MaxInt)
		for _, d := range differ {
			if d.Lacks || held(d.Theirs) == "nothing" {
				continue
			}
			if wants[d.Study] = true; oldest.IsZero() || d.Since.Before(oldest) {
				oldest = d.Since
			}
		}
	}
	if lag.Studies = len(wants); lag.Studies > 0 {
		lag.Seconds = time.Since(oldest).Seconds()
	}
	return lag
}

// diff is what another site holds otherwise than this one, and why.
func (s *site) diff(ctx context.Context, name string, most int) (admin.Diff, error) {
	if s.mesh == nil {
		return admin.Diff{}, fmt.Errorf("this site is alone, there is no site %s: %w", name, admin.ErrUnknown)
	}
	sites := s.mesh.Sites()
	n := slices.IndexFunc(sites, func(x mesh.Site) bool { return x.Row.Name == name })
	if n < 0 || sites[n].Self {
		return admin.Diff{}, fmt.Errorf("there is no other site %s: %w", name, admin.ErrUnknown)
	}
	known := s.syncer.Status().Sites[name]
	out := admin.Diff{Site: name, Level: known.Level, Linked: known.Up && !known.Far && s.hears(sites[n]), Compared: known.Said != nil, Studies: []admin.Difference{}}
	if known.Said != nil && known.Said.Dated > 0 {
		out.Dated = time.Unix(int64(known.Said.Dated), 0).UTC()
	}
	differ, _ := s.syncer.Differences(name, math.MaxInt)
	for _, d := range differ {
		out.Studies = append(out.Studies, admin.Difference{Study: d.Study.String(), Here: held(d.Mine), There: held(d.Theirs), Lacks: d.Lacks, Seconds: time.Since(d.Since).Seconds(), Why: d.Why})
	}
	for _, d := range s.unheard(name, differ) {
		state, err := s.library.State(ctx, d.Study)
		if err != nil {
			return admin.Diff{}, err
		}
		out.Studies = append(out.Studies, admin.Difference{Study: d.Study.String(), Here: held(state), There: "not known", Lacks: true, Seconds: time.Since(d.Since).Seconds(), Why: d.Why})
	}
	out.Total = len(out.Studies)
	out.Studies = out.Studies[:min(most, out.Total)]
	return out, nil
}

// holders are the other sites, and what each says that it holds of a study.
func (s *site) holders(known settle.StudyStatus) (all []admin.Holder) {
	if s.mesh == nil {
		return nil
	}
	near := reached(s.mark.Site, s.reach.Current().Links)
	for _, x := range s.mesh.Sites() {
		if x.Self {
			continue
		}
		h := admin.Holder{Site: x.Row.Name}
		n := slices.IndexFunc(known.Others, func(o settle.SiteReport) bool { return o.Site == h.Site })
		if n < 0 {
			h.Waived, h.Why = !x.Row.Counts(s.config.Machine.Wall()), stateOf(x, s.config.Machine.Wall(), near)
		} else {
			o := known.Others[n]
			h.Level, h.Complete, h.Durable = !o.Away && o.Lacking == 0 && o.Leaf == known.Leaf, !o.Away && o.Complete, !o.Away && o.Durable
		}
		if !h.Safe() && !h.Waived {
			h.Why = s.unsafe(x, known.Study)
		}
		all = append(all, h)
	}
	return all
}

// unsafe is why a study is not known to be safe at another site.
func (s *site) unsafe(x mesh.Site, study dedup.UID) string {
	known := s.syncer.Status().Sites[x.Row.Name]
	switch d, differs := s.syncer.Difference(x.Row.Name, study); {
	case !known.Up && x.Link.Heard.IsZero():
		return "no link: it has not been heard since the start of this agent"
	case !known.Up || x.Link.Up && !s.hears(x):
		return fmt.Sprintf("no link: it was last heard %.0f s ago", time.Since(x.Link.Heard).Seconds())
	case known.Said != nil && known.Said.Away:
		return noArchive
	case differs:
		return d.Why
	case known.Said == nil || !known.Compared:
		return "it has not been compared with this site since the link came up"
	}
	return "neither has all of it"
}

// held is what a site holds of a study, in a word.
func held(s wire.StudyState) string {
	switch {
	case s.Leaf == (wire.StudyState{}).Leaf:
		return "nothing"
	case s.Flags&wire.Complete == 0:
		return "incomplete"
	}
	return "complete"
}

// ackDown says that a site is down and not to be waited for until then; with the zero time, that it is waited for again.
func (s *site) ackDown(_ context.Context, o admin.Order) error {
	name, until, kind := o.Site, o.Until, audit.Down
	if until.IsZero() {
		kind = audit.Returned
	}
	return s.operate(o, kind, func() error { return s.mesh.AckDown(name, until, o.Recovery) }, func() string {
		if until.IsZero() {
			return name + " is waited for again"
		}
		return fmt.Sprintf("%s is down and not waited for until %s", name, until.Local().Format(time.DateTime))
	})
}

// remove takes a site out of the cluster for ever.
func (s *site) remove(_ context.Context, o admin.Order) error {
	return s.operate(o, audit.Removed, func() error { return s.mesh.Remove(o.Site, o.Recovery) }, func() string { return o.Site + " was removed from the cluster" })
}

// operate does what an operator typed here, and says so.
func (s *site) operate(o admin.Order, kind audit.Kind, change func() error, words func() string) error {
	name, said := o.Site, words()
	if o.Recovery != "" {
		said += ", with the recovery key"
	}
	if s.mesh == nil {
		return fmt.Errorf("this site is alone, there is no site %s: %w", name, admin.ErrUnknown)
	}
	if name == s.mark.Site {
		return fmt.Errorf("%s is this site: type it at another one", name)
	}
	err := change()
	switch {
	case errors.Is(err, roster.ErrUnknownSite):
		return fmt.Errorf("there is no site %s: %w", name, admin.ErrUnknown)
	case errors.Is(err, identity.ErrNoOperator), errors.Is(err, roster.ErrNoOperator):
		return fmt.Errorf("%w: type it at another one, or give the recovery key with --recovery", err)
	case errors.Is(err, identity.ErrOtherKey):
		return fmt.Errorf("%w: give the one that dicomesh init printed when this cluster was made", err)
	case err != nil:
		return err
	}
	s.events.Add(events.Operator, "", said)
	s.record(kind, name, said)
	s.loop.GateChanged()
	return nil
}
