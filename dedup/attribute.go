package dedup

import (
	"encoding/base64"
	"fmt"
	"slices"
)

// Attribute is an attribute object taken apart. At most one of Value, InlineBinary, BulkDataURI and Fragments is what the value comes from
// (Fragments and BulkDataURI may stand together: Fragments counts). A sequence's Value holds the canonical JSON of its items.
type Attribute struct {
	VR           string
	Value        []Token
	InlineBinary []byte // decoded; nil when absent
	BulkDataURI  string
	Fragments    []Hash
	Ext          string           // DeduppedExt
	Streams      []string         // DeduppedStreams, nil when every one is ""
	Bytes        []byte           // DeduppedBytes, decoded; nil when absent, empty but not nil when present and empty
	Unknown      map[string]Token // keys that are none of these, with their canonical JSON; nil when there are none
}

// Token is one canonical JSON value, for example `"CT"`, `1.5`, `null`, `{"Alphabetic":"Doe^Jane"}` or a whole item.
type Token []byte

// ParseAttribute reads one attribute object as ParseObject reads an object. A key of the wrong kind, such as a Value that is no array,
// is an error.
func ParseAttribute(text []byte) (Attribute, error) {
	c := newCanon(text, maxDepth)
	c.open = 1 // as if inside a data set
	if err := c.document(); err != nil {
		return Attribute{}, err
	}
	return Element{JSON: c.out}.Attribute()
}

// Attribute takes the element apart. Tokens share memory with it.
func (e Element) Attribute() (Attribute, error) {
	var a Attribute
	s := scan(e.JSON)
	for key, value := s.member(); key != nil; key, value = s.member() {
		if !a.set(key, value) {
			return Attribute{}, fmt.Errorf("attribute %s: a key of the wrong kind: %w", e.Tag, ErrObject)
		}
	}
	if s.pos == 0 {
		return Attribute{}, fmt.Errorf("attribute %s: %w", e.Tag, ErrObject)
	}
	return a, nil
}

// set takes one member over and reports whether it is of the right kind.
func (a *Attribute) set(key, value Token) (ok bool) {
	switch string(key) {
	case `"vr"`:
		a.VR, ok = value.Text()
	case `"Value"`:
		a.Value, ok = value.items()
	case `"InlineBinary"`:
		a.InlineBinary, ok = value.binary()
	case `"BulkDataURI"`:
		a.BulkDataURI, ok = value.Text()
	case `"Fragments"`:
		a.Fragments, ok = value.hashes()
	case `"DeduppedExt"`:
		a.Ext, ok = value.Text()
	case `"DeduppedStreams"`:
		a.Streams, ok = value.texts()
	case `"DeduppedBytes"`:
		a.Bytes, ok = value.binary()
	default:
		if a.Unknown == nil {
			a.Unknown = make(map[string]Token)
		}
		name, isText := key.Text()
		a.Unknown[name], ok = value, isText
	}
	return ok
}

// items are the elements of an array token, not nil when it is one.
func (t Token) items() ([]Token, bool) {
	if len(t) == 0 || t[0] != '[' {
		return nil, false
	}
	items := make([]Token, 0, 1)
	for s, item := scan(t), Token(nil); ; {
		if item = s.item(); item == nil {
			return items, true
		}
		items = append(items, item)
	}
}

func (t Token) texts() ([]string, bool) {
	items, ok := t.items()
	texts := make([]string, len(items))
	for i := 0; ok && i < len(items); i++ {
		texts[i], ok = items[i].Text()
	}
	return texts, ok
}

// hashes reads an array of hashes. null and "" are the zero Hash.
func (t Token) hashes() ([]Hash, bool) {
	items, ok := t.items()
	if !ok {
		return nil, false
	}
	hashes := make([]Hash, len(items))
	for i, item := range items {
		s, isText := item.Text()
		if s == "" && (isText || string(item) == "null") {
			continue
		}
		h, err := ParseHash(s)
		if err != nil {
			return nil, false
		}
		hashes[i] = h
	}
	return hashes, true
}

