// Package reach says whether the cluster is whole, and why not, in words that an operator can believe.
//
// Each site measures its own links, on the connections that data takes: what it heard of each other site, and what of its own that site is known to have got.
// It says so in a row, signed with the site's key, once a beat. Rows travel from site to site, so each site has everybody's first-hand word and nobody's
// hearsay. From the roster and the rows one pure function judges (View.Judge):
//
//	whole    all sites have the same roster, every expected link between the sites that count goes both ways, and together they connect them all
//	partial  some expected link is down, but the others connect all sites, and every site's row is fresh
//	split    everything else. What is stale or not known counts as split
//
// A site that an operator acknowledged as down does not count until then, and is named: the cluster is whole without it. When that time is over it
// counts again, there or not.
//
// # Time
//
// Everything is counted in beats (LAN or WAN), on this site's monotonic clock; the wall clock says when an acknowledgement is over, and nothing else. The age of
// a row is what the one that handed it on says, and what has passed here since. That can be a lie, or an error: a virtual machine that was suspended,
// a packet that lay in a buffer or a queue. So each row names the last row of each other site that its maker had, and counts only if it names one that this
// site made lately, and after it began, or went on, to run: such a row cannot be older than that one, whoever says what. A process that finds that it did not
// run for a while (see pulse) forgets all that it heard, says split, and begins anew; and it hands on no row that may have lain in its buffers meanwhile, because whoever
// got it from there would take it for new.
//
// A link that is up is down when nothing came through for silent beats, and is up again after steady beats in a row, more if it went down lately: so a
// path that loses one packet in ten does not flap. Whoever has a direction's word for it that it works is believed: either end can give it.
//
// # Echo
//
// Ages can lie, a fresh answer cannot. Echo draws a nonce and is done when every other site that counts has signed it, each with its roster, boot and
// incarnation; directly, or handed on by one neighbour where the direct link is down. One echo serves all studies that wait for one.
//
// The core (Core, View.Judge, Rows) is pure: moments are handed in. Runner drives it in an agent.
package reach

import (
	"errors"
	"time"
)

// What a beat is in the two profiles. All other times are counted in beats, so a cluster's sites may differ: the slower of two sets the pace of their link.
const (
	LAN = time.Second     // what is cut is named everywhere within 15 s
	WAN = 3 * time.Second // within 45 s
)

// The times, in beats.
const (
	silent  = 8  // a direction that was up is down when nothing came for so long: at a loss of 10 %, once in 3 years
	stale   = 6  // a row that is older does not count
	proof   = 14 // nor does one that acknowledges no row of this site that is younger than this: it may have lain in a queue for as long
	steady  = 2  // beats in a row until a direction is up, twice that and four times after it went down lately
	calm    = 90 // a direction that was up for so long did not go down lately
	twinned = 90 // a site is said to be two machines for so long after both were there
	apart   = 4  // directions that died so far apart were not cut at once: the first is named
)

// Detect is how long a cut can go unnamed at any site that counts, at worst: silent, half a beat between looks at either end, and a row that is
// not stale yet. After that, whoever still says whole is at fault.
func Detect(beat time.Duration) time.Duration { return (silent + stale + 1) * beat }

// Silence is for how long nothing has come through a direction that was up when it is called down, in the profile of that beat.
func Silence(beat time.Duration) time.Duration { return silent * beat }

// Limits. They hold whatever a neighbour sends.
const (
	MaxSites  = 256      // of a roster; with more nothing is ever whole
	maxRow    = 32 << 10 // bytes of a row
	maxBeat   = 5 * time.Second
	maxAge    = 1000 * time.Hour // larger ages are said as this
	maxNumber = 1 << 62          // of boots and rows: nobody can make a row that no other could come after
	maxWord   = 128              // bytes of an incarnation
)

// ErrMalformed says that bytes are not what they should be.
var ErrMalformed = errors.New("malformed")

// ErrRefused says that a row or an answer is not from a site of the roster, or not signed with its key.
var ErrRefused = errors.New("not signed by a site of the roster")

// ErrStopped says that this process did not run for a while, so what it learned before is void.
var ErrStopped = errors.New("this site was stopped for a while")

// Moment is now: on the monotonic clock of this process, where 0 is never, and on the wall clock, which people set.
type Moment struct {
	Mono time.Duration
	Wall time.Time
}
