package thumbnail

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"strconv"

	"github.com/dicomesh/dicomesh/dedup"
)

// numbers are an attribute's values of 16 bits, however it holds them.
func (d Dataset) numbers(o dedup.Object, tag dedup.Tag) ([]int, error) {
	e, ok := o.Find(tag)
	if !ok {
		return nil, fmt.Errorf("no %s", tag)
	}
	a, err := e.Attribute()
	if err != nil {
		return nil, err
	}
	data := a.InlineBinary
	if a.BulkDataURI != "" {
		if data, err = d.Bulk(a.BulkDataURI); err != nil {
			return nil, err
		}
	}
	var out []int
	for _, v := range a.Value {
		n, err := strconv.Atoi(string(v))
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	for ; len(data) >= 2; data = data[2:] {
		out = append(out, int(binary.LittleEndian.Uint16(data)))
	}
	return out, nil
}

// palette is the picture of a frame of indices (PS3.3 C.7.6.3.1.5 and .6).
func (d Dataset) palette(l *layout) (image.Image, error) {
	var tables [3]*table
	for c := range tables {
		var err error
		if tables[c], err = d.table(d.Object, 0x00281101+dedup.Tag(c), 0x00281201+dedup.Tag(c)); err != nil {
			return nil, err
		}
		tables[c].widen()
	}
	out := l.shrinker(3)
	for y := range l.frame.Rows {
		for x := range l.frame.Columns {
			v := l.value(l.raw(y*l.frame.Columns + x))
			for c, t := range tables {
				out.row[3*x+c] = t.eight(v)
			}
		}
		out.add()
	}
	return out.image(), nil
}

// widen mends a palette that says 16 bits and holds 8, which some do.
func (t *table) widen() {
	for _, v := range t.data {
		if v > 255 {
			return
		}
	}
	t.top = 255
}

// jpegPicture decodes frames of JPEG with samples of 8 bits. It is false for other syntaxes.
func jpegPicture(d Dataset, l *layout, frame []byte) (image.Image, bool, error) {
	if d.Syntax != jpegBaseline && d.Syntax != jpegExtended {
		return nil, false, nil
	}
	if d.Syntax == jpegExtended && l.frame.BitsAllocated > 8 {
		return nil, false, nil
	}
	header, err := jpeg.DecodeConfig(bytes.NewReader(frame))
	if err != nil {
		return nil, false, err
	}
	if header.Width != l.frame.Columns || header.Height != l.frame.Rows {
		return nil, false, fmt.Errorf("a stream of %d by %d for %d by %d", header.Width, header.Height, l.frame.Columns, l.frame.Rows)
	}
	if scans := bytes.Count(frame, []byte{0xFF, 0xDA}); int64(scans)*int64(header.Width)*int64(header.Height) > maxWork {
		return nil, false, fmt.Errorf("%d scans of %d by %d", scans, header.Width, header.Height)
	}
	whole, err := jpeg.Decode(bytes.NewReader(frame))
	if err != nil {
		return nil, false, err
	}
	if grey, is := whole.(*image.Gray); is {
		r, err := d.greyJPEG(l, grey)
		return r, true, err
	}
	return l.colourJPEG(whole), true, nil
}

// maxWork bounds a progressive stream's scans: the decoder passes over all pixels for each, which may be ten bytes long. Real streams have some ten.
const maxWork int64 = 1 << 31

// greyJPEG windows a decoded frame as any other.
func (d Dataset) greyJPEG(l *layout, p *image.Gray) (image.Image, error) {
	l.native = make([]byte, 0, l.frame.Rows*l.frame.Columns)
	for y := range l.frame.Rows {
		l.native = append(l.native, p.Pix[y*p.Stride:y*p.Stride+l.frame.Columns]...)
	}
	l.frame.BitsAllocated, l.frame.Signed, l.stored, l.shift = 8, false, 8, 0
	if l.photometric == "PALETTE COLOR" {
		return d.palette(l)
	}
	return d.grey(l)
}

// colourJPEG takes a decoded frame over. Without a marker that says otherwise decoders take three components for YCbCr; in DICOM Photometric
// Interpretation says what they are.
func (l *layout) colourJPEG(p image.Image) image.Image {
	b, rgb := p.Bounds(), l.photometric == "RGB"
	out := l.shrinker(3)
	ycc, isYCC := p.(*image.YCbCr)
	for y := range b.Dy() {
		for x := range b.Dx() {
			to := out.row[3*x:]
			if isYCC {
				c := ycc.YCbCrAt(b.Min.X+x, b.Min.Y+y)
				to[0], to[1], to[2] = c.Y, c.Cb, c.Cr
				if !rgb {
					to[0], to[1], to[2] = color.YCbCrToRGB(c.Y, c.Cb, c.Cr)
				}
				continue
			}
			red, green, blue, _ := p.At(b.Min.X+x, b.Min.Y+y).RGBA()
			to[0], to[1], to[2] = byte(red>>8), byte(green>>8), byte(blue>>8)
		}
		out.add()
	}
	return out.image()
}
