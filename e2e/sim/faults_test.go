package sim

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/syncer"
)

// cutFull cuts the site from another one, both ways.
func (s *site) cutFull() {
	o := pick(s.world, s.othersOf())
	s.cut[[2]*site{s, o}], s.cut[[2]*site{o, s}] = true, true
}

// cutOneWay lets another site hear nothing of this one any more.
func (s *site) cutOneWay() { s.cut[[2]*site{s, pick(s.world, s.othersOf())}] = true }

// isolate cuts the site from all others.
func (s *site) isolate() {
	for _, o := range s.othersOf() {
		s.cut[[2]*site{s, o}], s.cut[[2]*site{o, s}] = true, true
	}
}

// flap cuts the site from another one and heals that, again and again for a while.
func (s *site) flap() {
	o := pick(s.world, s.othersOf())
	for at, n := time.Duration(0), 0; n < 8; n++ {
		s.world.after(at, func() {
			if s.mended {
				return
			}
			if s.cut[[2]*site{s, o}] = n%2 == 0; s.one(2) {
				s.cut[[2]*site{o, s}] = n%2 == 0
			}
			s.opened()
		})
		at += s.between(500*time.Millisecond, 12*time.Second)
	}
}

// heal ends all cuts of the site, or all there are.
func (s *site) heal() {
	if s.one(3) {
		clear(s.cut)
		return
	}
	for _, o := range s.othersOf() {
		delete(s.cut, [2]*site{s, o})
		delete(s.cut, [2]*site{o, s})
	}
}

// crash is a power cut, or the end of the process alone.
func (s *site) crash() {
	s.stop()
	if s.one(3) {
		return
	}
	s.power()
}

// power is what a power cut leaves.
func (s *site) power() {
	s.disk.fs = s.disk.fs.Crash(s.rng)
	s.boots++
	s.resize()
}

// crashInWrite is a power cut somewhere in the middle of work on the tree. What was acknowledged before it is there; what was not, may be.
func (s *site) crashInWrite() {
	uid, sop := s.some()
	s.disk.fs.Hook = crashfs.CrashAt(s.disk.fs.Ops() + s.rng.IntN(250))
	f := instanceFile(s.record(sop, fmt.Sprintf("%s-crash%d", sop, s.rng.IntN(9)), dedup.Dedup{}))
	s.files[f.ID] = f
	err := s.disk.store(s.world, uid, f)
	if err == nil {
		s.disk.acked[f.ID] = uid
	}
	_, err2 := s.combiner().Study(s.Context(), uid)
	_, err3 := s.combiner().Collect(s.Context(), uid)
	for _, err := range []error{err, err2, err3} {
		if err != nil && !errors.Is(err, crashfs.ErrCrashed) && !errors.Is(err, fs.ErrNotExist) && !(s.full && durable.IsFull(err)) {
			s.fail("%s works on study %s: %v", s.name, uid, err)
		}
	}
	s.stop()
	s.power()
}

// crashInCombining is a power cut in the middle of combining, or of collecting what was combined: the list is there whole or not at all, and what it stands for is there until it is.
func (s *site) crashInCombining() {
	uid := pick(s.world, s.studies)
	s.disk.fs.Hook = crashfs.CrashAt(s.disk.fs.Ops() + s.rng.IntN(80))
	c, err := s.combiner().Study(s.Context(), uid)
	if errors.Is(err, crashfs.ErrCrashed) {
		s.seen["crash in combining"]++
	}
	if c.List != (dedup.FileID{}) && err == nil {
		s.disk.acked[c.List] = uid
		_, err = s.combiner().Collect(s.Context(), uid)
		if errors.Is(err, crashfs.ErrCrashed) {
			s.seen["crash in collecting"]++
		}
	}
	if err != nil && !errors.Is(err, crashfs.ErrCrashed) && !errors.Is(err, fs.ErrNotExist) && !(s.full && durable.IsFull(err)) {
		s.fail("%s combines study %s: %v", s.name, uid, err)
	}
	s.stop()
	s.power()
}

// restart starts a site that is down, or lets one go on that is stopped.
func (s *site) restart() {
	for _, o := range s.world.sites {
		if o.life == nil {
			o.start()
			o.life.happen(func() {})
			return
		}
	}
}

// save makes a backup of the site's whole folder.
func (s *site) save() { s.backup = s.disk.copy(s.world) }

// restore puts the backup in the place of what there is. Whatever came since is lost here.
func (s *site) restore() {
	if s.backup == nil {
		s.save()
		return
	}
	if s.life != nil {
		s.stop()
	}
	s.seen["restored"]++
	s.disk = s.backup.copy(s.world)
	s.boots++
	s.resize()
}

// resize lets the disk be as full as it is to be.
func (s *site) resize() {
	if s.full {
		s.disk.fs.Resize(1)
		return
	}
	s.disk.fs.Resize(0)
}

// fill lets the disk be full: at once, or once it was noticed to become so.
func (s *site) fill() {
	if s.full {
		return
	}
	s.full = true
	s.seen["disk full"]++
	s.resize()
	s.life.sync.Room(s.life.ctx, syncer.Room{Low: true})
}

// empty makes room again.
func (s *site) empty() {
	if !s.full {
		return
	}
	s.full = false
	s.resize()
	if s.life != nil {
		s.life.after(0, func() { s.life.sync.Room(s.life.ctx, syncer.Room{}) })
	}
}

// setClock is somebody who sets the wall clock.
func (s *site) setClock() { s.wall = s.between(-48*time.Hour, 48*time.Hour) }

// suspend stops the process for a while; of a machine that is virtual the monotonic clock stands still meanwhile.
func (s *site) suspend() {
	l, gap, virtual := s.life, s.between(time.Second, 70*time.Second), s.one(2)
	l.paused = true
	s.world.after(gap, func() {
		if l.over {
			return
		}
		if virtual {
			s.mono += gap
		}
		l.resume()
	})
}

// resume lets a stopped process go on: what happened meanwhile it learns now, in that order.
func (l *life) resume() {
	if !l.paused {
		return
	}
	l.say("%s goes on", l.name)
	l.paused, l.since = false, l.now
	l.opened()
	for len(l.frozen) > 0 && !l.paused && !l.over {
		do := l.frozen[0]
		l.frozen = l.frozen[1:]
		l.happen(do)
	}
}

// mend ends all faults that last.
func (w *world) mend() {
	clear(w.cut)
	for _, s := range w.sites {
		s.empty()
		if s.life == nil {
			s.start()
		}
		s.life.happen(func() {})
	}
	w.opened()
}
