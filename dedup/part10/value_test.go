package part10

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/part10/charset"
	"pgregory.net/rapid"
)

func charsetOf(t testing.TB, terms string) charset.Set {
	t.Helper()
	set, err := charset.Parse(strings.Split(terms, `\`))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// back is what valueBytes makes of JSON that was parsed as it will be.
func back(vr VR, json []byte, cs charset.Set) ([]byte, error) {
	a, err := dedup.ParseAttribute(json)
	if err != nil {
		return nil, err
	}
	return valueBytes(nil, a, vr, cs)
}

// TestExactValues holds values that JSON says to the last byte.
func TestExactValues(t *testing.T) {
	for _, c := range []struct {
		vr           VR
		terms        string
		value, attrs string
	}{
		{"CS", "", "", `{"vr":"CS"}`},
		{"CS", "", "CT", `{"Value":["CT"],"vr":"CS"}`},
		{"CS", "", "AXIAL ", `{"Value":["AXIAL"],"vr":"CS"}`},
		{"CS", "", `ORIGINAL\\AXIALS\ `, `{"Value":["ORIGINAL",null,"AXIALS",null],"vr":"CS"}`},
		{"CS", "", `\ `, `{"Value":[null,null],"vr":"CS"}`},
		{"AE", "", "ARCHIVE1", `{"Value":["ARCHIVE1"],"vr":"AE"}`},
		{"AS", "", "042Y", `{"Value":["042Y"],"vr":"AS"}`},
		{"DA", "", "20200102", `{"Value":["20200102"],"vr":"DA"}`},
		{"TM", "", "030405.678", `{"Value":["030405.678"],"vr":"TM"}`},
		{"DT", "", "20200102030405.678901+0100", `{"Value":["20200102030405.678901+0100"],"vr":"DT"}`},
		{"UI", "", "1.2.840.10008.1.2.1\x00", `{"Value":["1.2.840.10008.1.2.1"],"vr":"UI"}`},
		{"UI", "", "1.2\\1.3\x00", `{"Value":["1.2","1.3"],"vr":"UI"}`},
		{"SH", "", "a\x00b ", `{"Value":["a\u0000b"],"vr":"SH"}`},
		{"LO", "", `say "hi"`, `{"Value":["say \"hi\""],"vr":"LO"}`},
		{"LO", "ISO_IR 100", "caf\xE9\\\xE9t\xE9", `{"Value":["café","été"],"vr":"LO"}`},
		{"LO", "GB18030", "\x95\x5C\\\xCD\xF5 ", `{"Value":["昞","王"],"vr":"LO"}`},
		{"UC", "", " x y\\ z ", `{"Value":[" x y"," z"],"vr":"UC"}`},
		{"LT", "", " lead\\ing \r\n\ttab\x1f!", `{"Value":[" lead\\ing \r\n\ttab\u001f!"],"vr":"LT"}`},
		{"ST", "ISO_IR 192", "\u2028\b\f\x7f", `{"Value":["` + "\u2028" + `\b\f` + "\x7f" + `"],"vr":"ST"}`},
		{"UT", `\ISO 2022 IR 149`, "\x1b$)C\xB1\xE6\r\n\x1b$)C\xB5\xBF", `{"Value":["길\r\n동"],"vr":"UT"}`},
		{"UR", "", "http://example.org/a?b=c&d=%20", `{"Value":["http://example.org/a?b=c&d=%20"],"vr":"UR"}`},
		{"PN", "", "Doe^Jane", `{"Value":[{"Alphabetic":"Doe^Jane"}],"vr":"PN"}`},
		{"PN", "", `Doe^Jane\\Roe^Richard `, `{"Value":[{"Alphabetic":"Doe^Jane"},null,{"Alphabetic":"Roe^Richard"}],"vr":"PN"}`},
		{"PN", "", "=b=c", `{"Value":[{"Ideographic":"b","Phonetic":"c"}],"vr":"PN"}`},
		{"PN", "", "a==c", `{"Value":[{"Alphabetic":"a","Phonetic":"c"}],"vr":"PN"}`},
		{"PN", "", "a=b=c=d ", `{"Value":[{"Alphabetic":"a","Ideographic":"b","Phonetic":"c=d"}],"vr":"PN"}`},
		{"PN", `\ISO 2022 IR 87`, "Yamada=\x1b$BD\\=M\x1b(B=\x1b$B$d\x1b(B", `{"Value":[{"Alphabetic":"Yamada","Ideographic":"嬬粛","Phonetic":"や"}],"vr":"PN"}`},
		{"DS", "", `1.5\-2\0\0.000001\`, `{"Value":[1.5,-2,0,0.000001,null],"vr":"DS"}`},
		{"DS", "", "1.70", `{"Value":["1.70"],"vr":"DS"}`},
		{"DS", "", "1.0E+01 ", `{"Value":["1.0E+01"],"vr":"DS"}`},
		{"DS", "", `-0\-0.0\+1\.5\5.\1e5\1e+21\1e21\1e-7\0.0000001`,
			`{"Value":["-0","-0.0","+1",".5","5.","1e5",1e+21,"1e21",1e-7,"0.0000001"],"vr":"DS"}`},
		{"DS", "", `0.30000000000000004\0.30000000000000001\123456789012345\1234567890123456789 `,
			`{"Value":[0.30000000000000004,"0.30000000000000001",123456789012345,"1234567890123456789"],"vr":"DS"}`},
		{"DS", "", "NaN\\Infinity\\1e999\\-\\1-1\\0x10 ", `{"Value":["NaN","Infinity","1e999","-","1-1","0x10"],"vr":"DS"}`},
		{"IS", "", `7\+007\-5\007\1.0\99`, `{"Value":[7,"+007",-5,"007","1.0",99],"vr":"IS"}`},
		{"IS", "", "9007199254740993", `{"Value":["9007199254740993"],"vr":"IS"}`},
		{"AT", "", "\x10\x00\x10\x00\xe0\x7f\x10\x00", `{"Value":["00100010","7FE00010"],"vr":"AT"}`},
		{"US", "", "\xff\xff\x01\x00", `{"Value":[65535,1],"vr":"US"}`},
		{"SS", "", "\x00\x80", `{"Value":[-32768],"vr":"SS"}`},
		{"UL", "", "\xff\xff\xff\xff", `{"Value":[4294967295],"vr":"UL"}`},
		{"SL", "", "\x00\x00\x00\x80", `{"Value":[-2147483648],"vr":"SL"}`},
		{"UV", "", "\x00\x00\x00\x00\x00\x00\x20\x00\x01\x00\x00\x00\x00\x00\x20\x00\xff\xff\xff\xff\xff\xff\xff\xff",
			`{"Value":[9007199254740992,"9007199254740993","18446744073709551615"],"vr":"UV"}`},
		{"SV", "", "\x00\x00\x00\x00\x00\x00\xe0\xff\xff\xff\xff\xff\xff\xff\xdf\xff\x00\x00\x00\x00\x00\x00\x00\x80",
			`{"Value":[-9007199254740992,"-9007199254740993","-9223372036854775808"],"vr":"SV"}`},
		{"FL", "", "\x00\x00\xc0\x3f\x00\x00\xc0\x7f\xcd\xcc\xcc\x3d\x00\x00\x00\x80\x01\x00\x00\x00",
			`{"Value":[1.5,"NaN",0.1,-0.0,1e-45],"vr":"FL"}`},
		{"FD", "", "\x00\x00\x00\x00\x00\x00\xf8\x7f\x00\x00\x00\x00\x00\x00\xf0\x7f\x00\x00\x00\x00\x00\x00\xf0\xff\x00\x00\x00\x00\x00\x00\x00\x80",
			`{"Value":["NaN","Infinity","-Infinity",-0.0],"vr":"FD"}`},
		{"FD", "", "\x50\xef\xe2\xd6\xe4\x1a\x4b\x44\x00\x00\x00\x00\x00\x00\x24\x40", `{"Value":[1e+21,10],"vr":"FD"}`},
		{"OB", "", "\x00\x01\x02\x03", `{"InlineBinary":"AAECAw==","vr":"OB"}`},
		{"OW", "", "", `{"vr":"OW"}`},
		{"UN", "", "\x01\x02\x03\x04", `{"InlineBinary":"AQIDBA==","vr":"UN"}`},
		{"XX", "", "ab", `{"InlineBinary":"YWI=","vr":"UN"}`},
	} {
		cs := charsetOf(t, c.terms)
		got, exact := appendAttribute([]byte("."), c.vr, []byte(c.value), cs)
		if string(got) != "."+c.attrs || !exact {
			t.Errorf("%s %q:\n got %s (%v)\nwant %s", c.vr, c.value, got[1:], exact, c.attrs)
		}
		value, err := back(c.vr, []byte(c.attrs), cs)
		if string(value) != c.value || err != nil {
			t.Errorf("%s of %s: %q, %v; want %q", c.vr, c.attrs, value, err, c.value)
		}
	}
}

// TestInexactValues holds values that need DeduppedBytes.
func TestInexactValues(t *testing.T) {
	for _, c := range []struct {
		vr           VR
		terms        string
		value, attrs string
	}{
		{"CS", "", "  ", `{"DeduppedBytes":"ICA=","vr":"CS"}`},
		{"LT", "", "  ", `{"DeduppedBytes":"ICA=","vr":"LT"}`},
		{"PN", "", "= ", `{"DeduppedBytes":"PSA=","vr":"PN"}`},
		{"CS", "", "CT\x00\x00", `{"DeduppedBytes":"Q1QAAA==","Value":["CT"],"vr":"CS"}`},
		{"CS", "", "CT1\x00", `{"DeduppedBytes":"Q1QxAA==","Value":["CT1"],"vr":"CS"}`},
		{"CS", "", "CT1", `{"DeduppedBytes":"Q1Qx","Value":["CT1"],"vr":"CS"}`},
		{"CS", "", " CT ", `{"DeduppedBytes":"IENUIA==","Value":["CT"],"vr":"CS"}`},
		{"CS", "", `A \B `, `{"DeduppedBytes":"QSBcQiA=","Value":["A","B"],"vr":"CS"}`},
		{"UI", "", "1.2 ", `{"DeduppedBytes":"MS4yIA==","Value":["1.2"],"vr":"UI"}`},
		{"IS", "", " 7", `{"DeduppedBytes":"IDc=","Value":[7],"vr":"IS"}`},
		{"PN", "", "Doe^J=", `{"DeduppedBytes":"RG9lXko9","Value":[{"Alphabetic":"Doe^J"}],"vr":"PN"}`},
		{"LO", "", "\xE9a", `{"DeduppedBytes":"6WE=","Value":["` + "\uFFFD" + `a"],"vr":"LO"}`},
		{"LO", `\ISO 2022 IR 149`, "\xC8\xAB", `{"DeduppedBytes":"yKs=","Value":["홍"],"vr":"LO"}`},
		{"US", "", "\x01", `{"DeduppedBytes":"AQ==","vr":"US"}`},
		{"UL", "", "\x01\x00\x00\x00\x02\x00", `{"DeduppedBytes":"AQAAAAIA","Value":[1],"vr":"UL"}`},
		{"FL", "", "\x01\x00\xc0\x7f", `{"DeduppedBytes":"AQDAfw==","Value":["NaN"],"vr":"FL"}`},
		{"FD", "", "\x00\x00\x00\x00\x00\x00\xf8\xff", `{"DeduppedBytes":"AAAAAAAA+P8=","Value":["NaN"],"vr":"FD"}`},
		{"OB", "", "abc", `{"DeduppedBytes":"YWJj","InlineBinary":"YWJj","vr":"OB"}`},
	} {
		cs := charsetOf(t, c.terms)
		got := appendExact([]byte("."), c.vr, []byte(c.value), cs)
		if string(got) != "."+c.attrs {
			t.Errorf("%s %q:\n got %s\nwant %s", c.vr, c.value, got[1:], c.attrs)
		}
		value, err := back(c.vr, []byte(c.attrs), cs)
		if string(value) != c.value || err != nil {
			t.Errorf("%s of %s: %q, %v; want %q", c.vr, c.attrs, value, err, c.value)
		}
	}
}

// TestForeignJSON holds what other writers leave.
func TestForeignJSON(t *testing.T) {
	for _, c := range []struct {
		vr           VR
		attrs, value string
	}{
		{"CS", `{"vr":"CS","Value":["ORIGINAL\\PRIMARY\\AXIAL"]}`, `ORIGINAL\PRIMARY\AXIAL`},
		{"DS", `{"vr":"DS","Value":["0.5\\0.5"]}`, `0.5\0.5 `},
		{"DS", `{"vr":"DS","Value":["1.5"]}`, "1.5 "},
		{"DS", `{"vr":"DS","Value":[10.0,1.50,2E1]}`, `10\1.5\20 `},
		{"DS", `{"vr":"DS","Value":[1e999]}`, "1e999 "},
		{"IS", `{"vr":"IS","Value":[5]}`, "5 "},
		{"IS", `{"vr":"IS","Value":[null,5.0]}`, `\5`},
		{"LO", `{"vr":"LO","Value":[12]}`, "12"},
		{"LO", `{"vr":"LO","Value":[""]}`, ""},
		{"SL", `{"vr":"SL","InlineBinary":"AQAAAP////8="}`, "\x01\x00\x00\x00\xff\xff\xff\xff"},
		{"OB", `{"vr":"OB","InlineBinary":"AQ=="}`, "\x01\x00"},
		{"UN", `{"vr":"UN","Value":["1.2.840"]}`, "1.2.840\x00"},
		{"PN", `{"vr":"PN","Value":["Doe^Jane=x"]}`, "Doe^Jane=x"},
		{"PN", `{"vr":"PN","Value":[{},{"Alphabetic":"a","Ideographic":""}]}`, `\a`},
		{"PN", `{"vr":"PN","Value":[{"Phonetic":"\u00e4\ud83d\ude00\/","Other":"x"}]}`, "==ä😀/ "},
		{"LO", `{"vr":"LO","Value":["a\\\"\\/\b\f\n\r\t\u0041"]}`, "a\\\"\\/\b\f\n\r\tA "},
		{"PN", `{"vr":"PN","Value":[{"Alphabetic":null,"Phonetic":"c"}]}`, "==c "},
		{"US", `{"vr":"US","Value":[5.0,"6","7\\ 8",null,1e3]}`, "\x05\x00\x06\x00\x07\x00\x08\x00\xe8\x03"},
		{"SS", `{"vr":"SS","Value":[-5.0,-32768.0]}`, "\xfb\xff\x00\x80"},
		{"FL", `{"vr":"FL","Value":["1.5",-0]}`, "\x00\x00\xc0\x3f\x00\x00\x00\x80"},
		{"FD", `{"vr":"FD","Value":["inf"]}`, "\x00\x00\x00\x00\x00\x00\xf0\x7f"},
		{"AT", `{"vr":"AT","Value":["(7fe0,0010)"]}`, "\xe0\x7f\x10\x00"},
		{"AT", `{"vr":"AT","Value":["00100010\\00100020"]}`, "\x10\x00\x10\x00\x10\x00\x20\x00"},
	} {
		got, err := back(c.vr, []byte(c.attrs), charsetOf(t, "ISO_IR 192"))
		if string(got) != c.value || err != nil {
			t.Errorf("%s: %q, %v; want %q", c.attrs, got, err, c.value)
		}
	}
}

func TestWrongValues(t *testing.T) {
	const secret = "Secret"
	for _, attrs := range []string{
		`{"vr":"US","Value":["Secret"]}`, `{"vr":"US","Value":[65536]}`, `{"vr":"US","Value":[-1]}`, `{"vr":"US","Value":[1.5]}`,
		`{"vr":"US","Value":[{}]}`, `{"vr":"SS","Value":[32768]}`, `{"vr":"SV","Value":[9223372036854775808]}`, `{"vr":"UV","Value":[18446744073709551616]}`,
		`{"vr":"FL","Value":["Secret"]}`, `{"vr":"FL","Value":[1e39]}`, `{"vr":"FD","Value":["Secret"]}`, `{"vr":"FD","Value":[1e309]}`, `{"vr":"AT","Value":["Secret"]}`, `{"vr":"AT","Value":["100000000"]}`,
		`{"vr":"LO","Value":[{"Alphabetic":"Secret"}]}`, `{"vr":"LO","Value":[true]}`, `{"vr":"PN","Value":[{"Alphabetic":["Secret"]}]}`,
		`{"vr":"PN","Value":[{"Alphabetic":5}]}`, `{"vr":"SQ","Value":[{}]}`, `{"vr":"OB","BulkDataURI":"bulkdata/000/00/0.raw"}`,
	} {
		a, err := dedup.ParseAttribute([]byte(attrs))
		if err != nil {
			t.Fatalf("%s: %v", attrs, err)
		}
		got, err := valueBytes([]byte("before"), a, VR(a.VR), charset.Set{})
		if !errors.Is(err, errValue) || string(got) != "before" {
			t.Errorf("%s: %q, %v", attrs, got, err)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error quotes it: %v", attrs, err)
		}
	}
	for _, token := range []string{``, `"`, `"\`, `"\q"`, `"\u12"`, `"\uZZZZ"`, `"\x"`, `"\u12"`, `{"`, `{"Alphabetic"`, `{"Alphabetic":`, `{"Alphabetic":"a"`, `{"Alphabetic":"a",`} {
		a := dedup.Attribute{VR: "PN", Value: []dedup.Token{dedup.Token(token)}}
		if got, err := valueBytes(nil, a, "PN", charset.Set{}); !errors.Is(err, errValue) {
			t.Errorf("token %s: %q, %v", token, got, err)
		}
		if got, err := valueBytes(nil, a, "US", charset.Set{}); !errors.Is(err, errValue) && token != "" {
			t.Errorf("US token %s: %q, %v", token, got, err)
		}
	}
}

func TestTextThatTheSetCannotWrite(t *testing.T) {
	for attrs, want := range map[string]string{
		`{"Value":["Łódź"],"vr":"LO"}`:                                 "?ód?",
		`{"Value":[{"Alphabetic":"Ł^a","Ideographic":"ó"}],"vr":"PN"}`: "?^a=ó ",
	} {
		a, err := dedup.ParseAttribute([]byte(attrs))
		if err != nil {
			t.Fatal(err)
		}
		latin1 := charsetOf(t, "ISO_IR 100")
		got, err := valueBytes(nil, a, VR(a.VR), latin1)
		text, _ := latin1.Decode(nil, got, charset.Names)
		if !errors.Is(err, errCharset) || string(text) != want {
			t.Errorf("%s: %q, %v; want %q", attrs, text, err, want)
		}
	}
}

var everyVR = []VR{"AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "OB", "OD", "OF", "OL", "OV", "OW", "PN", "SH", "SL",
	"SS", "ST", "SV", "TM", "UC", "UI", "UL", "UN", "UR", "US", "UT", "UV", "??", ""}

var someSets = []string{"", "ISO_IR 100", "ISO_IR 192", "GB18030", "GBK", "ISO_IR 13", `ISO 2022 IR 13\ISO 2022 IR 87`, `\ISO 2022 IR 149`}

// checkRoundTrip is the promise of appendExact: the JSON is canonical, and gives the value back, byte for byte.
func checkRoundTrip(t rapid.TB, vr VR, value []byte, cs charset.Set) {
	json := appendExact(nil, vr, value, cs)
	a, err := dedup.ParseAttribute(json)
	if err != nil {
		t.Fatalf("%s %q: %s: %v", vr, value, json, err)
	}
	if again := a.AppendJSON(nil); !bytes.Equal(again, json) {
		t.Fatalf("%s %q: %s is canonically %s", vr, value, json, again)
	}
	got, err := valueBytes(nil, a, vr, cs)
	if err != nil || !bytes.Equal(got, value) {
		t.Fatalf("%s: %s gives %q, %v; want %q", vr, json, got, err, value)
	}
	_, exact := appendAttribute(nil, vr, value, cs)
	a.Bytes = nil
	without, err := valueBytes(nil, a, vr, cs)
	if same := err == nil && bytes.Equal(without, value); exact && !same {
		t.Fatalf("%s: %s is exact and gives %q, %v; want %q", vr, json, without, err, value)
	}
}

func TestValuesRoundTrip(t *testing.T) {
	pieces := []string{"a", " ", "\x00", `\`, "^", "=", "1", "-0", ".5", "e+21", "\xE9", "\x1b$B", "\x1b(B", "\x1b$)C", "D\\", "\xC8\xAB", "\"", "\n", "\xEF\xBF\xBD"}
	rapid.Check(t, func(t *rapid.T) {
		vr := rapid.SampledFrom(everyVR).Draw(t, "vr")
		terms := rapid.SampledFrom(someSets).Draw(t, "terms")
		var value []byte
		if rapid.Bool().Draw(t, "text") {
			value = []byte(strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 12).Draw(t, "pieces"), ""))
		} else {
			value = rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "bytes")
		}
		cs, _ := charset.Parse(strings.Split(terms, `\`))
		checkRoundTrip(t, vr, value, cs)
	})
}

func FuzzValue(f *testing.F) {
	for i, vr := range everyVR {
		f.Add(string(vr), someSets[i%len(someSets)], []byte("1.5\\-2 \\a=b^c\x1b$BD\\\x1b(B\x00\xff"))
		f.Add(string(vr), "", []byte("\x00\x00\xc0\x7f\x00\x00\x00\x80"))
	}
	f.Fuzz(func(t *testing.T, vr, terms string, value []byte) {
		cs, _ := charset.Parse(strings.Split(terms, `\`))
		checkRoundTrip(t, VR(vr), value, cs)
	})
}

func BenchmarkAppendExact(b *testing.B) {
	latin1 := charsetOf(b, "ISO_IR 100")
	for _, c := range []struct {
		name  string
		vr    VR
		value string
	}{
		{"CS", "CS", `ORIGINAL\PRIMARY\AXIAL`}, {"DS", "DS", `-150.123456\200.5\1.25`}, {"UI", "UI", "1.2.840.113619.2.55.3.604688.12.20000\x00"},
		{"contour", "DS", strings.Repeat(`-150.12\200.5\`, 4000)}, {"PN", "PN", "Doe^Jane"}, {"Latin1", "PN", "Buc^J\xE9r\xF4me"}, {"US", "US", "\x00\x02"}, {"FD", "FD", "\x9a\x99\x99\x99\x99\x99\xb9\x3f"},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			dst, value := make([]byte, 0, 256), []byte(c.value)
			for b.Loop() {
				dst = appendExact(dst[:0], c.vr, value, latin1)
			}
		})
	}
}
