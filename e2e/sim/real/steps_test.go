package real

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/combine"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/ingest"
)

// step is something that may happen at a site, and how often it does.
type step struct {
	name   string
	weight int
	do     func(w *world, s *site)
}

func steps() []step {
	return []step{
		{"ingest", 24, (*world).ingest}, {"foreign", 8, (*world).foreignWrite}, {"correct", 7, (*world).correct}, {"combine", 9, (*world).combine}, {"collect", 7, (*world).collect},
		{"a day", 3, (*world).day}, {"cut", 5, (*world).fullCut}, {"one way", 3, (*world).oneWay}, {"alone", 3, (*world).alone}, {"flap", 2, (*world).flap}, {"heal", 7, (*world).healOne},
		{"crash", 6, (*world).crash}, {"stop", 4, (*world).planned}, {"restore", 4, (*world).restore}, {"full", 4, (*world).fill}, {"tight", 2, (*world).tight}, {"suspend", 4, (*world).suspend},
		{"clock", 3, (*world).setClock},
	}
}

// step lets something happen, some time pass, and looks at everything.
func (w *world) step() {
	var free []*site // sites at which something can be done
	for _, s := range w.sites {
		if s.running() && !s.suspended() {
			free = append(free, s)
		}
	}
	all := 0
	for _, s := range steps() {
		all += s.weight
	}
	n := w.rng.IntN(all)
	at := free[w.rng.IntN(len(free))]
	for _, s := range steps() {
		if n -= s.weight; n < 0 {
			s.do(w, at)
			break
		}
	}
	w.pass(time.Duration(w.rng.IntN(40)) * slice)
	if w.rng.IntN(6) == 0 {
		w.pass(20 * time.Second) // what is down is seen to be
	}
	w.inspect()
}

// deliver hands a file to a site and does not wait.
func (w *world) deliver(s *site, text []byte) *delivery {
	d := &delivery{s, text, parcel{w.parcel(text), make(chan ingest.Result, 1)}}
	w.pending = append(w.pending, d)
	hatch, over := s.hatch, s.over
	go func() {
		select {
		case hatch.parcels <- d.parcel:
		case <-over:
		}
	}()
	return d
}

func (w *world) ingest(s *site) {
	n := 1 + w.rng.IntN(3)
	for range n {
		w.deliver(s, w.instance(w.rng.IntN(18), w.rng.IntN(8) == 0))
	}
	w.say("%s ingests %d", s.name, n)
	w.passes(30*time.Second, func() bool { w.answers(); return len(w.pending) == 0 })
}

// write puts a list into the tree of a site, beside its agent.
func (w *world) write(s *site, uid dedup.UID, f dedup.File) {
	if f.Fault != nil {
		w.fail("a list that cannot be read: %v", f.Fault)
	}
	err := put(s.tree, uid, f)
	switch {
	case errors.Is(err, fs.ErrExist), durable.IsFull(err):
		w.say("... which it does not: %v", err)
		return
	case errors.Is(err, crashfs.ErrCrashed):
		return
	case err != nil:
		w.fail("write a list at %s: %v", s.name, err)
	}
	w.files[f.ID] = f
	s.judged.acked[study{uid, f.ID}] = true
}

func (w *world) foreignWrite(s *site) {
	uid, f := w.foreign()
	w.say("another program writes %.8s of %s at %s", f.ID.Ref.Name, uid, s.name)
	w.write(s, uid, f)
	w.seen["foreign"]++
}

// some is one of the studies that a site holds, if it holds any.
func (w *world) some(s *site) (dedup.UID, *holding) {
	s.read()
	uids := slices.SortedFunc(maps.Keys(s.judged.studies), dedup.UID.Compare)
	if len(uids) == 0 {
		return dedup.UID{}, nil
	}
	uid := uids[w.rng.IntN(len(uids))]
	return uid, s.judged.studies[uid]
}

func (w *world) correct(s *site) {
	uid, h := w.some(s)
	if h == nil || h.state == nil {
		return
	}
	live := slices.DeleteFunc(slices.Clone(h.state.Instances), func(i dedup.SOPInstance) bool { return i.Deleted })
	if len(live) == 0 {
		return
	}
	i, remove := live[w.rng.IntN(len(live))], w.rng.IntN(4) == 0
	if k := slices.IndexFunc(live, func(i dedup.SOPInstance) bool { return i.Conflict }); k >= 0 && w.rng.IntN(2) == 0 {
		i = live[k]
		w.seen["resolved"]++
	}
	w.say("a correction at %s of %s (removed: %t)", s.name, i.SOP, remove)
	w.write(s, uid, w.change(i, remove))
	w.seen["corrected"]++
}

// combiner is that of a command which is run beside the agent.
func (s *site) combiner() *combine.Combiner {
	return combine.New(combine.Config{Tree: s.tree, Clock: s.reading})
}

// reading is the clock of the site's machine.
func (s *site) reading() combine.Reading {
	return combine.Reading{Boot: fmt.Sprint(s.name, s.boots), At: time.Since(s.world.began) + time.Duration(s.ahead.Load())}
}

func (w *world) combine(s *site) {
	uid, h := w.some(s)
	if h == nil {
		return
	}
	c, err := s.combiner().Study(w.t.Context(), uid)
	switch {
	case errors.Is(err, crashfs.ErrCrashed), errors.Is(err, durable.ErrNotStored), durable.IsFull(err):
	case err != nil:
		w.fail("combine %s at %s: %v", uid, s.name, err)
	case c.List != (dedup.FileID{}):
		w.say("%s combines %d files of %s into %.8s", s.name, len(c.Inputs), uid, c.List.Ref.Name)
		w.seen["combined"]++
	}
}

func (w *world) collect(s *site) {
	for uid := range maps.Clone(s.judged.studies) {
		c, err := s.combiner().Collect(w.t.Context(), uid)
		switch {
		case errors.Is(err, crashfs.ErrCrashed), errors.Is(err, durable.ErrNotStored), durable.IsFull(err):
		case err != nil:
			w.fail("collect %s at %s: %v", uid, s.name, err)
		case len(c.Remove) > 0:
			w.say("%s collects %d files of %s", s.name, len(c.Remove), uid)
			w.seen["collected"]++
			for _, r := range c.Remove {
				w.seen["collected "+r.File.Ref.Class.String()]++
			}
		}
	}
}

// day lets a day pass on the clock by which a site's lists grow old. The rest of the world does not wait for it.
func (w *world) day(s *site) {
	w.say("a day passes at %s", s.name)
	for range 25 {
		s.ahead.Add(int64(time.Hour))
		if err := s.combiner().Count(); err != nil && !errors.Is(err, crashfs.ErrCrashed) && !durable.IsFull(err) {
			w.fail("count at %s: %v", s.name, err)
		}
	}
	w.collect(s)
}

func (w *world) other(s *site) *site {
	for {
		if o := w.sites[w.rng.IntN(len(w.sites))]; o != s {
			return o
		}
	}
}

func (w *world) fullCut(s *site) {
	o := w.other(s)
	w.say("cut between %s and %s", s.name, o.name)
	w.cut(s.name, o.name)
	w.cut(o.name, s.name)
}

func (w *world) oneWay(s *site) {
	o := w.other(s)
	w.say("cut from %s to %s", s.name, o.name)
	w.cut(s.name, o.name)
	w.seen["one way"]++
}

func (w *world) alone(s *site) {
	w.say("%s is cut off", s.name)
	for _, o := range w.sites {
		if o != s {
			w.cut(s.name, o.name)
			w.cut(o.name, s.name)
		}
	}
}

func (w *world) flap(s *site) {
	o := w.other(s)
	w.say("the link of %s and %s flaps", s.name, o.name)
	for range 3 + w.rng.IntN(5) {
		w.cut(s.name, o.name)
		w.cut(o.name, s.name)
		w.pass(time.Duration(1+w.rng.IntN(12)) * slice)
		w.heal(s.name, o.name)
		w.pass(time.Duration(1+w.rng.IntN(12)) * slice)
	}
	w.seen["flapped"]++
}

func (w *world) healOne(s *site) {
	for _, o := range w.sites {
		if o != s {
			w.heal(s.name, o.name)
		}
	}
	w.say("the links of %s are healed", s.name)
}

// crash takes the power away in the middle of something, and starts the site again after a while.
func (w *world) crash(s *site) {
	w.say("the power of %s goes, soon", s.name)
	switch w.rng.IntN(3) {
	case 0:
		w.deliver(s, w.instance(w.rng.IntN(18), false))
		w.deliver(s, w.instance(w.rng.IntN(18), false))
	case 1:
		s.power.fuse.Store(1 + w.rng.Int64N(60))
		w.combine(s)
		s.power.fuse.Store(0)
	}
	s.crash(1+w.rng.Int64N(400), w.rng)
	w.seen["crash"]++
	w.down(s)
}

// down leaves a site without its agent for a while.
func (w *world) down(s *site) {
	w.pass(time.Duration(w.rng.IntN(100)) * slice)
	s.start()
	w.say("%s runs again", s.name)
}

// planned ends a site and starts it again; meanwhile a backup is made of it.
func (w *world) planned(s *site) {
	w.say("%s ends, a backup is made", s.name)
	s.end()
	s.save()
	w.down(s)
}

// restore puts an old backup in the place of what a site kept.
func (w *world) restore(s *site) {
	if s.backup == nil {
		w.planned(s)
		return
	}
	w.say("%s is put back to what it was", s.name)
	s.end()
	lost := s.judged
	s.restore()
	s.boots++
	s.read()
	for f := range lost.acked {
		if s.judged.acked[f] || s.judged.studies[f.uid].accounts(f.id, w) {
			continue
		}
		if slices.ContainsFunc(w.sites, func(o *site) bool { return o.judged.studies[f.uid].accounts(f.id, w) }) {
			w.must[f] = true
		}
	}
	maps.DeleteFunc(w.must, func(f study, _ bool) bool {
		return !slices.ContainsFunc(w.sites, func(o *site) bool { return o.judged.studies[f.uid].accounts(f.id, w) })
	})
	w.seen["restore"]++
	w.down(s)
}

// fill lets a disk become so full that nothing new is taken, and makes room again if it is.
func (w *world) fill(s *site) {
	full := !s.full.Load()
	s.full.Store(full)
	w.say("the disk of %s is full: %t", s.name, full)
	w.pass(3 * time.Second)
	if full {
		w.ingest(s)
	}
}

// tight lets a disk run full in the middle of whatever is written.
func (w *world) tight(s *site) {
	w.say("the disk of %s has room for little", s.name)
	for _, d := range []*crashfs.FS{s.trees, s.currents} {
		d.Resize(used(s, d) + w.rng.Int64N(20_000))
	}
	w.ingest(s)
	w.ingest(w.other(s).orSelf(s))
	w.pass(10 * time.Second)
	for _, d := range []*crashfs.FS{s.trees, s.currents} {
		d.Resize(0)
	}
	w.seen["tight"]++
}

// orSelf is the site, or if nothing can be done there the other one.
func (s *site) orSelf(other *site) *site {
	if s.running() && !s.suspended() {
		return s
	}
	return other
}

// setClock is somebody who sets a wall clock: by days, or, as a time server does, by seconds.
func (w *world) setClock(s *site) {
	off := time.Duration(w.rng.Int64N(int64(96*time.Hour))) - 48*time.Hour
	if w.rng.IntN(3) == 0 {
		off = time.Duration(s.wall.Load()) + off/20_000
	}
	w.say("the clock of %s is set, and is off by %v", s.name, off.Round(time.Second))
	s.wall.Store(int64(off))
	w.seen["clock"]++
}

// suspend lets a machine stand still for a while.
func (w *world) suspend(s *site) {
	d := time.Duration(2+w.rng.IntN(60)) * time.Second
	w.say("%s stands still for %v", s.name, d)
	s.suspend()
	w.seen["suspend"]++
	if o := w.other(s); o.running() && !o.suspended() && w.rng.IntN(2) == 0 {
		w.deliver(o, w.instance(w.rng.IntN(18), false))
	}
	w.pass(d)
	s.resume()
	w.say("%s goes on", s.name)
}
