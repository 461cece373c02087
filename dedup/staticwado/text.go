package staticwado

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/part10/charset"
)

// tagCharset is Specific Character Set.
const tagCharset dedup.Tag = 0x00080005

// repair gives texts back the bytes that they had. static-wado decodes UTF-8, but not in names of persons, and no other character set: it writes each byte
// as the character of that number. Such a text is known by what cannot be otherwise:
//
//   - all its characters are below 256, and Specific Character Set cannot write them as they stand (or they hold the escape that switches sets):
//     they are bytes;
//   - in a name, where Specific Character Set is UTF-8, its characters as bytes are UTF-8.
//
// All others are left. A text with characters that Specific Character Set has not, because another writer decoded it, makes the whole instance UTF-8.
func repair(o dedup.Object) (dedup.Object, error) {
	var r repairer
	repaired := r.object(o, charset.Set{}, 0)
	switch {
	case !r.unwritable:
		return repaired, nil
	case r.repaired || r.nested:
		return nil, fmt.Errorf("texts in more than one character set: %w", errUnclear)
	}
	utf8 := dedup.Element{Tag: tagCharset, JSON: []byte(`{"Value":["ISO_IR 192"],"vr":"CS"}`)}
	if _, has := o.Find(tagCharset); has {
		return replaced(o, utf8), nil
	}
	return withElement(slices.Clone(o), utf8), nil
}

// repairer walks over an instance.
type repairer struct {
	repaired   bool // some text was
	unwritable bool // some text has characters that its set has not
	nested     bool // an item has a set of its own
}

// maxNesting is how deep sequences are looked into. Below that texts are left.
const maxNesting = 64

func (r *repairer) object(o dedup.Object, set charset.Set, depth int) dedup.Object {
	if e, has := o.Find(tagCharset); has {
		set = setOf(e)
		r.nested = r.nested || depth > 0
	}
	out := slices.Clone(o)
	for i, e := range o {
		if plain(e.JSON) {
			continue
		}
		a, err := e.Attribute()
		if err != nil {
			continue // Rebuild says what is wrong with it
		}
		switch {
		case a.VR == "SQ" && depth < maxNesting:
			out[i].JSON = r.sequence(a, set, depth).AppendJSON(nil)
		case textVR(a.VR):
			out[i].JSON = r.text(a, set).AppendJSON(nil)
		}
	}
	return out
}

// plain reports whether JSON is ASCII without an escape character, so that there is nothing to repair in it.
func plain(json []byte) bool {
	return !bytes.ContainsFunc(json, func(c rune) bool { return c >= utf8.RuneSelf }) && !bytes.Contains(json, []byte(`\u001b`))
}

func (r *repairer) sequence(a dedup.Attribute, set charset.Set, depth int) dedup.Attribute {
	a.Value = slices.Clone(a.Value)
	for i, item := range a.Value {
		if o, err := dedup.ParseObject(item); err == nil {
			a.Value[i] = r.object(o, set, depth+1).AppendJSON(nil)
		}
	}
	return a
}

// setOf is the character set that an attribute names, in one value or several, or joined by backslashes.
func setOf(e dedup.Element) charset.Set {
	a, err := e.Attribute()
	if err != nil {
		return charset.Set{}
	}
	var terms []string
	for _, v := range a.Value {
		s, _ := v.Text()
		terms = append(terms, strings.Split(s, `\`)...)
	}
	set, _ := charset.Parse(terms)
	return set
}

// textVR reports whether Specific Character Set applies to a VR.
func textVR(vr string) bool {
	switch vr {
	case "LO", "LT", "PN", "SH", "ST", "UC", "UT":
		return true
	}
	return false
}

func syntaxOf(vr string) charset.Syntax {
	switch vr {
	case "PN":
		return charset.Names
	case "LT", "ST", "UT":
		return charset.Text
	}
	return charset.Values
}

// text repairs one attribute, or leaves it.
func (r *repairer) text(a dedup.Attribute, set charset.Set) dedup.Attribute {
	text, ok := joined(a)
	if !ok {
		return a
	}
	_, writable := set.Encode(nil, text, syntaxOf(a.VR))
	raw, isBytes := asBytes(text)
	utf, _ := charset.Parse([]string{"ISO_IR 192"})
	switch {
	case isBytes && set == utf && a.VR == "PN" && utf8.Valid(raw):
	case isBytes && set != utf && (!writable || strings.ContainsRune(text, 0x1B)):
	default:
		r.unwritable = r.unwritable || !writable
		return a
	}
	r.repaired = true
	if len(raw)%2 == 1 {
		raw = append(raw, ' ')
	}
	return dedup.Attribute{VR: a.VR, Bytes: raw}
}

// joined is the whole text of an attribute; false if names have more than the one component group that static-wado writes.
func joined(a dedup.Attribute) (string, bool) {
	var parts []string
	for _, v := range a.Value {
		s, ok := v.Text()
		if !ok && len(v) > 0 && v[0] == '{' {
			var name struct{ Alphabetic, Ideographic, Phonetic string }
			ok = json.Unmarshal(v, &name) == nil && name.Ideographic == "" && name.Phonetic == ""
			s = name.Alphabetic
		}
		if !ok && string(v) != "null" {
			return "", false
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, `\`), true
}

// asBytes are the characters of a text as bytes, if each is below 256 and some are above 127 or are escapes.
func asBytes(text string) ([]byte, bool) {
	out := make([]byte, 0, len(text))
	special := false
	for _, c := range text {
		if c > 0xFF {
			return nil, false
		}
		special = special || c > 0x7F || c == 0x1B
		out = append(out, byte(c))
	}
	return out, special
}
