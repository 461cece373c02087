package watch

import (
	"hash/fnv"
	"io"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
)

// job is something that the core wants to know or to have, and waits for.
type job struct {
	task       task
	study      *study   // look
	studies    []*study // glance
	deep, hot  bool     // look: files of class Other too; watch its folders first
	background bool     // no news asked for it
}

type task uint8

const (
	nothing task = iota // until the time that next gives, or until there is something to notice
	arm                 // ask for notifications anew; armed
	probe               // look at the tree's root; present
	enlist              // list the studies; listed
	glance              // see whether folders of studies changed; glanced
	inspect             // look at a study; looked, checked
)

// next is what to do now, or, when that is nothing, when to ask again.
//
// Background work goes first when its rest is over: so it never starves, and its rest is what news have for themselves.
func (c *core) next(now time.Time) (job, time.Time) {
	c.tick(now)
	switch {
	case !now.Before(c.probeAt):
		return job{task: probe}, now
	case !c.away.IsZero():
		return job{}, c.probeAt
	case c.arm && !now.Before(c.armAt):
		return job{task: arm}, now
	}
	if !now.Before(c.rest) {
		if j := c.background(now); j.task != nothing {
			return j, now
		}
	}
	if s := c.due.take(now, (*study).dueAt); s != nil {
		return c.inspect(s, job{}), now
	}
	return job{}, c.wake(now)
}

func (c *core) inspect(s *study, j job) job {
	if s.first {
		c.warm(s)
	}
	j.task, j.study, j.deep, j.hot = inspect, s, s.deep, s.busy != nil && s.place != nil && !c.blind
	return j
}

// background is the next piece of work that no news asked for.
func (c *core) background(now time.Time) job {
	if c.ended && !now.Before(c.began.Add(c.config.Cycle)) {
		c.relist = true
	}
	if c.relist && !now.Before(c.listAt) {
		return job{task: enlist, background: true}
	}
	for len(c.queue) > 0 {
		s := c.queue[0]
		c.queue[0], c.queue = nil, c.queue[1:]
		if s.queued {
			return c.inspect(s, job{background: true})
		}
	}
	for c.owed(now) >= max(1, min(glances, len(c.order)-c.pos)) {
		if some := c.pick(); len(some) > 0 {
			return job{task: glance, studies: some, background: true}
		}
		if len(c.queue) > 0 {
			return c.background(now)
		}
	}
	if c.pos == len(c.order) && !c.ended && !c.starting {
		c.finishCycle(now)
	}
	return job{}
}

// owed is how many studies should have been glanced at by now, and have not.
func (c *core) owed(now time.Time) int {
	part := min(1, float64(now.Sub(c.began))/float64(c.config.Cycle))
	return int(part*float64(len(c.order))) - c.pos
}

// pick takes the next studies of the cycle that a glance can say something of. Those whose turn it is to be looked at deeply are queued for that.
func (c *core) pick() (some []*study) {
	for n := 0; n < glances && c.pos < len(c.order); n++ {
		s := c.order[c.pos]
		c.pos++
		switch {
		case !s.known || s.queued || s.busy != nil && !s.due.IsZero():
		case c.deepTurn(s.uid):
			s.deep = true
			c.enqueue(s)
		default:
			some = append(some, s)
		}
	}
	return some
}

func (c *core) deepTurn(uid dedup.UID) bool {
	h := fnv.New32a()
	_, _ = io.WriteString(h, uid.String())
	return (h.Sum32()+uint32(c.status.Cycles))%uint32(c.config.Deep) == 0
}

func (c *core) finishCycle(now time.Time) {
	c.ended = true
	c.status.Cycles++
	c.status.LastCycle, c.status.CycleTook = now, now.Sub(c.began)
	c.relax()
}

// wake is when there is something to do again, if nothing comes up before.
func (c *core) wake(now time.Time) time.Time {
	at := c.probeAt
	sooner := func(t time.Time) {
		if t.Before(at) {
			at = t
		}
	}
	if c.arm {
		sooner(c.armAt)
	}
	if t, ok := c.due.next((*study).dueAt); ok {
		sooner(t)
	}
	if t, ok := c.waits.next((*study).awaited); ok {
		sooner(later(t, c.waitAt))
	}
	if t, ok := c.backgroundAt(); ok {
		sooner(later(t, c.rest))
	}
	return later(at, now)
}

// backgroundAt is when background work is wanted next; the pulse of the root, which is never far, has it asked again.
func (c *core) backgroundAt() (time.Time, bool) {
	switch left := len(c.order) - c.pos; {
	case len(c.queue) > 0:
		return time.Time{}, true
	case c.relist:
		return c.listAt, true
	case left > 0:
		part := float64(c.pos+min(glances, left)) / float64(len(c.order))
		return c.began.Add(time.Duration(part * float64(c.config.Cycle))).Add(time.Millisecond), true
	case c.ended:
		return c.began.Add(c.config.Cycle), true
	}
	return time.Time{}, !c.starting
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// spent takes in how long a job took: background work rests in proportion.
func (c *core) spent(j job, took time.Duration, now time.Time) {
	if !j.background {
		return
	}
	if c.debt += time.Duration(max(0, c.config.Rest)) * took; c.debt >= breath {
		c.rest, c.debt = now.Add(c.debt), 0
	}
}

// glanced takes in what the folders of some studies look like; 0 for one that cannot be told. Where there is room for more hot studies, these are.
func (c *core) glanced(some []*study, hints []uint64, now time.Time) {
	c.status.Glances += uint64(len(some))
	for i, s := range some {
		switch {
		case c.studies[s.uid] != s:
		case hints[i] != s.hint || hints[i] == 0:
			c.lookAt(s, now)
		case c.warm(s):
			c.enqueue(s)
		}
	}
}

// listed takes in which studies there are. What is new, or no longer there, is looked at.
func (c *core) listed(uids []dedup.UID, err error, r root, now time.Time) {
	c.relist, c.listAt = false, now.Add(time.Second)
	if !c.present(r, now) {
		return
	}
	c.unlist = ""
	if err != nil {
		c.relist, c.listAt, c.unlist = true, now.Add(again), err.Error()
		return
	}
	for _, s := range c.studies {
		s.seen = false
	}
	order := make([]*study, 0, len(uids))
	for _, uid := range uids {
		s := c.study(uid)
		s.seen = true
		if !s.known {
			s.first = c.starting
			c.enqueue(s)
		}
		order = append(order, s)
	}
	for _, s := range c.studies {
		if s.known && !s.seen {
			c.enqueue(s)
		}
	}
	if c.starting || c.ended && !now.Before(c.began.Add(c.config.Cycle)) {
		c.order, c.pos, c.began, c.ended = order, 0, now, false
	}
	c.starting = false
}
