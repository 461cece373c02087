package staticwado

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/export"
	"github.com/dicomesh/dicomesh/dedup/ingest"
)

// takeHeads writes our list, if it says anything new, and then the source's lists and instance files as they are.
func (s *study) takeHeads(ctx context.Context) error {
	files := s.files
	if name, content, ok := s.list(); ok {
		ref := dedup.Ref{Class: dedup.List, Name: name.String()}
		if err := s.out.put(ref, s.run.gzip.Append(nil, content), classOwnList); err != nil {
			return err
		}
		files = append(files, dedup.ParseFile(ref, content))
	}
	for _, h := range s.heads {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.takeHead(h); err != nil {
			return err
		}
	}
	if err := s.out.commit(); err != nil {
		return err
	}
	if err := s.look(); err != nil {
		return err
	}
	s.settle(dedup.Resolve(files, export.NewSource(s.run.tree, s.to)))
	return s.arrange()
}

// settle takes up what the instances have become.
func (s *study) settle(state *dedup.State) {
	for _, t := range s.tasks {
		if i, ok := state.Instance(t.instance.SOP); ok {
			if i.Series == (dedup.UID{}) {
				i.Series = t.instance.Series
			}
			t.instance = i
		}
	}
}

// takeHead copies one list or instance file, its content unchanged.
func (s *study) takeHead(h head) error {
	if s.held[h.id] {
		return nil
	}
	text, err := s.from.Read(h.held, maxHead)
	if err == nil && dedup.ParseFile(h.held.Ref, text).ID != h.id {
		err = dedup.ErrDamaged
	}
	if err != nil {
		s.run.skip(h.held.Path, "it changed while it was read: "+err.Error())
		return nil
	}
	class := classInstances
	if h.id.Ref.Class == dedup.List {
		class = classLists
	}
	s.held[h.id] = true
	return s.out.put(h.id.Ref, s.run.gzip.Append(nil, text), class)
}

// arrange puts the variants of names that stand for several contents into their order.
func (s *study) arrange() error {
	for ref, n := range s.contents() {
		if n < 2 {
			continue
		}
		if err := ingest.Arrange(s.run.tree, s.uid, ref); err != nil {
			return err
		}
	}
	return nil
}

// contents counts what each name of a list or instance file stands for.
func (s *study) contents() map[dedup.Ref]int {
	n := make(map[dedup.Ref]int)
	for id := range s.held {
		n[id.Ref]++
	}
	return n
}

// record tells of the files in the tree whose names say nothing. A canonical path that may come to stand for another variant is not among them.
func (s *study) record() error {
	contents := s.contents()
	refs := slices.Collect(maps.Keys(s.opaque))
	for _, h := range s.heads {
		ref := h.id.Ref
		if contents[ref] > 1 {
			ref.Variant = h.id.Digest.String()
		}
		refs = append(refs, ref)
	}
	var held []dedup.Held
	for _, ref := range refs {
		if has, err := s.has(ref); err != nil {
			return err
		} else if has {
			held = append(held, dedup.Held{Ref: ref, Path: ref.In(s.uid)})
		}
	}
	slices.SortFunc(held, func(a, b dedup.Held) int { return strings.Compare(a.Path, b.Path) })
	return s.run.config.Record(s.uid, slices.CompactFunc(held, func(a, b dedup.Held) bool { return a.Path == b.Path }))
}

// list composes the study's list; ok is false when there is nothing new for it to say.
//
// It has what was made now, what an earlier run made of the same instances, and one removal of all foreign records that nothing else in it replaces: those that
// the source itself had replaced long ago, and those whose record came out of a whole file. So it accounts for the foreign files by itself, one and all, but
// for records of instances that could not be taken over.
func (s *study) list() (name dedup.Hash, content []byte, ok bool) {
	records := s.earlier()
	spared := make(map[dedup.Hash]bool)
	for _, t := range s.tasks {
		records = append(records, t.made...)
		ok = ok || len(t.made) > 0
		for _, h := range t.hashes() {
			spared[h] = !t.done()
		}
	}
	covered := replacedBy(records)
	var dead []dedup.Hash
	for _, r := range s.foreign {
		if !r.hash.IsZero() && r.sop != (dedup.UID{}) && !spared[r.hash] && !covered[r.hash] {
			dead = append(dead, r.hash)
			covered[r.hash] = true
		}
	}
	if len(dead) > 0 {
		slices.SortFunc(dead, dedup.Hash.Compare)
		removal, _, err := dedup.Seal(nil, dedup.Dedup{Type: dedup.TypeDeleted, Delete: true, Replace: dead})
		if err != nil {
			return name, nil, false // it has no attribute that could be in the way
		}
		records = append(records, removal)
	}
	if !ok && !s.dominates(covered) {
		return name, nil, false
	}
	name, content = dedup.ComposeList(dedup.Dedup{ReplaceFiles: s.lists()}, nil, records)
	return name, content, true
}

// hashes are those of the foreign records that a task is about.
func (t *task) hashes() []dedup.Hash {
	var out []dedup.Hash
	for _, r := range t.live {
		out = append(out, r.Dedup.Hash)
	}
	for _, r := range t.removals {
		out = append(out, r.hash)
	}
	return out
}

// replacedBy are the hashes that records replace.
func replacedBy(records []dedup.Object) map[dedup.Hash]bool {
	out := make(map[dedup.Hash]bool)
	for _, o := range records {
		_, d := dedup.Split(o)
		for _, h := range d.Replace {
			out[h] = true
		}
	}
	return out
}

// earlier are the records of ours in the tree's lists that speak of the source's instances, as far as they still count.
func (s *study) earlier() []dedup.Object {
	sops, hashes := make(map[dedup.UID]bool), make(map[dedup.Hash]bool)
	for _, r := range s.foreign {
		sops[r.sop], hashes[r.hash] = true, true
	}
	var out []dedup.Object
	for _, o := range s.own {
		_, d := dedup.Split(o)
		sop := uidOf(o, tagSOP)
		removes := d.Delete || d.Type == dedup.TypeDeleted
		about := sops[sop] || slices.ContainsFunc(d.Replace, func(h dedup.Hash) bool { return hashes[h] })
		standing := s.state.Judge(o)
		if about && (removes && standing != dedup.Removed || !removes && standing == dedup.Same) {
			out = append(out, o)
		}
	}
	return out
}

// lists are the names of all lists of source and tree.
func (s *study) lists() []dedup.Hash {
	var out []dedup.Hash
	for _, f := range s.files {
		if f.ID.Ref.Class == dedup.List && f.Fault == nil {
			out = append(out, f.ID.Ref.Hash())
		}
	}
	return out
}

// dominates reports whether a list that covers these hashes would account for a file of the source that is a leaf now.
func (s *study) dominates(covered map[dedup.Hash]bool) bool {
	left := make(map[dedup.FileID]bool) // whether something is left that is not covered
	for _, r := range s.foreign {
		left[r.file] = left[r.file] || !covered[r.hash]
	}
	return slices.ContainsFunc(s.state.Leaves, func(id dedup.FileID) bool {
		uncovered, foreign := left[id]
		return foreign && !uncovered
	})
}
