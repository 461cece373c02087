package pixels

// lookBits is how many bits of a code and its extra bits one look-up resolves.
const lookBits = 12

// Entries of huffman.look: 0 means that more than lookBits are needed.
const (
	lookLength = 0x1f // bits used
	lookKnown  = 0x20 // the entry holds the difference, and the bits used are those of code and extra bits
	// Bits 8 to 12 are the category where the difference is not known, bits 16 to 31 the difference where it is.
	lookCategory   = 8
	lookDifference = 16
)

// A huffman decodes the differences of lossless JPEG: a code for their category, then as many extra bits (T.81 F.1.2.1, H.1.2.2).
type huffman struct {
	look   [1 << lookBits]uint32
	values []byte     // categories, in the order of their codes
	limit  [17]uint32 // per code length: one above the last code, left-aligned to 16 bits; 0 where no code was yet
	first  [17]int    // per code length: index into values, minus the first code
}

// cutTable cuts one table off a DHT segment: how many codes there are of 1 to 16 bits, and their values (T.81 B.2.4.2, behind the class).
func cutTable(body []byte) (table, rest []byte, err error) {
	if len(body) < 16 {
		return nil, nil, corrupt("DHT of %d bytes", len(body))
	}
	end := 16
	for _, n := range body[:16] {
		end += int(n)
	}
	if end > len(body) {
		return nil, nil, corrupt("DHT with %d codes", end-16)
	}
	return body[:end], body[end:], nil
}

// newHuffman makes the codes of a table (T.81 annex C). More codes than a length allows are an error.
func newHuffman(table []byte) (*huffman, error) {
	h := &huffman{values: table[16:]}
	code, index := 0, 0
	for length := 1; length <= 16; length++ {
		n := int(table[length-1])
		if code+n > 1<<length {
			return nil, corrupt("table with %d codes of %d bits from %d on", n, length, code)
		}
		h.first[length] = index - code
		for range n {
			h.fillLook(code, length, h.values[index])
			code++
			index++
		}
		h.limit[length] = uint32(code) << (16 - length)
		code <<= 1
	}
	return h, nil
}

// fillLook fills all entries that begin with a code.
func (h *huffman) fillLook(code, length int, category byte) {
	if length > lookBits || category > 16 {
		return // left to decode, which knows what is wrong
	}
	spare := lookBits - length
	entries := h.look[code<<spare : (code+1)<<spare]
	extra := int(category)
	if category == 16 {
		extra = 0
	}
	for i := range entries {
		if extra > spare {
			entries[i] = uint32(category)<<lookCategory | uint32(length)
			continue
		}
		d := extend(uint32(i)>>(spare-extra), int(category))
		entries[i] = uint32(d)<<lookDifference | lookKnown | uint32(length+extra)
	}
}

// extend is EXTEND (T.81 F.2.2.1) modulo 2^16. Category 16 has no extra bits and means 32768 (H.1.2.2).
func extend(extra uint32, category int) uint16 {
	switch {
	case category == 16:
		return 1 << 15
	case category == 0 || extra>>(category-1) != 0:
		return uint16(extra)
	}
	return uint16(extra + 1 - 1<<category)
}

// decode decodes a difference that is not in look. It is false for bits that are no code, and for categories that lossless JPEG does not have.
func (h *huffman) decode(r *bitReader) (uint16, bool) {
	e := h.look[r.acc>>(64-lookBits)]
	category, length := int(e>>lookCategory)&0x1f, int(e&lookLength)
	if e == 0 {
		category, length = h.long(uint32(r.acc >> 48))
	}
	if category > 16 || length == 0 {
		return 0, false
	}
	r.skip(length)
	if category == 0 || category == 16 {
		return extend(0, category), true
	}
	return extend(r.take(category), category), true
}

// long finds the code that 16 bits begin with. A length of 0 means that there is none.
func (h *huffman) long(code uint32) (category, length int) {
	for length = 1; length <= 16; length++ {
		if code < h.limit[length] {
			i := h.first[length] + int(code>>(16-length))
			return int(h.values[i]), length
		}
	}
	return 0, 0
}

// difference decodes the next difference. It is false when the bits are none.
func (h *huffman) difference(r *bitReader) (uint16, bool) {
	if r.valid < lookBits+20 {
		r.fill()
	}
	e := h.look[r.acc>>(64-lookBits)]
	if e&lookKnown == 0 {
		return h.decode(r)
	}
	r.skip(int(e & lookLength))
	return uint16(e >> lookDifference), true
}

// differences decodes one line of a component: difference, without a call for each.
func (h *huffman) differences(r *bitReader, line []uint16) bool {
	for i := range line {
		if r.valid < lookBits+20 {
			r.fill()
		}
		e := h.look[r.acc>>(64-lookBits)]
		if e&lookKnown != 0 {
			r.skip(int(e & lookLength))
			line[i] = uint16(e >> lookDifference)
			continue
		}
		d, ok := h.decode(r)
		if !ok {
			return false
		}
		line[i] = d
	}
	return true
}
