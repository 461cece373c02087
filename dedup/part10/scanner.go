package part10

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/dicomesh/dicomesh/dedup"
)

// ErrFormat says that a file is not DICOM Part 10, ends too early, or says something of itself that cannot be.
// The text names the place in the file, never a value.
var ErrFormat = errors.New("not a sound DICOM file")

// ErrTruncated is the ErrFormat of a file that ends too early: where more bytes came, it could be sound.
var ErrTruncated error = truncated("it ends too early, or is not as long as it says: send it again")

type truncated string

func (t truncated) Error() string      { return string(t) }
func (truncated) Unwrap() error        { return ErrFormat }
func (truncated) Is(target error) bool { _, is := target.(truncated); return is }

// Limits of what one file may ask of the reader. A file beyond them is refused.
const (
	maxInline    = 64 << 10  // bytes of a value that stays in an object
	maxNesting   = 64        // levels of sequences that become JSON; deeper ones stay bytes
	maxDepth     = 1 << 17   // levels of sequences altogether
	maxMemory    = 384 << 20 // what everything but long values and pixels may weigh: see taker.weight
	maxSkeleton  = maxMemory / 2
	maxPieces    = maxMemory / pieceWeight
	maxPadding   = 16 << 20
	maxFrames    = 1 << 19
	maxFragments = 1 << 20
)

const (
	tagItem         dedup.Tag = 0xFFFEE000
	tagItemEnd      dedup.Tag = 0xFFFEE00D
	tagSequenceEnd  dedup.Tag = 0xFFFEE0DD
	tagPadding      dedup.Tag = 0xFFFCFFFC
	tagPixelData    dedup.Tag = 0x7FE00010
	tagFloatPixels  dedup.Tag = 0x7FE00008
	tagDoublePixels dedup.Tag = 0x7FE00009
	undefined                 = 0xFFFFFFFF
)

type kind uint8

// What the scanner comes across. Every byte of the file belongs to exactly one token: its raw bytes, or the value that follows an
// element or a fragment and that the caller reads.
const (
	atElement     kind = iota + 1 // an element whose value of length bytes follows
	atSequence                    // the header of a sequence
	atItem                        // the header of an item
	atItemEnd                     // raw is the delimiter, or empty where the length was defined
	atSequenceEnd                 // likewise
	atPixels                      // the header of encapsulated Pixel Data; fragments follow
	atFragment                    // an item header inside of it; length bytes follow
	atPixelsEnd
	atNoise // bytes that mean nothing: a delimiter where none is due, zeros after the end
)

// token is one step through a file. raw is valid until the next call.
type token struct {
	kind      kind
	tag       dedup.Tag
	vr        VR // resolved: see dictionary.resolve
	written   VR // as it stands there; "" in an implicit dataset
	raw       []byte
	length    int64
	undefined bool
	broken    bool   // an element that should be a sequence and has no items
	coding    coding // of the element and its value
	at        int64  // of raw in the (inflated) stream
}

// unknown reports whether an element that is known by what it is was written as UN.
func (t token) unknown() bool { return t.written == "UN" && t.vr != "UN" }

// level is one open sequence, item or run of fragments.
type level struct {
	end    int64 // offset; -1: until its delimiter
	kind   kind  // atSequence, atItem, atPixels
	coding coding
}

// scanner walks over a dataset without recursion and without holding values. The caller must read each value whole before it goes on.
type scanner struct {
	r      stream
	off    int64 // of the next byte
	left   int64 // bytes of a value that the caller has not read
	levels []level
	root   coding
	vrs    *dictionary
	header [16]byte
	total  int64 // the length of the stream when it is known, else -1
	blind  bool  // take values of unknown VR as bytes: this scanner is the one that looks ahead
}

// peekSize is the most that the scanner looks ahead: a value of unknown VR that may be a sequence, with its header.
const peekSize = maxInline + 64

func newScanner(r stream, total int64, c coding, vrs *dictionary) *scanner {
	return &scanner{r: r, total: total, root: c, vrs: vrs}
}

func (s *scanner) errorf(at int64, format string, args ...any) error {
	return fmt.Errorf("at byte %d: %s: %w", at, fmt.Sprintf(format, args...), ErrFormat)
}

// short is errorf of a file that ends too early.
func (s *scanner) short(at int64, format string, args ...any) error {
	return fmt.Errorf("at byte %d: %s: %w", at, fmt.Sprintf(format, args...), ErrTruncated)
}

// top is the innermost open level; the root when nothing is open.
func (s *scanner) top() level {
	if n := len(s.levels); n > 0 {
		return s.levels[n-1]
	}
	return level{end: -1, kind: atItem, coding: s.root}
}

