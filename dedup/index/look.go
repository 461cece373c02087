package index

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
)

// look is one Look at one study.
type look struct {
	*Keeper
	*kept
	ctx    context.Context // of the one call that this is
	folder dedup.Folder
	row    Study
	has    bool // the index has a row

	put      map[string]Entry
	gone     map[string]bool
	unknown  []Entry // files whose names say nothing, for the digest log
	logged   map[string]Entry
	absent   map[dedup.Ref]bool  // bulkdata that was asked for in vain
	received map[string]Received // by path
	news     bool                // something changed that Resolve has to see
	missed   []Trouble           // bulkdata that is gone: it is reported once
	strays   []dedup.Finding
	retry    time.Duration
	err      error // that ended it inside of Resolve
}

// look looks by a way of finding out what there is.
func (k *Keeper) look(ctx context.Context, s *kept, find func(*look) error) (Holding, error) {
	l := &look{Keeper: k, kept: s, ctx: ctx, put: make(map[string]Entry), gone: make(map[string]bool), absent: make(map[dedup.Ref]bool)}
	h, err := l.run(find)
	if err != nil {
		err = errors.Join(err, l.rescue())
		s.forget()
		return Holding{Study: s.uid, Incarnation: k.config.Index.Incarnation}, fmt.Errorf("look at a study: %w", err)
	}
	return h, nil
}

func (l *look) run(find func(*look) error) (h Holding, err error) {
	if l.row, l.has, err = l.config.Index.Study(l.ctx, l.uid); err != nil {
		return h, err
	}
	if !l.known {
		err := l.load(l.ctx, l.config.Index)
		if errors.Is(err, ErrDamaged) { // The index is a cache: what it cannot say any more, the tree says.
			if err = l.config.Index.Remove(l.ctx, l.uid); err == nil {
				l.row, l.has = Study{UID: l.uid}, false
				err = l.load(l.ctx, l.config.Index)
			}
		}
		if err != nil {
			return h, err
		}
	}
	if l.folder, err = l.tree.Study(l.uid); err != nil {
		return h, err
	}
	if err := find(l); err != nil {
		return h, err
	}
	return l.enter()
}

// glance looks at the lists and instance files. Where nothing happened since somebody looked, and all was well, the index's row says what they come to.
func (l *look) glance() error {
	held, err := l.folder.Heads()
	if err != nil {
		return err
	}
	fresh, vanished := l.compare(held)
	if l.idle(fresh, vanished) {
		return nil
	}
	return l.judge(fresh, vanished)
}

// idle reports whether there is no need to read anything.
func (l *look) idle(fresh []dedup.Held, vanished []string) bool {
	return !l.resolved && l.has && l.row.Complete && !l.news && len(fresh)+len(vanished)+len(l.lost) == 0
}

// closely is glance that does not take the row's word.
func (l *look) closely() error {
	held, err := l.folder.Heads()
	if err != nil {
		return err
	}
	return l.judge(l.compare(held))
}

// compare holds the lists and instance files that are there against those that are entered. Those that are back count again.
func (l *look) compare(present []dedup.Held) (fresh []dedup.Held, vanished []string) {
	contested := l.contested(present)
	there := make(map[string]bool, len(present))
	for _, h := range present {
		there[h.Path] = true
		missed, is := l.lost[h.Path]
		known := l.heads[h.Path]
		switch {
		case is:
			l.found(missed)
		case known == nil, contested[Name{h.Ref.Class, h.Ref.Name}] && h.Ref.Variant == "":
			fresh = append(fresh, h)
		}
	}
	for path := range l.heads {
		if !there[path] {
			vanished = append(vanished, path)
		}
	}
	for path, b := range l.bad {
		if head(b.Ref.Class) && !there[path] {
			delete(l.bad, path)
			l.news = true
		}
	}
	slices.Sort(vanished)
	return fresh, vanished
}

// contested are the names of which a variant is new: what stands at the canonical path may be another of them now.
func (l *look) contested(present []dedup.Held) map[Name]bool {
	out := make(map[Name]bool)
	for _, h := range present {
		if _, wrong := l.bad[h.Path]; h.Ref.Variant != "" && l.heads[h.Path] == nil && !wrong {
			out[Name{h.Ref.Class, h.Ref.Name}] = true
		}
	}
	return out
}

// found makes a lost file one that is there. It is read again before it counts.
func (l *look) found(f *keptFile) {
	delete(l.lost, f.Path)
	f.Lost, f.read, f.file = false, false, dedup.File{}
	l.heads[f.Path] = f
	l.put[f.Path] = f.Entry
	l.files, l.bytes, l.news = l.files+1, l.bytes+f.Disk, true
}

// judge reads what is not read yet, and finds out what the study is if that can have changed.
func (l *look) judge(fresh []dedup.Held, vanished []string) error {
	missed := l.take(vanished)
	if len(missed) > 0 && len(l.heads) == 0 && !l.mounted() {
		return ErrAbsent
	}
	went, err := l.read()
	if err != nil {
		return err
	}
	missed = l.needed(append(missed, l.take(went)...))
	for _, h := range fresh {
		if err := l.ctx.Err(); err != nil {
			return err
		}
		l.admitHead(h)
	}
	for _, r := range l.kept.missing {
		if !l.news && l.bulkdata().Has(r) {
			l.news = true
		}
	}
	if l.resolved && !l.news && len(missed) == 0 || l.err != nil {
		return l.err
	}
	state := l.resolve()
	l.settle(state, missed)
	return errors.Join(l.err, l.ctx.Err())
}

