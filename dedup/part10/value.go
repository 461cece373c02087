package part10

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strconv"

	"github.com/dicomesh/dicomesh/dedup/part10/charset"
)

// appendExact appends to dst the canonical JSON attribute object of an element that stays inline and is no sequence: value is its value field,
// numbers in little-endian order, and cs the character set at its place. Where the JSON by itself would not give the same bytes again the object has them in
// DeduppedBytes, so that for what appendExact writes valueBytes always gives back value.
func appendExact(dst []byte, vr VR, value []byte, cs charset.Set) []byte {
	start := len(dst)
	dst, exact := appendAttribute(dst, vr, value, cs)
	if exact {
		return dst
	}
	member := []byte(`"DeduppedBytes":"`)
	member = append(base64.StdEncoding.AppendEncode(member, value), `",`...)
	return slices.Insert(dst, start+1, member...)
}

// appendAttribute appends the attribute object of PS3.18 annex F alone; exact is whether it says every byte of value (FORMAT.md section 3).
func appendAttribute(dst []byte, vr VR, value []byte, cs charset.Set) (out []byte, exact bool) {
	f := vr.facts()
	exact = len(value)%2 == 0
	dst = append(dst, '{')
	if len(value) > 0 {
		var ok bool
		switch f.form {
		case formNumbers, formTags:
			dst, ok = appendNumbers(dst, f, value)
		case formValues, formDecimals, formNames, formText:
			dst, ok = appendTexts(dst, f, value, cs)
		default:
			dst, ok = append(dst, `"InlineBinary":"`...), true
			dst = append(base64.StdEncoding.AppendEncode(dst, value), `",`...)
		}
		exact = exact && ok
	}
	dst = append(dst, `"vr":"`...)
	dst = append(dst, f.name...)
	return append(dst, `"}`...), exact
}

// appendTexts appends the Value member of text, if the text is more than padding. exact says that the member and default padding give value again.
func appendTexts(dst []byte, f *vrFacts, value []byte, cs charset.Set) (out []byte, exact bool) {
	start := len(dst)
	dst = append(dst, `"Value":[`...)
	if f.form == formText {
		dst, exact = appendText(dst, trimmed(f, value), cs, charset.Text)
	} else {
		dst, exact = appendComponents(dst, f, value, cs)
	}
	exact = exact && defaultPadding(f, value)
	if string(dst[start:]) == `"Value":[null` || string(dst[start:]) == `"Value":[""` {
		return dst[:start], false
	}
	return append(dst, `],`...), exact
}

// appendComponents appends the values that backslashes divide; exact leaves out what surrounds the last.
func appendComponents(dst []byte, f *vrFacts, value []byte, cs charset.Set) (out []byte, exact bool) {
	exact = true
	for more := true; more; {
		var part []byte
		part, value, more = cs.Cut(value, '\\', f.syntax())
		kept := trimmed(f, part)
		exact = exact && (len(kept) == len(part) || !more && bytes.HasPrefix(part, kept))
		var ok bool
		dst, ok = appendComponent(dst, f, kept, cs)
		exact = exact && ok
		if more {
			dst = append(dst, ',')
		}
	}
	return dst, exact
}

func appendComponent(dst []byte, f *vrFacts, part []byte, cs charset.Set) (out []byte, exact bool) {
	switch {
	case len(part) == 0:
		return append(dst, "null"...), true
	case f.form == formDecimals && isCanonicalNumber(part):
		return append(dst, part...), true
	case f.form == formNames:
		return appendName(dst, part, cs)
	}
	return appendText(dst, part, cs, f.syntax())
}

// appendName appends one person name, null if no group has a character. A third = and what follows are left in Phonetic.
func appendName(dst, name []byte, cs charset.Set) (out []byte, exact bool) {
	start := len(dst)
	exact = true
	for _, group := range [...]string{`"Alphabetic":`, `"Ideographic":`, `"Phonetic":`} {
		part, rest, more := name, []byte(nil), false
		if group[1] != 'P' {
			part, rest, more = cs.Cut(name, '=', charset.Names)
		}
		if len(part) > 0 {
			var ok bool
			dst = append(append(dst, ','), group...)
			dst, ok = appendText(dst, part, cs, charset.Names)
			exact = exact && ok
		}
		if !more {
			exact = exact && len(part) > 0
			break
		}
		name = rest
	}
	if len(dst) == start {
		return append(dst, "null"...), false
	}
	dst[start] = '{'
	return append(dst, '}'), exact
}

// appendText appends text as a JSON string; exact says that it encodes to the same bytes again.
func appendText(dst, value []byte, cs charset.Set, syntax charset.Syntax) (out []byte, exact bool) {
	if isPlain(value) {
		return appendQuoted(dst, value), true
	}
	decoded, clean := cs.Decode(nil, value, syntax)
	dst = appendQuoted(dst, decoded)
	if !clean {
		return dst, false
	}
	again, ok := cs.Encode(nil, string(decoded), syntax)
	return dst, ok && bytes.Equal(again, value)
}

// isPlain reports whether text reads the same in every character set.
func isPlain(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 || c == 0x1B {
			return false
		}
	}
	return true
}

// syntax is the kind of text that a VR has.
func (f *vrFacts) syntax() charset.Syntax {
	switch f.form {
	case formNames:
		return charset.Names
	case formText:
		return charset.Text
	}
	return charset.Values
}

// trimmed is a value, or one of several, without padding: trailing spaces and NULs, and leading spaces where they do not count.
func trimmed(f *vrFacts, b []byte) []byte {
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == 0) {
		b = b[:len(b)-1]
	}
	for len(b) > 0 && !f.leading && b[0] == ' ' {
		b = b[1:]
	}
	return b
}

// defaultPadding reports whether value ends as valueBytes would end it: with no padding, or with one byte that makes its length even.
func defaultPadding(f *vrFacts, value []byte) bool {
	n := len(value)
	for n > 0 && (value[n-1] == ' ' || value[n-1] == 0) {
		n--
	}
	return n == len(value) || n == len(value)-1 && n%2 == 1 && value[n] == f.pad
}

// appendNumbers appends the Value member of binary numbers or tags. Bytes after the last whole number are left out.
func appendNumbers(dst []byte, f *vrFacts, value []byte) (out []byte, exact bool) {
	size := int(f.size)
	exact = len(value)%size == 0
	if len(value) < size {
		return dst, false
	}
	dst = append(dst, `"Value":[`...)
	for ; len(value) >= size; value = value[size:] {
		var ok bool
		dst, ok = appendBinary(dst, f.name, value)
		dst = append(dst, ',')
		exact = exact && ok
	}
	dst[len(dst)-1] = ']'
	return append(dst, ','), exact
}

// appendBinary appends the number with which b begins.
func appendBinary(dst []byte, vr VR, b []byte) (out []byte, exact bool) {
	little := binary.LittleEndian
	switch vr {
	case "US":
		return strconv.AppendUint(dst, uint64(little.Uint16(b)), 10), true
	case "SS":
		return strconv.AppendInt(dst, int64(int16(little.Uint16(b))), 10), true
	case "UL":
		return strconv.AppendUint(dst, uint64(little.Uint32(b)), 10), true
	case "SL":
		return strconv.AppendInt(dst, int64(int32(little.Uint32(b))), 10), true
	case "UV":
		return appendUint64(dst, little.Uint64(b)), true
	case "SV":
		return appendInt64(dst, int64(little.Uint64(b))), true
	case "FL":
		return appendFloat32(dst, little.Uint32(b))
	case "FD":
		return appendFloat64(dst, little.Uint64(b))
	}
	return appendTag(dst, b), true // AT
}
