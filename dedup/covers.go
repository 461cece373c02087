package dedup

import "slices"

// Covers reports whether a list says all that an older one says, so that the older one is not needed any more: whatever files it accounts for, held here, held elsewhere or
// still to come back from some backup, this list accounts for them too. It holds between the two files alone, whatever else there is; that this list is committed is for the caller to know.
//
// More is asked than for the older list to be dominated. A list may account for another that deletes an instance by replacing the deletion; but the file of that instance, which
// the older list alone accounts for, would come back with it gone. Lists that dicomesh composes cover all that they were composed of.
func (f File) Covers(older File) bool {
	return older.ID.Ref.Class == List && f.Spares()(older)
}

// Spares returns what reports whether this list says all that another file says: of a list whether this one covers it, of an instance file whether it accounts for all
// of its records. Such a file is not needed where this list is committed, whether it is there or not.
func (f File) Spares() func(other File) bool {
	if f.Fault != nil || f.ID.Ref.Class != List {
		return func(File) bool { return false }
	}
	l := newListIndex(&f)
	return func(other File) bool {
		switch {
		case other.Fault != nil || other.ID == f.ID:
		case other.ID.Ref.Class == Instance:
			return !slices.ContainsFunc(other.records, func(r Record) bool { return !l.accounts(&r, false) })
		case other.ID.Ref.Class == List:
			g := newListIndex(&other)
			return l.accountsList(g) && l.repeats(g) && l.keeps(g)
		}
		return false
	}
}

// repeats reports whether this list names and removes whatever that one does, as widely. What that one names it may also replace: then it names a record.
func (l *listIndex) repeats(g *listIndex) bool {
	for h := range g.names {
		if !l.names[h] && !l.replaced[h] {
			return false
		}
	}
	for h := range g.replaced {
		if !l.replaced[h] {
			return false
		}
	}
	for h := range g.deleted {
		if !l.deleted[h] && !l.replaced[h] {
			return false
		}
	}
	for sop := range g.emptied {
		if !l.emptied[sop] {
			return false
		}
	}
	return true
}

// keeps reports whether this list accounts for the records of that one wherever they stand, and supersedes, as static-wado does, what that one supersedes.
func (l *listIndex) keeps(g *listIndex) bool {
	for i := range g.file.records {
		if !l.accounts(&g.file.records[i], false) {
			return false
		}
	}
	for h := range g.refs {
		if g.hashes[h] || l.replaced[h] {
			continue
		}
		if l.hashes[h] || !l.refs[h] {
			return false
		}
		for sop := range g.sops {
			if sop.text != "" && len(l.sops[sop]) == 0 {
				return false
			}
		}
	}
	return true
}
