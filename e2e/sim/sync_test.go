package sim

import (
	"fmt"
	"slices"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/combine"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/syncer"
)

// perform does what the syncer decided.
func (l *life) perform(o syncer.Order) {
	switch {
	case o.Tell != nil:
		for _, name := range o.To {
			l.send(l.site, l.world.site(name), o.Tell)
		}
	case o.Talk != nil:
		l.seen["compared"]++
		l.begin(func(*worker) { o.Talk() })
	case o.Pull != nil:
		l.begin(func(k *worker) { l.sync.Pulled(o.Pull.Study, k.pull(*o.Pull)) })
	}
}

// groupFiles is how many files are fetched and committed together: few, so that pulls are cut in their middle.
const groupFiles = 3

// pull brings what a site has of a study and this one wants: its leaves, and lists that account for something that no list here does (PROTOCOL section 2).
func (k *worker) pull(p syncer.Pull) error {
	l := k.life
	from := l.world.site(p.Site)
	link := l.world.link(l.site, from)
	if !link.up && !link.far {
		return errCut
	}
	id := link.id
	if err := k.trip(from, id); err != nil {
		return err
	}
	offered := from.offers(p.Study)
	defer func() {
		if !l.over {
			l.look(p.Study)
		}
	}()
	for group := range slices.Chunk(offered, groupFiles) {
		wanted := slices.DeleteFunc(slices.Clone(group), func(f dedup.File) bool { return !l.wants(p.Study, f) })
		if len(wanted) == 0 {
			continue
		}
		if link.far { // it can be asked, and gives no files
			return errCut
		}
		if err := k.trip(from, id); err != nil {
			return err
		}
		wanted = slices.DeleteFunc(wanted, func(f dedup.File) bool { return !from.has(p.Study, f.ID) || !l.wants(p.Study, f) })
		if err := l.disk.store(l.world, p.Study, wanted...); err != nil {
			return fmt.Errorf("%w: %w", durable.ErrNotStored, err)
		}
		for _, f := range wanted {
			l.fetched(p.Study, f)
		}
		l.look(p.Study)
	}
	return nil
}

// offers are the lists and the leaves that a site has of a study.
func (s *site) offers(uid dedup.UID) (files []dedup.File) {
	r := s.disk.rows[uid]
	for _, f := range r.files {
		if f.ID.Ref.Class == dedup.List || slices.Contains(r.study.Leaves, f.ID) {
			files = append(files, f)
		}
	}
	return files
}

// has reports whether a file is still there.
func (s *site) has(uid dedup.UID, id dedup.FileID) bool {
	return slices.ContainsFunc(s.disk.rows[uid].files, func(f dedup.File) bool { return f.ID == id })
}

// wants reports whether a file is not here, and not accounted for with all that it accounts for.
func (l *life) wants(uid dedup.UID, f dedup.File) bool {
	if l.has(uid, f.ID) {
		return false
	}
	mine := l.disk.rows[uid].files
	if !slices.Contains(dedup.Resolve(append(slices.Clip(mine), f), everything{}).Dominated, f.ID) {
		return true
	}
	if f.ID.Ref.Class == dedup.List && !slices.ContainsFunc(mine, func(g dedup.File) bool { return g.Covers(f) }) {
		return true
	}
	l.seen["refused"]++
	l.disk.dom[f.ID] = uid
	return false
}

// everything is bulkdata that comes along.
type everything struct{ shelf }

// Has implements dedup.Bulk.
func (everything) Has(dedup.Ref) bool { return true }

// level reports whether this site lacks nothing that the others have, as far as it knows.
func (l *life) level() bool {
	for _, x := range l.sync.Status().Sites {
		if x.Up && (x.Said == nil || !x.Compared || x.Behind > x.Lacking) {
			return false
		}
	}
	return true
}

// combiner combines and collects in the site's tree.
func (s *site) combiner() *combine.Combiner {
	return combine.New(combine.Config{Tree: s.disk.fs, Clock: s.running, Grace: graceTime, InUse: func(dedup.UID, dedup.Ref) bool { return s.one(20) }})
}
