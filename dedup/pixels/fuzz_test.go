package pixels_test

import (
	"errors"
	"image"
	"slices"
	"testing"

	"github.com/dicomesh/dicomesh/dedup/pixels"
	"github.com/dicomesh/dicomesh/dedup/pixels/encode"
)

// fuzz feeds streams to a decoder, with Frames of every shape. The decoder must give the whole frame or an error of its two kinds,
// and the same twice, whatever was in the memory before.
func fuzz(f *testing.F, syntax string, encoder func(f pixels.Frame, native []byte, variant int) ([]byte, error)) {
	for variant := range 12 {
		frame := pixels.Frame{
			Rows: 3 + variant%2, Columns: 5 - variant%3, Samples: 1 + variant%2*2,
			BitsAllocated: []int{8, 16, 32}[variant%3], Signed: variant%4 == 3, Planar: variant%5 == 4,
		}
		native := make([]byte, frame.Size())
		cell := frame.BitsAllocated / 8
		for i := range len(native) / cell {
			put(native[i*cell:(i+1)*cell], uint64(i*i*variant), 7, frame.Signed)
		}
		stream, err := encoder(frame, native, variant)
		if err != nil {
			f.Fatal(err)
		}
		flags := byte(variant % 4 / 3)
		if frame.Planar {
			flags |= 2
		}
		add := func(stream []byte) {
			f.Add(stream, byte(frame.Rows), byte(frame.Columns), byte(frame.Samples), byte(frame.BitsAllocated), flags)
		}
		add(stream)
		add(stream[:len(stream)/2])
		add(append(slices.Clone(stream), stream...))
		for at := range min(len(stream), 70) { // its headers: what the decoder refuses
			add(edited(stream, at, stream[at]+byte(1+variant)))
		}
	}
	fuzzFrames(f, syntax)
}

// fuzzFrames is fuzz on the corpus that was added.
func fuzzFrames(f *testing.F, syntax string) {
	f.Fuzz(func(t *testing.T, stream []byte, rows, columns, samples, allocated, flags byte) {
		frame := pixels.Frame{
			Rows: int(rows), Columns: int(columns), Samples: int(samples), BitsAllocated: int(allocated),
			Signed: flags&1 != 0, Planar: flags&2 != 0, Subsampled: flags&4 != 0,
		}
		got, err := pixels.Decode(syntax, frame, stream, nil)
		if err != nil {
			if !errors.Is(err, pixels.ErrCorrupt) && !errors.Is(err, pixels.ErrUnsupported) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		if int64(len(got)) != frame.Size() {
			t.Fatalf("%d bytes of %d", len(got), frame.Size())
		}
		wantDecoded(t, syntax, frame, stream, got)
	})
}

func FuzzRLE(f *testing.F) {
	fuzz(f, rle, func(f pixels.Frame, native []byte, _ int) ([]byte, error) { return encode.RLE(f, native) })
}

func FuzzDeflated(f *testing.F) {
	fuzz(f, deflated, func(_ pixels.Frame, native []byte, _ int) ([]byte, error) { return encode.Deflated(native) })
}

func FuzzJPEGLossless(f *testing.F) {
	fuzz(f, jpegLossless, func(f pixels.Frame, native []byte, variant int) ([]byte, error) {
		return encode.JPEGLossless(f, native, encode.Lossless{
			Predictor: 1 + variant%7, Precision: 7 + variant%2, RestartLines: variant % 3, Separate: variant%4 < 2, LateLines: variant%5 == 0,
		})
	})
}

func FuzzJPEGLSNear(f *testing.F) {
	fuzz(f, jpegLSNear, func(f pixels.Frame, native []byte, variant int) ([]byte, error) {
		return encode.JPEGLS(f, native, encode.LS{
			Precision: 7 + variant%2, Interleave: variant % 3, RestartLines: variant % 4, Near: variant % 4 / 3 * 2,
			Preset: encode.Preset{Reset: variant % 2 * 31},
		})
	})
}

func FuzzJPEGLS(f *testing.F) {
	fuzz(f, jpegLS, func(f pixels.Frame, native []byte, variant int) ([]byte, error) {
		return encode.JPEGLS(f, native, encode.LS{Precision: 7 + variant%2, Interleave: variant % 3, RestartLines: variant % 4})
	})
}

func FuzzJPEGExtended(f *testing.F) {
	for quality := 20; quality <= 100; quality += 40 {
		stream := extendedStream(f, picture(19, 21), quality)
		f.Add(stream, byte(21), byte(19), byte(1), byte(8), byte(quality%3))
		for at := 2; at < len(stream); at += 3 {
			f.Add(edited(stream, at, stream[at]+byte(quality)), byte(21), byte(19), byte(1), byte(8), byte(0))
		}
	}
	colour := coloured(extendedStream(f, picture(16, 8), 90))
	f.Add(colour, byte(8), byte(16), byte(3), byte(8), byte(2))
	f.Add(withRestarts(extendedStream(f, image.NewGray(image.Rect(0, 0, 8, 16)), 90)), byte(16), byte(8), byte(1), byte(8), byte(0))
	fuzzFrames(f, jpegExtended)
}
