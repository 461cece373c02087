package roster

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"
)

// MaxDown is how long an acknowledgement may last. Whoever is gone for longer is acknowledged again, or removed.
const MaxDown = 90 * 24 * time.Hour

// ErrUntil says that an acknowledgement cannot end then.
var ErrUntil = errors.New("the end of an acknowledgement must be a time to come, at most 90 days ahead")

// ErrItself says that a site cannot be said to be down by an operator who sits at it.
var ErrItself = errors.New("a site on which somebody types is not down: type it at another one")

// Down is an operator's word that a site is down and is not to be waited for.
type Down struct {
	Site  string
	Until time.Time // cut to whole seconds
	By    string    // the site at which it was typed
	Now   time.Time
}

// AckDown returns the roster with an acknowledgement, which takes the place of an earlier one. ErrUnknownSite, ErrUntil, ErrItself, ErrNoOperator.
func (r Roster) AckDown(d Down, operator ed25519.PrivateKey) (Roster, error) {
	until := d.Until.UTC().Truncate(time.Second)
	switch {
	case d.Site == d.By:
		return r, fmt.Errorf("acknowledge %s as down: %w", d.Site, ErrItself)
	case !until.After(d.Now) || until.After(d.Now.Add(MaxDown)):
		return r, fmt.Errorf("acknowledge %s as down until %s: %w", d.Site, until.Format(time.RFC3339), ErrUntil)
	}
	return r.Change(d.Site, operator, func(s *Site) { s.Status, s.Until, s.By = AckDown, until, d.By })
}

// Return ends an acknowledgement before its time: the site is waited for again. Whoever calls it knows that the site is level with the others. Where there is none,
// or it is over, the roster changes only to say that it is active. ErrUnknownSite, ErrNoOperator.
func (r Roster) Return(site, by string, operator ed25519.PrivateKey) (Roster, error) {
	was, err := r.Site(site)
	if err != nil || was.Status == Active {
		return r, err
	}
	return r.Change(site, operator, func(s *Site) { s.Status, s.Until, s.By = Active, time.Time{}, by })
}
