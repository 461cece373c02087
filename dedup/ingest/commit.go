package ingest

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/part10"
)

// Commit makes everything that was added durable and returns an answer for each file, in the order of Add. If it cannot, all are refused
// with the reason; what of them is in the tree all the same is whole and does no harm.
func (b *Batch) Commit() []Result {
	err := b.durable.Commit(b.taken)
	b.mu.Lock()
	defer b.mu.Unlock()
	var results []Result
	first := map[dedup.FileID]*study{}
	b.failure = err
	for _, p := range b.pending {
		if err != nil {
			p.study.forget() // it may be that something known is gone
			results = append(results, refused(p.result, storeError(err)))
			continue
		}
		if !p.removed { // of a removed one nothing was stored
			p.study.learn(p.objects, p.values)
		}
		if err := b.settle(p); err != nil { // it is durable all the same, and reads the same
			p.result.Remarks = append(p.result.Remarks, fmt.Sprintf("its variants are not in order yet: %v", err))
		}
		if first[p.id] == p.study && p.result.Status == Stored {
			p.result.Status = Duplicate // of another one in this batch
		}
		first[p.id] = p.study
		results = append(results, p.result)
	}
	return results
}

// Discard ends a batch without storing anything.
func (b *Batch) Discard() { b.durable.Discard() }

// storeError says what to do about a commit that failed.
func storeError(err error) error {
	if durable.IsFull(err) {
		return fmt.Errorf("the disk is full, nothing was lost: make room and send it again: %w", err)
	}
	return fmt.Errorf("it could not be stored: %w", err)
}

// taken decides about a name that is there already. Bulkdata names tell the content, so a file there that differs is damaged: it makes way. An
// instance file that differs is another encoding of the instance, or a conflict: it gets a name beside.
func (b *Batch) taken(staged, name string) (string, error) {
	same, err := b.archive.same(staged, name)
	if err != nil && !errors.Is(err, dedup.ErrDamaged) && !errors.Is(err, durable.ErrNotRegular) {
		return "", err
	}
	if same {
		return "", nil
	}
	uid, ref, err2 := splitPath(name)
	if err2 != nil {
		return "", err2
	}
	if ref.Class == dedup.Bulkdata || ref.Variant != "" || errors.Is(err, durable.ErrNotRegular) {
		return name, b.archive.quarantine(name)
	}
	return b.besides(uid, ref, staged, name)
}

// besides names the variant that a staged instance file becomes. What stands at the canonical path becomes one as well, later; if it is damaged, it
// makes way.
func (b *Batch) besides(uid dedup.UID, ref dedup.Ref, staged, name string) (string, error) {
	present, err := b.archive.readAt(ref, name)
	if err != nil {
		return "", err
	}
	mine, err := b.archive.readAt(ref, staged)
	if err != nil {
		return "", err
	}
	variants, err := b.archive.variants(uid, ref)
	if err != nil {
		return "", err
	}
	for _, p := range b.pending {
		p.variant = p.variant || p.study.uid == uid && p.id == mine.ID && !p.found && (present.Fault == nil || len(variants) > 0)
	}
	if present.Fault != nil {
		return name, b.archive.quarantine(name)
	}
	ref.Variant = mine.ID.Digest.String()
	return ref.In(uid), nil
}

// readAt reads a gzipped instance file at any path of the tree as one named ref.
func (a *Archive) readAt(ref dedup.Ref, name string) (dedup.File, error) {
	f, err := a.fs.Open(name)
	if err != nil {
		return dedup.File{}, err
	}
	defer f.Close()
	text, err := gunzip(f)
	if errors.Is(err, dedup.ErrDamaged) || errors.Is(err, dedup.ErrTooLarge) {
		return dedup.File{ID: dedup.FileID{Ref: ref}, Fault: err}, nil
	}
	if err != nil {
		return dedup.File{}, err
	}
	return dedup.ParseFile(ref, text), nil
}

