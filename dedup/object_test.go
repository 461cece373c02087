package dedup

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestCanonical(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{"white space", " [ 1 ,\n\t{ } , [ ] ]\r\n", `[1,{},[]]`},
		{"keys", `{"vr":"CS","Value":["CT"],"BulkDataURI":""}`, `{"BulkDataURI":"","Value":["CT"],"vr":"CS"}`},
		{"keys inside keys", `{"b":{"z":1,"y":[{"q":0,"p":{}}]},"a":null}`, `{"a":null,"b":{"y":[{"p":{},"q":0}],"z":1}}`},
		{"keys by UTF-16", `{"\ufb33":1,"😀":2,"\u20ac":3,"1":4,"\r":5,"ö":6,"\u0080":7}`, "{\"\\r\":5,\"1\":4,\"\u0080\":7,\"ö\":6,\"€\":3,\"😀\":2,\"\ufb33\":1}"},
		{"numbers stay", `[1.50,-0,0e5,1E+2,123456789012345678901234567890]`, `[1.50,-0,0e5,1E+2,123456789012345678901234567890]`},
		{"escapes", `"\u0041\/\u000a\u0000\u001F\u007f\"\\\b\f\r\t\ud83d\ude00é"`, "\"A/\\n\\u0000\\u001f\u007f\\\"\\\\\\b\\f\\r\\t😀é\""},
		{"literals", `[null,true,false]`, `[null,true,false]`},
		{"a prefix is less", `{"ab":1,"a":2,"a\"":3}`, `{"a":2,"a\"":3,"ab":1}`},
	} {
		got, err := canonical([]byte(test.in))
		if err != nil || string(got) != test.want {
			t.Errorf("%s: %s, %v; want %s", test.name, got, err, test.want)
		}
		if again, err := canonical(got); err != nil || !bytes.Equal(again, got) {
			t.Errorf("%s: again %s, %v", test.name, again, err)
		}
	}
}

func TestNotJSON(t *testing.T) {
	for _, in := range []string{
		"", " ", "{", "[", "]", "}", `"`, `"a`, `"\`, `"\u12`, `"\x"`, "nul", "tru", "+1", "01", "1.", ".5", "1e", "-", "1e+", "--1", "0x1",
		"[1,]", "[,1]", "[1 2]", `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{1:2}`, `{"a":1 "b":2}`, `[1}`, `{"a":1]`, `1 2`, `{} x`, "[]]",
		`{"a":1,"a":2}`, `{"a":1,"b":1,"\u0061":2}`, `{"x":{"a":1,"a":1}}`,
		`"\ud800"`, `"\ud800\u0041"`, `"\udc00"`, `"\ud800x"`, "\"\xff\"", "\"\xed\xa0\x80\"", "\"a\nb\"", "\"é\x01\"", "\ufeff{}", "\"\xc3",
		strings.Repeat("[", 257) + strings.Repeat("]", 257), strings.Repeat(`{"a":`, 300), strings.Repeat("[", 1<<20),
	} {
		if out, err := canonical([]byte(in)); !errors.Is(err, ErrObject) {
			t.Errorf("%.40q is taken for %.40q, %v", in, out, err)
		}
	}
	deepest := strings.Repeat("[", 256) + strings.Repeat("]", 256)
	if _, err := canonical([]byte(deepest)); err != nil {
		t.Errorf("256 levels: %v", err)
	}
}

func TestWhole(t *testing.T) {
	for text, want := range map[string]int64{"1": 1, "1 ": 1, " 1": 1, "+1": 1, "003": 3, "-2": -2, "0": 0, "1.0": 1, "12.": 12, " 2.000\x00": 2} {
		if n, ok := Whole(text); n != want || !ok {
			t.Errorf("%q is %d, %v", text, n, ok)
		}
	}
	for _, text := range []string{"", " ", ".", ".0", "1.5", "1.0.0", "1,0", "1e0", "0x1", "one", "1.-0", "1 0", "99999999999999999999"} {
		if n, ok := Whole(text); ok {
			t.Errorf("%q is %d", text, n)
		}
	}
}

