package phantom

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"

	"github.com/dicomesh/dicomesh/dedup/pixels"
	"github.com/dicomesh/dicomesh/dedup/pixels/encode"
)

// encodeFrame is one frame of p in a codec: what goes into fragments.
func encodeFrame(s Syntax, p picture, frame []byte) []byte {
	switch s.Codec {
	case DeflateFrame:
		return deflated(frame)
	case RLE:
		return rle(p, frame)
	case JPEG:
		return jpegFrame(s, p, frame)
	case JPEGLossless:
		return jpegLosslessFrame(s, p, frame)
	case JPEGLS:
		return jpegLSFrame(s, p, frame)
	case JPEGOther:
		return jpegShaped(s, p, frame)
	case JPEG2000, HTJ2K:
		return jpeg2000Shaped(s, p, frame)
	case JPEGXL:
		return jpegXLShaped(s, frame)
	case Video:
		return videoShaped(s, frame)
	}
	return frame
}

// rle is a frame as PS3.5 annex G has it: one segment for each byte of each sample, the most significant first; each row is packed by itself.
func rle(p picture, frame []byte) []byte {
	width := p.allocated / 8
	header := make([]byte, 64)
	binary.LittleEndian.PutUint32(header, uint32(p.samples*width))
	out := header
	for segment := range p.samples * width {
		binary.LittleEndian.PutUint32(out[4+4*segment:], uint32(len(out)))
		plane := rlePlane(p, frame, segment/width, width-1-segment%width)
		for ; len(plane) > 0; plane = plane[p.columns:] {
			out = packBits(out, plane[:p.columns])
		}
		if len(out)%2 == 1 {
			out = append(out, 0)
		}
	}
	return out
}

// rlePlane is byte number place (0 the least significant) of one sample of all pixels.
func rlePlane(p picture, frame []byte, sample, place int) []byte {
	width, pixels := p.allocated/8, p.rows*p.columns
	plane := make([]byte, pixels)
	for i := range plane {
		at := i*p.samples + sample
		if p.planar {
			at = sample*pixels + i
		}
		plane[i] = frame[at*width+place]
	}
	return plane
}

// packBits appends one row: runs of at least three are repeated, all else is literal.
func packBits(out, row []byte) []byte {
	for len(row) > 0 {
		run := 1
		for run < len(row) && run < 128 && row[run] == row[0] {
			run++
		}
		if run >= 3 {
			out, row = append(out, byte(257-run), row[0]), row[run:]
			continue
		}
		literal := 1
		for literal < len(row) && literal < 128 && (literal+2 >= len(row) || row[literal] != row[literal+1] || row[literal] != row[literal+2]) {
			literal++
		}
		out, row = append(append(out, byte(literal-1)), row[:literal]...), row[literal:]
	}
	return out
}

// jpegFrame is a real baseline stream; for JPEG Extended the frame header says so, which 8-bit extended streams differ in alone.
func jpegFrame(s Syntax, p picture, frame []byte) []byte {
	var out bytes.Buffer
	if err := jpeg.Encode(&out, p.image(frame), &jpeg.Options{Quality: 90}); err != nil {
		panic(fmt.Sprintf("JPEG into memory: %v", err)) // memory takes every write, and no picture here is too large
	}
	b := out.Bytes()
	if at := bytes.Index(b, []byte{0xFF, 0xC0}); s.UID != jpegBaseline && at > 0 {
		b[at+1] = 0xC1
	}
	return b
}

// image is an 8-bit frame for the standard library's encoders.
func (p picture) image(frame []byte) image.Image {
	bounds := image.Rect(0, 0, p.columns, p.rows)
	if p.samples == 1 {
		return &image.Gray{Pix: frame, Stride: p.columns, Rect: bounds}
	}
	m := image.NewRGBA(bounds)
	for i := range p.rows * p.columns {
		m.SetRGBA(i%p.columns, i/p.columns, color.RGBA{frame[3*i], frame[3*i+1], frame[3*i+2], 255})
	}
	return m
}

// layout is what the frame encoders want to know of p.
func (p picture) layout() pixels.Frame {
	return pixels.Frame{Rows: p.rows, Columns: p.columns, Samples: p.samples, BitsAllocated: p.allocated, Signed: p.signed, Planar: p.planar}
}

