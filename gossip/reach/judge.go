package reach

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dicomesh/dicomesh/gossip/roster"
)

// Expected is what a roster asks for, worked out once for each roster.
type Expected struct {
	Cluster Cluster
	Epoch   roster.Epoch
	Sites   []roster.Site // by name
	Links   []roster.Pair
}

// Expect works it out.
func Expect(r roster.Roster) Expected {
	name, root := r.Cluster()
	return Expected{Cluster{name, root}, r.Epoch(), r.Sites(), r.Links()}
}

// site is the row of the roster for a site.
func (e Expected) site(name string) (roster.Site, bool) {
	n, is := slices.BinarySearchFunc(e.Sites, name, func(s roster.Site, name string) int { return strings.Compare(s.Name, name) })
	if !is {
		return roster.Site{}, false
	}
	return e.Sites[n], true
}

// View is all that a site knows when it judges.
type View struct {
	Site     string // whose view it is
	Expected Expected
	Rows     Rows // this site's own row among them
	// Since is the first row that this site made since it began, or went on, to run: only rows that acknowledge it, or a later one, count.
	Since Seen
	// Made are the last rows that this site made, in order: what acknowledges one of them cannot be older.
	Made []Made
	// Stopped is for how long this process did not run, as long as it has not heard all anew.
	Stopped time.Duration
	// Double says that another machine makes rows with this site's key.
	Double bool
	// Twins are the sites that two machines ran as, with one key, each with when they did last.
	Twins map[string]time.Duration
}

// Made is when a site made a row.
type Made struct {
	Seq uint64
	At  time.Duration
}

// proven is the greatest age that a row can have that acknowledges this one of this site's. One that this site has not made proves nothing.
func (v View) proven(acknowledged Seen, now time.Duration) time.Duration {
	if last := len(v.Made) - 1; last < 0 || acknowledged.Seq > v.Made[last].Seq {
		return maxAge
	}
	n, exact := slices.BinarySearchFunc(v.Made, acknowledged.Seq, func(m Made, seq uint64) int { return cmp.Compare(m.Seq, seq) })
	if !exact {
		n--
	}
	if n < 0 {
		return maxAge
	}
	return now - v.Made[n].At
}

// Judge says what the cluster is. It is pure, and depends on the wall clock only where an acknowledgement is over.
func (v View) Judge(now Moment) Wholeness {
	w := Wholeness{Epoch: v.Expected.Epoch}
	for _, s := range v.Expected.Sites {
		site := v.site(s, now)
		w.Sites = append(w.Sites, site)
		switch {
		case !site.Counts:
			w.Without = append(w.Without, s.Name)
		case s.Name != v.Site:
			w.Others = append(w.Others, s.Name)
		}
	}
	for _, p := range v.Expected.Links {
		w.Links = append(w.Links, v.link(p, &w, now.Mono))
	}
	for n := range w.Sites {
		w.Sites[n].Back = w.back(w.Sites[n])
	}
	v.decide(&w)
	return w
}

// site is what is known of a site of the roster, but for Back.
func (v View) site(s roster.Site, now Moment) Site {
	out := Site{Name: s.Name, Role: s.Role, Counts: s.Counts(now.Wall), Standing: Unknown}
	if s.Status == roster.AckDown {
		out.Until, out.By = s.Until, s.By
	}
	row, is := v.Rows[s.Name]
	if !is {
		return out
	}
	out.Age, out.Joining = row.age(now.Mono), !row.Level
	acknowledged, pace := row.of(v.Site).Seen, max(row.Beat, v.Rows[v.Site].Beat)
	last, twins := v.Twins[s.Name]
	out.Twin = twins && now.Mono-last <= twinned*pace
	proven := v.proven(acknowledged, now.Mono)
	switch {
	case s.Name == v.Site:
		out.Standing, out.Age = Own, 0
	case !acknowledged.acknowledges(v.Since):
	case out.Age > stale*row.Beat:
		out.Standing = Stale
	case proven > proof*pace:
		out.Standing, out.Age = Deaf, proven
	case row.Epoch != v.Expected.Epoch:
		out.Standing = OtherRoster
	default:
		out.Standing = Fresh
	}
	return out
}

