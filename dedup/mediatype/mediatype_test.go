package mediatype_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/dicomesh/dicomesh/dedup/mediatype"
)

// What clients send, and what they mean by it. "" is what cannot be read.
func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"image/jpeg": "image/jpeg map[]",
		`Multipart/Related; Type="application/dicom"; boundary=x`:             "multipart/related map[boundary:x type:application/dicom]",
		"multipart/related; type=application/octet-stream; transfer-syntax=*": "multipart/related map[transfer-syntax:* type:application/octet-stream]",
		"multipart/related;type=application/dicom;boundary=a/b=c?":            "multipart/related map[boundary:a/b=c? type:application/dicom]",
		`multipart/related; type="application/dicom; transfer-syntax=1.2"`:    "multipart/related map[type:application/dicom; transfer-syntax=1.2]",
		"*/*; q=0.5":      "*/* map[q:0.5]",
		"":                "",
		";":               "",
		"image/jpeg; =":   "",
		`a/b; type="open`: "",
		"a/b; x=1; x=2":   "",
		"a b":             "",
	} {
		got := ""
		if m, err := mediatype.Parse(text); err == nil {
			got = fmt.Sprint(m.Name, " ", m.Params)
		}
		if got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// The type of the parts has the parameters of the whole, wherever they stand.
func TestPart(t *testing.T) {
	for text, want := range map[string]string{
		`multipart/related; type="application/dicom"; transfer-syntax=1.2`: "application/dicom map[transfer-syntax:1.2]",
		`multipart/related; type="application/dicom; transfer-syntax=*"`:   "application/dicom map[transfer-syntax:*]",
		"multipart/related; transfer-syntax=*":                             "*/* map[transfer-syntax:*]",
		`multipart/related; type="a, b"`:                                   " map[]",
		"*/*":                                                              "*/* map[]",
	} {
		m, err := mediatype.Parse(text)
		if err != nil || !m.Multipart() {
			t.Fatalf("%s: %v", text, err)
		}
		if p := m.Part(); fmt.Sprint(p.Name, " ", p.Params) != want {
			t.Errorf("%s: parts of %v, want %s", text, p, want)
		}
	}
}

func TestSplit(t *testing.T) {
	if got := mediatype.Split(`a, b; c="d, \", e", f`); !slices.Equal(got, []string{"a", ` b; c="d, \", e"`, " f"}) {
		t.Errorf("%q", got)
	}
}

// FuzzParse: nothing that is sent does more than not be read.
func FuzzParse(f *testing.F) {
	f.Add(`multipart/related; type="a/b"; x=y/z`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, one := range mediatype.Split(text) {
			if m, err := mediatype.Parse(one); err == nil {
				_ = m.Part()
			}
		}
	})
}
