package dedup

import (
	"cmp"
	"crypto/sha256"
	"slices"
)

// State is what a study is. It does not change, and may be read from several goroutines, each of which may ask the Bulk that Resolve was
// given: for what records refer to that Resolve has not seen.
type State struct {
	Instances []SOPInstance // in order of their UIDs
	Leaves    []FileID      // the files that no committed list accounts for, in order
	Dominated []FileID      // the others, in order
	Variants  []Ref         // names that stand for more than one content, in order
	Disputes  []Dispute     // extracts that were corrected in more than one way, in order
	Faults    []Fault       // leaves of which nothing could be read, in order

	evidence *evidence
	contest  *contest
	shared   *shared
}

// SOPInstance is one instance of a study.
type SOPInstance struct {
	SOP    UID
	Series UID // of the record that is shown; zero when it cannot be told
	// Records are the live ones: the one that is shown, then its other encodings, and in a conflict those of the other contents.
	Records []Record
	// Deleted says that there is none: the instance was removed, or replaced by another one.
	Deleted bool
	// Conflict says that the records do not all have one content, or that one removal of the instance knows nothing of a record that is live.
	Conflict bool
	// Missing are the bulkdata files that some of the records need and that are not here, in order.
	Missing []Ref
}

// Dispute is an extract that several others replace, none of which replaces the rest. The first is used.
type Dispute struct {
	Of Hash
	By []Hash
}

// Fault is a leaf that counts for nothing.
type Fault struct {
	File  FileID
	Error error
}

// Conflict reports whether the study waits for a human: an instance is in conflict or a correction in dispute.
func (s *State) Conflict() bool {
	return len(s.Disputes) > 0 || slices.ContainsFunc(s.Instances, func(i SOPInstance) bool { return i.Conflict })
}

// Complete reports whether everything that the leaves refer to is here and readable.
func (s *State) Complete() bool {
	return len(s.Faults) == 0 && !slices.ContainsFunc(s.Instances, func(i SOPInstance) bool { return len(i.Missing) > 0 })
}

// Resolve says what a study is that has these lists, instance files and variants, and that bulkdata. It is a pure function of them: the order
// of files, their times, the clock and the site do not matter.
//
// A committed list - read, with the content that its name says, everything that it refers to here - accounts for another list if its info names
// that list and it accounts for each of its records; it accounts for a record if it has the very record, a record that replaces
// or deletes it, or one that supersedes it as static-wado does. An instance file needs no naming. A name alone proves nothing: one name stands for
// different bytes in real archives. Files that are accounted for are Dominated, the others are Leaves.
//
// What the study shows is then a function of the leaves, so that sites with the same leaves show the same whatever
// else they still keep: all records of the leaves without those that other records of leaves replace, delete or supersede. Records that
// replace each other in a circle all stay, and so do lists. Among the live records of one SOP those with equal content are encodings of one
// instance; different contents are a conflict, the least content hash is shown. A hash that was deleted by static-wado (type deleted) stays deleted
// whichever list also has it live: restoring takes a record that replaces it. A replacement may name what it replaces by its
// content too, and then replaces every encoding of it, also one that comes later.
//
// An extract that another extract of a leaf replaces is read as its replacement, transitively.
func Resolve(files []File, bulk Bulk) *State {
	s := &State{shared: newShared(bulk)}
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b File) int { return a.ID.Compare(b.ID) })
	files = slices.CompactFunc(files, func(a, b File) bool { return a.ID == b.ID })
	for i := 1; i < len(files); i++ {
		if r := files[i].ID.Ref; r == files[i-1].ID.Ref && !slices.Contains(s.Variants, r) {
			s.Variants = append(s.Variants, r)
		}
	}
	leaves := s.leaves(files)
	s.Disputes = s.shared.addInline(leaves)
	s.contest = newContest(leaves, s.evidence)
	s.settle()
	return s
}

