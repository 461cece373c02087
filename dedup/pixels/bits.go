package pixels

import (
	"bytes"
	"encoding/binary"
)

// A bitReader reads an entropy-coded segment. The next bit is the highest of acc. After the end of the data it yields zeros and counts them:
// whoever decodes asks overrun now and then, which must be before the memory that it may fill is full.
type bitReader struct {
	acc   uint64
	valid int // how many bits of acc count
	zeros int // how many of them, the last ones, are behind the end

	data   []byte
	at     int
	nextFF int  // data[at:nextFF] holds no 0xff
	short  bool // a byte after 0xff has 7 bits (T.87 A.1); else it is a zero that is dropped (T.81 F.1.2.3)
}

func newBitReader(segment []byte, short bool) *bitReader {
	r := &bitReader{data: segment, short: short}
	r.findFF()
	r.fill()
	return r
}

func (r *bitReader) findFF() {
	if i := bytes.IndexByte(r.data[r.at:], 0xff); i >= 0 {
		r.nextFF = r.at + i
	} else {
		r.nextFF = len(r.data)
	}
}

// fill makes at least 48 bits valid.
func (r *bitReader) fill() {
	if r.at+8 <= r.nextFF {
		// The bits that do not fill a byte stay in acc, below the valid ones, and are put there again by the next fill.
		r.acc |= binary.BigEndian.Uint64(r.data[r.at:]) >> (r.valid & 63)
		whole := (64 - r.valid) >> 3
		r.at += whole
		r.valid += whole * 8
		return
	}
	r.fillSlowly()
}

func (r *bitReader) fillSlowly() {
	for r.valid < 48 {
		switch {
		case r.at >= len(r.data):
			r.zeros += 64 - r.valid
			r.valid = 64
		case r.data[r.at] != 0xff:
			r.add(uint64(r.data[r.at]), 8)
			r.at++
		default:
			r.fillFF()
		}
	}
}

// fillFF takes 0xff and the stuffing after it. Without stuffing the 0xff is none of the data, but fill before the marker.
func (r *bitReader) fillFF() {
	stuffing := 1 // the least byte that is none
	if r.short {
		stuffing = 0x80
	}
	if r.at+1 >= len(r.data) || int(r.data[r.at+1]) >= stuffing {
		r.at = len(r.data)
		return
	}
	r.add(0xff, 8)
	if r.short {
		r.add(uint64(r.data[r.at+1]), 7)
	}
	r.at += 2
	r.findFF()
}

func (r *bitReader) add(value uint64, n int) {
	r.acc |= value << (64 - n - r.valid)
	r.valid += n
}

// skip drops n bits, at most as many as are valid.
func (r *bitReader) skip(n int) {
	r.acc <<= n & 63
	r.valid -= n
}

// take returns the next n bits, 1 to 32.
func (r *bitReader) take(n int) uint32 {
	if r.valid < n {
		r.fill()
	}
	v := uint32(r.acc >> (64 - n))
	r.skip(n)
	return v
}

// overrun says that bits behind the end were used.
func (r *bitReader) overrun() bool { return r.valid < r.zeros }
