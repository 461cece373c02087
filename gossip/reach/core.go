package reach

import (
	"crypto/ed25519"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dicomesh/dicomesh/gossip/roster"
)

// Self is who a site is, which never changes while it runs.
type Self struct {
	Site string
	Key  ed25519.PrivateKey // of the site; its public half is pinned in the roster
	Boot uint64             // grows with every start, but when an old backup is put back
	Life Life               // drawn at the start
	Beat time.Duration      // LAN or WAN
}

// check says what is missing.
func (s Self) check() error {
	if err := roster.CheckName(s.Site); err != nil {
		return err
	}
	if len(s.Key) != ed25519.PrivateKeySize || s.Life == (Life{}) || s.Boot == 0 || s.Boot > maxNumber || s.Beat < time.Millisecond || s.Beat > maxBeat {
		return fmt.Errorf("site %s: no key, no boot number, no life, or a beat that is not between 1 ms and %v", s.Site, maxBeat)
	}
	return nil
}

// maxMade is how many rows a site remembers having made: more than it makes in proof of the slowest beats, also when much happens.
const maxMade = 512

// lag is how many rows a site may be behind before others hand them on to it.
const lag = 2

// Core is one site's part in it: events and moments go in, rows and judgements come out. It does nothing by itself, knows no clock, and is used from one
// goroutine at a time.
type Core struct {
	self     Self
	verify   Verify
	expected Expected
	rows     Rows
	ways     map[string]ways
	level    bool

	mark    Mark          // of the last row of this site
	since   uint64        // the Seq of View.Since
	made    []Made        // see View; the last maxMade
	floor   time.Duration // when this process began, or went on, to run
	stopped time.Duration // see View
	taken   int           // how often a row of this site came that it did not make, and was later than its own
	lives   map[string][]live

	news   map[string]bool // whose rows are to be sent
	astray map[string]bool // sites that do not know of their own last row
	stale  bool            // an own row is to be made before its time
	spoken time.Duration   // when the last was made
	sent   time.Duration   // when it was last to be sent
}

// NewCore begins at now. The error says what Self lacks.
func NewCore(self Self, r roster.Roster, now time.Duration) (*Core, error) {
	if err := self.check(); err != nil {
		return nil, err
	}
	c := &Core{self: self, verify: verify, rows: Rows{}, ways: map[string]ways{}, lives: map[string][]live{}, news: map[string]bool{}, astray: map[string]bool{}, mark: Mark{Boot: self.Boot}, floor: now, level: true, since: 1}
	c.SetRoster(r, now)
	return c, nil
}

// Remember has signatures verified by somebody who may remember what he has verified: a simulation, in which one process is all sites.
func (c *Core) Remember(verify Verify) { c.verify = verify }

// SetRoster takes another roster. Rows that it does not bear out are forgotten.
func (c *Core) SetRoster(r roster.Roster, now time.Duration) {
	c.expected = Expect(r)
	for site, row := range c.rows {
		if s, is := c.expected.site(site); site != c.self.Site && (!is || !c.expected.Cluster.genuine(row, s.Key, c.verify)) {
			delete(c.rows, site)
		}
	}
	maps.DeleteFunc(c.ways, func(site string, _ ways) bool { _, is := c.expected.site(site); return !is })
	maps.DeleteFunc(c.lives, func(site string, _ []live) bool { _, is := c.expected.site(site); return !is })
	c.speak(now)
}

// Stopped says that this process did not run for that long until now: what it heard is void.
func (c *Core) Stopped(gap, now time.Duration) {
	c.floor, c.stopped = now, gap
	c.ways = map[string]ways{}
	c.since = c.mark.Seq + 1
	c.speak(now)
}

