package dedup

import (
	"errors"
	"path"
	"slices"
	"strings"
	"testing"
)

const (
	sha   = "abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789"
	sha1  = "abcdef0123456789abcdef0123456789abcdef01"
	hex32 = "00112233445566778899aabbccddeeff"
)

func TestParseUID(t *testing.T) {
	for in, want := range map[string]string{"1.2.3": "1.2.3", "1": "1", "1.02": "1.02", "1.2 ": "1.2", "1.2\x00": "1.2", strings.Repeat("1", 64): strings.Repeat("1", 64)} {
		if u, err := ParseUID(in); err != nil || u.String() != want {
			t.Errorf("%q: %q, %v", in, u, err)
		}
	}
	for _, in := range []string{"", " ", "1.", ".1", "1..2", ".", "..", "1.a", "1/2", "1.2\n", " 1.2", strings.Repeat("1", 65), "１"} {
		if u, err := ParseUID(in); !errors.Is(err, ErrName) {
			t.Errorf("%q is taken for %q", in, u)
		}
	}
}

func TestParseHash(t *testing.T) {
	for _, in := range []string{sha, sha1, "0123456789abcdefghijklmnopqrstuv", "abcdefghijklmnopqrstuvwx"} {
		if h, err := ParseHash(in); err != nil || h.String() != in || h.IsZero() {
			t.Errorf("%q: %q, %v", in, h, err)
		}
	}
	for _, in := range []string{"", "abc", strings.ToUpper(sha), sha[:63], sha + "0", sha1 + "g", "abcdefghijklmnopqrstuvw/", strings.Repeat("z", 40), ".."} {
		if h, err := ParseHash(in); !errors.Is(err, ErrName) {
			t.Errorf("%q is taken for %q", in, h)
		}
	}
}

func TestParseRef(t *testing.T) {
	for _, test := range []struct {
		path string
		want Ref
	}{
		{"bulkdata/abc/de/" + sha[5:] + ".json.gz", Ref{Class: Bulkdata, Name: sha, Ext: ".json.gz"}},
		{"bulkdata/abc/de/" + sha[5:], Ref{Class: Bulkdata, Name: sha}},
		{"bulkdata/abc/de/" + sha1[5:] + ".raw.gz", Ref{Class: Bulkdata, Name: sha1, Ext: ".raw.gz"}},
		{"bulkdata/abc/de/" + sha[5:] + "." + hex32 + ".jls", Ref{Class: Bulkdata, Name: sha, Stream: hex32, Ext: ".jls"}},
		{"deduplicated/" + sha + ".gz", Ref{Class: List, Name: sha}},
		{"deduplicated/instances/1.2.3.gz", Ref{Class: Instance, Name: "1.2.3"}},
		{"deduplicated/instances/" + sha1 + ".gz", Ref{Class: Instance, Name: sha1}},
		{"variants/instances/1.2.3." + sha + ".gz", Ref{Class: Instance, Name: "1.2.3", Variant: sha}},
		{"variants/lists/" + sha1 + "." + sha + ".gz", Ref{Class: List, Name: sha1, Variant: sha}},
		{"series/1.2/instances/1.2.3/frames/1.mht", Ref{Class: Other, Name: "series/1.2/instances/1.2.3/frames/1.mht"}},
		{"notes of the ward/é.pdf", Ref{Class: Other, Name: "notes of the ward/é.pdf"}},
		{"instances/1.2.gz", Ref{Class: Other, Name: "instances/1.2.gz"}},
	} {
		r, err := ParseRef(test.path)
		if err != nil || r != test.want || r.Path() != test.path {
			t.Errorf("%s: %+v prints %s, %v", test.path, r, r.Path(), err)
		}
	}
	r, err := ParseRef("deduplicated/isntances/1.2.gz")
	if err != nil || r.Path() != "deduplicated/instances/1.2.gz" {
		t.Errorf("isntances: %s, %v", r, err)
	}
}

func TestParseRefRefuses(t *testing.T) {
	long := strings.Repeat("x", 256)
	for _, in := range []string{
		"", "/", ".", "..", "../x", "x/..", "x/../y", "a//b", "a/", "./a", "/etc/passwd", ".hidden", "a/.hidden", "a/b\x00", "a\nb", "a\\b", "a\x7f", "a\u0085", "\xff",
		"tempFile-12", "a/temp-3", long, "a/" + long, strings.Repeat("abcdefg/", 129) + "x",
		"bulkdata", "bulkdata/x", "bulkdata/abc/de/x", "bulkdata/abc/de/../x", "bulkdata/" + sha, "bulkdata/abc/de/" + sha[5:] + ".exe", "bulkdata/abc/de/" + sha[5:] + "." + hex32,
		"bulkdata/ABC/de/" + sha[5:], "bulkdata/abc/d/" + sha[4:], "bulkdata/abc/de/f/" + sha[6:], "bulkdata/abc/de/" + sha[5:] + "." + strings.ToUpper(hex32) + ".jls",
		"bulkdata/abc/de/" + sha[5:] + ".raw.exe", "bulkdata/abc/de/" + sha[5:] + ".tempFile-1",
		"deduplicated", "deduplicated/" + sha, "deduplicated/1.2.gz", "deduplicated/index.json.gz", "deduplicated/tempFile-5", "deduplicated/instances/.gz", "deduplicated/instances/../1.2.gz",
		"deduplicated/x/1.2.gz", "deduplicated/instances/1.2 .gz", "variants/" + sha + ".gz", "variants/bulkdata/" + sha + "." + sha + ".gz", "variants/lists/1.2." + sha + ".gz",
		"variants/instances/1.2." + sha[:63] + ".gz", "variants/instances/." + sha + ".gz",
	} {
		if r, err := ParseRef(in); !errors.Is(err, ErrName) {
			t.Errorf("%q is taken for %+v", in, r)
		}
	}
}

