package search

import (
	"cmp"
	"slices"
	"strings"

	"github.com/dicomesh/dicomesh/dedup"
)

// names finds studies by the beginnings of patients' names, which is how people look for them, without passing over all studies. It is guarded by the table's lock.
type names struct {
	sorted []named
	fresh  []named // that are not in there yet
	gone   int     // in there, of studies that are not in the table any more
}

// named is a name of a study's patient, or one representation of it, folded.
type named struct {
	name string
	of   *entry
}

func (n named) compare(m named) int {
	return cmp.Or(strings.Compare(n.name, m.name), n.of.uid.Compare(m.of.uid))
}

const tagPatientName dedup.Tag = 0x00100010

// names are all that a name can be matched by.
func (e *entry) names() []named {
	var out []named
	for _, k := range keys() {
		if k.tag != tagPatientName {
			continue
		}
		for v := range strings.SplitSeq(e.own.of(k.at), `\`) {
			for part := range strings.SplitSeq(v, "=") {
				out = append(out, named{part, e})
			}
			if strings.Contains(v, "=") {
				out = append(out, named{v, e})
			}
		}
	}
	return out
}

func (n *names) add(e *entry) { n.fresh = append(n.fresh, e.names()...) }

// remove says that an entry is gone. What is left of it is passed over, and swept when it is much.
func (n *names) remove() { n.gone++ }

// order takes in what is new. A few are put into their places, many are sorted with the rest.
func (n *names) order() {
	n.fresh = slices.DeleteFunc(n.fresh, func(x named) bool { return x.of.gone })
	if n.gone > 64+len(n.sorted)/4 {
		n.sorted, n.gone = slices.DeleteFunc(n.sorted, func(x named) bool { return x.of.gone }), 0
	}
	if len(n.fresh) > 64+len(n.sorted)/8 {
		n.sorted = append(n.sorted, n.fresh...)
		slices.SortFunc(n.sorted, named.compare)
		n.fresh = nil
	}
	for _, x := range n.fresh {
		at, _ := slices.BinarySearchFunc(n.sorted, x, named.compare)
		n.sorted = slices.Insert(n.sorted, at, x)
	}
	n.fresh = nil
}

// beginning are the studies with a name that begins so.
func (n *names) beginning(prefix string) []*entry {
	n.order()
	at, _ := slices.BinarySearchFunc(n.sorted, prefix, func(x named, p string) int { return strings.Compare(x.name, p) })
	var out []*entry
	seen := map[*entry]bool{}
	for ; at < len(n.sorted) && strings.HasPrefix(n.sorted[at].name, prefix); at++ {
		if e := n.sorted[at].of; !e.gone && !seen[e] {
			seen[e] = true
			out = append(out, e)
		}
	}
	return out
}

// prefix is how every name begins that a condition means, "" if that cannot be told.
func (p person) prefix() string {
	switch m := p.matcher.(type) {
	case one:
		return string(m)
	case wild:
		return string(m[:strings.IndexAny(string(m), "*?")])
	}
	return ""
}
