package charset

import (
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/transform"
)

const escape = 0x1B

// repertoire is one set of characters that an escape sequence can put into G0 or G1. The zero one, ASCII, belongs into G0: in G1 it stands for none.
type repertoire uint8

// In the order in which Encode looks for a character.
const (
	ascii repertoire = iota
	latin1
	latin2
	latin3
	latin4
	latin5
	latin9
	cyrillic
	arabic
	greek
	hebrew
	thai
	roman
	katakana
	kanji
	supplement
	hangul
	hanzi
	repertoireCount
)

// facts is what PS3.3 tables C.12-2 to C.12-4 say about a repertoire.
type facts struct {
	number string     // in the defined terms; "" for one that comes with another
	escape string     // the sequence that invokes it, without the escape itself
	inG1   bool       // into G1, else into G0
	width  int        // bytes a character
	g0     repertoire // what comes with it in G0 when it is value 1
	single *charmap.Charmap
}

var repertoires = [repertoireCount]facts{
	ascii:      {number: "6", escape: "(B", width: 1},
	latin1:     {number: "100", escape: "-A", inG1: true, width: 1, single: charmap.ISO8859_1},
	latin2:     {number: "101", escape: "-B", inG1: true, width: 1, single: charmap.ISO8859_2},
	latin3:     {number: "109", escape: "-C", inG1: true, width: 1, single: charmap.ISO8859_3},
	latin4:     {number: "110", escape: "-D", inG1: true, width: 1, single: charmap.ISO8859_4},
	latin5:     {number: "148", escape: "-M", inG1: true, width: 1, single: charmap.ISO8859_9},
	latin9:     {number: "203", escape: "-b", inG1: true, width: 1, single: charmap.ISO8859_15},
	cyrillic:   {number: "144", escape: "-L", inG1: true, width: 1, single: charmap.ISO8859_5},
	arabic:     {number: "127", escape: "-G", inG1: true, width: 1, single: charmap.ISO8859_6},
	greek:      {number: "126", escape: "-F", inG1: true, width: 1, single: charmap.ISO8859_7},
	hebrew:     {number: "138", escape: "-H", inG1: true, width: 1, single: charmap.ISO8859_8},
	thai:       {number: "166", escape: "-T", inG1: true, width: 1, single: charmap.Windows874},
	roman:      {escape: "(J", width: 1},
	katakana:   {number: "13", escape: ")I", inG1: true, width: 1, g0: roman},
	kanji:      {number: "87", escape: "$B", width: 2},
	supplement: {number: "159", escape: "$(D", width: 2},
	hangul:     {number: "149", escape: "$)C", inG1: true, width: 2},
	hanzi:      {number: "58", escape: "$)A", inG1: true, width: 2},
}

func byNumber(number string) (repertoire, bool) {
	for r := range repertoires {
		if n := repertoires[r].number; n != "" && n == number {
			return repertoire(r), true
		}
	}
	return ascii, false
}

// table is an encoding of x/text. Its transformers keep no state between calls.
type table struct{ decoder, encoder transform.Transformer }

var (
	eucJP    = table{japanese.EUCJP.NewDecoder().Transformer, japanese.EUCJP.NewEncoder().Transformer}
	shiftJIS = table{japanese.ShiftJIS.NewDecoder().Transformer, nil}
	eucKR    = table{korean.EUCKR.NewDecoder().Transformer, korean.EUCKR.NewEncoder().Transformer}
	tableGB  = table{simplifiedchinese.GB18030.NewDecoder().Transformer, simplifiedchinese.GB18030.NewEncoder().Transformer}
	tableCN  = table{simplifiedchinese.GBK.NewDecoder().Transformer, simplifiedchinese.GBK.NewEncoder().Transformer}
)

// chinese is the table of a Set of GB18030 or GBK.
func (s Set) chinese() *table {
	if s.coding == gb18030 {
		return &tableGB
	}
	return &tableCN
}

// scratch holds one character on its way through a table.
type scratch struct{ in, out [8]byte }

// character is what the first n bytes of in make, U+FFFD if nothing.
func (s *scratch) character(t transform.Transformer, n int) rune {
	wrote, _, _ := t.Transform(s.out[:], s.in[:n], true)
	r, size := utf8.DecodeRune(s.out[:wrote])
	if size != wrote {
		return utf8.RuneError
	}
	return r
}

