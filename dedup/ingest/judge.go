package ingest

import (
	"errors"

	"io/fs"
	"path"
	"slices"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/export"
	"github.com/dicomesh/dicomesh/dedup/part10"
)

// view is what the tree has of one SOP Instance at a moment.
type view struct {
	id     part10.Identity
	study  *study
	folder dedup.Folder
	heads  []head
}

// head is an instance file, or a variant of one.
type head struct {
	ref     dedup.Ref
	file    dedup.File
	records []dedup.Object
}

// look takes a view.
func (a *Archive) look(id part10.Identity) (*view, error) {
	v := &view{id: id, study: a.study(id.Study)}
	var err error
	if v.folder, err = a.tree.Study(id.Study); err != nil {
		return nil, err
	}
	variants, err := a.variants(id.Study, instanceRef(id.SOP))
	if err != nil {
		return nil, err
	}
	for _, ref := range append(variants, instanceRef(id.SOP)) {
		file, records, err := readHead(v.folder, ref)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		v.heads = append(v.heads, head{ref, file, records})
	}
	return v, nil
}

// judge settles what a file is to its study: new, the same as something that is there, another encoding of it, in conflict with it, or deleted before.
// It asks the state that every reader of the study sees. The file that is judged is not compared with itself.
func (a *Archive) judge(p *pending, record dedup.Object, v *view) error {
	state, err := a.lists(v.study, v.folder)
	if err != nil {
		return err
	}
	var held []dedup.File
	for _, h := range v.heads {
		if h.file.ID != p.id {
			held = append(held, h.file)
		}
	}
	r := &p.result
	r.Status, r.Encoding, r.Reason = Stored, "", ""
	switch state.Judge(record, held...) {
	case dedup.Same:
		r.Status = Duplicate
	case dedup.Equivalent:
		r.Status, r.Encoding = Duplicate, "other"
	case dedup.Removed:
		r.Status, r.Reason, p.removed = Duplicate, "it was deleted before and stays deleted until it is restored", true
	case dedup.Conflicting:
		r.Status, r.Reason = Conflict, "another content has this SOP Instance UID; both are kept until a correction decides"
	}
	return nil
}

// everything is a study's bulkdata for a question that is not about bulkdata that is missing: new files come with theirs.
type everything struct{ export.Source }

func (everything) Has(dedup.Ref) bool { return true }

// lists is the state of the study's lists alone. It is kept until another list appears: a name that is in the study already keeps its content.
func (a *Archive) lists(s *study, folder dedup.Folder) (*dedup.State, error) {
	held, err := a.listing(folder)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != nil && slices.Equal(held, s.listing) {
		return s.state, nil
	}
	var files []dedup.File
	for _, h := range held {
		text, err := folder.Read(h, maxHead)
		if err == nil {
			files = append(files, dedup.ParseFile(h.Ref, text))
		} else if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, dedup.ErrDamaged) && !errors.Is(err, dedup.ErrTooLarge) {
			return nil, err
		}
	}
	s.state, s.listing = dedup.Resolve(files, everything{export.NewSource(a.fs, folder)}), held
	return s.state, nil
}

// listing is where the study's lists are, in every layout, its list variants among them.
func (a *Archive) listing(folder dedup.Folder) ([]dedup.Held, error) {
	return folder.Lists()
}

// maxHead is the largest list, instance file or object that is read, decompressed.
const maxHead = 1 << 30

// zeroDigest stands for a digest where only its length counts.
const zeroDigest = "0000000000000000000000000000000000000000000000000000000000000000"

// variants are the refs of a name's files under variants/.
func (a *Archive) variants(uid dedup.UID, ref dedup.Ref) ([]dedup.Ref, error) {
	probe := ref
	probe.Variant = zeroDigest
	entries, err := a.fs.ReadDir(path.Dir(probe.In(uid)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var out []dedup.Ref
	for _, e := range entries {
		v, err := dedup.ParseRef(path.Join(path.Base(path.Dir(path.Dir(probe.Path()))), path.Base(path.Dir(probe.Path())), e.Name()))
		if err == nil && v.Name == ref.Name {
			out = append(out, v)
		}
	}
	return out, err
}

// readHead reads an instance file of the study: what Resolve makes of it, and its records. A damaged one has a Fault.
func readHead(folder dedup.Folder, ref dedup.Ref) (dedup.File, []dedup.Object, error) {
	held, _, err := folder.Find(ref)
	if err != nil {
		return dedup.File{}, nil, err
	}
	text, err := folder.Read(held, maxHead)
	if errors.Is(err, dedup.ErrDamaged) || errors.Is(err, dedup.ErrTooLarge) {
		return dedup.File{ID: dedup.FileID{Ref: ref}, Fault: err}, nil, nil
	}
	if err != nil {
		return dedup.File{}, nil, err
	}
	objects, _ := dedup.ParseList(text) // its error is the file's Fault
	return dedup.ParseFile(ref, text), objects, nil
}
