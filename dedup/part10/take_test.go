package part10

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/phantom"
	"github.com/dicomesh/dicomesh/e2e/raced"
)

// in is the elements as a file in a transfer syntax.
func in(t testing.TB, syntax string, elements ...phantom.Element) []byte {
	t.Helper()
	for _, s := range phantom.Syntaxes() {
		if s.UID == syntax {
			return phantom.File{Syntax: s, Elements: elements}.Bytes()
		}
	}
	t.Fatalf("no transfer syntax %s", syntax)
	return nil
}

func TestRemarks(t *testing.T) {
	long := strings.Repeat("x", 70)
	for _, c := range []struct {
		element phantom.Element
		want    string
	}{
		{phantom.Text(0x00080060, "CS", "CT", "SEVENTEEN LETTERS"), "(0008,0060) CS value of 17 bytes is longer than 16"},
		{phantom.Text(0x00080060, "CS", "CT", "SIXTEEN LETTERS."), ""},
		{phantom.Text(0x00080030, "TM", "09:11:02.0000000"), ""},
		{phantom.Text(0x00080020, "DA", "2024-02-29"), "(0008,0020) DA value of 10 bytes is longer than 8"},
		{phantom.Text(0x00100020, "LO", long), "(0010,0020) LO value of 70 characters is longer than 64"},
		{phantom.Text(0x00100010, "PN", "a="+long), "(0010,0010) PN value of 70 characters is longer than 64"},
		{phantom.Text(0x00100010, "PN", long[:60]+"="+long[:60]), ""},
		{phantom.Text(0x00100010, "PN", strings.Repeat("ü", 60)), ""}, // of two bytes each
		{phantom.Text(0x00080081, "ST", strings.Repeat("y", 1026)), "(0008,0081) ST value of 1026 characters is longer than 1024"},
		{phantom.Text(0x0040A160, "UT", strings.Repeat("y", 11_000)), ""},
		{phantom.Raw(0x00280010, "US", []byte{1, 2, 3}), "(0028,0010) US value of 3 bytes is not made of units of 2"},
		{phantom.Raw(0x00080018, "UI", []byte("1.2")), "(0008,0018) UI value has an odd length of 3 bytes"},
		{phantom.Raw(0x00081140, "SQ", []byte("no item ")), "(0008,1140) is no run of items, as a sequence must be, and kept as bytes"},
	} {
		file := in(t, "1.2.840.10008.1.2.1", phantom.Text(0x00080005, "CS", "ISO_IR 192"), c.element)
		p, _ := thereAndBack(t, file)
		if got := strings.Join(p.Remarks, "; "); got != c.want {
			t.Errorf("%s: %q, want %q", c.element, got, c.want)
		}
	}
}

// TestRemarksEnd holds that a file in which everything is wrong is not talked about for ever, and that no remark is made twice.
func TestRemarksEnd(t *testing.T) {
	var items []phantom.Item
	for range 50 {
		items = append(items, phantom.Item{Elements: []phantom.Element{phantom.Raw(0x00081150, "UI", []byte("1.2.3"))}})
	}
	elements := []phantom.Element{phantom.Sequence(0x00081140, items...)}
	for i := range uint32(20) {
		elements = append(elements, phantom.Raw(0x00101000+i, "LO", []byte("odd")))
	}
	p, _ := thereAndBack(t, in(t, "1.2.840.10008.1.2.1", elements...))
	if slices.Sort(p.Remarks); len(p.Remarks) != maxRemarks || len(slices.Compact(p.Remarks)) != maxRemarks {
		t.Errorf("%q", p.Remarks)
	}
}

// TestFrameCount cuts native Pixel Data into as many frames as there are, however their number is written, and refuses it where no number is.
func TestFrameCount(t *testing.T) {
	sized := func(count string) []byte {
		elements := append(imageElements(1, 2), phantom.Raw(0x7FE00010, "OW", make([]byte, 3*2*512*2)))
		elements[2] = phantom.Text(0x00280008, "IS", count)
		return in(t, "1.2.840.10008.1.2.1", elements...)
	}
	for _, count := range []string{"3", " 3", "3 ", "+3", "003", "3.0", "3.", "3.000"} {
		p, m := thereAndBack(t, sized(count))
		o, _ := m.merged(p)
		e, _ := o.Find(tagPixelData)
		if a, err := e.Attribute(); err != nil || len(a.Fragments) != 3 {
			t.Errorf("%q: %d frames, %v", count, len(a.Fragments), err)
		}
	}
	for _, count := range []string{"3.5", "three", "3,0"} {
		file := sized(count)
		if _, err := Take(bytes.NewReader(file), int64(len(file)), newMemory()); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "correct it") {
			t.Errorf("%q: %v", count, err)
		}
	}
}

