package part10

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/suyashkumar/dicom"
)

// libraryReads is what suyashkumar/dicom reads of a file's header. It panics on some files, so it is called under recover.
func libraryReads(file []byte) (set dicom.Dataset, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return dicom.Parse(bytes.NewReader(file), int64(len(file)), nil, dicom.SkipPixelData(), dicom.AllowMissingMetaElementGroupLength())
}

// TestLibraryAgrees compares the texts and numbers of each real file's root attributes with a second reader in Go: a VR or a boundary that one of
// us got wrong would show. Its texts are compared where they are plain, because it decodes fewer character sets.
func TestLibraryAgrees(t *testing.T) {
	files, values := 0, 0
	for _, f := range sound(t) {
		set, err := libraryReads(f.data)
		if err != nil {
			continue
		}
		files++
		p, m := taken(t, f.data)
		merged, _ := m.merged(p)
		for _, e := range set.Elements {
			tag := dedup.Tag(e.Tag.Group)<<16 | dedup.Tag(e.Tag.Element)
			ours, ok := merged.Find(tag)
			if !ok || e.Value == nil {
				continue
			}
			a, err := ours.Attribute()
			if err != nil {
				t.Fatal(err)
			}
			want, comparable := plainValues(e.Value.GetValue())
			if a.VR == "AT" {
				want = tagPairs(want)
			}
			got, inline := plainTokens(a)
			if !comparable || !inline || a.VR != e.RawValueRepresentation {
				continue
			}
			if values++; strings.Join(got, "|") != strings.Join(want, "|") {
				t.Errorf("%s %s: %q, the library has %q", f.name, tag, got, want)
			}
		}
	}
	t.Logf("%d values of %d files", values, files)
	if files < 100 || values < 5000 {
		t.Errorf("only %d values of %d files could be compared", values, files)
	}
}

// plainValues is a value of the library as texts; ok is false for what is not plain text or integers.
func plainValues(value any) (out []string, ok bool) {
	switch v := value.(type) {
	case []string:
		for _, s := range v {
			s = strings.Trim(s, " \x00")
			if !isPlain([]byte(s)) || s == "" {
				return nil, false
			}
			out = append(out, s)
		}
	case []int:
		for _, n := range v {
			out = append(out, fmt.Sprint(n))
		}
	}
	return out, len(out) > 0
}

// tagPairs turns group and element, which the library has as two numbers, into tags.
func tagPairs(numbers []string) (out []string) {
	for ; len(numbers) >= 2; numbers = numbers[2:] {
		group, _ := strconv.Atoi(numbers[0])
		element, _ := strconv.Atoi(numbers[1])
		out = append(out, fmt.Sprintf("%04X%04X", group, element))
	}
	return out
}

// plainTokens is a value of ours as texts.
func plainTokens(a dedup.Attribute) (out []string, ok bool) {
	for _, token := range a.Value {
		text, isText := token.Text()
		if !isText {
			text = string(token)
		}
		if strings.HasPrefix(text, "{") || text == "null" {
			return nil, false
		}
		out = append(out, strings.Trim(text, " "))
	}
	return out, len(out) > 0
}
