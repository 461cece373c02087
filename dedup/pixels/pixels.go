// Package pixels turns one compressed frame into the bytes that native little-endian Pixel Data would hold for it (PS3.5 section 8).
//
// The SHA-256 of those bytes is the name of a frame in the archive, for the transfer syntaxes that Lossless lists. So what this package
// returns, and for which streams it returns an error, is part of format version 1: a change here renames frames. The rules:
//
//   - The result has exactly Frame.Size bytes. Samples are little-endian; they are interleaved by pixel, or by plane when the dataset says
//     so. No colour is converted, whatever APP segments say.
//   - A sample of a JPEG or JPEG-LS stream is an unsigned number of P bits (P: the stream's precision, which may differ from Bits Stored).
//     It fills the low P bits of its cell. The bits above are zero when Pixel Representation is 0, and copies of bit P-1 when it is 1: what
//     a native file of the same image holds, because signed samples are stored with their sign extended. High Bit plays no part.
//   - The stream must agree with the dataset in rows, columns and samples, and P must fit into Bits Allocated.
//   - What follows the coded image (after the end of the deflate stream, after EOI, after the last byte of an RLE segment's image) is not
//     looked at. A stream that ends before its image does, EOI included, is an error.
//
// Decoders trust nothing: for any input they end, in time and memory bounded by the sizes of frame and stream, without a panic.
package pixels

import (
	"errors"
	"fmt"
)

// MaxSize is the size in bytes of the largest frame that is decoded.
const MaxSize = 256 << 20

var (
	// ErrCorrupt says that the stream breaks its own format, ends early or contradicts the Frame. Its pixels cannot be known.
	ErrCorrupt = errors.New("corrupt frame")
	// ErrUnsupported says that the syntax, the Frame or a feature of the stream is none that this package decodes.
	ErrUnsupported = errors.New("frame that is not decoded")
)

// The transfer syntaxes that Decode knows (PS3.6 table A-1).
const (
	syntaxRLE            = "1.2.840.10008.1.2.5"
	syntaxDeflated       = "1.2.840.10008.1.2.8.1"
	syntaxJPEGExtended   = "1.2.840.10008.1.2.4.51"
	syntaxJPEGLossless   = "1.2.840.10008.1.2.4.57"
	syntaxJPEGLosslessP1 = "1.2.840.10008.1.2.4.70"
	syntaxJPEGLS         = "1.2.840.10008.1.2.4.80"
	syntaxJPEGLSNear     = "1.2.840.10008.1.2.4.81"
)

// Frame is what a dataset's Image Pixel module says of each of its frames (PS3.3 C.7.6.3).
type Frame struct {
	Rows, Columns int
	Samples       int // per pixel
	BitsAllocated int
	Signed        bool // Pixel Representation is 1
	Planar        bool // Planar Configuration is 1
	Subsampled    bool // Photometric Interpretation is YBR_FULL_422 or YBR_PARTIAL_422: four samples for two pixels
}

// Size is the length in bytes of the native frame, without padding to an even length. It is 0 for a Frame that no dataset can mean:
// an empty one, or one beyond the ranges of its attributes.
func (f Frame) Size() int64 {
	if !within(f.Rows, 65535) || !within(f.Columns, 65535) || !within(f.Samples, 255) || !within(f.BitsAllocated, 64) {
		return 0
	}
	samples := int64(f.Rows) * int64(f.Columns) * int64(f.Samples)
	if f.Subsampled {
		if f.Samples != 3 || f.Columns%2 != 0 {
			return 0
		}
		samples = samples / 3 * 2
	}
	return (samples*int64(f.BitsAllocated) + 7) / 8
}

func within(n, most int) bool { return n >= 1 && n <= most }

// cell is the length in bytes of one sample, 0 when samples are no whole bytes.
func (f Frame) cell() int {
	if f.BitsAllocated%8 != 0 {
		return 0
	}
	return f.BitsAllocated / 8
}

// layout says where sample s of the first pixel stands in the native frame, and how far it is to that sample of the next pixel, in bytes.
func (f Frame) layout(s int) (offset, stride int) {
	if f.Planar {
		return s * f.Rows * f.Columns * f.cell(), f.cell()
	}
	return s * f.cell(), f.Samples * f.cell()
}

// Lossless says whether format version 1 names frames of this encapsulated transfer syntax by their pixels.
func Lossless(syntax string) bool {
	switch syntax {
	case syntaxRLE, syntaxDeflated, syntaxJPEGLossless, syntaxJPEGLosslessP1, syntaxJPEGLS:
		return true
	}
	return false
}

// Decode returns the native form of the frame that stream holds in a transfer syntax: f.Size() bytes, in dst's memory if its capacity is
// enough. Errors satisfy errors.Is(err, ErrCorrupt) or errors.Is(err, ErrUnsupported); after one, the content of dst is undefined.
func Decode(syntax string, f Frame, stream, dst []byte) ([]byte, error) {
	c, ok := codecOf(syntax)
	if !ok {
		return nil, fmt.Errorf("transfer syntax %.64q: %w", syntax, ErrUnsupported)
	}
	size := f.Size()
	if size < 1 || size > MaxSize {
		return nil, fmt.Errorf("%dx%d with %d samples of %d bits: %w", f.Columns, f.Rows, f.Samples, f.BitsAllocated, ErrUnsupported)
	}
	if size/c.expansion > int64(len(stream)) {
		return nil, fmt.Errorf("%s stream of %d bytes for a frame of %d: %w", c.name, len(stream), size, ErrCorrupt)
	}
	if int64(cap(dst)) < size {
		dst = make([]byte, size)
	}
	dst = dst[:size]
	if err := c.decode(f, stream, dst); err != nil {
		return nil, fmt.Errorf("%s frame: %w", c.name, err)
	}
	return dst, nil
}

// Decodes reports whether Decode knows a transfer syntax.
func Decodes(syntax string) bool {
	_, ok := codecOf(syntax)
	return ok
}

// A codec decodes one family of streams.
type codec struct {
	name string
	// expansion bounds how many bytes of a frame one byte of stream can stand for, so that a short lie allocates nothing.
	expansion int64
	// decode fills dst, which has f.Size() bytes, or returns an error.
	decode func(f Frame, stream, dst []byte) error
}

func codecOf(syntax string) (codec, bool) {
	switch syntax {
	case syntaxRLE:
		return codec{"RLE", 64, decodeRLE}, true // 128 bytes for 2
	case syntaxDeflated:
		return codec{"deflated", 1040, decodeDeflated}, true // 258 bytes for 2 bits, and some
	case syntaxJPEGExtended:
		return codec{"JPEG extended", 1024, decodeExtended}, true // two bits can be a block
	case syntaxJPEGLossless, syntaxJPEGLosslessP1:
		return codec{"JPEG lossless", 64, decodeLossless}, true // 8 bytes for 1 bit
	case syntaxJPEGLS:
		return codec{"JPEG-LS", MaxSize, decodeJLS}, true // one bit can be a line
	case syntaxJPEGLSNear:
		return codec{"JPEG-LS near-lossless", MaxSize, decodeJLSNear}, true
	}
	return codec{}, false
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, ErrCorrupt)...)
}

func unsupported(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, ErrUnsupported)...)
}
