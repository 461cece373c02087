package pixels

// jls is JPEG-LS (T.87): without loss, or near-lossless where the transfer syntax allows it.
type jls struct {
	dst    []byte
	near   bool
	preset preset
}

// decodeJLS decodes a frame of JPEG-LS without loss: NEAR must be 0.
func decodeJLS(f Frame, stream, dst []byte) error { return readJLS(f, stream, &jls{dst: dst}) }

// decodeJLSNear decodes a frame of JPEG-LS with any NEAR.
func decodeJLSNear(f Frame, stream, dst []byte) error {
	return readJLS(f, stream, &jls{dst: dst, near: true})
}

func readJLS(f Frame, stream []byte, l *jls) error {
	if f.cell() == 0 || f.Subsampled {
		return unsupported("%d bits, subsampled: %t", f.BitsAllocated, f.Subsampled)
	}
	return readJPEG(f, stream, markSOF55, l)
}

// table takes LSE (T.87 C.2.4) and comments. Mapping tables are let through: only a scan that uses one is refused.
func (l *jls) table(marker byte, body []byte) error {
	const coding, mapping, moreMapping = 1, 2, 3
	switch {
	case marker == markLSE && len(body) == 11 && body[0] == coding:
		l.preset = newPreset(body[1:])
		return nil
	case marker == markLSE && len(body) > 0 && (body[0] == mapping || body[0] == moreMapping):
		return nil
	case marker == markAPP0+8 && len(body) == 5 && string(body[:4]) == "mrfx" && body[4] != 0:
		return unsupported("colour transform %d", body[4]) // a private extension of the first codec
	case skippable(marker):
		return nil
	}
	return unsupported("marker %#x", marker)
}

// Interleave modes: T.87 table C.2.
const (
	interleaveNone   = 0
	interleaveLine   = 1
	interleaveSample = 2
)

func (l *jls) scan(j *jpegReader, header scanHeader) error {
	if err := j.wholeSamples(); err != nil {
		return err
	}
	s, err := l.newScan(j, header)
	if err != nil {
		return err
	}
	lines := j.f.Rows // in an interval: an MCU is a line (T.87 A.8)
	if j.restart > 0 {
		lines = min(lines, j.restart)
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

// newScan checks a scan header (T.87 C.2.3).
func (l *jls) newScan(j *jpegReader, header scanHeader) (*jlsScan, error) {
	mode := header.last
	switch {
	case mode > interleaveSample || mode == interleaveNone && len(header.components) > 1:
		return nil, corrupt("interleave mode %d for %d components", mode, len(header.components))
	case header.approx&15 != 0:
		return nil, unsupported("point transform %d", header.approx&15)
	case header.first != 0 && !l.near:
		return nil, corrupt("NEAR %d where nothing may be lost", header.first)
	}
	coding, ok := l.preset.coding(j.precision, int(header.first))
	if !ok {
		return nil, corrupt("preset %+v, NEAR %d for %d bits", l.preset, header.first, j.precision)
	}
	s := &jlsScan{coding: coding, together: mode == interleaveSample && len(header.components) > 1}
	s.makeGradients()
	for i, c := range header.components {
		if header.selectors[i] != 0 {
			return nil, unsupported("mapping table %d", header.selectors[i])
		}
		s.components = append(s.components, jlsComponent{
			line: make([]uint16, j.f.Columns+2), before: make([]uint16, j.f.Columns+2),
			plane: newPlane(j.f, c, j.precision, 0),
		})
	}
	return s, nil
}
