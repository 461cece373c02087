package sim

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/combine"
	"github.com/dicomesh/dicomesh/gossip/reach"
	"github.com/dicomesh/dicomesh/gossip/roster"
	"github.com/dicomesh/dicomesh/settle"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// ledger is what the judge remembers of a disk. It goes back in time with the disk, when an old copy is put in its place.
type ledger struct {
	acked map[dedup.FileID]dedup.UID     // what was acknowledged there
	dom   map[dedup.FileID]dedup.UID     // what was ever accounted for there, and so may be removed or refused
	since map[dedup.FileID]time.Duration // lists that are accounted for, and since when
	paths map[string]dedup.Digest        // what names stand for
}

func newLedger() ledger {
	return ledger{map[dedup.FileID]dedup.UID{}, map[dedup.FileID]dedup.UID{}, map[dedup.FileID]time.Duration{}, map[string]dedup.Digest{}}
}

func (l ledger) copy() ledger {
	return ledger{maps.Clone(l.acked), maps.Clone(l.dom), maps.Clone(l.since), maps.Clone(l.paths)}
}

// entry is what a process held of a study from some time on.
type entry struct {
	at time.Duration
	wire.StudyState
}

// of are the files of a study, in order.
func of(all map[dedup.FileID]dedup.UID, uid dedup.UID) (ids []dedup.FileID) {
	for id, study := range all {
		if study == uid {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, dedup.FileID.Compare)
	return ids
}

// sound holds a study on a disk, which may be what a crash left, against I1 and I2.
func (w *world) sound(s *site, d *disk, uid dedup.UID, r row) {
	for _, f := range r.files {
		for _, ref := range needs(f) {
			if _, err := d.fs.Lstat(ref.In(uid)); err != nil {
				w.fail("I1: at %s %s is visible and %s, to which it refers, is not there", s.name, f.ID.Ref, ref)
			}
		}
	}
	for _, id := range of(d.acked, uid) {
		_, dominated := d.dom[id]
		if !dominated && !slices.ContainsFunc(r.files, func(f dedup.File) bool { return f.ID == id }) && !w.accounts(r, id) {
			w.fail("I2: %s was acknowledged at %s, and is neither there nor accounted for", id.Ref, s.name)
		}
	}
}

// accounts reports whether the files of a study account for another one.
func (w *world) accounts(r row, id dedup.FileID) bool {
	return slices.Contains(dedup.Resolve(append(slices.Clip(r.files), w.files[id]), everything{}).Dominated, id)
}

// note holds a study, as it was just read, against the invariants.
func (l *life) note(uid dedup.UID, r row, paths map[string]dedup.Digest) {
	d := l.disk
	l.sound(l.site, d, uid, r)
	for _, id := range r.study.Leaves {
		if _, was := d.dom[id]; was {
			l.fail("I4: %s was accounted for at %s, and is a leaf again", id.Ref, l.name)
		}
	}
	l.removed(uid, r)
	accounted := map[dedup.FileID]bool{}
	for _, id := range r.study.Dominated {
		d.dom[id], accounted[id] = uid, true
		if _, known := d.since[id]; !known {
			d.since[id] = l.now
		}
	}
	for _, f := range r.files {
		if !accounted[f.ID] {
			delete(d.since, f.ID)
		}
	}
	folder := "studies/" + uid.String() + "/"
	maps.DeleteFunc(d.paths, func(path string, _ dedup.Digest) bool {
		_, stands := paths[path]
		return strings.HasPrefix(path, folder) && !stands // what is gone was held against I11
	})
	for path, digest := range paths {
		was, known := d.paths[path]
		kept := slices.ContainsFunc(r.files, func(f dedup.File) bool { return f.ID.Digest == was })
		if known && was != digest && (!kept || slices.Compare(digest[:], was[:]) > 0) {
			l.fail("I5: %s at %s stands for something else than before, and that is not kept or was to be preferred", path, l.name)
		}
		d.paths[path] = digest
	}
	if r.Flags&wire.Conflict != 0 {
		l.seen["conflict"]++
	}
	l.seen["variant"] += len(r.study.Variants)
}

// removed holds what was taken away since the study was last read against I3, I4 and I11: what was accounted for is still, though it may not be there.
func (l *life) removed(uid dedup.UID, r row) {
	var gone []dedup.FileID
	for _, f := range l.disk.rows[uid].files {
		if !slices.ContainsFunc(r.files, func(g dedup.File) bool { return g.ID == f.ID }) {
			gone = append(gone, f.ID)
		}
	}
	if len(gone) == 0 {
		return
	}
	for _, id := range of(l.disk.dom, uid) {
		if !slices.ContainsFunc(r.files, func(g dedup.File) bool { return g.ID == id }) && !l.accounts(r, id) {
			l.fail("I3: %s was accounted for at %s, and is not since something was removed", id.Ref, l.name)
		}
	}
	for _, id := range gone {
		since, known := l.disk.since[id]
		if _, dominated := l.disk.dom[id]; !dominated {
			l.fail("I11: %s is gone from %s, and nothing accounted for it", id.Ref, l.name)
		}
		if age := (l.now - since) * fast; id.Ref.Class == dedup.List && (!known || age < combine.Day) {
			l.fail("I11: %s is gone from %s %v after something came to account for it", id.Ref, l.name, age)
		}
	}
}

// fetched notes a file that came from another site, and holds it against I16: what was here once is not wanted again.
func (l *life) fetched(uid dedup.UID, f dedup.File) {
	if _, was := l.disk.acked[f.ID]; was {
		l.fail("I16: %s came to %s a second time", f.ID.Ref, l.name)
	}
	l.seen["fetched"]++
	l.disk.acked[f.ID] = uid
}

// shows holds an output against I8: equal leaves, equal outputs, wherever and whenever.
func (l *life) shows(uid dedup.UID, o output) {
	v := view{uid, o.leaf}
	if was, known := l.shown[v]; known && was != o.view {
		l.fail("I8: study %s with leaves %s is shown otherwise at %s", uid, short(o.leaf), l.name)
	}
	l.shown[v] = o.view
}

// permitted holds a round that gives its names now against the truth: no link may have been dead for longer than it takes to say so.
func (l *life) permitted(uid dedup.UID) {
	for _, link := range l.links {
		if since, dead := l.dead[link]; dead && l.now-since > l.limit() && l.counts(link) && l.seed%3 != 1 {
			l.fail("I7: %s generates study %s, and the link %s-%s has been dead for %v", l.name, uid, link.ends[0].name, link.ends[1].name, l.now-since)
		}
	}
}

// limit is for how long a dead link may go unnoticed: a look at the links is up to a second late here.
func (w *world) limit() time.Duration { return reach.Detect(w.beat) + 2*time.Second }

// counts reports whether both ends of a link count, for this site.
func (l *life) counts(link *link) bool {
	_, wall := l.clocks()
	return !slices.ContainsFunc(link.ends[:], func(s *site) bool {
		row, err := l.disk.roster.Site(s.name)
		return err != nil || !row.Counts(wall)
	})
}

// works reports whether a link can be of use, or nobody asks for it.
func (w *world) works(l *link) bool {
	return !l.owed || w.both(l) && l.ends[0].awake() && l.ends[1].awake()
}

// opened is to be called when something may work again: it may do so for less than the second between two looks, and then was not dead all the time.
func (w *world) opened() {
	for _, link := range w.links {
		if w.works(link) {
			delete(w.dead, link)
		}
	}
}

// honest holds what all sites say against I7: once a second.
func (w *world) honest() {
	w.opened()
	for _, link := range w.links {
		if w.works(link) {
			continue
		}
		since, known := w.dead[link]
		if !known {
			w.dead[link] = w.now
			continue
		}
		for _, s := range w.sites {
			if w.now-since > w.limit() && s.awake() && s.life.counts(link) && s.life.judge().State == reach.Whole {
				w.fail("I7: %s says whole, and the link %s-%s has been dead for %v", s.name, link.ends[0].name, link.ends[1].name, w.now-since)
			}
		}
	}
	if !w.end {
		w.after(time.Second, w.honest)
	}
}

// saved holds a record that is being saved against I6.
func (l *life) saved(uid dedup.UID, was, is settle.Record) {
	switch made := l.disk.current[uid].made; {
	case is.State == settle.Settled && was.Certificate != is.Certificate:
		l.certified(uid, is)
	case is.State == settle.Published && (was.Published != is.Published || was.State == ""):
		fresh := false
		for _, x := range l.nonces {
			fresh = fresh || x.by == l && x.asked >= made && l.now-x.asked <= 11*time.Second && l.answered(x)
		}
		if !fresh {
			l.fail("I6: %s publishes study %s without an echo that began after its round", l.name, uid)
		}
	}
}

// answered reports whether all sites that count for this one have answered an echo.
func (l *life) answered(x *echo) bool {
	return !slices.ContainsFunc(l.judge().Others, func(name string) bool { return x.answers[name] == nil })
}

// certified holds a certificate against what each site that it names did hold when it reported, and against the roster.
func (l *life) certified(uid dedup.UID, r settle.Record) {
	c := r.Certificate
	x := l.nonces[c.Nonce]
	if x == nil || x.by != l || x.asked < l.disk.current[uid].made {
		l.fail("I6: %s settles study %s, and its echo is older than its last round", l.name, uid)
		return
	}
	for _, s := range l.disk.roster.Sites() {
		stand := slices.IndexFunc(c.Sites, func(o settle.Stand) bool { return o.Site == s.Name })
		if stand < 0 {
			l.excused(uid, s, c)
			continue
		}
		process, held := x.answers[s.Name], c.Sites[stand]
		if s.Name == l.name {
			process = l
		}
		if process == nil {
			l.fail("I6: %s settles study %s on the word of %s, which did not answer", l.name, uid, s.Name)
			return
		}
		now := process.held(uid, held.Number)
		if held.Leaf != c.Leaf || now.Leaf != c.Leaf || now.Flags&wire.Complete == 0 {
			l.fail("I6: %s settles study %s with leaves %s on the word of %s, which held %s at its number %d", l.name, uid, short(c.Leaf), s.Name, short(now.Leaf), held.Number)
		}
	}
	if o := l.disk.current[uid]; o.leaf != c.Leaf || r.Published != c.Leaf {
		l.fail("I6: %s settles study %s with leaves %s, and shows %s", l.name, uid, short(c.Leaf), short(o.leaf))
	}
}

// excused holds that a site that is in no certificate is one of those that hold nobody.
func (l *life) excused(uid dedup.UID, s roster.Site, c *settle.Certificate) {
	_, wall := l.clocks()
	why := map[string]bool{s.Name + ": joining": true, s.Name + ": disk full": true, s.Name + ": acknowledged down": !s.Counts(wall)}
	if !slices.ContainsFunc(c.Exceptions, func(e string) bool { return why[e] }) {
		l.fail("I6: %s settles study %s without %s (%q)", l.name, uid, s.Name, c.Exceptions)
	}
	l.seen["exception"]++
}

// held is what this process held of a study as of a number of its changes.
func (l *life) held(uid dedup.UID, number uint64) (s wire.StudyState) {
	for _, e := range l.history {
		if e.UID == uid && e.Change <= number {
			s = e.StudyState
		}
	}
	return s
}

// retained holds that nothing is lost: whatever any site acknowledged, but one that was destroyed, is at all of them or accounted for; and I14.
func (w *world) retained() {
	for _, from := range w.sites {
		for _, uid := range w.studies {
			for _, id := range of(from.disk.acked, uid) {
				for _, at := range w.sites {
					if r := at.disk.rows[uid]; !at.has(uid, id) && !w.accounts(r, id) {
						w.fail("I2: %s was acknowledged at %s, and is neither at %s nor accounted for there", id.Ref, from.name, at.name)
					}
				}
			}
		}
		if n := len(from.disk.roster.Sites()); n != len(w.sites) {
			w.fail("I14: the roster of %s has %d sites of %d", from.name, n, len(w.sites))
		}
	}
}
