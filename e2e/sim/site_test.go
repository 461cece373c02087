package sim

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/gossip/reach"
	"github.com/dicomesh/dicomesh/gossip/roster"
	"github.com/dicomesh/dicomesh/settle"
	"github.com/dicomesh/dicomesh/syncer"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// site is a machine: its disk, its clocks, and the process that runs there, if one does.
type site struct {
	*world
	name          string
	key, operator ed25519.PrivateKey
	disk          *disk
	backup        *disk // an old copy of it; nil: none was made
	life          *life // nil: no process runs
	lives         int
	boots         int           // of the machine: readings of running time are of one
	mono, wall    time.Duration // how far its clocks are off: the monotonic one behind, the other anywhere
	full          bool          // nothing can be written
}

// disk is what a site keeps: the tree, and what package index and the state folder have, which commits at once or not at all.
type disk struct {
	fs          *crashfs.FS
	incarnation string
	change      uint64
	rows        map[dedup.UID]row
	records     map[dedup.UID]settle.Record
	current     map[dedup.UID]output
	roster      roster.Roster
	boot        uint64
	ledger
}

// copy is a backup of the disk.
func (d *disk) copy(w *world) *disk {
	c := *d
	c.fs = d.fs.Crash(w.rng)
	c.rows, c.records, c.current = maps.Clone(d.rows), maps.Clone(d.records), maps.Clone(d.current)
	c.ledger = d.ledger.copy()
	return &c
}

// life is a process.
type life struct {
	*site
	ctx     context.Context
	cancel  context.CancelFunc
	over    bool
	paused  bool
	since   time.Duration // it began, or went on, to run
	frozen  []func()      // what happened while it was stopped
	workers []*worker
	working *worker // the one that is at work
	wake    time.Duration

	reach  *reach.Core
	self   reach.Self
	sync   *syncer.Stepper
	loop   *settle.Stepper
	sums   *index.Sums
	judged reach.Wholeness
	age    time.Duration // when that was, by the monotonic clock
	last   reach.Moment  // when it was last seen to run
	stops  int

	heard, echoed, got map[string]time.Duration // see sendBeats
	history            []entry
}

// found founds the cluster.
func (w *world) found(sites int) {
	root := w.private("root")
	for n := range sites {
		name := string(rune('a' + n))
		s := &site{world: w, name: name, key: w.private(name), operator: w.private("operator " + name)}
		s.disk = &disk{fs: crashfs.New(), rows: map[dedup.UID]row{}, records: map[dedup.UID]settle.Record{}, current: map[dedup.UID]output{}, ledger: newLedger()}
		s.disk.incarnation = fmt.Sprintf("%s%d", name, w.rng.Uint32())
		w.sites = append(w.sites, s)
	}
	for _, s := range w.sites {
		s.disk.roster = w.roster(root)
	}
	owed := w.sites[0].disk.roster.Links()
	for n, a := range w.sites {
		for _, b := range w.sites[n+1:] {
			w.links = append(w.links, &link{ends: [2]*site{a, b}, owed: slices.Contains(owed, roster.Pair{A: a.name, B: b.name})})
		}
	}
	for _, s := range w.sites {
		s.start()
	}
	w.second()
	w.honest()
}

// roster is that of the whole cluster. With four sites and more the last one can only dial out, as can, by chance, the one before it, so that the two owe each other no link.
func (w *world) roster(root ed25519.PrivateKey) roster.Roster {
	var r roster.Roster
	for n, s := range w.sites {
		row := roster.Site{Name: s.name, Key: roster.KeyOf(s.key), Operator: roster.KeyOf(s.operator), Role: roster.Full, Status: roster.Active}
		if n < 3 || n < len(w.sites)-1-int(w.seed%2) {
			row.Addresses = []string{s.name + ".example:7"}
		}
		var err error
		if n == 0 {
			r, err = roster.New("sim", root, row)
		} else {
			r, err = r.With(row, root)
		}
		if err != nil {
			w.fail("roster: %v", err)
		}
	}
	return r
}

