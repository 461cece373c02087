package index

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
)

// JSONLimit is the most that a file of objects is read, decompressed. The largest that was seen, a list of 100,000 records, is a tenth of it.
const JSONLimit = 1 << 30

// Bulk is the bulkdata of a study as it lies in a tree: what dedup.Resolve asks for.
type Bulk struct {
	folder dedup.Folder
	held   map[dedup.Ref]dedup.Held
}

// NewBulk is the bulkdata among these files of a folder.
func NewBulk(folder dedup.Folder, held []dedup.Held) Bulk {
	b := Bulk{folder, make(map[dedup.Ref]dedup.Held, len(held))}
	for _, h := range held {
		if h.Ref.Class == dedup.Bulkdata {
			b.held[h.Ref] = h
		}
	}
	return b
}

// Find returns the file that a reference means, whatever its spelling.
func (b Bulk) Find(r dedup.Ref) (dedup.Held, bool) {
	for _, spelled := range r.Spellings() {
		if h, ok := b.held[spelled]; ok {
			return h, true
		}
	}
	return dedup.Held{}, false
}

// Has implements dedup.Bulk.
func (b Bulk) Has(r dedup.Ref) bool {
	_, ok := b.Find(r)
	return ok
}

// Object implements dedup.Bulk.
func (b Bulk) Object(h dedup.Hash) (dedup.Object, error) {
	held, ok := b.Find(dedup.Ref{Class: dedup.Bulkdata, Name: h.String(), Ext: ".json.gz"})
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: h.String(), Err: fs.ErrNotExist}
	}
	text, err := b.folder.Read(held, JSONLimit)
	if err != nil {
		return nil, err
	}
	return dedup.ParseObject(text)
}

// Progress is how far a walk over a tree is. The totals are of the studies that were looked at so far; they are settled before the first file is read.
type Progress struct {
	Studies, StudiesTotal int
	Files, FilesTotal     int64
	Bytes, BytesTotal     int64 // on disk
}

// Rebuild reads everything that the index has out of a tree again: every byte of every file. What it had is forgotten, published records too, and
// so is what it knew of files that have changed since: rebuild after verifying, not before.
// Files whose gzip envelope is damaged are left out, because nothing true can be said of them. report, if not nil, is called now and then.
func (x *Index) Rebuild(ctx context.Context, fsys durable.Reader, report func(Progress)) error {
	var known []dedup.UID
	for s, err := range x.Studies(ctx, 0) {
		if err != nil {
			return err
		}
		known = append(known, s.UID)
	}
	if err := x.setFact(ctx, "complete", "0"); err != nil {
		return err
	}
	for _, uid := range known {
		if err := x.Remove(ctx, uid); err != nil {
			return err
		}
	}
	return x.Refresh(ctx, fsys, report)
}

// Refresh makes the index say what the tree has: it reads files that are new, and takes out those that are gone. What it says of a file that it knows
// stays, also if the file has another size now: an archive file never changes, so that is for package verify to report and not for the index to forget.
// Files that have variants are the exception, because which of them has the canonical path may change.
func (x *Index) Refresh(ctx context.Context, fsys durable.Reader, report func(Progress)) error {
	w := walk{index: x, fs: fsys, tree: dedup.NewTree(fsys), report: report}
	if err := w.plan(ctx); err != nil {
		return fmt.Errorf("refresh index: %w", err)
	}
	for _, uid := range w.studies {
		if err := w.study(ctx, uid); err != nil {
			return fmt.Errorf("refresh index: %w", err)
		}
		w.progress.Studies++
	}
	if err := w.removeOthers(ctx); err != nil {
		return fmt.Errorf("refresh index: %w", err)
	}
	return x.Complete(ctx)
}

// walk is one Refresh.
type walk struct {
	index    *Index
	fs       durable.Reader
	tree     dedup.Tree
	meter    Meter
	studies  []dedup.UID
	report   func(Progress)
	progress Progress
}

