package phantom

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"slices"
)

// File is one Part 10 file, or what some writer takes for one.
type File struct {
	Syntax       Syntax    // how Elements are coded, whatever the meta group says
	Preamble     []byte    // in place of 128 zero bytes
	NoPreamble   bool      // neither preamble nor DICM
	NoMeta       bool      // no group 0002
	Meta         []Element // all of group 0002 as it is to stand there, in place of what Standard makes; always explicit little-endian
	GroupLengths bool      // (gggg,0000) before each group of the root
	Elements     []Element // in the order in which they are to be written
	Tail         []byte    // after the dataset; of a deflated file, after the deflate stream
}

// Bytes is the file.
func (f File) Bytes() []byte {
	var out []byte
	if !f.NoPreamble {
		preamble := f.Preamble
		if preamble == nil {
			preamble = make([]byte, 128)
		}
		out = append(append(out, preamble...), "DICM"...)
	}
	if !f.NoMeta {
		meta := f.Meta
		if meta == nil {
			meta = f.StandardMeta()
		}
		out = append(out, encodeElements(meta, Syntax{})...)
	}
	elements := f.Elements
	if f.GroupLengths {
		elements = withGroupLengths(elements, f.Syntax)
	}
	dataset := encodeElements(elements, f.Syntax)
	if f.Syntax.Deflated {
		dataset = deflated(dataset)
	}
	return append(append(out, dataset...), f.Tail...)
}

// StandardMeta is the group 0002 that a well-behaved writer gives this file, group length first.
func (f File) StandardMeta() []Element {
	meta := []Element{
		Raw(0x00020001, "OB", []byte{0, 1}),
		Text(0x00020002, "UI", text(f.Elements, 0x00080016)),
		Text(0x00020003, "UI", text(f.Elements, 0x00080018)),
		Text(0x00020010, "UI", f.Syntax.UID),
		Text(0x00020012, "UI", "2.25.268327149226044230389026345207474151424"),
		Text(0x00020013, "SH", "PHANTOM_1"),
	}
	return withGroupLengths(meta, Syntax{})
}

// withGroupLengths puts a group length before each run of elements of one group.
func withGroupLengths(elements []Element, syntax Syntax) []Element {
	var out []Element
	for len(elements) > 0 {
		group, n := elements[0].Tag>>16, 1
		for n < len(elements) && elements[n].Tag>>16 == group {
			n++
		}
		length := uint32(len(encodeElements(elements[:n], syntax)))
		out = append(append(out, Numbers(group<<16, "UL", length)), elements[:n]...)
		elements = elements[n:]
	}
	return out
}

// deflated is b as a raw deflate stream, padded to an even length (PS3.5 section A.5).
func deflated(b []byte) []byte {
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, 6)
	if err == nil {
		_, err = w.Write(b)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(fmt.Sprintf("deflate into memory: %v", err)) // the level is valid and memory takes every write
	}
	if out.Len()%2 == 1 {
		out.WriteByte(0)
	}
	return out.Bytes()
}

// encodeElements writes elements as syntax codes them, before any deflating.
func encodeElements(elements []Element, syntax Syntax) []byte {
	e := encoder{implicit: syntax.Implicit, order: binary.LittleEndian}
	if syntax.Big {
		e.order = binary.BigEndian
	}
	e.elements(elements)
	return e.out
}

// byteOrder is both halves of what encoding/binary has of an order.
type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// encoder appends elements to out.
type encoder struct {
	out      []byte
	implicit bool
	order    byteOrder
}

func (e *encoder) elements(elements []Element) {
	for _, el := range elements {
		e.element(el)
	}
}

func (e *encoder) element(el Element) {
	e.tag(el.Tag)
	switch {
	case el.Items != nil:
		e.sequence(el)
	case el.Fragments != nil:
		e.fragments(el)
	default:
		e.length(el.VR, claimed(el.Claim, uint32(len(el.Value))))
		e.value(el)
	}
}

// claimed is the length to write: the true one unless there is a claim.
func claimed(claim *uint32, length uint32) uint32 {
	if claim != nil {
		return *claim
	}
	return length
}

func (e *encoder) tag(tag uint32) {
	e.out = e.order.AppendUint16(e.out, uint16(tag>>16))
	e.out = e.order.AppendUint16(e.out, uint16(tag))
}

// shortVRs are those whose explicit length has 16 bits; all others, later ones too, have 32 (PS3.5 section 7.1.2).
const shortVRs = "AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US"

// isShort reports whether vr is one of shortVRs.
func isShort(vr string) bool {
	for i := 0; i < len(shortVRs); i += 3 {
		if shortVRs[i:i+2] == vr {
			return true
		}
	}
	return false
}

// length writes what stands between tag and value, and returns nothing: a short VR's length is cut to 16 bits, as a lying writer would.
func (e *encoder) length(vr string, length uint32) {
	switch {
	case e.implicit:
		e.out = e.order.AppendUint32(e.out, length)
	case isShort(vr):
		e.out = append(e.out, vr...)
		e.out = e.order.AppendUint16(e.out, uint16(length))
	default:
		e.out = append(e.out, vr...)
		e.out = append(e.out, 0, 0)
		e.out = e.order.AppendUint32(e.out, length)
	}
}

// value writes the value, its numbers turned around in a big-endian file.
func (e *encoder) value(el Element) {
	at := len(e.out)
	e.out = append(e.out, el.Value...)
	if e.order.String() == binary.BigEndian.String() && el.Unit > 1 {
		for n := e.out[at:]; len(n) >= el.Unit; n = n[el.Unit:] {
			slices.Reverse(n[:el.Unit])
		}
	}
}

// sequence writes length, items and, if its length is undefined, the delimiter.
func (e *encoder) sequence(el Element) {
	e.length(el.VR, claimed(el.Claim, undefined))
	start, outside := len(e.out), *e
	if el.VR == "UN" {
		e.implicit, e.order = true, binary.LittleEndian
	}
	for _, item := range el.Items {
		e.item(item)
	}
	if el.Undefined {
		e.tag(seqDelimiter)
		e.out = e.order.AppendUint32(e.out, 0)
	}
	e.implicit, e.order = outside.implicit, outside.order
	if !el.Undefined && el.Claim == nil {
		e.order.PutUint32(e.out[start-4:], uint32(len(e.out)-start))
	}
}

func (e *encoder) item(item Item) {
	tag := item.Tag
	if tag == 0 {
		tag = itemTag
	}
	e.tag(tag)
	e.out = e.order.AppendUint32(e.out, claimed(item.Claim, undefined))
	start := len(e.out)
	e.elements(item.Elements)
	switch {
	case item.Undefined:
		e.tag(itemDelimiter)
		e.out = e.order.AppendUint32(e.out, 0)
	case item.Claim == nil:
		e.order.PutUint32(e.out[start-4:], uint32(len(e.out)-start))
	}
}

// fragments writes encapsulated pixel data. Undefined is implied; a Claim of the element stands in its header all the same.
func (e *encoder) fragments(el Element) {
	e.length(el.VR, claimed(el.Claim, undefined))
	for _, fragment := range el.Fragments {
		e.tag(itemTag)
		e.out = e.order.AppendUint32(e.out, uint32(len(fragment)))
		e.out = append(e.out, fragment...)
	}
	e.tag(seqDelimiter)
	e.out = e.order.AppendUint32(e.out, 0)
}
