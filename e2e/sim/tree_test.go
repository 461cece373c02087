package sim

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/dedup/ingest"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// staging is where a batch's temporary files lie.
const staging = ".dicomesh/tmp"

// row is what the index has of a study.
type row struct {
	wire.StudyState
	files []dedup.File // in order
	study *dedup.State
}

// shelf is the bulkdata of a study that is there.
type shelf struct{ dedup.Folder }

// Has implements dedup.Bulk.
func (s shelf) Has(r dedup.Ref) bool {
	_, _, err := s.Find(r)
	return err == nil
}

// Object implements dedup.Bulk: no object is shared here.
func (shelf) Object(dedup.Hash) (dedup.Object, error) { return nil, fs.ErrNotExist }

// store writes files of a study, with the bulkdata that they refer to, as all who write do: in one batch, each class when those before it are durable. A file whose name is taken
// by other content becomes a variant.
func (d *disk) store(w *world, uid dedup.UID, files ...dedup.File) error {
	s, err := durable.OpenStaging(d.fs, staging)
	if err != nil {
		return err
	}
	defer s.Close()
	batch, err := s.OpenBatch()
	if err != nil {
		return err
	}
	defer batch.Discard()
	put := func(r dedup.Ref, stored []byte) error {
		temp, err := batch.Create()
		if err != nil {
			return err
		}
		if _, err := temp.Write(stored); err != nil {
			return err
		}
		return batch.Place(temp, r.In(uid), int(r.Class))
	}
	for _, f := range files { // lists first: the batch knows the order
		if err := put(f.ID.Ref, w.packed(f)); err != nil {
			return err
		}
		for _, r := range needs(f) {
			if err := put(r, []byte(w.values[r])); err != nil {
				return err
			}
		}
	}
	if err := batch.Commit(ingest.Taken(d.fs)); err != nil {
		return err
	}
	for _, f := range files {
		beside := f.ID.Ref
		beside.Variant = f.ID.Digest.String()
		if _, err := d.fs.Lstat(beside.In(uid)); err == nil {
			err = ingest.Arrange(d.fs, uid, f.ID.Ref)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// packed is a file as it is stored.
func (w *world) packed(f dedup.File) []byte {
	if w.packs[f.ID] == nil {
		w.packs[f.ID] = w.packer.Append(nil, content(f))
	}
	return w.packs[f.ID]
}

// needs is the bulkdata that a file refers to, each once.
func needs(f dedup.File) (refs []dedup.Ref) {
	for _, o := range f.Objects() {
		refs = append(refs, dedup.References(o)...)
	}
	slices.SortFunc(refs, dedup.Ref.Compare)
	return slices.Compact(refs)
}

// content is a file's content.
func content(f dedup.File) []byte { return array(f.Objects()...) }

func array(objects ...dedup.Object) []byte {
	out := []byte{'['}
	for i, o := range objects {
		if i > 0 {
			out = append(out, ',')
		}
		out = o.AppendJSON(out)
	}
	return append(out, ']')
}

// value is bulkdata of some text.
func (w *world) value(text string) dedup.Ref {
	r := dedup.Ref{Class: dedup.Bulkdata, Name: hashOf(text).String(), Ext: ".raw"}
	w.values[r] = text
	return r
}

// hashOf is the hash that names a text.
func hashOf(text string) dedup.Hash { return dedup.HashOf(sha256.Sum256([]byte(text))) }

// read is a study as it lies in the tree.
func (d *disk) read(w *world, uid dedup.UID) (row, map[string]dedup.Digest) {
	r, paths := row{StudyState: wire.StudyState{UID: uid}}, map[string]dedup.Digest{}
	folder, err := dedup.NewTree(d.fs).Study(uid)
	if err != nil {
		w.fail("open study %s: %v", uid, err)
		return r, nil
	}
	heads, err := folder.Heads()
	if err != nil {
		w.fail("list study %s: %v", uid, err)
	}
	for _, h := range heads {
		f, err := w.parse(folder, d.fs, h)
		if err != nil || f.Fault != nil {
			w.fail("%s is damaged: %v", h.Path, errors.Join(err, f.Fault))
			continue
		}
		paths[h.Path] = f.ID.Digest
		w.files[f.ID] = f
		r.files = append(r.files, f)
	}
	slices.SortFunc(r.files, func(a, b dedup.File) int { return a.ID.Compare(b.ID) })
	r.files = slices.CompactFunc(r.files, func(a, b dedup.File) bool { return a.ID == b.ID })
	r.study = dedup.Resolve(r.files, shelf{folder})
	if len(r.files) == 0 {
		return r, paths
	}
	r.Leaf = dedup.LeafDigest(r.study.Leaves)
	if r.study.Complete() {
		r.Flags |= wire.Complete
	}
	if r.study.Conflict() {
		r.Flags |= wire.Conflict
	}
	return r, paths
}

// parse reads a file. What was read before is not parsed again.
func (w *world) parse(folder dedup.Folder, fsys durable.Reader, h dedup.Held) (dedup.File, error) {
	f, err := fsys.Open(h.Path)
	if err != nil {
		return dedup.File{}, err
	}
	stored, err := io.ReadAll(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return dedup.File{}, err
	}
	ref := h.Ref
	ref.Variant = ""
	key := ref.Path() + "\x00" + string(stored)
	if f, known := w.parsed[key]; known {
		return f, nil
	}
	text, err := folder.Read(h, 1<<20)
	if err != nil {
		return dedup.File{}, err
	}
	w.parsed[key] = dedup.ParseFile(ref, text)
	return w.parsed[key], nil
}

// look reads a study again and tells everybody who wants to know, as package index does for an agent.
func (l *life) look(uid dedup.UID) {
	is, paths := l.disk.read(l.world, uid)
	was := l.disk.rows[uid]
	l.note(uid, is, paths)
	if was.Leaf == is.Leaf && was.Flags == is.Flags {
		is.StudyState = was.StudyState
		is.UID = uid
		l.disk.rows[uid] = is
		l.loop.Touch(uid)
		return
	}
	l.disk.change++
	is.Change = l.disk.change
	l.disk.rows[uid] = is
	l.sums.Replace(sum(was.StudyState), sum(is.StudyState))
	l.history = append(l.history, entry{l.now, is.StudyState})
	l.sync.Local(l.ctx, is.StudyState)
	l.loop.Touch(uid)
}

// sum is how a study stands in the digest tree: not at all, if there is nothing of it.
func sum(s wire.StudyState) *index.Sum {
	if s.Leaf == (dedup.Digest{}) {
		return nil
	}
	return &index.Sum{UID: s.UID, Leaf: s.Leaf, Flags: uint64(s.Flags)}
}

// count makes the digest tree out of what the index has.
func (l *life) count() {
	for _, uid := range l.studies {
		r := l.disk.rows[uid]
		l.sums.Replace(nil, sum(r.StudyState))
		l.history = append(l.history, entry{l.now, r.StudyState})
	}
}

// catalog implements syncer.Catalog.
type catalog struct{ *life }

// Summary implements syncer.Catalog.
func (c catalog) Summary() wire.Summary {
	root, n := c.sums.Root()
	return wire.Summary{Incarnation: c.disk.incarnation, Root: root, Count: uint64(n), Change: c.disk.change, Low: c.full}
}

// Sums implements syncer.Catalog.
func (c catalog) Sums() *index.Sums { return c.sums }

// Below implements syncer.Catalog.
func (c catalog) Below(_ context.Context, p index.Place) (states []wire.StudyState, err error) {
	for _, uid := range c.studies {
		if r := c.disk.rows[uid]; len(r.files) > 0 && p.Has(index.KeyOf(uid)) {
			states = append(states, r.StudyState)
		}
	}
	return states, nil
}

// Since implements syncer.Catalog.
func (c catalog) Since(_ context.Context, change uint64, most int) (states []wire.StudyState, err error) {
	for _, uid := range c.studies {
		if r := c.disk.rows[uid]; len(r.files) > 0 && r.Change > change {
			states = append(states, r.StudyState)
		}
	}
	slices.SortFunc(states, func(a, b wire.StudyState) int { return int(int64(a.Change) - int64(b.Change)) })
	return states[:min(most, len(states))], nil
}

// object is an object of attributes, given in ascending order as tags and values.
func object(pairs ...string) dedup.Object {
	var parts []string
	for i := 0; i < len(pairs); i += 2 {
		parts = append(parts, fmt.Sprintf(`%q:{"Value":[%q],"vr":"LO"}`, pairs[i], pairs[i+1]))
	}
	return parsed("{" + strings.Join(parts, ",") + "}")
}

func parsed(text string) dedup.Object {
	o, err := dedup.ParseObject([]byte(text))
	if err != nil {
		panic(err)
	}
	return o
}

func sealed(content dedup.Object, d dedup.Dedup) (dedup.Object, dedup.Hash) {
	o, h, err := dedup.Seal(content, d)
	if err != nil {
		panic(err)
	}
	return o, h
}
