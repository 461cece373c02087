package watch

import (
	"container/list"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
)

const (
	gather  = 200 * time.Millisecond // news of a study is collected for so long before it is looked at
	again   = time.Minute            // how long after a refusal the kernel is asked for notifications again, or the disk for the studies
	breath  = 50 * time.Millisecond  // background work rests once the rest that is due comes to so much
	spacing = 10                     // a study is not looked at again before so many times as long as the last look took
	slowest = time.Minute            // how often at least an unfinished file is read
	others  = 15                     // files of which nothing tells where they end are quiet for so many times Config.Quiet
	checks  = 1024                   // so many files are read for one look; the rest follows at once
	glances = 64                     // so many studies are glanced at in one go
)

// study is what is remembered of a study. There may be 100,000 of them: what only those with news need is in busy.
type study struct {
	uid    dedup.UID
	heads  []head // the complete lists and instance files, and the torn ones that were told of, sorted by name
	hint   uint64 // of its folders before the last look; 0 says to look whatever it is
	others uint64 // sum over its files of class Other, when they were last told of
	*busy
	known  bool // was looked at
	first  bool // is to be told of as First
	queued bool // is in the background queue
	deep   bool // the next look is a deep one
	seen   bool // was in the last listing
}

// head is a list or an instance file. Two hashes of 64 bits stand for its path, and for what the file system says of it: inode, length, times.
type head struct{ name, state uint64 }

// busy is what a study needs only while it has news, is watched, or waited for.
type busy struct {
	due     time.Time // when it is to be looked at, zero if nothing asks for it
	free    time.Time // not before
	pending map[uint64]*pending
	shown   bool // Unfinished says something of it
	failed  int  // looks in a row that the disk refused

	otherSum uint64 // the sum over files of class Other that was last seen but not told of
	otherAt  time.Time

	place *list.Element // among the hot studies
	every time.Duration // how often it is expected, 0 if it is not
	at    time.Time     // when next

	appeared, gone, torn int // what the look under way has found
}

func (b *busy) idle() bool {
	return b.due.IsZero() && len(b.pending) == 0 && !b.shown && b.failed == 0 && b.otherSum == 0 && b.place == nil && b.every == 0
}

// work makes sure that a study has its busy part.
func (s *study) work() *busy {
	if s.busy == nil {
		s.busy = new(busy)
	}
	return s.busy
}

// core decides what to look at, and what to say of what was found. It is pure: whoever drives it asks next what to do, does it, hands in the result, and
// carries out the effects. It is used by one goroutine, and takes the time from its caller.
type core struct {
	config  Config
	studies map[dedup.UID]*study
	known   int      // how many of them were looked at
	due     timers   // studies with news
	queue   []*study // studies to look at in the background, first come first served
	waits   timers   // studies that are expected
	waitAt  time.Time
	hot     *list.List // of *study, those that had news last in front
	room    int        // how many may be hot: Config.Hot, or what the kernel grants

	root     root // as it was last seen whole
	starting bool // no listing yet
	away     time.Time
	reason   string
	probeAt  time.Time

	arm   bool // notifications are to be asked for
	armAt time.Time
	blind bool // there are none

	relist bool      // studies are to be listed
	listAt time.Time // but not before
	unlist string    // why they could not be
	order  []*study  // the cycle: those up to pos have been looked at
	pos    int
	began  time.Time
	ended  bool // the cycle is over, and the next one not begun

	rest time.Time     // no background work before
	debt time.Duration // rest that is due and too short to be taken

	status Status
	out    []effect
}

func newCore(c Config, now time.Time) *core {
	return &core{config: c, studies: make(map[dedup.UID]*study), hot: list.New(), room: c.Hot, starting: true, arm: true, relist: true, began: now}
}

// effect is something that the core wants done.
type effect struct {
	study dedup.UID
	touch Why      // call Touched, if not 0
	cool  bool     // take the watches of the study away
	paths []string // what Unfinished says from now on, if unfinished
	// unfinished says that paths counts.
	unfinished bool
}