func (w Wholeness) site(name string) Site {
	n, is := slices.BinarySearchFunc(w.Sites, name, func(s Site, name string) int { return strings.Compare(s.Name, name) })
	if !is {
		return Site{}
	}
	return w.Sites[n]
}

// heard says whether a site's row is new enough to be evidence.
func (s Site) heard() bool {
	return s.Standing == Fresh || s.Standing == OtherRoster || s.Standing == Own
}

// direction is what all rows say of one direction of a link.
type direction Way // its Age is since the last that came through, as far as is known

// direction asks both ends: the one that should hear, and the one that is told what was got.
func (v View) direction(from, to string, w *Wholeness, now time.Duration) direction {
	var d direction
	receiver, sender := v.Rows[to], v.Rows[from]
	for _, e := range []struct {
		by   string
		row  Held
		said Way
	}{{to, receiver, receiver.of(from).In}, {from, sender, sender.of(to).Out}} {
		age := e.said.Age + e.row.age(now)
		if e.said.Known && w.site(e.by).Standing != Unknown && (!d.Known || age < d.Age) {
			d.Known, d.Age = true, age
		}
		pace := max(receiver.Beat, sender.Beat)
		d.Up = d.Up || e.said.Up && e.said.Age <= silent*pace && w.site(e.by).heard()
	}
	return d
}

// link puts both directions together. A direction is named as dead alone where the other one was alive well after it: then they were not cut at once.
func (v View) link(p roster.Pair, w *Wholeness, now time.Duration) Link {
	there, back := v.direction(p.A, p.B, w, now), v.direction(p.B, p.A, w, now)
	a, b := w.site(p.A), w.site(p.B)
	l := Link{A: p.A, B: p.B, Up: there.Up && back.Up, Counts: a.Counts && b.Counts, Unknown: !a.heard() && !b.heard(), There: Way(there), Back: Way(back)}
	if l.Up {
		return l
	}
	gap := apart * max(v.Rows[p.A].Beat, v.Rows[p.B].Beat)
	first, second := there, back
	dead := [2]string{p.A, p.B}
	if second.before(first) {
		first, second, dead = back, there, [2]string{p.B, p.A}
	}
	switch {
	case !second.Known:
		l.Never = true
	case !second.Up && second.Age <= gap:
		l.For, l.coming = second.Age, true
	case !first.Known || first.Age-second.Age > gap:
		l.Dead, l.For, l.Never = dead, first.Age, !first.Known
		if second.Age > gap {
			l.later = second.Age
		}
	default:
		l.For = second.Age
	}
	l.Reason = l.reason()
	return l
}

// before says whether d died before o, as far as is known.
func (d direction) before(o direction) bool {
	return !d.Known && o.Known || d.Known && o.Known && d.Age > o.Age
}

// back says whether a site that was acknowledged as down can be counted again.
func (w Wholeness) back(s Site) bool {
	if s.Until.IsZero() || s.Joining || s.Standing != Fresh && s.Standing != Own {
		return false
	}
	return !slices.ContainsFunc(w.Links, func(l Link) bool {
		return !l.Up && (l.A == s.Name && w.site(l.B).Counts || l.B == s.Name && w.site(l.A).Counts)
	})
}

// decide puts all together.
func (v View) decide(w *Wholeness) {
	var p problems
	v.own(w, &p)
	hard := len(p.causes) > 0
	hard = w.twins(&p) || hard
	links := w.deadLinks(&p)
	if w.silentSites(links, &p) {
		hard = true
	}
	if cut := w.unconnected(); cut != "" {
		hard = true
		if len(links) == 0 {
			p.add(cut, cut)
		}
	}
	switch {
	case hard:
		w.State = Split
	case len(links) > 0:
		w.State = Partial
	default:
		w.State = Whole
	}
	for _, name := range w.Without {
		if s := w.site(name); w.State == Whole {
			said := fmt.Sprintf("without %s: acknowledged as down until %s, at %s", name, s.Until.UTC().Format("2006-01-02 15:04 UTC"), s.By)
			p.add(said, said)
		}
	}
	w.Reason, w.Cause = joined(p.reasons), joined(p.causes)
}

