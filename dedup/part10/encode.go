package part10

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/part10/charset"
)

// encoder writes the default rebuild of an instance as a layout (FORMAT.md section 7). Its pieces fall as the scanner's do.
type encoder struct {
	source Source
	names  bulkNames
	style  style
	out    *layout
	total  int64 // bytes so far
	inner  int   // piece at which the dataset begins, the part that a deflated file compresses
	asUN   bool  // the next header is to say UN
	err    error // the first value that no file can have
	head   [12]byte
	value  []byte
	zeros  [preambleSize]byte // what padding and placeholders are made of
}

// file writes preamble, group 0002 and dataset.
func (e *encoder) file(meta, root dedup.Object) error {
	if e.style.preamble {
		e.add(e.zeros[:preambleSize])
		e.add([]byte(magic))
	}
	if e.style.meta {
		if err := e.group2(meta, root); err != nil {
			return err
		}
	}
	e.inner = len(e.out.pieces)
	if err := e.dataset(root); err != nil {
		return err
	}
	return e.err
}

// length is a length as a file has it.
func (e *encoder) length(n int64) uint32 {
	if n >= undefined && e.err == nil {
		e.err = fmt.Errorf("a value of %d bytes is longer than DICOM allows", n)
	}
	return uint32(n)
}

// group2 writes the file meta information (PS3.10 section 7.1). Empty class and instance UIDs stand for the dataset's.
func (e *encoder) group2(meta, root dedup.Object) error {
	length := e.placeholder(0x00020000, "UL", coding{})
	start := e.total
	for _, m := range meta {
		a, err := m.Attribute()
		if err != nil {
			return err
		}
		if twin, ok := root.Find(repeated(m.Tag)); ok && len(a.Value) == 0 && a.Bytes == nil {
			if a, err = twin.Attribute(); err != nil {
				return err
			}
		}
		if err := e.attribute(m.Tag, a, coding{}, charset.Set{}); err != nil {
			return fmt.Errorf("group 0002: %w", err)
		}
	}
	binary.LittleEndian.PutUint32(e.out.literal[length:], uint32(e.total-start))
	return nil
}

// repeated is the attribute of the dataset that one of group 0002 repeats, 0 for the others.
func repeated(meta dedup.Tag) dedup.Tag {
	switch meta {
	case 0x00020002:
		return 0x00080016
	case 0x00020003:
		return 0x00080018
	}
	return 0
}

// dataset writes the root attributes, with group lengths where the file had them.
func (e *encoder) dataset(root dedup.Object) error {
	c, set := e.style.coding(), setOf(root, charset.Set{})
	length, start, group := 0, int64(0), -1
	patch := func() {
		if length > 0 {
			order(c).PutUint32(e.out.literal[length:], e.length(e.total-start))
		}
	}
	for _, el := range root {
		if g := int(el.Tag.Group()); g != group && e.style.groupLengths {
			patch()
			length = e.placeholder(dedup.Tag(g)<<16, "UL", c)
			group, start = g, e.total
		}
		a, err := el.Attribute()
		if err != nil {
			return err
		}
		e.asUN = slices.Contains(e.style.unknown, el.Tag)
		if err := e.attribute(el.Tag, a, c, set); err != nil {
			return fmt.Errorf("(%s): %w", pretty(el.Tag), err)
		}
	}
	patch()
	return nil
}

// setOf is the character set of an object's texts.
func setOf(o dedup.Object, above charset.Set) charset.Set {
	el, ok := o.Find(0x00080005)
	if !ok {
		return above
	}
	a, err := el.Attribute()
	if err != nil {
		return above
	}
	value, err := valueBytes(nil, a, "CS", charset.Set{})
	if err != nil {
		return above
	}
	set, _ := charset.Parse(splitTerms(value))
	return set
}

func (e *encoder) add(parts ...[]byte) {
	e.out.add(parts...)
	for _, p := range parts {
		e.total += int64(len(p))
	}
}

func (e *encoder) addBulk(number int, n int64) {
	e.out.addBulk(number, 0, n)
	e.total += n
}

// placeholder writes an element of four bytes that will be known later and returns where they are.
func (e *encoder) placeholder(tag dedup.Tag, vr VR, c coding) int {
	e.add(e.plainHeader(tag, vr, 4, c), e.zeros[:4])
	return len(e.out.literal) - 4
}

// header is the bytes before the value of an attribute, valid until the next.
func (e *encoder) header(tag dedup.Tag, vr VR, length uint32, c coding) []byte {
	if e.asUN {
		e.asUN, vr = false, "UN"
	}
	return e.plainHeader(tag, vr, length, c)
}

// plainHeader is header without an exception, as items and delimiters have it.
func (e *encoder) plainHeader(tag dedup.Tag, vr VR, length uint32, c coding) []byte {
	return appendHeader(e.head[:0], tag, vr, length, c)
}

// appendHeader appends the bytes before a value: PS3.5 section 7.1. A value that is too long for its VR is written as UN, as section 6.2.2 has it.
func appendHeader(b []byte, tag dedup.Tag, vr VR, length uint32, c coding) []byte {
	o := order(c)
	b = appendUint16(b, o, uint16(tag>>16))
	b = appendUint16(b, o, uint16(tag))
	if c.implicit || tag.Group() == 0xFFFE {
		return appendUint32(b, o, length)
	}
	if len(vr) != 2 || !vr.long() && length > 0xFFFF {
		vr = "UN"
	}
	b = append(b, vr...)
	if vr.long() {
		return appendUint32(append(b, 0, 0), o, length)
	}
	return appendUint16(b, o, uint16(length))
}

