// Package phantom makes the project's own DICOM: small files that are odd in every way the standard allows and real files show,
// and synthetic studies with something to see in them. No patient ever stood behind any of it.
//
// The writer here shares nothing with the reader and the writer of package part10, so that each checks the other. It does what it is told:
// a [File] says how every length, preamble and byte order is to be written, wrong ones included, and [File.Bytes] writes just that.
// It is for tests, samples and demonstrations; nothing that is archived is ever written by it.
//
//   - [Cases] is a catalogue of good files, each a few kilobytes, that covers every transfer syntax and each oddity in small.
//   - [BadCases] is its counterpart: what a reader has to refuse, and what it should say.
//   - [Study] describes a realistic study (CT, MR, colour ultrasound) and writes its files, of any size, frame by frame.
//
// All bytes are a function of the names and numbers asked for: the same on each machine and in each run.
package phantom

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Element is one data element as it is to stand in the file. One of Value, Items and Fragments is its value.
type Element struct {
	Tag       uint32
	VR        string   // as written; implicit files leave it out
	Value     []byte   // little-endian, written as it is: no padding is added
	Unit      int      // bytes of one number in Value, which big-endian files turn around; 0 and 1 for none
	Items     []Item   // of a sequence, not nil; a VR of UN has them in implicit little-endian, as PS3.5 section 6.2.2 says
	Fragments [][]byte // of encapsulated pixel data, the basic offset table first; not nil
	Undefined bool     // the sequence ends with a delimiter instead of having a length
	Claim     *uint32  // a length to write in place of the true one
}

// Item is one item of a sequence.
type Item struct {
	Elements  []Element
	Undefined bool    // ends with a delimiter
	Tag       uint32  // in place of (FFFE,E000), when not 0
	Claim     *uint32 // a length to write in place of the true one
}

const (
	itemTag       = 0xFFFEE000
	itemDelimiter = 0xFFFEE00D
	seqDelimiter  = 0xFFFEE0DD
	undefined     = 0xFFFFFFFF
	pixelData     = 0x7FE00010
)

// Text is an element of a text VR with its values, padded to an even length as the standard says: UI with a NUL, all others with a space.
func Text(tag uint32, vr string, values ...string) Element {
	s := strings.Join(values, `\`)
	if len(s)%2 == 1 && vr == "UI" {
		s += "\x00"
	} else if len(s)%2 == 1 {
		s += " "
	}
	return Element{Tag: tag, VR: vr, Value: []byte(s)}
}

// Raw is an element with exactly these bytes, odd or not, in either byte order.
func Raw(tag uint32, vr string, value []byte) Element {
	return Element{Tag: tag, VR: vr, Value: value}
}

// Number is what the numeric VRs are made of.
type Number interface {
	~int16 | ~uint16 | ~int32 | ~uint32 | ~int64 | ~uint64 | ~float32 | ~float64
}

// Numbers is an element of a binary VR. The type of the numbers has to fit the VR.
func Numbers[T Number](tag uint32, vr string, values ...T) Element {
	e := Element{Tag: tag, VR: vr}
	for _, v := range values {
		before := len(e.Value)
		switch n := any(v).(type) {
		case float32:
			e.Value = binary.LittleEndian.AppendUint32(e.Value, math.Float32bits(n))
		case float64:
			e.Value = binary.LittleEndian.AppendUint64(e.Value, math.Float64bits(n))
		default:
			e.Value, _ = binary.Append(e.Value, binary.LittleEndian, n)
		}
		e.Unit = len(e.Value) - before
	}
	return e
}

// Tags is an element of VR AT: each number is two of 16 bits.
func Tags(tag uint32, values ...uint32) Element {
	var halves []uint16
	for _, v := range values {
		halves = append(halves, uint16(v>>16), uint16(v))
	}
	return Numbers(tag, "AT", halves...)
}

// Sequence is an element of VR SQ whose length and whose items' lengths are defined.
func Sequence(tag uint32, items ...Item) Element {
	if items == nil {
		items = []Item{}
	}
	return Element{Tag: tag, VR: "SQ", Items: items}
}

// Delimited is Sequence with undefined lengths of sequence and items.
func Delimited(tag uint32, items ...Item) Element {
	e := Sequence(tag, slices.Clone(items)...)
	e.Undefined = true
	for i := range e.Items {
		e.Items[i].Undefined = true
	}
	return e
}

// Encapsulated is Pixel Data in fragments; table is its basic offset table, which may be empty.
func Encapsulated(table []uint32, fragments ...[]byte) Element {
	var first []byte
	for _, offset := range table {
		first = binary.LittleEndian.AppendUint32(first, offset)
	}
	return Element{Tag: pixelData, VR: "OB", Fragments: append([][]byte{first}, fragments...)}
}

// with is base and extra in ascending order of tags; an extra element takes the place of one of the same tag.
func with(base []Element, extra ...Element) []Element {
	out := slices.Clone(base)
	for _, e := range extra {
		at, found := slices.BinarySearchFunc(out, e.Tag, func(a Element, tag uint32) int { return int(int64(a.Tag) - int64(tag)) })
		if found {
			out[at] = e
		} else {
			out = slices.Insert(out, at, e)
		}
	}
	return out
}

// without is base less the elements of these tags.
func without(base []Element, tags ...uint32) []Element {
	return slices.DeleteFunc(slices.Clone(base), func(e Element) bool { return slices.Contains(tags, e.Tag) })
}

// text is the text of an element at the root, "" where there is none.
func text(elements []Element, tag uint32) string {
	for _, e := range elements {
		if e.Tag == tag {
			return strings.TrimRight(string(e.Value), " \x00")
		}
	}
	return ""
}

// String is the element's tag and VR, for messages.
func (e Element) String() string { return fmt.Sprintf("(%04X,%04X) %s", e.Tag>>16, e.Tag&0xFFFF, e.VR) }
