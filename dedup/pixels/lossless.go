package pixels

// lossless is process 14 of T.81 annex H: lossless, sequential, Huffman.
type lossless struct {
	dst    []byte
	tables [4][]byte   // as cutTable gives them
	codes  [4]*huffman // made of a table when a scan wants it
}

// decodeLossless decodes a frame of JPEG lossless. Any predictor does in both of its transfer syntaxes.
func decodeLossless(f Frame, stream, dst []byte) error {
	if f.cell() == 0 || f.Subsampled {
		return unsupported("%d bits, subsampled: %t", f.BitsAllocated, f.Subsampled)
	}
	return readJPEG(f, stream, markSOF3, &lossless{dst: dst})
}

// table takes DHT; quantization tables, which mean nothing here, and comments.
func (l *lossless) table(marker byte, body []byte) error {
	switch {
	case marker == markDHT:
		return l.huffmanTables(body)
	case marker == markDQT || skippable(marker):
		return nil
	}
	return unsupported("marker %#x", marker)
}

// huffmanTables takes a DHT segment. Only class 0 matters: the others are for AC coefficients.
func (l *lossless) huffmanTables(body []byte) error {
	for len(body) > 0 {
		class, target := body[0]>>4, body[0]&15
		if class > 1 || target > 3 {
			return corrupt("table %#x", body[0])
		}
		table, rest, err := cutTable(body[1:])
		if err != nil {
			return err
		}
		if class == 0 {
			l.tables[target], l.codes[target] = table, nil
		}
		body = rest
	}
	return nil
}

// huffman returns the codes of a table. Tables that no scan wants are never made.
func (l *lossless) huffman(target byte) (*huffman, error) {
	if target > 3 || l.tables[target] == nil {
		return nil, corrupt("no table %d", target)
	}
	if l.codes[target] == nil {
		h, err := newHuffman(l.tables[target])
		if err != nil {
			return nil, err
		}
		l.codes[target] = h
	}
	return l.codes[target], nil
}

// A losslessScan decodes the components of one scan, line by line.
type losslessScan struct {
	predictor  byte
	start      uint16 // prediction of an interval's first sample
	components []losslessComponent
}

type losslessComponent struct {
	table  *huffman
	line   []uint16 // the line being decoded
	before []uint16 // the line above it
	plane  plane
}

func (l *lossless) scan(j *jpegReader, header scanHeader) error {
	if err := j.wholeSamples(); err != nil {
		return err
	}
	s, err := l.newScan(j, header)
	if err != nil {
		return err
	}
	lines := j.f.Rows // in an interval
	if j.restart > 0 {
		if j.restart%j.f.Columns != 0 { // T.81 H.1.1
			return corrupt("restart interval %d in lines of %d", j.restart, j.f.Columns)
		}
		lines = j.restart / j.f.Columns
	}
	for y, n := 0, 0; y < j.f.Rows; y, n = y+lines, n+1 {
		if n > 0 {
			if err := j.restartMarker(n - 1); err != nil {
				return err
			}
		}
		if err := s.interval(l.dst, j.entropy(), y, min(y+lines, j.f.Rows)); err != nil {
			return err
		}
	}
	return nil
}

func (l *lossless) newScan(j *jpegReader, header scanHeader) (*losslessScan, error) {
	transform := int(header.approx & 15)
	if header.first < 1 || header.first > 7 || transform >= j.precision {
		return nil, corrupt("predictor %d, point transform %d", header.first, transform)
	}
	s := &losslessScan{predictor: header.first, start: 1 << (j.precision - transform - 1)}
	for i, c := range header.components {
		table, err := l.huffman(header.selectors[i] >> 4)
		if err != nil {
			return nil, err
		}
		s.components = append(s.components, losslessComponent{
			table: table,
			line:  make([]uint16, j.f.Columns), before: make([]uint16, j.f.Columns),
			plane: newPlane(j.f, c, j.precision, transform),
		})
	}
	return s, nil
}

// interval decodes lines y to end, which share one entropy-coded segment.
func (s *losslessScan) interval(dst, segment []byte, y, end int) error {
	r := newBitReader(segment, false)
	for first := true; y < end; y, first = y+1, false {
		if !s.differences(r) {
			return corrupt("no code in line %d", y)
		}
		if r.overrun() {
			return corrupt("data ends in line %d", y)
		}
		for i := range s.components {
			c := &s.components[i]
			if first {
				c.line[0] += s.start
				sum(c.line)
			} else {
				predict(c.line, c.before, s.predictor)
			}
			if !c.plane.store(dst, y, c.line) {
				return corrupt("sample beyond the precision in line %d", y)
			}
			c.line, c.before = c.before, c.line
		}
	}
	return nil
}

// differences decodes one line of all components: interleaved by sample when there are several (T.81 A.2.3).
func (s *losslessScan) differences(r *bitReader) bool {
	if len(s.components) == 1 {
		return s.components[0].table.differences(r, s.components[0].line)
	}
	for x := range s.components[0].line {
		for i := range s.components {
			c := &s.components[i]
			d, ok := c.table.difference(r)
			if !ok {
				return false
			}
			c.line[x] = d
		}
	}
	return true
}

// sum turns differences into samples, each predicted by the one before it: predictor 1 (T.81 table H.1), and the first line of any.
func sum(line []uint16) {
	v := uint16(0)
	for i, d := range line {
		v += d
		line[i] = v
	}
}

// predict turns the differences of a line into samples: the first is predicted by the one above it, the others as table H.1 says, where
// a is the sample to the left, b the one above, c the one above a. All is modulo 2^16, but for the halves (H.1.2.1).
func predict(line, before []uint16, predictor byte) {
	line[0] += before[0]
	switch predictor {
	case 1:
		sum(line)
	case 2:
		for i := 1; i < len(line); i++ {
			line[i] += before[i]
		}
	case 3:
		for i := 1; i < len(line); i++ {
			line[i] += before[i-1]
		}
	default:
		predictByThree(line, before, predictor)
	}
}

func predictByThree(line, before []uint16, predictor byte) {
	a, c := int32(line[0]), int32(before[0])
	before = before[:len(line)]
	for i := 1; i < len(line); i++ {
		b := int32(before[i])
		p := a
		switch predictor {
		case 4:
			p += b - c
		case 5:
			p += (b - c) >> 1
		case 6:
			p = b + (a-c)>>1
		case 7:
			p = (a + b) >> 1
		}
		v := line[i] + uint16(p)
		line[i] = v
		a, c = int32(v), b
	}
}
