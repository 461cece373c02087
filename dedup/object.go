package dedup

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Tag is a DICOM attribute tag, group in the upper 16 bits. It prints as DICOM JSON has it: "0020000D".
type Tag uint32

// The tags that the archive itself reads.
const (
	tagSOPInstanceUID    Tag = 0x00080018
	tagSeriesInstanceUID Tag = 0x0020000E
)

// String is the tag as eight upper-case hex digits.
func (t Tag) String() string { return fmt.Sprintf("%08X", uint32(t)) }

// Group is the tag's group number.
func (t Tag) Group() uint16 { return uint16(t >> 16) }

// Private reports whether the tag's group is odd (PS3.5 section 7.8).
func (t Tag) Private() bool { return t>>16&1 == 1 }

// parseTag reads eight hex digits of either case.
func parseTag(s []byte) (Tag, bool) {
	if len(s) != 8 {
		return 0, false
	}
	var t Tag
	for _, b := range s {
		d, ok := hexDigit(b)
		if !ok {
			return 0, false
		}
		t = t<<4 | Tag(d)
	}
	return t, true
}

func appendTag(out []byte, t Tag) []byte {
	for shift := 28; shift >= 0; shift -= 4 {
		out = append(out, "0123456789ABCDEF"[t>>shift&15])
	}
	return out
}

// Element is one attribute of an Object: its tag and the canonical JSON of its attribute object, such as {"Value":["CT"],"vr":"CS"}.
// Kept as JSON because most attributes are only ever carried from one file to another.
type Element struct {
	Tag  Tag
	JSON []byte
}

// Object is a DICOM JSON Model object in canonical form: elements in ascending order of tags, each tag once (FORMAT.md section 2).
// Whoever builds one keeps that order; ParseObject establishes it. Objects share memory with the text that they came from and
// with each other: nobody writes into an Element's JSON.
type Object []Element

// ParseObject reads one DICOM JSON object, whoever wrote it: keys in any order, white space, tags in either case, keys that it
// does not know. What it returns is canonical. The caller bounds the size of text; memory is a small multiple of it.
// Errors satisfy errors.Is(err, ErrObject).
func ParseObject(text []byte) (Object, error) {
	c := newCanon(text, 0)
	if err := c.document(); err != nil {
		return nil, err
	}
	if len(c.ends) != 1 {
		return nil, c.fail("not an object")
	}
	return c.objects()[0], nil
}

// ParseList reads an array of DICOM JSON objects as ParseObject reads one. A single object is a list of one.
func ParseList(text []byte) ([]Object, error) {
	c := newCanon(text, 1)
	if c.space() == '{' {
		c.level = 0
	}
	if err := c.document(); err != nil {
		return nil, err
	}
	if c.level == 1 && (c.out[0] != '[' || len(c.ends) != c.values) {
		return nil, c.fail("not a list of objects")
	}
	return c.objects(), nil
}

// AppendJSON appends the object's canonical JSON.
func (o Object) AppendJSON(out []byte) []byte {
	out = append(out, '{')
	for i, e := range o {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, '"')
		out = appendTag(out, e.Tag)
		out = append(append(out, '"', ':'), e.JSON...)
	}
	return append(out, '}')
}

// size is the length of the object's JSON.
func (o Object) size() int {
	n := 2
	for _, e := range o {
		n += len(e.JSON) + len(`"00080018":,`)
	}
	return n
}

// onStack is room for the JSON of most objects, so that where nothing but a sum of it is wanted it is no garbage.
const onStack = 8 << 10

// room is small if the object's JSON fits into it, else memory for it.
func (o Object) room(small []byte) []byte {
	if n := o.size(); n > cap(small) {
		return make([]byte, 0, n)
	}
	return small
}

// search is where tag stands or would stand.
func (o Object) search(tag Tag) (int, bool) {
	return slices.BinarySearchFunc(o, tag, func(e Element, t Tag) int { return int(int64(e.Tag) - int64(t)) })
}

// Find returns the element with that tag.
func (o Object) Find(tag Tag) (Element, bool) {
	if i, ok := o.search(tag); ok {
		return o[i], true
	}
	return Element{}, false
}

// Text is the first value of an attribute as text: a string, a number as it is written, the alphabetic part of a person's name;
// "" when there is none or it is something else.
func (o Object) Text(tag Tag) string {
	e, ok := o.Find(tag)
	if !ok {
		return ""
	}
	value := scan(e.JSON).find("Value")
	first := scan(value).item()
	if len(first) > 0 && first[0] == '{' {
		first = scan(first).find("Alphabetic")
	}
	if s, ok := Token(first).Text(); ok {
		return s
	}
	if len(first) > 0 && (first[0] == '-' || first[0] >= '0' && first[0] <= '9') {
		return string(first)
	}
	return ""
}

// Whole reads a whole number as IS has it. Some writers leave it there as they would in DS: 3.0 is 3, as other readers of DICOM have it, and 3.5 is none.
func Whole(text string) (n int64, ok bool) {
	digits, fraction, _ := strings.Cut(strings.Trim(text, " \x00"), ".")
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, err == nil && strings.Trim(fraction, "0") == ""
}

// uid is the attribute's value when it is a well-formed UID, else the zero UID.
func (o Object) uid(tag Tag) UID {
	u, _ := ParseUID(o.Text(tag))
	return u
}
