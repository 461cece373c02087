package pixels

import "encoding/binary"

// An RLE frame starts with 16 little-endian numbers: how many segments there are, and where each begins (PS3.5 G.5).
const (
	rleHeader      = 64
	rleMaxSegments = 15
)

// decodeRLE decodes a frame of PS3.5 Annex G. Segments are by sample, then by byte, the most significant first (G.2). Each must give
// Rows x Columns bytes before the next begins; runs may cross rows, although G.3 forbids it.
func decodeRLE(f Frame, stream, dst []byte) error {
	width := f.cell()
	if width == 0 || f.Subsampled {
		return unsupported("RLE of %d bits, subsampled: %t", f.BitsAllocated, f.Subsampled)
	}
	segments, err := rleSegments(stream)
	if err != nil {
		return err
	}
	if len(segments) != f.Samples*width {
		return corrupt("%d segments for %d samples of %d bytes", len(segments), f.Samples, width)
	}
	pixels := f.Rows * f.Columns
	for i, segment := range segments {
		offset, stride := f.layout(i / width)
		offset += width - 1 - i%width
		if !unpack(dst[offset:], stride, pixels, segment) {
			return corrupt("segment %d ends early", i)
		}
	}
	return nil
}

// rleSegments cuts a stream at the offsets of its header. A segment ends where the next begins, the last at the end of the stream.
func rleSegments(stream []byte) ([][]byte, error) {
	if len(stream) < rleHeader {
		return nil, corrupt("header of %d bytes", len(stream))
	}
	count := binary.LittleEndian.Uint32(stream)
	if count < 1 || count > rleMaxSegments {
		return nil, corrupt("%d segments", count)
	}
	segments := make([][]byte, count)
	end := uint32(min(len(stream), 1<<32-1))
	for i := int(count) - 1; i >= 0; i-- {
		start := binary.LittleEndian.Uint32(stream[4+4*i:])
		if start < rleHeader || start > end {
			return nil, corrupt("segment %d at %d, next at %d", i, start, end)
		}
		segments[i] = stream[start:end]
		end = start
	}
	return segments, nil
}

// unpack expands a segment (G.3.2) to n bytes of dst, stride apart. It stops when they are full, in a run if need be, and is false when the
// segment ends before.
func unpack(dst []byte, stride, n int, segment []byte) bool {
	at, end := 0, n*stride
	for at < end {
		if len(segment) < 2 {
			return false
		}
		control := int(segment[0])
		switch {
		case control < 128: // literal run
			run := min(control+1, (end-at)/stride)
			if len(segment) < 1+run {
				return false
			}
			at = spread(dst, at, stride, segment[1:1+run])
			segment = segment[min(control+2, len(segment)):]
		case control > 128: // replicate run
			run := min(257-control, (end-at)/stride)
			at = repeat(dst, at, stride, segment[1], run)
			segment = segment[2:]
		default: // -128: nothing
			segment = segment[1:]
		}
	}
	return true
}

// spread writes values to dst from at on, stride apart, and returns where the next one goes.
func spread(dst []byte, at, stride int, values []byte) int {
	if stride == 1 {
		return at + copy(dst[at:], values)
	}
	for _, v := range values {
		dst[at] = v
		at += stride
	}
	return at
}

// repeat writes a value n times to dst from at on, stride apart, and returns where the next one goes.
func repeat(dst []byte, at, stride int, value byte, n int) int {
	end := at + n*stride
	if stride == 1 {
		run := dst[at:end]
		for i := range run {
			run[i] = value
		}
		return end
	}
	for ; at < end; at += stride {
		dst[at] = value
	}
	return at
}