// binary decodes base64. It takes one spelling only, so that taking an attribute apart and putting it together changes nothing.
func (t Token) binary() ([]byte, bool) {
	s, ok := t.Text()
	if !ok {
		return nil, false
	}
	data, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || base64.StdEncoding.EncodedLen(len(data)) != len(s) {
		return nil, false
	}
	return data, true
}

// AppendJSON appends the attribute's canonical JSON (FORMAT.md section 2). Value and InlineBinary are written when they are not nil.
func (a Attribute) AppendJSON(out []byte) []byte {
	w := attributeWriter{append(out, '{'), a.Unknown, a.unknownKeys()}
	if a.BulkDataURI != "" {
		w.token("BulkDataURI", Quote(a.BulkDataURI))
	}
	if a.Bytes != nil {
		w.binary("DeduppedBytes", a.Bytes)
	}
	if a.Ext != "" {
		w.token("DeduppedExt", Quote(a.Ext))
	}
	if a.Streams != nil {
		w.texts("DeduppedStreams", a.Streams)
	}
	if a.Fragments != nil {
		w.hashes("Fragments", a.Fragments)
	}
	if a.InlineBinary != nil {
		w.binary("InlineBinary", a.InlineBinary)
	}
	if a.Value != nil {
		w.array("Value", a.Value)
	}
	if a.VR != "" {
		w.token("vr", Quote(a.VR))
	}
	w.unknownBefore("")
	return append(w.out, '}')
}

// unknownKeys are the keys of Unknown in order.
func (a Attribute) unknownKeys() []string {
	if len(a.Unknown) == 0 {
		return nil
	}
	keys := make([]string, 0, len(a.Unknown))
	for key := range a.Unknown {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, compareUTF16)
	return keys
}

// attributeWriter writes keys in ascending order, the unknown ones where they belong.
type attributeWriter struct {
	out     []byte
	unknown map[string]Token
	rest    []string // unknown keys that are not yet written
}

// key starts a member.
func (w *attributeWriter) key(name string) {
	w.unknownBefore(name)
	w.comma()
	w.out = append(append(append(w.out, '"'), name...), '"', ':')
}

func (w *attributeWriter) comma() {
	if w.out[len(w.out)-1] != '{' {
		w.out = append(w.out, ',')
	}
}

// unknownBefore writes the unknown keys that come before name, all of them for "".
func (w *attributeWriter) unknownBefore(name string) {
	for len(w.rest) > 0 && (name == "" || compareUTF16(w.rest[0], name) < 0) {
		w.comma()
		w.out = append(append(w.out, Quote(w.rest[0])...), ':')
		w.out = append(w.out, w.unknown[w.rest[0]]...)
		w.rest = w.rest[1:]
	}
}

func (w *attributeWriter) token(name string, t Token) {
	w.key(name)
	w.out = append(w.out, t...)
}

func (w *attributeWriter) binary(name string, data []byte) {
	w.key(name)
	w.out = append(w.out, '"')
	w.out = base64.StdEncoding.AppendEncode(w.out, data)
	w.out = append(w.out, '"')
}

func (w *attributeWriter) array(name string, items []Token) {
	w.key(name)
	w.out = append(w.out, '[')
	for i, item := range items {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		w.out = append(w.out, item...)
	}
	w.out = append(w.out, ']')
}

func (w *attributeWriter) texts(name string, texts []string) {
	items := make([]Token, len(texts))
	for i, s := range texts {
		items[i] = Quote(s)
	}
	w.array(name, items)
}

func (w *attributeWriter) hashes(name string, hashes []Hash) {
	items := make([]Token, len(hashes))
	for i, h := range hashes {
		if items[i] = Token("null"); !h.IsZero() {
			items[i] = Quote(h.text)
		}
	}
	w.array(name, items)
}
