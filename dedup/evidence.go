package dedup

import "slices"

// listIndex is a list with what is asked of it over and over.
type listIndex struct {
	file     *File
	number   int32         // among the lists of a study
	names    map[Hash]bool // what its info says that it supersedes: lists, and records by hash
	refs     map[Hash]bool // those of names that are in DeduppedRef, and so may be records
	ids      map[Digest]bool
	hashes   map[Hash]bool     // of its records
	sops     map[UID][]*Record // its records
	replaced map[Hash]bool     // what its records replace, by hash or by content
	deleted  map[Hash]bool     // hashes of its records of type deleted
	emptied  map[UID]bool      // SOPs of which a record removes whatever the list supersedes
	extracts map[Hash]bool     // that stand in the list itself
	standing map[Hash]bool     // those that prove it, as far as that is possible (Stands); nil: nobody has asked
}

func newListIndex(f *File) *listIndex {
	l := &listIndex{
		file: f, names: make(map[Hash]bool), refs: make(map[Hash]bool), ids: make(map[Digest]bool), hashes: make(map[Hash]bool), sops: make(map[UID][]*Record),
		replaced: make(map[Hash]bool), deleted: make(map[Hash]bool), emptied: make(map[UID]bool), extracts: make(map[Hash]bool),
	}
	for _, o := range f.extracts {
		l.extracts[o.dedup().Hash] = true
	}
	for _, h := range f.info.Refs {
		l.names[h], l.refs[h] = true, true
	}
	for _, h := range f.info.ReplaceFiles {
		l.names[h] = true
	}
	for i := range f.records {
		r := &f.records[i]
		l.ids[r.id] = true
		l.hashes[r.Dedup.Hash] = true
		l.sops[r.SOP] = append(l.sops[r.SOP], r)
		for _, h := range r.replaces() {
			l.replaced[h] = true
		}
		if r.Dedup.Type == TypeDeleted {
			l.deleted[r.Dedup.Hash] = true
		}
		if r.empties() {
			l.emptied[r.SOP] = true
		}
	}
	return l
}

// accounts reports whether nothing is lost of a record when its file is ignored and this list is read: the list has the very record, replaces it,
// deletes it, or supersedes it. named says that the list's info names the record's file.
//
// The very record, not one with equal content: two encodings of one instance are both worth keeping. A list that merely names a file proves
// nothing about the records in it.
func (l *listIndex) accounts(r *Record, named bool) bool {
	return l.ids[r.id] || l.removes(r, named)
}

// removes is accounts without the very record.
func (l *listIndex) removes(r *Record, named bool) bool {
	d := &r.Dedup
	switch {
	case known(l.replaced, d.Hash) || known(l.replaced, d.Content):
		return true
	case d.Type != TypeDeleted && known(l.deleted, d.Hash):
		return true
	case l.emptied[r.SOP] && (named || known(l.refs, d.Hash)):
		return true
	}
	return l.supersedes(r)
}

// supersedes is how today's static-wado replaces: its info names the older record by hash, and the list has another record of that SOP.
// It names its own records as well, and a live record and the deleted one have one hash: a hash that the list has itself says nothing.
// Names of files say nothing of records: ReplaceDeduplicatedFile is only looked at for lists.
func (l *listIndex) supersedes(r *Record) bool {
	return known(l.refs, r.Dedup.Hash) && !l.hashes[r.Dedup.Hash] && r.SOP.text != "" && len(l.sops[r.SOP]) > 0
}

func known(set map[Hash]bool, h Hash) bool { return !h.IsZero() && set[h] }

// accountsList reports whether this list names that one and accounts for all its records, and for what its extracts correct.
func (l *listIndex) accountsList(g *listIndex) bool {
	if !l.namesList(g) {
		return false
	}
	for i := range g.file.records {
		if !l.accounts(&g.file.records[i], true) {
			return false
		}
	}
	for _, e := range g.file.extracts {
		if !l.corrects(e) {
			return false
		}
	}
	return true
}

