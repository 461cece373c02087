package part10

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/part10/charset"
)

var (
	// errValue says that JSON has something that a VR cannot have. The text never quotes it.
	errValue = errors.New("not a value of its VR")
	// errCharset says that a text has characters that Specific Character Set does not. Question marks stand for them.
	errCharset = errors.New("text that Specific Character Set cannot write")
)

// valueBytes appends the value field of an inline attribute that is no sequence: numbers little-endian, of even length. It is the inverse of appendExact,
// and reads what other writers leave as well: values joined by backslashes in one string, numbers for text and text for numbers, InlineBinary for any VR,
// names that are plain strings, null.
//
// With an error that satisfies errors.Is(err, errCharset) come the bytes that are nearest; another error is errValue's.
func valueBytes(dst []byte, a dedup.Attribute, vr VR, cs charset.Set) ([]byte, error) {
	if a.Bytes != nil {
		return append(dst, a.Bytes...), nil
	}
	if a.BulkDataURI != "" && a.Value == nil && a.InlineBinary == nil || a.Fragments != nil {
		return dst, fmt.Errorf("%s that is not inline: %w", vr, errValue)
	}
	f := vr.facts()
	start := len(dst)
	dst = append(dst, a.InlineBinary...)
	var problem error
	for i, token := range a.Value {
		var err error
		switch f.form {
		case formNumbers, formTags:
			dst, err = appendNumberBytes(dst, f, token)
		default:
			if i > 0 {
				dst = append(dst, '\\')
			}
			dst, err = appendTextBytes(dst, f, token, cs)
		}
		if err != nil && !errors.Is(err, errCharset) {
			return dst[:start], fmt.Errorf("%s value %d: %w", f.name, i+1, err)
		}
		if err != nil {
			problem = fmt.Errorf("%s value %d: %w", f.name, i+1, err)
		}
	}
	if (len(dst)-start)%2 == 1 {
		dst = append(dst, f.pad)
	}
	return dst, problem
}

// appendTextBytes appends one value of a text VR.
func appendTextBytes(dst []byte, f *vrFacts, token dedup.Token, cs charset.Set) ([]byte, error) {
	if len(token) == 0 || f.form == formItems {
		return dst, errValue
	}
	switch c := token[0]; {
	case c == '"':
		text, _, ok := cutQuoted(token)
		if !ok {
			return dst, errValue
		}
		return encodeText(dst, text, f.syntax(), cs)
	case c == '{' && f.form == formNames:
		return appendNameBytes(dst, token, cs)
	case string(token) == "null":
		return dst, nil
	case c == '-' || c >= '0' && c <= '9':
		return appendDecimal(dst, token), nil
	}
	return dst, errValue
}

func encodeText(dst []byte, text string, syntax charset.Syntax, cs charset.Set) ([]byte, error) {
	dst, ok := cs.Encode(dst, text, syntax)
	if !ok {
		return dst, errCharset
	}
	return dst, nil
}

// appendDecimal appends a JSON number as the text of DS or IS. Ours is written as it stands; 1.0 or 15E-1 of another writer as RFC 8785 prints it.
func appendDecimal(dst, token []byte) []byte {
	if isCanonicalNumber(token) {
		return append(dst, token...)
	}
	v, err := strconv.ParseFloat(string(token), 64)
	if err != nil {
		return append(dst, token...)
	}
	return appendNumber(dst, v+0, 64)
}

// appendNameBytes appends one person name from its object.
func appendNameBytes(dst []byte, token []byte, cs charset.Set) ([]byte, error) {
	var groups [3]string
	for rest := token; len(rest) > 0 && rest[0] != '}'; {
		key, after, ok := cutQuoted(rest[1:])
		if !ok && string(rest) == "{}" {
			break
		}
		if !ok || len(after) == 0 || after[0] != ':' {
			return dst, errValue
		}
		text, next, ok := cutQuoted(after[1:])
		if !ok && strings.HasPrefix(string(after[1:]), "null") {
			next, ok = after[len(":null"):], true
		}
		if !ok || len(next) == 0 {
			return dst, errValue
		}
		switch key {
		case "Alphabetic":
			groups[0] = text
		case "Ideographic":
			groups[1] = text
		case "Phonetic":
			groups[2] = text
		}
		rest = next
	}
	return joinName(dst, groups, cs)
}

// joinName appends the groups up to the last that has a character.
func joinName(dst []byte, groups [3]string, cs charset.Set) ([]byte, error) {
	last := len(groups) - 1
	for last > 0 && groups[last] == "" {
		last--
	}
	var problem error
	for i, group := range groups[:last+1] {
		if i > 0 {
			dst = append(dst, '=')
		}
		var err error
		if dst, err = encodeText(dst, group, charset.Names, cs); err != nil {
			problem = err
		}
	}
	return dst, problem
}

// appendNumberBytes appends the number, or the several that backslashes divide, of one JSON value. null is none.
func appendNumberBytes(dst []byte, f *vrFacts, token dedup.Token) ([]byte, error) {
	if string(token) == "null" {
		return dst, nil
	}
	text := string(token)
	if len(token) > 0 && token[0] == '"' {
		var ok bool
		if text, _, ok = cutQuoted(token); !ok {
			return dst, errValue
		}
	}
	for part := range strings.SplitSeq(text, `\`) {
		if part = strings.Trim(part, " \x00"); part == "" {
			continue
		}
		v, err := parseBinary(f, part)
		if err != nil {
			return dst, err
		}
		dst = appendInteger(dst, v, int(f.size))
	}
	return dst, nil
}

// parseBinary is a number of a binary VR as the bits that a file has.
func parseBinary(f *vrFacts, text string) (uint64, error) {
	switch {
	case f.form == formTags:
		v, err := strconv.ParseUint(strings.Trim(strings.Replace(text, ",", "", 1), "()"), 16, 32)
		if err != nil {
			return 0, errValue
		}
		return v<<16&0xFFFF0000 | v>>16, nil
	case f.name == "FL":
		v, err := strconv.ParseFloat(text, 32)
		if err != nil {
			return 0, errValue
		}
		if v != v {
			return nan32, nil
		}
		return uint64(math.Float32bits(float32(v))), nil
	case f.name == "FD":
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return 0, errValue
		}
		if v != v {
			return nan64, nil
		}
		return math.Float64bits(v), nil
	}
	return parseInteger(f, text)
}

// parseInteger reads an integer in any spelling that JSON has for it, such as 1.0 or 1e3.
func parseInteger(f *vrFacts, text string) (uint64, error) {
	bits := int(f.size) * 8
	if f.name[0] == 'S' {
		if v, err := strconv.ParseInt(text, 10, bits); err == nil {
			return uint64(v), nil
		}
	} else if v, err := strconv.ParseUint(text, 10, bits); err == nil {
		return v, nil
	}
	v, err := strconv.ParseFloat(text, 64)
	low, high := 0.0, math.Ldexp(1, bits)
	if f.name[0] == 'S' {
		low, high = -high/2, high/2
	}
	if err != nil || v != math.Trunc(v) || v < low || v >= high {
		return 0, errValue
	}
	if v < 0 {
		return uint64(int64(v)), nil
	}
	return uint64(v), nil
}
