package agent

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/audit"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/events"
	"github.com/dicomesh/dicomesh/gossip/reach"
	"github.com/dicomesh/dicomesh/gossip/roster"
)

// alarms are what is odd about this site, and about the roster, now.
func (s *site) alarms() []admin.Alarm {
	all := s.ownAlarms()
	if s.mesh == nil {
		return all
	}
	r := s.mesh.Roster()
	for _, a := range r.Alarms() {
		all = append(all, admin.Alarm{Site: a.Site, Reason: a.Reason})
	}
	for _, x := range s.reach.Current().Sites {
		if x.Twin {
			all = append(all, admin.Alarm{Site: x.Name, Reason: x.Twins()})
		}
	}
	if reason := s.disowned.alarm(time.Now()); reason != "" {
		all = append(all, admin.Alarm{Site: s.mark.Site, Reason: reason})
	}
	for _, x := range r.Sites() {
		if reason := s.rivals.alarm(x.Name, s.config.Machine.Wall()); reason != "" {
			all = append(all, admin.Alarm{Site: x.Name, Reason: reason})
		}
	}
	return all
}

// rival hears of a machine that claims a member's name with another key, and was refused. It says so once while it goes on.
func (s *site) rival(name, address string) {
	if !s.rivals.seen(name, address, s.config.Machine.Wall()) {
		return
	}
	reason := "another machine (" + address + ") claims its name with another key, and was refused: two machines use one name, or it was set up anew"
	s.events.Add(events.Alarm, "", name+": "+reason)
	s.record(audit.Roster, name, reason)
}

// sayTwins says which sites have come to be two machines with one key.
func (s *site) sayTwins(w reach.Wholeness) {
	s.mu.Lock()
	var fresh []reach.Site
	for _, x := range w.Sites {
		if x.Twin && !slices.Contains(s.twins, x.Name) {
			fresh = append(fresh, x)
		}
	}
	s.twins = nil
	for _, x := range w.Sites {
		if x.Twin {
			s.twins = append(s.twins, x.Name)
		}
	}
	s.mu.Unlock()
	for _, x := range fresh {
		s.events.Add(events.Alarm, "", x.Name+": "+x.Twins())
		s.record(audit.Roster, x.Name, x.Twins())
	}
}

// rivals are the machines that claim a member's name with another key, by that name.
type rivals struct {
	mu   sync.Mutex
	last map[string]claimed
}

// claimed is the last time that a name was claimed, and from where.
type claimed struct {
	address string
	at      time.Time
}

// rivalFor is how long such a claim is an alarm after it was made last.
const rivalFor = 24 * time.Hour

// seen notes a claim, and reports whether it is the first for long.
func (r *rivals) seen(name, address string, now time.Time) (first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		r.last = map[string]claimed{}
	}
	was, known := r.last[name]
	r.last[name] = claimed{address, now}
	return !known || now.Sub(was.at) > rivalFor
}

// alarm is what is to be said of a name; "" if nothing is.
func (r *rivals) alarm(name string, now time.Time) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, known := r.last[name]
	if !known || now.Sub(c.at) > rivalFor {
		return ""
	}
	return fmt.Sprintf("another machine (%s) claims its name with another key, last at %s, and is refused: stop it, or, if it is to take the place of the old one, remove that first (dicomesh remove %s)",
		c.address, c.at.Local().Format(time.DateTime), name)
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
