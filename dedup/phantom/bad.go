package phantom

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"slices"
)

// Fault is the kind of thing that is wrong with a bad case.
type Fault string

// The faults. Each file is refused, with one line that says what and where, and leaves nothing behind.
const (
	NotDICOM  Fault = "not DICOM"                               // nothing in it can be read as a dataset
	Truncated Fault = "ends too early"                          // it ends inside an element, an item or a sequence
	Malformed Fault = "malformed"                               // a tag or a length stands where none like it can
	NoPlace   Fault = "no well-formed study, series or SOP UID" // it can be read, but there is nowhere to put it
)

// BadCase is one file that is to be refused.
type BadCase struct {
	Name  string // fit for a file name
	Shows string
	Fault Fault
	Data  []byte
}

// BadCases is the catalogue of what is to be refused, in a fixed order. Readers may call a length that reaches beyond the end of the file
// Truncated or Malformed as they like: the file cannot say which of both it is.
func BadCases() []BadCase {
	return slices.Concat(alienCases(), truncatedCases(), lyingCases(), wrongTagCases(), placelessCases())
}

// bad is a bad case made of the bytes of a good one.
func bad(name, shows string, fault Fault, c Case) BadCase {
	return BadCase{name, shows, fault, c.Bytes()}
}

func alienCases() []BadCase {
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, err := w.Write(plain("bad", "gzip", "").Bytes())
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(fmt.Sprintf("gzip into memory: %v", err)) // memory takes every write
	}
	one := func(name, shows string, data []byte) BadCase { return BadCase{name, shows, NotDICOM, data} }
	return []BadCase{
		one("empty", "no byte", nil),
		one("one-byte", "one byte", []byte{8}),
		one("zeros", "a page of zeros", make([]byte, 4096)),
		one("random", "bytes of a generator", fill("random", 4096)),
		one("text", "a letter", []byte("Dear colleague,\n\nthis is not an image.\n")),
		one("html", "a page", []byte("<!DOCTYPE html><html><head><title>504 Gateway Time-out</title></head><body></body></html>")),
		one("json", "a DICOM JSON object", []byte(`[{"00080018":{"vr":"UI","Value":["1.2.3"]}}]`)),
		one("gzip", "a good file, gzipped", zipped.Bytes()),
		one("png", "a picture", []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00")),
		one("jpeg", "a picture without a dataset around it", jpegFrame(syntax(jpegBaseline), gray8(), gray8().native()[0])),
		one("preamble-alone", "a preamble and DICM, then nothing", append(make([]byte, 128), "DICM"...)),
		one("preamble-text", "a preamble and DICM, then a letter", append(append(make([]byte, 128), "DICM"...), "Dear colleague, this is not an image either."...)),
	}
}

func truncatedCases() []BadCase {
	image := pictured("bad", "truncated", "", syntax(explicitLE), gray16())
	packed := pictured("bad", "truncated", "", syntax(rleLossless), gray16().of(2))
	list := plain("bad", "truncated", "", Delimited(0x00400260, entry(1), entry(2)))
	counted := plain("bad", "truncated", "", Sequence(0x00400260, entry(1), entry(2)))
	whole, fragments, delimited, deflate := image.Bytes(), packed.Bytes(), list.Bytes(), image
	deflate.File.Syntax = syntax(deflatedLE)
	cut := func(name, shows string, data []byte) BadCase {
		return BadCase{"truncated-" + name, shows, Truncated, data}
	}
	start := func(data []byte, tag uint32) int { return find(data, tag) }
	return []BadCase{
		cut("meta", "ends in the meta group", whole[:160]),
		cut("tag", "ends in a tag", whole[:start(whole, 0x00280010)+3]),
		cut("vr", "ends in a VR", whole[:start(whole, 0x00280010)+5]),
		cut("length", "ends in a length", whole[:start(whole, 0x00280010)+7]),
		cut("value", "ends in a value", whole[:start(whole, 0x0008103E)+9]),
		cut("pixels", "ends in native Pixel Data", whole[:len(whole)-100]),
		cut("pixels-one", "the last byte is missing", whole[:len(whole)-1]),
		cut("pixels-none", "ends before the first pixel", whole[:start(whole, pixelData)+12]),
		cut("no-delimiter", "fragments without a sequence delimiter", fragments[:len(fragments)-8]),
		cut("half-delimiter", "a sequence delimiter without its length", fragments[:len(fragments)-4]),
		cut("fragment", "ends in a fragment", fragments[:len(fragments)-30]),
		cut("offset-table", "ends in the item of the offset table", fragments[:start(fragments, pixelData)+16]),
		cut("sequence", "a sequence of undefined length without its delimiter", upTo(delimited, 0x00400260, 8)),
		cut("item", "ends in an item of undefined length", delimited[:start(delimited, 0x00400260)+60]),
		cut("sequence-defined", "ends in a sequence of defined length", counted.Bytes()[:start(counted.Bytes(), 0x00400260)+60]),
		cut("deflated", "ends in a deflate stream", deflate.Bytes()[:len(deflate.Bytes())-40]),
	}
}