func appendUint16(b []byte, o binary.ByteOrder, v uint16) []byte {
	n := len(b)
	b = append(b, 0, 0)
	o.PutUint16(b[n:], v)
	return b
}

func appendUint32(b []byte, o binary.ByteOrder, v uint32) []byte {
	n := len(b)
	b = append(b, 0, 0, 0, 0)
	o.PutUint32(b[n:], v)
	return b
}

// attribute writes one data element.
func (e *encoder) attribute(tag dedup.Tag, a dedup.Attribute, c coding, set charset.Set) error {
	vr := VR(a.VR)
	switch {
	case a.Ext != "" || len(a.Fragments) > 0 && vr != "SQ":
		return e.pixels(tag, a, c)
	case a.BulkDataURI != "" && vr == "SQ":
		return e.distantSequence(tag, a, c, set)
	case a.BulkDataURI != "":
		return e.distantValue(tag, a, c)
	case vr == "SQ":
		return e.sequence(tag, a, c, set)
	}
	value, err := valueBytes(e.value[:0], a, vr, set)
	if err != nil && !errors.Is(err, errCharset) {
		return err
	}
	if c.big && vr.swap() > 1 {
		swapUnits(value, vr.swap())
	}
	e.add(e.header(tag, vr, uint32(len(value)), c), value)
	e.value = value
	return nil
}

// distantValue writes a value that is a bulkdata file.
func (e *encoder) distantValue(tag dedup.Tag, a dedup.Attribute, c coding) error {
	ref, err := dedup.ParseBulkURI(a.BulkDataURI)
	if err != nil {
		return err
	}
	size, err := e.size(ref)
	if err != nil {
		return err
	}
	swap := 0
	if c.big {
		swap = VR(a.VR).swap()
	}
	e.add(e.header(tag, VR(a.VR), e.length(size), c))
	e.addBulk(e.names.number(e.out, ref, size, swap), size)
	return nil
}

// size is the length of a bulkdata file.
func (e *encoder) size(ref dedup.Ref) (int64, error) {
	if number, known := e.names[bulkKey{ref, 1}]; known {
		return e.out.bulks[number].size, nil
	}
	b, err := e.source.Bulk(ref)
	if err != nil {
		return 0, err
	}
	n, err := b.Size()
	if err2 := b.Close(); err == nil {
		err = err2
	}
	return n, err
}

// distantSequence writes a sequence that is an object of its own.
func (e *encoder) distantSequence(tag dedup.Tag, a dedup.Attribute, c coding, set charset.Set) error {
	ref, err := dedup.ParseBulkURI(a.BulkDataURI)
	if err != nil {
		return err
	}
	h, err := dedup.ParseHash(ref.Name)
	if err != nil {
		return err
	}
	o, err := e.source.Object(h)
	if err != nil {
		return err
	}
	el, ok := o.Find(tag)
	if !ok {
		return fmt.Errorf("object %s has no such sequence", h)
	}
	if a, err = el.Attribute(); err != nil {
		return err
	}
	return e.sequence(tag, a, c, set)
}

// sequence writes items, lengths defined or not as the style says.
func (e *encoder) sequence(tag dedup.Tag, a dedup.Attribute, c coding, set charset.Set) error {
	if len(a.Value) == 0 {
		e.add(e.header(tag, "SQ", 0, c))
		return nil
	}
	inside := c
	if e.asUN {
		inside = coding{implicit: true} // PS3.5 section 6.2.2
	}
	end := e.open(tag, "SQ", c, e.style.undefinedSQ)
	for _, item := range a.Value {
		o, err := dedup.ParseObject(item)
		if err != nil {
			return err
		}
		if err := e.item(o, inside, setOf(o, set)); err != nil {
			return err
		}
	}
	end(tagSequenceEnd, inside)
	return nil
}

// item writes one item of a sequence.
func (e *encoder) item(o dedup.Object, c coding, set charset.Set) error {
	if len(o) == 0 {
		e.add(e.plainHeader(tagItem, "", 0, c))
		return nil
	}
	end := e.open(tagItem, "", c, e.style.undefinedItems)
	for _, el := range o {
		a, err := el.Attribute()
		if err != nil {
			return err
		}
		if err := e.attribute(el.Tag, a, c, set); err != nil {
			return err
		}
	}
	end(tagItemEnd, c)
	return nil
}

// open writes a header whose length is settled by the function that it returns.
func (e *encoder) open(tag dedup.Tag, vr VR, c coding, undef bool) func(delimiter dedup.Tag, inside coding) {
	e.add(e.header(tag, vr, undefined, c))
	at, start := len(e.out.literal)-4, e.total
	return func(delimiter dedup.Tag, inside coding) {
		if undef {
			e.add(e.plainHeader(delimiter, "", 0, inside))
			return
		}
		order(c).PutUint32(e.out.literal[at:], e.length(e.total-start))
	}
}