func TestParseObject(t *testing.T) {
	o, err := ParseObject([]byte("{\n \"0020000d\": {\"vr\": \"UI\", \"Value\": [\"1.2\"]},\n \"00080060\": {\"Value\":[\"CT\"],\"vr\":\"CS\",\"odd\":{\"z\":1,\"a\":2}},\n" +
		` "00400275":{"vr":"SQ","Value":[{"0040000a":{"vr":"LO"},"00400009":{"vr":"SH","Value":["x"]}}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"00080060":{"Value":["CT"],"odd":{"a":2,"z":1},"vr":"CS"},"0020000D":{"Value":["1.2"],"vr":"UI"},` +
		`"00400275":{"Value":[{"00400009":{"Value":["x"],"vr":"SH"},"0040000A":{"vr":"LO"}}],"vr":"SQ"}}`
	if got := string(o.AppendJSON(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if o.Text(0x0020000D) != "1.2" || o.Text(0x00080060) != "CT" || o.Text(0x00100010) != "" {
		t.Error("Text reads the wrong thing")
	}
	for _, in := range []string{`[]`, `1`, `{"x":{}}`, `{"00080018":1}`, `{"0008001":{}}`, `{"0020000D":{},"0020000d":{}}`, `[{"00080018":{}}]`} {
		if o, err := ParseObject([]byte(in)); !errors.Is(err, ErrObject) {
			t.Errorf("%s is taken for %v, %v", in, o, err)
		}
	}
}

func TestParseList(t *testing.T) {
	for in, want := range map[string]int{
		`[]`: 0, `[{}]`: 1, `{}`: 1, `[{"00080018":{}},{"00080018":{"vr":"UI"}},{}]`: 3, `{"00080018":{"Value":[{"00080018":{}}]}}`: 1,
	} {
		list, err := ParseList([]byte(in))
		if err != nil || len(list) != want {
			t.Errorf("%s: %d objects, %v", in, len(list), err)
		}
	}
	for _, in := range []string{``, `1`, `"x"`, `[1]`, `[{},[]]`, `[[{}]]`, `[{},1]`, `[null]`, `[{"x":{}}]`, `{}{}`} {
		if list, err := ParseList([]byte(in)); !errors.Is(err, ErrObject) {
			t.Errorf("%s is taken for %v, %v", in, list, err)
		}
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		`{"Value":["a\n\"\u0001é"],"vr":"LO"}`:               "a\n\"\x01é",
		`{"Value":[1.50,2],"vr":"DS"}`:                       "1.50",
		`{"Value":[{"Alphabetic":"Doe^Jane"}],"vr":"PN"}`:    "Doe^Jane",
		`{"Value":[{"Ideographic":"x"}],"vr":"PN"}`:          "",
		`{"Value":[null,"b"],"vr":"LO"}`:                     "",
		`{"Value":[],"vr":"LO"}`:                             "",
		`{"vr":"LO"}`:                                        "",
		`{"Value":"x"}`:                                      "",
		`{"Value":[{"00080018":{"Value":["1"]}}],"vr":"SQ"}`: "",
	} {
		o := Object{{0x00100010, []byte(in)}}
		if got := o.Text(0x00100010); got != want {
			t.Errorf("%s: %q", in, got)
		}
	}
}

func TestAttribute(t *testing.T) {
	hash := strings.Repeat("ab", 32)
	for _, in := range []string{
		`{}`, `{"vr":"DA"}`, `{"Value":[],"vr":"DA"}`, `{"Value":["a",null,1.50,{"Alphabetic":"x"}],"vr":"LO"}`, `{"InlineBinary":"","vr":"OB"}`,
		`{"InlineBinary":"AAEC","vr":"OB"}`, `{"BulkDataURI":"bulkdata/a","DeduppedExt":".raw","vr":"OW"}`,
		`{"BulkDataURI":"x","DeduppedBytes":"","DeduppedExt":".jls","DeduppedStreams":["","00112233445566778899aabbccddeeff"],"Fragments":["` + hash + `",null],"vr":"OB"}`,
		`{"A":1,"BulkDataURI":"x","C":[],"DeduppedBytes":"AA==","E":{"a":null},"Value":[],"vq":2,"vr":"OB","z":"ö"}`,
	} {
		a, err := ParseAttribute([]byte(in))
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if got := string(a.AppendJSON(nil)); got != in {
			t.Errorf("got  %s\nwant %s", got, in)
		}
	}
	for _, in := range []string{
		`[]`, `1`, ``, `{"vr":1}`, `{"Value":"x"}`, `{"Value":{}}`, `{"InlineBinary":"A"}`, `{"InlineBinary":"AB=="}`, `{"InlineBinary":"AAEC\n"}`, `{"InlineBinary":1}`,
		`{"BulkDataURI":[]}`, `{"Fragments":["x"]}`, `{"Fragments":[1]}`, `{"Fragments":"x"}`, `{"DeduppedStreams":[1]}`, `{"DeduppedBytes":null}`, `{"vr":"A","vr":"B"}`,
	} {
		if a, err := ParseAttribute([]byte(in)); !errors.Is(err, ErrObject) {
			t.Errorf("%s is taken for %+v, %v", in, a, err)
		}
	}
	a, err := ParseAttribute([]byte(`{"vr":"SQ","Value":[{"0040000a":{"vr":"LO","Value":["x"]}}]}`))
	if err != nil || string(a.Value[0]) != `{"0040000A":{"Value":["x"],"vr":"LO"}}` {
		t.Errorf("item %s, %v", a.Value, err)
	}
}

// anyJSON makes JSON values of every kind, with the awkward strings.
func anyJSON(depth int) *rapid.Generator[any] {
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "\x00\x1f", "\"\\/", "😀\ufb33€", "\u007f\u2028"}))
	scalar := rapid.OneOf(rapid.Just[any](nil), rapid.Map(rapid.Bool(), box[bool]), rapid.Map(rapid.Float64Range(-1e9, 1e9), box[float64]), rapid.Map(text, box[string]))
	if depth == 0 {
		return scalar
	}
	return rapid.OneOf(scalar, rapid.Map(rapid.SliceOfN(anyJSON(depth-1), 0, 4), box[[]any]), rapid.Map(rapid.MapOfN(text, anyJSON(depth-1), 0, 6), box[map[string]any]))
}

func box[T any](v T) any { return v }

// The canonical form means the same, whatever indentation and key order the text had, and is the same text for all of them.
func TestCanonicalMeansTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := anyJSON(4).Draw(t, "value")
		compact, _ := json.Marshal(value)
		pretty, _ := json.MarshalIndent(value, " ", "\t")
		a, err := canonical(compact)
		b, err2 := canonical(pretty)
		if err != nil || err2 != nil || !bytes.Equal(a, b) {
			t.Fatalf("%s, %v and %s, %v", a, err, b, err2)
		}
		var back, first any
		if json.Unmarshal(a, &back) != nil || json.Unmarshal(compact, &first) != nil || !reflect.DeepEqual(back, first) {
			t.Fatalf("%s became %s", compact, a)
		}
	})
}

func TestQuoteReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s")
		q := Quote(s)
		if back, ok := q.Text(); !ok || back != s {
			t.Fatalf("%q quoted %s reads %q", s, q, back)
		}
		if c, err := canonical(q); err != nil || !bytes.Equal(c, q) {
			t.Fatalf("%s is not canonical: %s, %v", q, c, err)
		}
	})
	if got := string(Quote("a\xffb")); got != "\"a\ufffdb\"" {
		t.Errorf("got %s", got)
	}
}

// jsonSeeds are texts with everything that JSON and DICOM JSON have, and with what they must not have.
func jsonSeeds() []string {
	return []string{
		`{}`, `[]`, `{"00080018":{"vr":"UI","Value":["1.2"]}}`, `{"00090010":{"Value":["dedupped"],"vr":"CS"},"00091010":{"Value":["a"],"vr":"LO"}}`,
		`{"0040a730":{"vr":"SQ","Value":[{"00080100":{"vr":"SH","Value":["\ud83d\ude00 \u00e9\u0001\u001f"]}},{}]}}`,
		`{"0020000e":{"vr":"UI"},"00080018":{"Value":["1\"\\\/\b\f\n\r\t2"],"vr":"UI"}}`, " {\n\t\"00080005\" : {\r\"vr\":\"CS\" , \"Value\":[ null , \"é😀\" ] } } ",
		`{"00280030":{"vr":"DS","Value":[0,-0,1.5,-12.25,1e5,1E+5,25e-3,"1.70",null,true,false]}}`,
		`{"7FE00010":{"vr":"OB","BulkDataURI":"bulkdata/abc/de/x","DeduppedBytes":"AA==","DeduppedExt":".jls","DeduppedStreams":["","0123456789abcdef0123456789abcdef"],` +
			`"Fragments":["e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",null,""],"InlineBinary":"AAEC","\ud83d\ude00":1,"a":{"b":[1]},"\uff5e":2}}`,
		`{"00090010":{"Value":["dedupped"],"vr":"LO"},"00091010":{"Value":["e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],"vr":"LO"},` +
			`"00091011":{"Value":["da39a3ee5e6b4b0d3255bfef95601890afd80709"],"vr":"LO"},"00091012":{"Value":["instance"],"vr":"LO"},"00091013":{"Value":["1"],"vr":"LO"},` +
			`"00091014":{"Value":["da39a3ee5e6b4b0d3255bfef95601890afd80709"],"vr":"LO"},"00091015":{"Value":[""],"vr":"LO"},"00091016":{"Value":[null,null],"vr":"LO"},` +
			`"00091017":{"Value":["da39a3ee5e6b4b0d3255bfef95601890afd80709"],"vr":"LO"},"00091018":{"Value":["1"],"vr":"LO"},` +
			`"00091019":{"Value":["af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262","12"],"vr":"LO"},"0009101A":{"Value":["meta"],"vr":"LO"},` +
			`"0009101B":{"Value":["x"],"vr":"LO"},"00091112":{"vr":"UN"}}`,
		`{"00080018":{"vr":"\"\\\u0001\n","Value":["1.2"]},"000911":{}}`, `{"00080018":{"vr":"\"\\\u0001\n\b","Value":["\t\f\r",5]},"00100010":{"vr":"PN","Value":[{"Alphabetic":"a\nb"}]}}`,
		`{"00090011":{"Value":["dedupped"],"vr":"CS"},"00091110":{"Value":["da39a3ee5e6b4b0d3255bfef95601890afd80709"],"vr":"CS"},` +
			`"00091111":{"Value":["da39a3ee5e6b4b0d3255bfef95601890afd80709"],"vr":"CS"},"00091112":{"Value":["image"],"vr":"CS"}}`,
		`{"00100010":{"vr":"PN","Value":[{"Alphabetic":"Doe^Jane"}]},"00100010":{}}`, `{"00100010":[]}`, `{"00100010":{"vr":1}}`, `{"00100010":{"vr":"LO","Value":{}}}`,
		`{"a":"\ud800"}`, `{"a":"\u12g4"}`, `{"a":"\x"}`, `{"a":01}`, `{"a":1.}`, `{"a":1e}`, `{"a":nul}`, `{"a"}`, `{"a":1,}`, `[1 2]`, `[`, `{"a":"`, "{\"a\":\"\x01\"}", "{\"a\":\"\xff\"}", `{} {}`,
		strings.Repeat("[", 300), `"text"`, `[[{}]]`,
	}
}

