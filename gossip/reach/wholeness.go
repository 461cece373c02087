package reach

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dicomesh/dicomesh/gossip/roster"
)

// State is what the cluster is.
type State string

// The states.
const (
	Whole   State = "whole"
	Partial State = "partial"
	Split   State = "split"
)

// Wholeness is what one site says of the cluster.
type Wholeness struct {
	State State
	// Reason says in words why it is not whole, or without whom it is: "a -> c: no answer for 14 s". Cause is the same without times, so it stays
	// as it is until something happens.
	Reason, Cause string
	Epoch         roster.Epoch // of this site's roster
	Links         []Link       // the expected ones, by their ends
	Sites         []Site       // of the roster, this one as well, by name
	Others        []string     // the other sites that count: each has to answer an echo, and to stand in a certificate
	Without       []string     // the sites that an operator acknowledged as down and that do not count yet
}

// Over says whether the time has come at which a site that was left out counts again: then this judgement holds no longer.
func (w Wholeness) Over(wall time.Time) bool {
	return slices.ContainsFunc(w.Sites, func(s Site) bool { return !s.Counts && !s.Until.IsZero() && !wall.Before(s.Until) })
}

// Link is an expected link.
type Link struct {
	A, B    string // in order
	Up      bool
	Counts  bool          // both ends count
	Unknown bool          // neither end is heard: what is said is of the past
	Dead    [2]string     // from, to: the direction that died first, where it can be told; else it is the pair
	For     time.Duration // since when nothing came through
	Never   bool          // nothing is known to have come through
	Reason  string        // of one that is not up, as in Wholeness
	// There is from A to B, Back from B to A, each with the time since something came through, as far as is known; of the past where Unknown.
	There, Back Way

	later  time.Duration // for how long the other direction is dead as well
	coming bool          // beats come through again, not enough of them yet
}

// cause is the reason without times.
func (l Link) cause() string {
	pair := fmt.Sprintf("%s <-> %s", l.A, l.B)
	if l.Dead[0] != "" {
		pair = fmt.Sprintf("%s -> %s", l.Dead[0], l.Dead[1])
	}
	switch {
	case l.Unknown:
		return pair + ": not known"
	case l.Never:
		return pair + ": no answer yet"
	case l.coming:
		return pair + ": coming up"
	}
	return pair + ": no answer"
}

func (l Link) reason() string {
	switch {
	case l.Never || l.coming:
		return l.cause()
	case l.later > 0 && !l.Unknown:
		return fmt.Sprintf("%s for %s (the other way: for %s)", l.cause(), words(l.For), words(l.later))
	}
	return l.cause() + " for " + words(l.For)
}

// Standing is how a site's row is.
type Standing string

// The standings. Only Own and Fresh count for whole.
const (
	Own         Standing = "this site"
	Fresh       Standing = "fresh"        // its row is new, and of the same roster
	OtherRoster Standing = "other roster" // its row is new; its roster is not this one
	Deaf        Standing = "deaf"         // its row says that it is new, but not one lately told that it hears this site, so it may be old
	Stale       Standing = "stale"        // its last row is old
	Unknown     Standing = "unknown"      // none has come since this site began to run
)

// Site is what is known of a site of the roster.
type Site struct {
	Name     string
	Role     roster.Role
	Standing Standing
	Age      time.Duration // of its last row, at least, or at most for Deaf; 0 if there is none
	Counts   bool
	Until    time.Time // of a site that an operator acknowledged as down: until when, over or not; and who
	By       string
	Joining  bool // it says that it does not hold yet what the others hold: a certificate names it as an exception
	Twin     bool // two machines run as this site, with its key
	Back     bool // it was acknowledged as down, and can be counted again: it is level, and so are its links
}

// Twins is what is to be said of a site that two machines are.
func (s Site) Twins() string {
	return "two machines use the name and the key of " + s.Name + ": stop one of them"
}

// gist is all but the ages: it changes when something happens.
func (w Wholeness) gist() string {
	var b strings.Builder
	fmt.Fprintln(&b, w.State, w.Cause, w.Epoch, w.Others, w.Without)
	for _, l := range w.Links {
		fmt.Fprintln(&b, l.A, l.B, l.Up, l.Counts, l.Dead, l.cause())
	}
	for _, s := range w.Sites {
		fmt.Fprintln(&b, s.Name, s.Role, s.Standing, s.Counts, s.Until, s.By, s.Joining, s.Twin, s.Back)
	}
	return b.String()
}

// words is a duration for people, rounded down.
func words(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}

// maxSaid is how many problems a reason names; the others are counted.
const maxSaid = 4

// problems are what is in the way, most important first.
type problems struct{ reasons, causes []string }

func (p *problems) add(cause, reason string) {
	p.causes, p.reasons = append(p.causes, cause), append(p.reasons, reason)
}

func joined(said []string) string {
	if len(said) > maxSaid {
		return fmt.Sprintf("%s; and %d more", strings.Join(said[:maxSaid], "; "), len(said)-maxSaid)
	}
	return strings.Join(said, "; ")
}
