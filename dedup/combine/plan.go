package combine

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/dicomesh/dicomesh/dedup"
)

// Input is a study as it was read.
type Input struct {
	Files []dedup.File // lists, instance files and variants; for PlanCombine the leaves whole, all others may be slim
	Bulk  dedup.Bulk
	// Elsewhere are files that lie where another writer keeps them, outside of the format's own layout: that writer would not find them in a list of ours, nor understand
	// where they went. They are never combined and never collected.
	Elsewhere map[dedup.FileID]bool
}

// Combination is what combining a study means. The zero List says that nothing is to be done, and Reason why.
type Combination struct {
	List     dedup.FileID   // to be written
	Content  []byte         // of it, decompressed
	Inputs   []dedup.FileID // the leaves that go into it, in order
	Records  int
	Extracts int
	Apart    []Kept // the leaves that do not, in order
	Reason   string
}

// MostContent is how large a combined list may become, decompressed: the largest that travels between sites is 64 MiB on the wire. Of a study with more the smallest
// leaves are combined.
const MostContent = 64 << 20

// Why a study is not combined.
const (
	reasonSingle     = "one list is all there is"
	reasonApart      = "no two files can be combined"
	reasonIncomplete = "it is not complete: something that it refers to is missing or damaged"
	reasonUnlike     = "the combined list would say something else" // never seen: it would be a mistake in this package
)

// Why a leaf is left alone.
const (
	apartElsewhere = "another writer keeps it where it is"
	apartOdd       = "it holds objects that are no records"
	apartEmpties   = "it removes an instance without saying which record: among other files it would remove theirs"
	apartNaming    = "it names a list that is left alone, and in company might account for it"
	apartNames     = "it supersedes records that it does not have by their names: among other files it would supersede for their records too"
	apartNamed     = "a list that is left alone names it"
	apartShared    = "a list that is left alone has its name"
	apartLarge     = "with it the list would be too large"
	apartLacks     = "not everything that its records refer to is here"
)

// PlanCombine says which leaves of a study become which list. It is a pure function; two sites with the same leaves, and all that these refer to, get the same.
//
// Records say by hash what they replace and remove, whichever list they stand in; such leaves can be combined whoever wrote them. Left alone are those that say something by the
// company they keep: a list that supersedes records by naming their hashes in its info, as static-wado does, supersedes a record if it has another one of that
// instance; with the records of other lists it would have more of them. A removal without a hash removes what is in the files that its list names; a combined list names more.
// And what such a list names stays the file that it names.
func PlanCombine(in Input) Combination { return planCombine(in, MostContent) }

func planCombine(in Input, most int64) Combination {
	whole := in.Files
	in.Files = slim(in.Files) // for the proofs: a large study is in memory whole once, not once a step
	before := dedup.Resolve(in.Files, in.Bulk)
	if !before.Complete() {
		return Combination{Reason: reasonIncomplete}
	}
	parts, apart := in.sortOut(whole, before)
	parts, apart = within(parts, apart, most)
	c := in.combine(before, parts, apart)
	if c.Reason == reasonUnlike {
		// A list some of whose records lack something speaks for nothing, and whatever had it inside would not either. And one that names a list that is left alone may in company account
		// for it, which ends what that one says.
		parts, apart = in.spoken(parts, apart)
		c = in.combine(before, parts, apart)
	}
	return c
}

func slim(files []dedup.File) []dedup.File {
	out := make([]dedup.File, len(files))
	for i, f := range files {
		out[i] = f.Slim()
	}
	return out
}

// combine makes the list of these parts, and proves it.
func (in Input) combine(before *dedup.State, parts []part, apart []Kept) Combination {
	slices.SortFunc(parts, func(a, b part) int { return a.file.ID.Compare(b.file.ID) })
	slices.SortFunc(apart, func(a, b Kept) int { return a.File.Compare(b.File) })
	c := Combination{Apart: apart}
	switch lists := len(before.Leaves); {
	case lists == 1 && before.Leaves[0].Ref.Class == dedup.List:
		c.Reason = reasonSingle
		return c
	case !worthwhile(parts):
		c.Reason = reasonApart
		return c
	}
	list := compose(parts, &c)
	for _, p := range parts {
		c.Inputs = append(c.Inputs, p.file.ID)
	}
	if !proves(before, dedup.Resolve(append(slices.Clip(in.Files), list), in.Bulk), list.ID, c.Inputs) {
		return Combination{Apart: apart, Reason: reasonUnlike}
	}
	c.List = list.ID
	return c
}