func (w *world) private(name string) ed25519.PrivateKey {
	seed := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(name), w.seed))
	return ed25519.NewKeyFromSeed(seed[:])
}

// verified verifies a signature, each once: every site gets the same rows.
func (w *world) verified(key roster.Key, message, signature []byte) bool {
	of := string(slices.Concat(key[:], signature, message))
	good, known := w.proved[of]
	if !known {
		good = ed25519.Verify(key[:], message, signature)
		w.proved[of] = good
	}
	return good
}

func (w *world) site(name string) *site {
	return w.sites[slices.IndexFunc(w.sites, func(s *site) bool { return s.name == name })]
}

// day is when the world begins, by all walls.
var day = time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC)

// clocks are what the machine's show. The monotonic one begins at an hour, because 0 is never.
func (s *site) clocks() (mono time.Duration, wall time.Time) {
	return s.monotonic(), day.Add(s.now + s.wall)
}

func (s *site) monotonic() time.Duration { return time.Hour + s.now - s.mono }

func (l *life) mono() time.Duration { return l.monotonic() }

// time is what the process's times are made of: differences of it are by the monotonic clock.
func (l *life) time() time.Time { return day.Add(l.monotonic()) }

// start starts the process.
func (s *site) start() {
	s.lives++
	s.disk.boot++
	l := &life{site: s, since: s.now, heard: map[string]time.Duration{}, echoed: map[string]time.Duration{}, got: map[string]time.Duration{}}
	l.ctx, l.cancel = context.WithCancel(s.Context())
	s.life = l
	for _, link := range s.links { // who starts anew takes the place of an old connection
		if slices.Contains(link.ends[:], s) {
			s.drop(link)
		}
	}
	l.self = reach.Self{Site: s.name, Key: s.key, Boot: s.disk.boot, Beat: s.beat}
	binary.BigEndian.PutUint64(l.self.Life[:], s.rng.Uint64()|1)
	var err error
	if l.reach, err = reach.NewCore(l.self, s.disk.roster, l.mono()); err != nil {
		s.fail("reach: %v", err)
		return
	}
	l.reach.Remember(s.verified)
	l.sums = index.NewSums(sha256.Sum256([]byte("sim")), 0)
	l.count()
	l.sync = syncer.NewStepper(l.ctx, syncer.Config{Self: s.name, Generator: version, Open: l.openStream, Catalog: catalog{l},
		Heard: func(u dedup.UID) { l.loop.Touch(u) }, Revised: func(u dedup.UID) { l.loop.Reported(u) }, Standing: func(site string) { l.loop.SiteChanged(site) }})
	l.loop, err = settle.NewStepper(l.settling(), s.clocks, func(job func()) { l.begin(func(*worker) { job() }) })
	if err == nil {
		err = l.loop.Read(l.ctx)
	}
	if err != nil {
		s.fail("settle: %v", err)
		return
	}
	mono, wall := s.clocks()
	l.last = reach.Moment{Mono: mono, Wall: wall}
	l.sync.Room(l.ctx, syncer.Room{Low: s.full})
	for _, uid := range s.studies {
		l.look(uid)
	}
	l.every(time.Second, l.second)
	l.every(s.beat/2, l.measure)
	l.every(countEach, l.housekeep)
	l.every(15*time.Second, l.greet)
}

// every has something done again and again as long as the process lives.
func (l *life) every(d time.Duration, do func()) {
	l.after(d, func() {
		do()
		l.every(d, do)
	})
}

// second is what a process does once a second.
func (l *life) second() {
	l.loop.Beat()
	l.sendBeats()
}

// greet says to all what this site holds, whether or not something changed.
func (l *life) greet() {
	for _, s := range l.othersOf() {
		l.send(l.site, s, l.sync.Greeting())
	}
}