// own is what is wrong with this site itself.
func (v View) own(w *Wholeness, p *problems) {
	add := func(words string) { p.add(words, words) }
	self, is := v.Expected.site(v.Site)
	switch {
	case !is:
		add("this site is not in the roster")
	case !w.site(v.Site).Counts:
		add(fmt.Sprintf("this site is acknowledged as down until %s, at %s, and does not count yet", self.Until.UTC().Format("2006-01-02 15:04 UTC"), self.By))
	case len(v.Expected.Sites) > MaxSites:
		add(fmt.Sprintf("the roster has more than %d sites", MaxSites))
	}
	if v.Double {
		add("another machine uses this site's key: stop one of the two")
	}
	if v.Stopped > 0 {
		add(fmt.Sprintf("this site was stopped for %s, or its clock was set", words(v.Stopped)))
	}
}

// twins names the sites that two machines are. What one of them says is not true of the other.
func (w *Wholeness) twins(p *problems) (some bool) {
	for _, s := range w.Sites {
		if s.Twin && s.Counts {
			some = true
			p.add(s.Twins(), s.Twins())
		}
	}
	return some
}

// deadLinks names the links that are not up, and says which they are. Where neither end is heard nothing is known of a link: those ends are named instead.
func (w *Wholeness) deadLinks(p *problems) []Link {
	var dead []Link
	for _, l := range w.Links {
		if l.Counts && !l.Up {
			dead = append(dead, l)
			if !l.Unknown {
				p.add(l.cause(), l.Reason)
			}
		}
	}
	return dead
}

// silentSites says whether there are sites whose rows do not count, and names those of which no dead link tells already.
func (w *Wholeness) silentSites(dead []Link, p *problems) (some bool) {
	for _, s := range w.Sites {
		if !s.Counts || s.Standing == Fresh || s.Standing == Own {
			continue
		}
		some = true
		told := slices.ContainsFunc(dead, func(l Link) bool { return !l.Unknown && (l.A == s.Name || l.B == s.Name) })
		switch {
		case s.Standing == OtherRoster:
			p.add(s.Name+" has another roster", s.Name+" has another roster")
		case told && !w.linked(s.Name):
		case s.Standing == Deaf:
			p.add(s.Name+" does not hear this site", fmt.Sprintf("%s has not heard this site for %s", s.Name, words(s.Age)))
		case s.Standing == Stale:
			p.add(s.Name+": no word", fmt.Sprintf("%s: no word for %s", s.Name, words(s.Age)))
		default:
			p.add(s.Name+": no word yet", s.Name+": no word yet")
		}
	}
	return some
}

// linked says whether a site has a link that is up.
func (w *Wholeness) linked(site string) bool {
	return slices.ContainsFunc(w.Links, func(l Link) bool { return l.Up && (l.A == site || l.B == site) })
}

// unconnected says which sites no links connect with the first, or nothing.
func (w *Wholeness) unconnected() string {
	var all []string
	for _, s := range w.Sites {
		if s.Counts {
			all = append(all, s.Name)
		}
	}
	if len(all) < 2 {
		return ""
	}
	reached := map[string]bool{all[0]: true}
	for grown := true; grown; {
		grown = false
		for _, l := range w.Links {
			if l.Up && l.Counts && reached[l.A] != reached[l.B] {
				reached[l.A], reached[l.B], grown = true, true, true
			}
		}
	}
	lost := slices.DeleteFunc(slices.Clone(all), func(s string) bool { return reached[s] })
	if len(lost) == 0 {
		return ""
	}
	return fmt.Sprintf("no links connect %s with %s", all[0], strings.Join(lost, ", "))
}
