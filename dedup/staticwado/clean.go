package staticwado

import (
	"errors"
	"fmt"
	"slices"

	"github.com/dicomesh/dicomesh/dedup"
)

// errUnclear says that a record contradicts itself, or leaves open what would have to be invented.
var errUnclear = errors.New("it cannot be told what was meant")

// clean is a merged record without what static-wado put into it, and with what it took out. Nothing is mended but what is provably the writer's doing:
//
//   - Available Transfer Syntax UID (0008,3002), which it adds to every instance, and group 0002, group lengths and padding, which are no attributes;
//   - DeduppedRef, Hash and Type of an extract that a merge left under the creator of another private block (where a scanner uses group 0009);
//   - Study Instance UID, which it leaves to the study extract alone, comes back;
//   - texts whose bytes it wrote as if each were a character (see repair).
//
// What needs no hand here comes right by itself when the instance becomes a Part 10 file on its way: several values joined to one by backslashes, numbers as
// InlineBinary.
func (s *study) clean(merged dedup.Object) (dedup.Object, error) {
	o := make(dedup.Object, 0, len(merged)+1)
	for _, e := range merged {
		if !added(e.Tag) && !stray(merged, e) {
			o = append(o, e)
		}
	}
	switch _, has := o.Find(tagStudy); {
	case !has:
		o = withElement(o, uidElement(tagStudy, s.uid))
	case uidOf(o, tagStudy) != s.uid:
		return nil, fmt.Errorf("its Study Instance UID is that of another study than the one it lies in: %w", errUnclear)
	}
	for _, tag := range []dedup.Tag{tagSeries, tagSOP} {
		if uidOf(o, tag) == (dedup.UID{}) {
			return nil, fmt.Errorf("its UID (%s) is not well-formed: %w", tag, errUnclear)
		}
	}
	return repair(o)
}

// added reports whether an attribute is none of the instance's.
func added(tag dedup.Tag) bool {
	return tag == tagAvailable || tag.Group() <= 0x0002 || tag&0xFFFF == 0 || tag == 0xFFFCFFFC
}

// stray reports whether an attribute is one of the archive's own that a merge left in a block whose creator is another: in one block a hash and a type that only
// the archive has.
func stray(o dedup.Object, e dedup.Element) bool {
	if e.Tag.Group() != 0x0009 || e.Tag&0xFFFF < 0x1000 || e.Tag&0xFF < 0x10 || e.Tag&0xFF > 0x12 {
		return false
	}
	block := e.Tag &^ 0xFF
	_, notHash := dedup.ParseHash(o.Text(block | 0x11))
	switch dedup.Type(o.Text(block | 0x12)) {
	case dedup.TypePatient, dedup.TypeStudy, dedup.TypeSeries, dedup.TypeImage, dedup.TypeInstance, dedup.TypeDeleted:
		return notHash == nil
	}
	return false
}

// withElement is o with one more attribute, which it has not.
func withElement(o dedup.Object, e dedup.Element) dedup.Object {
	at := slices.IndexFunc(o, func(f dedup.Element) bool { return f.Tag > e.Tag })
	if at < 0 {
		at = len(o)
	}
	return slices.Insert(o, at, e)
}

func uidElement(tag dedup.Tag, u dedup.UID) dedup.Element {
	return dedup.Element{Tag: tag, JSON: dedup.Attribute{VR: "UI", Value: []dedup.Token{dedup.Quote(u.String())}}.AppendJSON(nil)}
}

// replaced is o with an attribute in the place of the one it has.
func replaced(o dedup.Object, e dedup.Element) dedup.Object {
	o = slices.Clone(o)
	for i := range o {
		if o[i].Tag == e.Tag {
			o[i] = e
		}
	}
	return o
}