// leaves finds which files count.
func (s *State) leaves(files []File) (leaves []*File) {
	var lists []*listIndex
	for i := range files {
		if f := &files[i]; f.ID.Ref.Class == List && f.Fault == nil {
			lists = append(lists, newListIndex(f))
		}
	}
	s.evidence = newEvidence(lists, s.missingIn())
	dominated := make(map[FileID]bool)
	for i, gone := range s.evidence.dominated() {
		dominated[lists[i].file.ID] = gone
	}
	for i := range files {
		f := &files[i]
		if f.ID.Ref.Class == Instance && f.Fault == nil {
			dominated[f.ID] = !slices.ContainsFunc(f.records, func(r Record) bool { return !s.evidence.accounted(&r) })
		}
		if dominated[f.ID] {
			s.Dominated = append(s.Dominated, f.ID)
			continue
		}
		s.Leaves = append(s.Leaves, f.ID)
		leaves = append(leaves, f)
		if f.Fault != nil {
			s.Faults = append(s.Faults, Fault{f.ID, f.Fault})
		}
	}
	return leaves
}

// missingIn returns a function that tells whether a list lacks something that one of its records needs. Lists have most records in common, so
// each is looked at once.
func (s *State) missingIn() func(l *listIndex, r *Record) bool {
	missing := make(map[Digest][]Ref)
	return func(l *listIndex, r *Record) bool {
		refs, ok := missing[r.id]
		if !ok {
			refs = s.shared.missing(r)
			missing[r.id] = refs
		}
		return slices.ContainsFunc(refs, func(ref Ref) bool { return !l.has(ref) })
	}
}

// settle fills in the instances.
func (s *State) settle() {
	c := s.contest
	for _, sop := range c.sops() {
		i := SOPInstance{SOP: sop}
		removals := 0
		for _, n := range c.bySOP[sop] {
			if r := c.records[n]; c.gone[n] {
				continue
			} else if r.removes() {
				removals++
			} else {
				i.Records = append(i.Records, *r)
			}
		}
		s.fill(&i, removals)
		s.Instances = append(s.Instances, i)
	}
}

// fill puts the live records into order and says what follows from them.
func (s *State) fill(i *SOPInstance, removals int) {
	i.Deleted = len(i.Records) == 0
	if i.Deleted {
		return
	}
	i.Conflict = removals > 0
	if len(i.Records) > 1 {
		contents := make(map[Digest]Hash, len(i.Records))
		for _, r := range i.Records {
			contents[r.id] = s.Content(r)
		}
		slices.SortFunc(i.Records, func(a, b Record) int {
			return cmp.Or(contents[a.id].Compare(contents[b.id]), a.Dedup.Hash.Compare(b.Dedup.Hash), slices.Compare(a.id[:], b.id[:]))
		})
		i.Conflict = i.Conflict || contents[i.Records[0].id] != contents[i.Records[len(i.Records)-1].id]
	}
	if i.Series = i.Records[0].Object.uid(tagSeriesInstanceUID); i.Series.text == "" {
		i.Series = s.Merge(i.Records[0]).uid(tagSeriesInstanceUID)
	}
	for n := range i.Records {
		i.Missing = append(i.Missing, s.shared.missing(&i.Records[n])...)
	}
	slices.SortFunc(i.Missing, Ref.Compare)
	i.Missing = slices.Compact(i.Missing)
}

// Content is what decides whether two records of one SOP are the same: DeduppedContent, or for a record of another writer, which has none, the
// SHA-256 of its merged object.
func (s *State) Content(r Record) Hash {
	if !r.Dedup.Content.IsZero() {
		return r.Dedup.Content
	}
	merged := s.Merge(r)
	return HashOf(sha256.Sum256(merged.AppendJSON(make([]byte, 0, merged.size()))))
}

// Instance returns what the study says of an instance, false when it says nothing.
func (s *State) Instance(sop UID) (SOPInstance, bool) {
	i, ok := slices.BinarySearchFunc(s.Instances, sop, func(i SOPInstance, u UID) int { return i.SOP.Compare(u) })
	if !ok {
		return SOPInstance{}, false
	}
	return s.Instances[i], true
}