// resolve says what the study is that has the files that count.
func (l *look) resolve(besides ...*keptFile) *dedup.State {
	files := make([]dedup.File, 0, len(l.heads)+len(besides))
	for _, f := range l.heads {
		if f.read {
			files = append(files, f.file)
		}
	}
	for _, f := range besides {
		files = append(files, f.file)
	}
	return dedup.Resolve(files, l.bulkdata())
}

// settle takes over what the study is.
func (l *look) settle(s *dedup.State, missed []*keptFile) {
	l.miss(s, missed)
	l.leaves, l.missing, l.resolved = s.Leaves, nil, true
	f := Facts{Conflict: s.Conflict()}
	series := make(map[dedup.UID]bool)
	for _, i := range s.Instances {
		if i.Deleted {
			continue
		}
		f.Instances++
		series[i.Series] = true
		l.missing = append(l.missing, i.Missing...)
	}
	slices.SortFunc(l.missing, dedup.Ref.Compare)
	l.missing = slices.Compact(l.missing)
	f.Series = len(series)
	f.Complete = s.Complete()
	l.facts = f
}

// enter enters what was found, and says it.
func (l *look) enter() (Holding, error) {
	if err := l.record(); err != nil {
		return Holding{}, err
	}
	h := Holding{Study: l.uid, Leaf: l.row.Leaf, Facts: l.row.Facts, Change: l.row.Change, Incarnation: l.config.Index.Incarnation, Retry: l.retry}
	if l.resolved {
		h.Leaf, h.Facts = dedup.LeafDigest(l.leaves), l.facts
		h.Complete = h.Complete && !l.wrong() && !l.missesHead()
		h.Wanting = l.wanting(h.Complete)
	}
	h.Facts.Files, h.Bytes = l.files, l.bytes
	h.MissingCount, h.Missing = len(l.missing), slices.Clone(l.missing[:min(len(l.missing), Shown)])
	l.troubles(&h)
	h.Spare = l.spare()
	h.bare = l.row.Others == (dedup.Digest{}) && !l.putsOther()
	fresh := !l.has && (h.Files > 0 || len(l.lost) > 0)
	if len(l.put)+len(l.gone) > 0 || fresh || l.has && (h.Leaf != l.row.Leaf || h.Facts != l.row.Facts) {
		if err := l.save(Change{Leaf: &h.Leaf, Facts: &h.Facts}); err != nil {
			return h, err
		}
		h.Changed, h.Change = true, l.row.Change
	}
	return h, nil
}

// putsOther reports whether a file of class other is among what is to be entered.
func (l *look) putsOther() bool {
	for _, e := range l.put {
		if e.Ref.Class == dedup.Other {
			return true
		}
	}
	return false
}

// save enters files, and what else c says.
func (l *look) save(c Change) (err error) {
	if len(l.put)+len(l.gone) == 0 && c.Leaf == nil {
		return nil
	}
	c.Put, c.Gone = slices.Collect(maps.Values(l.put)), slices.Collect(maps.Keys(l.gone))
	// What was found right is entered also when the caller has no more time.
	l.row.Change, err = l.config.Index.Update(context.WithoutCancel(l.ctx), l.uid, c)
	return err
}

// rescue enters what a look that failed had found right. About what is gone it has no opinion.
func (l *look) rescue() error {
	clear(l.gone)
	maps.DeleteFunc(l.put, func(_ string, e Entry) bool { return e.Lost || e.Damaged })
	if err := l.record(); err != nil {
		return err
	}
	return l.save(Change{})
}

// troubles names what is wrong, and finds out whether that is news.
func (l *look) troubles(h *Holding) {
	now := l.config.Now()
	for _, b := range l.bad {
		h.Corrupt = append(h.Corrupt, b.Trouble)
		if !b.until.IsZero() {
			l.wait(b.until.Sub(now))
		}
	}
	for _, f := range l.lost {
		h.Vanished = append(h.Vanished, Trouble{Ref: f.Ref, Path: f.Path, Reason: "it was there, and nothing that is here makes up for it"})
	}
	h.Vanished = append(h.Vanished, l.missed...)
	l.Keeper.strays(h, l.strays)
	h.CorruptCount, h.VanishedCount = len(h.Corrupt), len(h.Vanished)
	h.Corrupt, h.Vanished = shown(h.Corrupt), shown(h.Vanished)
	l.tell(h.Corrupt)
	l.tell(h.Vanished)
	n := h.MissingCount + h.CorruptCount + h.VanishedCount
	h.Changed = l.looked && n != l.trouble
	l.looked, l.trouble = true, n
	for _, t := range slices.Concat(h.Corrupt, h.Vanished, h.Strays) {
		h.Changed = h.Changed || t.New
	}
	h.Retry = l.retry
}

// shown are the first of these troubles.
func shown(all []Trouble) []Trouble {
	slices.SortFunc(all, func(a, b Trouble) int { return cmp.Or(a.Ref.Compare(b.Ref), strings.Compare(a.Path, b.Path)) })
	return slices.Clip(all[:min(len(all), Shown)])
}

// wait asks for another look after a while.
func (l *look) wait(d time.Duration) {
	d = max(d, time.Second)
	if l.retry == 0 || d < l.retry {
		l.retry = d
	}
}
