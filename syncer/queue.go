package syncer

import (
	"slices"

	"github.com/dicomesh/dicomesh/dedup"
)

// queues are the studies that may be due, by lane, in the order in which they came, and beside them those that a busy site is waited for with. So a site that has much, and gives it
// slowly, keeps nobody waiting for another one.
type queues struct {
	due    [Backfill + 1][]ticket
	parked map[string]*[Backfill + 1][]ticket // by the site that is busy: in one list for each of them
	places uint64                             // given so far
}

// ticket is a place in a queue. It counts for nothing when its study has another one by now, or none.
type ticket struct {
	uid   dedup.UID
	place uint64
}

// placed is where a study stands in the queues.
type placed struct {
	queued bool   // it has a place
	parked bool   // until a site is not busy any more
	place  uint64 // the smallest is the first
}

// wake puts a study into its queue, where it is looked at again.
func (c *core) wake(uid dedup.UID) {
	d := c.studies[uid]
	if d == nil || d.pull != nil || d.queued && !d.parked {
		return
	}
	c.queue.places++
	d.placed = placed{queued: true, place: c.queue.places}
	c.queue.due[d.lane] = append(c.tidy(c.queue.due[d.lane], d.lane), ticket{uid, d.place})
}

// park lets a study wait, at its place, until one of some sites is not busy any more.
func (c *core) park(uid dedup.UID, d *difference, busy []string) {
	d.parked = true
	for _, site := range busy {
		p := c.queue.parked[site]
		if p == nil {
			if c.queue.parked == nil {
				c.queue.parked = map[string]*[Backfill + 1][]ticket{}
			}
			p = new([Backfill + 1][]ticket)
			c.queue.parked[site] = p
		}
		p[d.lane] = append(c.tidy(p[d.lane], d.lane), ticket{uid, d.place})
	}
}

// tidy takes out what counts for nothing when that may be most of a queue: where nothing is taken in, because the disk is full, nobody comes to look.
func (c *core) tidy(queue []ticket, lane Lane) []ticket {
	if len(queue) < 2*len(c.studies)+64 {
		return queue
	}
	return slices.DeleteFunc(queue, func(w ticket) bool { return c.waits(w, lane) == nil })
}

// waits is the study that has a place, nil if none has it any more.
func (c *core) waits(w ticket, lane Lane) *difference {
	if d := c.studies[w.uid]; d != nil && d.queued && d.place == w.place && d.lane == lane {
		return d
	}
	return nil
}

// first takes the first study of a lane out of the queues that need not wait for a busy site; nil: there is none.
func (c *core) first(lane Lane) (uid dedup.UID, d *difference) {
	from := &c.queue.due[lane]
	c.front(from, lane)
	for site, lanes := range c.queue.parked {
		queue := &lanes[lane]
		if len(*queue) == 0 || !c.site(site).up || c.busy(site, lane) {
			continue
		}
		if c.front(queue, lane); len(*queue) > 0 && (len(*from) == 0 || (*queue)[0].place < (*from)[0].place) {
			from = queue
		}
	}
	if len(*from) == 0 {
		return uid, nil
	}
	w := (*from)[0]
	*from = (*from)[1:]
	return w.uid, c.waits(w, lane)
}

// front drops what counts for nothing from the beginning of a queue.
func (c *core) front(queue *[]ticket, lane Lane) {
	for len(*queue) > 0 && c.waits((*queue)[0], lane) == nil {
		*queue = (*queue)[1:]
	}
}
