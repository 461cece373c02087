package search

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dicomesh/dicomesh/dedup"
)

// maxValue is how much is kept of one attribute: no value that the standard allows is longer, but lists of classes may be.
const maxValue = 3 << 10

// valuesOf are an object's values of the keys of a level.
func valuesOf(l Level, o dedup.Object) (v values) {
	var b strings.Builder
	for _, k := range keys() {
		if k.level != l {
			continue
		}
		have := strings.Join(k.texts(o), `\`)
		if len(have) > maxValue {
			have = have[:maxValue]
		}
		if b.Len()+len(have) > math.MaxUint16 {
			have = ""
		}
		b.WriteString(have)
		v.ends[k.at] = uint16(b.Len())
	}
	v.text = b.String()
	return v
}

// texts are an attribute's values as they are compared.
func (k key) texts(o dedup.Object) []string {
	if k.in == 0 {
		return k.own(o)
	}
	e, ok := o.Find(k.in)
	if !ok {
		return nil
	}
	a, err := e.Attribute()
	if err != nil {
		return nil
	}
	var out []string
	for _, item := range a.Value {
		if inner, err := dedup.ParseObject(item); err == nil {
			out = append(out, k.own(inner)...)
		}
	}
	return out
}

func (k key) own(o dedup.Object) []string {
	e, ok := o.Find(k.tag)
	if !ok {
		return nil
	}
	if text, ok := plain(e.JSON); ok {
		if text = k.folded(text); text != "" {
			return []string{text}
		}
		return nil
	}
	var a struct{ Value []json.RawMessage }
	if json.Unmarshal(e.JSON, &a) != nil {
		return nil
	}
	var out []string
	for _, v := range a.Value {
		if text := k.fold(v); text != "" {
			out = append(out, text)
		}
	}
	return out
}

// fold is one value as it is compared.
func (k key) fold(v json.RawMessage) string {
	var text string
	switch {
	case len(v) == 0 || bytes.Equal(v, []byte("null")):
		return ""
	case v[0] == '{':
		var n struct{ Alphabetic, Ideographic, Phonetic string }
		if json.Unmarshal(v, &n) != nil {
			return ""
		}
		return foldName(strings.TrimRight(n.Alphabetic+"="+n.Ideographic+"="+n.Phonetic, "="))
	case v[0] == '"':
		if json.Unmarshal(v, &text) != nil {
			return ""
		}
	default:
		text = string(v)
	}
	return k.folded(text)
}

// plain is the value of an attribute of one text or number without escapes, which most are. The JSON is canonical.
func plain(attribute []byte) (string, bool) {
	rest, ok := bytes.CutPrefix(attribute, []byte(`{"Value":[`))
	if !ok {
		return "", len(attribute) == len(`{"vr":"XX"}`) // nothing
	}
	if len(rest) > 0 && rest[0] == '"' {
		end := bytes.IndexByte(rest[1:], '"') + 1
		if end < 1 || bytes.IndexByte(rest[1:end], '\\') >= 0 || !bytes.HasPrefix(rest[end+1:], []byte(`],"vr"`)) {
			return "", false
		}
		return string(rest[1:end]), true
	}
	end := bytes.Index(rest, []byte(`],"vr"`))
	if end < 1 || bytes.ContainsAny(rest[:end], "\"{[, nN") {
		return "", false
	}
	return string(rest[:end]), true
}

// folded is a text as it is compared.
func (k key) folded(text string) string {
	text = strings.TrimSpace(text)
	switch k.kind {
	case name:
		return foldName(text)
	case date:
		return strings.ReplaceAll(text, ".", "") // 2004.01.31 of ACR-NEMA
	case hour:
		text = strings.ReplaceAll(text, ":", "")
		if low, _, ok := clock(text); ok {
			return low
		}
		return text
	case whole:
		if f, err := strconv.ParseFloat(text, 64); err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			return strconv.FormatInt(int64(f), 10)
		}
	}
	return text
}

// foldName is a name without regard to case, and to components that are empty at its end.
func foldName(s string) string {
	groups := strings.Split(strings.Map(fold, strings.ToLower(s)), "=")
	for n, g := range groups {
		groups[n] = strings.TrimRight(strings.TrimSpace(g), "^ ")
	}
	return strings.Join(groups, "=")
}

// fold is the letter that stands for all those that differ in case alone, which may be more than two: a Greek name ends in ς, and in Σ when it is written in capitals, whose small letter is σ.
func fold(r rune) rune {
	if r < utf8.RuneSelf {
		return unicode.ToUpper(r)
	}
	least := r
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		least = min(least, other)
	}
	return least
}

// ErrRow says that a text is no Row of this release: read the study's published files again.
var ErrRow = errors.New("not a row of a published study as this release makes it")

// rowVersion changes whenever what is kept of a study does.
const rowVersion = "dicomesh row 1\n"

// MakeRow makes the row of a published study, to be kept as text, of its answers to the queries for studies and series (PS3.18 section 10.6).
func MakeRow(study dedup.Object, series []dedup.Object) []byte {
	out := study.AppendJSON([]byte(rowVersion))
	for _, s := range series {
		v := valuesOf(Series, s)
		kept := make([]string, 0, most)
		for _, k := range keys() {
			if k.level == Series {
				kept = append(kept, v.of(k.at))
			}
		}
		line, err := json.Marshal(kept)
		if err != nil {
			panic("search: " + err.Error()) // strings have a JSON form
		}
		out = append(append(out, '\n'), line...)
	}
	return out
}

// parseRow reads what MakeRow made.
func parseRow(row []byte) (study []byte, v values, series []values, err error) {
	rest, ok := bytes.CutPrefix(row, []byte(rowVersion))
	if !ok {
		return nil, v, nil, ErrRow
	}
	study, rest, more := bytes.Cut(rest, []byte{'\n'})
	o, err := dedup.ParseObject(study)
	if err != nil {
		return nil, v, nil, fmt.Errorf("%w: %w", ErrRow, err)
	}
	for more {
		var line []byte
		line, rest, more = bytes.Cut(rest, []byte{'\n'})
		var kept []string
		if err := json.Unmarshal(line, &kept); err != nil || len(kept) > most {
			return nil, v, nil, ErrRow
		}
		series = append(series, packed(kept))
	}
	return study, valuesOf(Study, o), series, nil
}

// packed puts values one behind the other.
func packed(kept []string) (v values) {
	all := strings.Join(kept, "")
	if len(all) > math.MaxUint16 {
		return values{}
	}
	v.text = all
	end := 0
	for n := range v.ends {
		if n < len(kept) {
			end += len(kept[n])
		}
		v.ends[n] = uint16(end)
	}
	return v
}
