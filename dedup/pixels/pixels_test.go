package pixels_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/dicomesh/dicomesh/dedup/pixels"
	"github.com/dicomesh/dicomesh/dedup/pixels/encode"
)

const (
	rle          = "1.2.840.10008.1.2.5"
	deflated     = "1.2.840.10008.1.2.8.1"
	jpegLossless = "1.2.840.10008.1.2.4.57"
	jpegFirst    = "1.2.840.10008.1.2.4.70"
	jpegLS       = "1.2.840.10008.1.2.4.80"
	jpegLSNear   = "1.2.840.10008.1.2.4.81"
)

// drawFrame draws a small Frame with one of these bits allocated.
func drawFrame(t *rapid.T, bits ...int) pixels.Frame {
	return pixels.Frame{
		Rows: rapid.IntRange(1, 20).Draw(t, "rows"), Columns: rapid.IntRange(1, 40).Draw(t, "columns"),
		Samples:       rapid.SampledFrom([]int{1, 3}).Draw(t, "samples"),
		BitsAllocated: rapid.SampledFrom(bits).Draw(t, "allocated"),
		Planar:        rapid.Bool().Draw(t, "planar"), Signed: rapid.Bool().Draw(t, "signed"),
	}
}

// drawNative draws a native frame whose samples have depth bits, as the Frame's sign extends them: noise, a gradient, extremes, or one value.
func drawNative(t *rapid.T, f pixels.Frame, depth int) []byte {
	kind := rapid.SampledFrom([]string{"noise", "gradient", "extremes", "flat", "sparse"}).Draw(t, "kind")
	seed := rapid.Uint64().Draw(t, "seed")
	cell := f.BitsAllocated / 8
	native := make([]byte, f.Size())
	for i := range len(native) / cell {
		seed = seed*6364136223846793005 + 1442695040888963407
		v := seed >> 20
		switch kind {
		case "gradient":
			v = uint64(i/f.Samples%f.Columns*5+i/f.Samples/f.Columns*3) + v%3
		case "extremes":
			v = -(v & 1)
		case "flat":
			v = 1
		case "sparse":
			v = v >> 3 * ((v&7 + 1) >> 3)
		}
		put(native[i*cell:(i+1)*cell], v, depth, f.Signed)
	}
	return native
}

