package part10

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// appendQuoted appends text, which is sound UTF-8, as a JSON string with RFC 8785's escapes.
func appendQuoted(dst, text []byte) []byte {
	dst = append(dst, '"')
	from := 0
	for i, c := range text {
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, text[from:i]...)
		dst = appendEscape(dst, c)
		from = i + 1
	}
	dst = append(dst, text[from:]...)
	return append(dst, '"')
}

func appendEscape(dst []byte, c byte) []byte {
	const lowerHex = "0123456789abcdef"
	switch c {
	case '\b':
		c = 'b'
	case '\t':
		c = 't'
	case '\n':
		c = 'n'
	case '\f':
		c = 'f'
	case '\r':
		c = 'r'
	case '"', '\\':
	default:
		return append(dst, '\\', 'u', '0', '0', lowerHex[c>>4], lowerHex[c&15])
	}
	return append(dst, '\\', c)
}

// cutQuoted reads the JSON string with which b begins; after is what follows it.
func cutQuoted(b []byte) (text string, after []byte, ok bool) {
	if len(b) == 0 || b[0] != '"' {
		return "", b, false
	}
	escaped := false
	for i := 1; i < len(b); i++ {
		switch {
		case b[i] == '\\':
			escaped = true
			i++
		case b[i] == '"' && escaped:
			text, ok = unescape(b[1:i])
			return text, b[i+1:], ok
		case b[i] == '"':
			return string(b[1:i]), b[i+1:], true
		}
	}
	return "", b, false
}

// unescape is the text between the quotes of a JSON string.
func unescape(b []byte) (string, bool) {
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		if b[0] != '\\' {
			out, b = append(out, b[0]), b[1:]
			continue
		}
		if len(b) < 2 {
			return "", false
		}
		r, n := rune(0), 2
		switch b[1] {
		case '"', '\\', '/':
			r = rune(b[1])
		case 'b':
			r = '\b'
		case 't':
			r = '\t'
		case 'n':
			r = '\n'
		case 'f':
			r = '\f'
		case 'r':
			r = '\r'
		case 'u':
			r, n = unicodeEscape(b)
		default:
			return "", false
		}
		if n == 0 {
			return "", false
		}
		out, b = utf8.AppendRune(out, r), b[n:]
	}
	return string(out), true
}

// unicodeEscape is the character of the \uXXXX, or the pair of them, with which b begins, and its length; length 0 if there is none.
func unicodeEscape(b []byte) (rune, int) {
	first := codeUnit(b)
	if first < 0 {
		return 0, 0
	}
	if utf16.IsSurrogate(first) {
		if r := utf16.DecodeRune(first, codeUnit(b[6:])); r != utf8.RuneError {
			return r, 12
		}
	}
	return first, 6
}

func codeUnit(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	v, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(v)
}