func (l *listIndex) namesList(g *listIndex) bool {
	return l != g && l.names[g.file.ID.Ref.Hash()]
}

// corrects reports whether an extract of another list that replaces others is not needed: it is here too, or one is that replaces it and all that it
// replaces. An extract that replaces nothing is in bulkdata and needs no list.
func (l *listIndex) corrects(e Object) bool {
	d := e.dedup()
	if len(d.Replace) == 0 {
		return true
	}
	return slices.ContainsFunc(l.file.extracts, func(o Object) bool {
		own := o.dedup()
		if own.Hash == d.Hash {
			return o.digest() == e.digest()
		}
		return slices.Contains(own.Replace, d.Hash) &&
			!slices.ContainsFunc(d.Replace, func(h Hash) bool { return !slices.Contains(own.Replace, h) })
	})
}

// has reports whether a file that is not in bulkdata is an extract that stands in the list itself, and proves that it is that one. To prove it costs a hash of each extract, so that is done
// for lists alone whose bulkdata is lost.
func (l *listIndex) has(r Ref) bool {
	if r.Ext != ".json.gz" || !l.extracts[r.Hash()] {
		return false
	}
	if l.standing == nil {
		l.standing = make(map[Hash]bool, len(l.extracts))
		for _, o := range l.file.extracts {
			h := o.dedup().Hash
			l.standing[h] = l.standing[h] || Stands(o, h)
		}
	}
	return l.standing[r.Hash()]
}

// evidence is what all committed lists together account for.
type evidence struct {
	lists     []*listIndex // all that could be read
	committed []*listIndex
	naming    map[Hash][]*listIndex // committed lists by what their infos name
}

// committed lists are those that may speak for others: all that their records refer to is here. (That they parse and have their names is
// so of every list with an index.)
func newEvidence(lists []*listIndex, lacks func(*listIndex, *Record) bool) *evidence {
	e := &evidence{lists: lists, naming: make(map[Hash][]*listIndex)}
	for i, l := range lists {
		l.number = int32(i)
		complete := true
		for i := range l.file.records {
			complete = complete && !lacks(l, &l.file.records[i])
		}
		if !complete {
			continue
		}
		e.committed = append(e.committed, l)
		for h := range l.names {
			e.naming[h] = append(e.naming[h], l)
		}
	}
	return e
}

// accounted reports whether a record of an instance file is accounted for.
func (e *evidence) accounted(r *Record) bool {
	return slices.ContainsFunc(e.committed, func(l *listIndex) bool { return l.accounts(r, false) })
}

// dominated says of each list, in the order of e.lists, whether other lists account for it.
func (e *evidence) dominated() []bool {
	var g graph
	g.add(len(e.lists))
	circular := e.circular()
	for i, l := range e.lists {
		namers := slices.Clone(e.naming[l.file.ID.Ref.Hash()])
		slices.SortStableFunc(namers, func(a, b *listIndex) int { return len(b.ids) - len(a.ids) })
		for _, n := range namers {
			if n.accountsList(l) {
				g.edge(int32(i), n.number)
				if !circular[i] {
					break // One is enough, and each look costs as many steps as the list has records.
				}
			}
		}
	}
	return g.gone()
}

// circular says of each list whether some chain of lists that name each other, from it to those that name it and so on, never ends.
func (e *evidence) circular() []bool {
	open := make([]int, len(e.lists)) // namers that are not known to be at the end of chains
	names := make([][]int32, len(e.lists))
	var next []int32
	for i, l := range e.lists {
		for _, n := range e.naming[l.file.ID.Ref.Hash()] {
			if n != l {
				open[i]++
				names[n.number] = append(names[n.number], int32(i))
			}
		}
		if open[i] == 0 {
			next = append(next, int32(i))
		}
	}
	circular := slices.Repeat([]bool{true}, len(e.lists))
	for len(next) > 0 {
		i := next[len(next)-1]
		next = next[:len(next)-1]
		circular[i] = false
		for _, named := range names[i] {
			if open[named]--; open[named] == 0 {
				next = append(next, named)
			}
		}
	}
	return circular
}
