package pixels

import "encoding/binary"

// A plane is where one component's samples go in a native frame, and how.
type plane struct {
	offset, stride, line int // of the first sample; from pixel to pixel; from row to row
	cell                 int // bytes of a sample
	shift                int // point transform
	extend               int // 16 minus the precision when samples are signed, else 0: see the package comment
	above                int // samples have no bit from here on
	signed               bool
}

// newPlane is the plane of component s, whose samples are precision bits, of which the lowest shift are zero and not stored.
func newPlane(f Frame, s, precision, shift int) plane {
	p := plane{cell: f.cell(), shift: shift, above: precision - shift, signed: f.Signed}
	p.offset, p.stride = f.layout(s)
	p.line = p.stride * f.Columns
	if f.Signed {
		p.extend = 16 - precision
	}
	return p
}

// store writes row y of the component. It is false when a sample has more bits than the precision.
func (p *plane) store(dst []byte, y int, samples []uint16) bool {
	dst = dst[p.offset+y*p.line:]
	var all uint16
	switch {
	case p.cell == 1:
		for i, at := 0, 0; i < len(samples); i, at = i+1, at+p.stride {
			all |= samples[i]
			dst[at] = byte(p.value(samples[i]))
		}
	case p.cell == 2 && p.stride == 2:
		dst = dst[:2*len(samples)]
		for i, v := range samples {
			all |= v
			binary.LittleEndian.PutUint16(dst[2*i:2*i+2], uint16(p.value(v)))
		}
	default:
		for i, at := 0, 0; i < len(samples); i, at = i+1, at+p.stride {
			all |= samples[i]
			p.put(dst[at:at+p.cell], samples[i])
		}
	}
	return all>>p.above == 0
}

// value is a sample as the low 16 bits of its cell.
func (p *plane) value(v uint16) int16 {
	return int16(v<<(p.shift&15)<<(p.extend&15)) >> (p.extend & 15)
}

// put fills a cell of any length.
func (p *plane) put(cell []byte, v uint16) {
	low := p.value(v)
	binary.LittleEndian.PutUint16(cell, uint16(low))
	above := byte(0)
	if p.signed && low < 0 {
		above = 0xff
	}
	for i := 2; i < len(cell); i++ {
		cell[i] = above
	}
}
