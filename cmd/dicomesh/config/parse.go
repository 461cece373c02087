package config

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Parse sets what a file's text says; name is what errors call the file. Everything that is wrong is told at once, a line for each.
func (c *Config) Parse(name string, text []byte) error {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		hint := ""
		if strings.Contains("\n"+string(text), "\n\t") {
			hint = ": YAML is indented by spaces, and never by tabs"
		}
		return fmt.Errorf("%s: %s%s", name, strings.TrimPrefix(err.Error(), "yaml: "), hint)
	}
	if len(document.Content) == 0 {
		return nil // an empty file, or one of comments alone
	}
	p := parser{name: name}
	p.mapping(document.Content[0], "", reflect.ValueOf(c).Elem())
	return errors.Join(p.errs...)
}

// parser walks a document and the struct side by side.
type parser struct {
	name string
	errs []error
}

func (p *parser) fail(at *yaml.Node, format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf("%s:%d: %w", p.name, at.Line, fmt.Errorf(format, args...)))
}

// mapping sets the fields of a struct. prefix is "" or ends in a dot.
func (p *parser) mapping(n *yaml.Node, prefix string, into reflect.Value) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return // a heading under which everything is commented out
	}
	if n.Kind != yaml.MappingNode {
		p.fail(n, "%s: wants keys below it, as %s", label(prefix), strings.Join(fields(into.Type()), ", "))
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		field, known := fieldOf(into, key.Value)
		switch line, twice := seen[key.Value]; {
		case !known:
			p.fail(key, "unknown key %s%s%s", prefix, key.Value, meant(prefix+key.Value))
		case twice:
			p.fail(key, "%s%s is set in line %d already", prefix, key.Value, line)
		default:
			seen[key.Value] = key.Line
			p.value(value, prefix+key.Value, field)
		}
	}
}

// value sets one field.
func (p *parser) value(n *yaml.Node, key string, into reflect.Value) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	text, isText := into.Addr().Interface().(encoding.TextUnmarshaler)
	switch {
	case !isText && into.Kind() == reflect.Struct:
		p.mapping(n, key+".", into)
	case into.Kind() == reflect.Slice:
		p.list(n, key, into)
	case n.Kind != yaml.ScalarNode:
		p.fail(n, "%s: wants one value", key)
	case n.Tag == "!!null":
		p.fail(n, "%s: is empty: give a value, or leave the key out for the default", key)
	case isText:
		if err := text.UnmarshalText([]byte(n.Value)); err != nil {
			p.fail(n, "%s: %w", key, err)
		}
	default:
		p.scalar(n, key, into)
	}
}

// scalar sets a string, a number, or a yes or no.
func (p *parser) scalar(n *yaml.Node, key string, into reflect.Value) {
	switch into.Kind() {
	case reflect.String:
		into.SetString(n.Value)
	case reflect.Int:
		number, err := strconv.Atoi(n.Value)
		if err != nil {
			p.fail(n, "%s: %q is not a whole number", key, n.Value)
			return
		}
		into.SetInt(int64(number))
	case reflect.Bool:
		if n.Value != "true" && n.Value != "false" {
			p.fail(n, "%s: %q: write true or false", key, n.Value)
			return
		}
		into.SetBool(n.Value == "true")
	default:
		panic("config: no way to read a " + into.Type().String() + " for " + key) // a programmer's slip, which the test of the annotated file meets
	}
}

// list sets a list of strings.
func (p *parser) list(n *yaml.Node, key string, into reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		p.fail(n, "%s: wants a list, as [a, b]", key)
		return
	}
	values := make([]string, 0, len(n.Content))
	for _, item := range n.Content {
		if item.Kind != yaml.ScalarNode {
			p.fail(item, "%s: wants a list of words", key)
			return
		}
		values = append(values, item.Value)
	}
	into.Set(reflect.ValueOf(slices.Clip(values[:len(values):len(values)])))
	if len(values) == 0 {
		into.SetZero()
	}
}

func label(prefix string) string {
	if prefix == "" {
		return "the file"
	}
	return strings.TrimSuffix(prefix, ".")
}

// fieldOf is the field that a key names.
func fieldOf(v reflect.Value, key string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("yaml") == key {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

// fields are a struct's keys.
func fields(t reflect.Type) []string {
	keys := make([]string, 0, t.NumField())
	for i := range t.NumField() {
		keys = append(keys, t.Field(i).Tag.Get("yaml"))
	}
	return keys
}

// Keys are all keys that have a value, with dots, in the order of the file.
func Keys() []string { return keysOf(reflect.TypeFor[Config](), "") }

func keysOf(t reflect.Type, prefix string) []string {
	var keys []string
	for i := range t.NumField() {
		f := t.Field(i)
		key := prefix + f.Tag.Get("yaml")
		_, isText := reflect.New(f.Type).Interface().(encoding.TextUnmarshaler)
		if f.Type.Kind() == reflect.Struct && !isText {
			keys = append(keys, keysOf(f.Type, key+".")...)
			continue
		}
		keys = append(keys, key)
	}
	return keys
}

// meant is the known key that is nearest to one that is not, as an ending of an error; "" if none is near.
func meant(key string) string {
	best, least := "", 3+len(key)/4
	last := key[strings.LastIndexByte(key, '.')+1:]
	for _, known := range append(Keys(), fields(reflect.TypeFor[Config]())...) {
		d := distance(key, known)
		if known[strings.LastIndexByte(known, '.')+1:] == last {
			d = min(d, 1) // the right word under the wrong heading
		}
		if d < least {
			best, least = known, d
		}
	}
	if best == "" {
		return ": see dicomesh agent --default-config"
	}
	return ": did you mean " + best + "?"
}

// distance is how many letters have to be put in, left out or changed to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
