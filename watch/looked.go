package watch

import (
	"slices"
	"sort"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
)

// look is what the disk said of a study.
type look struct {
	err     error
	missing bool   // there is no folder of it anywhere
	hint    uint64 // of its folders, before anything else was looked at; 0 if one of them changed just now
	files   []file // lists, instance files and variants
	deep    bool
	others  uint64 // if deep: sum over files of class Other
	limit   error  // why not all of its folders are watched, if they should be
	root    root   // the tree, after everything else was looked at
	took    time.Duration
}

// file is a file as the file system tells of it.
type file struct {
	held dedup.Held
	head
	modified time.Time
}

// pending is a file that is not complete, as far as is known.
type pending struct {
	path  string
	state uint64
	since time.Time // it has been in this state
	next  time.Time // when it is to be read
	tries int       // how often it was, in this state
}

// looked takes in a look and returns the files that have to be read now: checked is to be called with what came of it.
func (c *core) looked(s *study, l look, now time.Time) []file {
	c.status.Looks++
	b := s.work()
	s.queued, b.due = false, time.Time{}
	b.free = now.Add(spacing * l.took)
	if !c.present(l.root, now) {
		return nil // all studies are looked at again when the tree is back
	}
	if l.err != nil {
		if b.failed++; b.failed == 1 {
			c.status.Failing++
		}
		s.deep = s.deep || l.deep
		c.lookAt(s, now.Add(min(c.config.Quiet<<min(b.failed, 10), slowest)))
		return nil
	}
	if b.failed > 0 {
		c.status.Failing--
	}
	b.failed, s.deep = 0, false
	if l.missing {
		c.lost(s)
		return nil
	}
	if l.limit != nil {
		c.limit(s, l.limit, now)
	}
	s.hint = l.hint
	check := c.compare(s, l.files, now)
	if l.deep {
		c.compareOthers(s, l.others, now)
	}
	if len(check) == 0 {
		c.conclude(s, now)
	}
	return check
}

// lost takes in that a study is nowhere in a tree that is there.
func (c *core) lost(s *study) {
	if s.known && (len(s.heads) > 0 || s.others != 0) {
		c.touch(s, Vanished)
	}
	if s.known {
		c.known--
	}
	s.known, s.first, s.heads, s.others, s.hint, s.deep = false, false, nil, 0, 0, true
	s.pending, s.otherSum = nil, 0
	c.show(s)
	c.cool(s)
	c.settle(s)
}

// compare finds out which files are new since the last look, or have changed, and returns those that may be complete. What is gone is taken out.
func (c *core) compare(s *study, files []file, now time.Time) (check []file) {
	slices.SortFunc(files, func(a, b file) int { return compareNames(a.head, b.head) })
	kept := make([]head, 0, len(s.heads))
	seen := make(map[uint64]bool, len(s.pending))
	for _, f := range files {
		i, had := slices.BinarySearchFunc(s.heads, f.head, compareNames)
		if had {
			kept = append(kept, s.heads[i])
		}
		if had && s.heads[i].state == f.state {
			continue
		}
		if s.first && now.Sub(f.modified) > c.config.Patience {
			kept = append(kept, f.head) // First asks for a look at everything anyway
			continue
		}
		seen[f.name] = true
		if p := c.pend(s, f, now); !now.Before(p.next) && len(check) < checks {
			check = append(check, f)
		}
	}
	s.gone += missing(s.heads, kept)
	s.heads = slices.Clip(kept)
	for name := range s.pending {
		if !seen[name] {
			delete(s.pending, name)
		}
	}
	return check
}

func compareNames(a, b head) int {
	switch {
	case a.name < b.name:
		return -1
	case a.name > b.name:
		return 1
	}
	return 0
}

// missing is how many of the old heads have a name that none of the new ones has.
func missing(old, kept []head) (n int) {
	for _, h := range old {
		if _, ok := slices.BinarySearchFunc(kept, h, compareNames); !ok {
			n++
		}
	}
	return n
}

