package encode_test

import (
	"errors"
	"testing"

	"github.com/dicomesh/dicomesh/dedup/pixels"
	"github.com/dicomesh/dicomesh/dedup/pixels/encode"
)

// TestRefuses checks that what would not decode to the same frame is not encoded. The round trips are among the tests of pixels.
func TestRefuses(t *testing.T) {
	f := pixels.Frame{Rows: 2, Columns: 2, Samples: 1, BitsAllocated: 16}
	native := []byte{0, 0x10, 0, 0, 0, 0, 1, 0} // 13 bits
	changed := func(change func(*pixels.Frame)) pixels.Frame {
		g := f
		change(&g)
		return g
	}
	lossless := func(f pixels.Frame, o encode.Lossless) func() ([]byte, error) {
		return func() ([]byte, error) { return encode.JPEGLossless(f, native, o) }
	}
	ls := func(f pixels.Frame, o encode.LS) func() ([]byte, error) {
		return func() ([]byte, error) { return encode.JPEGLS(f, native, o) }
	}
	eight := changed(func(f *pixels.Frame) { f.Samples, f.Rows, f.Columns, f.BitsAllocated = 8, 1, 1, 8 })
	for name, encode := range map[string]func() ([]byte, error){
		"RLE of another size": func() ([]byte, error) { return encode.RLE(f, native[:7]) },
		"RLE of 1 bit": func() ([]byte, error) {
			return encode.RLE(changed(func(f *pixels.Frame) { f.BitsAllocated = 1 }), native)
		},
		"RLE of 16 segments": func() ([]byte, error) {
			return encode.RLE(pixels.Frame{Rows: 1, Columns: 1, Samples: 2, BitsAllocated: 64}, make([]byte, 16))
		},
		"a sample beyond the precision":        lossless(f, encode.Lossless{Precision: 12}),
		"bits below the point transform":       lossless(f, encode.Lossless{PointTransform: 1}),
		"a signed sample that is not extended": lossless(changed(func(f *pixels.Frame) { f.Signed = true }), encode.Lossless{Precision: 13}),
		"precision 17":                         lossless(f, encode.Lossless{Precision: 17}),
		"predictor 8":                          lossless(f, encode.Lossless{Predictor: 8}),
		"a long restart interval":              lossless(f, encode.Lossless{RestartLines: 40000}),
		"many samples":                         lossless(eight, encode.Lossless{}),
		"JPEG-LS of another size":              ls(eight, encode.LS{Precision: 9}),
		"many samples in a scan":               ls(eight, encode.LS{Interleave: 1}),
		"interleave mode 3":                    ls(f, encode.LS{Interleave: 3}),
		"NEAR 256":                             ls(f, encode.LS{Near: 256}),
		"a sample beyond MAXVAL":               ls(f, encode.LS{Preset: encode.Preset{MaxVal: 4095}}),
		"MAXVAL beyond the precision":          ls(f, encode.LS{Preset: encode.Preset{MaxVal: 65536}}),
		"T2 below T1":                          ls(f, encode.LS{Preset: encode.Preset{T1: 9, T2: 8}}),
	} {
		if got, err := encode(); !errors.Is(err, pixels.ErrUnsupported) {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
}