func FuzzObject(f *testing.F) {
	for _, s := range jsonSeeds() {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		o, err := ParseObject(text)
		if err != nil {
			return
		}
		checkObject(t, o)
		content, d := Split(o)
		sealed, h, err := Seal(content, d)
		if err != nil {
			return
		}
		if _, back := Split(sealed); back.Hash != h || Verify(sealed) != Right {
			t.Fatalf("sealed %s is %v", sealed.AppendJSON(nil), Verify(sealed))
		}
	})
}

func FuzzList(f *testing.F) {
	f.Add([]byte(`[{"00090010":{"Value":["dedupped"],"vr":"LO"}},{"00080018":{"Value":["1.2"],"vr":"UI"}}]`))
	for _, s := range jsonSeeds() {
		f.Add([]byte("[" + s + ", " + s + "]"))
		f.Add([]byte(s))
	}
	f.Add([]byte("[\n {\n  \"00080005\": {\n   \"vr\": \"CS\"\n  }\n }\n]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := ParseList(text)
		if err != nil {
			return
		}
		for _, o := range list {
			checkObject(t, o)
		}
	})
}

// checkObject holds what every Object must have, and that reading its JSON again gives it again.
func checkObject(t *testing.T, o Object) {
	t.Helper()
	out := o.AppendJSON(nil)
	again, err := ParseObject(out)
	if err != nil || !bytes.Equal(again.AppendJSON(nil), out) || !utf8.Valid(out) {
		t.Fatalf("%q is not canonical: %v", out, err)
	}
	if len(out) > o.size() {
		t.Fatalf("%d bytes where %d were promised", len(out), o.size())
	}
	for i, e := range o {
		if i > 0 && o[i-1].Tag >= e.Tag {
			t.Fatalf("tags out of order in %q", out)
		}
		o.Text(e.Tag)
		a, err := e.Attribute()
		if err != nil {
			continue
		}
		b, err := ParseAttribute(a.AppendJSON(nil))
		if err != nil || !bytes.Equal(a.AppendJSON(nil), b.AppendJSON(nil)) {
			t.Fatalf("%q becomes %q, %v", e.JSON, a.AppendJSON(nil), err)
		}
	}
}

func BenchmarkParseObject(b *testing.B) {
	var text strings.Builder
	text.WriteString("{")
	for i := range 120 {
		if i > 0 {
			text.WriteString(",")
		}
		text.WriteString(`"0019` + Tag(0x1000 + i).String()[4:] + `":{"vr":"DS","Value":["1.25","some text that is longer"]}`)
	}
	text.WriteString("}")
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseObject([]byte(text.String())); err != nil {
			b.Fatal(err)
		}
	}
}
