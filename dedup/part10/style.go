package part10

import (
	"strconv"
	"strings"

	"github.com/dicomesh/dicomesh/dedup"
)

// style is what a writer chose throughout a file. It goes into the encoding object as words, so that the default rebuild makes
// the same choices and the residue has only the exceptions.
type style struct {
	preamble, meta   bool
	implicit, big    bool
	deflated         bool
	groupLengths     bool
	undefinedSQ      bool // sequences have undefined lengths
	undefinedItems   bool
	offsets          bool // the basic offset table is filled
	sequences, items tally
	groups           int         // root groups that have a group length
	unknown          []dedup.Tag // root attributes that are written as UN though the object knows better
}

// wordUN begins a word for each of style.unknown, and most is how many there are at most; the residue has the others.
const (
	wordUN      = "un:"
	mostUnknown = 1024
)

// tally counts how often a length was defined and how often not.
type tally struct{ defined, undefined int }

func (c *tally) count(t token) {
	switch {
	case t.undefined:
		c.undefined++
	case t.length > 0:
		c.defined++
	}
}

// groupLength counts a (gggg,0000) of the dataset.
func (s *style) groupLength(_ dedup.Tag, root bool) {
	if root {
		s.groups++
	}
}

// settle turns counts into choices. groups is how many root groups the dataset has.
func (s *style) settle(groups int) {
	s.undefinedSQ = s.sequences.undefined > s.sequences.defined
	s.undefinedItems = s.items.undefined > s.items.defined
	s.groupLengths = s.groups > 0 && s.groups*2 > groups
}

// noteUnknown notes a root attribute that is written as UN.
func (s *style) noteUnknown(tag dedup.Tag) {
	if len(s.unknown) < mostUnknown {
		s.unknown = append(s.unknown, tag)
	}
}

// words are the values of DeduppedLayout.
func (s *style) words() []string {
	var out []string
	for _, w := range s.table() {
		if *w.flag {
			out = append(out, w.word)
		}
	}
	for _, tag := range s.unknown {
		out = append(out, wordUN+tag.String())
	}
	return out
}

type styleWord struct {
	word string
	flag *bool
}

func (s *style) table() []styleWord {
	return []styleWord{
		{"preamble", &s.preamble}, {"meta", &s.meta}, {"implicit", &s.implicit}, {"big", &s.big}, {"deflated", &s.deflated},
		{"grouplengths", &s.groupLengths}, {"sequences", &s.undefinedSQ}, {"items", &s.undefinedItems}, {"offsets", &s.offsets},
	}
}

// parseStyle is the style that words tell. Words of a later version are ignored: they can only make the residue not fit, and that is noticed.
func parseStyle(words []string) style {
	var s style
	table := s.table()
	for _, word := range words {
		if digits, ok := strings.CutPrefix(word, wordUN); ok {
			if tag, err := strconv.ParseUint(digits, 16, 32); err == nil {
				s.noteUnknown(dedup.Tag(tag))
			}
		}
		for _, w := range table {
			if word == w.word {
				*w.flag = true
			}
		}
	}
	return s
}

// coding is that of the dataset.
func (s *style) coding() coding { return coding{implicit: s.implicit, big: s.big} }
