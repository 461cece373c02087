package part10

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/part10/charset"
	"github.com/dicomesh/dicomesh/e2e/shareddata"
)

// facts is what another reader, pydicom, found in a file: data/oracle.py tells how.
type facts struct {
	JSON  map[string]theirs `json:"json"`
	Meta  map[string]theirs `json:"meta"`
	Pixel struct {
		Tag          string   `json:"tag"`
		Encapsulated bool     `json:"encapsulated"`
		SHA256       string   `json:"sha256"`
		FrameSHA256  []string `json:"frame_sha256"`
	} `json:"pixel"`
}

// theirs is one attribute as the oracle has it. BulkDataURI is sha256:<hex>;length=<bytes>.
type theirs struct {
	VR           string            `json:"vr"`
	Value        []json.RawMessage `json:"Value"`
	InlineBinary []byte            `json:"InlineBinary"`
	BulkDataURI  string            `json:"BulkDataURI"`
}

// bare is the numbers that JSON does not have and the oracle writes all the same.
var bare = regexp.MustCompile(`([\[,])(NaN|-?Infinity)\b`)

func oracleOf(t *testing.T, name string) facts {
	t.Helper()
	f, err := os.Open(filepath.Join(shareddata.Dir(t, "data", "dicom", "oracle"), filepath.FromSlash(name)+".json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if _, err := text.ReadFrom(z); err != nil {
		t.Fatal(err)
	}
	var out facts
	if err := json.Unmarshal(bare.ReplaceAll(text.Bytes(), []byte(`$1"bare $2"`)), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// pair is an attribute, or one of its values, as both readers have it.
type pair struct {
	tag        dedup.Tag
	ours       *dedup.Attribute // nil: only the oracle has it
	theirs     *theirs          // nil: only we have it
	one, other json.RawMessage  // the values, nil when it is about the attribute
	bytes      func() []byte    // of our value, little-endian
	set        charset.Set
}

// equivalences is all that may differ between our JSON and the oracle's, and why it is the same all the same. The test fails on
// a row that no file of the corpus needs.
var equivalences = []struct {
	name, reason string
	holds        func(p pair) bool
}{
	{"empty component", "PS3.18 F.2.5 has null for an empty value among several; pydicom has an empty string",
		func(p pair) bool { return string(p.one) == "null" && string(p.other) == `""` }},
	{"spelling of a number", "1 and 1.0, é and its escape are one JSON value",
		func(p pair) bool { return p.one != nil && sameJSON(p.one, p.other) }},
	{"single precision", "FL is the shortest number that reads back as the same 32 bits; pydicom prints all digits of a double",
		func(p pair) bool {
			a, err := strconv.ParseFloat(string(p.one), 32)
			b, err2 := strconv.ParseFloat(string(p.other), 32)
			return p.theirs != nil && p.theirs.VR == "FL" && err == nil && err2 == nil && a == b
		}},
	{"decimal text", "DS and IS whose text is not just the number (1.70, +007, 1.0E+01) are strings, so that no digit is lost",
		func(p pair) bool {
			var text string
			if p.theirs == nil || p.theirs.VR != "DS" && p.theirs.VR != "IS" || json.Unmarshal(p.one, &text) != nil {
				return false
			}
			a, err := strconv.ParseFloat(text, 64)
			b, err2 := strconv.ParseFloat(string(p.other), 64)
			return err == nil && err2 == nil && a == b
		}},
	{"not a number", "PS3.18 F.2.3 has NaN as a string; pydicom writes what no strict JSON parser reads",
		func(p pair) bool { return len(p.one) > 1 && string(p.other) == `"bare `+string(p.one[1:]) }},
	{"64-bit integers", "PS3.18 F.2.3 has SV and UV beyond 2^53 as strings: JSON numbers lose them",
		func(p pair) bool {
			return p.theirs != nil && (p.theirs.VR == "SV" || p.theirs.VR == "UV") && string(p.one) == `"`+string(p.other)+`"`
		}},
	{"binary by hash", "the oracle keeps SHA-256 and length of long binary values; ours are inline or bulkdata with those bytes",
		func(p pair) bool {
			return p.one == nil && p.ours != nil && p.theirs != nil && p.ours.VR == p.theirs.VR && p.theirs.BulkDataURI != "" && p.theirs.BulkDataURI == reference(p.bytes())
		}},
	{"binary inline", "short binary values are inline on both sides, or ours are bulkdata with those bytes",
		func(p pair) bool {
			return p.one == nil && p.ours != nil && p.theirs != nil && p.ours.VR == p.theirs.VR && len(p.theirs.InlineBinary) > 0 && bytes.Equal(p.bytes(), p.theirs.InlineBinary)
		}},
	{"big-endian words", "ours are little-endian, as PS3.18 F.2.7 wants; pydicom leaves OW as it stands in the file",
		func(p pair) bool {
			if p.one != nil || p.ours == nil || p.theirs == nil || p.ours.VR != "OW" {
				return false
			}
			b := bytes.Clone(p.bytes())
			swapUnits(b, 2)
			return p.theirs.BulkDataURI == reference(b)
		}},
	{"encapsulated pixels", "the oracle's bytes are the fragments with their item headers; TestOracleFrames compares the frames",
		func(p pair) bool {
			return isPixels(p.tag) && p.ours != nil && p.ours.Fragments != nil && p.ours.Ext != ".raw"
		}},
	{"UN that is known", "UN of a public attribute gets the dictionary's VR, UN that holds items is SQ (PS3.5 6.2.2); pydicom leaves it. The bytes are the same",
		func(p pair) bool {
			return p.one == nil && p.ours != nil && p.theirs != nil && p.theirs.VR == "UN" && p.ours.VR != "UN" &&
				(bytes.Equal(p.bytes(), p.theirs.InlineBinary) || p.theirs.BulkDataURI == reference(p.bytes()))
		}},
	{"long text", "text above 64 KiB is bulkdata, so that objects stay small",
		func(p pair) bool {
			if p.one != nil || p.ours == nil || p.theirs == nil || p.ours.VR != "UT" || p.ours.BulkDataURI == "" || len(p.theirs.Value) != 1 {
				return false
			}
			text, clean := p.set.Decode(nil, bytes.TrimRight(p.bytes(), " \x00"), charset.Text)
			return clean && sameJSON(p.theirs.Value[0], appendQuoted(nil, text))
		}},
	{"group lengths", "(gggg,0000) describes the file, not the dataset", func(p pair) bool { return p.ours == nil && p.tag&0xFFFF == 0 }},
	{"padding", "so does Data Set Trailing Padding", func(p pair) bool { return p.ours == nil && p.tag == tagPadding }},
	{"an empty name among several", "pydicom 2.3.1 cannot write such a PN as JSON and leaves the attribute out",
		func(p pair) bool {
			return p.theirs == nil && p.ours.VR == "PN" && len(p.ours.Value) > 1 && hasNull(p.ours.Value)
		}},
}

func hasNull(tokens []dedup.Token) bool {
	for _, token := range tokens {
		if string(token) == "null" {
			return true
		}
	}
	return false
}

// sameJSON reports whether two texts are one JSON value, numbers as doubles.
func sameJSON(a, b []byte) bool {
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	one, _ := json.Marshal(x)
	other, _ := json.Marshal(y)
	return bytes.Equal(one, other)
}

func reference(b []byte) string { return fmt.Sprintf("sha256:%x;length=%d", sha256.Sum256(b), len(b)) }

// reading is one file as both readers have it.
type reading struct {
	t    *testing.T
	m    *memory
	used map[string]int
}

func (r *reading) settle(where string, p pair) {
	for _, e := range equivalences {
		if e.holds(p) {
			r.used[e.name]++
			return
		}
	}
	r.t.Errorf("%s: ours %v %s, theirs %+v %s", where, p.ours, p.one, p.theirs, p.other)
}

// object compares two data sets.
func (r *reading) object(where string, o dedup.Object, set charset.Set, want map[string]theirs) {
	set = setOf(o, set)
	for _, e := range o {
		a, err := e.Attribute()
		if err != nil {
			r.t.Fatal(err)
		}
		p := pair{tag: e.Tag, ours: &a, set: set, bytes: func() []byte { return r.bytes(e.Tag, a, set) }}
		if w, ok := want[e.Tag.String()]; ok {
			p.theirs = &w
		}
		r.attribute(where+" "+e.Tag.String(), p)
	}
	for name, w := range want {
		tag, _ := strconv.ParseUint(name, 16, 32)
		if _, ok := o.Find(dedup.Tag(tag)); !ok {
			r.settle(where+" "+name, pair{tag: dedup.Tag(tag), theirs: &w})
		}
	}
}

func (r *reading) attribute(where string, p pair) {
	if p.theirs == nil || p.ours.VR != p.theirs.VR || p.theirs.BulkDataURI != "" || len(p.theirs.InlineBinary) > 0 {
		r.settle(where, p)
		return
	}
	if p.ours.VR == "SQ" {
		r.sequence(where, p)
		return
	}
	if len(p.ours.Value) != len(p.theirs.Value) || p.ours.InlineBinary != nil {
		r.settle(where, p)
		return
	}
	for i, one := range p.ours.Value {
		if p.one, p.other = json.RawMessage(one), p.theirs.Value[i]; !bytes.Equal(p.one, p.other) {
			r.settle(fmt.Sprintf("%s value %d", where, i+1), p)
		}
	}
}

func (r *reading) sequence(where string, p pair) {
	items := r.items(p.tag, *p.ours)
	if len(items) != len(p.theirs.Value) {
		r.t.Errorf("%s: %d items, the oracle has %d", where, len(items), len(p.theirs.Value))
		return
	}
	for i, item := range items {
		o, err := dedup.ParseObject(item)
		var want map[string]theirs
		if err := json.Unmarshal(p.theirs.Value[i], &want); err != nil {
			r.t.Fatal(err)
		}
		if err != nil {
			r.t.Fatal(err)
		}
		r.object(fmt.Sprintf("%s[%d]", where, i), o, p.set, want)
	}
}

// items of a sequence, wherever they are.
func (r *reading) items(tag dedup.Tag, a dedup.Attribute) []dedup.Token {
	if a.BulkDataURI == "" {
		return a.Value
	}
	ref, err := dedup.ParseBulkURI(a.BulkDataURI)
	if err != nil {
		r.t.Fatal(err)
	}
	e, _ := r.m.objects[ref.Hash()].Find(tag)
	if a, err = e.Attribute(); err != nil {
		r.t.Fatal(err)
	}
	return a.Value
}

// bytes is the value of an attribute, wherever it is; of a sequence its items in implicit little endian.
func (r *reading) bytes(tag dedup.Tag, a dedup.Attribute, set charset.Set) []byte {
	if a.VR == "SQ" || a.BulkDataURI != "" || a.Fragments != nil {
		e := encoder{source: r.m, names: bulkNames{}, out: &layout{}}
		if err := e.attribute(tag, a, coding{implicit: true}, set); err != nil {
			r.t.Fatal(err)
		}
		var out bytes.Buffer
		if _, err := (&Rebuilt{layout: e.out, source: r.m}).WriteTo(&out); err != nil {
			r.t.Fatal(err)
		}
		return out.Bytes()[8:]
	}
	value, err := valueBytes(nil, a, VR(a.VR), set)
	if err != nil {
		r.t.Fatal(err)
	}
	return value
}

// TestOracleJSON compares the objects of every real file, and its group 0002, with another reader's DICOM JSON.
func TestOracleJSON(t *testing.T) {
	used := map[string]int{}
	for _, f := range sound(t) {
		want := oracleOf(t, f.name)
		p, m := taken(t, f.data)
		r := reading{t: t, m: m, used: used}
		merged, d := m.merged(p)
		r.object(f.name, merged, charset.Set{}, want.JSON)
		meta, _ := dedup.Split(m.objects[d.Encoding[0]])
		for i, e := range meta {
			if twin, ok := merged.Find(repeated(e.Tag)); ok && string(e.JSON) == `{"vr":"UI"}` {
				meta[i].JSON = twin.JSON
			}
		}
		r.object(f.name+" meta", meta, charset.Set{}, want.Meta)
	}
	for _, e := range equivalences {
		if t.Logf("%6d times: %s", used[e.name], e.name); used[e.name] == 0 {
			t.Errorf("no file needs the equivalence %q", e.name)
		}
	}
}

// TestOracleFrames compares the bytes of every frame with another reader's.
func TestOracleFrames(t *testing.T) {
	frames := 0
	for _, f := range sound(t) {
		want := oracleOf(t, f.name).Pixel
		if want.Tag == "" {
			continue
		}
		p, m := taken(t, f.data)
		merged, _ := m.merged(p)
		var sums []string
		a := pixelAttribute(t, merged, want.Tag)
		for _, ref := range fragmentRefs(a) {
			sums = append(sums, sumOf(m.files[ref]))
			if !want.Encapsulated && ref.Name != sumOf(m.files[ref]) {
				t.Errorf("%s: a native frame that is not named by its bytes", f.name)
			}
		}
		frames += len(sums)
		r := reading{t: t, m: m}
		whole := r.bytes(0x7FE00010, a, charset.Set{})
		if native := sha256.Sum256(whole); !want.Encapsulated && hex.EncodeToString(native[:]) != want.SHA256 {
			t.Errorf("%s: the pixels are not the oracle's", f.name)
		}
		if list := strings.Join(sums, " "); len(want.FrameSHA256) > 0 && list != strings.Join(want.FrameSHA256, " ") {
			t.Errorf("%s: %d frames, the oracle has %d, or others", f.name, len(sums), len(want.FrameSHA256))
		}
	}
	if frames < 500 {
		t.Errorf("only %d frames", frames)
	}
}

func pixelAttribute(t *testing.T, o dedup.Object, tag string) dedup.Attribute {
	t.Helper()
	n, err := strconv.ParseUint(tag, 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	e, ok := o.Find(dedup.Tag(n))
	if !ok {
		t.Fatalf("no %s", tag)
	}
	a, err := e.Attribute()
	if err != nil {
		t.Fatal(err)
	}
	return a
}
