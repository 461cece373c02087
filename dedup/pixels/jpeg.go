package pixels

import (
	"bytes"
	"encoding/binary"
)

// Marker codes: ITU-T T.81 table B.1, T.87 table C.1. SOF markers are given to readJPEG.
const (
	markSOF3  = 0xc3 // lossless, Huffman
	markDHT   = 0xc4
	markRST0  = 0xd0
	markSOI   = 0xd8
	markEOI   = 0xd9
	markSOS   = 0xda
	markDNL   = 0xdc
	markDRI   = 0xdd
	markAPP0  = 0xe0
	markAPP15 = 0xef
	markSOF55 = 0xf7 // JPEG-LS
	markLSE   = 0xf8
	markCOM   = 0xfe
)

// A process is what one coding process adds to the marker syntax that all of them share.
type process interface {
	// table takes a segment that readJPEG has no use for: tables, APPn, COM, and markers that are an error here.
	table(marker byte, body []byte) error
	// scan decodes the components of one scan from the reader's position on, and leaves it behind their entropy-coded data.
	scan(j *jpegReader, s scanHeader) error
}

// A jpegReader walks through the markers of one image (T.81 annex B, T.87 annex C).
type jpegReader struct {
	f       Frame
	data    []byte
	at      int // next byte of data
	restart int // restart interval, 0 for none

	precision  int // 0 before SOF
	components []component
	rowsKnown  bool // false while SOF's number of lines is 0 and no DNL came
}

// A component is one of SOF's, in its order, which is that of the frame's samples.
type component struct {
	id, factors byte
	quant       byte // Tq: where there are quantization tables
	decoded     bool
}

// A scanHeader is an SOS segment (T.81 B.2.3, T.87 C.2.3).
type scanHeader struct {
	components []int  // indices of components
	selectors  []byte // one a component: tables
	first      byte   // Ss: predictor, or NEAR
	last       byte   // Se: nothing in lossless, or ILV
	approx     byte   // Ah, Al: point transform
}

// readJPEG reads an image whose frame header is sof, and lets p decode its scans. Every component is decoded once, or it is an error.
func readJPEG(f Frame, stream []byte, sof byte, p process) error {
	j := &jpegReader{f: f, data: stream}
	if len(stream) < 2 || stream[0] != 0xff || stream[1] != markSOI {
		return corrupt("no SOI at the start")
	}
	j.at = 2
	for {
		marker, body, err := j.next()
		if err != nil {
			return err
		}
		switch {
		case marker == markEOI:
			return j.finish()
		case marker == sof:
			err = j.frameHeader(body)
		case marker == markSOS:
			err = j.scanSegment(body, p)
		case marker == markDRI:
			err = j.restartSegment(body)
		case marker == markDNL:
			err = j.linesSegment(body)
		default:
			err = p.table(marker, body)
		}
		if err != nil {
			return err
		}
	}
}

// next returns the next marker and the body of its segment; EOI has none. A second SOI and RSTm are errors here.
func (j *jpegReader) next() (marker byte, body []byte, err error) {
	if j.at >= len(j.data) || j.data[j.at] != 0xff {
		return 0, nil, corrupt("no marker at %d", j.at)
	}
	for j.at < len(j.data) && j.data[j.at] == 0xff { // fill bytes: T.81 B.1.1.2
		j.at++
	}
	if j.at == len(j.data) {
		return 0, nil, corrupt("no EOI")
	}
	marker = j.data[j.at]
	j.at++
	if marker == markEOI {
		return marker, nil, nil
	}
	if marker < 0xc0 || marker >= markRST0 && marker <= markSOI {
		return 0, nil, corrupt("marker %#x at %d", marker, j.at-1)
	}
	rest := j.data[j.at:]
	if len(rest) < 2 {
		return 0, nil, corrupt("no EOI")
	}
	length := int(binary.BigEndian.Uint16(rest))
	if length < 2 || length > len(rest) {
		return 0, nil, corrupt("segment %#x of %d bytes, %d are left", marker, length, len(rest))
	}
	j.at += length
	return marker, rest[2:length], nil
}