// stop ends the process, without a word to anybody.
func (s *site) stop() {
	l := s.life
	l.over = true
	l.cancel()
	for len(l.workers) > 0 {
		k := l.workers[0]
		l.workers = l.workers[1:]
		k.stop()
	}
	s.life = nil
}

// turn lets the process decide, until nothing is left to be decided.
func (l *life) turn() {
	if l.over || l.sync == nil || l.loop == nil {
		return
	}
	orders, next := l.sync.Step(l.time())
	for _, o := range orders {
		l.perform(o)
	}
	wake := l.now + l.loop.Step(l.ctx)
	if !next.IsZero() {
		wake = min(wake, l.now+next.Sub(l.time()))
	}
	wake = max(wake, l.now+time.Millisecond)
	if l.wake <= l.now || wake < l.wake {
		l.wake = wake
		l.world.after(wake-l.now, func() {
			if l.wake == wake {
				l.wake = 0
				l.happen(func() {})
			}
		})
	}
}

// notice finds out whether the process did not run for a while, as package reach and settle do with the clocks of a real one.
func (l *life) notice() {
	mono, wall := l.clocks()
	gap := max(mono-l.last.Mono, wall.Sub(l.last.Wall).Abs())
	l.last = reach.Moment{Mono: mono, Wall: wall}
	if gap > 5*time.Second {
		l.stops++
		l.reach.Stopped(gap, mono)
		l.age = 0
	}
}

// measure takes in what the links tell, hands on what is new, and judges.
func (l *life) measure() {
	now := l.mono()
	l.reach.Tick(l.beats(), l.level(), now)
	for _, m := range l.reach.Out(now) {
		l.packet(l.site, l.world.site(m.To), func(other *life) {
			_ = other.reach.Take(m.Row, other.mono()) // rows of a roster that it has not got yet are refused
			other.age = 0
		})
	}
	l.age = 0
	l.judge()
	l.comeBack()
}

// judge is what the cluster is, for this site.
func (l *life) judge() reach.Wholeness {
	mono, wall := l.clocks()
	if l.age == 0 || mono-l.age > l.beat/2 || l.judged.Over(wall) {
		before := l.judged
		l.judged, l.age = l.reach.Judge(reach.Moment{Mono: mono, Wall: wall}), mono
		if l.judged.State != before.State || l.judged.Cause != before.Cause {
			l.seen[string(l.judged.State)]++
			l.say("%s: %s %s", l.name, l.judged.State, l.judged.Cause)
			if l.loop != nil {
				l.loop.GateChanged()
			}
		}
	}
	return l.judged
}

// hear takes what a site says on its control stream.
func (l *life) hear(from *site, m wire.Message) {
	if m != nil {
		if err := l.sync.Hear(from.name, m); err != nil {
			l.fail("%s hears %s: %v", l.name, from.name, err)
		}
		return
	}
	if from.life != nil {
		l.merge(from.disk.roster)
	}
}

// merge takes another site's roster.
func (l *life) merge(r roster.Roster) {
	merged, err := roster.Merge(l.disk.roster, r)
	if err != nil {
		l.fail("merge rosters: %v", err)
	}
	if merged.Epoch() == l.disk.roster.Epoch() {
		return
	}
	l.disk.roster = merged
	l.reach.SetRoster(merged, l.mono())
	l.age = 0
	for _, s := range l.world.sites {
		if s != l.site {
			l.send(l.site, s, nil)
		}
	}
}

// comeBack ends the acknowledgement of this site as down, when it is there again and level.
func (l *life) comeBack() {
	for _, x := range l.judged.Sites {
		if x.Name == l.name && x.Back {
			r, err := l.disk.roster.Return(l.name, l.name, l.operator)
			if err != nil {
				l.fail("return: %v", err)
			}
			l.seen["returned"]++
			l.merge(r)
		}
	}
}
