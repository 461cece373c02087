package dedup

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func mustObject(t testing.TB, text string) Object {
	t.Helper()
	o, err := ParseObject([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return o
}

func testHash(n int) Hash { return Hash{fmt.Sprintf("%064x", n)} }

func TestSealTakesAFreeBlock(t *testing.T) {
	for _, test := range []struct {
		name, in string
		block    int
	}{
		{"empty", `{}`, 0x10},
		{"a scanner's creator", `{"00090010":{"Value":["GEMS_IDEN_01"],"vr":"LO"},"00091001":{"vr":"LO"}}`, 0x11},
		{"elements without a creator", `{"00091001":{"vr":"LO"},"00091101":{"vr":"LO"}}`, 0x12},
		{"a hole below another's block", `{"00090011":{"Value":["X"],"vr":"LO"}}`, 0x10},
		{"above the source's own dedupped", `{"00090012":{"Value":["dedupped"],"vr":"LO"},"00091210":{"Value":["x"],"vr":"LO"}}`, 0x13},
		{"other groups do not count", `{"00110010":{"Value":["dedupped"],"vr":"LO"}}`, 0x10},
	} {
		content := mustObject(t, test.in)
		d := Dedup{Type: TypeInstance, Refs: []Hash{testHash(1)}}
		o, h, err := Seal(content, d)
		if err != nil || o.block() != test.block {
			t.Errorf("%s: block %x, %v", test.name, o.block(), err)
		}
		back, got := Split(o)
		d.Hash, d.Version = h, Version
		if !bytes.Equal(back.AppendJSON(nil), content.AppendJSON(nil)) || !reflect.DeepEqual(got, d) {
			t.Errorf("%s: %s, %+v", test.name, back.AppendJSON(nil), got)
		}
	}
	var full []string
	for b := 0x10; b <= 0xFF; b++ {
		full = append(full, fmt.Sprintf(`"000900%02X":{"Value":["X"],"vr":"LO"}`, b))
	}
	if o, _, err := Seal(mustObject(t, "{"+strings.Join(full, ",")+"}"), Dedup{}); err == nil {
		t.Errorf("sealed at %x with no block free", o.block())
	}
	if o, _, err := Seal(mustObject(t, `{"000900FF":{"Value":["dedupped"],"vr":"LO"}}`), Dedup{}); err == nil {
		t.Errorf("sealed at %x below the source's own block", o.block())
	}
}

// What Seal writes is pinned: names depend on every byte of it.
func TestSealedBytes(t *testing.T) {
	d := Dedup{
		Refs: []Hash{testHash(1), testHash(2)}, Type: TypeInstance, Delete: true, Replace: []Hash{testHash(3)}, ReplaceFiles: []Hash{testHash(4)},
		Encoding: []Hash{testHash(5), {}, testHash(6)}, Content: testHash(7), File: Digest{0xAB}, FileSize: 12, Layout: []string{"preamble", "meta"},
	}
	o, h, err := Seal(mustObject(t, `{"00080018":{"vr":"UI","Value":["1.2"]},"00100010":{"vr":"PN"}}`), d)
	if err != nil {
		t.Fatal(err)
	}
	lo := func(values string) string { return `{"Value":[` + values + `],"vr":"LO"}` }
	q := func(n int) string { return `"` + testHash(n).text + `"` }
	want := `{"00080018":{"Value":["1.2"],"vr":"UI"},"00090010":` + lo(`"dedupped"`) + `,"00091010":` + lo(q(1)+","+q(2)) + `,"00091011":` + lo(`"`+h.text+`"`) +
		`,"00091012":` + lo(`"instance"`) + `,"00091013":` + lo(`"1"`) + `,"00091014":` + lo(q(3)) + `,"00091015":` + lo(q(4)) + `,"00091016":` + lo(q(5)+",null,"+q(6)) +
		`,"00091017":` + lo(q(7)) + `,"00091018":` + lo(`"1"`) + `,"00091019":` + lo(`"ab`+strings.Repeat("0", 62)+`","12"`) + `,"0009101A":` + lo(`"preamble","meta"`) + `,"00100010":{"vr":"PN"}}`
	if got := string(o.AppendJSON(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if h.text != "40cceeaeb2660c60e345662726107b412733772b25d78b7aabde3ec18f3fd0b7" {
		t.Errorf("hash %s", h)
	}
	d.Hash, d.Version = h, "1"
	if _, back := Split(o); !reflect.DeepEqual(back, d) {
		t.Errorf("got  %+v\nwant %+v", back, d)
	}
}

// Foreign blocks: VR CS, values of the wrong kind, blocks that are not ours.
func TestSplitForeign(t *testing.T) {
	h40, h64 := strings.Repeat("a", 40), strings.Repeat("b", 64)
	for _, test := range []struct {
		name, in, content string
		want              Dedup
	}{
		{"CS", `{"00090010":{"vr":"CS","Value":["dedupped"]},"00091011":{"Value":["` + h64 + `"],"vr":"CS"},"00091012":{"vr":"CS","Value":["image"]}}`, `{}`,
			Dedup{Hash: Hash{h64}, Type: TypeImage}},
		{"of 2021 over a scanner's block", `{"00090010":{"vr":"CS","Value":["dedupped"]},"00091001":{"vr":"LO"},"00091011":{"vr":"CS","Value":["` + h40 + `"]},"00091013":{"vr":"SH","Value":["theirs"]}}`,
			`{"00091001":{"vr":"LO"},"00091013":{"Value":["theirs"],"vr":"SH"}}`, Dedup{Hash: Hash{h40}}},
		{"stray elements under a scanner's creator", `{"00090010":{"vr":"LO","Value":["GEMS"]},"00090011":{"vr":"CS","Value":["dedupped"]},"00091011":{"vr":"LO","Value":["` + h64 + `"]},"00091112":{"vr":"LO","Value":["instance"]}}`,
			`{"00090010":{"Value":["GEMS"],"vr":"LO"},"00091011":{"Value":["` + h64 + `"],"vr":"LO"}}`, Dedup{Type: TypeInstance}},
		{"the highest", `{"00090010":{"vr":"LO","Value":["dedupped"]},"00090020":{"vr":"LO","Value":["dedupped"]},"00091012":{"vr":"LO","Value":["x"]},"00092012":{"vr":"LO","Value":["study"]}}`,
			`{"00090010":{"Value":["dedupped"],"vr":"LO"},"00091012":{"Value":["x"],"vr":"LO"}}`, Dedup{Type: TypeStudy}},
		{"wrong kinds", `{"00090010":{"vr":"LO","Value":["dedupped"]},"00091010":{"vr":"LO","Value":["../.."]},"00091011":{"vr":"LO","Value":[5]},"00091014":{"vr":"LO"},"00091019":{"Value":["ab","-1"],"vr":"LO"},"00091020":{"vr":"LO"}}`,
			`{"00091020":{"vr":"LO"}}`, Dedup{}},
		{"none", `{"00090010":{"vr":"LO","Value":["x"]},"00091013":{"vr":"LO"}}`, `{"00090010":{"Value":["x"],"vr":"LO"},"00091013":{"vr":"LO"}}`, Dedup{}},
	} {
		content, d := Split(mustObject(t, test.in))
		if got := string(content.AppendJSON(nil)); got != test.content || !reflect.DeepEqual(d, test.want) {
			t.Errorf("%s: %s, %+v", test.name, got, d)
		}
	}
}

func TestVerify(t *testing.T) {
	o, _, err := Seal(mustObject(t, `{"00080018":{"vr":"UI","Value":["1.2"]}}`), Dedup{Type: TypeInstance})
	if err != nil || Verify(o) != Right {
		t.Fatal(Verify(o), err)
	}
	bad := append(Object{{0x00080016, []byte(`{"vr":"UI"}`)}}, o...)
	later := mustObject(t, strings.Replace(string(o.AppendJSON(nil)), `"00091018":{"Value":["1"]`, `"00091018":{"Value":["2"]`, 1))
	info, _, _ := Seal(nil, Dedup{Type: TypeInfo})
	for name, test := range map[string]struct {
		o    Object
		want Answer
	}{"changed": {bad, Corrupt}, "a later version": {later, CannotTell}, "no block": {nil, CannotTell}, "info": {info, CannotTell}} {
		if got := Verify(test.o); got != test.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// Every bit of a sealed object is covered by its hash: whichever is flipped, the object is not right any more, or is no object at all.
func TestVerifySeesEveryFlip(t *testing.T) {
	o, h, err := Seal(mustObject(t, `{"00080018":{"vr":"UI","Value":["1.2"]},"00100010":{"vr":"PN","Value":[{"Alphabetic":"Doe^J"}]}}`), Dedup{Type: TypeInstance, Refs: []Hash{testHash(1)}})
	if err != nil {
		t.Fatal(err)
	}
	text := o.AppendJSON(nil)
	for i := range text {
		flipped := bytes.Clone(text)
		flipped[i] ^= 1 << (i % 8)
		bad, err := ParseObject(flipped)
		if err != nil || Verify(bad) != Right {
			continue
		}
		if _, d := Split(bad); d.Hash == h && bytes.Equal(bad.AppendJSON(nil), text) {
			continue // Another spelling of the same object.
		}
		t.Errorf("byte %d: %s is right", i, flipped)
	}
}

func TestSealSplitsBack(t *testing.T) {
	hashes := rapid.SliceOfN(rapid.Map(rapid.IntRange(0, 9), testHash), 0, 3)
	rapid.Check(t, func(t *rapid.T) {
		d := Dedup{
			Refs: hashes.Draw(t, "refs"), Replace: hashes.Draw(t, "replace"), ReplaceFiles: hashes.Draw(t, "files"),
			Type:   rapid.SampledFrom([]Type{"", TypePatient, TypeInstance, TypeDeleted, TypeInfo, "else"}).Draw(t, "type"),
			Delete: rapid.Bool().Draw(t, "delete"), FileSize: 0,
		}
		var content Object
		for _, tag := range rapid.SliceOfNDistinct(rapid.Map(rapid.Uint32Range(0x00090000, 0x00091FFF), func(n uint32) Tag { return Tag(n) }), 0, 8, rapid.ID).Draw(t, "tags") {
			text := rapid.SampledFrom([]string{`{"Value":["dedupped"],"vr":"LO"}`, `{"vr":"LO"}`, `{"Value":["x"],"vr":"LO"}`}).Draw(t, "value")
			content = content.with([]Element{{tag, []byte(text)}})
		}
		o, h, err := Seal(content, d)
		if err != nil {
			return
		}
		back, got := Split(o)
		if !bytes.Equal(back.AppendJSON(nil), content.AppendJSON(nil)) {
			t.Fatalf("%s became %s", content.AppendJSON(nil), back.AppendJSON(nil))
		}
		again, h2, err := Seal(back, got)
		if err != nil || h2 != h || !bytes.Equal(again.AppendJSON(nil), o.AppendJSON(nil)) {
			t.Fatalf("sealing again gives %s, not %s: %v", h2, h, err)
		}
	})
}

func sha256Of(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }
