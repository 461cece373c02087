package sim

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/combine"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/gossip/roster"
)

// Time in which lists age goes faster than the rest: so a day is 43 s. No more than an hour of it may pass between two counts.
const (
	fast      = 2000
	countEach = 1500 * time.Millisecond
	graceTime = 10 * time.Minute
)

// running is the machine's clock of running time.
func (s *site) running() combine.Reading {
	return combine.Reading{Boot: fmt.Sprintf("%s%d", s.name, s.boots), At: s.monotonic() * fast}
}

// step is something that happens at a site, as often as its weight says.
type step struct {
	name   string
	weight int
	do     func(*site)
	awake  bool // only at a site that runs
}

// stormy is how often things happen in a quarter of all worlds, which have more trouble with machines and links than with files: what takes several of these at once is rare in the others.
func stormy() map[string]int {
	return map[string]int{"one-way": 9, "suspend": 8, "ack-down": 5, "combine": 2, "collect": 2}
}

func (w *world) allSteps() []step {
	all := []step{
		{"ingest", 16, (*site).ingest, true}, {"foreign", 3, (*site).foreign, true}, {"correct", 7, (*site).correct, true},
		{"combine", 8, (*site).combine, true}, {"collect", 8, (*site).collect, true},
		{"cut", 4, (*site).cutFull, false}, {"one-way", 4, (*site).cutOneWay, false}, {"isolate", 2, (*site).isolate, false}, {"flap", 2, (*site).flap, false},
		{"heal", 9, (*site).heal, false}, {"crash", 3, (*site).crash, true}, {"crash in a write", 3, (*site).crashInWrite, true}, {"crash while combining", 3, (*site).crashInCombining, true},
		{"start", 8, (*site).restart, false},
		{"backup", 2, (*site).save, false}, {"restore", 2, (*site).restore, false}, {"full", 2, (*site).fill, true}, {"room", 4, (*site).empty, false},
		{"bad disk", 2, (*site).badDisk, true}, {"clock", 1, (*site).setClock, true}, {"suspend", 3, (*site).suspend, true},
		{"ack-down", 2, (*site).ackDown, true}, {"calm", 3, func(s *site) { s.mend(); s.run(s.between(20*time.Second, time.Minute)) }, false},
	}
	for n, s := range all {
		if weight, is := stormy()[s.name]; is && w.seed%4 == 3 {
			all[n].weight = weight
		}
	}
	return all
}

// step lets something happen, and then some time pass.
func (w *world) step(all []step) {
	total := 0
	for _, x := range all {
		total += x.weight
	}
	n := w.rng.IntN(total)
	i := 0
	for ; n >= all[i].weight; i++ {
		n -= all[i].weight
	}
	s := pick(w, w.sites)
	if all[i].awake && !s.awake() {
		return
	}
	w.seen[all[i].name]++
	w.say("%s: %s", s.name, all[i].name)
	all[i].do(s)
	w.opened()
	if s.awake() {
		s.life.happen(func() {})
	}
	switch n := w.rng.IntN(20); {
	case n < 13:
		w.run(w.between(0, 3*time.Second))
	case n < 19:
		w.run(w.between(3*time.Second, 20*time.Second))
	default:
		w.run(w.between(20*time.Second, 70*time.Second))
	}
	if s := pick(w, w.sites); w.one(3) {
		w.powerCut(s)
	}
}

// powerCut holds what would be left of a site's disk if the power went off now against I1 and I2.
func (w *world) powerCut(s *site) {
	left := *s.disk
	left.fs = s.disk.fs.Crash(w.rng)
	for _, uid := range w.studies {
		if r, _ := left.read(w, uid); r.study != nil {
			w.sound(s, &left, uid, r)
		}
	}
}

// take stores a file that somebody brings, and acknowledges it if it is stored. The process looks at it then.
func (s *site) take(uid dedup.UID, f dedup.File) error {
	s.files[f.ID] = f
	if err := s.disk.store(s.world, uid, f); err != nil {
		return err
	}
	s.disk.acked[f.ID] = uid
	if s.life != nil {
		s.life.look(uid)
	}
	return nil
}

// arrive is take for where an error is a full disk.
func (s *site) arrive(uid dedup.UID, f dedup.File) {
	if err := s.take(uid, f); err != nil && !(s.full && durable.IsFull(err)) {
		s.fail("%s cannot store: %v", s.name, err)
	}
}

// record is an instance with a value in bulkdata.
func (s *site) record(sop, value string, d dedup.Dedup) dedup.Object {
	r := s.value(value)
	o := parsed(fmt.Sprintf(`{"00080018":{"Value":[%q],"vr":"UI"},"0020000E":{"Value":["1.2.3.9"],"vr":"UI"},"00204000":{"Value":[%q],"vr":"LT"},"00420011":{"BulkDataURI":%q,"vr":"OB"}}`,
		sop, value, r.Path()))
	d.Type = dedup.TypeInstance
	if d.Content.IsZero() {
		d.Content = hashOf("content" + sop + value)
	}
	o, _ = sealed(o, d)
	return o
}

func instanceFile(o dedup.Object) dedup.File {
	return dedup.ParseFile(dedup.Ref{Class: dedup.Instance, Name: o.Text(0x00080018)}, array(o))
}

func listFile(info dedup.Dedup, records ...dedup.Object) dedup.File {
	name, content := dedup.ComposeList(info, nil, records)
	return dedup.ParseFile(dedup.Ref{Class: dedup.List, Name: name.String()}, content)
}

// some is an instance of a study by chance.
func (s *site) some() (uid dedup.UID, sop string) {
	uid = pick(s.world, s.studies)
	return uid, fmt.Sprintf("%s.%d", uid, s.rng.IntN(4))
}

// ingest is some instances of a study that come in.
func (s *site) ingest() {
	for range 1 + s.rng.IntN(3) {
		uid, sop := s.some()
		n := s.rng.IntN(12)
		f := instanceFile(s.record(sop, fmt.Sprintf("%s-%d", sop, max(0, n-8)), dedup.Dedup{Content: hashOf(fmt.Sprint(sop, max(0, n-8)/2))})) // some values are encodings of one content
		r := s.disk.rows[uid]
		if r.study != nil {
			if standing := r.study.Judge(f.Objects()[0]); standing == dedup.Removed || standing == dedup.Same {
				s.seen["duplicate"]++
				continue
			}
		}
		s.arrive(uid, f)
	}
}

// foreign is what static-wado writes: records without versions, lists under names that say nothing of their content, which supersede by name.
func (s *site) foreign() {
	uid, sop := s.some()
	value := fmt.Sprintf("foreign%d", s.rng.IntN(3))
	h := hashOf(sop + value)
	kind := dedup.TypeInstance
	if s.one(4) {
		kind = dedup.TypeDeleted
	}
	o := object("00080018", sop, "00090010", "dedupped", "00091011", h.String(), "00091012", string(kind), "0020000E", "1.2.3.9", "00204000", value)
	if s.one(3) {
		s.arrive(uid, instanceFile(o))
		return
	}
	name := hashOf(fmt.Sprint("list", uid, s.rng.IntN(3)))
	info := fmt.Sprintf(`{"00090010":{"vr":"CS","Value":["dedupped"]},"00091011":{"vr":"LO","Value":[%q]},"00091012":{"vr":"LO","Value":["info"]}`, name)
	if s.one(2) {
		info += fmt.Sprintf(`,"00091010":{"vr":"LO","Value":[%q]}`, h)
	}
	s.arrive(uid, dedup.ParseFile(dedup.Ref{Class: dedup.List, Name: name.String()}, array(parsed(info+"}"), o)))
}

// correct writes a list that deletes, changes or restores an instance. Whoever wrote it knows no more than the site does.
func (s *site) correct() {
	uid := pick(s.world, s.studies)
	r := s.disk.rows[uid]
	if r.study == nil || len(r.study.Instances) == 0 {
		return
	}
	i := pick(s.world, r.study.Instances)
	var replace []dedup.Hash
	for _, x := range i.Records {
		replace = append(replace, x.Dedup.Hash, x.Dedup.Content)
	}
	serial := fmt.Sprint(s.rng.IntN(1000))
	var o dedup.Object
	switch {
	case i.Deleted:
		for _, f := range r.files {
			for _, x := range f.Objects() {
				if _, d := dedup.Split(x); d.Delete && x.Text(0x00080018) == i.SOP.String() {
					replace = append(replace, d.Hash) // what the removal removed is not named again
				}
			}
		}
		o = s.record(i.SOP.String(), "restored"+serial, dedup.Dedup{Replace: replace})
	case s.one(2):
		o, _ = sealed(object("00080018", i.SOP.String(), "0020000E", "1.2.3.9", "00204001", serial), dedup.Dedup{Type: dedup.TypeInstance, Delete: true, Replace: replace})
	default:
		o = s.record(i.SOP.String(), "changed"+serial, dedup.Dedup{Replace: replace})
	}
	info, records := dedup.Dedup{}, []dedup.Object{o}
	if s.one(2) { // a writer that makes the study anew: it names the lists that it knows, and repeats what is live, or forgets some of it
		for _, id := range r.study.Leaves {
			if id.Ref.Class == dedup.List {
				info.ReplaceFiles = append(info.ReplaceFiles, id.Ref.Hash())
			}
		}
		for _, other := range r.study.Instances {
			for _, x := range other.Records {
				if !s.one(8) && other.SOP != i.SOP {
					records = append(records, x.Object)
				}
			}
		}
	}
	s.arrive(uid, listFile(info, records...))
}

