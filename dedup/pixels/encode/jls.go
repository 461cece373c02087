package encode

import (
	"fmt"
	"math/bits"

	"github.com/dicomesh/dicomesh/dedup/pixels"
)

// LS chooses among the forms that a JPEG-LS stream may have. Its zero value is the plainest.
type LS struct {
	Precision    int    // 0: Bits Allocated, at most 16
	Interleave   int    // 0: a scan for each component; 1: by line; 2: by sample
	Near         int    // how far a sample may be from the original: 0 for transfer syntax .80
	RestartLines int    // lines between restart markers; 0: none
	Preset       Preset // written to an LSE segment unless it is all 0
}

// Preset is the coding parameters of T.87 C.2.4.1.1; 0 is the default.
type Preset struct{ MaxVal, T1, T2, T3, Reset int }

// JPEGLS encodes a native frame for 1.2.840.10008.1.2.4.80, or .81 where o.Near is not 0 (T.87). Samples must fit into the precision,
// sign-extended if the Frame is signed, and be at most MaxVal.
func JPEGLS(f pixels.Frame, native []byte, o LS) ([]byte, error) {
	if o.Precision == 0 {
		o.Precision = min(f.BitsAllocated, 16)
	}
	samples, err := planes(f, native, o.Precision, 0)
	if err != nil {
		return nil, err
	}
	m, ok := newModel(o)
	if !ok || o.Interleave < 0 || o.Interleave > 2 || o.RestartLines < 0 || o.RestartLines > 65535 || f.Samples > 4 && o.Interleave != 0 {
		return nil, fmt.Errorf("encode %d samples with %+v: %w", f.Samples, o, pixels.ErrUnsupported)
	}
	for _, plane := range samples {
		for _, v := range plane {
			if int(v) > m.MaxVal {
				return nil, fmt.Errorf("encode sample %d with maximum %d: %w", v, m.MaxVal, pixels.ErrUnsupported)
			}
		}
	}
	s := &stream{short: true}
	s.marker(0xd8) // SOI
	s.frameHeader(0xf7, f, f.Rows, o.Precision)
	if p := o.Preset; p != (Preset{}) {
		body := []byte{1}
		for _, n := range []int{p.MaxVal, p.T1, p.T2, p.T3, p.Reset} {
			body = append(body, byte(n>>8), byte(n))
		}
		s.segment(0xf8, body...)
	}
	if n := o.RestartLines; n > 0 {
		s.segment(0xdd, byte(n>>8), byte(n))
	}
	m.stream = s
	m.scans(f, samples, o)
	s.marker(0xd9) // EOI
	return even(s.out), nil
}

// scans appends all scans.
func (m *model) scans(f pixels.Frame, samples [][]uint16, o LS) {
	if o.Interleave != 0 && f.Samples > 1 {
		m.scan(f, samples, 1, o)
		return
	}
	o.Interleave = 0
	for c := range samples {
		m.scan(f, samples[c:c+1], c+1, o)
	}
}

// scan appends SOS and the lines of components, which count from id on.
func (m *model) scan(f pixels.Frame, samples [][]uint16, id int, o LS) {
	body := []byte{byte(len(samples))}
	for c := range samples {
		body = append(body, byte(id+c), 0)
	}
	m.stream.segment(0xda, append(body, byte(o.Near), byte(o.Interleave), 0)...)
	for y := range f.Rows {
		switch {
		case y == 0:
			m.reset(len(samples), f.Columns)
		case o.RestartLines > 0 && y%o.RestartLines == 0:
			m.stream.align()
			m.stream.marker(0xd0 + byte((y/o.RestartLines-1)%8))
			m.reset(len(samples), f.Columns)
		}
		m.line(samples, y, o.Interleave == 2)
	}
	m.stream.align()
}

// A model is what encoder and decoder both know of the image (T.87 annex A).
type model struct {
	Preset
	near, span, errorBits, limit int
	stream                       *stream

	contexts [367]variables // the last two are those of run interruption
	run      []int          // RUNindex of each component
	line0    [][]int        // the line above, as the decoder will have it, with one sample around it on each side
	line1    [][]int        // this line
}

// variables are A, B, C, N and Nn of one context (T.87 A.2.1).
type variables struct{ a, b, c, n, nn int }

func newModel(o LS) (*model, bool) {
	m := &model{Preset: o.Preset, near: o.Near}
	if m.MaxVal == 0 {
		m.MaxVal = 1<<o.Precision - 1
	}
	if m.MaxVal >= 1<<o.Precision || m.near < 0 || m.near > min(255, m.MaxVal/2) {
		return nil, false
	}
	t1, t2, t3 := m.basicThresholds()
	for _, d := range []struct {
		value *int
		basic int
	}{{&m.T1, t1}, {&m.T2, t2}, {&m.T3, t3}, {&m.Reset, 64}} {
		if *d.value == 0 {
			*d.value = d.basic
		}
	}
	m.span = (m.MaxVal+2*m.near)/(2*m.near+1) + 1
	for 1<<m.errorBits < m.span {
		m.errorBits++
	}
	bpp := max(2, bits.Len(uint(m.MaxVal)))
	m.limit = 2 * (bpp + max(8, bpp))
	ok := m.near < m.T1 && m.T1 <= m.T2 && m.T2 <= m.T3 && m.T3 <= m.MaxVal && m.Reset >= 3 && m.Reset <= max(255, m.MaxVal)
	return m, ok
}

// basicThresholds are the defaults of T.87 C.2.4.1.1.1.
func (m *model) basicThresholds() (t1, t2, t3 int) {
	t1, t2, t3 = 3, 7, 21
	if m.MaxVal >= 128 {
		factor := (min(m.MaxVal, 4095) + 128) / 256
		t1, t2, t3 = factor*(t1-2)+2, factor*(t2-3)+3, factor*(t3-4)+4
		t1, t2, t3 = t1+3*m.near, t2+5*m.near, t3+7*m.near
	} else {
		factor := 256 / (m.MaxVal + 1)
		t1, t2, t3 = max(2, t1/factor+3*m.near), max(3, t2/factor+5*m.near), max(4, t3/factor+7*m.near)
	}
	if t1 > m.MaxVal || t1 <= m.near {
		t1 = m.near + 1
	}
	if t2 > m.MaxVal || t2 < t1 {
		t2 = t1
	}
	if t3 > m.MaxVal || t3 < t2 {
		t3 = t2
	}
	return t1, t2, t3
}

// reset makes the model that of a scan's start (T.87 A.8).
func (m *model) reset(components, columns int) {
	for i := range m.contexts {
		m.contexts[i] = variables{a: max(2, (m.span+32)/64), n: 1}
	}
	m.run = make([]int, components)
	m.line0, m.line1 = nil, nil
	for range components {
		m.line0 = append(m.line0, make([]int, columns+2))
		m.line1 = append(m.line1, make([]int, columns+2))
	}
}
