package syncer

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// Status is what a Syncer is about.
type Status struct {
	Sites map[string]SiteStatus
	Pulls int // running
}

// SiteStatus is how this site and another differ.
type SiteStatus struct {
	Up       bool
	Far      bool          // it is up, and there is no link: it is reached by way of a neighbour
	Said     *wire.Summary // what it said last; nil since the link is down
	Compared bool          // sets were compared since the link came up, or need not be
	Level    bool          // both hold the same of everything, as far as it has said
	// Behind is how many studies it holds otherwise than this site, as far as that is known; and of them those of which it has nothing.
	Behind, Lacking int
	Pulls           int // running from it
	// Suspect says that its last pull, of whatever study, was its fault: it is asked after all others, and for one study at a time, until one has come through.
	Suspect bool
}

// report keeps Status current. The caller holds the lock.
func (r *runner) report() {
	s := Status{Sites: make(map[string]SiteStatus, len(r.core.sites)), Pulls: len(r.core.pulls)}
	for name, n := range r.core.sites {
		x := SiteStatus{Up: n.up, Far: n.far, Said: n.said, Pulls: n.pulls, Behind: n.behind, Lacking: n.lacking, Suspect: n.faults > 0}
		x.Level = n.said != nil && level(*n.said, r.core.mine)
		x.Compared = x.Level || n.compared && n.said != nil && r.core.explained(n)
		s.Sites[name] = x
	}
	r.status = s
}

// Status is a snapshot.
func (s *Syncer) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// Holds asks a site what it holds of some studies now: what a certificate rests on.
func (s *Syncer) Holds(ctx context.Context, site string, studies []dedup.UID) ([]wire.StudyState, error) {
	stream, err := s.config.Open(ctx, site, Query)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	t := newTalk(ctx, stream)
	defer t.done()
	var keys []wire.Key
	for _, uid := range studies {
		keys = append(keys, wire.Key(index.KeyOf(uid)))
	}
	if err := t.say(&wire.Describe{Keys: keys}); err != nil {
		return nil, err
	}
	states, _, err := hearStates(t, len(keys))
	if err != nil {
		return nil, fmt.Errorf("ask %s what it holds: %w", site, err)
	}
	return states, nil
}

// Report is what another site is known to hold of a study.
type Report struct {
	State       wire.StudyState // Change is a number of that site's: as of it, that is what it holds
	Incarnation string          // of its index
	Low         bool            // its disk is full: it takes nothing in
	Away        bool            // its archive is not there: State is what it held, and holds nothing up
	// Offers says that it may hold something of the study that this site does not: nobody looked yet, or what was found is still on its way.
	Offers bool
}

// Report is what is known of another site and a study; false if nothing is: there is no link, or sets have not been compared since it came up and it has not said it since, or
// something differs that is not found yet. mine is what this site holds.
func (s *Syncer) Report(site string, mine wire.StudyState) (Report, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.core == nil {
		return Report{}, false
	}
	n := s.core.sites[site]
	if n == nil || !n.up || n.said == nil {
		return Report{}, false
	}
	r := Report{State: mine, Incarnation: n.said.Incarnation, Low: n.said.Low, Away: n.said.Away}
	d := s.core.studies[mine.UID]
	theirs, differs := wire.StudyState{}, false
	if d != nil {
		theirs, differs = d.theirs[site]
	}
	if !differs {
		// It said no number for this study: its sum of all, as of that one, says that it holds the same. Unless mine is of a change that is still on its way here.
		r.State.Change = n.said.Change
		return r, s.core.stand(n).counts && s.core.mine.Root == s.config.Catalog.Summary().Root
	}
	a, tried := d.tried[site]
	r.State, r.Offers = theirs, !nothing(theirs) && (d.pull != nil || !tried || !a.through || !alike(a.theirs, theirs))
	return r, s.core.still(d, site)
}

// Exhausted reports whether a site has nothing to give of a study in which something is wanting or damaged here, that is known of it: this site has asked it for all that it offers since it holds
// what mine says, and that did not mend it. False also where nobody can tell.
func (s *Syncer) Exhausted(site string, mine wire.StudyState) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.core == nil || s.core.mine.Change < mine.Change { // what was found here is still on its way to the core
		return false
	}
	n := s.core.sites[site]
	if n == nil || !n.up || n.said == nil || n.said.Away {
		return false
	}
	d := s.core.studies[mine.UID]
	if d == nil || !d.of(site) {
		return s.core.stand(n).counts
	}
	a, theirs := d.tried[site], d.theirs[site]
	return s.core.still(d, site) && d.pull == nil && (nothing(theirs) || a.through && alike(a.mine, mine) && alike(a.theirs, theirs))
}

