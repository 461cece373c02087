package watch

import "time"

// heat makes a study hot: it is looked at, and its folders are watched from just before that. Where there is no room the one that had no news for longest cools.
func (c *core) heat(s *study, now time.Time) {
	b := s.work()
	if b.place != nil {
		c.hot.MoveToFront(b.place)
		return
	}
	if c.room == 0 {
		return
	}
	b.place = c.hot.PushFront(s)
	c.shrink()
	c.lookAt(s, now)
}

// warm makes a study without news hot if there is room: it is the first to cool. It has to be looked at after that.
func (c *core) warm(s *study) bool {
	if c.hot.Len() >= c.room || s.busy != nil && s.place != nil {
		return false
	}
	s.work().place = c.hot.PushBack(s)
	return true
}

// shrink cools studies until there is room for the rest.
func (c *core) shrink() {
	for c.hot.Len() > c.room {
		c.cool(c.hot.Back().Value.(*study))
	}
}

// cool takes the watches of a study away.
func (c *core) cool(s *study) {
	if s.busy == nil || s.place == nil {
		return
	}
	c.hot.Remove(s.place)
	s.place = nil
	c.out = append(c.out, effect{study: s.uid, cool: true})
	c.settle(s)
}

// rescanHot has all hot studies looked at: something of them may have been missed.
func (c *core) rescanHot() {
	for e := c.hot.Front(); e != nil; e = e.Next() {
		c.enqueue(e.Value.(*study))
	}
}

// limit makes do with the watches that the kernel grants: a sixteenth less than there are, so that studies with news find some. s is the study that got none.
func (c *core) limit(s *study, err error, now time.Time) {
	c.status.Rescans.Limit++
	c.status.Limited = err.Error()
	c.room = max(0, c.hot.Len()-c.hot.Len()/16-1)
	c.shrink()
	c.news(s, now)
}

// relax asks for a little more again, once a cycle.
func (c *core) relax() {
	switch {
	case c.room < c.config.Hot:
		c.room = min(c.config.Hot, c.room+max(1, c.room/4))
	case !c.blind:
		c.status.Limited = ""
	}
}

// armed takes in whether there are notifications now. If so, the folders that hold studies are watched and no others yet: hot studies get theirs when they are
// looked at. If not, studies are listed whenever it has been tried, so that new ones do not wait for the cycle.
func (c *core) armed(err error, now time.Time) {
	c.arm, c.blind = err != nil, err != nil
	c.relist = true
	if err != nil {
		c.status.Rescans.Limit++
		c.status.Limited = err.Error()
		c.armAt = now.Add(again)
		return
	}
	if c.room == c.config.Hot {
		c.status.Limited = ""
	}
	c.rescanHot()
}
