package syncer

import (
	"cmp"
	"container/heap"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// hint tells neighbours what has changed here, a few times a second at most.
func (c *core) hint(now time.Time) []effect {
	if len(c.changed) == 0 || now.Sub(c.told) < c.rules.HintEvery {
		return nil
	}
	c.told = now
	sites := c.reachable()
	states := slices.SortedFunc(maps.Values(c.changed), func(a, b wire.StudyState) int { return cmp.Compare(a.Change, b.Change) })
	clear(c.changed)
	if len(sites) == 0 {
		return nil
	}
	var out []effect
	for part := range slices.Chunk(states, wire.MaxStudies) {
		out = append(out, tell{sites, &wire.Changed{Summary: c.mine, Studies: part}})
	}
	return out
}

// search looks for what differs where nothing explains that roots differ: by the feed of a site whose changes are known up to a number, else by
// comparing trees. Roots differ for a moment whenever something arrives somewhere, so it takes its time, but for the first look after a link came up.
func (c *core) search(now time.Time) []effect {
	var out []effect
	look := now.Sub(c.searched) >= c.rules.Uneven/4
	if look {
		c.searched = now
	}
	for _, name := range c.reachable() {
		n := c.sites[name]
		if n.said == nil || n.asking || now.Before(n.again) || n.compared && !look {
			continue
		}
		if c.explained(n) { // which proves more than any walk
			n.uneven, n.vain, n.named, n.compared, n.fed = time.Time{}, 0, nil, true, max(n.fed, n.said.Change)
			continue
		}
		if n.uneven.IsZero() {
			n.uneven = now
		}
		if n.compared && n.behind >= c.rules.Known/4 { // there is enough to do, or to wait for
			continue
		}
		fed := n.fed > 0 && n.fed < n.said.Change && n.said.Change-n.fed <= c.rules.FeedMost
		if len(n.named) == 0 && !c.ready(name, fed, now) {
			continue
		}
		n.asking, n.asked = true, n.said.Change
		n.round++
		if fed && len(n.named) == 0 {
			out = append(out, feed{name, n.of, n.fed})
			continue
		}
		out = append(out, compare{name, n.named})
		n.named = nil
	}
	return out
}

// ready reports whether it is time to ask a site what differs. Both sites find the roots to differ at one moment, and a walk costs both as much: so of two the one whose name comes first
// walks, and the other one lets it, and then asks about what was found. A feed is one way only.
func (c *core) ready(name string, fed bool, now time.Time) bool {
	n := c.sites[name]
	var wait time.Duration
	if n.compared {
		wait = c.rules.Uneven
	}
	if !fed && name < c.self {
		wait += c.rules.Uneven / 4
		if now.Sub(n.walks) < c.rules.Uneven {
			wait = 10 * c.rules.Uneven // nobody asks for as long, who means to come to an end
		}
	}
	return now.Sub(n.uneven) >= wait
}

// reachable are the sites with a link, in order.
func (c *core) reachable() []string {
	var up []string
	for _, name := range slices.Sorted(maps.Keys(c.sites)) {
		if c.sites[name].up {
			up = append(up, name)
		}
	}
	return up
}

// choose starts pulls, the most urgent first, and keeps neighbours informed of those that run.
func (c *core) choose(now time.Time) []effect {
	out := c.progress(now)
	for _, s := range c.sleeping.wake(now) {
		if d := c.studies[s.uid]; d != nil && d.sleeps.Equal(s.at) {
			d.sleeps = time.Time{}
			c.wake(s.uid)
		}
	}
	for lane := Asked; lane <= Backfill && !c.low; lane++ {
		out = append(out, c.start(lane, now)...)
	}
	return out
}

// start starts pulls of one lane. A study for which nothing can be done now leaves the queue, until time or an event brings it back.
func (c *core) start(lane Lane, now time.Time) []effect {
	var out []effect
	for c.room(lane, "", c.rules.Pulls) {
		uid, d := c.first(lane)
		if d == nil {
			break
		}
		from, again, busy := c.source(uid, d, now)
		if from != "" {
			out = append(out, c.pullFrom(uid, d, from, now)...)
		} else if !again.IsZero() && (d.sleeps.IsZero() || again.Before(d.sleeps)) {
			d.sleeps = again
			heap.Push(&c.sleeping, sleeper{again, uid})
		}
		if d.queued = len(busy) > 0; d.queued {
			c.park(uid, d, busy)
		}
	}
	return out
}

func (c *core) pullFrom(uid dedup.UID, d *difference, from string, now time.Time) []effect {
	d.pull = &pull{from: from, lane: d.lane, mine: d.mine, theirs: d.theirs[from], ups: c.sites[from].ups, told: now}
	c.pulls[uid] = d
	c.sites[from].pulls++
	return []effect{startPull{uid, from, d.lane}, tell{c.reachable(), &wire.Claim{Studies: []wire.Claimed{{UID: uid, Leaf: d.theirs[from].Leaf}}}}}
}

// wakeAll is for an event that may help any study.
func (c *core) wakeAll() {
	for _, uid := range slices.SortedFunc(maps.Keys(c.studies), dedup.UID.Compare) {
		c.wake(uid)
	}
}

// blocked reports whether a study has to wait for another one, from which something of it was moved (PROTOCOL.md section 2). Two that wait for each
// other, or one that waited for long, wait no more: nothing is lost by it, but for a while an instance may be in both.
func (c *core) blocked(d *difference, now time.Time) bool {
	if now.Sub(d.since) > c.rules.RetryMost {
		return false
	}
	for _, s := range d.theirs {
		if first := c.studies[s.After]; first != nil && first != d && !first.waitsFor(s.UID) {
			return true
		}
	}
	return false
}

// waitsFor reports whether a site says that the study comes after another one.
func (d *difference) waitsFor(uid dedup.UID) bool {
	for _, s := range d.theirs {
		if s.After == uid {
			return true
		}
	}
	return false
}

// progress tells neighbours of running pulls.
func (c *core) progress(now time.Time) []effect {
	var out []effect
	var states []wire.Claimed
	for _, uid := range slices.SortedFunc(maps.Keys(c.pulls), dedup.UID.Compare) {
		if p := c.pulls[uid].pull; now.Sub(p.told) >= c.rules.ClaimEach {
			p.told = now
			states = append(states, wire.Claimed{UID: uid, Leaf: p.theirs.Leaf, Fetched: p.fetched})
		}
	}
	if len(states) > 0 {
		out = append(out, tell{c.reachable(), &wire.Claim{Studies: states}})
	}
	return out
}

// source is the site to pull a study from now; or "" and when to look again, zero if only an event can help; or busy: as soon as a pull from one of those sites has ended.
//
// Of several holders the origin is the last choice: others have it from there already. Of a study that one site alone holds, the sites that lack it
// take turns, in an order that is theirs by hash: the first pulls, the others wait for it to hold the study, as long as its claim grows.
//
// A site without a link is asked where nobody else holds the study: it may turn out that nothing of what it has is wanting here.
func (c *core) source(uid dedup.UID, d *difference, now time.Time) (from string, again time.Time, busy []string) {
	if c.blocked(d, now) {
		return "", now.Add(c.rules.Stall), nil
	}
	var holders []string
	for _, site := range slices.Sorted(maps.Keys(d.theirs)) {
		switch due := c.due(d, site); {
		case !c.sites[site].up, nothing(d.theirs[site]):
		case due.After(now):
			again = earlier(again, due)
		case c.busy(site, d.lane):
			busy = append(busy, site)
		default:
			holders = append(holders, site)
		}
	}
	if len(holders) == 0 {
		return "", again, busy
	}
	slices.SortFunc(holders, func(a, b string) int {
		return cmp.Or(cmp.Compare(truth(c.sites[a].far), truth(c.sites[b].far)),
			cmp.Compare(truth(c.sites[a].faults > 0), truth(c.sites[b].faults > 0)), cmp.Compare(truth(a == d.origin), truth(b == d.origin)), cmp.Compare(d.tried[a].failures, d.tried[b].failures),
			cmp.Compare(c.sites[a].pulls, c.sites[b].pulls), cmp.Compare(rank(c.self, a, uid), rank(c.self, b, uid)))
	})
	if holders[0] != d.origin || c.sites[d.origin].far {
		return holders[0], time.Time{}, nil
	}
	if turn := c.turn(uid, d, now); turn.After(now) {
		return "", turn, nil
	}
	return holders[0], time.Time{}, nil
}

// busy reports whether no more pulls of a lane may run from a site. When the last one was at fault there is one at a time, because what it costs to find out once more others have to wait for.
func (c *core) busy(site string, lane Lane) bool {
	if n := c.sites[site]; n.faults > 0 {
		return n.pulls > 0
	}
	return !c.room(lane, site, c.rules.FromSite)
}

// room reports whether one more pull of a lane may run, from a site or from all (""): so many at a time, of which those that are less urgent count only beyond a few. So what is
// urgent does not wait until something large that is not has come.
func (c *core) room(lane Lane, from string, most int) bool {
	all, urgent := 0, 0
	for _, d := range c.pulls {
		if from == "" || d.pull.from == from {
			all++
			urgent += truth(d.pull.lane <= lane)
		}
	}
	return urgent < most && all < most+c.rules.Beside*int(Backfill-lane)
}

// due is when a pull from a site may be tried: at once if it was not tried, or the site holds something else now; after a while if this one does.
func (c *core) due(d *difference, site string) time.Time {
	a, tried := d.tried[site]
	switch {
	case !tried, !alike(a.theirs, d.theirs[site]) && a.failures == 0:
		return time.Time{}
	case !alike(a.mine, d.mine) && a.failures == 0:
		return earlier(a.again, a.ended.Add(c.rules.Retry))
	}
	return a.again
}

// So many claims of one site are remembered, and for so long a study is left to a site that claims it and does not come to hold it: its bytes are its own word.
const (
	mostClaims  = 1024
	mostClaimed = time.Hour
)

// began is when a site began to claim a study.
func (n *neighbour) began(uid dedup.UID, now time.Time) time.Time {
	if was, has := n.claims[uid]; has {
		return was.began
	}
	return now
}

// turn is when this site may take a study from the only one that holds it.
func (c *core) turn(uid dedup.UID, d *difference, now time.Time) time.Time {
	own, before := rank(c.self, d.origin, uid), 0
	for name, n := range c.sites {
		if !n.up || n.far || name == d.origin || alike(d.theirs[name], d.theirs[d.origin]) {
			continue // what it holds otherwise than the origin is a part of it: it lacks the rest as this site does
		}
		if cl, ok := n.claims[uid]; ok && now.Sub(cl.grew) < c.rules.Stall && now.Sub(cl.began) < mostClaimed {
			return now.Add(c.rules.Turn)
		}
		if !n.low() && rank(name, d.origin, uid) < own {
			before++
		}
	}
	return earlier(d.offered.Add(time.Duration(before)*c.rules.Turn), d.since.Add(c.rules.Stall))
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// low reports whether a neighbour takes nothing in.
func (n *neighbour) low() bool { return n.said != nil && n.said.Low }

// away reports whether the archive of a neighbour is not there.
func (n *neighbour) away() bool { return n.said != nil && n.said.Away }

// rank orders sites for a study in a way that every site computes alike, and that is another one for each study.
func rank(site, holder string, uid dedup.UID) uint64 {
	sum := sha256.Sum256([]byte(site + "\x00" + holder + "\x00" + uid.String()))
	return binary.BigEndian.Uint64(sum[:])
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

// next is when handle has to be called again though nothing happens: zero if never.
func (c *core) next(now time.Time) (at time.Time) {
	if len(c.changed) > 0 {
		at = c.told.Add(c.rules.HintEvery)
	}
	if len(c.pulls) > 0 {
		at = earlier(at, now.Add(c.rules.ClaimEach))
	}
	for _, n := range c.sites {
		if n.up && n.said != nil && !n.asking && !c.explained(n) {
			at = earlier(at, now.Add(c.rules.Uneven/4))
		}
	}
	return earlier(at, c.sleeping.first())
}

// sleepers are studies by the time at which they are to be looked at again: a heap.
type sleepers []sleeper

type sleeper struct {
	at  time.Time
	uid dedup.UID
}

func (s sleepers) Len() int           { return len(s) }
func (s sleepers) Less(i, j int) bool { return s[i].at.Before(s[j].at) }
func (s sleepers) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s *sleepers) Push(x any)        { *s = append(*s, x.(sleeper)) }
func (s *sleepers) Pop() any {
	last := (*s)[len(*s)-1]
	*s = (*s)[:len(*s)-1]
	return last
}

func (s sleepers) first() time.Time {
	if len(s) == 0 {
		return time.Time{}
	}
	return s[0].at
}

// wake takes out those whose time has come.
func (s *sleepers) wake(now time.Time) (up []sleeper) {
	for len(*s) > 0 && !(*s)[0].at.After(now) {
		up = append(up, heap.Pop(s).(sleeper))
	}
	return up
}
