package syncer

import (
	"maps"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// core decides what this site pulls, from whom, and when. It is a pure machine: handle takes an event and the time and returns what is to be done.
// It keeps a study only while some site is known to hold it differently, so its memory follows what differs.
type core struct {
	self  string
	rules Rules
	hash  func(wire.StudyState) [32]byte // of a study in the digest tree

	mine     wire.Summary
	low      bool // the disk is below its watermark: nothing but control
	sites    map[string]*neighbour
	studies  map[dedup.UID]*difference
	queue    queues
	sleeping sleepers                  // studies for which only time can do something
	pulls    map[dedup.UID]*difference // running
	searched time.Time
	told     time.Time
	changed  map[dedup.UID]wire.StudyState // what is to be told with the next hint
	revised  []dedup.UID                   // see the effect
}

// neighbour is a site that there is or was a link with, or that can be asked by way of another one.
type neighbour struct {
	up       bool
	far      bool          // it is up, and there is no link: it can be asked, and gives no files
	said     *wire.Summary // nil until it said something since the link came up
	of       string        // the incarnation that it said last
	fed      uint64        // all of its changes up to this number are known
	asking   bool          // a comparison or a feed is under way
	round    uint64        // how many comparisons and feeds have begun, and cuts been
	since    uint64        // the round since the last cut: what was heard before is no word of what it holds now
	asked    uint64        // the number of its last change when that began
	walks    time.Time     // when it last asked for a part of this site's tree, to compare it with its own
	named    []wire.Key    // what it found to differ, until it has been asked about it
	compared bool          // one has come to its end since the link came up
	differs  [32]byte      // the sum of what it holds less what this site does, over the studies that are known to differ
	surplus  int           // of them, those that it holds and this site does not, less those the other way round
	behind   int           // how many those are
	lacking  int           // of them, those of which it has nothing
	again    time.Time     // after a comparison that came to no end, or to nothing: none begins before
	vain     int           // how many of those there were in a row
	uneven   time.Time     // since when those studies have not explained how the roots differ; zero: they do
	pulls    int           // running from it
	faults   int           // of its pulls in a row, over all studies: it is asked last, and for one study at a time, until one comes through
	stands   stand         // after the last event
	ups      uint64        // how often a link to it came up
	claims   map[dedup.UID]claim
}

// claim is a neighbour's word that it is fetching a study.
type claim struct {
	leaf    dedup.Digest
	fetched uint64
	grew    time.Time // when fetched last grew
	began   time.Time // when the first one came, of those since it held what it claimed
}

// difference is a study that at least one site holds differently.
type difference struct {
	mine    wire.StudyState // zero leaf and flags: nothing is held
	theirs  map[string]wire.StudyState
	heard   map[string]uint64 // during or after which comparison with the site
	origin  string            // the site that was first known to hold it, and not to have fetched it; "" if there is none
	since   time.Time         // when it was first known, or this site last came nearer
	offered time.Time         // when the origin's state last changed
	lane    Lane
	placed
	sleeps time.Time // until when it is among the sleepers, zero if it is not
	tried  map[string]attempt
	pull   *pull
}

// attempt is what became of the last pull from a site: it is not made again for the same state before a while.
type attempt struct {
	mine, theirs wire.StudyState
	failures     int
	cuts         int // in a row, while the link stood
	end          end
	why          string // what went wrong, or was not taken, in words
	through      bool   // all that it offered is here, or was refused as accounted for
	ended, again time.Time
}

// pull is one that is running.
type pull struct {
	from         string
	lane         Lane
	mine, theirs wire.StudyState // when it began
	ups          uint64          // of the source, likewise
	fetched      uint64
	told         time.Time // when neighbours were last told of it
}

// Lane is how urgent a transfer is (PROTOCOL.md section 3). Lists and instance files of any study go before its bulkdata.
type Lane uint8

// The lanes, the most urgent first.
const (
	Asked    Lane = iota + 2 // a viewer waits for it
	Fresh                    // it has just changed somewhere
	Backfill                 // it was found to differ
)

// Rules are the times and limits of the machine. Zero values are filled with DefaultRules.
type Rules struct {
	Pulls     int           // studies that are pulled at a time
	FromSite  int           // of them from one site
	Beside    int           // how many more there may be of each of both for the next more urgent lane, beside those that are less urgent
	Turn      time.Duration // how long a site of lower rank waits for each of higher rank to claim a study
	Stall     time.Duration // a claim or a pull that does not grow for so long counts for nothing
	HintEvery time.Duration // hints are collected for so long
	ClaimEach time.Duration // between two words about one pull
	Uneven    time.Duration // roots may differ for so long without an explanation before trees are compared
	Retry     time.Duration // after a failure of a source, doubling to RetryMost
	RetryMost time.Duration
	FeedMost  uint64 // studies to ask a feed for; whoever missed more compares
	Underway  int64  // bytes that one link may have under way at most: memory, and what a cut costs
	// Known is of how many studies it is remembered that one site holds them otherwise: memory, whatever a site says. A comparison finds half as many, so that there is
	// room for hints. Patience is how long a site may let a stream wait. Zero values of these two alone are filled as well.
	Known    int
	Patience time.Duration
}

// DefaultRules suit hospitals on a WAN as well as sites on a LAN.
func DefaultRules() Rules {
	return Rules{Pulls: 8, FromSite: 6, Beside: 2, Turn: 500 * time.Millisecond, Stall: 15 * time.Second, HintEvery: 100 * time.Millisecond, ClaimEach: time.Second,
		Uneven: 3 * time.Second, Retry: 5 * time.Second, RetryMost: 10 * time.Minute, FeedMost: 4096, Underway: 64 << 20, Known: 1 << 16, Patience: patience}
}

func (r Rules) filled() Rules {
	if r == (Rules{}) {
		return DefaultRules()
	}
	if r.Known == 0 {
		r.Known = DefaultRules().Known
	}
	if r.Patience == 0 {
		r.Patience = patience
	}
	return r
}

// newCore makes a machine that knows of nothing. hash is that of the cluster's digest trees.
func newCore(self string, rules Rules, hash func(wire.StudyState) [32]byte) *core {
	return &core{self: self, rules: rules.filled(), hash: hash, sites: map[string]*neighbour{}, studies: map[dedup.UID]*difference{}, pulls: map[dedup.UID]*difference{},
		changed: map[dedup.UID]wire.StudyState{}}
}

// handle takes one event and returns what is to be done, in order.
func (c *core) handle(e event, now time.Time) []effect {
	var out []effect
	switch e := e.(type) {
	case linkUp:
		n := c.site(e.site)
		n.ups++
		n.up, n.far = true, false // what it said by way of another may have come before this
		c.wakeAll()
	case linkDown:
		c.lost(e.site)
	case beyond:
		switch n := c.site(e.site); {
		case e.up && !n.up:
			n.up, n.far = true, true
		case !e.up && n.far:
			c.lost(e.site)
		}
	case said:
		c.hear(e)
	case holds:
		c.learn(e, now)
	case claimed:
		c.note(e, now)
	case compared:
		c.ended(e, now)
	case walked:
		n := c.site(e.site)
		n.walks = now
		if n.named = append(n.named, e.keys...); uint64(len(n.named)) > c.rules.FeedMost {
			n.named = nil // a walk of this site's own costs no more
		}
	case local:
		c.enter(e, now)
	case room:
		c.low, c.mine.Low, c.mine.Away = e.Low, e.Low, e.Away
		out = append(out, tell{c.reachable(), &wire.Changed{Summary: c.mine}}) // whether it is a holder is not to wait for the next greeting
	case asked:
		out = c.hurry(e.study)
	case fetched:
		if d := c.pulls[e.study]; d != nil {
			d.pull.fetched = max(d.pull.fetched, e.bytes)
		}
	case pulled:
		out = c.finish(e, now)
	}
	out = append(out, c.hint(now)...)
	out = append(out, c.search(now)...)
	return append(append(out, c.choose(now)...), c.news()...)
}

// site is a neighbour, made when it is first heard of.
func (c *core) site(name string) *neighbour {
	n := c.sites[name]
	if n == nil {
		n = &neighbour{claims: map[dedup.UID]claim{}}
		c.sites[name] = n
	}
	return n
}

// lost forgets what only a link can tell. What the site was known to hold stays: it will be the first thing to ask for.
func (c *core) lost(site string) {
	n := c.site(site)
	n.up, n.far, n.said, n.asking, n.compared, n.uneven, n.again, n.vain = false, false, nil, false, false, time.Time{}, time.Time{}, 0
	n.walks, n.named = time.Time{}, nil
	n.round++
	n.since = n.round
	clear(n.claims)
}

// hear takes what a site says of itself. Another incarnation voids all that was known of it.
func (c *core) hear(e said) {
	n := c.site(e.site)
	if n.of != "" && n.of != e.summary.Incarnation {
		n.fed, n.compared = 0, false
		for uid, d := range c.studies {
			c.revise(uid, d, e.site)
		}
	}
	n.of, n.said = e.summary.Incarnation, &e.summary
}

// learn takes what a site holds of some studies.
func (c *core) learn(e holds, now time.Time) {
	n := c.site(e.site)
	lane, most := Backfill, c.rules.Known/2
	if e.hint {
		lane, most = Fresh, c.rules.Known
	}
	for _, h := range e.studies {
		uid := h.theirs.UID
		d := c.studies[uid]
		if n.behind >= most && (d == nil || !d.of(e.site)) { // the sums will find it when there is room
			continue
		}
		if d == nil {
			d = &difference{theirs: map[string]wire.StudyState{}, heard: map[string]uint64{}, tried: map[string]attempt{}, since: now, lane: lane}
			c.studies[uid] = d
		}
		if len(d.theirs) == 0 {
			d.origin = ""
		}
		cl, fetches := n.claims[uid]
		if d.origin == "" && (!fetches || now.Sub(cl.grew) >= c.rules.Stall) { // else it has it from somebody whose word is still on its way
			d.origin = e.site
		}
		if d.origin == e.site && !alike(d.theirs[e.site], h.theirs) {
			d.offered = now
		}
		if h.mine.Change >= d.mine.Change { // it was looked up before the event came here
			c.setMine(d, h.mine)
		}
		c.drop(d, e.site)
		c.count(d, e.site, h.theirs, 1)
		d.theirs[e.site], d.heard[e.site] = h.theirs, n.round
		if lane < d.lane {
			d.lane, d.queued = lane, false
		}
		if fetches && cl.leaf == h.theirs.Leaf {
			delete(n.claims, uid)
		}
		c.forget(uid)
		c.wake(uid)
	}
}

// of reports whether a site is known to hold the study otherwise.
func (d *difference) of(site string) bool {
	_, known := d.theirs[site]
	return known
}

// note takes what a site says that it is fetching.
func (c *core) note(e claimed, now time.Time) {
	n := c.site(e.site)
	if len(n.claims)+len(e.studies) > mostClaims {
		maps.DeleteFunc(n.claims, func(_ dedup.UID, cl claim) bool { return now.Sub(cl.grew) >= c.rules.Stall })
	}
	for _, s := range e.studies[:min(len(e.studies), max(0, mostClaims-len(n.claims)))] {
		if s.Over { // what it holds now comes with its next hint: until then nobody else needs to ask the origin
			n.claims[s.UID] = claim{s.Leaf, s.Fetched, now.Add(2*c.rules.Turn - c.rules.Stall), n.began(s.UID, now)}
			c.wake(s.UID)
			continue
		}
		was, has := n.claims[s.UID]
		if !has || s.Fetched > was.fetched || s.Leaf != was.leaf {
			n.claims[s.UID] = claim{s.Leaf, s.Fetched, now, n.began(s.UID, now)}
		}
	}
}

// ended notes the end of a comparison or of a feed. What a site had given numbers to when it began is known when it has come to its end.
func (c *core) ended(e compared, now time.Time) {
	n := c.site(e.site)
	n.asking, n.uneven = false, time.Time{}
	if !n.up {
		return
	}
	if e.some && e.err == nil { // whether it is all the roots tell: see search
		n.again = now.Add(c.rules.Uneven / 4)
		return
	}
	if e.err != nil || n.said != nil && !c.explained(n) {
		n.vain++
		n.again = now.Add(min(c.rules.Uneven<<min(n.vain-1, 8), 20*c.rules.Uneven))
	}
	if e.err != nil {
		return
	}
	n.compared = true
	if e.partial {
		return
	}
	if e.feed {
		n.fed = e.next
		return
	}
	n.fed = n.asked
	for uid, d := range c.studies { // what was believed to differ, and was not found to
		if heard, known := d.heard[e.site]; known && heard < n.round {
			c.revise(uid, d, e.site)
		}
	}
}

// enter takes what this site holds now, and will tell it to all.
func (c *core) enter(e local, now time.Time) {
	c.mine = e.summary
	for _, n := range c.sites { // until now Report said nothing of what nobody is known to hold otherwise
		n.stands.counts = false
	}
	uid := e.study.UID
	if uid == (dedup.UID{}) {
		return
	}
	c.changed[uid] = e.study
	if d := c.studies[uid]; d != nil {
		if !alike(d.mine, e.study) {
			d.since = now
		}
		c.setMine(d, e.study)
		c.revised = append(c.revised, uid)
		c.forget(uid)
		c.wake(uid)
	}
}

// setMine takes what this site holds of a study now.
func (c *core) setMine(d *difference, now wire.StudyState) {
	for site, theirs := range d.theirs {
		c.count(d, site, theirs, -1)
	}
	d.mine = now
	for site, theirs := range d.theirs {
		c.count(d, site, theirs, 1)
	}
}

// drop forgets what a site holds of a study.
func (c *core) drop(d *difference, site string) {
	if theirs, known := d.theirs[site]; known {
		c.count(d, site, theirs, -1)
		delete(d.theirs, site)
		delete(d.heard, site)
	}
}

// count enters the difference between this site and another in one study (by 1), or takes it out (by -1).
func (c *core) count(d *difference, site string, theirs wire.StudyState, by int) {
	var sum [32]byte
	surplus := 0
	if !nothing(theirs) {
		sum, surplus = c.hash(theirs), 1
	}
	if !nothing(d.mine) {
		sum, surplus = index.Minus(sum, c.hash(d.mine)), surplus-1
	}
	n := c.sites[site]
	n.surplus += by * surplus
	n.behind += by
	if nothing(theirs) {
		n.lacking += by
	}
	if by < 0 {
		n.differs = index.Minus(n.differs, sum)
		return
	}
	n.differs = index.Plus(n.differs, sum)
}

// hurry makes a study that a viewer waits for go first.
func (c *core) hurry(uid dedup.UID) []effect {
	d := c.studies[uid]
	if d == nil || d.lane == Asked {
		return nil
	}
	d.lane, d.queued = Asked, false
	c.wake(uid)
	if d.pull != nil {
		d.pull.lane = Asked
		return []effect{raise{uid, Asked}}
	}
	return nil
}

// finish takes the end of a pull. It is not made again for the same states before a while, and neighbours are told that the claim is over.
func (c *core) finish(e pulled, now time.Time) []effect {
	d := c.pulls[e.study]
	if d == nil {
		return nil
	}
	p := d.pull
	d.pull = nil
	delete(c.pulls, e.study)
	c.site(p.from).pulls--
	out := []effect{tell{c.reachable(), &wire.Claim{Studies: []wire.Claimed{{UID: e.study, Leaf: p.theirs.Leaf, Fetched: p.fetched, Over: true}}}}}
	a := attempt{mine: d.mine, theirs: p.theirs, end: e.end, why: e.why, through: e.end == through, ended: now}
	n := c.site(p.from)
	switch e.end {
	case through:
		if !alike(p.mine, d.mine) {
			n.faults = 0
		}
		a.again = now.Add(c.rules.RetryMost)
		if p.theirs.Flags&wire.Complete != 0 && d.mine.Flags&wire.Complete == 0 { // something of it is still wanting here, and there it is
			a.again = now.Add(4 * c.rules.Retry)
		}
	case linkLost:
		if n.up && !n.far && n.ups == p.ups { // its link stands: the longer it cuts streams, the longer it is left alone
			a.cuts = d.tried[p.from].cuts + 1
		}
		a.again = now.Add(c.backoff(a.cuts))
	case notHere:
		a.again = now.Add(c.rules.Retry)
	case atFault:
		n.faults++
		a.failures = d.tried[p.from].failures + 1
		a.again = now.Add(c.backoff(a.failures))
		out = append(out, blame{e.study, p.from})
	}
	d.tried[p.from] = a
	c.revised = append(c.revised, e.study)
	c.forget(e.study)
	c.wake(e.study)
	return out
}

// backoff is how long nothing is tried again after so many times in a row.
func (c *core) backoff(times int) time.Duration {
	return min(c.rules.Retry<<min(max(times-1, 0), 16), c.rules.RetryMost)
}

// forget drops sites that hold a study as this one does, and a study that nobody holds differently.
func (c *core) forget(uid dedup.UID) {
	d := c.studies[uid]
	for site, s := range d.theirs {
		if alike(s, d.mine) {
			c.drop(d, site)
			delete(d.tried, site)
		}
	}
	if len(d.theirs) == 0 && d.pull == nil {
		delete(c.studies, uid)
	}
}

// nothing reports whether a site has nothing of a study.
func nothing(s wire.StudyState) bool {
	return s.Leaf == (dedup.Digest{}) && s.Others == (dedup.Digest{})
}

// alike reports whether two sites hold the same of a study.
func alike(a, b wire.StudyState) bool {
	return a.Leaf == b.Leaf && a.Others == b.Others && a.Flags == b.Flags
}