// plan finds the studies, and if somebody watches how much there is to do.
func (w *walk) plan(ctx context.Context) (err error) {
	if w.studies, _, err = w.tree.Studies(); err != nil || w.report == nil {
		return err
	}
	w.progress.StudiesTotal = len(w.studies)
	w.progress.FilesTotal, w.progress.BytesTotal, err = w.tree.Measure(ctx, w.studies)
	return err
}

// study brings one study up to date.
func (w *walk) study(ctx context.Context, uid dedup.UID) error {
	known, err := w.index.Manifest(ctx, uid)
	if err != nil {
		return err
	}
	folder, err := w.tree.Study(uid)
	if err != nil {
		return err
	}
	held, _, err := folder.Files()
	if err != nil {
		return err
	}
	var c Change
	shared := Shared(held)
	for _, h := range held {
		if err := ctx.Err(); err != nil {
			return err
		}
		old, has := known[h.Path]
		if old.Lost || shared[Name{h.Ref.Class, h.Ref.Name}] {
			has = false
		}
		e, err := w.file(h, old, has)
		if err == nil && e != old {
			c.Put = append(c.Put, e)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			delete(known, h.Path)
		}
	}
	for path, e := range known {
		if !e.Lost { // what is missed stays missed
			c.Gone = append(c.Gone, path)
		}
	}
	return w.enter(ctx, uid, folder, held, c)
}

// file is the entry of a file: the one that is known, else what reading it gives.
func (w *walk) file(h dedup.Held, old Entry, has bool) (Entry, error) {
	info, err := w.fs.Lstat(h.Path)
	if err != nil {
		return Entry{}, err
	}
	defer w.tell(info.Size())
	if has {
		return old, nil
	}
	m, err := w.meter.Measure(w.fs, h, nil)
	return m.Entry, err
}

// Name is what variants have in common.
type Name struct {
	Class dedup.Class
	Name  string
}

// Shared are the names that stand for more than one file among these: those that have variants.
func Shared(held []dedup.Held) map[Name]bool {
	shared := make(map[Name]bool)
	for _, h := range held {
		if h.Ref.Variant != "" {
			shared[Name{h.Ref.Class, h.Ref.Name}] = true
		}
	}
	return shared
}

func (w *walk) tell(bytes int64) {
	w.progress.Files++
	w.progress.Bytes += bytes
	if w.report != nil {
		w.report(w.progress)
	}
}

// enter updates the study if anything of it has changed, its leaves with it.
func (w *walk) enter(ctx context.Context, uid dedup.UID, folder dedup.Folder, held []dedup.Held, c Change) error {
	s, has, err := w.index.Study(ctx, uid)
	if err != nil {
		return err
	}
	leaf := dedup.LeafDigest(Resolve(folder, held).Leaves)
	if has && leaf == s.Leaf && len(c.Put) == 0 && len(c.Gone) == 0 {
		return nil
	}
	c.Leaf = &leaf
	_, err = w.index.Update(ctx, uid, c)
	return err
}

// removeOthers forgets studies that the tree does not have.
func (w *walk) removeOthers(ctx context.Context) error {
	have := make(map[dedup.UID]bool, len(w.studies))
	for _, uid := range w.studies {
		have[uid] = true
	}
	var gone []dedup.UID
	for s, err := range w.index.Studies(ctx, 0) {
		if err != nil {
			return err
		}
		if !have[s.UID] {
			gone = append(gone, s.UID)
		}
	}
	for _, uid := range gone {
		if err := w.index.Remove(ctx, uid); err != nil {
			return err
		}
	}
	return nil
}

// Resolve reads the lists and instance files among a study's files and says what the study is. Files that cannot be read are not there.
func Resolve(folder dedup.Folder, held []dedup.Held) *dedup.State {
	var files []dedup.File
	for _, h := range held {
		if h.Ref.Class != dedup.List && h.Ref.Class != dedup.Instance {
			continue
		}
		if text, err := folder.Read(h, JSONLimit); err == nil {
			files = append(files, dedup.ParseFile(h.Ref, text))
		}
	}
	return dedup.Resolve(files, NewBulk(folder, held))
}
