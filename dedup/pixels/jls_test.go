package pixels_test

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/dicomesh/dicomesh/dedup/pixels"
	"github.com/dicomesh/dicomesh/dedup/pixels/encode"
)

func drawLS(t *rapid.T, f pixels.Frame) encode.LS {
	return encode.LS{
		Precision:    rapid.IntRange(2, min(f.BitsAllocated, 16)).Draw(t, "precision"),
		Interleave:   rapid.IntRange(0, 2).Draw(t, "interleave"),
		RestartLines: rapid.SampledFrom([]int{0, 0, 1, 3, 30}).Draw(t, "restart"),
		Preset:       encode.Preset{Reset: rapid.SampledFrom([]int{0, 0, 3, 64, 255}).Draw(t, "reset")},
	}
}

func TestJPEGLSRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawFrame(t, 8, 16, 32)
		o := drawLS(t, f)
		native := drawNative(t, f, o.Precision)
		stream, err := encode.JPEGLS(f, native, o)
		if err != nil {
			t.Fatal(err)
		}
		wantDecoded(t, jpegLS, f, stream, native)
		wantDecoded(t, jpegLSNear, f, stream, native)
		wantShortRefused(t, jpegLS, f, stream[:rapid.IntRange(0, len(stream)-3).Draw(t, "cut")], native)
	})
}

// TestJPEGLSPreset is the round trip with parameters that are not the default, and samples that use not all of the precision.
func TestJPEGLSPreset(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawFrame(t, 8, 16)
		f.Signed = false
		o := drawLS(t, f)
		full := 1<<o.Precision - 1
		p := encode.Preset{MaxVal: rapid.IntRange(max(1, full/2), full).Draw(t, "maxval")}
		p.T1 = rapid.IntRange(1, p.MaxVal).Draw(t, "t1")
		p.T2 = rapid.IntRange(p.T1, p.MaxVal).Draw(t, "t2")
		p.T3 = rapid.IntRange(p.T2, p.MaxVal).Draw(t, "t3")
		p.Reset = o.Preset.Reset
		o.Preset = p
		native := drawNative(t, f, o.Precision-1)
		stream, err := encode.JPEGLS(f, native, o)
		if err != nil {
			t.Fatal(err)
		}
		wantDecoded(t, jpegLS, f, stream, native)
	})
}

// TestJPEGLSNear checks that no sample is further from the original than NEAR.
func TestJPEGLSNear(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawFrame(t, 8, 16)
		f.Signed = false
		o := drawLS(t, f)
		o.Near = rapid.IntRange(1, min(255, (1<<o.Precision-1)/2)).Draw(t, "near")
		native := drawNative(t, f, o.Precision)
		stream, err := encode.JPEGLS(f, native, o)
		if err != nil {
			t.Fatal(err)
		}
		got, err := pixels.Decode(jpegLSNear, f, stream, nil)
		if err != nil {
			t.Fatal(err)
		}
		cell := f.BitsAllocated / 8
		for i := 0; i < len(got); i += cell {
			d := number(got[i:i+cell]) - number(native[i:i+cell])
			if max(d, -d) > o.Near {
				t.Fatalf("sample %d is off by %d, NEAR is %d", i/cell, d, o.Near)
			}
		}
		if _, err := pixels.Decode(jpegLS, f, stream, nil); !errors.Is(err, pixels.ErrCorrupt) {
			t.Fatalf("a stream with loss passed as lossless: %v", err)
		}
	})
}

func number(cell []byte) int {
	n := 0
	for i, b := range cell {
		n |= int(b) << (8 * i)
	}
	return n
}

// TestJPEGLSExample is the image of T.87 annex H.3, whose coded bytes the standard prints.
func TestJPEGLSExample(t *testing.T) {
	f := pixels.Frame{Rows: 4, Columns: 4, Samples: 1, BitsAllocated: 8}
	native := []byte{0, 0, 90, 74, 68, 50, 43, 205, 64, 145, 145, 145, 100, 145, 145, 145}
	coded := []byte{0xc0, 0, 0, 0x6c, 0x80, 0x20, 0x8e, 0x01, 0xc0, 0, 0, 0x57, 0x40, 0, 0, 0x6e, 0xe6, 0, 0, 0x01, 0xbc, 0x18, 0, 0, 0x05, 0xd8, 0, 0, 0x91, 0x60}
	stream, err := encode.JPEGLS(f, native, encode.LS{})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(stream, append(coded, 0xff, 0xd9)) {
		t.Errorf("encoded %x", stream)
	}
	wantDecoded(t, jpegLS, f, stream, native)
}

func smallLS(t fataler) small {
	f := pixels.Frame{Rows: 2, Columns: 2, Samples: 1, BitsAllocated: 8}
	stream, err := encode.JPEGLS(f, []byte{1, 2, 3, 250}, encode.LS{})
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	eoi := bytes.Index(stream, []byte{0xff, 0xd9})
	return small{f: f, soi: stream[:2], sof: stream[2:15], sos: stream[15:25], entropy: stream[25:eoi], eoi: stream[eoi : eoi+2]}
}