// worthwhile reports whether combining makes fewer files, or lists of instance files.
func worthwhile(parts []part) bool {
	return len(parts) > 1 || len(parts) == 1 && parts[0].file.ID.Ref.Class == dedup.Instance
}

// part is a leaf taken apart.
type part struct {
	file              dedup.File
	names             dedup.Dedup // what its info names
	extracts, records []dedup.Object
	size              int64 // of its objects' canonical JSON: the same wherever they were read
}

// sortOut takes the leaves apart and finds those that are to be left alone.
func (in Input) sortOut(whole []dedup.File, before *dedup.State) (parts []part, apart []Kept) {
	leaf := make(map[dedup.FileID]bool, len(before.Leaves))
	for _, id := range before.Leaves {
		leaf[id] = true
	}
	var alone []part
	for _, f := range whole {
		if !leaf[f.ID] {
			continue
		}
		leaf[f.ID] = false // it may stand there twice
		p, reason := takeApart(f)
		if in.Elsewhere[f.ID] {
			reason = apartElsewhere
		}
		if reason == "" {
			parts = append(parts, p)
			continue
		}
		alone, apart = append(alone, p), append(apart, Kept{File: f.ID, Reason: reason})
	}
	for len(alone) > 0 {
		p := alone[0]
		alone = alone[1:]
		parts = slices.DeleteFunc(parts, func(q part) bool {
			reason := ""
			switch r := q.file.ID.Ref; {
			case r.Class != dedup.List:
			case p.named(r.Hash()):
				reason = apartNamed
			case r == p.file.ID.Ref:
				reason = apartShared
			}
			if reason != "" {
				alone, apart = append(alone, q), append(apart, Kept{File: q.file.ID, Reason: reason})
			}
			return reason != ""
		})
	}
	return parts, apart
}

// named reports whether the part's info names a file or record.
func (p part) named(h dedup.Hash) bool {
	return slices.Contains(p.names.ReplaceFiles, h) || slices.Contains(p.names.Refs, h)
}

// takeApart sorts a file's objects as package dedup does, and says why the file has to be left alone, "" if it has not.
func takeApart(f dedup.File) (p part, reason string) {
	p.file = f
	own := make(map[dedup.Hash]bool)
	for i, o := range f.Objects() {
		_, d := dedup.Split(o)
		p.size += int64(len(o.AppendJSON(nil)))
		switch d.Type {
		case dedup.TypeInfo:
			if i > 0 || f.ID.Ref.Class != dedup.List {
				return p, apartOdd
			}
			p.names = dedup.Dedup{Refs: d.Refs, ReplaceFiles: d.ReplaceFiles}
		case dedup.TypeEncoding, dedup.TypeSequence:
			return p, apartOdd
		case dedup.TypePatient, dedup.TypeStudy, dedup.TypeSeries, dedup.TypeImage:
			p.extracts = append(p.extracts, o)
		default:
			if d.Delete && len(d.Replace) == 0 {
				return p, apartEmpties
			}
			own[d.Hash] = true
			p.records = append(p.records, o)
		}
	}
	for _, h := range p.names.Refs {
		if !own[h] {
			return p, apartNames
		}
	}
	return p, ""
}

// within leaves out the largest parts when all together would be too large.
func within(parts []part, apart []Kept, most int64) ([]part, []Kept) {
	slices.SortFunc(parts, func(a, b part) int { return cmp.Or(cmp.Compare(a.size, b.size), a.file.ID.Compare(b.file.ID)) })
	for i, p := range parts {
		if most -= p.size; most < 0 {
			for _, p := range parts[i:] {
				apart = append(apart, Kept{File: p.file.ID, Reason: apartLarge})
			}
			return parts[:i], apart
		}
	}
	return parts, apart
}