// encoded is r in an encoding of x/text, empty if it has none. Valid until the next call.
func (s *scratch) encoded(t transform.Transformer, r rune) []byte {
	n := utf8.EncodeRune(s.in[:], r)
	wrote, _, err := t.Transform(s.out[:], s.in[:n], true)
	if err != nil {
		return nil
	}
	return s.out[:wrote]
}

// waveDash is where JIS X 0208 and x/text, which follows the Web and so code page 932, give a character to different code points.
var waveDash = [...]struct{ jis, web rune }{
	{0x301C, 0xFF5E}, {0x2016, 0x2225}, {0x2212, 0xFF0D}, {0x00A2, 0xFFE0}, {0x00A3, 0xFFE1}, {0x00AC, 0xFFE2},
}

func fromWeb(r rune) rune {
	for _, p := range waveDash {
		if r == p.web {
			return p.jis
		}
	}
	return r
}

// toWeb is fromWeb's inverse, 0 for what it never gives.
func toWeb(r rune) rune {
	for _, p := range waveDash {
		switch r {
		case p.jis:
			return p.web
		case p.web:
			return 0
		}
	}
	return r
}

// pair is the character that the bytes a and b make in a repertoire of two bytes; in G0 they come without their high bits.
func (s *scratch) pair(r repertoire, a, b byte) rune {
	switch r {
	case kanji:
		s.in[0], s.in[1] = a|0x80, b|0x80
		return fromWeb(s.character(eucJP.decoder, 2))
	case supplement:
		s.in[0], s.in[1], s.in[2] = 0x8F, a|0x80, b|0x80
		return s.character(eucJP.decoder, 3)
	case hangul:
		s.in[0], s.in[1] = a, b
		return s.character(eucKR.decoder, 2)
	case hanzi:
		s.in[0], s.in[1] = a, b
		return s.character(tableCN.decoder, 2)
	}
	s.in[0], s.in[1] = a, b // katakana: Shift JIS
	return s.character(shiftJIS.decoder, 2)
}

// one is the character of a high byte in a repertoire of one byte. Bytes 80 to 9F are controls of ISO 6429, which no repertoire touches; in Thai files they
// are code page 874's.
func one(r repertoire, c byte) rune {
	switch {
	case r == katakana && c >= 0xA1 && c <= 0xDF:
		return rune(c) + 0xFF61 - 0xA1
	case r == katakana:
		return utf8.RuneError
	case c < 0xA0 && r != thai:
		return rune(c)
	}
	return repertoires[r].single.DecodeByte(c)
}

// bytesOf is the bytes of a character beyond ISO 646 in a repertoire, as they stand in G0 or G1; nil if it is not in there.
func (s *scratch) bytesOf(r repertoire, c rune) []byte {
	switch r {
	case ascii, roman:
		return nil
	case katakana:
		if c < 0xFF61 || c > 0xFF9F {
			return nil
		}
		s.out[0] = byte(c - 0xFF61 + 0xA1)
		return s.out[:1]
	case kanji:
		return standardKanji(s.encoded(eucJP.encoder, toWeb(c)))
	case supplement:
		b := s.encoded(eucJP.encoder, c)
		if len(b) != 3 {
			return nil
		}
		return lower(b[1:])
	case hangul:
		return upper(s.encoded(eucKR.encoder, c))
	case hanzi:
		return upper(s.encoded(tableCN.encoder, c))
	}
	b, ok := repertoires[r].single.EncodeRune(c)
	if c < 0xA0 && r != thai {
		b, ok = byte(c), true
	}
	if !ok {
		return nil
	}
	s.out[0] = b
	return s.out[:1]
}

// standardKanji lets pass what JIS X 0208 itself has: x/text has rows 13 and 89 to 92 besides, which others may not read.
func standardKanji(b []byte) []byte {
	if len(b) != 2 || b[0] < 0xA1 || b[0] > 0xF4 || b[0] > 0xA8 && b[0] < 0xB0 {
		return nil
	}
	return lower(b)
}

// lower takes the high bits off two bytes that belong into G0.
func lower(b []byte) []byte {
	b[0], b[1] = b[0]&0x7F, b[1]&0x7F
	return b
}

// upper lets pass two bytes that belong into G1.
func upper(b []byte) []byte {
	if len(b) != 2 || b[0] < 0xA1 || b[1] < 0xA1 {
		return nil
	}
	return b
}
