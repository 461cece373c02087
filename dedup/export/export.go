// Package export gives Part 10 files back out of an archive: those that came in, byte for byte.
//
// What a study exports is what it shows (dedup.Resolve): live instances, not deleted ones. An instance that came in several encodings, or that is
// in conflict, is several files, so that nothing that is kept is out of reach: the one that is shown has the plain name.
package export

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/part10"
)

// Result tells what became of one record. Exactly one of Path and Err is set, but for a file that is good and not exact: it has both.
type Result struct {
	Study, Series, SOP dedup.UID
	Path               string // of the file written
	Size               int64
	Exact              bool // it is, byte for byte, the file that came in
	Foreign            bool // no original is known: the record is another writer's, or was made from one (package staticwado)
	Conflict           bool
	Err                error
}

// Archive is a tree that is read.
type Archive struct {
	fs   durable.Reader
	tree dedup.Tree
}

// New is the archive in fsys.
func New(fsys durable.Reader) *Archive { return &Archive{fsys, dedup.NewTree(fsys)} }

// Studies are the UIDs of all studies, in order.
func (a *Archive) Studies() ([]dedup.UID, error) {
	studies, _, err := a.tree.Studies()
	return studies, err
}

// Study writes the instances of a study to out/<study>/<series>/<sop>.dcm and reports each. Files that are there already are replaced, each as a whole.
// It returns an error when the study cannot be read or ctx ends; what is wrong with one instance is in its Result.
func (a *Archive) Study(ctx context.Context, uid dedup.UID, out string, report func(Result)) error {
	s, err := a.open(uid)
	if err != nil {
		return err
	}
	for _, i := range s.state.Instances {
		for n, r := range i.Records {
			if err := ctx.Err(); err != nil {
				return err
			}
			report(s.record(i, n, r, out))
		}
	}
	return nil
}

// study is one study that is being exported.
type study struct {
	uid    dedup.UID
	state  *dedup.State
	source Source
}

// open reads a study's lists and instance files. Where some vanish while they are read (they were combined into a list, and collected) it is listed
// again, for what accounts for them is in the next listing; what vanishes again and again (a quarantine) is not there.
func (a *Archive) open(uid dedup.UID) (*study, error) {
	folder, err := a.tree.Study(uid)
	if err != nil {
		return nil, err
	}
	var files []dedup.File
	for attempt, vanished := 0, true; vanished && attempt < 5; attempt++ {
		if files, vanished, err = heads(folder); err != nil {
			return nil, err
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("study %s: %w", uid, fs.ErrNotExist)
	}
	source := Source{a.fs, folder}
	return &study{uid, dedup.Resolve(files, source), source}, nil
}

// heads are the study's lists and instance files that can be read, and whether some vanished meanwhile.
func heads(folder dedup.Folder) (files []dedup.File, vanished bool, err error) {
	held, err := folder.Heads()
	if err != nil {
		return nil, false, err
	}
	for _, h := range held {
		f, err := read(folder, h)
		if errors.Is(err, fs.ErrNotExist) {
			vanished = true
			continue
		}
		if err != nil {
			return nil, false, err
		}
		files = append(files, f)
	}
	return files, vanished, nil
}

// read reads a list or an instance file. A damaged one counts for nothing, and says so in its Fault.
func read(folder dedup.Folder, h dedup.Held) (dedup.File, error) {
	text, err := folder.Read(h, maxHead)
	if errors.Is(err, dedup.ErrDamaged) || errors.Is(err, dedup.ErrTooLarge) {
		return dedup.File{ID: dedup.FileID{Ref: h.Ref}, Fault: err}, nil
	}
	if err != nil {
		return dedup.File{}, err
	}
	return dedup.ParseFile(h.Ref, text), nil
}

// maxHead is the largest list, instance file or object that is read, decompressed.
const maxHead = 1 << 30

// record writes the n-th record of an instance.
func (s *study) record(i dedup.SOPInstance, n int, r dedup.Record, out string) Result {
	res := Result{Study: s.uid, Series: i.Series, SOP: i.SOP, Conflict: i.Conflict, Foreign: r.Dedup.File == (dedup.Digest{})}
	series := i.Series.String()
	if series == "" {
		series = "unknown"
	}
	name := i.SOP.String()
	if n > 0 { // of the record itself: another writer's hash may be absent, or the same for several
		sum := sha256.Sum256(r.Object.AppendJSON(nil))
		name += "." + hex.EncodeToString(sum[:8])
	}
	path := filepath.Join(out, s.uid.String(), series, name+".dcm")
	rebuilt, err := part10.Rebuild(s.state.Merge(r), r.Dedup, s.source)
	if err != nil && !errors.Is(err, part10.ErrNotExact) {
		res.Err = fmt.Errorf("instance %s: %w", i.SOP, err)
		return res
	}
	size, err2 := write(path, rebuilt)
	if err2 != nil {
		res.Err = fmt.Errorf("instance %s: %w", i.SOP, err2)
		return res
	}
	res.Path, res.Size, res.Exact, res.Err = path, size, rebuilt.Exact(), err
	return res
}

// write writes a file under a temporary name and renames it: what stands at path is whole.
func write(path string, w io.WriterTo) (int64, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return 0, err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".export-*")
	if err != nil {
		return 0, err
	}
	n, err := w.WriteTo(f)
	if err2 := f.Chmod(0o644); err == nil {
		err = err2
	}
	if err2 := f.Close(); err == nil {
		err = err2
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // what failed has its error already
	}
	return n, err
}

// Source is one study of a tree: what part10.Rebuild and dedup.Resolve ask for.
type Source struct {
	fs     durable.Reader
	folder dedup.Folder
}

// NewSource is the study in folder, which is of the tree in fsys.
func NewSource(fsys durable.Reader, folder dedup.Folder) Source { return Source{fsys, folder} }

// Object implements part10.Source and dedup.Bulk.
func (s Source) Object(h dedup.Hash) (dedup.Object, error) {
	held, _, err := s.folder.Find(dedup.Ref{Class: dedup.Bulkdata, Name: h.String(), Ext: ".json.gz"})
	if err != nil {
		return nil, err
	}
	text, err := s.folder.Read(held, maxHead)
	if err != nil {
		return nil, err
	}
	o, err := dedup.ParseObject(text)
	if err == nil && dedup.Verify(o) == dedup.Corrupt {
		err = fmt.Errorf("%s is not what its hash says: %w", held.Path, dedup.ErrDamaged)
	}
	return o, err
}

// Has implements dedup.Bulk.
func (s Source) Has(ref dedup.Ref) bool {
	_, _, err := s.folder.Find(ref)
	return err == nil
}

// Bulk implements part10.Source.
func (s Source) Bulk(ref dedup.Ref) (part10.Bulk, error) {
	held, _, err := s.folder.Find(ref)
	if err != nil {
		return nil, err
	}
	return s.fs.Open(held.Path)
}