// frameHeader takes SOF (T.81 B.2.2) and compares it with the Frame.
func (j *jpegReader) frameHeader(body []byte) error {
	if j.precision != 0 {
		return corrupt("second SOF")
	}
	if len(body) < 6 || len(body) != 6+3*int(body[5]) {
		return corrupt("SOF of %d bytes", len(body))
	}
	rows, columns := int(binary.BigEndian.Uint16(body[1:])), int(binary.BigEndian.Uint16(body[3:]))
	if rows != 0 && rows != j.f.Rows || columns != j.f.Columns || int(body[5]) != j.f.Samples {
		return corrupt("stream of %dx%d with %d components for %dx%d with %d",
			columns, rows, body[5], j.f.Columns, j.f.Rows, j.f.Samples)
	}
	j.precision, j.rowsKnown = int(body[0]), rows != 0
	if j.precision < 2 || j.precision > 16 || j.precision > j.f.BitsAllocated {
		return corrupt("precision %d for %d bits", j.precision, j.f.BitsAllocated)
	}
	var seen [256]bool
	for c := body[6:]; len(c) > 0; c = c[3:] {
		if seen[c[0]] {
			return corrupt("two components %d", c[0])
		}
		seen[c[0]] = true
		j.components = append(j.components, component{id: c[0], factors: c[1], quant: c[2]})
	}
	return nil
}

// wholeSamples is an error unless each component has a sample for each pixel. With one component the factors mean nothing (T.81 A.2.2).
func (j *jpegReader) wholeSamples() error {
	for _, c := range j.components {
		if c.factors != 0x11 && len(j.components) > 1 {
			return unsupported("sampling factors %#x", c.factors)
		}
	}
	return nil
}

// scanSegment takes SOS, and the scan that follows it.
func (j *jpegReader) scanSegment(body []byte, p process) error {
	if j.precision == 0 {
		return corrupt("SOS before SOF")
	}
	if len(body) < 1 || body[0] < 1 || body[0] > 4 || len(body) != 4+2*int(body[0]) {
		return corrupt("SOS of %d bytes", len(body))
	}
	s := scanHeader{first: body[len(body)-3], last: body[len(body)-2], approx: body[len(body)-1]}
	for c := body[1 : len(body)-3]; len(c) > 0; c = c[2:] {
		i, err := j.component(c[0])
		if err != nil {
			return err
		}
		s.components = append(s.components, i)
		s.selectors = append(s.selectors, c[1])
	}
	return p.scan(j, s)
}

// component finds a component that is not decoded yet, and takes it as decoded.
func (j *jpegReader) component(id byte) (int, error) {
	for i := range j.components {
		if c := &j.components[i]; c.id == id {
			if c.decoded {
				return 0, corrupt("component %d comes twice", id)
			}
			c.decoded = true
			return i, nil
		}
	}
	return 0, corrupt("no component %d", id)
}

// restartSegment takes DRI: 2 bytes (T.81 B.2.4.4), in JPEG-LS up to 4 (T.87 C.2.5).
func (j *jpegReader) restartSegment(body []byte) error {
	if len(body) < 2 || len(body) > 4 {
		return corrupt("DRI of %d bytes", len(body))
	}
	j.restart = number(body)
	return nil
}

// linesSegment takes DNL (T.81 B.2.5, T.87 C.2.6), which must say what the Frame says.
func (j *jpegReader) linesSegment(body []byte) error {
	if len(body) < 2 || len(body) > 4 || number(body) != j.f.Rows {
		return corrupt("DNL %x for %d rows", body, j.f.Rows)
	}
	j.rowsKnown = true
	return nil
}

// number is a big-endian number of at most 4 bytes.
func number(body []byte) int {
	n := 0
	for _, b := range body {
		n = n<<8 | int(b)
	}
	return n
}

func (j *jpegReader) finish() error {
	if j.precision == 0 || !j.rowsKnown {
		return corrupt("EOI, but the number of lines is not known")
	}
	for _, c := range j.components {
		if !c.decoded {
			return corrupt("EOI, but component %d did not come", c.id)
		}
	}
	return nil
}

// entropy returns the entropy-coded segment at the reader's position and moves behind it, to the marker that ends it.
// No code yields 0xff and a byte from 0xc0 on (T.81 B.1.1.5, T.87 A.1).
func (j *jpegReader) entropy() []byte {
	rest := j.data[j.at:]
	for end := 0; ; end++ {
		i := bytes.IndexByte(rest[end:], 0xff)
		if i < 0 || end+i+1 >= len(rest) {
			j.at = len(j.data)
			return rest
		}
		end += i
		if code := rest[end+1]; code >= 0xc0 && code != 0xff {
			j.at += end
			return rest[:end]
		}
	}
}

// restartMarker moves over RSTm, the n-th of its scan.
func (j *jpegReader) restartMarker(n int) error {
	if rest := j.data[j.at:]; len(rest) < 2 || rest[0] != 0xff || int(rest[1]) != markRST0+n%8 {
		return corrupt("no RST%d at %d", n%8, j.at)
	}
	j.at += 2
	return nil
}

// skippable says whether a segment means nothing to the pixels.
func skippable(marker byte) bool {
	return marker >= markAPP0 && marker <= markAPP15 || marker == markCOM
}