// TestAliens holds that whoever sends what people take for DICOM is told what to do with it.
func TestAliens(t *testing.T) {
	for magic, says := range map[string]string{"PK\x03\x04": "unpack it", "\x1F\x8B\x08\x00": "unpack it", "%PDF-1.7": "pdf2dcm", "\xFF\xD8\xFF\xE0": "img2dcm", "\x89PNG\r\n": "PNG", "MZ\x90": "not DICOM"} {
		file := append([]byte(magic), make([]byte, 600)...)
		if _, err := Take(bytes.NewReader(file), int64(len(file)), newMemory()); !errors.Is(err, ErrFormat) || errors.Is(err, ErrTruncated) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", magic, err)
		}
	}
}

// TestOddities takes files that the catalogue does not have.
func TestOddities(t *testing.T) {
	const little, big, implicit, rle = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2", "1.2.840.10008.1.2.5"
	words := func(tag uint32, n int) phantom.Element {
		e := phantom.Raw(tag, "OW", make([]byte, n))
		for i := range e.Value {
			e.Value[i] = byte(i * int(tag))
		}
		e.Unit = 2
		return e
	}
	inUN := phantom.Sequence(0x00091001, phantom.Item{Elements: []phantom.Element{words(0x54001010, 3000), phantom.Numbers(0x00280010, "US", uint16(7))}})
	inUN.VR = "UN"
	nested := phantom.Sequence(0x00081140, phantom.Item{Elements: []phantom.Element{inUN}})
	dots := phantom.Encapsulated(nil, []byte("fragment"))
	for name, file := range map[string][]byte{
		"big-endian words twice":         in(t, big, words(0x00281201, 3000), words(0x00281201, 5000)),
		"big-endian words of odd length": in(t, big, words(0x00281201, 3001), words(0x00281202, 33)),
		"big-endian words inside of UN":  in(t, big, inUN),
		"big-endian words in UN deeper":  in(t, big, nested),
		"long words inside a second sequence": in(t, little, phantom.Sequence(0x00081140, phantom.Item{}),
			phantom.Sequence(0x00081140, phantom.Item{Elements: []phantom.Element{words(0x54001010, 3000)}})),
		"character set after the text":   in(t, little, phantom.Text(0x00080004, "LO", "\xC3\xBC"), phantom.Text(0x00080005, "CS", "ISO_IR 192")),
		"character set far too late":     in(t, little, phantom.Text(0x00100010, "PN", "\xE4\xF6"), phantom.Text(0x00080005, "CS", "ISO_IR 144")),
		"two encapsulated Pixel Data":    in(t, rle, append(imageElements(1, 2), dots, dots)...),
		"two native Pixel Data":          in(t, little, append(imageElements(1, 2), words(0x7FE00010, 2048), words(0x7FE00010, 4000))...),
		"empty Pixel Data":               in(t, little, append(imageElements(1, 2), words(0x7FE00010, 0))...),
		"Pixel Data and float pixels":    in(t, little, words(0x7FE00008, 2048), words(0x7FE00010, 2048)),
		"Pixel Data of UN":               in(t, little, append(imageElements(1, 2), phantom.Raw(0x7FE00010, "UN", make([]byte, 2048)))...),
		"implicit, nothing but a length": in(t, implicit, phantom.Raw(0x00080000, "UL", []byte{0, 0, 0, 0})),
		"one long group length":          in(t, little, phantom.Raw(0x00080000, "UL", make([]byte, 2000))),
	} {
		t.Run(name, func(t *testing.T) {
			p, m := thereAndBack(t, file)
			o, _ := m.merged(p)
			if !slices.IsSortedFunc(o, func(a, b dedup.Element) int { return int(int64(a.Tag) - int64(b.Tag)) }) {
				t.Error("attributes out of order")
			}
			for i := 1; i < len(o); i++ {
				if o[i].Tag == o[i-1].Tag {
					t.Errorf("%s twice", o[i].Tag)
				}
			}
		})
	}
}

// TestNoOrphans holds that everything that Take kept is referred to: by objects, or as extra bulkdata.
func TestNoOrphans(t *testing.T) {
	for _, c := range phantom.Cases() {
		p, m := taken(t, c.Bytes())
		object, d := m.merged(p)
		text := string(object.AppendJSON(nil))
		for _, o := range m.objects {
			text += string(o.AppendJSON(nil))
		}
		for ref := range m.files {
			found := strings.Contains(text, strings.TrimSuffix(ref.Path(), ".gz")) || strings.Contains(text, `"`+ref.Name+`"`)
			if strings.HasPrefix(ref.Ext, residueExt) {
				found = slices.Contains(d.Encoding, ref.Hash())
			}
			if !found {
				t.Errorf("%s: nothing refers to %s", c.Name, ref)
			}
		}
	}
}

