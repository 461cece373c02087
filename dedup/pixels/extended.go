package pixels

import "math"

// extended is process 4 of T.81 annex F: sequential, DCT, Huffman, samples of 8 or 12 bits. What comes out is close to what went in and not equal to it, so it
// names nothing: pictures are made of it.
type extended struct {
	dst   []byte
	quant [4]*[64]int32
	codes [2][4]*huffman // by class: DC, AC
}

// decodeExtended decodes a frame of JPEG extended whose components are not subsampled.
func decodeExtended(f Frame, stream, dst []byte) error {
	if f.cell() == 0 || f.Subsampled {
		return unsupported("%d bits, subsampled: %t", f.BitsAllocated, f.Subsampled)
	}
	return readJPEG(f, stream, markSOF1, &extended{dst: dst})
}

const (
	markSOF1 = 0xc1
	markDQT  = 0xdb
)

// zigzag is where the coefficients of a block are in the order in which they are coded (T.81 figure A.6).
func zigzag() [64]uint8 {
	return [64]uint8{0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
		35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63}
}

// table takes DHT and DQT, and passes over comments.
func (e *extended) table(marker byte, body []byte) error {
	switch {
	case marker == markDHT:
		return e.huffmanTables(body)
	case marker == markDQT:
		return e.quantTables(body)
	case skippable(marker):
		return nil
	}
	return unsupported("marker %#x", marker)
}

func (e *extended) huffmanTables(body []byte) error {
	for len(body) > 0 {
		class, target := body[0]>>4, body[0]&15
		if class > 1 || target > 3 {
			return corrupt("table %#x", body[0])
		}
		table, rest, err := cutTable(body[1:])
		if err != nil {
			return err
		}
		if e.codes[class][target], err = newHuffman(table); err != nil {
			return err
		}
		body = rest
	}
	return nil
}

// quantTables takes DQT (T.81 B.2.4.1).
func (e *extended) quantTables(body []byte) error {
	order := zigzag()
	for len(body) > 0 {
		size, target := 1+int(body[0]>>4), body[0]&15
		if size > 2 || target > 3 || len(body) < 1+64*size {
			return corrupt("quantization table %#x of %d bytes", body[0], len(body))
		}
		q := new([64]int32)
		for i := range 64 {
			q[order[i]] = int32(number(body[1+i*size : 1+(i+1)*size]))
		}
		e.quant[target], body = q, body[1+64*size:]
	}
	return nil
}

// extendedComponent is one component of a scan.
type extendedComponent struct {
	dc, ac  *huffman
	quant   *[64]int32
	last    int32 // DC coefficient of the block before
	plane   plane
	samples []uint16 // eight lines, as wide as whole blocks are
}

func (e *extended) scan(j *jpegReader, header scanHeader) error {
	if err := j.wholeSamples(); err != nil {
		return err
	}
	if j.precision != 8 && j.precision != 12 || header.first != 0 || header.last != 63 || header.approx != 0 {
		return unsupported("%d bits, coefficients %d to %d", j.precision, header.first, header.last)
	}
	across, down := (j.f.Columns+7)/8, (j.f.Rows+7)/8
	var components []*extendedComponent
	for i, c := range header.components {
		s := header.selectors[i]
		if s>>4 > 3 || s&15 > 3 || j.quantOf(c) > 3 {
			return corrupt("tables %#x", s)
		}
		n := &extendedComponent{dc: e.codes[0][s>>4], ac: e.codes[1][s&15], quant: e.quant[j.quantOf(c)],
			plane: newPlane(j.f, c, j.precision, 0), samples: make([]uint16, 8*8*across)}
		if n.dc == nil || n.ac == nil || n.quant == nil {
			return corrupt("no tables for component %d", c)
		}
		components = append(components, n)
	}
	return e.blocks(j, components, across, down)
}

// quantOf is the quantization table of a component.
func (j *jpegReader) quantOf(component int) byte { return j.components[component].quant }

// blocks decodes a scan, eight lines at a time.
func (e *extended) blocks(j *jpegReader, components []*extendedComponent, across, down int) error {
	cosines, order := newCosines(), zigzag()
	r := newBitReader(j.entropy(), false)
	for n := range across * down {
		if j.restart > 0 && n > 0 && n%j.restart == 0 {
			if err := j.restartMarker(n/j.restart - 1); err != nil {
				return err
			}
			r = newBitReader(j.entropy(), false)
			for _, c := range components {
				c.last = 0
			}
		}
		for _, c := range components {
			var block [64]int32
			if !c.coefficients(r, &block, &order) {
				return corrupt("no code in block %d", n)
			}
			cosines.inverse(&block, c.samples[n%across*8:], 8*across, j.precision)
		}
		if r.overrun() {
			return corrupt("data ends in block %d", n)
		}
		if n%across == across-1 && !e.store(j, components, n/across*8, 8*across) {
			return corrupt("sample beyond the precision in block %d", n)
		}
	}
	return nil
}

// store writes eight lines, or as many as are left.
func (e *extended) store(j *jpegReader, components []*extendedComponent, y, width int) bool {
	for _, c := range components {
		for line := 0; line < 8 && y+line < j.f.Rows; line++ {
			if !c.plane.store(e.dst, y+line, c.samples[line*width:line*width+j.f.Columns]) {
				return false
			}
		}
	}
	return true
}

// coefficients decodes one block (T.81 F.2.2).
func (c *extendedComponent) coefficients(r *bitReader, block *[64]int32, order *[64]uint8) bool {
	d, ok := c.dc.difference(r)
	if !ok {
		return false
	}
	c.last += int32(int16(d))
	block[0] = c.last * c.quant[0]
	for k := 1; k < 64; k++ {
		if r.valid < 32 {
			r.fill()
		}
		symbol, length := c.ac.long(uint32(r.acc >> 48))
		if length == 0 {
			return false
		}
		r.skip(length)
		run, size := symbol>>4, symbol&15
		if size == 0 {
			if run != 15 {
				return true // end of block
			}
			k += 15
			continue
		}
		if k += run; k > 63 {
			return false
		}
		block[order[k]] = int32(int16(extend(r.take(size), size))) * c.quant[order[k]]
	}
	return true
}

// cosines is the matrix of the inverse transform (T.81 A.3.3).
type cosines [8][8]float64

func newCosines() *cosines {
	c := new(cosines)
	for x := range 8 {
		for u := range 8 {
			c[x][u] = math.Cos(float64(2*x+1)*float64(u)*math.Pi/16) / 2
		}
		c[x][0] = math.Sqrt2 / 4
	}
	return c
}

// inverse turns coefficients into samples: eight to a line, width apart. Products are rounded by themselves, so that all machines get the same.
func (c *cosines) inverse(block *[64]int32, out []uint16, width, precision int) {
	var rows [64]float64
	for v := range 8 {
		for x := range 8 {
			sum := 0.0
			for u := range 8 {
				if b := block[8*v+u]; b != 0 {
					sum += float64(float64(b) * c[x][u])
				}
			}
			rows[8*v+x] = sum
		}
	}
	half, top := float64(int(1)<<(precision-1)), float64(int(1)<<precision-1)
	for y := range 8 {
		for x := range 8 {
			sum := half + 0.5
			for v := range 8 {
				sum += float64(rows[8*v+x] * c[y][v])
			}
			out[y*width+x] = uint16(min(max(math.Floor(sum), 0), top))
		}
	}
}
