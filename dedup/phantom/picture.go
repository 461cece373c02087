package phantom

import (
	"crypto/sha256"
	"encoding/binary"
	"math/big"
	"strconv"
	"strings"
)

// UID is a UID under 2.25 that is made of a hash of parts: the same parts, the same UID.
func UID(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "/")))
	return "2.25." + new(big.Int).SetBytes(sum[:16]).String()
}

// noise is a small generator of bits that never change between releases of anything (splitmix64).
type noise uint64

func (n *noise) next() uint64 {
	*n += 0x9E3779B97F4A7C15
	z := uint64(*n)
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// fill is n bytes that gzip cannot shrink, a function of the seed.
func fill(seed string, n int) []byte {
	sum := sha256.Sum256([]byte(seed))
	source := noise(binary.LittleEndian.Uint64(sum[:]))
	out := make([]byte, 0, n+8)
	for len(out) < n {
		out = binary.LittleEndian.AppendUint64(out, source.next())
	}
	return out[:n]
}

// picture is what the Image Pixel module says of the pixels of a case.
type picture struct {
	rows, columns, frames int
	samples               int // 1 or 3
	allocated, stored     int
	signed, planar        bool
	photometric           string
}

// gray8, gray16 and rgb are the pictures that most cases have.
func gray8() picture {
	return picture{rows: 16, columns: 12, frames: 1, samples: 1, allocated: 8, stored: 8, photometric: "MONOCHROME2"}
}

func gray16() picture {
	return picture{rows: 16, columns: 12, frames: 1, samples: 1, allocated: 16, stored: 12, photometric: "MONOCHROME2"}
}

func rgb() picture {
	return picture{rows: 10, columns: 14, frames: 1, samples: 3, allocated: 8, stored: 8, photometric: "RGB"}
}

// of is p with another number of frames.
func (p picture) of(frames int) picture {
	p.frames = frames
	return p
}

// elements describe the picture, without Pixel Data. Number of Frames stands there when there are several.
func (p picture) elements() []Element {
	e := []Element{
		Numbers(0x00280002, "US", uint16(p.samples)),
		Text(0x00280004, "CS", p.photometric),
		Numbers(0x00280010, "US", uint16(p.rows)),
		Numbers(0x00280011, "US", uint16(p.columns)),
		Numbers(0x00280100, "US", uint16(p.allocated)),
		Numbers(0x00280101, "US", uint16(p.stored)),
		Numbers(0x00280102, "US", uint16(p.stored-1)),
		Numbers(0x00280103, "US", bit(p.signed)),
	}
	if p.samples > 1 {
		e = with(e, Numbers(0x00280006, "US", bit(p.planar)))
	}
	if p.frames != 1 {
		e = with(e, Text(0x00280008, "IS", strconv.Itoa(p.frames)))
	}
	return e
}

func bit(b bool) uint16 {
	if b {
		return 1
	}
	return 0
}

// native are the frames as little-endian native Pixel Data has them: a gradient, a disc that grows from frame to frame and a little noise.
func (p picture) native() [][]byte {
	source := noise(p.rows*1000 + p.columns*100 + p.allocated)
	var frames [][]byte
	for f := range p.frames {
		var out []byte
		for i := range p.rows * p.columns * p.samples {
			pixel, sample := i/p.samples, i%p.samples
			if p.planar {
				pixel, sample = i%(p.rows*p.columns), i/(p.rows*p.columns)
			}
			out = p.appendSample(out, p.sample(pixel, sample, f)+source.next()%2)
		}
		frames = append(frames, out)
	}
	return frames
}

// sample is one value of the stored bits, noise not counted.
func (p picture) sample(pixel, sample, frame int) uint64 {
	y, x := pixel/p.columns, pixel%p.columns
	top := uint64(1)<<p.stored - 1
	v := uint64(x+y+sample*3) * (top / uint64(p.rows+p.columns+8))
	dy, dx := y-p.rows/2, x-p.columns/2
	if dy*dy+dx*dx < (3+frame)*(3+frame) {
		v = top / 2
	}
	return v
}

// appendSample adds one value in the allocated bits, cut to the stored ones and sign-extended where they are signed.
func (p picture) appendSample(out []byte, v uint64) []byte {
	v &= 1<<p.stored - 1
	if p.signed && v>>(p.stored-1) == 1 {
		v |= ^uint64(0) << p.stored
	}
	word := binary.LittleEndian.AppendUint64(nil, v)
	return append(out, word[:p.allocated/8]...)
}

// nativeElement is Pixel Data of these frames, padded to an even length.
func (p picture) nativeElement(frames [][]byte) Element {
	e := Element{Tag: pixelData, VR: "OW", Unit: 2}
	if p.allocated <= 8 {
		e.VR, e.Unit = "OB", 1
	}
	for _, f := range frames {
		e.Value = append(e.Value, f...)
	}
	if len(e.Value)%2 == 1 {
		e.Value = append(e.Value, 0)
	}
	return e
}