// next is the next token, io.EOF at the sound end of the dataset.
func (s *scanner) next() (token, error) {
	if s.left != 0 {
		return token{}, s.errorf(s.off, "value not read to its end")
	}
	top := s.top()
	if top.end >= 0 && s.off >= top.end {
		return s.closeDefined(top)
	}
	if top.kind == atItem {
		return s.nextElement(top)
	}
	return s.nextItem(top)
}

// closeDefined ends a level whose length was given.
func (s *scanner) closeDefined(top level) (token, error) {
	if s.off > top.end {
		return token{}, s.errorf(s.off, "goes %d bytes beyond the length that was given", s.off-top.end)
	}
	s.levels = s.levels[:len(s.levels)-1]
	return token{kind: endOf(top.kind), coding: top.coding, at: s.off}, nil
}

func endOf(k kind) kind {
	switch k {
	case atItem:
		return atItemEnd
	case atPixels:
		return atPixelsEnd
	}
	return atSequenceEnd
}

// peek is the next n bytes, or an error that says that the file ends.
func (s *scanner) peek(n int) ([]byte, error) {
	b, err := s.r.Peek(n)
	if errors.Is(err, io.EOF) {
		return b, s.endsInside(b)
	}
	if err != nil {
		return b, fmt.Errorf("at byte %d: %w", s.off, err)
	}
	return b, nil
}

// endsInside is the error of a stream that ends after b.
func (s *scanner) endsInside(b []byte) error {
	return s.short(s.off, "ends inside a data element: %d bytes are left", len(b))
}

// take consumes n bytes that were peeked at and returns them as a token's raw bytes.
func (s *scanner) take(b []byte, n int) []byte {
	raw := append(s.header[:0], b[:n]...)
	_, _ = s.r.Discard(n)
	s.off += int64(n)
	return raw
}

