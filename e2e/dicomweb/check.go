// Package dicomweb holds answers of a DICOMweb server against PS3.18, for tests: it shares nothing with what makes them. Each rule names the section that it comes from.
package dicomweb

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Kind is what an answer is of.
type Kind int

// The kinds of answers in JSON.
const (
	Metadata  Kind = iota // 10.4.1.1.2
	Studies               // 10.6.3.3, table 10.6.3-3
	Series                // 10.6.3.3, table 10.6.3-4
	Instances             // 10.6.3.3, table 10.6.3-5
	Store                 // 10.5.3.3, annex I.1
)

// attribute is an attribute object (F.2.2).
type attribute struct {
	VR           string
	Value        []json.RawMessage
	InlineBinary *string
	BulkDataURI  *string
}

// Check returns what is wrong with an answer, a line for each fault, without values.
func Check(kind Kind, text []byte) []string {
	c := &checker{}
	if !utf8.Valid(text) { // F.2: the character repertoire is that of UTF-8
		c.fault("F.2", "not UTF-8")
	}
	var rows []json.RawMessage
	if kind == Store { // I.1: the module is one dataset
		rows = []json.RawMessage{text}
	} else if err := json.Unmarshal(text, &rows); err != nil { // F.2.1: results are an array
		return []string{"F.2.1: not an array: " + err.Error()}
	}
	keys := map[string]bool{}
	for n, row := range rows {
		c.at = fmt.Sprint("[", n, "]")
		o := c.dataset(row)
		c.level(kind, o)
		if unique, is := uniqueKeys[kind]; is {
			key := fmt.Sprint(o[unique].Value)
			if keys[key] { // 10.6.3.3: one answer for each that matches, by its unique key; 10.4.1.1.2: metadata of each instance
				c.fault("10.6.3.3", "one more with the same %s", unique)
			}
			keys[key] = true
		}
	}
	return c.faults
}

// uniqueKeys tell the rows of an answer apart.
var uniqueKeys = map[Kind]string{Metadata: "00080018", Studies: "0020000D", Series: "0020000E", Instances: "00080018"}

type checker struct {
	at     string
	faults []string
}

func (c *checker) fault(section, format string, args ...any) {
	if len(c.faults) < 50 {
		c.faults = append(c.faults, section+" "+c.at+": "+fmt.Sprintf(format, args...))
	}
}

var tagName = regexp.MustCompile(`^[0-9A-F]{8}$`)

// dataset checks a DICOM JSON Model object.
func (c *checker) dataset(text []byte) map[string]attribute {
	out, last := map[string]attribute{}, ""
	d := json.NewDecoder(strings.NewReader(string(text)))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		c.fault("F.2.1", "not an object")
		return out
	}
	for d.More() {
		name, err := d.Token()
		tag, _ := name.(string)
		var raw json.RawMessage
		if err == nil {
			err = d.Decode(&raw)
		}
		if err != nil {
			c.fault("F.2.1", "%v", err)
			return out
		}
		if !tagName.MatchString(tag) { // F.2.2: eight upper-case hexadecimal digits
			c.fault("F.2.2", "a name that is no tag")
			continue
		}
		if tag <= last { // F.2.2: ascending order, each once
			c.fault("F.2.2", "%s comes after %s", tag, last)
		}
		last = tag
		if strings.HasSuffix(tag, "0000") { // F.2.2: no group lengths
			c.fault("F.2.2", "%s is a group length", tag)
		}
		was := c.at
		c.at += "." + tag
		out[tag] = c.attribute(raw)
		c.at = was
	}
	return out
}

