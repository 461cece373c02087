package pixels_test

import (
	"testing"

	"github.com/dicomesh/dicomesh/dedup/pixels"
	"github.com/dicomesh/dicomesh/dedup/pixels/encode"
)

// phantom is a native frame like a slice of a body: a bright ellipse with structure and noise of 12 bits or 8 in a field of air.
func phantom(f pixels.Frame) []byte {
	native := make([]byte, f.Size())
	cell, depth := f.BitsAllocated/8, min(f.BitsAllocated, 12)
	noise := uint64(1)
	for i := range len(native) / cell {
		x, y := i/f.Samples%f.Columns-f.Columns/2, i/f.Samples/f.Columns-f.Rows/2
		v := uint64(0)
		if 5*x*x+8*y*y < f.Rows*f.Columns {
			noise = noise*6364136223846793005 + 1442695040888963407
			v = uint64(1000+x/2+(x*y)>>9+i%f.Samples*20) + noise>>33&15 + noise>>43&15
		}
		put(native[i*cell:(i+1)*cell], v<<depth>>12, depth, f.Signed)
	}
	return native
}

func benchmark(b *testing.B, syntax string, f pixels.Frame, encoder func(f pixels.Frame, native []byte) ([]byte, error)) {
	native := phantom(f)
	stream, err := encoder(f, native)
	if err != nil {
		b.Fatal(err)
	}
	dst := make([]byte, f.Size())
	b.SetBytes(f.Size())
	b.ReportMetric(float64(len(native))/float64(len(stream)), "ratio")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := pixels.Decode(syntax, f, stream, dst); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	grey := pixels.Frame{Rows: 512, Columns: 512, Samples: 1, BitsAllocated: 16}
	colour := pixels.Frame{Rows: 512, Columns: 512, Samples: 3, BitsAllocated: 8}
	tiny := pixels.Frame{Rows: 64, Columns: 64, Samples: 1, BitsAllocated: 16}
	predictor := func(n int) func(pixels.Frame, []byte) ([]byte, error) {
		return func(f pixels.Frame, native []byte) ([]byte, error) {
			return encode.JPEGLossless(f, native, encode.Lossless{Predictor: n})
		}
	}
	interleave := func(n int) func(pixels.Frame, []byte) ([]byte, error) {
		return func(f pixels.Frame, native []byte) ([]byte, error) {
			return encode.JPEGLS(f, native, encode.LS{Interleave: n})
		}
	}
	deflate := func(_ pixels.Frame, native []byte) ([]byte, error) { return encode.Deflated(native) }
	for _, c := range []struct {
		name, syntax string
		f            pixels.Frame
		encoder      func(pixels.Frame, []byte) ([]byte, error)
	}{
		{"RLE/grey16", rle, grey, encode.RLE},
		{"RLE/colour8", rle, colour, encode.RLE},
		{"deflated/grey16", deflated, grey, deflate},
		{"lossless/grey16/predictor1", jpegLossless, grey, predictor(1)},
		{"lossless/grey16/predictor6", jpegLossless, grey, predictor(6)},
		{"lossless/colour8/predictor1", jpegLossless, colour, predictor(1)},
		{"lossless/tiny", jpegLossless, tiny, predictor(1)},
		{"LS/grey16", jpegLS, grey, interleave(0)},
		{"LS/colour8/none", jpegLS, colour, interleave(0)},
		{"LS/colour8/line", jpegLS, colour, interleave(1)},
		{"LS/colour8/sample", jpegLS, colour, interleave(2)},
		{"LS/tiny", jpegLS, tiny, interleave(0)},
	} {
		b.Run(c.name, func(b *testing.B) { benchmark(b, c.syntax, c.f, c.encoder) })
	}
}
