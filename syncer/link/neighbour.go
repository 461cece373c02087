package link

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// neighbour is all that is known of another site of the roster. Endpoint.mu guards it.
type neighbour struct {
	name   string // never changes, like ctx and cancel
	site   Site
	ctx    context.Context // ends when the site leaves the roster
	cancel context.CancelFunc
	change chan struct{} // closed, and replaced, whenever something of this changes

	primaries []*conn // connections 0, best first; the others are about to be closed
	data      []*conn // by compareData
	dialling  int     // data connections that are being dialled

	boot, seen uint64 // the latest process of that site that dialled us, and its last dial
	process    uint64 // that we have connections with, or had last
	wants      int    // data connections that the other end would like
	sizing     sizing // and what this end would like
	last       totals // of the data connections that stand, at the last interval
	loss       float64

	since    time.Time
	failure  string // why the last dial failed
	gone     totals // of connections that are no more
	dropped  uint64
	beats    beats
	names    []string // the sites that it has links with
	serving  map[Kind]int
	relaying int
}

// adopt begins to tend a site. e.mu is held.
func (e *Endpoint) adopt(s Site) *neighbour {
	n := &neighbour{name: s.Name, site: s, change: make(chan struct{}), serving: map[Kind]int{}}
	n.ctx, n.cancel = context.WithCancel(e.ctx)
	e.beginLocked(func() { e.keepDialling(n) })
	e.beginLocked(func() { e.keepBundle(n) })
	return n
}

// changed wakes those who wait for something of this neighbour. e.mu is held.
func (n *neighbour) changed() {
	close(n.change)
	n.change = make(chan struct{})
}

// primary is the connection 0 in use, or nil.
func (n *neighbour) primary() *conn {
	if len(n.primaries) == 0 {
		return nil
	}
	return n.primaries[0]
}

// want is how many data connections both ends agree on: the larger of their wishes.
func (n *neighbour) want(most int) int { return min(most, max(1, n.sizing.want(), n.wants)) }

// neighbourOf is the site of that name, if the roster has it and the endpoint runs. e.mu is held.
func (e *Endpoint) neighbourOf(name string) *neighbour {
	if e.transport == nil {
		return nil
	}
	return e.sites[name]
}