// attribute checks an attribute object.
func (c *checker) attribute(raw json.RawMessage) attribute {
	var keys map[string]json.RawMessage
	var a attribute
	if json.Unmarshal(raw, &keys) != nil || json.Unmarshal(raw, &a) != nil {
		c.fault("F.2.2", "not an attribute object")
		return a
	}
	given := 0
	for k, v := range keys {
		switch k {
		case "vr":
		case "Value":
			given++
			if len(a.Value) == 0 { // F.2.5: an attribute without a value has no Value
				c.fault("F.2.5", "an empty Value")
			}
		case "InlineBinary", "BulkDataURI":
			given++
			if string(v) == "null" {
				c.fault("F.2.2", "%s is null", k)
			}
		default:
			c.fault("F.2.2", "a key %q", k)
		}
	}
	if given > 1 { // F.2.2: at most one of the three
		c.fault("F.2.2", "more than one of Value, InlineBinary and BulkDataURI")
	}
	for _, v := range a.Value {
		c.value(a.VR, v)
	}
	binary := slices.Contains([]string{"OB", "OD", "OF", "OL", "OV", "OW", "UN"}, a.VR)
	if binary && a.Value != nil { // table F.2.3-1: these are InlineBinary or BulkDataURI
		c.fault("F.2.3", "a Value of VR %s", a.VR)
	}
	if a.InlineBinary != nil {
		if _, err := base64.StdEncoding.DecodeString(*a.InlineBinary); err != nil || !binary { // F.2.7
			c.fault("F.2.7", "InlineBinary of VR %s: %v", a.VR, err)
		}
	}
	if a.BulkDataURI != nil {
		if _, err := url.Parse(*a.BulkDataURI); err != nil || *a.BulkDataURI == "" || !slices.Contains(bulky, a.VR) { // F.2.2: these VRs alone; F.2.6: a URI
			c.fault("F.2.6", "BulkDataURI of VR %s", a.VR)
		}
	}
	if !slices.Contains(vrs, a.VR) { // F.2.2: a VR of PS3.5 table 6.2-1
		c.fault("F.2.2", "VR %q", a.VR)
	}
	return a
}

var vrs = strings.Fields("AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV")

// bulky are the VRs of which F.2.2 lets a BulkDataURI stand for the value.
var bulky = strings.Fields("DS FL FD IS LT OB OD OF OL OV OW SL SS ST SV UC UL UN US UT UV")

var special = regexp.MustCompile(`^"(NaN|-?inf|-?Infinity)"$`)

// value checks one value by table F.2.3-1.
func (c *checker) value(vr string, v json.RawMessage) {
	isText, isObject, isNull := v[0] == '"', v[0] == '{', string(v) == "null"
	isNumber := v[0] == '-' || v[0] >= '0' && v[0] <= '9'
	switch vr {
	case "PN":
		if !isNull {
			c.person(v)
		}
	case "SQ":
		if isNull || !isObject {
			c.fault("F.2.3", "an item that is no object")
			return
		}
		c.dataset(v)
	case "FL", "FD":
		if !isNumber && !isNull && !special.Match(v) {
			c.fault("F.2.3", "VR %s is no number", vr)
		}
	case "SL", "SS", "UL", "US":
		if !isNumber && !isNull {
			c.fault("F.2.3", "VR %s is no number", vr)
		}
	case "DS", "IS", "SV", "UV":
		if !isNumber && !isText && !isNull {
			c.fault("F.2.3", "VR %s is no number and no string", vr)
		}
	case "AT":
		if !isNull && (!isText || !tagName.Match(v[1:len(v)-1])) {
			c.fault("F.2.3", "VR AT is no tag")
		}
	default:
		if !isText && !isNull {
			c.fault("F.2.3", "VR %s is no string", vr)
		}
	}
}

// person checks a name's representations (F.2.2).
func (c *checker) person(v json.RawMessage) {
	var groups map[string]*string
	if json.Unmarshal(v, &groups) != nil {
		c.fault("F.2.2", "a name that is no object of strings")
		return
	}
	for k, g := range groups {
		if k != "Alphabetic" && k != "Ideographic" && k != "Phonetic" || g == nil {
			c.fault("F.2.2", "a name's representation %q", k)
		}
	}
}

