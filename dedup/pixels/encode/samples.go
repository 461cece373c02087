package encode

import (
	"fmt"

	"github.com/dicomesh/dicomesh/dedup/pixels"
)

// planes returns the samples of a native frame, a slice for each component, as numbers of precision bits without the lowest shift ones.
// It refuses samples that would not come back: see the package comment of pixels.
func planes(f pixels.Frame, native []byte, precision, shift int) ([][]uint16, error) {
	if err := check(f, native); err != nil {
		return nil, err
	}
	if precision < 2 || precision > min(16, f.BitsAllocated) || shift < 0 || shift >= precision {
		return nil, fmt.Errorf("encode with precision %d, point transform %d: %w", precision, shift, pixels.ErrUnsupported)
	}
	out := make([][]uint16, f.Samples)
	for s := range out {
		out[s] = make([]uint16, f.Rows*f.Columns)
		for p := range out[s] {
			cell := uint64(0)
			for b := range f.BitsAllocated / 8 {
				cell |= uint64(native[place(f, p, s, b)]) << (8 * b)
			}
			v := cell & (1<<precision - 1) >> shift << shift
			if extended(f, v, precision) != cell {
				return nil, fmt.Errorf("encode sample %#x with precision %d, point transform %d: %w", cell, precision, shift, pixels.ErrUnsupported)
			}
			out[s][p] = uint16(v >> shift)
		}
	}
	return out, nil
}

// extended is the cell that holds a sample of precision bits.
func extended(f pixels.Frame, v uint64, precision int) uint64 {
	if f.Signed && v>>(precision-1) != 0 {
		v |= ^uint64(0) << precision
	}
	return v & (^uint64(0) >> (64 - f.BitsAllocated))
}

// A stream is a JPEG stream that grows. Its bits are stuffed as T.81 F.1.2.3 says, or (short) as T.87 A.1.
type stream struct {
	out   []byte
	short bool
	acc   uint64
	held  int // bits of acc that are not in out yet
}

// put appends the low n bits of v, at most 32.
func (s *stream) put(v uint32, n int) {
	s.acc = s.acc<<n | uint64(v)&(1<<n-1)
	for s.held += n; s.held >= s.width(); {
		s.held -= s.width()
		b := byte(s.acc >> s.held)
		if s.width() == 7 {
			b &= 0x7f
		}
		s.acc &= 1<<s.held - 1
		s.out = append(s.out, b)
		if b == 0xff && !s.short {
			s.out = append(s.out, 0)
		}
	}
}

// width is how many bits the next byte takes.
func (s *stream) width() int {
	if n := len(s.out); s.short && n > 0 && s.out[n-1] == 0xff {
		return 7
	}
	return 8
}

// align fills the last byte: with ones in JPEG (T.81 F.1.2.3), with zeros in JPEG-LS, where no byte 0xff may be the last (T.87 A.1).
func (s *stream) align() {
	fill := ^uint32(0)
	if s.short {
		fill = 0
	}
	if s.held > 0 || s.width() == 7 {
		s.put(fill, s.width()-s.held)
	}
}

// segment appends a marker segment.
func (s *stream) segment(marker byte, body ...byte) {
	s.out = append(s.out, 0xff, marker, byte((len(body)+2)>>8), byte(len(body)+2))
	s.out = append(s.out, body...)
}

// marker appends a marker alone.
func (s *stream) marker(m byte) { s.out = append(s.out, 0xff, m) }

// frameHeader appends SOF. Component identifiers count from 1.
func (s *stream) frameHeader(sof byte, f pixels.Frame, rows, precision int) {
	body := []byte{byte(precision), byte(rows >> 8), byte(rows), byte(f.Columns >> 8), byte(f.Columns), byte(f.Samples)}
	for c := range f.Samples {
		body = append(body, byte(c+1), 0x11, 0)
	}
	s.segment(sof, body...)
}
