package thumbnail

import (
	"encoding/binary"
	"image"
	"image/color"
	"math"
	"strconv"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/pixels"
)

// layout is how the samples of a native frame lie.
type layout struct {
	frame       pixels.Frame
	stored      int // bits of a sample
	shift       int // of its lowest bit
	photometric string
	float       string
	native      []byte
	whole       bool
}

func newLayout(d Dataset) *layout {
	number := func(tag dedup.Tag, otherwise int) int {
		n, err := strconv.Atoi(d.Object.Text(tag))
		if err != nil {
			return otherwise
		}
		return n
	}
	l := &layout{photometric: d.Object.Text(0x00280004), float: d.Float, whole: d.whole}
	l.frame = pixels.Frame{Rows: number(0x00280010, 0), Columns: number(0x00280011, 0), Samples: number(0x00280002, 1),
		BitsAllocated: number(0x00280100, 8), Signed: number(0x00280103, 0) == 1, Planar: number(0x00280006, 0) == 1,
		Subsampled: l.photometric == "YBR_FULL_422"}
	switch d.Float {
	case "OF":
		l.frame.BitsAllocated = 32
	case "OD":
		l.frame.BitsAllocated = 64
	}
	if !uncompressed(d.Syntax) && d.Syntax != "1.2.840.10008.1.2.8.1" {
		l.frame.Subsampled = false // codecs give whole samples
	}
	l.stored = number(0x00280101, l.frame.BitsAllocated)
	if l.stored < 1 || l.stored > l.frame.BitsAllocated {
		l.stored = l.frame.BitsAllocated
	}
	l.shift = number(0x00280102, l.stored-1) + 1 - l.stored
	if l.shift < 0 || l.shift+l.stored > l.frame.BitsAllocated {
		l.shift = 0
	}
	return l
}

// raw is the n-th sample of the frame as it lies there, 0 to 64 bits.
func (l *layout) raw(n int) uint64 {
	switch l.frame.BitsAllocated {
	case 1:
		return uint64(l.native[n/8] >> (n % 8) & 1)
	case 8:
		return uint64(l.native[n])
	case 16:
		return uint64(binary.LittleEndian.Uint16(l.native[2*n:]))
	case 32:
		return uint64(binary.LittleEndian.Uint32(l.native[4*n:]))
	case 64:
		return binary.LittleEndian.Uint64(l.native[8*n:])
	}
	return 0
}

// integer is a sample's stored value.
func (l *layout) integer(raw uint64) int64 {
	raw >>= l.shift
	spare := 64 - l.stored
	if l.frame.Signed {
		return int64(raw<<spare) >> spare
	}
	return int64(raw << spare >> spare)
}

// value is a sample as a number; not-a-number becomes 0.
func (l *layout) value(raw uint64) float64 {
	v := 0.0
	switch l.float {
	case "OF":
		v = float64(math.Float32frombits(uint32(raw)))
	case "OD":
		v = math.Float64frombits(raw)
	default:
		v = float64(l.integer(raw))
	}
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return v
}

// colours is the picture of a frame of three samples.
func (l *layout) colours() image.Image {
	out := l.shrinker(3)
	pixels, ybr := l.frame.Columns*l.frame.Rows, len(l.photometric) >= 3 && l.photometric[:3] == "YBR"
	for y := range l.frame.Rows {
		for x := range l.frame.Columns {
			c := out.row[3*x : 3*x+3]
			for s := range c {
				c[s] = l.eight(l.raw(l.sample(y*l.frame.Columns+x, s, pixels)))
			}
			if ybr {
				c[0], c[1], c[2] = color.YCbCrToRGB(c[0], c[1], c[2])
			}
		}
		out.add()
	}
	return out.image()
}

// sample is where sample s of pixel n lies, counted in samples (PS3.3 C.7.6.3.1.2 and .3).
func (l *layout) sample(n, s, pixels int) int {
	switch {
	case l.frame.Subsampled && s == 0:
		return n/2*4 + n%2
	case l.frame.Subsampled:
		return n/2*4 + 1 + s
	case l.frame.Planar:
		return s*pixels + n
	}
	return 3*n + s
}

// eight is an unsigned sample in 8 bits.
func (l *layout) eight(raw uint64) byte {
	raw >>= l.shift
	if l.stored >= 8 {
		return byte(raw >> (l.stored - 8))
	}
	return byte(raw * 255 / (1<<l.stored - 1))
}