// spoken leaves out the parts that cannot speak for themselves, because a list of each alone would not account for it, and those that name others that are left out.
func (in Input) spoken(parts []part, apart []Kept) ([]part, []Kept) {
	leave := func(reason string, does func(part) bool) {
		parts = slices.DeleteFunc(parts, func(p part) bool {
			out := does(p)
			if out {
				apart = append(apart, Kept{File: p.file.ID, Reason: reason})
			}
			return out
		})
	}
	leave(apartLacks, func(p part) bool {
		alone := compose([]part{p}, new(Combination))
		return !slices.Contains(dedup.Resolve([]dedup.File{p.file.Slim(), alone}, in.Bulk).Dominated, p.file.ID)
	})
	for before := -1; before != len(apart); {
		before = len(apart)
		leave(apartNaming, func(p part) bool {
			return slices.ContainsFunc(apart, func(k Kept) bool { return k.File.Ref.Class == dedup.List && p.named(k.File.Ref.Hash()) })
		})
	}
	return parts, apart
}

// compose makes the list of these parts and counts into c what is in it.
func compose(parts []part, c *Combination) dedup.File {
	var info dedup.Dedup
	var extracts, records []dedup.Object
	for _, p := range parts {
		if p.file.ID.Ref.Class == dedup.List {
			info.ReplaceFiles = append(info.ReplaceFiles, p.file.ID.Ref.Hash())
		}
		info.ReplaceFiles = append(info.ReplaceFiles, p.names.ReplaceFiles...)
		info.Refs = append(info.Refs, p.names.Refs...)
		extracts, records = append(extracts, p.extracts...), append(records, p.records...)
	}
	name, content := dedup.ComposeList(info, extracts, records)
	list := dedup.ParseFile(dedup.Ref{Class: dedup.List, Name: name.String()}, content)
	c.Content = content
	for _, o := range list.Objects() {
		switch _, d := dedup.Split(o); d.Type {
		case dedup.TypeInfo:
		case dedup.TypePatient, dedup.TypeStudy, dedup.TypeSeries, dedup.TypeImage:
			c.Extracts++
		default:
			c.Records++
		}
	}
	return list.Slim()
}

// proves reports whether a study with the list shows what it showed without, and the list is a leaf that accounts for all that went into it and for what was accounted for before.
func proves(before, after *dedup.State, list dedup.FileID, inputs []dedup.FileID) bool {
	gone := make(map[dedup.FileID]bool, len(after.Dominated))
	for _, id := range after.Dominated {
		gone[id] = true
	}
	for _, id := range slices.Concat(inputs, before.Dominated) {
		if !gone[id] {
			return false
		}
	}
	return slices.Contains(after.Leaves, list) && Same(before, after)
}

// Same reports whether two states of a study show the same: live instances with all their records, conflicts, disputes, what is missing. Which files it comes from is no part of that, and
// neither are instances that are only known to have been deleted: they are, as long as a leaf still has what was deleted.
func Same(a, b *dedup.State) bool {
	return slices.EqualFunc(live(a), live(b), sameInstance) && len(a.Faults) == len(b.Faults) &&
		slices.EqualFunc(a.Disputes, b.Disputes, func(x, y dedup.Dispute) bool { return x.Of == y.Of && slices.Equal(x.By, y.By) })
}

func live(s *dedup.State) []dedup.SOPInstance {
	return slices.DeleteFunc(slices.Clone(s.Instances), func(i dedup.SOPInstance) bool { return i.Deleted })
}

func sameInstance(a, b dedup.SOPInstance) bool {
	return a.SOP == b.SOP && a.Series == b.Series && a.Conflict == b.Conflict && slices.Equal(a.Missing, b.Missing) &&
		slices.EqualFunc(a.Records, b.Records, func(x, y dedup.Record) bool {
			return x.Dedup.Hash == y.Dedup.Hash && bytes.Equal(x.Object.AppendJSON(nil), y.Object.AppendJSON(nil))
		})
}
