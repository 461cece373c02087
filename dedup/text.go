package dedup

import (
	"bytes"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// text copies a string and reports whether it is plain: ASCII without escapes.
func (c *canon) text() (plain bool, err error) {
	start := c.pos
	for i := start + 1; i < len(c.in); i++ {
		if b := c.in[i]; b == '"' {
			c.pos = i + 1
			c.out = append(c.out, c.in[start:c.pos]...)
			return true, nil
		} else if b < ' ' || b == '\\' || b >= utf8.RuneSelf {
			c.out = append(c.out, c.in[start:i]...)
			c.pos = i
			return false, c.oddText()
		}
	}
	c.pos = len(c.in)
	return false, c.fail("a string does not end")
}

// oddText copies the rest of a string that has something other than plain characters.
func (c *canon) oddText() error {
	for c.pos < len(c.in) {
		switch b := c.in[c.pos]; {
		case b == '"':
			c.out = append(c.out, b)
			c.pos++
			return nil
		case b == '\\':
			if err := c.escape(); err != nil {
				return err
			}
		case b < ' ':
			return c.fail("a control character in a string")
		case b < utf8.RuneSelf:
			c.out = append(c.out, b)
			c.pos++
		default:
			r, n := utf8.DecodeRune(c.in[c.pos:])
			if r == utf8.RuneError && n == 1 {
				return c.fail("a string is not UTF-8")
			}
			c.out = append(c.out, c.in[c.pos:c.pos+n]...)
			c.pos += n
		}
	}
	return c.fail("a string does not end")
}

// escape copies what one escape stands for.
func (c *canon) escape() error {
	if c.pos+1 >= len(c.in) {
		return c.fail("a string does not end")
	}
	b := c.in[c.pos+1]
	if b == 'u' {
		return c.escapeUnit()
	}
	at := strings.IndexByte(`"\/bfnrt`, b)
	if at < 0 {
		return c.fail("an unknown escape")
	}
	c.out = appendEscaped(c.out, rune("\"\\/\b\f\n\r\t"[at]))
	c.pos += 2
	return nil
}

func (c *canon) escapeUnit() error {
	r, ok := c.unit(c.pos)
	n := 6
	if ok && utf16.IsSurrogate(r) {
		var low rune
		low, ok = c.unit(c.pos + 6)
		r, n = utf16.DecodeRune(r, low), 12
		ok = ok && r != utf8.RuneError
	}
	if !ok {
		return c.fail("a wrong \\u escape or a lone surrogate")
	}
	c.out = appendEscaped(c.out, r)
	c.pos += n
	return nil
}

// unit is the code unit of the \u escape at a position.
func (c *canon) unit(at int) (rune, bool) {
	if at+6 > len(c.in) || c.in[at] != '\\' || c.in[at+1] != 'u' {
		return 0, false
	}
	var r rune
	for _, b := range c.in[at+2 : at+6] {
		d, ok := hexDigit(b)
		if !ok {
			return 0, false
		}
		r = r<<4 | rune(d)
	}
	return r, true
}

// appendEscaped appends one character of a string as RFC 8785 section 3.2.2.2 spells it.
func appendEscaped(out []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	switch r {
	case '"', '\\':
		return append(out, '\\', byte(r))
	case '\b':
		return append(out, `\b`...)
	case '\f':
		return append(out, `\f`...)
	case '\n':
		return append(out, `\n`...)
	case '\r':
		return append(out, `\r`...)
	case '\t':
		return append(out, `\t`...)
	}
	if r < ' ' {
		return append(out, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
	}
	return utf8.AppendRune(out, r)
}

// number copies a number as it is written, if it is one.
func (c *canon) number() error {
	start := c.pos
	if c.at() == '-' {
		c.pos++
	}
	if c.at() == '0' {
		c.pos++
	} else if !c.digits() {
		return c.fail("a wrong number")
	}
	if c.at() == '.' {
		c.pos++
		if !c.digits() {
			return c.fail("a wrong number")
		}
	}
	if b := c.at(); b == 'e' || b == 'E' {
		c.pos++
		if b := c.at(); b == '+' || b == '-' {
			c.pos++
		}
		if !c.digits() {
			return c.fail("a wrong number")
		}
	}
	c.out = append(c.out, c.in[start:c.pos]...)
	return nil
}

func (c *canon) at() byte {
	if c.pos < len(c.in) {
		return c.in[c.pos]
	}
	return 0
}

// digits skips digits and reports whether there was one.
func (c *canon) digits() bool {
	start := c.pos
	for b := c.at(); b >= '0' && b <= '9'; b = c.at() {
		c.pos++
	}
	return c.pos > start
}

func (c *canon) literal() error {
	for _, word := range [...]string{"null", "true", "false"} {
		if bytes.HasPrefix(c.in[c.pos:], []byte(word)) {
			c.out = append(c.out, word...)
			c.pos += len(word)
			return nil
		}
	}
	return c.fail("expected a value")
}

func hexDigit(b byte) (byte, bool) {
	switch {
	case b >= '0' && b <= '9':
		return b - '0', true
	case b >= 'a' && b <= 'f':
		return b - 'a' + 10, true
	case b >= 'A' && b <= 'F':
		return b - 'A' + 10, true
	}
	return 0, false
}

// compareUTF16 orders texts by their UTF-16 code units, as RFC 8785 orders keys and JavaScript sorts strings.
func compareUTF16(s, t string) int {
	for len(s) > 0 && len(t) > 0 {
		a, n := utf8.DecodeRuneInString(s)
		b, m := utf8.DecodeRuneInString(t)
		if a != b {
			if a >= 0x10000 && b < 0x10000 {
				a, _ = utf16.EncodeRune(a)
			} else if b >= 0x10000 && a < 0x10000 {
				b, _ = utf16.EncodeRune(b)
			}
			return int(a - b)
		}
		s, t = s[n:], t[m:]
	}
	return len(s) - len(t)
}

// Quote is the canonical JSON string of s. Bytes that are not UTF-8 become U+FFFD.
func Quote(s string) Token {
	out := make(Token, 0, len(s)+2)
	out = append(out, '"')
	if plainText(s) {
		out = append(out, s...)
	} else {
		for _, r := range s {
			out = appendEscaped(out, r)
		}
	}
	return append(out, '"')
}

// plainText reports whether s is ASCII without anything to escape.
func plainText(s string) bool {
	for i := 0; i < len(s); i++ {
		if b := s[i]; b < ' ' || b == '"' || b == '\\' || b >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// Text is what a string token says; false when t is not a string.
func (t Token) Text() (string, bool) {
	if len(t) < 2 || t[0] != '"' || t[len(t)-1] != '"' {
		return "", false
	}
	inner := t[1 : len(t)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner), true
	}
	return unescape(inner)
}

// unescape reads the escapes that canonical strings have.
func unescape(inner []byte) (string, bool) {
	var out strings.Builder
	for i := 0; i < len(inner); i++ {
		if inner[i] != '\\' {
			out.WriteByte(inner[i])
			continue
		}
		i++
		if i == len(inner) {
			return "", false
		}
		at := strings.IndexByte(`"\bfnrtu`, inner[i])
		switch {
		case at < 0:
			return "", false
		case at < 7:
			out.WriteByte("\"\\\b\f\n\r\t"[at])
		default:
			r, ok := (&canon{in: inner}).unit(i - 1)
			if !ok || r >= ' ' {
				return "", false
			}
			out.WriteByte(byte(r))
			i += 4
		}
	}
	return out.String(), true
}