// jpegLosslessFrame is a real stream, with the first predictor where the syntax asks for it.
func jpegLosslessFrame(s Syntax, p picture, frame []byte) []byte {
	o := encode.Lossless{Predictor: 4, Precision: p.stored}
	if s.UID == jpegLossless {
		o.Predictor = 1
	}
	out, err := encode.JPEGLossless(p.layout(), frame, o)
	if err != nil {
		panic(fmt.Sprintf("JPEG lossless of a catalogue's picture: %v", err)) // no picture here is one that it refuses
	}
	return out
}

// jpegLSFrame is a real stream; in the near-lossless syntax samples may be off by two.
func jpegLSFrame(s Syntax, p picture, frame []byte) []byte {
	o := encode.LS{Precision: p.stored}
	if s.UID != jpegLS {
		o.Near = 2
	}
	out, err := encode.JPEGLS(p.layout(), frame, o)
	if err != nil {
		panic(fmt.Sprintf("JPEG-LS of a catalogue's picture: %v", err)) // no picture here is one that it refuses
	}
	return out
}

// marker is a JPEG marker segment.
func marker(code byte, payload ...byte) []byte {
	return append([]byte{0xFF, code, byte((len(payload) + 2) >> 8), byte(len(payload) + 2)}, payload...)
}

// stuffed is payload with a zero after each FF, so that no marker stands in it.
func stuffed(payload []byte) []byte {
	return bytes.ReplaceAll(payload, []byte{0xFF}, []byte{0xFF, 0})
}

// jpegShaped has start, frame header, scan header, entropy-coded bytes and end of a JPEG or JPEG-LS stream; it decodes to nothing.
func jpegShaped(s Syntax, p picture, frame []byte) []byte {
	sof := byte(0xC2)
	if s.Codec == JPEGLS {
		sof = 0xF7
	}
	out := []byte{0xFF, 0xD8}
	out = append(out, marker(sof, byte(p.stored), 0, byte(p.rows), 0, byte(p.columns), 1, 1, 0x11, 0)...)
	out = append(out, marker(0xDA, 1, 1, 0, 1, 0, 0)...)
	out = append(out, stuffed(fill(s.UID+string(frame), len(frame)/2))...)
	return append(out, 0xFF, 0xD9)
}

// jpeg2000Shaped has SOC, SIZ, SOT, SOD, packets and EOC.
func jpeg2000Shaped(s Syntax, p picture, frame []byte) []byte {
	siz := make([]byte, 36)
	binary.BigEndian.PutUint32(siz[2:], uint32(p.columns))
	binary.BigEndian.PutUint32(siz[6:], uint32(p.rows))
	siz[35] = byte(p.samples)
	for range p.samples {
		siz = append(siz, byte(p.stored-1), 1, 1)
	}
	out := append([]byte{0xFF, 0x4F}, marker(0x51, siz...)...)
	if s.Codec == HTJ2K {
		out = append(out, marker(0x50, 0, 2, 0, 0, 0, 0)...)
	}
	out = append(out, marker(0x90, 0, 0, 0, 0, 0, 0, 0, 1)...)
	out = append(out, 0xFF, 0x93)
	out = append(out, stuffed(fill(s.UID+string(frame), len(frame)/2))...)
	return append(out, 0xFF, 0xD9)
}

// jpegXLShaped is a bare codestream, or for recompressed JPEG the container that it needs.
func jpegXLShaped(s Syntax, frame []byte) []byte {
	body := fill(s.UID+string(frame), len(frame)/2)
	if s.UID != "1.2.840.10008.1.2.4.111" {
		return append([]byte{0xFF, 0x0A}, body...)
	}
	out := []byte("\x00\x00\x00\x0CJXL \x0D\x0A\x87\x0A\x00\x00\x00\x14ftypjxl \x00\x00\x00\x00jxl ")
	out = binary.BigEndian.AppendUint32(out, uint32(len(body)+8))
	return append(append(out, "jxlc"...), body...)
}

// videoShaped is one stream: MPEG-2 with sequence start and end codes, else an MP4 file with its two boxes.
func videoShaped(s Syntax, frame []byte) []byte {
	body := fill(s.UID+string(frame), 1500)
	if s.Name[:5] == "MPEG2" || s.Name == "Fragmentable MPEG2 MP@ML" || s.Name == "Fragmentable MPEG2 MP@HL" {
		return append(append([]byte{0, 0, 1, 0xB3}, body...), 0, 0, 1, 0xB7)
	}
	out := []byte("\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp42")
	out = binary.BigEndian.AppendUint32(out, uint32(len(body)+8))
	return append(append(out, "mdat"...), body...)
}