// level checks what an answer of its kind has to have.
func (c *checker) level(kind Kind, o map[string]attribute) {
	switch kind {
	case Metadata:
		c.has(o, "10.4.1.1.2", "00080016 00080018 0020000D 0020000E", true)
		for tag := range o {
			if strings.HasPrefix(tag, "0002") { // PS3.10 7.1: File Meta Information is no part of the dataset
				c.fault("10.4.1.1.2", "%s is of the file and not of the dataset", tag)
			}
		}
	case Studies:
		c.has(o, "table 10.6.3-3", "00081190 0020000D 00201206 00201208", true)
		c.has(o, "table 10.6.3-3", "00080020 00080030 00080050 00080061 00080090 00100010 00100020 00100030 00100040 00200010", false)
	case Series:
		c.has(o, "table 10.6.3-4", "00081190 0020000E 00201209", true)
		c.has(o, "table 10.6.3-4", "00080060 00200011", false)
	case Instances:
		c.has(o, "table 10.6.3-5", "00080018 00081190", true)
		c.has(o, "table 10.6.3-5", "00080016 00200013", false)
	case Store:
		c.stored(o)
	}
	for tag, vr := range known {
		if a, ok := o[tag]; ok && a.VR != vr { // F.2.3: the VR that PS3.6 gives the attribute
			c.fault("F.2.3", "%s has VR %s and not %s", tag, a.VR, vr)
		}
	}
}

// known are the VRs of what the answers have to have, by PS3.6.
var known = map[string]string{"00080016": "UI", "00080018": "UI", "00080020": "DA", "00080030": "TM", "00080050": "SH", "00080060": "CS", "00080061": "CS", "00080090": "PN", "00081190": "UR", "00081198": "SQ", "00081199": "SQ", "0008119A": "SQ",
	"00081150": "UI", "00081155": "UI", "00081196": "US", "00081197": "US", "00100010": "PN", "00100020": "LO", "00100030": "DA", "00100040": "CS", "0020000D": "UI", "0020000E": "UI", "00200010": "SH", "00200011": "IS", "00200013": "IS",
	"00201206": "IS", "00201208": "IS", "00201209": "IS"}

// has checks that attributes are there, with values if they must have one.
func (c *checker) has(o map[string]attribute, section, tags string, filled bool) {
	for tag := range strings.FieldsSeq(tags) {
		if a, ok := o[tag]; !ok || filled && len(a.Value) == 0 {
			c.fault(section, "%s is missing or empty", tag)
		}
	}
}

// stored checks the Store Instances Response Module (table I.1-1).
func (c *checker) stored(o map[string]attribute) {
	c.has(o, "table I.1-1", "00081190", false) // type 2
	for tag := range o {
		if !slices.Contains([]string{"00081190", "00081198", "00081199", "0008119A"}, tag) {
			c.fault("table I.1-1", "%s is no attribute of the response", tag)
		}
	}
	for tag, needs := range map[string][2]string{ // attributes of type 1, and of type 2
		"00081198": {"00081150 00081155 00081197", ""}, "00081199": {"00081150 00081155", "00081190"}, "0008119A": {"00081197", ""},
	} {
		a, ok := o[tag]
		if ok && len(a.Value) == 0 { // type 1C: there if something failed, or was stored
			c.fault("table I.1-1", "%s has no items", tag)
		}
		for _, item := range a.Value {
			i := c.dataset(item)
			c.has(i, "table I.1-1", needs[0], true)
			c.has(i, "table I.1-1", needs[1], false)
			for tag, a := range i {
				if vr := known[tag]; vr != "" && a.VR != vr {
					c.fault("F.2.3", "%s has VR %s and not %s", tag, a.VR, vr)
				}
				if (tag == "00081196" || tag == "00081197") && len(a.Value) != 1 { // PS3.6: one value
					c.fault("table I.1-1", "%s has %d values", tag, len(a.Value))
				}
			}
		}
	}
	if len(o["00081198"].Value)+len(o["00081199"].Value)+len(o["0008119A"].Value) == 0 { // table I.1-1: each instance is in one of the three
		c.fault("table I.1-1", "of nothing is said what became of it")
	}
}
