// Package mediatype reads media types as DICOMweb clients write them, which is not always as RFC 9110 does.
//
// Many a client leaves out the quotes that a slash needs:
//
//	multipart/related; type=application/octet-stream; transfer-syntax=*
//
// PS3.18 section 8.7.1 asks for the quotes. Whoever leaves them out means the same, and is understood.
package mediatype

import (
	"errors"
	"maps"
	"mime"
	"strings"
)

// Type is a media type, or a range of them (with * in its name).
type Type struct {
	Name   string            // in lower case, as image/jpeg
	Params map[string]string // by their names in lower case
}

// Parse reads a media type. An error says only that it is none: what a client wrote is not for a log.
func Parse(text string) (Type, error) {
	name, params, err := mime.ParseMediaType(text)
	if err != nil {
		name, params, err = mime.ParseMediaType(quoted(text))
	}
	if err != nil || name == "" {
		return Type{}, errors.New("this is no media type")
	}
	return Type{Name: name, Params: params}, nil
}

// Multipart reports whether the type is one of several parts, or may be.
func (t Type) Multipart() bool {
	return t.Name == "multipart/related" || t.Name == "multipart/*" || t.Name == "*/*"
}

// Part is the type of the parts of one that is Multipart: that of the parameter type, */* where there is none, and one without a name where it cannot be read. Parameters of the whole,
// as transfer-syntax, are those of the parts; some clients write them inside of type's quotes (type="application/dicom; transfer-syntax=*").
func (t Type) Part() Type {
	given, has := t.Params["type"]
	inner := Type{Name: "*/*"}
	if has {
		inner, _ = Parse(given) // what cannot be read has no name, and is nothing that anybody offers
	}
	params := maps.Clone(t.Params)
	delete(params, "type")
	maps.Copy(params, inner.Params)
	return Type{Name: inner.Name, Params: params}
}

// Split splits a list at the commas that do not stand in quotes.
func Split(list string) []string { return split(list, ',') }

// split splits at a separator outside of quotes.
func split(s string, at byte) []string {
	var parts []string
	inside, from := false, 0
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && inside:
			i++
		case s[i] == '"':
			inside = !inside
		case s[i] == at && !inside:
			parts = append(parts, s[from:i])
			from = i + 1
		}
	}
	return append(parts, s[from:])
}

// quoted puts quotes around the values of parameters that lack them.
func quoted(text string) string {
	parts := split(text, ';')
	for i, p := range parts[1:] {
		name, value, ok := strings.Cut(p, "=")
		value = strings.TrimSpace(value)
		if ok && value != "" && !strings.ContainsAny(value, `"\`) {
			parts[i+1] = strings.TrimSpace(name) + `="` + value + `"`
		}
	}
	return strings.Join(parts, ";")
}
