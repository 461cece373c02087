// Package charset reads and writes text values of DICOM files in the character sets that Specific Character Set (0008,0005) names:
// PS3.3 section C.12.1.1.2 and PS3.5 section 6.1, all defined terms, with the code extensions of ISO 2022 (PS3.5 sections 6.1.2.4 and 6.1.2.5).
//
// Code extensions make text a matter of state. Two sets of characters are at hand at a time: G0, written with bytes 21 to 7E, and G1, written
// with bytes A0 to FF. An escape sequence puts another set into G0 or G1; the end of a line and whatever divides values or parts
// of a person's name put back those of value 1. A character of several bytes may hold a byte that looks like a backslash (the second of GB18030, GBK and
// of JIS X 0208): it divides nothing. So values have to be cut with [Set.Cut], which knows, and never by looking for 5C.
//
// Real files break the rules, and what cannot be meant otherwise is read as it is meant:
//   - terms are recognised in spite of spaces, hyphens, underscores and case: "ISO-IR 100", "ISO 2022-IR 87", "GB 18030";
//   - escape sequences are followed for all sets of ISO 2022, declared or not: an escape means nothing else there;
//   - where value 1 leaves G1 empty, it holds from the start the first declared set that belongs there ("\ISO 2022 IR 149", and no escape sequence anywhere);
//   - Shift JIS in ISO_IR 13, and what code pages 932 and 949 add to JIS X 0208 and KS X 1001, are read (and not written).
//
// Decoding never fails: what means nothing becomes U+FFFD. Byte 5C of ISO_IR 13 is the backslash that it stands for as a delimiter, not a yen
// sign, and 7E a tilde (PS3.18 section F.2.4).
package charset

import (
	"bytes"
	"errors"
	"strings"
)

// ErrTerm says that Specific Character Set has a term that is not defined, or not where it stands. The text never quotes it.
var ErrTerm = errors.New("not a defined term of Specific Character Set")

// coding is how bytes make characters.
type coding uint8

const (
	iso2022 coding = iota // G0 and G1
	utf8Text
	gb18030
	gbk
)

// Set is the value of Specific Character Set: what is needed to read and write text. It is a small value that is compared with ==.
// The zero Set is the default repertoire, ISO 646 (ASCII).
type Set struct {
	coding   coding
	g0, g1   repertoire // of value 1
	tolerant repertoire // what stands in G1 at the start when value 1 puts nothing there
	declared uint32     // the repertoires that code extensions may invoke, one bit each
}

// Syntax says which characters, beside the ends of lines and pages and the tabulator, put the sets of value 1 back into G0 and G1.
type Syntax uint8

// The kinds of text (PS3.5 section 6.1.2.5.3).
const (
	Text   Syntax = iota // LT ST UT and others of one value: none
	Values               // backslash
	Names                // PN: backslash, ^ and =
)

func (s Syntax) resets(c byte) bool {
	switch c {
	case '\t', '\n', '\f', '\r':
		return true
	case '\\':
		return s != Text
	case '^', '=':
		return s == Names
	}
	return false
}

// Parse is the Set that the values of Specific Character Set name; padding is ignored. An error satisfies errors.Is(err, ErrTerm); the Set that comes with it leaves
// out the terms that are no good (the default repertoire for value 1).
//
// UTF-8, GB18030 and GBK stand alone (PS3.3 table C.12-5): as value 1 they make the others an error, elsewhere they are one themselves.
func Parse(terms []string) (Set, error) {
	var (
		set Set
		err error
	)
	for i, term := range terms {
		c, r, ok := parseTerm(term)
		switch {
		case !ok || c != iso2022 && i > 0:
			err = ErrTerm
		case set.coding != iso2022:
			err = ErrTerm
		case c != iso2022:
			set.coding = c
		default:
			set.add(i, r)
		}
	}
	return set, err
}

// add takes in term number i.
func (s *Set) add(i int, r repertoire) {
	s.declared |= 1 << r
	f := &repertoires[r]
	if i == 0 && f.width == 1 && f.g0 != ascii {
		s.g0 = f.g0
	}
	if !f.inG1 {
		return
	}
	if i == 0 {
		s.g1 = r
	}
	if s.tolerant == ascii {
		s.tolerant = r
	}
}

// parseTerm is what a single term means.
func parseTerm(term string) (coding, repertoire, bool) {
	letters := strings.Map(func(r rune) rune {
		switch {
		case r >= '0' && r <= '9', r >= 'A' && r <= 'Z':
			return r
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case strings.ContainsRune(" \x00_-.", r):
			return -1
		}
		return '?'
	}, term)
	switch letters {
	case "":
		return iso2022, ascii, true
	case "ISOIR192", "ISO2022IR192", "UTF8":
		return utf8Text, ascii, true
	case "GB18030", "ISO2022GB18030":
		return gb18030, ascii, true
	case "GBK", "ISO2022GBK":
		return gbk, ascii, true
	}
	for _, prefix := range []string{"ISO2022IR", "ISOIR", "ISO2022"} {
		if number, ok := strings.CutPrefix(letters, prefix); ok {
			r, ok := byNumber(number)
			return iso2022, r, ok
		}
	}
	return iso2022, ascii, false
}

// Cut slices value, text of that syntax, around the first byte sep that is a character of its own; like bytes.Cut, before is all of value when
// there is none. sep is a backslash, or = in a value of PN.
func (s Set) Cut(value []byte, sep byte, syntax Syntax) (before, after []byte, found bool) {
	at := bytes.IndexByte(value, sep)
	if at < 0 {
		return value, nil, false
	}
	if s.coding == utf8Text || plain(value[:at]) {
		return value[:at], value[at+1:], true
	}
	w := walker{set: s, syntax: syntax}
	w.reset()
	for at = 0; at < len(value); {
		r, n, _ := w.next(value[at:])
		if n == 1 && r == rune(sep) {
			return value[:at], value[at+1:], true
		}
		at += n
	}
	return value, nil, false
}

// plain reports whether every character of b is one of ISO 646, whatever the set.
func plain(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 || c == escape {
			return false
		}
	}
	return true
}