// Difference is a study that another site is known to hold otherwise than this one.
type Difference struct {
	Study        dedup.UID
	Mine, Theirs wire.StudyState
	Since        time.Time // when that was first known, or this site last came nearer
	Pulling      string    // the site that it is being fetched from; "" if it is not
	Lacks        bool      // that site has not got something that is here, as far as is known
	Why          string    // what keeps them from holding the same, in words that name no patient
}

// Differences are up to most studies that another site holds otherwise, those that have differed longest first, and how many there are.
func (s *Syncer) Differences(site string, most int) (found []Difference, total int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.core == nil {
		return nil, 0
	}
	now := time.Now()
	for uid := range s.core.studies {
		if x, differs := s.core.difference(uid, site, now); differs {
			found = append(found, x)
		}
	}
	slices.SortFunc(found, func(a, b Difference) int { return cmp.Or(a.Since.Compare(b.Since), a.Study.Compare(b.Study)) })
	return found[:min(most, len(found))], len(found)
}

// Difference is how another site holds a study otherwise; false if nothing is known of that.
func (s *Syncer) Difference(site string, study dedup.UID) (Difference, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.core == nil {
		return Difference{}, false
	}
	return s.core.difference(study, site, time.Now())
}

func (c *core) difference(uid dedup.UID, site string, now time.Time) (Difference, bool) {
	d := c.studies[uid]
	if d == nil {
		return Difference{}, false
	}
	theirs, differs := d.theirs[site]
	if !differs {
		return Difference{}, false
	}
	x := Difference{Study: uid, Mine: d.mine, Theirs: theirs, Since: d.since, Lacks: nothing(theirs) || d.taken(site), Why: c.why(uid, d, site, now)}
	if d.pull != nil {
		x.Pulling = d.pull.from
	}
	return x, true
}

// taken reports whether all that a site offers of the study now is here, or was refused as accounted for: what still differs, the site lacks.
func (d *difference) taken(site string) bool {
	a, tried := d.tried[site]
	return tried && a.end == through && alike(a.theirs, d.theirs[site])
}

// why says in words what keeps a difference to a site from going away: first what is on its way, then what stands in the way of either.
func (c *core) why(uid dedup.UID, d *difference, site string, now time.Time) string {
	n, theirs := c.sites[site], d.theirs[site]
	a, tried := d.tried[site]
	switch {
	case d.pull != nil && d.pull.from == site:
		return "on its way: it is being fetched from there"
	case d.pull != nil:
		return "on its way: it is being fetched from " + d.pull.from
	case !n.up:
		return "no link: what is known of that site is from before"
	case d.taken(site) && a.why != "":
		return a.why
	case nothing(theirs), d.taken(site):
		return c.whyThere(uid, d, site, now)
	case c.low:
		return "held back: the disk here is below its watermark"
	case tried && a.failures > 0:
		return fmt.Sprintf("refused, %d times in a row: %s", a.failures, a.why)
	case tried && a.end == notHere && alike(a.theirs, theirs):
		return "it could not be stored here, and is tried again: " + a.why
	case tried && a.end == linkLost && alike(a.theirs, theirs):
		return "the link broke while it came: it is tried again"
	case n.far:
		return "no link: it comes by way of another site"
	}
	return "it waits for its turn to be fetched"
}

// whyThere is why for a site that lacks something: this one has nothing more to get from it.
func (c *core) whyThere(uid dedup.UID, d *difference, site string, now time.Time) string {
	n := c.sites[site]
	claim, fetches := n.claims[uid]
	switch {
	case fetches && now.Sub(claim.grew) < c.rules.Stall:
		return "on its way: it is being fetched by that site"
	case n.away():
		return "held back: the archive of that site is not there"
	case n.low():
		return "held back: the disk there is below its watermark"
	case d.mine.Flags&wire.Complete == 0 && c.complete(d) == "":
		return "no source: none of the sites that are reached has all of it"
	case d.mine.Flags&wire.Complete == 0:
		return "on its way: " + c.complete(d) + " has all of it"
	case n.far:
		return "no link: it goes by way of another site"
	}
	return "that site is to fetch it, or says there why not: dicomesh diff"
}

// complete is a site that is reached and has all of a study, "" if there is none.
func (c *core) complete(d *difference) string {
	for _, site := range slices.Sorted(maps.Keys(d.theirs)) {
		if c.sites[site].up && d.theirs[site].Flags&wire.Complete != 0 {
			return site
		}
	}
	return ""
}
