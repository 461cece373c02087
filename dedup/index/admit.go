package index

import (
	"errors"
	"io/fs"
	"strings"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"golang.org/x/sys/unix"
)

// read reads the lists and instance files that are entered and were not read since this Keeper knows the study. It returns the paths of those that went this moment.
func (l *look) read() (went []string, err error) {
	for path, f := range l.heads {
		if f.read {
			continue
		}
		if err := l.ctx.Err(); err != nil {
			return nil, err
		}
		held := dedup.Held{Ref: f.Ref, Path: path}
		at, _ := l.stamp(path)
		if b, is := l.bad[path]; is && b.stamp == at {
			continue
		}
		l.news = true
		delete(l.bad, path)
		text, err := l.folder.Read(held, JSONLimit)
		file := dedup.ParseFile(f.Ref, text)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			went = append(went, path)
		case err != nil:
			l.refuse(held, at, "it cannot be read any more: "+reason(err))
		case file.ID.Digest != f.Content && l.variant(f.Ref, file.ID.Digest):
			l.admitHead(held)
		case file.ID.Digest != f.Content:
			l.refuse(held, at, "its content is not what it was when it was entered")
		default:
			f.file, f.read = file.Slim(), true
			l.mended(f)
		}
	}
	return went, nil
}

// variant reports whether a name has a variant with that content: then any of them may stand at its canonical path, whichever was seen there first. It need not be entered yet; its
// own name has its digest.
func (l *look) variant(r dedup.Ref, d dedup.Digest) bool {
	if r.Variant != "" {
		return false
	}
	r.Variant = d.String()
	_, _, err := l.folder.Find(r)
	return err == nil
}