func TestJPEGLSTolerates(t *testing.T) {
	s := smallLS(t)
	for name, stream := range map[string][]byte{
		"nothing odd":               join(s.soi, s.sof, s.sos, s.entropy, s.eoi),
		"rubbish after EOI":         join(s.soi, s.sof, s.sos, s.entropy, s.eoi, []byte{0, 0xff}),
		"a zero before EOI":         join(s.soi, s.sof, s.sos, s.entropy, []byte{0}, s.eoi),
		"fill before EOI":           join(s.soi, s.sof, s.sos, s.entropy, []byte{0xff}, s.eoi),
		"a mapping table not used":  join(s.soi, s.sof, []byte{0xff, 0xf8, 0, 6, 2, 1, 1, 7}, s.sos, s.entropy, s.eoi),
		"no colour transform":       join(s.soi, []byte("\xff\xe8\x00\x07mrfx\x00"), s.sof, s.sos, s.entropy, s.eoi),
		"one component, mode 2":     join(s.soi, s.sof, edited(s.sos, 8, 2), s.entropy, s.eoi),
		"a preset of zeros":         join(s.soi, s.sof, []byte{0xff, 0xf8, 0, 13, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, s.sos, s.entropy, s.eoi),
		"a restart interval unmet":  join(s.soi, s.sof, []byte{0xff, 0xdd, 0, 6, 0x7f, 0, 0, 3}, s.sos, s.entropy, s.eoi),
		"lines in DNL of 3 bytes":   join(s.soi, edited(s.sof, 6, 0), s.sos, s.entropy, []byte{0xff, 0xdc, 0, 5, 0, 0, 2}, s.eoi),
		"a comment between":         join(s.soi, s.sof, []byte{0xff, 0xfe, 0, 2}, s.sos, s.entropy, s.eoi),
		"sampling factors of one":   join(s.soi, edited(s.sof, 11, 0x21), s.sos, s.entropy, s.eoi),
		"a high bit position (Ah)":  join(s.soi, s.sof, edited(s.sos, 9, 0x10), s.entropy, s.eoi),
		"a quantization table (Tq)": join(s.soi, edited(s.sof, 12, 1), s.sos, s.entropy, s.eoi),
	} {
		got, err := pixels.Decode(jpegLS, s.f, stream, nil)
		if err != nil || !bytes.Equal(got, []byte{1, 2, 3, 250}) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestJPEGLSRefuses(t *testing.T) {
	s := smallLS(t)
	preset := func(numbers ...byte) []byte { return append([]byte{0xff, 0xf8, 0, 13, 1}, numbers...) }
	with := func(segment []byte) []byte { return join(s.soi, s.sof, segment, s.sos, s.entropy, s.eoi) }
	for name, c := range map[string]struct {
		stream []byte
		want   error
	}{
		"JPEG lossless":           {join(s.soi, edited(s.sof, 1, 0xc3), s.sos, s.entropy, s.eoi), pixels.ErrUnsupported},
		"no data":                 {join(s.soi, s.sof, s.sos, s.eoi), pixels.ErrCorrupt},
		"data cut":                {join(s.soi, s.sof, s.sos, s.entropy[:2], s.eoi), pixels.ErrCorrupt},
		"only zeros":              {join(s.soi, s.sof, s.sos, make([]byte, 40), s.eoi), pixels.ErrCorrupt},
		"NEAR 1":                  {join(s.soi, s.sof, edited(s.sos, 7, 1), s.entropy, s.eoi), pixels.ErrCorrupt},
		"interleave mode 3":       {join(s.soi, s.sof, edited(s.sos, 8, 3), s.entropy, s.eoi), pixels.ErrCorrupt},
		"point transform":         {join(s.soi, s.sof, edited(s.sos, 9, 1), s.entropy, s.eoi), pixels.ErrUnsupported},
		"a mapping table":         {join(s.soi, s.sof, edited(s.sos, 6, 1), s.entropy, s.eoi), pixels.ErrUnsupported},
		"a colour transform":      {with([]byte("\xff\xe8\x00\x07mrfx\x01")), pixels.ErrUnsupported},
		"an oversize image":       {with([]byte{0xff, 0xf8, 0, 4, 4, 2}), pixels.ErrUnsupported},
		"LSE without content":     {with([]byte{0xff, 0xf8, 0, 2}), pixels.ErrUnsupported},
		"MAXVAL above precision":  {with(preset(1, 0, 0, 0, 0, 0, 0, 0, 0, 0)), pixels.ErrCorrupt},
		"T2 below T1":             {with(preset(0, 0, 0, 9, 0, 8, 0, 0, 0, 0)), pixels.ErrCorrupt},
		"T3 below T2":             {with(preset(0, 0, 0, 0, 0, 9, 0, 8, 0, 0)), pixels.ErrCorrupt},
		"RESET 2":                 {with(preset(0, 0, 0, 0, 0, 0, 0, 0, 0, 2)), pixels.ErrCorrupt},
		"restart markers missing": {with([]byte{0xff, 0xdd, 0, 4, 0, 1}), pixels.ErrCorrupt},
	} {
		if got, err := pixels.Decode(jpegLS, s.f, c.stream, nil); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, %v; want %v", name, got, err, c.want)
		}
	}
	three := join(s.soi, s.sof[:3], []byte{17}, s.sof[4:9], []byte{3, 1, 0x21, 0, 2, 0x11, 0, 3, 0x11, 0}, s.sos)
	for name, c := range map[string]struct {
		f      pixels.Frame
		stream []byte
	}{
		"single bits":      {pixels.Frame{Rows: 2, Columns: 2, Samples: 1, BitsAllocated: 1}, s.soi},
		"subsampled":       {pixels.Frame{Rows: 2, Columns: 2, Samples: 3, BitsAllocated: 8, Subsampled: true}, s.soi},
		"sampling factors": {pixels.Frame{Rows: 2, Columns: 2, Samples: 3, BitsAllocated: 8}, three},
	} {
		if got, err := pixels.Decode(jpegLS, c.f, c.stream, nil); !errors.Is(err, pixels.ErrUnsupported) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