// Tick takes in what the links tell, and whether this site is level with the others, and makes a row when it is time. It is to be called twice a beat.
func (c *Core) Tick(links []Beats, level bool, now time.Duration) {
	for _, b := range links {
		if _, is := c.expected.site(b.Site); !is || b.Site == c.self.Site {
			continue
		}
		was := c.ways[b.Site]
		is := was.next(b, c.floor, now, max(c.self.Beat, c.rows[b.Site].Beat))
		c.ways[b.Site] = is
		c.stale = c.stale || was.in.up != is.in.up || was.out.up != is.out.up
	}
	c.stale = c.stale || level != c.level
	c.level = level
	if c.stale || now-c.spoken >= c.self.Beat-c.self.Beat/8 { // ticks come a little early or late
		c.speak(now)
	}
	if now-c.sent >= c.self.Beat/2-c.self.Beat/8 { // each row twice, because packets are lost
		c.news[c.self.Site], c.sent = true, now
	}
	if c.stopped > 0 && (now-c.floor > Detect(c.self.Beat) || c.anew()) {
		c.stopped = 0
	}
}

// anew says whether this site has heard all others since it was stopped.
func (c *Core) anew() bool {
	for _, s := range c.expected.Sites {
		row := c.rows[s.Name]
		if s.Name != c.self.Site && s.Status == roster.Active && !row.of(c.self.Site).Seen.acknowledges(c.sinceRow()) {
			return false
		}
	}
	for _, p := range c.expected.Links {
		if p.A == c.self.Site && !c.ways[p.B].proven || p.B == c.self.Site && !c.ways[p.A].proven {
			return false
		}
	}
	return true
}

// sinceRow is the first row that this site made since it began, or went on, to run.
func (c *Core) sinceRow() Seen { return Seen{c.self.Life, c.since} }

// speak makes the next row of this site.
func (c *Core) speak(now time.Duration) {
	c.mark.Seq++
	row := Row{Site: c.self.Site, Mark: c.mark, Life: c.self.Life, Epoch: c.expected.Epoch, Beat: c.self.Beat.Truncate(time.Millisecond), Level: c.level}
	for _, s := range c.expected.Sites {
		if s.Name != c.self.Site && len(row.Links) < MaxSites {
			w, seen := c.ways[s.Name], c.rows[s.Name]
			row.Links = append(row.Links, Said{s.Name, Seen{seen.Life, seen.Seq}, w.in.way(now), w.out.way(now)})
		}
	}
	c.rows[c.self.Site] = c.expected.Cluster.sign(row, c.self.Key, now)
	c.news[c.self.Site], c.stale, c.spoken, c.sent = true, false, now, now
	if c.made = append(c.made, Made{c.mark.Seq, now}); len(c.made) > maxMade {
		c.made = c.made[1:]
	}
}

// Take takes a message of another site: any number of rows, of anybody. The error says what is wrong with the first that is not taken; the others are.
func (c *Core) Take(message []byte, now time.Duration) error {
	held, err := decodeHeld(now, message)
	if err != nil {
		return err
	}
	var wrong []error
	for _, h := range held {
		if err := c.take(h, now); err != nil {
			wrong = append(wrong, err)
		}
	}
	if len(wrong) > 0 {
		return wrong[0]
	}
	return nil
}

func (c *Core) take(h Held, now time.Duration) error {
	old, is := c.rows[h.Site]
	s, known := c.expected.site(h.Site)
	foreign := h.Site == c.self.Site && h.Mark.compare(c.mark) >= 0
	switch {
	case !known:
		return fmt.Errorf("row of %s: %w", h.Site, ErrRefused)
	case is && h.compare(old) == 0:
		c.rows.put(h.Site, h)
		return nil
	case is && h.compare(old) < 0 && !foreign && !lost(h.Mark, old.Mark):
		if h.Life != old.Life && c.expected.Cluster.genuine(h, s.Key, c.verify) {
			c.meet(h, now)
		}
		return nil
	case !c.expected.Cluster.genuine(h, s.Key, c.verify):
		return fmt.Errorf("row of %s: %w", h.Site, ErrRefused)
	case foreign:
		c.succeed(h.Mark, now)
		return nil
	}
	c.meet(h, now)
	if is && h.compare(old) < 0 { // that site does not know of its own later row: tell it
		c.news[h.Site], c.astray[h.Site] = true, true
		return nil
	}
	c.rows.put(h.Site, h)
	c.news[h.Site] = true
	return nil
}

