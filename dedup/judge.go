package dedup

import "slices"

// Standing is what a study says of a record that is about to be added to it.
type Standing uint8

// The standings.
const (
	Absent      Standing = iota // nothing is known of the instance
	Same                        // the very record is live
	Equivalent                  // the instance is live with this content, in another encoding
	Removed                     // the record, or its content, was replaced or deleted: adding it changes nothing
	Conflicting                 // the instance is live with another content, or a removal of it knows nothing of this one
)

// String is the standing in a word.
func (s Standing) String() string {
	return [...]string{"absent", "same", "equivalent", "removed", "conflicting"}[s]
}

// Judge says how a record stands in a study. s may be the state of the study's lists alone, which changes seldom, when held are the instance
// files and variants of the record's SOP: nothing else has a say in it. The answer is what Resolve would make of all files and the record's.
func (s *State) Judge(record Object, held ...File) Standing {
	r := newRecord(record)
	if s.removed(&r) {
		return Removed
	}
	known, _ := s.Instance(r.SOP)
	live, deleted := slices.Clone(known.Records), known.Deleted
	for _, f := range held {
		for _, h := range f.records {
			switch {
			case h.SOP != r.SOP || s.removed(&h):
			case h.removes():
				deleted = true
			default:
				live = append(live, h)
			}
		}
	}
	switch {
	case slices.ContainsFunc(live, func(o Record) bool { return o.id == r.id }):
		return Same
	case len(live) == 0 && !deleted:
		return Absent
	}
	content := s.Content(r)
	if slices.ContainsFunc(live, func(o Record) bool { return s.Content(o) == content }) {
		return Equivalent
	}
	return Conflicting
}

// removed reports whether r is not shown when its file is there: it gives way to records of leaves, or committed lists account for it and it is in
// no leaf.
func (s *State) removed(r *Record) bool {
	if n, ok := s.contest.byID[r.id]; ok {
		return s.contest.gone[n]
	}
	return len(s.contest.hubsOf(r)) > 0 || s.evidence.accounted(r)
}
