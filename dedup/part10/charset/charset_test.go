package charset

import (
	"errors"
	"strings"
	"testing"
)

func parse(t *testing.T, terms string) Set {
	t.Helper()
	set, err := Parse(strings.Split(terms, `\`))
	if err != nil {
		t.Fatalf("Parse(%q): %v", terms, err)
	}
	return set
}

// TestBothWays holds text that its Set writes in exactly one way.
func TestBothWays(t *testing.T) {
	for _, c := range []struct {
		name, terms string
		syntax      Syntax
		bytes, text string
	}{
		{"default", "", Values, "Doe", "Doe"},
		{"control characters", "", Text, "a\r\nb\tc\fd\ae", "a\r\nb\tc\fd\ae"},
		{"Latin 1", "ISO_IR 100", Names, "Buc^J\xE9r\xF4me", "Buc^Jérôme"},
		{"Latin 2", "ISO_IR 101", Values, "Dvo\xF8\xE1k \xA3\xF3d\xBC", "Dvořák Łódź"},
		{"Latin 3", "ISO_IR 109", Values, "\xA1\xFE\xF8", "Ħŝĝ"},
		{"Latin 4", "ISO_IR 110", Values, "\xB6\xE0\xBF", "ļāŋ"},
		{"Latin 5", "ISO_IR 148", Values, "\xC7avu\xFEo\xF0lu \xDD", "Çavuşoğlu İ"},
		{"Latin 9", "ISO_IR 203", Values, "\xA4\xBD\xBE\xA6", "€œŸŠ"},
		{"Cyrillic", "ISO_IR 144", Names, "\xBB\xEEceb^\xB6\xEF", "Люceb^Жя"},
		{"Arabic", "ISO_IR 127", Names, "\xE2\xC8\xC7\xE6\xEA^\xE4\xE6\xD2\xC7\xD1", "قباني^لنزار"},
		{"Greek", "ISO_IR 126", Values, "\xC4\xE9\xEF\xED\xF5\xF3\xE9\xEF\xF2", "Διονυσιος"},
		{"Hebrew", "ISO_IR 138", Names, "\xF9\xF8\xE5\xEF^\xE3\xE1\xE5\xF8\xE4", "שרון^דבורה"},
		{"Thai", "ISO_IR 166", Values, "\xA1\xD2\xC3\xB7\xB4\xCA\xCD\xBA", "การทดสอบ"},
		{"katakana", "ISO_IR 13", Names, "\xD4\xCF\xC0\xDE^\xC0\xDB\xB3 ~", "ﾔﾏﾀﾞ^ﾀﾛｳ ~"},
		{"UTF-8", "ISO_IR 192", Names, "Wang=\xE7\x8E\x8B^\xE5\xB0\x8F\xE4\xB8\x9C", "Wang=王^小东"},
		{"UTF-8 with an escape", "ISO_IR 192", Text, "a\x1b(B\xC3\xA9", "a\x1b(Bé"},
		{"GB18030", "GB18030", Names, "Wang=\xCD\xF5^\xD0\xA1\xB6\xAB \x81\x39\xEF\x34", "Wang=王^小东 㐅"},
		{"GBK", "GBK", Names, "\x95\x5C=\xCD\xF5", "昞=王"},
		{"U+FFFD in GB18030", "GB18030", Text, "\x84\x31\xA4\x37", "\uFFFD"},
		{"U+FFFD in UTF-8", "ISO_IR 192", Text, "\xEF\xBF\xBD", "\uFFFD"},
		{"kanji", `\ISO 2022 IR 87`, Names, "Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
			"Yamada^Tarou=山田^太郎=やまだ^たろう"},
		{"kanji after JIS X 0201", `ISO 2022 IR 13\ISO 2022 IR 87`, Names, "\xD4\xCF\xC0\xDE^\xC0\xDB\xB3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎"},
		{"kanji whose bytes are delimiters", `\ISO 2022 IR 87`, Names, "\x1b$B0=F^D\\=M\x1b(B^a", "綾曇嬬粛^a"},
		{"wave dash, not code page 932's", `\ISO 2022 IR 87`, Text, "\x1b$B!A!B!]!q!r\"L\x1b(B", "〜‖−¢£¬"},
		{"supplementary kanji", `\ISO 2022 IR 87\ISO 2022 IR 159`, Text, "\x1b$(D\x30\x21\x1b$B;3\x1b(B", "丂山"},
		{"Hangul", `\ISO 2022 IR 149`, Names, "Hong^Gildong=\x1b$)C\xFB\xF3^\x1b$)C\xD1\xCE\xD4\xD7=\x1b$)C\xC8\xAB^\x1b$)C\xB1\xE6\xB5\xBF",
			"Hong^Gildong=洪^吉洞=홍^길동"},
		{"Hangul by lines", `\ISO 2022 IR 149`, Text, "\x1b$)C\xB1\xE6 1 \xB5\xBF\r\n\x1b$)C\xB1\xE6", "길 1 동\r\n길"},
		{"Hangul as value 1", `ISO 2022 IR 149`, Names, "\xC8\xAB^\xB1\xE6\xB5\xBF", "홍^길동"},
		{"simplified Chinese", `\ISO 2022 IR 58`, Names, "Zhang=\x1b$)A\xD5\xC5^\x1b$)A\xD0\xA1\xB6\xAB", "Zhang=张^小东"},
		{"Greek in Latin 1", `ISO 2022 IR 100\ISO 2022 IR 126`, Names, "D\xEF^\x1b-F\xC4\xE9 x=\xEF", "Dï^Δι x=ï"},
		{"Greek and back", `ISO 2022 IR 100\ISO 2022 IR 126`, Values, "\x1b-F\xC4\x1b-A\xEF^\xEF", "Δï^ï"},
		{"three sets", `ISO 2022 IR 6\ISO 2022 IR 144\ISO 2022 IR 203`, Text, "\x1b-L\xB6\x1b-b\xA4", "Ж€"},
	} {
		set := parse(t, c.terms)
		got, clean := set.Decode(nil, []byte(c.bytes), c.syntax)
		if string(got) != c.text || !clean {
			t.Errorf("%s: Decode = %q, %v; want %q", c.name, got, clean, c.text)
		}
		back, ok := set.Encode(nil, c.text, c.syntax)
		if string(back) != c.bytes || !ok {
			t.Errorf("%s: Encode = %q, %v; want %q", c.name, back, ok, c.bytes)
		}
	}
}

// TestTolerated holds bytes that the standard has no reading for, and their one likely reading.
func TestTolerated(t *testing.T) {
	for _, c := range []struct{ name, terms, bytes, text string }{
		{"no escape sequence", `\ISO 2022 IR 149`, "\xC8\xAB^\xB1\xE6\xB5\xBF", "홍^길동"},
		{"one escape sequence only", `\ISO 2022 IR 149`, "\x1b$)C\xC8\xAB^\xB1\xE6\xB5\xBF", "홍^길동"},
		{"undeclared set", "", "\x1b$B;3ED\x1b(B", "山田"},
		{"extended Hangul", `\ISO 2022 IR 149`, "\x1b$)C\x8C\x63", "똠"},
		{"Shift JIS", "ISO_IR 13", "\x8E\x52\x93\x63^\x95\x5C", "山田^表"},
		{"JIS C 6226", `\ISO 2022 IR 87`, "\x1b$@;3ED\x1b(B", "山田"},
		{"nothing puts ASCII back before a control character", `\ISO 2022 IR 87`, "\x1b$B;3\nab", "山\nab"},
		{"nor before a space", `\ISO 2022 IR 87`, "\x1b$B;3 ED", "山 田"},
		{"nor before a delimiter", `\ISO 2022 IR 87`, "\x1b$B;3^", "山^"},
		{"rows of code page 932", `\ISO 2022 IR 87`, "\x1b$B-!y!\x1b(B", "①纊"},
		{"euro of code page 936", "GBK", "\x80", "€"},
		{"controls of ISO 6429", "ISO_IR 100", "a\x85", "a\u0085"},
	} {
		got, clean := parse(t, c.terms).Decode(nil, []byte(c.bytes), Names)
		if string(got) != c.text || !clean {
			t.Errorf("%s: Decode = %q, %v; want %q", c.name, got, clean, c.text)
		}
	}
}

func TestUndecodable(t *testing.T) {
	for _, c := range []struct{ name, terms, bytes, text string }{
		{"high byte without a set", "", "J\xE9", "J\uFFFD"},
		{"unknown escape sequence", "ISO_IR 100", "a\x1b(Zb", "a\uFFFD(Zb"},
		{"escape at the end", "ISO_IR 100", "a\x1b", "a\uFFFD"},
		{"hole in a set", "ISO_IR 127", "\xA1\xC7", "\uFFFDا"},
		{"hole in katakana", "ISO_IR 13", "\xA0\xD4", "\uFFFDﾔ"},
		{"half a kanji", `\ISO 2022 IR 87`, "\x1b$B;3E", "山\uFFFD"},
		{"unassigned kanji", `\ISO 2022 IR 87`, "\x1b$B)!\x1b(Ba", "\uFFFDa"},
		{"half a Hangul", `\ISO 2022 IR 149`, "\x1b$)C\xC8^", "\uFFFD^"},
		{"half a Hanzi", `\ISO 2022 IR 58`, "\x1b$)A\xC8A", "\uFFFDA"},
		{"broken UTF-8", "ISO_IR 192", "a\xE7\x8Eb", "a\uFFFD\uFFFDb"},
		{"broken GB18030", "GB18030", "\xFF\x81\x30\x81A\xCD", "\uFFFD\uFFFD0丄\uFFFD"},
		{"half a GBK", "GBK", "\xCD", "\uFFFD"},
	} {
		got, clean := parse(t, c.terms).Decode(nil, []byte(c.bytes), Names)
		if string(got) != c.text || clean {
			t.Errorf("%s: Decode = %q, %v; want %q", c.name, got, clean, c.text)
		}
	}
}

func TestUnencodable(t *testing.T) {
	for _, c := range []struct{ terms, text, bytes string }{
		{"", "Jé", "J?"},
		{"ISO_IR 100", "Łé", "?\xE9"},
		{"ISO_IR 100", "a\x1b", "a?"},
		{"ISO_IR 13", "¥", "?"},
		{`\ISO 2022 IR 87`, "山한a", "\x1b$B;3\x1b(B?a"},
		{`\ISO 2022 IR 87`, "\uFF5E", "?"},
		{`\ISO 2022 IR 149`, "똠", "?"},
		{`\ISO 2022 IR 87`, "①纊", "??"}, // only in code page 932
		{"GBK", "😀", "?"},
		{"GB18030", "a\xE7", "a?"},
	} {
		got, ok := parse(t, c.terms).Encode(nil, c.text, Names)
		if string(got) != c.bytes || ok {
			t.Errorf("%s: Encode(%q) = %q, %v; want %q", c.terms, c.text, got, ok, c.bytes)
		}
	}
	if _, ok := parse(t, "ISO_IR 192").Encode(nil, "a\xE7", Text); ok {
		t.Error("Encode takes broken UTF-8")
	}
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		terms, value string
		want         string // values divided by |
	}{
		{"", `a\b\\c`, "a|b||c"},
		{"ISO_IR 192", "é\\\xE7\x8E\\b", "é|\xE7\x8E|b"},
		{"ISO_IR 100", "\xE9\\\xE9", "\xE9|\xE9"},
		{"GBK", "\x95\x5C\\\xCD\xF5", "\x95\x5C|\xCD\xF5"},
		{"GB18030", "\x81\x30\x81\x30\\\x95\x5C", "\x81\x30\x81\x30|\x95\x5C"},
		{"GBK", "\\\xCD\\b", "|\xCD\\b"},
		{`\ISO 2022 IR 87`, "\x1b$BD\\=M\x1b(B\\a", "\x1b$BD\\=M\x1b(B|a"},
		{`\ISO 2022 IR 87`, "\x1b$BD\\\\ a", "\x1b$BD\\| a"},
		{"ISO_IR 13", "\x95\x5C\\\xD4", "\x95\x5C|\xD4"},
		{`\ISO 2022 IR 149`, "\x1b$)C\xC8\xAB\\b", "\x1b$)C\xC8\xAB|b"},
		{"GBK", "\xCD\xF5", "\xCD\xF5"},
	} {
		set := parse(t, c.terms)
		var parts []string
		rest, more := []byte(c.value), true
		for more {
			var part []byte
			part, rest, more = set.Cut(rest, '\\', Values)
			parts = append(parts, string(part))
		}
		if got := strings.Join(parts, "|"); got != c.want {
			t.Errorf("%s: %q is cut to %q, want %q", c.terms, c.value, got, c.want)
		}
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		terms, same string
		fails       bool
	}{
		{"", "ISO_IR 6", false},
		{"ISO 2022 IR 6", "", false},
		{"ISO IR 100", "ISO_IR 100", false},
		{"ISO-IR 100", "ISO_IR 100", false},
		{"ISO_IR_100", "ISO_IR 100", false},
		{"iso_ir 100 \x00", "ISO_IR 100", false},
		{"ISO 2022 IR 100", "ISO_IR 100", false},
		{`ISO 2022 IR100\ISO 2022-IR 126`, `ISO 2022 IR 100\ISO 2022 IR 126`, false},
		{`\ISO 2022 58`, `\ISO 2022 IR 58`, false},
		{"ISO 2022 GBK", "GBK", false},
		{"gb 18030", "GB18030", false},
		{"UTF-8", "ISO_IR 192", false},
		{"ISO_IR 999", "", true},
		{"GARBAGE\xFF", "", true},
		{`GARBAGE\ISO 2022 IR 87`, `\ISO 2022 IR 87`, true},
		{`\GARBAGE\ISO 2022 IR 87`, `\ISO 2022 IR 87`, true},
		{`ISO_IR 192\ISO 2022 IR 87`, "ISO_IR 192", true},
		{`ISO_IR 100\ISO_IR 192`, "ISO_IR 100", true},
	} {
		got, err := Parse(strings.Split(c.terms, `\`))
		want, _ := Parse(strings.Split(c.same, `\`))
		if errors.Is(err, ErrTerm) != c.fails {
			t.Errorf("Parse(%q): %v", c.terms, err)
		}
		if got.g0 != want.g0 || got.g1 != want.g1 || got.coding != want.coding || got.declared|1 != want.declared|1 {
			t.Errorf("Parse(%q) = %+v, want that of %q, %+v", c.terms, got, c.same, want)
		}
	}
	if got, _ := Parse(nil); got != (Set{}) {
		t.Errorf("no terms: %+v", got)
	}
}

func TestEveryDefinedTerm(t *testing.T) {
	for _, n := range []string{"6", "13", "100", "101", "109", "110", "126", "127", "138", "144", "148", "166", "203"} {
		parse(t, "ISO_IR "+n)
		parse(t, "ISO 2022 IR "+n)
	}
	for _, term := range []string{"ISO_IR 192", "GB18030", "GBK", `\ISO 2022 IR 87`, `\ISO 2022 IR 159`, `\ISO 2022 IR 149`, `\ISO 2022 IR 58`} {
		parse(t, term)
	}
}

func TestZeroSetDoesNotAllocate(t *testing.T) {
	value, dst := []byte("ORIGINAL PRIMARY AXIAL"), make([]byte, 0, 64)
	set := parse(t, `\ISO 2022 IR 87`)
	if n := testing.AllocsPerRun(100, func() {
		set.Decode(dst, value, Values)
		set.Cut(value, '\\', Values)
	}); n != 0 {
		t.Errorf("%v allocations for ASCII", n)
	}
}
