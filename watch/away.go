package watch

import "time"

// root is what the root of the tree looks like.
type root struct {
	err    error // it cannot be looked at
	marker bool  // dicomesh's folder is in it
	// The root itself, then the folders of dedup.StudyRoots.
	places [4]place
}

// place is a folder of the root.
type place struct {
	identity uint64 // which folder it is, whatever its path; 0 if it is not there
	filled   bool   // something that may be a study is in it
}

// studyPlaces are the places that are not emptied while there are studies: in the third root of studies other writers have what they have not worked into lists.
const studyPlaces = 2

// wrong says why a tree that looks like that is not the tree that was there, "" if it may be.
func (c *core) wrong(r root) string {
	switch {
	case r.err != nil:
		return r.err.Error()
	case c.root.marker && !r.marker:
		return "its folder .dicomesh is gone: is it mounted?"
	}
	for i, was := range c.root.places[1 : 1+studyPlaces] {
		if c.known > 0 && was.filled && !r.places[1+i].filled {
			return "all its studies are gone at once: is it mounted?"
		}
	}
	return ""
}

// swapped reports whether one of the folders is another one than it was.
func (r root) swapped(was root) bool {
	for i, p := range r.places {
		if q := was.places[i]; p.identity != 0 && q.identity != 0 && p.identity != q.identity {
			return true
		}
	}
	return false
}

// present takes in what the root looks like and reports whether the tree is there. If not, nothing that was seen is believed: absence is never a deletion.
func (c *core) present(r root, now time.Time) bool {
	c.probeAt = now.Add(c.config.pulse)
	if c.reason = c.wrong(r); c.reason != "" {
		if c.away.IsZero() {
			c.away = now
		}
		return false
	}
	was := c.root
	c.root = r
	if !c.away.IsZero() || r.swapped(was) {
		c.returned(now)
	}
	return true
}

// returned has everything looked at again, since watches of a tree that was away show nothing any more, and nobody knows what happened to it.
func (c *core) returned(now time.Time) {
	c.away = time.Time{}
	c.status.Rescans.Returned++
	c.arm, c.armAt, c.relist = true, now, true
	for _, s := range c.studies {
		if s.busy != nil {
			s.free = now
		}
		s.deep = true
		c.enqueue(s)
	}
}
