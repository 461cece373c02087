package index

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/dicomesh/dicomesh/dedup"
)

// mounted reports whether the tree's own folder is there.
func (l *look) mounted() bool {
	_, err := l.config.Tree.Lstat(".dicomesh")
	return err == nil
}

// take takes files that vanished out of those that are there.
func (l *look) take(vanished []string) (missed []*keptFile) {
	for _, path := range vanished {
		f := l.heads[path]
		delete(l.heads, path)
		l.files, l.bytes = l.files-1, l.bytes-f.Disk
		missed = append(missed, f)
	}
	return missed
}

// needed leaves out of files that are gone those that the study can do without, and marks the files that are there and were found not to be what they were.
//
// A study that has without them the leaves that it had with them is what it was: other lists account for them, and did while they could be read. What was known to be damaged before was
// no part of what the leaves are compared with, and so it proves nothing about it that they are the same.
func (l *look) needed(missed []*keptFile) (needed []*keptFile) {
	spoilt := l.spoilt()
	same := false
	if len(missed)+len(spoilt) > 0 && l.has {
		same = dedup.LeafDigest(l.resolve().Leaves) == l.row.Leaf && l.err == nil
	}
	for _, f := range missed {
		if f.Spare || same && !f.Damaged {
			l.collected([]*keptFile{f})
		} else {
			needed = append(needed, f)
		}
	}
	for _, f := range spoilt {
		f.Damaged, f.Spare = true, same && l.row.Complete && f.Ref.Class == dedup.List
		l.put[f.Path] = f.Entry
	}
	return needed
}

// spoilt are the lists and instance files that are there, are not what was entered, and are not marked as that.
func (l *look) spoilt() (found []*keptFile) {
	for path, f := range l.heads {
		if _, wrong := l.bad[path]; wrong && !f.read && !f.Damaged {
			found = append(found, f)
		}
	}
	return found
}

// mended takes back that a file is damaged.
func (l *look) mended(f *keptFile) {
	if f.Damaged {
		f.Damaged, f.Spare = false, false
		l.put[f.Path] = f.Entry
	}
}

// spare are the damaged lists that others account for.
func (l *look) spare() (all []Trouble) {
	for path, b := range l.bad {
		if f := l.heads[path]; f != nil && f.Spare {
			all = append(all, b.Trouble)
		}
	}
	return shown(all)
}

// collected takes files out of the index that are gone and not missed.
func (l *look) collected(gone []*keptFile) {
	for _, f := range gone {
		delete(l.lost, f.Path)
		delete(l.put, f.Path)
		l.gone[f.Path] = true
	}
}

// miss finds out which of the files that vanished, now and before, the study can do without, and marks the others as lost.
func (l *look) miss(s *dedup.State, vanished []*keptFile) {
	var readable []*keptFile
	for _, f := range vanished {
		l.lost[f.Path] = f
		if !f.Lost {
			f.Lost = true
			l.put[f.Path] = f.Entry
		}
	}
	for _, f := range l.lost {
		if f.read {
			readable = append(readable, f)
		}
	}
	l.collected(l.dispensable(s, readable))
}

// dispensable are those of these files that make no difference to the study: with them it has the same leaves, so lists that are here account for them. Those that lists
// account for which are missed themselves do make one.
func (l *look) dispensable(s *dedup.State, missed []*keptFile) []*keptFile {
	if len(missed) == 0 {
		return nil
	}
	want := dedup.LeafDigest(s.Leaves)
	with := l.resolve(missed...)
	if dedup.LeafDigest(with.Leaves) == want {
		return missed
	}
	leaves := make(map[dedup.FileID]bool, len(with.Leaves))
	for _, id := range with.Leaves {
		leaves[id] = true
	}
	rest := slices.DeleteFunc(slices.Clone(missed), func(f *keptFile) bool { return leaves[f.file.ID] })
	if len(rest) > 0 && dedup.LeafDigest(l.resolve(rest...).Leaves) == want {
		return rest
	}
	return nil
}

// missesHead reports whether a list or an instance file is lost.
func (l *look) missesHead() bool {
	for _, f := range l.lost {
		if head(f.Ref.Class) {
			return true
		}
	}
	return false
}

// wanting is Facts.Wanting of a study that was resolved.
func (l *look) wanting(complete bool) uint32 {
	if complete {
		return 0
	}
	var names []string
	for _, ref := range l.missing {
		names = append(names, ref.Path())
	}
	for _, f := range l.lost {
		if head(f.Ref.Class) {
			names = append(names, f.Ref.Path())
		}
	}
	for _, b := range l.bad {
		if head(b.Ref.Class) {
			names = append(names, b.Ref.Path())
		}
	}
	slices.Sort(names)
	sum := sha256.Sum256([]byte(strings.Join(slices.Compact(names), "\n")))
	return max(1, binary.BigEndian.Uint32(sum[:]))
}

