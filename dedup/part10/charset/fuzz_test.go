package charset

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

var termSeeds = []string{
	"", "ISO_IR 100", "ISO_IR 192", "GB18030", "GBK", "ISO_IR 13", `ISO 2022 IR 13\ISO 2022 IR 87\ISO 2022 IR 159`, `\ISO 2022 IR 149`,
	`\ISO 2022 IR 58`, `ISO 2022 IR 100\ISO 2022 IR 144\ISO 2022 IR 203`,
}

// FuzzCharset: whatever the bytes, decoding gives UTF-8, cutting loses nothing, decoding the parts is decoding the whole, and what a Set can
// write it reads back.
func FuzzCharset(f *testing.F) {
	for _, terms := range termSeeds {
		f.Add(terms, []byte("a\\b^c=\x1b$BD\\=M\x1b(B\\\x1b$)C\xC8\xAB^\xB1\xE6\r\n\x95\x5C\x81\x30\x81\x30\xE7\x8E\x8B\\\x1b-F\xC4"), "Doe=山田\\Ж😀")
	}
	f.Fuzz(func(t *testing.T, terms string, value []byte, text string) {
		set, err := Parse(strings.Split(terms, `\`))
		if err != nil && strings.Contains(err.Error(), terms) && len(terms) > 4 {
			t.Fatalf("the error quotes %q", terms)
		}
		for _, syntax := range []Syntax{Text, Values, Names} {
			whole, _ := set.Decode(nil, value, syntax)
			if !utf8.Valid(whole) {
				t.Fatalf("decoded to %q, which is no UTF-8", whole)
			}
			encodeAndBack(t, set, string(whole), syntax)
			encodeAndBack(t, set, text, syntax)
		}
		cutAndJoin(t, set, value, Values, '\\')
		cutAndJoin(t, set, value, Names, '\\')
		cutAndJoin(t, set, value, Names, '=')
	})
}

func encodeAndBack(t *testing.T, set Set, text string, syntax Syntax) {
	t.Helper()
	written, ok := set.Encode([]byte("before"), text, syntax)
	if !bytes.HasPrefix(written, []byte("before")) {
		t.Fatal("Encode does not append")
	}
	if !ok {
		return
	}
	back, clean := set.Decode(nil, written[len("before"):], syntax)
	if string(back) != text || !clean {
		t.Fatalf("%+v syntax %d: %q is written as %q and read as %q (%v)", set, syntax, text, written, back, clean)
	}
}

func cutAndJoin(t *testing.T, set Set, value []byte, syntax Syntax, sep byte) {
	t.Helper()
	var parts, decoded [][]byte
	for rest, more := value, true; more; {
		var part []byte
		part, rest, more = set.Cut(rest, sep, syntax)
		text, _ := set.Decode(nil, part, syntax)
		parts, decoded = append(parts, part), append(decoded, text)
	}
	if !bytes.Equal(bytes.Join(parts, []byte{sep}), value) {
		t.Fatalf("%q is cut to %q", value, parts)
	}
	whole, _ := set.Decode(nil, value, syntax)
	if joined := bytes.Join(decoded, []byte{sep}); !bytes.Equal(joined, whole) {
		t.Fatalf("%+v syntax %d: %q reads as %q, its parts as %q", set, syntax, value, whole, joined)
	}
}
