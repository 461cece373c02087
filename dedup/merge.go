package dedup

import (
	"cmp"
	"crypto/sha256"
	"slices"
)

// Merge completes a record with its extracts, or with what replaced them. The result has no private block. Where several have an attribute
// the record's counts, then that of the first extract in the order of the refs; an extract's own refs come right after it.
func (s *State) Merge(r Record) Object {
	content, d := Split(r.Object)
	seen := make(map[Hash]bool)
	var extracts []Object
	s.collect(d.Refs, 0, seen, &extracts)
	return Merge(content, extracts...)
}

func (s *State) collect(refs []Hash, depth int, seen map[Hash]bool, extracts *[]Object) {
	for _, h := range refs {
		h = s.shared.replacement(h)
		if seen[h] || depth > maxNesting {
			continue
		}
		seen[h] = true
		o := s.shared.object(h)
		if !o.missing {
			*extracts = append(*extracts, o.content)
		}
		s.collect(o.extends, depth+1, seen, extracts)
	}
}

// Merge is content with the attributes of the extracts that it does not have, those of earlier extracts first. None of them has a private block.
func Merge(content Object, extracts ...Object) Object {
	rest, n := []Object{content}, len(content)
	for _, e := range extracts {
		rest, n = append(rest, e), n+len(e)
	}
	out := make(Object, 0, n)
	for {
		first := -1 // of those with the lowest tag: the others give way
		for i, o := range rest {
			if len(o) > 0 && (first < 0 || o[0].Tag < rest[first][0].Tag) {
				first = i
			}
		}
		if first < 0 {
			return out
		}
		e := rest[first][0]
		out = append(out, e)
		for i, o := range rest {
			if len(o) > 0 && o[0].Tag == e.Tag {
				rest[i] = o[1:]
			}
		}
	}
}

// Closure is every bulkdata file that a record needs, in order: what it refers to, what that refers to, and what replaced its extracts.
func (s *State) Closure(r Record) []Ref {
	var refs []Ref
	s.shared.closure(&r, func(ref Ref, _ bool) { refs = append(refs, ref) })
	slices.SortFunc(refs, Ref.Compare)
	return refs
}

// addInline makes the extracts of the leaves known, and what is read for those that they correct.
func (s *shared) addInline(leaves []*File) (disputes []Dispute) {
	replacing := make(map[Hash][]Hash) // by what is replaced
	for _, f := range leaves {
		for _, o := range f.extracts {
			d := o.dedup()
			if d.Hash.IsZero() {
				continue
			}
			s.inline[d.Hash] = append(s.inline[d.Hash], o)
			delete(s.seen, d.Hash)
			if Verify(o) == Corrupt {
				continue
			}
			for _, h := range d.Replace {
				if !h.IsZero() && h != d.Hash && !slices.Contains(replacing[h], d.Hash) {
					replacing[h] = append(replacing[h], d.Hash)
				}
			}
		}
	}
	for h := range replacing {
		by, disputed := s.choose(last(replacing, h))
		if len(by) > 0 {
			s.instead[h] = by[0]
		}
		if disputed {
			disputes = append(disputes, Dispute{h, by})
		}
	}
	slices.SortFunc(disputes, func(a, b Dispute) int { return a.Of.Compare(b.Of) })
	return disputes
}

// last are the replacements of h, of these, and so on, that nothing replaces.
func last(replacing map[Hash][]Hash, h Hash) (ends []Hash) {
	seen, next := map[Hash]bool{h: true}, []Hash{h}
	for len(next) > 0 {
		h, next = next[len(next)-1], next[:len(next)-1]
		if len(replacing[h]) == 0 {
			ends = append(ends, h)
		}
		for _, by := range replacing[h] {
			if !seen[by] {
				seen[by] = true
				next = append(next, by)
			}
		}
	}
	return ends
}

// choose puts replacements into the order of their contents, and reports whether these differ.
func (s *shared) choose(by []Hash) ([]Hash, bool) {
	contents := make(map[Hash]Hash, len(by))
	for _, h := range by {
		contents[h] = HashOf(sha256.Sum256(s.object(h).content.AppendJSON(nil)))
	}
	slices.SortFunc(by, func(a, b Hash) int { return cmp.Or(contents[a].Compare(contents[b]), a.Compare(b)) })
	return by, len(by) > 1 && contents[by[0]] != contents[by[len(by)-1]]
}

// replacement is what is read where h is referred to.
func (s *shared) replacement(h Hash) Hash {
	if by, ok := s.instead[h]; ok {
		return by
	}
	return h
}
