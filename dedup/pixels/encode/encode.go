// Package encode makes compressed frames of native ones, for samples and tests: simple and correct, neither fast nor small.
// Each function is the inverse of pixels.Decode for a transfer syntax, and refuses Frames that pixels.Decode refuses.
package encode

import (
	"bytes"
	"fmt"

	"github.com/klauspost/compress/flate"

	"github.com/dicomesh/dicomesh/dedup/pixels"
)

// check says whether native is a frame f of whole bytes a sample, not subsampled.
func check(f pixels.Frame, native []byte) error {
	if f.Size() < 1 || f.Size() > pixels.MaxSize || f.BitsAllocated%8 != 0 || f.Subsampled {
		return fmt.Errorf("encode %d samples of %d bits: %w", f.Samples, f.BitsAllocated, pixels.ErrUnsupported)
	}
	if int64(len(native)) != f.Size() {
		return fmt.Errorf("encode %d bytes as a frame of %d: %w", len(native), f.Size(), pixels.ErrUnsupported)
	}
	return nil
}

// place is where byte b (0: least significant) of sample s of pixel p stands in the native frame.
func place(f pixels.Frame, p, s, b int) int {
	cell := f.BitsAllocated / 8
	if f.Planar {
		return (s*f.Rows*f.Columns+p)*cell + b
	}
	return (p*f.Samples+s)*cell + b
}

// Deflated encodes a frame for 1.2.840.10008.1.2.8.1 (PS3.5 A.4.13), padded to an even length.
func Deflated(native []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.DefaultCompression)
	if err != nil {
		return nil, fmt.Errorf("deflate: %w", err)
	}
	if _, err := w.Write(native); err != nil {
		return nil, fmt.Errorf("deflate: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("deflate: %w", err)
	}
	return even(out.Bytes()), nil
}

// even pads with one NUL where the length is odd.
func even(stream []byte) []byte {
	if len(stream)%2 != 0 {
		return append(stream, 0)
	}
	return stream
}
