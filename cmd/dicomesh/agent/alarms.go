package agent

import (
	"fmt"
	"slices"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/audit"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/events"
	"github.com/dicomesh/dicomesh/gossip/roster"
)

// alarms are what is odd about the roster now.
func (s *site) alarms() []admin.Alarm {
	all := []admin.Alarm{}
	if s.mesh == nil {
		return all
	}
	for _, a := range s.mesh.Roster().Alarms() {
		all = append(all, admin.Alarm{Site: a.Site, Reason: a.Reason})
	}
	return all
}

// removed are the names of the sites that were removed, and that no other machine has now.
func (s *site) removed() (names []string) {
	if s.mesh == nil {
		return nil
	}
	r := s.mesh.Roster()
	for _, x := range r.Removed() {
		if _, err := r.Site(x.Name); err != nil && !slices.Contains(names, x.Name) {
			names = append(names, x.Name)
		}
	}
	return names
}

// hearRoster says what is new about a roster: alarms, and what operators said at other sites. What was said at this one is said by operate.
func (s *site) hearRoster(r roster.Roster) {
	s.mu.Lock()
	before := s.heard
	s.heard = r
	s.mu.Unlock()
	for _, n := range newsOf(before, r, s.mark.Site) {
		s.events.Add(n.event, "", n.about+": "+n.text)
		s.record(n.entry, n.about, n.text)
	}
}

// rosterNews is something that a roster says and the one before did not.
type rosterNews struct {
	event       events.Kind
	entry       audit.Kind
	about, text string
}

// newsOf is what one roster says and the one before did not; without one before, alarms alone. What was said at the site own is left out: it is entered where it is typed.
func newsOf(before, after roster.Roster, own string) (news []rosterNews) {
	known := before.Alarms()
	for _, a := range after.Alarms() {
		if !slices.Contains(known, a) {
			news = append(news, rosterNews{events.Alarm, audit.Roster, a.Site, a.Reason})
		}
	}
	if name, _ := before.Cluster(); name == "" {
		return news
	}
	gone := before.Removed()
	for _, x := range after.Removed() {
		if x.By != own && !slices.ContainsFunc(gone, func(o roster.Site) bool { return o.Key == x.Key }) {
			news = append(news, rosterNews{events.Operator, audit.Removed, x.Name, "removed from the cluster, said at " + x.By})
		}
	}
	for _, x := range after.Sites() {
		was, err := before.Site(x.Name)
		if err != nil || was.Key != x.Key || x.By == own || was.Status == x.Status && was.Until.Equal(x.Until) {
			continue
		}
		switch x.Status {
		case roster.AckDown:
			news = append(news, rosterNews{events.Operator, audit.Down, x.Name, fmt.Sprintf("down and not waited for until %s, said at %s", x.Until.Local().Format(time.DateTime), x.By)})
		case roster.Active:
			news = append(news, rosterNews{events.Operator, audit.Returned, x.Name, "waited for again, said at " + x.By})
		}
	}
	return news
}

// overdue are the sites whose acknowledgement is over, each until it gets another one or returns.
type overdue map[string]time.Time

// look notes which are, and returns those that were not when it was looked last.
func (o overdue) look(sites []roster.Site, now time.Time) (fresh []string) {
	for _, x := range sites {
		if x.Status != roster.AckDown || !x.Counts(now) {
			delete(o, x.Name)
			continue
		}
		if !o[x.Name].Equal(x.Until) {
			fresh = append(fresh, x.Name)
		}
		o[x.Name] = x.Until
	}
	return fresh
}

// sayOverdue says of which sites the acknowledgement has ended by its time.
func (s *site) sayOverdue(o overdue) {
	for _, name := range o.look(s.mesh.Roster().Sites(), s.config.Machine.Wall()) {
		const text = "its acknowledgement is over: it is waited for again"
		s.events.Add(events.Operator, "", name+": "+text)
		s.record(audit.Returned, name, text)
	}
}