// record puts the digests of files whose names say nothing into the log, before the index has the files.
func (l *look) record() error {
	if len(l.unknown) == 0 {
		return nil
	}
	return l.config.Index.Digests.Append(l.uid, l.unknown)
}

// everything looks at every file.
func (l *look) everything() error {
	present, strays, err := l.folder.Files()
	if err != nil {
		return err
	}
	l.strays = strays
	entered, err := l.config.Index.Manifest(l.ctx, l.uid)
	if err != nil {
		return err
	}
	var heads []dedup.Held
	there := make(map[string]bool, len(present))
	for _, h := range present {
		if err := l.ctx.Err(); err != nil {
			return err
		}
		there[h.Path] = true
		e, has := entered[h.Path]
		if head(h.Ref.Class) {
			heads = append(heads, h)
		}
		if err := l.file(h, e, has); err != nil {
			return err
		}
	}
	if len(entered) > 0 && len(present) == 0 && !l.mounted() {
		return ErrAbsent
	}
	l.gather(entered, there)
	for path, b := range l.bad {
		if !head(b.Ref.Class) && !there[path] {
			delete(l.bad, path)
		}
	}
	fresh, vanished := l.compare(heads)
	if l.idle(fresh, vanished) {
		return nil
	}
	return l.judge(fresh, vanished)
}

// file looks at one file that is there: a known one may have another size, others are admitted. New lists and instance files have their turn later.
func (l *look) file(h dedup.Held, e Entry, has bool) error {
	info, err := l.config.Tree.Lstat(h.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	same := has && !e.Lost && info.Size() == e.Disk
	switch {
	case same:
	case head(h.Ref.Class) && has && !e.Lost:
		l.resized(h, e, info.Size())
	case !head(h.Ref.Class):
		l.other(h, e, has, info.Size())
	}
	return nil
}

// resized takes a list or an instance file out of those that count whose size on disk is another. Where it has variants it is read again, for it may be another of them.
func (l *look) resized(h dedup.Held, e Entry, size int64) {
	at, err := l.stamp(h.Path)
	if err != nil {
		return
	}
	f := l.heads[h.Path]
	if f == nil {
		return
	}
	if text, err := l.folder.Read(h, JSONLimit); err == nil {
		switch d := dedup.ParseFile(h.Ref, text).ID.Digest; {
		case d == e.Content:
			return // only its envelope is another; package verify has an opinion about that
		case l.variant(h.Ref, d):
			l.admitHead(h)
			return
		}
	}
	f.read, f.file, l.news = false, dedup.File{}, true
	l.refuse(h, at, fmt.Sprintf("it has %d bytes, and had %d when it was entered", size, e.Disk))
}

// other looks at bulkdata, or a file of class other, that is new or has another size than it had.
func (l *look) other(h dedup.Held, e Entry, has bool, size int64) {
	known := has && !e.Lost
	_, ok := l.admit(h)
	if ok && known {
		l.files, l.bytes = l.files-1, l.bytes-e.Disk
	}
	if !ok && known && l.bad[h.Path].Reason != "" {
		b := l.bad[h.Path]
		b.Reason = fmt.Sprintf("it has %d bytes, and had %d when it was entered", size, e.Disk)
		l.bad[h.Path] = b
	}
	if ok {
		delete(l.lost, h.Path)
	}
	if h.Ref.Class == dedup.Bulkdata && l.bulk[h.Ref] != ok {
		l.bulk[h.Ref], l.news = ok, true
		if !ok {
			delete(l.bulk, h.Ref)
		}
	}
}

// gather finds the files that are entered and not there, other than lists and instance files. What is lost of bulkdata and needed is missing; nothing else can tell whether
// a file of class other is.
func (l *look) gather(entered map[string]Entry, there map[string]bool) {
	for path, e := range entered {
		if there[path] || head(e.Ref.Class) || e.Lost {
			continue
		}
		l.files, l.bytes = l.files-1, l.bytes-e.Disk
		if e.Ref.Class == dedup.Bulkdata {
			delete(l.bulk, e.Ref)
			l.gone[path], l.news = true, true
			l.missed = append(l.missed, Trouble{Ref: e.Ref, Path: path, Reason: "it was there when it was entered"})
			continue
		}
		e.Lost = true
		l.lost[path] = &keptFile{Entry: e}
		l.put[path] = e
	}
}
