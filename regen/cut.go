package regen

import (
	"fmt"
	"io"
	"strconv"

	"github.com/dicomesh/dicomesh/dedup"
)

// cut is native Pixel Data that the archive keeps in one piece: its frames do not begin on bytes (PS3.5 section 8.1.1 puts frames of one bit one after the
// other), or much more follows than frames. Each frame becomes a file of its own that begins on a byte, with zeros behind its last bit.
type cut struct {
	ref    dedup.Ref
	frames int64
	bits   int64 // of a frame
}

// maxCut bounds the frames of one instance that are cut.
const maxCut = 1 << 20

// cut says how an instance's frames are cut; false if they are files in the archive. What is there of a frame that is not whole is none.
func (s *study) cut(i *instance) (cut, bool) {
	if !i.pixels.native() || len(i.pixels.frames) != 1 || i.pixels.tag != tagPixelData {
		return cut{}, false
	}
	c := cut{ref: i.pixels.frames[0], frames: min(i.number(tagFrames, 1), maxCut), bits: i.frameBits()}
	size, err := s.sizeOf(c.ref)
	if err != nil || c.bits == 0 {
		return cut{}, false
	}
	c.frames = min(c.frames, size*8/c.bits)
	return c, c.frames > 0 && (c.frames*c.bits+7)/8 < size || c.frames > 1
}

// number is an attribute's number when it is one that can be a size, else otherwise.
func (i *instance) number(tag dedup.Tag, otherwise int64) int64 {
	n, ok := dedup.Whole(i.merged.Text(tag))
	if !ok || n < 0 || n > 1<<31 {
		return otherwise
	}
	return n
}

// frameBits is the length of a native frame in bits, 0 if it cannot be told.
func (i *instance) frameBits() int64 {
	rows, columns := i.number(tagRows, 0), i.number(tagColumns, 0)
	samples, allocated := i.number(tagSamples, 1), i.number(tagAllocated, 0)
	if rows > 1<<16 || columns > 1<<16 || samples > 255 || allocated > 64 {
		return 0
	}
	bits := rows * columns * samples * allocated
	if i.merged.Text(tagPhotometric) == "YBR_FULL_422" {
		bits = bits / 3 * 2
	}
	return bits
}

const (
	tagSamples     dedup.Tag = 0x00280002
	tagPhotometric dedup.Tag = 0x00280004
	tagFrames      dedup.Tag = 0x00280008
	tagRows        dedup.Tag = 0x00280010
	tagColumns     dedup.Tag = 0x00280011
	tagAllocated   dedup.Tag = 0x00280100
)

// cutPlan are the frames that are cut out of one file.
func (s *study) cutPlan(c cut, dir string) []file {
	var files []file
	for n := range c.frames {
		files = append(files, file{path: dir + "frames/" + strconv.FormatInt(n+1, 10), level: ofInstance, key: fmt.Sprintf("%s/%d/%d", c.ref.Path(), c.bits, n),
			content: func() ([]byte, error) { return s.cutFrame(c, n) }})
	}
	return files
}

// cutFrame reads frame n, from 0.
func (s *study) cutFrame(c cut, n int64) ([]byte, error) {
	in, err := s.source.Bulk(c.ref)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	first := n * c.bits
	buf := make([]byte, (first+c.bits+7)/8-first/8)
	if got, err := in.ReadAt(buf, first/8); err != nil && (err != io.EOF || got < len(buf)) {
		return nil, err
	}
	return alignBits(buf, int(first%8), c.bits), nil
}

// alignBits returns count bits of b from bit shift on; the first pixel is the lowest bit of a byte (PS3.5 section 8.1.1).
func alignBits(b []byte, shift int, count int64) []byte {
	out := make([]byte, (count+7)/8)
	for n := range out {
		out[n] = b[n] >> shift
		if shift > 0 && n+1 < len(b) {
			out[n] |= b[n+1] << (8 - shift)
		}
	}
	if spare := count % 8; spare > 0 {
		out[len(out)-1] &= 1<<spare - 1
	}
	return out
}