// splitPath takes a path of the tree apart.
func splitPath(name string) (dedup.UID, dedup.Ref, error) {
	folder, rest, _ := strings.Cut(strings.TrimPrefix(name, "studies/"), "/")
	uid, err := dedup.ParseUID(folder)
	if err != nil {
		return uid, dedup.Ref{}, err
	}
	ref, err := dedup.ParseRef(rest)
	return uid, ref, err
}

// settle finds out what a stored file is to its study, now that it is in it.
func (b *Batch) settle(p *pending) error {
	if !p.variant {
		return nil
	}
	if err := b.archive.arrange(p.study.uid, p.id.Ref); err != nil {
		return err
	}
	if p.found {
		return nil
	}
	v, err := b.archive.look(part10.Identity{Study: p.study.uid, Series: p.result.Series, SOP: p.result.SOP})
	if err != nil {
		return err
	}
	for _, h := range v.heads {
		if h.file.ID == p.id && len(h.records) == 1 {
			return b.archive.judge(p, h.records[0], v)
		}
	}
	return fmt.Errorf("%s is gone: %w", p.id.Ref, fs.ErrNotExist)
}

// arrange brings the instance files of one name into the order of FORMAT.md section 9: all of them under variants/, the least digest at the
// canonical path. It can be run at any time and again after a crash.
func (a *Archive) arrange(uid dedup.UID, ref dedup.Ref) error {
	lock, err := a.fs.Lock(arrangeLock)
	if err != nil {
		return err
	}
	defer lock.Close()
	barrier, err := a.fs.Barrier()
	if err != nil {
		return err
	}
	defer barrier.Close()
	canonical, err := a.readAt(ref, ref.In(uid))
	if err != nil {
		return err
	}
	if canonical.Fault != nil { // its own content, sent again, mends it
		return canonical.Fault
	}
	if others, err := a.variants(uid, ref); err != nil || len(others) == 0 { // one that was damaged made way for it
		return err
	}
	if err := a.linkVariant(uid, canonical); err != nil {
		return err
	}
	least, err := a.leastVariant(uid, ref)
	if err != nil || least == canonical.ID.Digest.String() {
		return errors.Join(err, barrier.SyncAll())
	}
	if err := barrier.SyncAll(); err != nil {
		return err
	}
	chosen := ref
	chosen.Variant = least
	temp := stagingFolder + "/arranged." + ref.Name
	if err := a.fs.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := a.fs.Link(chosen.In(uid), temp); err != nil {
		return err
	}
	if err := a.fs.Replace(temp, ref.In(uid)); err != nil {
		return err
	}
	return barrier.SyncAll()
}

// arrangeLock lets one process at a time change what canonical paths stand for.
const arrangeLock = ".dicomesh/arrange.lock"

// linkVariant gives the file at a canonical path its name among the variants.
func (a *Archive) linkVariant(uid dedup.UID, f dedup.File) error {
	beside := f.ID.Ref
	beside.Variant = f.ID.Digest.String()
	if err := durable.MkdirAll(a.fs, path.Dir(beside.In(uid))); err != nil {
		return err
	}
	if err := a.fs.Link(f.ID.Ref.In(uid), beside.In(uid)); !errors.Is(err, fs.ErrExist) {
		return err
	}
	// Most often it is the same file: then both were damaged at once, and only the canonical one was mended.
	same, err := a.same(f.ID.Ref.In(uid), beside.In(uid))
	if same || err != nil && !errors.Is(err, dedup.ErrDamaged) {
		return err
	}
	if err := a.quarantine(beside.In(uid)); err != nil {
		return err
	}
	return a.fs.Link(f.ID.Ref.In(uid), beside.In(uid))
}

// leastVariant is the least digest among the variants of a name.
func (a *Archive) leastVariant(uid dedup.UID, ref dedup.Ref) (string, error) {
	variants, err := a.variants(uid, ref)
	least := ""
	for _, v := range variants {
		if least == "" || v.Variant < least {
			least = v.Variant
		}
	}
	return least, err
}
