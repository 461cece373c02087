package pixels_test

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/dicomesh/dicomesh/dedup/pixels"
	"github.com/dicomesh/dicomesh/dedup/pixels/encode"
)

func TestJPEGLosslessRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawFrame(t, 8, 16, 32)
		o := encode.Lossless{
			Predictor:    rapid.IntRange(1, 7).Draw(t, "predictor"),
			Precision:    rapid.IntRange(2, min(f.BitsAllocated, 16)).Draw(t, "precision"),
			RestartLines: rapid.SampledFrom([]int{0, 0, 1, 3}).Draw(t, "restart"),
			Separate:     rapid.Bool().Draw(t, "separate"),
			LateLines:    rapid.Bool().Draw(t, "late"),
		}
		native := drawNative(t, f, o.Precision)
		stream, err := encode.JPEGLossless(f, native, o)
		if err != nil {
			t.Fatal(err)
		}
		wantDecoded(t, jpegLossless, f, stream, native)
		wantShortRefused(t, jpegLossless, f, stream[:rapid.IntRange(0, len(stream)-3).Draw(t, "cut")], native)
	})
}

func TestJPEGLosslessPointTransform(t *testing.T) {
	f := pixels.Frame{Rows: 2, Columns: 3, Samples: 1, BitsAllocated: 16, Signed: true}
	native := []byte{0x08, 0x00, 0xf8, 0xff, 0xf8, 0x07, 0x00, 0xf8, 0x10, 0x00, 0xf0, 0xff}
	for precision := 12; precision <= 16; precision++ {
		stream, err := encode.JPEGLossless(f, native, encode.Lossless{Predictor: 4, Precision: precision, PointTransform: 3})
		if err != nil {
			t.Fatal(err)
		}
		wantDecoded(t, jpegFirst, f, stream, native)
	}
}

// small is a stream of 2x2 pixels with its segments apart, so that tests can leave out, repeat or change them.
type small struct {
	f                                pixels.Frame
	soi, sof, dht, sos, entropy, eoi []byte
}

