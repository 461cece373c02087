package dedup

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
)

// Type is DeduppedType: what an object is.
type Type string

// The types of FORMAT.md section 2. An object of any other type is carried, and is no record.
const (
	TypePatient  Type = "patient"
	TypeStudy    Type = "study"
	TypeSeries   Type = "series"
	TypeImage    Type = "image"
	TypeInstance Type = "instance"
	TypeEncoding Type = "encoding"
	TypeSequence Type = "sequence"
	TypeInfo     Type = "info"
	TypeDeleted  Type = "deleted"
)

// extract reports whether records are completed with objects of this type.
func (t Type) extract() bool {
	return t == TypePatient || t == TypeStudy || t == TypeSeries || t == TypeImage
}

// Version is the format version that this package writes (FORMAT.md).
const Version = "1"

// Digest is a BLAKE3-256 sum. It prints as 64 lower-case hex digits.
type Digest [32]byte

// String is the digest in hex.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Dedup is what the private block of an object says (FORMAT.md section 2). The zero value of a field is absence.
type Dedup struct {
	Refs         []Hash
	Hash         Hash
	Type         Type
	Delete       bool
	Replace      []Hash
	ReplaceFiles []Hash
	Encoding     []Hash // of a record: its encoding object, its residue or the zero Hash, extra bulkdata
	Content      Hash
	Version      string
	File         Digest   // of the Part 10 file that came in
	FileSize     int64    // of that file
	Layout       []string // of an encoding object: DeduppedLayout
	Leaves       []string // in the current tree: DeduppedLeaves (package regen)
}

// The private block: its creator and the last byte of each element's tag.
const (
	creator = "dedupped"

	elementRef          = 0x10
	elementHash         = 0x11
	elementType         = 0x12
	elementDelete       = 0x13
	elementReplace      = 0x14
	elementReplaceFiles = 0x15
	elementEncoding     = 0x16
	elementContent      = 0x17
	elementVersion      = 0x18
	elementFile         = 0x19
	elementLayout       = 0x1A
	elementLeaves       = 0x1B

	firstBlock, lastBlock = 0x10, 0xFF
)

func creatorTag(block int) Tag          { return 0x00090000 | Tag(block) }
func blockTag(block int, last byte) Tag { return 0x00090000 | Tag(block)<<8 | Tag(last) }

// group9 is the part of o that is in group 0009, where private blocks of the archive can be.
func (o Object) group9() (start, end int) {
	start, _ = o.search(0x00090000)
	end, _ = o.search(0x000A0000)
	return start, end
}

// block is the archive's block in o: the highest that has its creator, whichever VR the creator is written with; 0 when there is none.
func (o Object) block() (block int) {
	start, end := o.group9()
	for i := start; i < end && o[i].Tag <= creatorTag(lastBlock); i++ {
		if b := int(o[i].Tag & 0xFF); b >= firstBlock && o[i:i+1].Text(o[i].Tag) == creator {
			block = b
		}
	}
	return block
}

// Split takes the archive's block off: content is o without it, d what it says. An object without a block is all content.
// Elements of the block that the format does not know stay in content, and so do those that are not ours but lie where ours would be in
// another block: nothing but the creator element tells whose an element is.
//
// Values of the wrong kind are as good as absent. A writer from 2021, which took block 10 whoever owned it, is
// known by its SHA-1 names and its creator's VR; in its objects only the three elements that it knew are the archive's.
func Split(o Object) (content Object, d Dedup) {
	block := o.block()
	if block == 0 {
		return o, Dedup{}
	}
	content = make(Object, 0, len(o))
	for _, e := range o {
		if !d.read(e, block) {
			content = append(content, e)
		}
	}
	if len(d.Hash.text) == 40 && o.vr(creatorTag(block)) == "CS" {
		return splitOld(o, block, d)
	}
	return content, d
}

// splitOld is Split for the writer from 2021.
func splitOld(o Object, block int, d Dedup) (content Object, old Dedup) {
	content = make(Object, 0, len(o))
	for _, e := range o {
		if e.Tag != creatorTag(block) && (e.Tag < blockTag(block, elementRef) || e.Tag > blockTag(block, elementType)) {
			content = append(content, e)
		}
	}
	return content, Dedup{Refs: d.Refs, Hash: d.Hash, Type: d.Type}
}

// dedup is what Split says of the block, without the content.
func (o Object) dedup() Dedup {
	start, end := o.group9()
	_, d := Split(o[start:end])
	return d
}

// vr is the attribute's VR.
func (o Object) vr(tag Tag) string {
	e, _ := o.Find(tag)
	s, _ := scan(e.JSON).find("vr").Text()
	return s
}

