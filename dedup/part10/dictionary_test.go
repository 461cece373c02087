package part10

import (
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
)

func TestLookup(t *testing.T) {
	for _, c := range []struct {
		tag              dedup.Tag
		unsigned, signed VR
	}{
		{0x00080005, "CS", "CS"},
		{0x0020000D, "UI", "UI"},
		{0x00081115, "SQ", "SQ"},
		{0x00280106, "US", "SS"}, // Smallest Image Pixel Value: US or SS
		{0x00281101, "US", "SS"}, // Red Palette Color Lookup Table Descriptor
		{0x00281201, "OW", "OW"}, // Red Palette Color Lookup Table Data
		{0x00283006, "OW", "OW"}, // LUT Data: US or OW
		{0x00281200, "OW", "OW"}, // Gray Lookup Table Data: US or SS or OW
		{0x7FE00010, "OW", "OW"}, // OB or OW
		{0x54001010, "OW", "OW"}, // Waveform Data: OB or OW
		{0x7FE00008, "OF", "OF"},
		{0x7FE00009, "OD", "OD"},
		{0x7FE00001, "OV", "OV"},
		{0x00080000, "UL", "UL"}, // group length
		{0x00090000, "UL", "UL"},
		{0x00090010, "LO", "LO"}, // private creators
		{0x000900FF, "LO", "LO"},
		{0x0009000F, "", ""},
		{0x00091001, "", ""},
		{0x50000005, "US", "US"}, // repeating groups
		{0x501E0005, "US", "US"},
		{0x60003000, "OW", "OW"},
		{0x60023000, "OW", "OW"},
		{0x601E0050, "SS", "SS"},
		{0x600C0010, "US", "US"},
		{0x7F020010, "OW", "OW"},
		{0x00203100, "CS", "CS"}, // repeating elements
		{0x002031A7, "CS", "CS"},
		{0x00280410, "US", "US"},
		{0x002804F3, "AT", "AT"},
		{0x00280403, "LO", "LO"},
		{0x00280402, "US", "US"},
		{0x00280832, "US", "US"},
		{0x1000ABC2, "US", "US"},
		{0x10101234, "US", "US"},
		{0x00180061, "DS", "DS"},
		{0x04000315, "FL", "FL"},
		{0x300A0782, "US", "US"},
		{0xFFFCFFFC, "OB", "OB"},
		{0xFFFEE000, "", ""}, // no data elements
		{0x0008FFF1, "", ""},
		{0x60009999, "", ""},
	} {
		for _, d := range []*dictionary{{}, {signed: true}} {
			want := c.unsigned
			if d.signed {
				want = c.signed
			}
			if vr, ok := d.lookup(c.tag); vr != want || ok != (want != "") {
				t.Errorf("%s, signed %v: %q, %v; want %q", c.tag, d.signed, vr, ok, want)
			}
		}
	}
}

func TestResolve(t *testing.T) {
	for _, c := range []struct {
		tag           dedup.Tag
		written, want VR
	}{
		{0x00100010, "", "PN"},
		{0x00100010, "UN", "PN"},
		{0x00100010, "ZZ", "PN"},
		{0x00100010, "LO", "LO"}, // a file that says otherwise is right
		{0x00091001, "", "UN"},
		{0x00091001, "ZZ", "UN"},
		{0x00091001, "FD", "FD"},
		{0x00090010, "UN", "LO"},
	} {
		if got := newDictionary().resolve(c.tag, c.written); got != c.want {
			t.Errorf("%s %q: %q, want %q", c.tag, c.written, got, c.want)
		}
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	d := newDictionary()
	if n := testing.AllocsPerRun(100, func() { d.lookup(0x00280106) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkLookup(b *testing.B) {
	d := newDictionary()
	for b.Loop() {
		d.lookup(0x00080018)
	}
}
