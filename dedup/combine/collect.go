package combine

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
)

// Facts are what decides about collection beside the files.
type Facts struct {
	Age         func(list dedup.FileID) time.Duration // how long the list has been accounted for, in measured running time
	Settled     time.Duration                         // how long the leaves have been what they are, likewise
	Keep, Grace time.Duration                         // Config's
	InUse       func(dedup.Ref) bool
}

// Collection is what collecting in a study means: the files that go, in the order in which they do, and those of the accounted for that stay.
type Collection struct {
	Remove []Removal
	Kept   []Kept
	Reason string // why nothing can go, if that is about the study
}

// Removal is a file that goes, and the leaf that accounts for it.
type Removal struct {
	File, By dedup.FileID
}

// Why a file that is accounted for stays.
const (
	keptElsewhere = apartElsewhere
	keptUse       = "somebody reads it"
	keptYoung     = "it was replaced a short time ago"
	keptGrace     = "the study changed a short time ago"
	keptNeeded    = "no leaf by itself accounts for all that it accounts for"
	keptIndirect  = "no leaf by itself accounts for it"
	keptVariant   = "another file of its name stays"
	keptCautious  = "without it the study would say something else" // never seen: it would be a mistake in this package
)

// PlanCollect says which files of a study may go. It is a pure function.
//
// An instance file may go when a leaf by itself accounts for its record; it accounts for nothing, so nobody misses it. A list may go when, besides, that leaf covers it
// (dedup.File.Covers). Leaves are what other sites have as well, so their evidence stays when everything else was collected everywhere. A study that is not complete, or of which something
// cannot be read, loses nothing: what is superfluous there may be what it is healed from.
func PlanCollect(in Input, facts Facts) Collection {
	return planCollect(in, dedup.Resolve(in.Files, in.Bulk), facts)
}

func planCollect(in Input, state *dedup.State, facts Facts) Collection {
	var c Collection
	if len(state.Dominated) == 0 {
		return c
	}
	if !state.Complete() {
		c.Reason = reasonIncomplete
		return c
	}
	g := gathering{in: in, facts: facts, files: make(map[dedup.FileID]dedup.File, len(in.Files)), by: make(map[dedup.FileID]dedup.FileID)}
	for _, f := range in.Files {
		g.files[f.ID] = f
	}
	g.evidence(state)
	for _, id := range state.Dominated {
		if reason, left := g.reason(id); reason != "" {
			c.Kept = append(c.Kept, Kept{id, reason, left})
		} else {
			c.Remove = append(c.Remove, Removal{id, g.by[id]})
		}
	}
	c.whole(state)
	if after := dedup.Resolve(g.rest(c.Remove), in.Bulk); !c.harmless(state, after) {
		for _, r := range c.Remove {
			c.Kept = append(c.Kept, Kept{File: r.File, Reason: keptCautious})
		}
		c.Remove = nil
	}
	return c
}

// gathering is one planCollect.
type gathering struct {
	in    Input
	facts Facts
	files map[dedup.FileID]dedup.File
	by    map[dedup.FileID]dedup.FileID // the leaf that alone accounts for a file, for those that there is one for
	short map[dedup.FileID]bool         // lists that a leaf accounts for, and none covers
}

// evidence finds for each file that is accounted for a leaf that does so alone.
func (g *gathering) evidence(state *dedup.State) {
	g.short = make(map[dedup.FileID]bool)
	var instances []dedup.File
	for _, id := range state.Dominated {
		if id.Ref.Class == dedup.Instance {
			instances = append(instances, g.files[id])
		}
	}
	for _, id := range state.Leaves {
		if id.Ref.Class != dedup.List {
			continue
		}
		leaf := g.files[id]
		// Instance files are no evidence, so all can be asked about at once; of lists each has to be alone with the leaf.
		for _, gone := range dedup.Resolve(append(slices.Clip(instances), leaf), g.in.Bulk).Dominated {
			g.accounts(gone, id)
		}
		for _, older := range state.Dominated {
			if _, has := g.by[older]; has || older.Ref.Class != dedup.List || g.waits(older) {
				continue
			}
			switch alone := dedup.Resolve([]dedup.File{leaf, g.files[older]}, g.in.Bulk); {
			case !slices.Contains(alone.Dominated, older):
			case leaf.Covers(g.files[older]):
				g.accounts(older, id)
			default:
				g.short[older] = true
			}
		}
	}
}

func (g *gathering) accounts(file, leaf dedup.FileID) {
	if _, has := g.by[file]; !has {
		g.by[file] = leaf
	}
}

// waits reports whether it is too early to look closely at a list.
func (g *gathering) waits(list dedup.FileID) bool { return g.facts.Age(list) < g.facts.Keep }

// reason is why a file stays, "" if it goes.
func (g *gathering) reason(id dedup.FileID) (string, time.Duration) {
	_, has := g.by[id]
	switch {
	case g.in.Elsewhere[id]:
		return keptElsewhere, 0
	case id.Ref.Class == dedup.List && g.waits(id):
		return keptYoung, g.facts.Keep - g.facts.Age(id)
	case !has && g.short[id]:
		return keptNeeded, 0
	case !has:
		return keptIndirect, 0
	case id.Ref.Class == dedup.Instance && g.facts.Settled < g.facts.Grace:
		return keptGrace, g.facts.Grace - g.facts.Settled
	case g.facts.InUse(id.Ref):
		return keptUse, 0
	}
	return "", 0
}

// whole keeps the variants of a name together: which of them has the canonical path is decided among all of them. It puts what goes into the order in which it does.
func (c *Collection) whole(state *dedup.State) {
	stays := make(map[dedup.Ref]bool)
	for _, id := range state.Leaves {
		stays[id.Ref] = true
	}
	for _, k := range c.Kept {
		stays[k.File.Ref] = true
	}
	c.Remove = slices.DeleteFunc(c.Remove, func(r Removal) bool {
		if stays[r.File.Ref] {
			c.Kept = append(c.Kept, Kept{File: r.File, Reason: keptVariant})
		}
		return stays[r.File.Ref]
	})
	slices.SortFunc(c.Remove, func(a, b Removal) int { return a.File.Compare(b.File) }) // instance files before lists
	slices.SortFunc(c.Kept, func(a, b Kept) int { return cmp.Or(a.File.Compare(b.File), strings.Compare(a.Reason, b.Reason)) })
}

// rest is what is left of the files.
func (g *gathering) rest(removed []Removal) []dedup.File {
	gone := make(map[dedup.FileID]bool, len(removed))
	for _, r := range removed {
		gone[r.File] = true
	}
	return slices.DeleteFunc(slices.Clone(g.in.Files), func(f dedup.File) bool { return gone[f.ID] })
}

// harmless reports whether the study is the same without what goes: what it shows, its leaves, and which of the other files are accounted for.
func (c *Collection) harmless(before, after *dedup.State) bool {
	gone := make(map[dedup.FileID]bool, len(c.Remove))
	for _, r := range c.Remove {
		gone[r.File] = true
	}
	rest := slices.DeleteFunc(slices.Clone(before.Dominated), func(id dedup.FileID) bool { return gone[id] })
	return slices.Equal(before.Leaves, after.Leaves) && slices.Equal(rest, after.Dominated) && Same(before, after)
}
