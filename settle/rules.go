package settle

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
)

// rules are what decides besides the facts. They never change while a Loop runs.
type rules struct {
	site        string
	incarnation string
	version     string
	policy      Policy
	timing      Timing
}

// Times that nobody needs to choose.
const (
	busyPoll   = 250 * time.Millisecond // how often a study is asked for that is being ingested
	othersPoll = 15 * time.Second       // how often others are asked for by who waits for them, should no news come
	firstMiss  = 2 * time.Second        // until an incomplete study is looked at again: doubles,
	longMiss   = 10 * time.Minute       // to this,
	farthest   = time.Hour              // no round asks to be repeated later than this: if it seems so the clock was set back, and it is done now
	lastMiss   = 13                     // so many times, some 50 minutes in all. Then it rests until it is touched, or the agent starts again
	firstRetry = time.Second            // after a failure: doubles,
	longRetry  = 5 * time.Minute        // to this, and never ends
	longSilent = 15 * time.Second       // the same, for an echo that was not answered
	cooling    = 8                      // so many quiet times after its last change a study's growth is forgotten by one step
	growths    = 12                     // steps at most; Timing.Longest ends it before
)

// set fills in the defaults.
func (t Timing) set() Timing {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&t.Quiet, time.Second}, {&t.Longest, 30 * time.Second}, {&t.Patience, 2 * time.Minute}, {&t.Echo, 10 * time.Second}} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	return t
}

// doubled is first, doubled n times, at most longest.
func doubled(first, longest time.Duration, n uint8) time.Duration {
	for ; n > 0 && first < longest; n-- {
		first *= 2
	}
	return min(first, longest)
}

// quiet is how long a study has to be quiet when so many rounds of it were in vain lately. The first one is free: files come in bursts.
func (r rules) quiet(vain uint8) time.Duration {
	return doubled(r.timing.Quiet, max(r.timing.Quiet, r.timing.Longest), max(vain, 1)-1)
}

// cool is how long it takes to forget one of them.
func (r rules) cool(vain uint8) time.Duration { return cooling * r.quiet(vain) }

// decayed is what is left of vain after so much time without a change.
func (r rules) decayed(vain uint8, idle time.Duration) uint8 {
	for ; vain > 0 && idle >= r.cool(vain); vain-- {
		idle -= r.cool(vain)
	}
	return vain
}

// view is what the world is at the moment of a decision.
type view struct {
	gate   Gate
	busy   bool
	others []SiteReport
	proof  *Proof    // an echo that was answered just now
	wall   time.Time // for what has to be done at a date; nothing else is decided by it
}

// open reports whether the cluster allows to generate.
func (r rules) open(g Gate) bool { return g.State == Whole || g.State == Partial && r.policy.Partial }

// shut is why it does not.
func shut(g Gate) string {
	state := g.State
	if state != Partial {
		state = Split
	}
	if g.Reason == "" {
		return fmt.Sprintf("the cluster is %s", state)
	}
	return fmt.Sprintf("the cluster is %s: %s", state, g.Reason)
}

// lacking is who holds leaves that are missing here, as words; "" if nobody does. A site that has not been compared may, unless it is one that holds nobody.
func lacking(others []SiteReport) string {
	for _, o := range others {
		switch {
		case o.Lacking > 0:
			return fmt.Sprintf("%s holds %s not here", o.Site, count(o.Lacking, "list or instance file that is", "lists or instance files that are"))
		case o.Lacking < 0 && !o.Joining && !o.Full:
			return o.Site + " has not been compared yet"
		}
	}
	return ""
}

// surplus is lacking of what is known for certain: what is merely not compared takes nothing back.
func surplus(others []SiteReport) string {
	for n := range others {
		if others[n].Lacking > 0 {
			return lacking(others[n : n+1])
		}
	}
	return ""
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// answered reports whether the echo is of this roster and all its sites.
func answered(p Proof, g Gate) bool {
	return p.Epoch == g.Epoch && !slices.ContainsFunc(g.Sites, func(site string) bool { return !slices.Contains(p.Sites, site) })
}

// voided says, in words, which site is another one now than the one whose report is here; "" if none is. A report that says nothing rests on nothing.
func voided(p Proof, others []SiteReport) string {
	for _, o := range others {
		if void(p, o) {
			return o.Site + " has begun its index anew since it reported"
		}
	}
	return ""
}

// unnamed is the site of which news that names no study is wanted: that it has been compared, that its archive is there again, or what it is now; "" if there is none. Of several it is the first.
func unnamed(v view) string {
	for _, o := range v.others {
		if o.Away || o.Lacking < 0 && !o.Joining && !o.Full || v.proof != nil && void(*v.proof, o) {
			return o.Site
		}
	}
	for _, site := range v.gate.Sites {
		if !slices.ContainsFunc(v.others, func(o SiteReport) bool { return o.Site == site }) {
			return site
		}
	}
	return ""
}

// void reports whether a report is of another index than the one that its site has now. One that says nothing rests on nothing.
func void(p Proof, o SiteReport) bool {
	return o.Lacking >= 0 && o.Incarnation != p.Incarnations[o.Site]
}

// certify makes a certificate but for its nonce, or says in words who stands in the way.
func (r rules) certify(uid dedup.UID, own Stand, v view) (*Certificate, string) {
	c := &Certificate{Study: uid, Leaf: own.Leaf, Version: r.version, Epoch: v.gate.Epoch, Sites: []Stand{own}}
	for _, site := range v.gate.Sites {
		n := slices.IndexFunc(v.others, func(o SiteReport) bool { return o.Site == site })
		if n < 0 {
			return nil, site + " has not reported it"
		}
		switch o := v.others[n]; {
		case o.Joining:
			c.Exceptions = append(c.Exceptions, site+": joining")
		case o.Away:
			return nil, "the archive of " + site + " is not there"
		case o.Full:
			c.Exceptions = append(c.Exceptions, site+": disk full")
		case o.Lacking < 0 || o.Leaf != own.Leaf:
			return nil, site + " is not level"
		case !o.Complete:
			return nil, site + " is not complete"
		case !o.Durable:
			return nil, site + " does not hold it durably"
		default:
			c.Sites = append(c.Sites, Stand{site, o.Leaf, true, true, o.Number, o.Incarnation})
		}
	}
	for _, site := range v.gate.Without {
		c.Exceptions = append(c.Exceptions, site+": acknowledged down")
	}
	slices.SortFunc(c.Sites, func(a, b Stand) int { return strings.Compare(a.Site, b.Site) })
	slices.Sort(c.Exceptions)
	return c, ""
}
