package encode

import (
	"fmt"
	"math/bits"
	"sort"

	"github.com/dicomesh/dicomesh/dedup/pixels"
)

// Lossless chooses among the forms that a JPEG lossless stream may have. Its zero value is the plainest.
type Lossless struct {
	Predictor      int  // 1 to 7; 0 is 1, which transfer syntax .70 wants
	Precision      int  // 0: Bits Allocated, at most 16
	PointTransform int  // low bits that are zero in all samples
	RestartLines   int  // lines between restart markers; 0: none
	Separate       bool // a scan for each component
	LateLines      bool // the number of lines comes in DNL, after the first scan
}

// JPEGLossless encodes a native frame for 1.2.840.10008.1.2.4.57 (T.81 process 14). Samples must fit into the precision, sign-extended if
// the Frame is signed.
func JPEGLossless(f pixels.Frame, native []byte, o Lossless) ([]byte, error) {
	if o.Precision == 0 {
		o.Precision = min(f.BitsAllocated, 16)
	}
	if o.Predictor == 0 {
		o.Predictor = 1
	}
	samples, err := planes(f, native, o.Precision, o.PointTransform)
	if err != nil {
		return nil, err
	}
	if o.Predictor < 1 || o.Predictor > 7 || o.RestartLines < 0 || o.RestartLines*f.Columns > 65535 || f.Samples > 4 {
		return nil, fmt.Errorf("encode %d samples with %+v: %w", f.Samples, o, pixels.ErrUnsupported)
	}
	s := &stream{}
	s.marker(0xd8) // SOI
	rows := f.Rows
	if o.LateLines {
		rows = 0
	}
	s.frameHeader(0xc3, f, rows, o.Precision)
	if n := o.RestartLines * f.Columns; n > 0 {
		s.segment(0xdd, byte(n>>8), byte(n))
	}
	var scan []component
	for c, plane := range samples {
		d := differences(f, plane, o)
		table := newTable(d)
		s.segment(0xc4, table.segment(byte(c%4))...)
		scan = append(scan, component{byte(c), d, table})
		if !o.Separate && c < f.Samples-1 {
			continue
		}
		s.losslessScan(f, scan, o)
		if o.LateLines {
			s.segment(0xdc, byte(f.Rows>>8), byte(f.Rows))
			o.LateLines = false
		}
		scan = nil
	}
	s.marker(0xd9) // EOI
	return even(s.out), nil
}

// A component is one component's differences and the codes for them.
type component struct {
	index       byte
	differences []uint16
	table       table
}

// differences subtracts predictions (T.81 H.1.2.1), modulo 2^16.
func differences(f pixels.Frame, plane []uint16, o Lossless) []uint16 {
	out := make([]uint16, len(plane))
	for p, v := range plane {
		x, y := p%f.Columns, p/f.Columns
		first := y == 0 || o.RestartLines > 0 && y%o.RestartLines == 0
		switch {
		case first && x == 0:
			v -= 1 << (o.Precision - o.PointTransform - 1)
		case first:
			v -= plane[p-1]
		case x == 0:
			v -= plane[p-f.Columns]
		default:
			a, b, c := int(plane[p-1]), int(plane[p-f.Columns]), int(plane[p-f.Columns-1])
			v -= uint16([...]int{0, a, b, c, a + b - c, a + (b-c)>>1, b + (a-c)>>1, (a + b) >> 1}[o.Predictor])
		}
		out[p] = v
	}
	return out
}

// category is how many extra bits a difference has (T.81 table H.2), and the bits.
func category(d uint16) (n int, extra uint32) {
	v := int32(int16(d))
	if v == -1<<15 {
		return 16, 0
	}
	if v < 0 {
		return bits.Len16(uint16(-v)), uint32(v - 1)
	}
	return bits.Len16(d), uint32(v)
}

// A table has a code for each of the 17 categories: the same lengths always, 2 to 14 bits, the shortest for what is most frequent.
type table struct {
	order []byte // categories by code
	code  [17]uint32
	bits  [17]int
}

// codeLengths is how many codes there are of 1, 2 ... 16 bits.
func codeLengths() [16]byte { return [16]byte{0, 1, 5, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1} }

func newTable(differences []uint16) table {
	var t table
	var counts [17]int
	for _, d := range differences {
		n, _ := category(d)
		counts[n]++
	}
	for c := range counts {
		t.order = append(t.order, byte(c))
	}
	sort.SliceStable(t.order, func(i, j int) bool { return counts[t.order[i]] > counts[t.order[j]] })
	code, next := uint32(0), 0
	for i, n := range codeLengths() {
		for range n {
			t.code[t.order[next]], t.bits[t.order[next]] = code, i+1
			code++
			next++
		}
		code <<= 1
	}
	return t
}

// segment is the body of DHT (T.81 B.2.4.2).
func (t table) segment(target byte) []byte {
	lengths := codeLengths()
	return append(append([]byte{target}, lengths[:]...), t.order...)
}

// losslessScan appends SOS and the differences, interleaved by pixel.
func (s *stream) losslessScan(f pixels.Frame, scan []component, o Lossless) {
	body := []byte{byte(len(scan))}
	for _, c := range scan {
		body = append(body, c.index+1, c.index%4<<4)
	}
	s.segment(0xda, append(body, byte(o.Predictor), 0, byte(o.PointTransform))...)
	for p := range f.Rows * f.Columns {
		if line := p / f.Columns; o.RestartLines > 0 && p%f.Columns == 0 && line > 0 && line%o.RestartLines == 0 {
			s.align()
			s.marker(0xd0 + byte((line/o.RestartLines-1)%8))
		}
		for _, c := range scan {
			n, extra := category(c.differences[p])
			s.put(c.table.code[n], c.table.bits[n])
			s.put(extra, n%16)
		}
	}
	s.align()
}
