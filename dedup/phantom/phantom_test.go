package phantom

import (
	"bytes"
	"regexp"
	"testing"
)

// TestCatalogue holds what readers of the catalogue rely on: names, sizes, the same bytes twice.
func TestCatalogue(t *testing.T) {
	name := regexp.MustCompile(`^[a-z]+/[A-Za-z0-9.-]+$`)
	again, seen := Cases(), map[string]Case{}
	for i, c := range Cases() {
		data := c.Bytes()
		if !name.MatchString(c.Name) || seen[c.Name].Name != "" || c.Shows == "" {
			t.Errorf("case %q: its name is taken or no name, or it shows nothing", c.Name)
		}
		if len(data) > 200_000 {
			t.Errorf("case %s: %d bytes", c.Name, len(data))
		}
		if !bytes.Equal(data, again[i].Bytes()) {
			t.Errorf("case %s: other bytes the second time", c.Name)
		}
		for _, other := range []string{c.Twin, c.Rival} {
			if other != "" && text(seen[other].File.Elements, 0x00080018) != text(c.File.Elements, 0x00080018) {
				t.Errorf("case %s: %s is not the same instance", c.Name, other)
			}
		}
		seen[c.Name] = c
	}
}

// TestInstances holds that no two cases are one instance unless they say so.
func TestInstances(t *testing.T) {
	seen := map[string]string{}
	for _, c := range Cases() {
		sop := text(c.File.Elements, 0x00080018)
		if other := seen[sop]; other != "" && c.Twin != other && c.Rival != other {
			t.Errorf("case %s has the SOP Instance UID of %s", c.Name, other)
		} else if other == "" {
			seen[sop] = c.Name
		}
	}
}

// TestEverySyntax holds that there is a file in each transfer syntax of the table.
func TestEverySyntax(t *testing.T) {
	have := map[string]bool{}
	for _, c := range Cases() {
		have[c.File.Syntax.UID] = true
	}
	for _, s := range Syntaxes() {
		if !have[s.UID] {
			t.Errorf("no case in %s, %s", s.UID, s.Name)
		}
	}
}

// TestBadCatalogue holds that bad cases have names of their own.
func TestBadCatalogue(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range BadCases() {
		if seen[c.Name] || c.Shows == "" || c.Fault == "" {
			t.Errorf("bad case %q: its name is taken or it says nothing", c.Name)
		}
		seen[c.Name] = true
	}
}