func order(c coding) binary.ByteOrder {
	if c.big {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

func tagAt(b []byte, c coding) dedup.Tag {
	o := order(c)
	return dedup.Tag(o.Uint16(b))<<16 | dedup.Tag(o.Uint16(b[2:]))
}

// nextElement reads the header of the element that begins here.
func (s *scanner) nextElement(top level) (token, error) {
	atRoot := len(s.levels) == 0
	b, err := s.r.Peek(8)
	if atRoot && errors.Is(err, io.EOF) {
		return s.tail(b)
	}
	if b, err = s.peek(8); err != nil {
		return token{}, err
	}
	at, tag := s.off, tagAt(b, top.coding)
	switch {
	case tag == tagItemEnd && top.end < 0 && !atRoot:
		s.levels = s.levels[:len(s.levels)-1]
		return token{kind: atItemEnd, tag: tag, raw: s.take(b, 8), undefined: true, coding: top.coding, at: at}, nil
	case tag == tagItemEnd || tag == tagSequenceEnd:
		if atRoot {
			return token{}, s.errorf(at, "a delimiter that ends nothing")
		}
		return token{kind: atNoise, tag: tag, raw: s.take(b, 8), coding: top.coding, at: at}, nil
	case tag == tagItem:
		return token{}, s.errorf(at, "an item outside of a sequence")
	case tag == 0 && atRoot:
		return s.tail(b)
	}
	return s.header8(top, tag, at)
}

// tail is what may stand after the last element: zeros.
func (s *scanner) tail(b []byte) (token, error) {
	if len(b) == 0 {
		return token{}, io.EOF
	}
	b = b[:min(len(b), 8)]
	for _, c := range b {
		if c == 0 {
			continue
		}
		if len(b) < 8 {
			return token{}, s.endsInside(b)
		}
		return token{}, s.errorf(s.off, "tag (0000,0000) is no data element")
	}
	return token{kind: atNoise, at: s.off, raw: s.take(b, len(b))}, nil
}

// header8 reads tag, VR and length. An element of an explicit dataset whose VR is no VR at all is read as implicit, as old toolkits write
// the inside of private sequences.
func (s *scanner) header8(top level, tag dedup.Tag, at int64) (token, error) {
	c := top.coding
	b, err := s.peek(8)
	if err != nil {
		return token{}, err
	}
	t := token{tag: tag, at: at, coding: c}
	o := order(c)
	size := 8
	switch {
	case c.implicit || !isVRText(b[4:6]):
		t.coding.implicit = true
		t.length = int64(o.Uint32(b[4:]))
	case longForm(vrOf(b[4], b[5]), b[6:8]):
		if b, err = s.peek(12); err != nil {
			return token{}, err
		}
		size, t.vr, t.length = 12, vrOf(b[4], b[5]), int64(o.Uint32(b[8:]))
	default:
		t.vr, t.length = vrOf(b[4], b[5]), int64(o.Uint16(b[6:]))
	}
	t.raw = s.take(b, size)
	t.undefined = t.length == undefined
	return s.classify(top, t)
}

// isVRText reports whether two bytes can be a VR: two capital letters.
func isVRText(b []byte) bool { return b[0] >= 'A' && b[0] <= 'Z' && b[1] >= 'A' && b[1] <= 'Z' }

// longForm reports whether a VR has two reserved bytes and a length of four (PS3.5 section 7.1.2). New VRs will; a VR that nobody
// knows is taken so when the reserved bytes are zero.
func longForm(vr VR, reserved []byte) bool {
	if vr.known() {
		return vr.long()
	}
	return reserved[0] == 0 && reserved[1] == 0
}

// classify decides what an element's value is: bytes, items, or fragments.
func (s *scanner) classify(top level, t token) (token, error) {
	if !t.undefined && top.end >= 0 && s.off+t.length > top.end {
		return token{}, s.errorf(t.at, "(%s) of %d bytes does not fit into what it stands in", pretty(t.tag), t.length)
	}
	if !t.undefined && s.total >= 0 && s.off+t.length > s.total {
		return token{}, s.short(t.at, "(%s) says that it has %d bytes, %d are left", pretty(t.tag), t.length, s.total-s.off)
	}
	written := t.vr
	t.written, t.vr = written, s.vrs.resolve(t.tag, written)
	switch {
	case t.undefined && isPixels(t.tag) && len(s.levels) == 0 && written != "SQ":
		return s.open(t, atPixels, t.coding)
	case t.undefined && t.vr != "SQ" && written != "" && written != "UN" && written != "SQ" && !isPixels(t.tag):
		return token{}, s.errorf(t.at, "(%s) has an undefined length and is no sequence", pretty(t.tag))
	case t.undefined && isPixels(t.tag):
		return s.open(t, atPixels, t.coding)
	case t.undefined, t.vr == "SQ" && written != "UN" && s.itemsFollow(t):
		return s.open(t, atSequence, inside(t, written))
	case (written == "UN" || t.vr == "UN" || t.vr == "SQ") && s.itemsInValue(t, inside(t, written)):
		return s.open(t, atSequence, inside(t, written))
	}
	if t.vr == "SQ" {
		t.vr, t.broken = "UN", true
	}
	t.kind, s.left = atElement, t.length
	return t, nil
}

// inside is the coding of a sequence's items: a UN value is implicit little endian wherever it stands (PS3.5 section 6.2.2).
func inside(t token, written VR) coding {
	if written == "UN" {
		return coding{implicit: true}
	}
	return t.coding
}

func isPixels(t dedup.Tag) bool {
	return t == tagPixelData || t == tagFloatPixels || t == tagDoublePixels
}

// open begins a level.
func (s *scanner) open(t token, k kind, c coding) (token, error) {
	if len(s.levels) >= 2*maxDepth {
		return token{}, s.errorf(t.at, "sequences nest deeper than %d levels", maxDepth)
	}
	end := int64(-1)
	if !t.undefined {
		end = s.off + t.length
	}
	s.levels = append(s.levels, level{end: end, kind: k, coding: c})
	t.kind = k
	if k == atSequence {
		t.vr = "SQ"
	}
	return t, nil
}

// nextItem reads the item header or the delimiter that must stand here.
func (s *scanner) nextItem(top level) (token, error) {
	b, err := s.peek(8)
	if err != nil {
		return token{}, err
	}
	t := token{tag: tagAt(b, top.coding), at: s.off, coding: top.coding, length: int64(order(top.coding).Uint32(b[4:]))}
	t.undefined = t.length == undefined
	switch {
	case t.tag == tagSequenceEnd && top.end < 0:
		s.levels = s.levels[:len(s.levels)-1]
		t.kind, t.raw, t.length = endOf(top.kind), s.take(b, 8), 0
		return t, nil
	case t.tag == tagSequenceEnd || t.tag == tagItemEnd:
		t.kind, t.raw, t.length = atNoise, s.take(b, 8), 0
		return t, nil
	case t.tag != tagItem:
		return token{}, s.errorf(t.at, "no item where a sequence must have one")
	}
	t.raw = s.take(b, 8)
	if err := s.fits(top, t); err != nil {
		return token{}, err
	}
	if top.kind == atPixels {
		if t.undefined {
			return token{}, s.errorf(t.at, "a fragment of undefined length")
		}
		t.kind, s.left = atFragment, t.length
		return t, nil
	}
	return s.open(t, atItem, top.coding)
}

// fits refuses an item that is longer than what it stands in.
func (s *scanner) fits(top level, t token) error {
	switch {
	case t.undefined:
		return nil
	case top.end >= 0 && s.off+t.length > top.end:
		return s.errorf(t.at, "an item of %d bytes does not fit into its sequence", t.length)
	case s.total >= 0 && s.off+t.length > s.total:
		return s.short(t.at, "an item says that it has %d bytes, %d are left", t.length, s.total-s.off)
	}
	return nil
}

// pretty is a tag as people write it: 0008,0018.
func pretty(t dedup.Tag) string { return fmt.Sprintf("%04X,%04X", uint16(t>>16), uint16(t)) }