// put writes the low depth bits of v to a cell, sign-extended if signed.
func put(cell []byte, v uint64, depth int, signed bool) {
	v <<= 64 - depth
	if signed {
		v = uint64(int64(v) >> (64 - depth))
	} else {
		v >>= 64 - depth
	}
	for b := range cell {
		cell[b] = byte(v >> (8 * b))
	}
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func wantDecoded(t fataler, syntax string, f pixels.Frame, stream, want []byte) {
	t.Helper()
	dst := bytes.Repeat([]byte{0xa5}, len(want)) // what was there must not shine through
	got, err := pixels.Decode(syntax, f, stream, dst)
	if err != nil {
		t.Fatalf("decode %+v: %v", f, err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("decode %+v: got\n%x, want\n%x", f, got, want)
	}
	if &got[0] != &dst[0] {
		t.Fatalf("decode did not use the memory it was given")
	}
}

// wantShortRefused checks that a stream cut short is an error, or (only padding was cut) still gives the same frame.
func wantShortRefused(t fataler, syntax string, f pixels.Frame, cut, native []byte) {
	t.Helper()
	got, err := pixels.Decode(syntax, f, cut, nil)
	if err == nil && !bytes.Equal(got, native) {
		t.Fatalf("a stream cut to %d bytes gave another frame", len(cut))
	}
	if err != nil && !errors.Is(err, pixels.ErrCorrupt) {
		t.Fatalf("a stream cut to %d bytes: %v", len(cut), err)
	}
}

func TestSize(t *testing.T) {
	for _, c := range []struct {
		f    pixels.Frame
		want int64
	}{
		{pixels.Frame{Rows: 512, Columns: 256, Samples: 1, BitsAllocated: 16}, 512 * 256 * 2},
		{pixels.Frame{Rows: 3, Columns: 5, Samples: 3, BitsAllocated: 8}, 45},
		{pixels.Frame{Rows: 3, Columns: 3, Samples: 1, BitsAllocated: 1}, 2},
		{pixels.Frame{Rows: 3, Columns: 4, Samples: 3, BitsAllocated: 8, Subsampled: true}, 24},
		{pixels.Frame{Rows: 3, Columns: 5, Samples: 3, BitsAllocated: 8, Subsampled: true}, 0},
		{pixels.Frame{Rows: 3, Columns: 4, Samples: 1, BitsAllocated: 8, Subsampled: true}, 0},
		{pixels.Frame{Rows: 65535, Columns: 65535, Samples: 255, BitsAllocated: 64}, 65535 * 65535 * 255 * 8},
		{pixels.Frame{Rows: 65536, Columns: 1, Samples: 1, BitsAllocated: 8}, 0},
		{pixels.Frame{Rows: 1, Columns: -1, Samples: 1, BitsAllocated: 8}, 0},
		{pixels.Frame{Rows: 1, Columns: 1, Samples: 0, BitsAllocated: 8}, 0},
		{pixels.Frame{Rows: 1, Columns: 1, Samples: 1, BitsAllocated: 65}, 0},
	} {
		if got := c.f.Size(); got != c.want {
			t.Errorf("%+v: %d, want %d", c.f, got, c.want)
		}
	}
}

func TestDecodeRefusesWhatItCannotHold(t *testing.T) {
	stream := make([]byte, 100)
	small := pixels.Frame{Rows: 1, Columns: 1, Samples: 1, BitsAllocated: 8}
	if _, err := pixels.Decode("1.2.840.10008.1.2.4.90", small, stream, nil); !errors.Is(err, pixels.ErrUnsupported) {
		t.Errorf("a syntax that is not decoded: %v", err)
	}
	for _, f := range []pixels.Frame{{}, {Rows: 32768, Columns: 16384, Samples: 1, BitsAllocated: 8}} {
		if _, err := pixels.Decode(rle, f, stream, nil); !errors.Is(err, pixels.ErrUnsupported) {
			t.Errorf("%+v: %v", f, err)
		}
	}
	large := pixels.Frame{Rows: 16384, Columns: 16384, Samples: 1, BitsAllocated: 8}
	for _, syntax := range []string{rle, deflated} {
		allocated := testing.AllocsPerRun(1, func() {
			if _, err := pixels.Decode(syntax, large, stream, nil); !errors.Is(err, pixels.ErrCorrupt) {
				t.Errorf("%s: a stream of 100 bytes for 256 MiB: %v", syntax, err)
			}
		})
		if allocated > 20 {
			t.Errorf("%s: %v allocations", syntax, allocated)
		}
	}
}

// TestLossless is format version 1's table: it must never change.
func TestLossless(t *testing.T) {
	for syntax, want := range map[string]bool{
		rle: true, deflated: true, jpegLossless: true, jpegFirst: true, jpegLS: true, jpegLSNear: false,
		"1.2.840.10008.1.2.1": false, "1.2.840.10008.1.2.4.50": false, "1.2.840.10008.1.2.4.90": false, "": false,
	} {
		if pixels.Lossless(syntax) != want {
			t.Errorf("Lossless(%q) is %t", syntax, !want)
		}
	}
}

// TestCells is the rule of how a sample of P bits fills a cell. It is part of format version 1.
func TestCells(t *testing.T) {
	for _, c := range []struct {
		precision, allocated int
		sample               uint64
		unsigned, signed     string
	}{
		{8, 8, 0x80, "80", "80"},
		{7, 8, 0x40, "40", "c0"},
		{8, 16, 0x80, "8000", "80ff"},
		{8, 16, 0x7f, "7f00", "7f00"},
		{12, 16, 0xfff, "ff0f", "ffff"},
		{12, 16, 0x7ff, "ff07", "ff07"},
		{16, 16, 0x8001, "0180", "0180"},
		{12, 32, 0x801, "01080000", "01f8ffff"},
		{16, 32, 0x8001, "01800000", "0180ffff"},
		{16, 64, 0x8001, "0180000000000000", "0180ffffffffffff"},
	} {
		f := pixels.Frame{Rows: 1, Columns: 1, Samples: 1, BitsAllocated: c.allocated}
		native := make([]byte, f.Size())
		put(native, c.sample, c.precision, false)
		lossless, err := encode.JPEGLossless(f, native, encode.Lossless{Precision: c.precision})
		if err != nil {
			t.Fatal(err)
		}
		ls, err := encode.JPEGLS(f, native, encode.LS{Precision: c.precision})
		if err != nil {
			t.Fatal(err)
		}
		for syntax, stream := range map[string][]byte{jpegLossless: lossless, jpegLS: ls} {
			for signed, want := range map[bool]string{false: c.unsigned, true: c.signed} {
				f.Signed = signed
				got, err := pixels.Decode(syntax, f, stream, nil)
				if err != nil || hex.EncodeToString(got) != want {
					t.Errorf("%s: %d bits in %d, signed %t: %x, %v; want %s", syntax, c.precision, c.allocated, signed, got, err, want)
				}
			}
		}
	}
}
