// Package thumbnail makes a small JPEG of one frame: what a list of series shows.
//
// A frame is decoded, windowed (PS3.3 C.11) and made smaller by averaging, in integers, so that all machines make the same picture of the same frame.
// Frames come from anywhere: whatever is wrong with one costs its picture, which is then a grey card, and nothing else. Frames of more than MaxFrame bytes or MaxPixels pixels
// are not decoded, nor streams that pass over their pixels again and again, so time and memory are bounded; by sizes and not by a clock, because all machines
// have to come to the same picture.
package thumbnail

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/pixels"
)

const (
	// Size is the longer side of a thumbnail at most, in pixels. Frames of less than half of 128 are enlarged, others up to Size stay as they are.
	Size = 256
	// MaxFrame is the size in bytes of the largest frame that is decoded.
	MaxFrame = 128 << 20
	// MaxPixels is how many pixels a frame may have that is decoded: 8,192 by 8,192.
	MaxPixels = 1 << 26
	least     = 128 // of which smaller frames are made
	quality   = 85
)

// ErrNoPicture says that nothing here can make a picture of a frame: its syntax is not decoded here, or it is not what its attributes say.
var ErrNoPicture = errors.New("no picture of this frame")

// Dataset is what a thumbnail needs to know of an instance.
type Dataset struct {
	// Object has the instance's attributes, sequences in place.
	Object dedup.Object
	// Bulk reads a value that Object refers to by that URI.
	Bulk func(uri string) ([]byte, error)
	// Syntax is the transfer syntax of the frame, an uncompressed one for native frames.
	Syntax string
	// Frame is the number of the frame, from 0.
	Frame int
	// Float is the VR of the pixels when they are no integers: OF or OD.
	Float string

	whole  bool   // the picture keeps all pixels
	window window // in place of what Object says; its width is 0 where it is not given
}

// Make makes a thumbnail of a frame, which is as the archive has it. Whatever is wrong satisfies errors.Is(err, ErrNoPicture); then Neutral does.
func Make(d Dataset, frame []byte) (out []byte, err error) {
	defer func() {
		if r := recover(); r != nil { // a decoder of a library that stumbles over a frame
			out, err = nil, fmt.Errorf("panic: %v: %w", r, ErrNoPicture)
		}
	}()
	p, err := d.picture(frame)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoPicture, err)
	}
	return encode(p)
}

func encode(p image.Image) ([]byte, error) {
	var out bytes.Buffer
	if err := jpeg.Encode(&out, p, &jpeg.Options{Quality: quality}); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// Neutral is the picture for frames of which there is none: a grey card with a frame.
func Neutral() ([]byte, error) {
	const side = 128
	card := image.NewGray(image.Rect(0, 0, side, side))
	for y := range side {
		for x := range side {
			edge := min(x, y, side-1-x, side-1-y)
			shade := uint8(96)
			if edge >= 8 && edge < 12 {
				shade = 160
			}
			card.SetGray(x, y, color.Gray{Y: shade})
		}
	}
	return encode(card)
}

// picture decodes, windows and shrinks.
func (d Dataset) picture(frame []byte) (image.Image, error) {
	l := newLayout(d)
	if size := l.frame.Size(); size < 1 || size > MaxFrame || int64(l.frame.Columns)*int64(l.frame.Rows) > MaxPixels {
		return nil, fmt.Errorf("%d by %d with %d samples of %d bits", l.frame.Columns, l.frame.Rows, l.frame.Samples, l.frame.BitsAllocated)
	}
	if p, ok, err := jpegPicture(d, l, frame); ok || err != nil {
		return p, err
	}
	native := frame
	if !uncompressed(d.Syntax) {
		var err error
		if native, err = pixels.Decode(d.Syntax, l.frame, frame, nil); err != nil {
			return nil, err
		}
	}
	if int64(len(native)) < l.frame.Size() {
		return nil, fmt.Errorf("%d bytes of %d", len(native), l.frame.Size())
	}
	l.native = native
	if l.frame.Samples == 3 {
		return l.colours(), nil
	}
	if l.frame.Samples != 1 {
		return nil, fmt.Errorf("%d samples", l.frame.Samples)
	}
	if l.photometric == "PALETTE COLOR" {
		return d.palette(l)
	}
	return d.grey(l)
}

// Decodes reports whether frames of a transfer syntax are decoded here at all; of each that is there may still be no picture.
func Decodes(syntax string) bool {
	return uncompressed(syntax) || syntax == jpegBaseline || pixels.Decodes(syntax)
}

// The JPEG syntaxes of 8 bits.
const (
	jpegBaseline = "1.2.840.10008.1.2.4.50"
	jpegExtended = "1.2.840.10008.1.2.4.51"
)

// uncompressed reports whether frames of a syntax are native, also where each is in a fragment of its own (PS3.5 section A.4.11).
func uncompressed(syntax string) bool {
	switch syntax {
	case "", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.1.98":
		return true
	}
	return false
}