// read takes an element over when it belongs to the block.
func (d *Dedup) read(e Element, block int) bool {
	if e.Tag == creatorTag(block) {
		return true
	}
	if e.Tag&^0xFF != blockTag(block, 0) || e.Tag < blockTag(block, elementRef) || e.Tag > blockTag(block, elementLeaves) {
		return false
	}
	value := scan(e.JSON).find("Value")
	switch byte(e.Tag) {
	case elementRef:
		d.Refs, _ = value.hashes()
	case elementHash:
		d.Hash = value.hash()
	case elementType:
		d.Type = Type(value.first())
	case elementDelete:
		d.Delete = true
	case elementReplace:
		d.Replace, _ = value.hashes()
	case elementReplaceFiles:
		d.ReplaceFiles, _ = value.hashes()
	case elementEncoding:
		d.Encoding, _ = value.hashes()
	case elementContent:
		d.Content = value.hash()
	case elementVersion:
		d.Version = value.first()
	case elementFile:
		d.readFile(value)
	case elementLayout:
		d.Layout, _ = value.texts()
	case elementLeaves:
		d.Leaves, _ = value.texts()
	}
	return true
}

func (d *Dedup) readFile(value Token) {
	texts, _ := value.texts()
	if len(texts) != 2 {
		return
	}
	sum, err := hex.DecodeString(texts[0])
	size, err2 := strconv.ParseInt(texts[1], 10, 64)
	if err == nil && err2 == nil && len(sum) == len(d.File) && size >= 0 {
		d.File, d.FileSize = Digest(sum), size
	}
}

// first is the first text of an array, "" when there is none.
func (t Token) first() string {
	s, _ := scan(t).item().Text()
	return s
}

// hash is the first text of an array when it is a hash.
func (t Token) hash() Hash {
	h, _ := ParseHash(t.first())
	return h
}

// Seal puts the archive's block onto content and returns the object with its own hash. It takes the lowest free block above every
// block that has the archive's creator already, and sets Hash and Version, whatever d has there. content has no block of ours: Split took it off.
// The only error is that content leaves no block free.
func Seal(content Object, d Dedup) (Object, Hash, error) {
	block, err := content.freeBlock()
	if err != nil {
		return nil, Hash{}, err
	}
	d.Hash, d.Version = Hash{}, Version
	sealed := content.with(d.elements(block))
	h := HashOf(sha256.Sum256(sealed.AppendJSON(sealed.room(make([]byte, 0, onStack)))))
	return sealed.insert(textElement(blockTag(block, elementHash), h.text)), h, nil
}

// freeBlock is the block that Seal takes.
func (o Object) freeBlock() (int, error) {
	start, end := o.group9()
	var taken [lastBlock + 1]bool
	for _, e := range o[start:end] {
		if b := int(e.Tag & 0xFFFF); b <= lastBlock {
			taken[b] = true
		} else {
			taken[b>>8] = true
		}
	}
	block := max(firstBlock, o.block()+1)
	for block <= lastBlock && taken[block] {
		block++
	}
	if block > lastBlock {
		return 0, fmt.Errorf("group 0009 has no free block: %w", ErrObject)
	}
	return block, nil
}

// with is o with more elements, whose tags it does not have. There is room for one more in it.
func (o Object) with(more []Element) Object {
	out := append(make(Object, 0, len(o)+len(more)+1), o...)
	for _, e := range more {
		out = out.insert(e)
	}
	return out
}

// insert puts one more element into an Object that is nobody else's.
func (o Object) insert(e Element) Object {
	i, _ := o.search(e.Tag)
	return slices.Insert(o, i, e)
}

// elements is the block as elements.
func (d Dedup) elements(block int) []Element {
	out := []Element{textElement(creatorTag(block), creator)}
	add := func(last byte, texts ...string) {
		out = append(out, textElement(blockTag(block, last), texts...))
	}
	for _, e := range [...]struct {
		last   byte
		hashes []Hash
	}{{elementRef, d.Refs}, {elementReplace, d.Replace}, {elementReplaceFiles, d.ReplaceFiles}, {elementEncoding, d.Encoding}} {
		if len(e.hashes) > 0 {
			add(e.last, hashTexts(e.hashes)...)
		}
	}
	for _, e := range [...]struct {
		last byte
		text string
	}{{elementHash, d.Hash.text}, {elementType, string(d.Type)}, {elementContent, d.Content.text}, {elementVersion, d.Version}} {
		if e.text != "" {
			add(e.last, e.text)
		}
	}
	if d.Delete {
		add(elementDelete, "1")
	}
	if d.File != (Digest{}) {
		add(elementFile, d.File.String(), strconv.FormatInt(d.FileSize, 10))
	}
	if len(d.Layout) > 0 {
		add(elementLayout, d.Layout...)
	}
	if len(d.Leaves) > 0 {
		add(elementLeaves, d.Leaves...)
	}
	return out
}

func hashTexts(hashes []Hash) []string {
	texts := make([]string, len(hashes))
	for i, h := range hashes {
		texts[i] = h.text
	}
	return texts
}

// textElement is an LO element. An empty text is an empty component: null.
func textElement(tag Tag, texts ...string) Element {
	out := append(make([]byte, 0, 24+68*len(texts)), `{"Value":[`...)
	for i, s := range texts {
		if i > 0 {
			out = append(out, ',')
		}
		if s == "" {
			out = append(out, "null"...)
		} else {
			out = append(out, Quote(s)...)
		}
	}
	return Element{tag, append(out, `],"vr":"LO"}`...)}
}
