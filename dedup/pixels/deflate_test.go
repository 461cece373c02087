package pixels_test

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/dicomesh/dicomesh/dedup/pixels"
	"github.com/dicomesh/dicomesh/dedup/pixels/encode"
)

func TestDeflatedRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawFrame(t, 1, 8, 12, 16, 32, 64)
		native := rapid.SliceOfN(rapid.Byte(), int(f.Size()), int(f.Size())).Draw(t, "native")
		stream, err := encode.Deflated(native)
		if err != nil {
			t.Fatal(err)
		}
		if len(stream)%2 != 0 {
			t.Fatalf("length %d is odd", len(stream))
		}
		wantDecoded(t, deflated, f, stream, native)
		wantShortRefused(t, deflated, f, stream[:rapid.IntRange(0, len(stream)-3).Draw(t, "cut")], native)
	})
}

func TestDeflatedHoldsExactlyTheFrame(t *testing.T) {
	f := pixels.Frame{Rows: 3, Columns: 3, Samples: 1, BitsAllocated: 1} // nine bits: two bytes
	for n := range 5 {
		stream, err := encode.Deflated(make([]byte, n))
		if err != nil {
			t.Fatal(err)
		}
		got, err := pixels.Decode(deflated, f, stream, nil)
		if n == 2 && (err != nil || !bytes.Equal(got, []byte{0, 0})) || n != 2 && !errors.Is(err, pixels.ErrCorrupt) {
			t.Errorf("%d bytes: %x, %v", n, got, err)
		}
	}
}