// TestLimits refuses what needs more memory than any sound file.
func TestLimits(t *testing.T) {
	for what, t1 := range map[string]*taker{
		"attributes": {layout: &layout{literal: make([]byte, maxSkeleton+1)}},
		"pieces":     {layout: &layout{pieces: make([]piece, maxPieces+1)}},
		"padding":    {layout: &layout{}, noise: maxPadding + 1},
	} {
		t1.scan = &scanner{}
		if err := t1.bounded(token{}); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	m := image{rows: 1, columns: 1, allocated: 8, frames: maxFrames + 1}
	if frames, size, _ := m.cutNative(tagPixelData, maxFrames+1); frames != 1 || size != maxFrames+1 {
		t.Errorf("cut into %d frames", frames)
	}
	if raced.On(t) {
		return // the rest is much reading
	}
	zeros := in(t, "1.2.840.10008.1.2.1", phantom.Text(0x00080060, "CS", "CT"))
	zeros = append(zeros, make([]byte, maxPadding+16)...)
	if _, err := Take(bytes.NewReader(zeros), int64(len(zeros)), newMemory()); !errors.Is(err, ErrFormat) {
		t.Errorf("zeros without end: %v", err)
	}
	meta := bytes.Repeat(append([]byte{2, 0, 0x02, 1, 'O', 'B', 0, 0, 0, 0x80, 0, 0}, make([]byte, 0x8000)...), maxSkeleton/0x8000+1)
	meta = append(append(make([]byte, 128), "DICM"...), meta...)
	if _, err := Take(bytes.NewReader(meta), int64(len(meta)), newMemory()); !errors.Is(err, ErrFormat) {
		t.Errorf("group 0002 without end: %v", err)
	}
}

// TestCompare finds each difference.
func TestCompare(t *testing.T) {
	file := in(t, "1.2.840.10008.1.2.2", append(imageElements(1, 2), phantom.Raw(0x7FE00010, "OW", bytes.Repeat([]byte("pixels"), 3000)))...)
	p, m := taken(t, file)
	object, d := m.merged(p)
	r, err := Rebuild(object, d, m)
	if err != nil {
		t.Fatal(err)
	}
	for _, buf := range [][]byte{nil, make([]byte, 9000)} {
		if err := r.Compare(bytes.NewReader(file), int64(len(file)), buf); err != nil || !r.Exact() {
			t.Error(err)
		}
	}
	for at := 0; at < len(file); at += 7 {
		file[at] ^= 1
		if err := r.Compare(bytes.NewReader(file), int64(len(file)), nil); !errors.Is(err, ErrDiffers) {
			t.Fatalf("byte %d: %v", at, err)
		}
		file[at] ^= 1
	}
	if err := r.Compare(bytes.NewReader(file), int64(len(file))-1, nil); !errors.Is(err, ErrDiffers) {
		t.Error(err)
	}
}

// TestForeignRecord writes a record of which no encoding is known, in the syntax of its frames, as a file with the same content.
func TestForeignRecord(t *testing.T) {
	for _, syntax := range []string{"1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5"} {
		pixels := phantom.Raw(0x7FE00010, "OW", bytes.Repeat([]byte{1, 2}, 2048))
		if syntax == "1.2.840.10008.1.2.5" {
			pixels = phantom.Encapsulated(nil, []byte("a frame "), []byte("another "))
		}
		file := in(t, syntax, append(imageElements(2, 2), phantom.Text(0x00083002, "UI", syntax), pixels)...)
		p, m := taken(t, file)
		object, d := m.merged(p)
		slices.SortFunc(object, func(a, b dedup.Element) int { return int(int64(a.Tag) - int64(b.Tag)) })
		encoding, h, err := OwnEncoding(syntax)
		if err != nil {
			t.Fatal(err)
		}
		m.objects[h] = encoding
		for _, own := range [][]dedup.Hash{nil, {h}} {
			d.Encoding, d.File, d.FileSize = own, dedup.Digest{}, 0
			r, err := Rebuild(object, d, m)
			if err != nil || r.Exact() {
				t.Fatal(err)
			}
			again, _ := thereAndBack(t, written(t, r, m))
			if again.Content != p.Content {
				t.Errorf("%s: other content", syntax)
			}
		}
	}
}