// combine combines a study's leaves.
func (s *site) combine() {
	uid := pick(s.world, s.studies)
	s.combineOf(uid)
}

func (s *site) combineOf(uid dedup.UID) {
	c, err := s.combiner().Study(s.Context(), uid)
	switch {
	case errors.Is(err, fs.ErrNotExist) && len(s.disk.rows[uid].files) == 0, s.full && durable.IsFull(err):
	case err != nil:
		s.fail("%s combines study %s: %v", s.name, uid, err)
	case c.Reason == "the combined list would say something else":
		s.fail("%s does not combine study %s: %s", s.name, uid, c.Reason)
	case c.List != dedup.FileID{}:
		s.say("%s: combined %d files of study %s", s.name, len(c.Inputs), uid)
		s.seen["combined"]++
		s.disk.acked[c.List] = uid
		s.life.look(uid)
	}
}

// collect removes what is accounted for, when its time has come.
func (s *site) collect() {
	for _, uid := range s.studies {
		c, err := s.combiner().Collect(s.Context(), uid)
		if err != nil && !(errors.Is(err, fs.ErrNotExist) && len(s.disk.rows[uid].files) == 0) && !(s.full && durable.IsFull(err)) {
			s.fail("%s collects in study %s: %v", s.name, uid, err)
		}
		for _, r := range c.Remove {
			s.seen["collected "+r.File.Ref.Class.String()]++
			s.seen["collected"]++
		}
		if len(c.Remove) > 0 {
			s.say("%s: collected %d files of study %s", s.name, len(c.Remove), uid)
			s.life.look(uid)
		}
	}
}

// housekeep counts running time.
func (l *life) housekeep() {
	if err := l.combiner().Count(); err != nil && !(l.full && durable.IsFull(err)) {
		l.fail("%s counts running time: %v", l.name, err)
	}
}

// badDisk is a write during which the disk fails: then nothing may be acknowledged, or all must be there. (What cannot be read is put away as damaged, which is another matter.)
func (s *site) badDisk() {
	fails, happens := s.disk.fs.Ops()+s.rng.IntN(60), s.one(2)
	s.disk.fs.Hook = func(op crashfs.Op) (bool, error) {
		if op.N < fails || !slices.Contains([]string{"create", "write", "sync", "mkdir", "rename", "link", "replace", "syncdir", "barrier", "syncall"}, op.Kind) {
			return true, nil
		}
		fails = 1 << 62
		return happens, syscall.EIO
	}
	uid, sop := s.some()
	f := instanceFile(s.record(sop, fmt.Sprintf("%s-bad%d", sop, s.rng.IntN(9)), dedup.Dedup{}))
	s.files[f.ID] = f
	err := s.disk.store(s.world, uid, f)
	if s.disk.fs.Hook = nil; err != nil {
		s.seen["not stored"]++
	} else {
		s.disk.acked[f.ID] = uid
	}
	s.life.look(uid)
}

// ackDown is an operator who says that a site that does not answer is down for now.
func (s *site) ackDown() {
	for _, x := range s.world.sites {
		if x == s || x.life != nil {
			continue
		}
		_, wall := s.clocks()
		r, err := s.disk.roster.AckDown(roster.Down{Site: x.name, Until: wall.Add(time.Minute + s.between(0, 4*time.Minute)), By: s.name, Now: wall}, s.operator)
		if err != nil {
			s.fail("acknowledge %s: %v", x.name, err)
			return
		}
		s.seen["acknowledged"]++
		s.life.merge(r)
		return
	}
}

// others are the other sites.
func (s *site) othersOf() []*site {
	return slices.DeleteFunc(slices.Clone(s.world.sites), func(o *site) bool { return o == s })
}