// find is where an explicit little-endian element begins.
func find(data []byte, tag uint32) int {
	return bytes.Index(data[128:], binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(nil, uint16(tag>>16)), uint16(tag))) + 128
}

// upTo is data up to the end of the sequence that begins with tag and is delimited, less its last n bytes.
func upTo(data []byte, tag uint32, n int) []byte {
	at := find(data, tag)
	end := bytes.Index(data[at:], []byte{0xFE, 0xFF, 0xDD, 0xE0}) + at + 8
	return data[:end-n]
}

func lyingCases() []BadCase {
	three := uint32(3_000_000_000)
	claim := func(name, shows string, e Element, length uint32) BadCase {
		e.Claim = new(length)
		return bad(name, shows, Malformed, plain("bad", name, "", e))
	}
	pixels := pictured("bad", "pixels-3GB", "", syntax(explicitLE), gray16())
	pixels.File.Elements[len(pixels.File.Elements)-1].Claim = &three
	deflate := pixels
	deflate.File.Syntax = syntax(deflatedLE)
	inner := Sequence(0x00081140, entry(1))
	inner.Claim = new(uint32(4000))
	item := entry(1)
	item.Claim = new(uint32(4000))
	return []BadCase{
		claim("private-3GB", "a private value of 3 GB in a file of 100 kB", Raw(0x00291001, "OB", fill("lie", 100_000)), three),
		claim("text-3GB", "a text of 3 GB", Raw(0x0040A160, "UT", []byte("short ")), three),
		claim("sequence-3GB", "a sequence of 3 GB", Sequence(0x00400260, entry(1)), three),
		claim("almost-undefined", "a length one below undefined", Raw(0x00420011, "OB", []byte{1, 2}), undefined-1),
		claim("beyond-end", "a short value that reaches beyond the end", Text(0x00204000, "LT", "short "), 60000),
		bad("pixels-3GB", "Pixel Data of 3 GB", Malformed, pixels),
		bad("deflated-3GB", "Pixel Data of 3 GB in a deflated file", Malformed, deflate),
		bad("inner-beyond-outer", "a sequence that reaches beyond the item that holds it", Malformed,
			plain("bad", "inner", "", Sequence(0x00400260, Item{Elements: []Element{inner}}), Raw(0x00420011, "OB", make([]byte, 6000)))),
		bad("item-beyond-sequence", "an item that reaches beyond its sequence", Malformed, itemBeyond(item)),
		bad("value-beyond-item", "a value that reaches beyond its item", Malformed, plain("bad", "value", "", Sequence(0x00400260,
			Item{Elements: []Element{{Tag: 0x00080104, VR: "LO", Value: []byte("abcd"), Claim: new(uint32(5000))}}}), Raw(0x00420011, "OB", make([]byte, 6000)))),
		claim("undefined-text", "an undefined length of a text", Raw(0x0040A160, "UT", []byte("short ")), undefined),
		claim("undefined-bytes", "an undefined length of bytes that are no fragments", Raw(0x00420011, "OB", []byte("no item here")), undefined),
		claim("undefined-un", "UN of undefined length that holds no items", Raw(0x00291001, "UN", []byte("no item here")), undefined),
		endless(),
	}
}

// itemBeyond is a sequence of defined length whose one item says that it is longer.
func itemBeyond(item Item) Case {
	e := Sequence(0x00400260, item)
	e.Claim = new(uint32(len(encodeElements(item.Elements, Syntax{})) + 8))
	return plain("bad", "item", "", e, Raw(0x00420011, "OB", make([]byte, 6000)))
}