// marks are what notifications said since they were last asked for.
type marks struct {
	studies   map[dedup.UID]bool // studies in which something happened; true if one of their watched folders is another one now, or gone
	overflows int
	folders   bool // a folder that holds studies is another one now, or gone
	levels    bool // there may be studies that no watched folder shows
}

// notice takes in what notifications said.
func (c *core) notice(m marks, now time.Time) {
	for uid, stale := range m.studies {
		s := c.study(uid)
		if stale {
			c.out = append(c.out, effect{study: uid, cool: true})
		}
		if s.known {
			c.heat(s, now)
		}
		c.news(s, now)
	}
	if m.overflows > 0 {
		c.status.Overflows += uint64(m.overflows)
		c.status.Rescans.Overflow++
		c.rescanHot()
	}
	if m.folders {
		c.status.Rescans.Folders++
		c.arm, c.armAt, c.probeAt = true, now, now
	}
	c.relist = c.relist || m.overflows > 0 || m.folders || m.levels
}

// study is the study of that name, which may be news.
func (c *core) study(uid dedup.UID) *study {
	s := c.studies[uid]
	if s == nil {
		s = &study{uid: uid, deep: true}
		c.studies[uid] = s
	}
	return s
}

// news has a study looked at soon.
func (c *core) news(s *study, now time.Time) { c.lookAt(s, now.Add(gather)) }

// lookAt has a study looked at by then, and not before it may be.
func (c *core) lookAt(s *study, at time.Time) {
	b := s.work()
	if at.Before(b.free) {
		at = b.free
	}
	if b.due.IsZero() || at.Before(b.due) {
		b.due = at
		c.due.add(at, s)
	}
}

// enqueue has a study looked at in the background.
func (c *core) enqueue(s *study) {
	if !s.queued {
		s.queued = true
		c.queue = append(c.queue, s)
	}
}

// expect implements Watcher.Expect.
func (c *core) expect(uid dedup.UID, now time.Time) {
	s := c.study(uid)
	if b := s.work(); b.every == 0 {
		c.status.Expected++
		c.wait(s, firstWait, now)
	}
	if s.known {
		c.heat(s, now)
	} else {
		c.news(s, now)
	}
}

// enough implements Watcher.Enough.
func (c *core) enough(uid dedup.UID) {
	if s := c.studies[uid]; s != nil && s.busy != nil && s.every > 0 {
		s.every = 0
		c.status.Expected--
		c.settle(s)
	}
}

// The first and the longest time between two looks at a study that is expected.
const (
	firstWait = 2 * time.Second
	longWait  = 5 * time.Minute
	waitBatch = 16                     // so many expected studies are touched in one go
	waitPause = 100 * time.Millisecond // and the next ones so much later
)

func (c *core) wait(s *study, every time.Duration, now time.Time) {
	s.every, s.at = every, now.Add(every)
	c.waits.add(s.at, s)
}

// tick touches the expected studies whose time has come.
func (c *core) tick(now time.Time) {
	if !c.away.IsZero() || now.Before(c.waitAt) {
		return
	}
	for n := 0; n < waitBatch; n++ {
		s := c.waits.take(now, (*study).awaited)
		if s == nil {
			return
		}
		c.touch(s, Expected)
		c.wait(s, min(2*s.every, longWait), now)
	}
	c.waitAt = now.Add(waitPause)
}

func (s *study) awaited(at time.Time) bool { return s.busy != nil && s.every > 0 && s.at.Equal(at) }
func (s *study) dueAt(at time.Time) bool   { return s.busy != nil && s.due.Equal(at) }

func (c *core) touch(s *study, why Why) {
	c.status.Touches++
	c.out = append(c.out, effect{study: s.uid, touch: why})
}

// settle forgets what a study no longer needs, and a study of which there is nothing.
func (c *core) settle(s *study) {
	if s.busy != nil && s.idle() {
		s.busy = nil
	}
	if s.busy == nil && !s.known && !s.queued {
		delete(c.studies, s.uid)
	}
}

// effects are what the core wants done since they were last taken, in this order.
func (c *core) effects() []effect {
	out := c.out
	c.out = nil
	return out
}
