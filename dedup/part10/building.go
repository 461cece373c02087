package part10

import (
	"cmp"
	"slices"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/part10/charset"
)

// building is one object, or one sequence, that is being put together. Even levels are objects, odd ones sequences.
type building struct {
	tag      dedup.Tag // of the sequence
	object   dedup.Object
	late     map[dedup.Tag][]byte // attributes that came after one with a higher tag
	sequence []byte               // sequenceStart and the items so far, canonical JSON, comma between; nothing before the first
	held     int64                // its part of taker.held
	set      charset.Set
	signed   bool
	second   bool // in a sequence whose tag there was before: nothing of it goes into an object
}

// settled is the object with its late attributes at their places.
func (b *building) settled() dedup.Object {
	for tag, json := range b.late {
		b.object = append(b.object, dedup.Element{Tag: tag, JSON: json})
	}
	if len(b.late) > 0 {
		slices.SortFunc(b.object, func(x, y dedup.Element) int { return cmp.Compare(x.Tag, y.Tag) })
		b.late = nil
	}
	return b.object
}

func (t *taker) top() *building  { return &t.levels[len(t.levels)-1] }
func (t *taker) push(b building) { t.levels = append(t.levels, b) }
func (t *taker) depth() int      { return len(t.levels) / 2 }
func (t *taker) pop() building   { b := *t.top(); t.levels = t.levels[:len(t.levels)-1]; return b }
func (t *taker) atRoot() bool    { return len(t.levels) == 1 }

// has reports whether the open object has an attribute.
func (t *taker) has(tag dedup.Tag) bool {
	if t.atRoot() && t.pixels != nil && t.pixels.tag == tag {
		return true
	}
	b := t.top()
	if n := len(b.object); n == 0 || b.object[n-1].Tag < tag {
		return false // late ones are below the last
	}
	_, found := slices.BinarySearchFunc(b.object, tag, byTag)
	_, late := b.late[tag]
	return found || late
}

// second reports whether an element is one that objects have no place for: its tag was there before, or it is inside of such a sequence.
func (t *taker) second(tag dedup.Tag) bool { return t.top().second || t.has(tag) }

func byTag(e dedup.Element, tag dedup.Tag) int { return cmp.Compare(e.Tag, tag) }

// hold notes that what is open grows by so much.
func (t *taker) hold(n int64) {
	t.top().held += n
	t.held += n
}

// set gives the open object an attribute. The first of two with one tag counts; the second lives in the residue.
func (t *taker) set(tag dedup.Tag, json []byte) {
	if t.has(tag) {
		return
	}
	t.hold(int64(len(json)) + elementWeight)
	b := t.top()
	switch n := len(b.object); {
	case n == 0 || b.object[n-1].Tag < tag:
		b.object = append(b.object, dedup.Element{Tag: tag, JSON: json})
	case b.late == nil:
		b.late = map[dedup.Tag][]byte{tag: json}
	default:
		b.late[tag] = json
	}
}