// pend remembers a file that is not known to be complete, and when it may be: when it has not changed for Quiet. Its time of modification counts for
// that where it lies in the past, else two looks.
func (c *core) pend(s *study, f file, now time.Time) *pending {
	p := s.pending[f.name]
	if p != nil && p.state == f.state {
		return p
	}
	p = &pending{path: f.held.Path, state: f.state, since: now, next: now.Add(c.config.Quiet)}
	if now.Sub(f.modified) >= c.config.Quiet {
		p.next = now
	}
	if s.pending == nil {
		s.pending = make(map[uint64]*pending)
	}
	s.pending[f.name] = p
	return p
}

// compareOthers tells of files of class Other when they differ from those that were told of, and have not changed between two looks.
func (c *core) compareOthers(s *study, sum uint64, now time.Time) {
	wait := others * c.config.Quiet
	switch {
	case s.first || sum == s.others:
		s.others, s.otherSum = sum, 0
	case s.otherSum == sum && now.Sub(s.otherAt) >= wait:
		s.others, s.otherSum = sum, 0
		s.appeared++
	default:
		if s.otherSum != sum {
			s.otherSum, s.otherAt = sum, now
		}
		s.deep = true
		c.lookAt(s, s.otherAt.Add(wait))
	}
}

// verdict is what reading a file to its end came to.
type verdict uint8

const (
	unfinished verdict = iota // it does not end as such a file ends, or cannot be read
	complete
	changed // while it was read, or before
)

// checked takes in what came of reading the files that looked returned.
func (c *core) checked(s *study, files []file, verdicts []verdict, now time.Time) {
	for i, f := range files {
		p := s.pending[f.name]
		switch {
		case p == nil:
		case verdicts[i] == complete:
			c.finish(s, f)
			s.appeared++
		case verdicts[i] == changed:
			p.since, p.next, p.tries = now, now.Add(c.config.Quiet), 0
		case now.Sub(p.since) >= c.config.Patience:
			c.finish(s, f)
			s.torn++
		default:
			p.tries++
			p.next = now.Add(min(c.config.Quiet<<min(p.tries, 10), slowest))
			if end := p.since.Add(c.config.Patience); p.next.After(end) {
				p.next = end
			}
		}
	}
	c.conclude(s, now)
}

// finish takes a file as one that is known.
func (c *core) finish(s *study, f file) {
	delete(s.pending, f.name)
	i := sort.Search(len(s.heads), func(i int) bool { return s.heads[i].name >= f.name })
	if i < len(s.heads) && s.heads[i].name == f.name {
		s.heads[i] = f.head
		return
	}
	s.heads = slices.Insert(s.heads, i, f.head)
}

// conclude says what a look has found, and when to look again.
func (c *core) conclude(s *study, now time.Time) {
	young := !s.known && !s.first
	if !s.known {
		s.known = true
		c.known++
	}
	switch {
	case s.first && (len(s.heads) > 0 || len(s.pending) == 0):
		s.first = false
		c.touch(s, First)
	case s.appeared > 0:
		c.touch(s, Appeared)
	}
	if s.gone > 0 {
		c.touch(s, Vanished)
	}
	if s.torn > 0 {
		c.touch(s, Torn)
	}
	if s.appeared+s.gone > 0 || young {
		c.heat(s, now)
	}
	if s.every > 0 && s.appeared > 0 {
		c.wait(s, firstWait, now)
	}
	s.appeared, s.gone, s.torn = 0, 0, 0
	for _, p := range s.pending {
		c.lookAt(s, p.next)
	}
	c.show(s)
	c.settle(s)
}

// show says what Unfinished says of a study from now on.
func (c *core) show(s *study) {
	if len(s.pending) == 0 && !s.shown {
		return
	}
	paths := make([]string, 0, len(s.pending))
	for _, p := range s.pending {
		paths = append(paths, p.path)
	}
	slices.Sort(paths)
	s.shown = len(paths) > 0
	c.out = append(c.out, effect{study: s.uid, unfinished: true, paths: paths})
}
