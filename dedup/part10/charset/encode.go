package charset

import "unicode/utf8"

// writer writes characters and the escape sequences that they need.
type writer struct {
	set    Set
	syntax Syntax
	g0, g1 repertoire
	out    []byte
	table  scratch
}

// Encode appends text to dst in the Set; text is UTF-8. Where value 1 does not have a character, the first other declared set that has it is
// invoked by its escape sequence, and value 1's is back in G0 before anything that puts it back and at the end (PS3.5 section 6.1.2.5.3).
// ok is false when a character is in none of the declared sets; a question mark stands for it then.
func (s Set) Encode(dst []byte, text string, syntax Syntax) (out []byte, ok bool) {
	if plainText(text) {
		return append(dst, text...), true
	}
	if s.coding == utf8Text {
		return append(dst, text...), utf8.ValidString(text)
	}
	w := writer{set: s, syntax: syntax, g0: s.g0, g1: s.g1, out: dst}
	ok = true
	for i, c := range text {
		if c == utf8.RuneError && !isRune(text[i:]) || !w.write(c) {
			w.low('?')
			ok = false
		}
	}
	w.single()
	return w.out, ok
}

// isRune reports whether text begins with a well-formed character.
func isRune(text string) bool {
	r, n := utf8.DecodeRuneInString(text)
	return r != utf8.RuneError || n > 1
}

// write appends one character; false when it has no bytes.
func (w *writer) write(c rune) bool {
	switch {
	case c < 0x80:
		return w.low(byte(c))
	case w.set.coding != iso2022:
		b := w.table.encoded(w.set.chinese().encoder, c)
		w.out = append(w.out, b...)
		return len(b) > 0
	}
	for _, r := range [...]repertoire{w.g1, w.g0} {
		if w.append(r, c) {
			return true
		}
	}
	for r := range repertoireCount {
		if w.set.declared&(1<<r) != 0 && w.append(r, c) {
			return true
		}
	}
	return false
}

// append appends a character beyond ISO 646, and first what invokes its repertoire; false when that does not have it. Two bytes do not stay in G0 for
// characters of G1: ISO 2022 would allow it, but readers that look at one set at a time would not follow.
func (w *writer) append(r repertoire, c rune) bool {
	b := w.table.bytesOf(r, c)
	if b == nil {
		return false
	}
	if repertoires[r].inG1 {
		w.single()
	}
	if r != w.g0 && r != w.g1 {
		w.invoke(r)
	}
	w.out = append(w.out, b...)
	return true
}

// low appends a character of ISO 646.
func (w *writer) low(c byte) bool {
	if c == escape && w.set.coding == iso2022 {
		return false
	}
	w.single()
	w.out = append(w.out, c)
	if w.syntax.resets(c) {
		w.g0, w.g1 = w.set.g0, w.set.g1
	}
	return true
}

// single puts the repertoire of value 1 back into G0 if one of two bytes is there.
func (w *writer) single() {
	if repertoires[w.g0].width == 2 {
		w.invoke(w.set.g0)
	}
}

func (w *writer) invoke(r repertoire) {
	w.out = append(append(w.out, escape), repertoires[r].escape...)
	if repertoires[r].inG1 {
		w.g1 = r
	} else {
		w.g0 = r
	}
}

func plainText(text string) bool {
	for i := 0; i < len(text); i++ {
		if text[i] >= 0x80 || text[i] == escape {
			return false
		}
	}
	return true
}
