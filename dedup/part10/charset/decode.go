package charset

import "unicode/utf8"

// walker goes through a value character by character.
type walker struct {
	set    Set
	syntax Syntax
	g0, g1 repertoire
	table  *scratch // made when first needed
}

// reset puts back what value 1 says.
func (w *walker) reset() {
	w.g0, w.g1 = w.set.g0, w.set.g1
	if w.g1 == ascii {
		w.g1 = w.set.tolerant
	}
}

// noText is the character of an escape sequence.
const noText = -1

// next is the first character of b, which is not empty, and its length in bytes; ok is false when the bytes make none and U+FFFD stands for them.
func (w *walker) next(b []byte) (r rune, n int, ok bool) {
	switch {
	case w.set.coding == utf8Text:
		r, n = utf8.DecodeRune(b)
		return r, n, r != utf8.RuneError || n > 1
	case w.set.coding != iso2022:
		return w.nextChinese(b)
	case b[0] == escape:
		return w.designate(b)
	case b[0] >= 0x80:
		return w.high(b)
	}
	return w.low(b)
}

// low is a character of G0, or a control character or space, which every set has. What ends a value ends it also where G0 should have been put
// back before, if it makes no character there.
func (w *walker) low(b []byte) (rune, int, bool) {
	c := b[0]
	if repertoires[w.g0].width == 2 && graphic(c) && len(b) > 1 && graphic(b[1]) {
		r := w.scratch().pair(w.g0, c, b[1])
		return r, 2, r != utf8.RuneError
	}
	if w.syntax.resets(c) {
		w.reset()
	}
	if repertoires[w.g0].width == 2 && graphic(c) {
		return utf8.RuneError, 1, false
	}
	return rune(c), 1, true
}

// graphic reports whether c is one of the 94 bytes of G0 that may be part of a character.
func graphic(c byte) bool { return c > ' ' && c < 0x7F }

func (w *walker) scratch() *scratch {
	if w.table == nil {
		w.table = new(scratch)
	}
	return w.table
}

// high is a character of G1.
func (w *walker) high(b []byte) (rune, int, bool) {
	if w.g1 == ascii {
		return utf8.RuneError, 1, false
	}
	if !isPair(w.g1, b) {
		if repertoires[w.g1].width == 2 {
			return utf8.RuneError, 1, false
		}
		r := one(w.g1, b[0])
		return r, 1, r != utf8.RuneError
	}
	r := w.scratch().pair(w.g1, b[0], b[1])
	return r, 2, r != utf8.RuneError
}

// isPair reports whether b begins with two bytes that belong together in G1: one of 94 by 94, or what code page 949 adds to Hangul
// and Shift JIS to katakana, whose first bytes mean nothing else there.
func isPair(r repertoire, b []byte) bool {
	if len(b) < 2 {
		return false
	}
	first, second := b[0], b[1]
	switch r {
	case hanzi:
		return first >= 0xA1 && first < 0xFF && second >= 0xA1 && second < 0xFF
	case hangul:
		letter := second|0x20 >= 'a' && second|0x20 <= 'z'
		return first > 0x80 && first < 0xFF && (letter || second > 0x80) && second < 0xFF
	case katakana:
		lead := first > 0x80 && first < 0xA0 || first >= 0xE0 && first < 0xFD
		return lead && second >= 0x40 && second != 0x7F && second < 0xFD
	}
	return false
}

// designate follows an escape sequence.
func (w *walker) designate(b []byte) (rune, int, bool) {
	for r := range repertoires {
		f := &repertoires[r]
		if n := 1 + len(f.escape); len(b) >= n && string(b[1:n]) == f.escape {
			w.invoke(repertoire(r))
			return noText, n, true
		}
	}
	if len(b) >= 3 && string(b[1:3]) == "$@" { // JIS C 6226 of 1978, which JIS X 0208 replaced
		w.g0 = kanji
		return noText, 3, true
	}
	return utf8.RuneError, 1, false
}

func (w *walker) invoke(r repertoire) {
	if repertoires[r].inG1 {
		w.g1 = r
	} else {
		w.g0 = r
	}
}

// nextChinese is a character of GB18030 or GBK. Bytes that have the form of a character are one also where it is not assigned.
func (w *walker) nextChinese(b []byte) (rune, int, bool) {
	n := 1
	switch {
	case b[0] < 0x80:
		return rune(b[0]), 1, true
	case b[0] == 0x80 || b[0] == 0xFF || len(b) < 2:
	case b[1] >= 0x40 && b[1] != 0x7F && b[1] != 0xFF:
		n = 2
	case w.set.coding == gb18030 && isQuad(b):
		n = 4
	}
	s := w.scratch()
	copy(s.in[:], b[:n])
	r := s.character(w.set.chinese().decoder, n)
	return r, n, r != utf8.RuneError || string(b[:n]) == "\x84\x31\xA4\x37" // U+FFFD itself
}

// isQuad reports whether b begins with the four bytes of a character of GB18030.
func isQuad(b []byte) bool {
	return len(b) >= 4 && isDigit(b[1]) && b[2] > 0x80 && b[2] < 0xFF && isDigit(b[3])
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// Decode appends value, read as text of that syntax, to dst as UTF-8. clean is false when something had to become U+FFFD.
func (s Set) Decode(dst, value []byte, syntax Syntax) (out []byte, clean bool) {
	if plain(value) {
		return append(dst, value...), true
	}
	if s.coding == utf8Text && utf8.Valid(value) {
		return append(dst, value...), true
	}
	w := walker{set: s, syntax: syntax}
	w.reset()
	clean = true
	for len(value) > 0 {
		r, n, ok := w.next(value)
		clean = clean && ok
		if r != noText {
			dst = utf8.AppendRune(dst, r)
		}
		value = value[n:]
	}
	return dst, clean
}