// linked are the names of the sites that this one has links with, sorted. e.mu is held.
func (e *Endpoint) linked() []string {
	var names []string
	for name, n := range e.sites {
		if n.primary() != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// changedAll wakes the writers of all control streams. e.mu is held.
func (e *Endpoint) changedAll() {
	for _, n := range e.sites {
		n.changed()
	}
}

// enter registers a connection after its HELLO, and returns why not if it cannot stay.
func (e *Endpoint) enter(c *conn, h hello) (no code, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.neighbourOf(c.site)
	if n == nil || !n.site.Key.Equal(c.key()) { // the roster may have changed since the handshake
		return codeRemoved, false
	}
	if c.data {
		return e.enterData(n, c)
	}
	e.outlive(n, c)
	if len(n.primaries) >= maxPrimaries {
		return codeBusy, false
	}
	first := len(n.primaries) == 0
	if c.boot != n.process { // it was started anew: it counts its beats anew, and what its old process held is dead
		n.process, n.beats = c.boot, n.beats.afresh()
		e.endData(n, func(d *conn) bool { return d.boot != c.boot })
	}
	if c.dialler != e.config.Name {
		if h.boot > n.boot {
			n.boot, n.seen = h.boot, 0
		}
		if h.boot == n.boot {
			n.seen = max(n.seen, h.seq)
		}
		e.dropLost(n, h.others)
	}
	var losers []*conn
	n.primaries, losers = insert(n.primaries, c)
	e.closeLosers(n, losers)
	if first {
		n.since, n.failure, n.names = time.Now(), "", nil
		e.tellLocked(Event{Kind: Up, Site: n.name, Address: c.address(), Reason: "dialled by " + c.dialler})
		e.changedAll()
	}
	n.changed()
	return 0, true
}

// outlive ends what is left of the other end's earlier processes, when a later one has come: it was killed, and its connections only seem to stand. That is told
// as an end of the link and a new one, because whoever keeps a stream to the site has to open it again.
func (e *Endpoint) outlive(n *neighbour, c *conn) {
	was := n.primary()
	if was == nil || slices.ContainsFunc(n.primaries, func(p *conn) bool { return p.boot >= c.boot }) {
		return
	}
	for _, p := range n.primaries {
		e.beginLocked(func() { p.close(codeLost) })
	}
	n.primaries = nil
	e.fell(n, was, "it was started anew")
}

// dropLost closes dials of ours that the other end says it does not hold any more.
func (e *Endpoint) dropLost(n *neighbour, said standing) {
	n.primaries = slices.DeleteFunc(n.primaries, func(c *conn) bool {
		lost := c.dialler == e.config.Name && said.lost(c.seq, e.config.Boot)
		if lost {
			e.beginLocked(func() { c.close(codeLost) })
		}
		return lost
	})
}

// closeLosers closes connections 0 that another one stays for: the lower-named site does, after a drain; the other only waits.
func (e *Endpoint) closeLosers(n *neighbour, losers []*conn) {
	if e.config.Name > n.name {
		return
	}
	for _, c := range losers {
		if c.losing {
			continue
		}
		c.losing = true
		e.beginLocked(func() {
			select {
			case <-time.After(e.config.Timing.Drain):
			case <-c.quic.Context().Done():
			case <-e.ctx.Done():
			}
			c.close(codeTie)
		})
	}
}

// enterData registers a data connection: of a process that has a connection 0. It may outlast that, if another connection 0 stays, so that what is
// under way goes on.
func (e *Endpoint) enterData(n *neighbour, c *conn) (code, bool) {
	if !slices.ContainsFunc(n.primaries, func(p *conn) bool { return p.boot == c.boot }) {
		return codeLost, false
	}
	if len(n.data) >= maxBundle {
		return codeBusy, false
	}
	at, _ := slices.BinarySearchFunc(n.data, c, compareData)
	n.data = slices.Insert(n.data, at, c)
	n.changed()
	return 0, true
}

// compareData is the order of data connections, at both ends the same: the first ones are used.
func compareData(a, b *conn) int {
	return cmp.Or(cmp.Compare(a.dialler, b.dialler), cmp.Compare(a.seq, b.seq))
}

// leave takes a connection that has ended out.
func (e *Endpoint) leave(c *conn, why string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.sites[c.site]
	if n == nil {
		return
	}
	n.gone = n.gone.plus(c.totals())
	was := n.primary()
	n.data = slices.DeleteFunc(n.data, func(o *conn) bool { return o == c })
	n.primaries = slices.DeleteFunc(n.primaries, func(o *conn) bool { return o == c })
	if was != nil && n.primary() == nil {
		e.fell(n, c, why)
	}
	n.changed()
}

// fell says that the last connection 0 to a site is gone.
func (e *Endpoint) fell(n *neighbour, c *conn, why string) {
	n.since, n.names, n.wants = time.Now(), nil, 0
	n.beats = n.beats.afresh()
	e.endData(n, func(*conn) bool { return true })
	e.tellLocked(Event{Kind: Down, Site: n.name, Address: c.address(), Reason: why})
	e.changedAll()
}

// endData closes the data connections that which picks.
func (e *Endpoint) endData(n *neighbour, which func(*conn) bool) {
	for _, d := range n.data {
		if which(d) {
			e.beginLocked(func() { d.close(codeLost) })
		}
	}
}

// await waits until cond, which is asked with e.mu held, or until ctx or the neighbour's time ends.
func (e *Endpoint) await(ctx context.Context, n *neighbour, cond func() bool) error {
	for {
		e.mu.Lock()
		met, change := cond(), n.change
		e.mu.Unlock()
		if met {
			return nil
		}
		select {
		case <-change:
		case <-n.ctx.Done():
			return ErrNoLink
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