func smallLossless(t fataler) small {
	f := pixels.Frame{Rows: 2, Columns: 2, Samples: 1, BitsAllocated: 8}
	stream, err := encode.JPEGLossless(f, []byte{1, 2, 3, 250}, encode.Lossless{})
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	s := small{f: f, soi: stream[:2]}
	sof := bytes.Index(stream, []byte{0xff, 0xc3})
	dht := bytes.Index(stream, []byte{0xff, 0xc4})
	sos := bytes.Index(stream, []byte{0xff, 0xda})
	eoi := bytes.Index(stream, []byte{0xff, 0xd9})
	s.sof, s.dht, s.sos, s.entropy, s.eoi = stream[sof:dht], stream[dht:sos], stream[sos:sos+10], stream[sos+10:eoi], stream[eoi:eoi+2]
	return s
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func edited(b []byte, at int, value byte) []byte {
	b = bytes.Clone(b)
	b[at] = value
	return b
}

func TestJPEGLosslessTolerates(t *testing.T) {
	s := smallLossless(t)
	comment, fill := []byte{0xff, 0xfe, 0, 4, 'h', 'i'}, []byte{0xff, 0xff}
	app14 := []byte("\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x01")
	quantization := []byte{0xff, 0xdb, 0, 3, 0}
	table, ac := s.dht[:4:4], s.dht[4:]
	two := join(table[:3], []byte{table[3] + byte(len(ac))}, edited(ac, 0, 0x10), ac) // class 1, then class 0
	for name, stream := range map[string][]byte{
		"nothing odd":                  join(s.soi, s.sof, s.dht, s.sos, s.entropy, s.eoi),
		"tables first":                 join(s.soi, s.dht, s.sof, s.sos, s.entropy, s.eoi),
		"no padding":                   join(s.soi, s.sof, s.dht, s.sos, s.entropy, s.eoi),
		"rubbish after EOI":            join(s.soi, s.sof, s.dht, s.sos, s.entropy, s.eoi, []byte{0, 0xff, 0xd8, 1}),
		"comments and APPn":            join(s.soi, comment, app14, s.sof, quantization, s.dht, s.sos, s.entropy, comment, s.eoi),
		"fill before markers":          join(s.soi, fill, s.sof, fill, s.dht, s.sos, s.entropy, fill, s.eoi),
		"bytes after the image":        join(s.soi, s.sof, s.dht, s.sos, s.entropy, []byte{0, 0xff, 0, 0x55}, s.eoi),
		"sampling factors of one":      join(s.soi, edited(s.sof, 11, 0x22), s.dht, s.sos, s.entropy, s.eoi),
		"two tables in a segment":      join(s.soi, s.sof, two, s.sos, s.entropy, s.eoi),
		"a restart interval not met":   join(s.soi, s.sof, []byte{0xff, 0xdd, 0, 4, 0, 200}, s.dht, s.sos, s.entropy, s.eoi),
		"the number of lines, twice":   join(s.soi, s.sof, s.dht, s.sos, s.entropy, []byte{0xff, 0xdc, 0, 4, 0, 2}, s.eoi),
		"a last spectral index (Se)":   join(s.soi, s.sof, s.dht, edited(s.sos, 8, 63), s.entropy, s.eoi),
		"a bad table that nobody uses": join(s.soi, edited(edited(edited(s.dht, 4, 2), 5, 5), 7, 0), s.sof, s.dht, s.sos, s.entropy, s.eoi),
		"another selector of AC table": join(s.soi, s.sof, s.dht, edited(s.sos, 6, 0x01), s.entropy, s.eoi),
	} {
		got, err := pixels.Decode(jpegFirst, s.f, stream, nil)
		if err != nil || !bytes.Equal(got, []byte{1, 2, 3, 250}) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestJPEGLosslessRefuses(t *testing.T) {
	s := smallLossless(t)
	all := func(sof, dht, sos []byte) []byte { return join(s.soi, sof, dht, sos, s.entropy, s.eoi) }
	for name, stream := range map[string][]byte{
		"empty":                      {},
		"no SOI":                     join(s.sof, s.dht, s.sos, s.entropy, s.eoi),
		"two SOIs":                   join(s.soi, s.soi, s.sof, s.dht, s.sos, s.entropy, s.eoi),
		"no EOI":                     join(s.soi, s.sof, s.dht, s.sos, s.entropy),
		"no EOI, but its first byte": join(s.soi, s.sof, s.dht, s.sos, s.entropy, []byte{0xff}),
		"no image":                   join(s.soi, s.eoi),
		"no scan":                    join(s.soi, s.sof, s.dht, s.eoi),
		"a scan before SOF":          join(s.soi, s.dht, s.sos, s.entropy, s.sof, s.eoi),
		"a scan twice":               join(s.soi, s.sof, s.dht, s.sos, s.entropy, s.sos, s.entropy, s.eoi),
		"two frame headers":          join(s.soi, s.sof, s.sof, s.dht, s.sos, s.entropy, s.eoi),
		"no table":                   join(s.soi, s.sof, s.sos, s.entropy, s.eoi),
		"no data":                    join(s.soi, s.sof, s.dht, s.sos, s.eoi),
		"data cut":                   join(s.soi, s.sof, s.dht, s.sos, s.entropy[:1], s.eoi),
		"no marker where one is due": join(s.soi, []byte{0}, s.sof, s.dht, s.sos, s.entropy, s.eoi),
		"a restart marker alone":     join(s.soi, s.sof, s.dht, s.sos, s.entropy, []byte{0xff, 0xd0}, s.eoi),
		"restart markers not there":  join(s.soi, s.sof, []byte{0xff, 0xdd, 0, 4, 0, 2}, s.dht, s.sos, s.entropy, s.eoi),
		"restart in mid line":        join(s.soi, s.sof, []byte{0xff, 0xdd, 0, 4, 0, 1}, s.dht, s.sos, s.entropy, s.eoi),
		"a short restart interval":   join(s.soi, s.sof, []byte{0xff, 0xdd, 0, 3, 0}, s.dht, s.sos, s.entropy, s.eoi),
		"another number of lines":    join(s.soi, s.sof, s.dht, s.sos, s.entropy, []byte{0xff, 0xdc, 0, 4, 0, 3}, s.eoi),
		"no number of lines":         all(edited(s.sof, 6, 0), s.dht, s.sos),
		"other rows":                 all(edited(s.sof, 6, 3), s.dht, s.sos),
		"other columns":              all(edited(s.sof, 8, 3), s.dht, s.sos),
		"other samples":              all(edited(s.sof, 9, 3), s.dht, s.sos),
		"precision 1":                all(edited(s.sof, 4, 1), s.dht, s.sos),
		"precision above allocated":  all(edited(s.sof, 4, 9), s.dht, s.sos),
		"samples above precision":    all(edited(s.sof, 4, 7), s.dht, s.sos),
		"a long SOF":                 all(edited(s.sof, 3, 12), s.dht, s.sos),
		"predictor 0":                all(s.sof, s.dht, edited(s.sos, 7, 0)),
		"predictor 8":                all(s.sof, s.dht, edited(s.sos, 7, 8)),
		"point transform 8":          all(s.sof, s.dht, edited(s.sos, 9, 8)),
		"another component":          all(s.sof, s.dht, edited(s.sos, 5, 9)),
		"no component":               all(s.sof, s.dht, edited(s.sos, 4, 0)),
		"another table":              all(s.sof, s.dht, edited(s.sos, 6, 0x10)),
		"table 4":                    all(s.sof, edited(s.dht, 4, 4), s.sos),
		"too many codes of a length": all(s.sof, edited(edited(s.dht, 5, 5), 7, 0), s.sos),
		"too many codes":             all(s.sof, edited(s.dht, 20, 255), s.sos),
		"a short table":              all(s.sof, join([]byte{0xff, 0xc4, 0, 8}, s.dht[4:10]), s.sos),
		"a segment of 1 byte":        all(s.sof, edited(s.dht, 3, 1), s.sos),
		"a segment beyond the end":   all(s.sof, edited(s.dht, 2, 1), s.sos),
		"categories above 16":        all(s.sof, join(s.dht[:21], bytes.Repeat([]byte{17}, 17)), s.sos),
	} {
		if got, err := pixels.Decode(jpegLossless, s.f, stream, nil); !errors.Is(err, pixels.ErrCorrupt) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestJPEGLosslessUnsupported(t *testing.T) {
	s := smallLossless(t)
	three := s.f
	three.Samples = 3
	factors := join(s.sof[:3], []byte{17}, s.sof[4:9], []byte{3, 1, 0x21, 0, 2, 0x11, 0, 3, 0x11, 0})
	half := pixels.Frame{Rows: 2, Columns: 2, Samples: 3, BitsAllocated: 8, Subsampled: true}
	for name, c := range map[string]struct {
		f      pixels.Frame
		stream []byte
	}{
		"baseline":         {s.f, join(s.soi, edited(s.sof, 1, 0xc0), s.dht, s.sos, s.entropy, s.eoi)},
		"arithmetic":       {s.f, join(s.soi, edited(s.sof, 1, 0xcb), s.dht, s.sos, s.entropy, s.eoi)},
		"sampling factors": {three, join(s.soi, factors, s.dht, s.sos, s.entropy, s.eoi)},
		"subsampled":       {half, join(s.soi, s.sof)},
		"single bits":      {pixels.Frame{Rows: 2, Columns: 2, Samples: 1, BitsAllocated: 1}, join(s.soi, s.sof)},
	} {
		if got, err := pixels.Decode(jpegLossless, c.f, c.stream, nil); !errors.Is(err, pixels.ErrUnsupported) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// TestJPEGLosslessLongCodes decodes codes of up to 16 bits, which no table look-up finds.
func TestJPEGLosslessLongCodes(t *testing.T) {
	s := smallLossless(t)
	counts := []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 3} // codes 13 zeros; then 16 bits: 8, 9, 10
	table := join([]byte{0xff, 0xc4, 0, 23, 0}, counts, []byte{0, 1, 16, 17})
	stream := func(data ...byte) []byte { return join(s.soi, s.sof, table, s.sos, data, s.eoi) }
	// Differences 0 and 1 (code 8 and a one), -1 (code 8 and a zero), 0: 128 129; 127 127.
	good := stream(0x00, 0x00, 0x00, 0x44, 0x00, 0x20, 0x00, 0x0f)
	wantDecoded(t, jpegLossless, s.f, good, []byte{128, 129, 127, 127})
	for name, bad := range map[string][]byte{
		"category 17":         stream(0x00, 0x0a, 0, 0, 0, 0, 0, 0),
		"no code":             stream(0x00, 0x0b, 0, 0, 0, 0, 0, 0),
		"category 16, 8 bits": stream(0x00, 0x09, 0, 0, 0, 0, 0, 0),
	} {
		if got, err := pixels.Decode(jpegLossless, s.f, bad, nil); !errors.Is(err, pixels.ErrCorrupt) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