// A Ref that was filled by hand prints nothing rather than a path that nobody checked.
func TestPathOfMadeUpRefs(t *testing.T) {
	for _, r := range []Ref{
		{}, {Class: Bulkdata}, {Class: Bulkdata, Name: "../../../etc/passwd00000000000"}, {Class: Bulkdata, Name: sha, Ext: "/../x"}, {Class: Bulkdata, Name: sha, Stream: "../..", Ext: ".jls"},
		{Class: Bulkdata, Name: sha, Stream: hex32}, {Class: List, Name: "1.2"}, {Class: List, Name: sha, Ext: ".gz"}, {Class: Instance, Name: "../1"}, {Class: Instance, Name: "1.2 "},
		{Class: Instance, Name: "1.2", Variant: "x"}, {Class: Other, Name: "../x"}, {Class: Other, Name: "bulkdata/x"}, {Class: Other, Name: "x", Ext: ".gz"}, {Class: 9, Name: "x"},
	} {
		if p := r.Path(); p != "" {
			t.Errorf("%+v prints %s", r, p)
		}
	}
}

func TestParseBulkURI(t *testing.T) {
	file := "bulkdata/abc/de/" + sha[5:]
	for in, ext := range map[string]string{
		file: "", file + ".raw": ".raw", file + ".json": ".json.gz", file + ".raw.gz": ".raw.gz", file + ".residue": ".residue",
		"../../" + file + ".raw": ".raw", "../../../../" + file: "", "/dicomweb/studies/1.2/" + file + ".jpg": ".jpg",
		"https://pacs.example/dicomweb/studies/1.2/series/1.3/" + file + ".raw?length=5#x": ".raw", "bulkdata/x/" + file: "",
	} {
		r, err := ParseBulkURI(in)
		if err != nil || r != (Ref{Class: Bulkdata, Name: sha, Ext: ext}) {
			t.Errorf("%s: %+v, %v", in, r, err)
		}
	}
	for _, in := range []string{
		"", "bulkdata/", "instances/1.2/frames", "series/1/instances/2/rendered?length=1&x=bulkdata/abc/de/" + sha[5:], "xbulkdata/abc/de/" + sha[5:], file + "/x", file + ".exe",
		"file:///etc/passwd", "bulkdata/abc/de/../../../x", "bulkdata%2Fabc/de/" + sha[5:],
	} {
		if r, err := ParseBulkURI(in); !errors.Is(err, ErrName) {
			t.Errorf("%q is taken for %+v", in, r)
		}
	}
}

func TestSpellings(t *testing.T) {
	for ext, want := range map[string][]string{
		"": {"", ".gz", ".raw"}, ".gz": {".gz", "", ".raw"}, ".raw": {".raw", ".raw.gz"}, ".raw.gz": {".raw.gz", ".raw"}, ".json.gz": {".json.gz", ".json"}, ".jpg": {".jpg"}, ".residue": {".residue", ".residue.gz"},
	} {
		var got []string
		for _, r := range (Ref{Class: Bulkdata, Name: sha, Ext: ext}).Spellings() {
			got = append(got, r.Ext)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q", ext, got)
		}
	}
}

func FuzzRef(f *testing.F) {
	for _, s := range []string{"bulkdata/abc/de/" + sha[5:] + ".json.gz", "deduplicated/instances/1.2.gz", "deduplicated/" + sha + ".gz", "variants/instances/1.2." + sha + ".gz",
		"a/../b", "../bulkdata/abc/de/" + sha[5:], "bulkdata/abc/de/" + sha[5:] + "." + hex32 + ".jls"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, parse := range []func(string) (Ref, error){ParseRef, ParseBulkURI} {
			r, err := parse(s)
			if err != nil {
				continue
			}
			for _, r := range r.Spellings() {
				p := r.Path()
				if p == "" || path.Clean("/study/"+p) != "/study/"+p || strings.ContainsAny(p, "\x00\\") {
					t.Fatalf("%q prints %q", s, p)
				}
				if back, err := ParseRef(p); err != nil || back != r || back.Compare(r) != 0 {
					t.Fatalf("%q prints %q, which reads %+v, %v", s, p, back, err)
				}
			}
		}
	})
}

func TestIn(t *testing.T) {
	u, r := UID{"1.2"}, Ref{Class: Instance, Name: "1.3"}
	if got := r.In(u); got != "studies/1.2/deduplicated/instances/1.3.gz" {
		t.Errorf("got %s", got)
	}
	if got := r.In(UID{}) + (Ref{Class: List, Name: "../x"}).In(u); got != "" {
		t.Errorf("a path out of nothing: %s", got)
	}
}