// lost says whether a row is so much older than the one that is held that the site must have lost count, as after the restore of a backup. Rows that overtook each
// other on the way lie closer together.
func lost(m, held Mark) bool { return m.Boot < held.Boot || m.Boot == held.Boot && m.Seq+64 < held.Seq }

// succeed goes on after a row of this site that this process did not make: of a former life, when its folder was put back from a backup, since when others refuse
// its rows as old. That ends once all have told what they have; if it does not, somebody else makes rows with this site's key, and this one gives up: two would
// outdo each other for ever.
func (c *Core) succeed(m Mark, now time.Duration) {
	if c.double() {
		return
	}
	if m.Seq >= maxNumber-1 {
		m = Mark{m.Boot + 1, 0}
	}
	c.mark, c.since, c.made = m, m.Seq+1, nil
	clear(c.lives) // they were told by numbers that are others now
	c.taken++
	c.speak(now)
}

// double says whether there have been more rows of this site than other sites can have kept of a former life.
func (c *Core) double() bool { return c.taken > len(c.expected.Sites) }

// Message is a row that is to be sent to a site.
type Message struct {
	To  string
	Row []byte
}

// Out is what is to be sent now. This site's own row goes to all others. A row of another one goes on to those whose own rows say that they have not got it: so where all
// hear each other each site sends each other one message a tick, and where two do not, all who hear both make up for it. A site that lost count gets its own last row.
// What came before this process was stopped, or meanwhile, is not handed on.
func (c *Core) Out(now time.Duration) []Message {
	var out []Message
	for _, of := range slices.Sorted(maps.Keys(c.news)) {
		row, is := c.rows[of]
		for _, to := range c.expected.Sites {
			if is && to.Name != c.self.Site && (of == c.self.Site || c.lacks(to.Name, row) && (of == to.Name || c.timely(row))) {
				out = append(out, Message{to.Name, encodeHeld(now, row)})
			}
		}
	}
	clear(c.news)
	clear(c.astray)
	return out
}

// timely says whether the age of a row can be told. Of one that may have lain in this process's buffers while it did not run it cannot, and whoever got it from here would
// believe what it says for too long; that of one which acknowledges a row made since can.
func (c *Core) timely(row Held) bool {
	return row.Site == c.self.Site || c.since == 1 || row.of(c.self.Site).Seen.acknowledges(c.sinceRow())
}

// lacks says whether a site is not known to have a row, or one not long before it.
func (c *Core) lacks(site string, row Held) bool {
	if site == row.Site {
		return c.astray[site]
	}
	seen := c.rows[site].of(row.Site).Seen
	return seen.Life != row.Life || seen.Seq+lag < row.Seq
}

// State is all that this site knows, as a message, but for rows whose age it cannot tell.
func (c *Core) State(now time.Duration) []byte {
	return encodeHeld(now, slices.DeleteFunc(c.rows.sorted(), func(h Held) bool { return !c.timely(h) })...)
}

// View is what this site knows, to judge.
func (c *Core) View() View {
	v := c.view()
	v.Rows = maps.Clone(c.rows)
	return v
}

// view is View for whoever does not keep it.
func (c *Core) view() View {
	return View{Site: c.self.Site, Expected: c.expected, Rows: c.rows, Since: c.sinceRow(), Made: c.made, Stopped: c.stopped, Double: c.double(), Twins: c.twins()}
}

// Judge is the judgement of this site now. Its own row is as it was at the last Tick.
func (c *Core) Judge(now Moment) Wholeness { return c.view().Judge(now) }