// reason is an error without the path, which stands beside it.
func reason(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

// admitHead takes a list or an instance file that is new.
func (l *look) admitHead(h dedup.Held) {
	known := l.heads[h.Path]
	c, ok := l.admit(h)
	if !ok || c.File == nil {
		return
	}
	if known != nil {
		l.files, l.bytes = l.files-1, l.bytes-known.Disk
	}
	l.heads[h.Path] = &keptFile{Entry: c.Entry, file: c.File.Slim(), read: true}
	l.news = true
}

// admit checks a file that the index does not know, and enters it if it is right, or another writer's of which nobody can say that it is wrong. The digest of
// such a file is what it is held against from now on, so it has to be finished.
func (l *look) admit(h dedup.Held) (c Checked, ok bool) {
	at, err := l.stamp(h.Path)
	if err != nil {
		return c, false
	}
	now := l.config.Now()
	if b, is := l.bad[h.Path]; is && b.stamp == at && (b.until.IsZero() || b.until.After(now)) {
		return c, false
	}
	if _, was := l.bad[h.Path]; was {
		delete(l.bad, h.Path)
		l.news = true
	}
	from, whole := l.received[h.Path]
	if whole && from.Stored != (dedup.Digest{}) && from.Disk == at.size && from.Ref == h.Ref && (from.File != nil || !head(h.Ref.Class)) {
		c = Checked{Entry: from.Entry, Answer: dedup.Right, File: from.File}
	} else {
		c = l.config.Check(l.folder, h)
	}
	switch {
	case c.Gone:
	case c.Answer == dedup.Corrupt, c.File != nil && c.File.Fault != nil:
		l.refuse(h, at, c.Reason)
	case c.Answer == dedup.CannotTell && !whole && !strings.HasSuffix(h.Path, ".gz") && !head(h.Ref.Class) && at.age(now) < l.config.Patience:
		l.bad[h.Path] = bad{Trouble{Ref: h.Ref, Path: h.Path, Reason: "it may still be being written"}, at, now.Add(l.config.Patience - at.age(now))}
	case c.Answer == dedup.CannotTell && l.moved(h.Path, at):
		l.refuse(h, at, "it changed while it was read")
	case c.Answer == dedup.CannotTell && l.changed(c.Entry) && !l.variant(h.Ref, c.Entry.Content):
		l.refuse(h, at, "it is not the file that was first seen under its name")
	default:
		if c.Answer == dedup.CannotTell && !l.changed(c.Entry) { // else the log says already what the path stood for first
			l.unknown = append(l.unknown, c.Entry)
		}
		l.put[h.Path] = c.Entry
		l.files, l.bytes = l.files+1, l.bytes+c.Entry.Disk
		return c, true
	}
	return c, false
}

// moved reports whether a file is not the one any more that it was.
func (l *look) moved(path string, at stamp) bool {
	now, err := l.stamp(path)
	return err != nil || now != at
}

// changed reports whether a file whose name says nothing is not what the digest log says.
func (l *look) changed(e Entry) bool {
	if l.logged == nil {
		logged, err := l.config.Index.Digests.Study(l.uid)
		if err != nil {
			l.fail(err)
			return true
		}
		l.logged = logged
	}
	known, has := l.logged[e.Path]
	return has && known.Content != e.Content
}

// refuse takes down that a file does not count. One that was changed a moment ago may be under way: it is looked at again when it had time.
func (l *look) refuse(h dedup.Held, at stamp, why string) {
	now := l.config.Now()
	l.bad[h.Path] = bad{Trouble: Trouble{Ref: h.Ref, Path: h.Path, Reason: why}, stamp: at}
	if age := at.age(now); age < l.config.Patience {
		l.wait(l.config.Patience - age)
	}
	l.news = l.news || head(h.Ref.Class)
}

func (l *look) fail(err error) {
	if l.err == nil {
		l.err = err
	}
}

// stamp is what the file system says of a file now.
func (l *look) stamp(path string) (stamp, error) {
	info, err := l.config.Tree.Lstat(path)
	if err != nil {
		return stamp{}, err
	}
	s := stamp{size: info.Size(), wrote: info.ModTime(), changed: info.ModTime()}
	if stat, ok := info.Sys().(*unix.Stat_t); ok {
		s.ino, s.changed = int64(stat.Ino), time.Unix(stat.Ctim.Unix())
	}
	return s, nil
}

// age is how long the file has not changed. The time of change counts, which no program can set; a file from the future is new.
func (s stamp) age(now time.Time) time.Duration { return max(0, now.Sub(s.changed)) }

// asked is the study's bulkdata as dedup.Resolve asks for it: what the index knows is here; of the rest the disk is asked, once, and what is found is checked and entered.
type asked struct{ *look }

func (l *look) bulkdata() asked { return asked{l} }

// Has implements dedup.Bulk.
func (a asked) Has(r dedup.Ref) bool {
	if a.bulk[r] {
		return true
	}
	if a.absent[r] || a.ctx.Err() != nil || a.err != nil {
		return false
	}
	for _, spelled := range r.Spellings() {
		if a.bulk[spelled] {
			return true
		}
	}
	held, err := a.find(r)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.fail(err)
	}
	if err == nil {
		if _, ok := a.admit(held); ok {
			a.bulk[held.Ref] = true
			return true
		}
	}
	a.absent[r] = true
	return false
}

// find is where a value is: where its storer says, before it is looked for.
func (a asked) find(r dedup.Ref) (dedup.Held, error) {
	if path := r.In(a.uid); a.received[path].Ref == r {
		return dedup.Held{Ref: r, Path: path}, nil
	}
	held, _, err := a.folder.Find(r)
	return held, err
}

// Object implements dedup.Bulk.
func (a asked) Object(h dedup.Hash) (dedup.Object, error) {
	if o, ok := a.objects[h]; ok {
		return o, nil
	}
	r := dedup.Ref{Class: dedup.Bulkdata, Name: h.String(), Ext: ".json.gz"}
	if !a.Has(r) {
		return nil, &fs.PathError{Op: "open", Path: h.String(), Err: fs.ErrNotExist}
	}
	held, _, err := a.folder.Find(r)
	if err != nil {
		return nil, err
	}
	text, err := a.folder.Read(held, JSONLimit)
	if err != nil {
		return nil, err
	}
	o, err := dedup.ParseObject(text)
	if err == nil {
		a.objects[h] = o
	}
	return o, err
}
