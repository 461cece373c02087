package dedup

import (
	"crypto/sha256"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Answer is what checking a name can tell.
type Answer uint8

// The three answers. Corrupt is said of dicomesh's own objects only: a name of another writer that does not come out right may as well
// have been made in a way that is not known here.
const (
	CannotTell Answer = iota
	Right
	Corrupt
)

// String is the answer in words.
func (a Answer) String() string {
	switch a {
	case Right:
		return "right"
	case Corrupt:
		return "corrupt"
	}
	return "cannot tell"
}

// Verify checks an object's DeduppedHash. Besides dicomesh's own it knows the hash of the current static-wado (node-object-hash).
// An info object is its list's, which ParseFile checks: for it, and for an object without a hash, Verify cannot tell.
func Verify(o Object) Answer {
	d := o.dedup()
	switch {
	case d.Hash.IsZero() || d.Type == TypeInfo:
		return CannotTell
	case d.Version != "":
		return verifyOwn(o, d)
	case len(d.Hash.text) == 64 && nodeHash(o.covered(d.Type).AppendJSON(nil)) == d.Hash:
		return Right
	}
	return CannotTell
}

// Stands reports whether an object may be read where a hash is referred to. One of 64 digits says what it is of: it has to be dicomesh's hash of the object, or today's static-wado's, and what proves
// neither stands for nothing, whatever version it says that it is of, or none: else anybody could put another patient into instances that name an extract which is not here. Shorter ones, as static-wado
// gave once, prove nothing, and no object of dicomesh's names one.
func Stands(o Object, h Hash) bool {
	d := o.dedup()
	switch Verify(o) {
	case Right:
		return d.Hash == h
	case Corrupt:
		return false
	}
	return len(h.text) != 2*sha256.Size && (d.Version == "" || d.Hash == h)
}

// verifyOwn checks what a version of this format wrote. Later versions may hash otherwise.
func verifyOwn(o Object, d Dedup) Answer {
	if d.Version != Version {
		return CannotTell
	}
	rest := o.without(elementHash)
	if o.hasPlainHash(d.Hash) && HashOf(sha256.Sum256(rest.AppendJSON(make([]byte, 0, rest.size())))) == d.Hash {
		return Right
	}
	return Corrupt
}

// hasPlainHash holds the one element that no hash covers, DeduppedHash, to its one spelling.
func (o Object) hasPlainHash(h Hash) bool {
	own, _ := o.Find(blockTag(o.block(), elementHash))
	return string(own.JSON) == string(textElement(own.Tag, h.text).JSON)
}

// without is o without some elements of its block.
func (o Object) without(last ...byte) Object {
	block := o.block()
	return slices.DeleteFunc(slices.Clone(o), func(e Element) bool {
		return slices.ContainsFunc(last, func(l byte) bool { return e.Tag == blockTag(block, l) })
	})
}

// covered is the part of another writer's object that its hash covers: of an extract all but the block, of a record all but hash and
// type, so that a live record and the deleted one have the same hash.
func (o Object) covered(t Type) Object {
	if t.extract() {
		content, _ := Split(o)
		return content
	}
	return o.without(elementHash, elementType)
}

// nodeHash is the hash that node-object-hash gives to canonical JSON: the SHA-256 of a text in which strings have no quotes, numbers are as
// JavaScript prints them, and the elements of an array are in the order of their texts.
func nodeHash(json []byte) Hash {
	return HashOf(sha256.Sum256(appendNode(nil, json)))
}

func appendNode(out []byte, t Token) []byte {
	if len(t) == 0 {
		return out
	}
	switch t[0] {
	case '{':
		return appendNodeObject(out, t)
	case '[':
		return appendNodeArray(out, t)
	case '"':
		s, _ := t.Text()
		return append(out, s...)
	case 'n':
		return out
	case 't':
		return append(out, '1')
	case 'f':
		return append(out, '0')
	}
	f, _ := strconv.ParseFloat(string(t), 64)
	return appendNumber(out, f)
}

func appendNodeObject(out []byte, t Token) []byte {
	out = append(out, '{')
	s, comma := scan(t), ""
	for key, value := s.member(); key != nil; key, value = s.member() {
		name, _ := key.Text()
		out = append(append(append(out, comma...), name...), ':')
		out = appendNode(out, value)
		comma = ","
	}
	return append(out, '}')
}

func appendNodeArray(out []byte, t Token) []byte {
	items, _ := t.items()
	texts := make([]string, len(items))
	for i, item := range items {
		texts[i] = string(appendNode(nil, item))
	}
	slices.SortFunc(texts, compareUTF16)
	out = append(out, '[')
	out = append(out, strings.Join(texts, ",")...)
	return append(out, ']')
}

// appendNumber prints a number as JavaScript does, which is also how RFC 8785 does.
func appendNumber(out []byte, f float64) []byte {
	switch size := math.Abs(f); {
	case f == 0:
		return append(out, '0')
	case size >= 1e-6 && size < 1e21:
		return strconv.AppendFloat(out, f, 'f', -1, 64)
	}
	s := strconv.FormatFloat(f, 'e', -1, 64)
	mantissa, exponent, _ := strings.Cut(s, "e")
	sign := exponent[:1]
	return append(out, mantissa+"e"+sign+strings.TrimLeft(exponent[1:], "0")...)
}