// endless opens a sequence, an item, a sequence ... to its end.
func endless() BadCase {
	c := plain("bad", "endless", "")
	open := encodeElements([]Element{Delimited(0x00081140, Item{})}, Syntax{})[:20]
	data := c.Bytes()
	for range 8000 {
		data = append(data, open...)
	}
	return BadCase{"endless", "8,000 levels that are opened and never closed", Truncated, data}
}

func wrongTagCases() []BadCase {
	wrong := entry(1)
	wrong.Tag = 0x00080104
	fragments := pictured("bad", "fragments", "", syntax(rleLossless), gray8())
	data := fragments.Bytes()
	copy(data[find(data, pixelData)+12:], []byte{0xFE, 0xFF, 0x0D, 0xE0})
	return []BadCase{
		bad("wrong-item-delimited", "an element where an item belongs, in a sequence of undefined length", Malformed,
			plain("bad", "item", "", Delimited(0x00400260, wrong))),
		bad("stray-item", "an item where an element belongs", Malformed, plain("bad", "stray", "", Raw(itemTag, "OB", []byte{0, 0}))),
		bad("stray-delimiter", "a delimiter that closes nothing", Malformed, strayDelimiter()),
		{"wrong-fragment", "an item delimiter where the offset table belongs", Malformed, data},
		bad("vr-garbage", "a VR that is not two letters", Malformed, plain("bad", "vr", "", Raw(0x00204000, "\x00\x07", []byte("what is this")))),
		bad("deflated-not", "a dataset that says deflated and is not", Malformed, notDeflated()),
	}
}

// strayDelimiter ends in a sequence delimiter that no sequence waits for.
func strayDelimiter() Case {
	c := plain("bad", "delimiter", "")
	c.File.Tail = []byte{0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0}
	return c
}

func notDeflated() Case {
	c := plain("bad", "deflated", "")
	c.File.Meta = with(c.File.StandardMeta(), Text(0x00020010, "UI", deflatedLE))
	c.File.Meta = withGroupLengths(c.File.Meta[1:], Syntax{})
	return c
}

func placelessCases() []BadCase {
	one := func(name, shows string, e Element) BadCase {
		return bad(name, shows, NoPlace, plain("bad", name, "", e))
	}
	missing := func(name, shows string, tag uint32) BadCase {
		c := plain("bad", name, "")
		c.File.Elements = without(c.File.Elements, tag)
		return bad(name, shows, NoPlace, c)
	}
	directory := plain("bad", "dicomdir", "", Text(0x00041130, "CS", "PHANTOMS"), Sequence(0x00041220, Item{Elements: []Element{Text(0x00041430, "CS", "PATIENT")}}))
	directory.File.Elements = without(directory.File.Elements, 0x00080016, 0x00080018, 0x0020000D, 0x0020000E)
	return []BadCase{
		missing("study-missing", "no Study Instance UID", 0x0020000D),
		missing("series-missing", "no Series Instance UID", 0x0020000E),
		missing("sop-missing", "no SOP Instance UID", 0x00080018),
		one("study-empty", "an empty Study Instance UID", Text(0x0020000D, "UI")),
		one("study-traversal", "a Study Instance UID that climbs out of the tree", Text(0x0020000D, "UI", "../../../../tmp/phantom")),
		one("sop-traversal", "a SOP Instance UID that climbs", Text(0x00080018, "UI", "1.2.3/../../4")),
		one("sop-absolute", "a SOP Instance UID that is a path", Text(0x00080018, "UI", "/etc/passwd")),
		one("sop-dots", "a SOP Instance UID of dots", Text(0x00080018, "UI", "..")),
		one("sop-nul", "a SOP Instance UID with a NUL inside", Raw(0x00080018, "UI", []byte("1.2\x003.4"))),
		one("sop-several", "two SOP Instance UIDs", Text(0x00080018, "UI", "1.2.3", "1.2.4")),
		one("sop-long", "a SOP Instance UID of 90 characters", Raw(0x00080018, "UI", repeat("1.2345.78.", 9))),
		one("sop-letters", "a SOP Instance UID of letters", Text(0x00080018, "UI", "one.two.three")),
		bad("dicomdir", "a media directory", NoPlace, directory),
	}
}
