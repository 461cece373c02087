package part10

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/pixels"
)

// image is what the root attributes say about Pixel Data.
type image struct {
	rows, columns, samples, allocated int64
	planar, signed                    int64
	frames                            int64 // at least 1
	framesText                        string
	photometric                       string
	offsets, offsetsAt                int64 // length of the Extended Offset Table and where it stands; 0: there is none
}

// note takes up an attribute of the root dataset; value is little-endian.
func (m *image) note(tag dedup.Tag, value []byte) {
	number := func(to *int64) {
		if len(value) >= 2 {
			*to = int64(binary.LittleEndian.Uint16(value))
		}
	}
	switch tag {
	case 0x00280002:
		number(&m.samples)
	case 0x00280004:
		m.photometric = strings.Trim(string(value), " \x00")
	case 0x00280006:
		number(&m.planar)
	case 0x00280008:
		m.framesText = strings.Trim(string(value), " \x00")
	case 0x00280010:
		number(&m.rows)
	case 0x00280011:
		number(&m.columns)
	case 0x00280100:
		number(&m.allocated)
	case 0x00280103:
		number(&m.signed)
	}
}

// count settles the number of frames. A text that is no whole number is refused: whoever reads such Pixel Data would have to guess. A number
// that is too high is only a claim: the value does not hold so many frames, and is not cut.
func (m *image) count() error {
	m.frames = 1
	text, _, _ := strings.Cut(m.framesText, `\`)
	if text = strings.TrimSpace(text); text == "" {
		return nil
	}
	n, ok := dedup.Whole(text)
	if !ok {
		return fmt.Errorf("(0028,0008) Number of Frames is no whole number, so that nobody knows where a frame ends: correct it and send the file again: %w", ErrFormat)
	}
	m.frames = max(n, 1)
	return nil
}

// frameSize is the bytes of a native frame, 0 when frames do not fall on bytes or nothing tells.
func (m *image) frameSize(tag dedup.Tag) int64 {
	allocated := m.allocated
	switch tag {
	case tagFloatPixels:
		allocated = 32
	case tagDoublePixels:
		allocated = 64
	}
	if allocated > 64 || m.samples > 255 {
		return 0
	}
	bits := m.rows * m.columns * max(m.samples, 1) * allocated
	if m.photometric == "YBR_FULL_422" {
		if bits%3 != 0 {
			return 0
		}
		bits = bits * 2 / 3
	}
	if bits%8 != 0 {
		return 0
	}
	return bits / 8
}

// cutNative is how a native value of length bytes falls into frames: their number, their size, and how many bytes are left over.
// One fragment of everything when the numbers do not fit.
func (m *image) cutNative(tag dedup.Tag, length int64) (frames, size, tail int64) {
	size = m.frameSize(tag)
	if size == 0 || m.frames > length/size || m.frames > maxFrames || length-m.frames*size > maxTail {
		return 1, length, 0
	}
	return m.frames, size, length - m.frames*size
}

// maxTail is the most bytes after the last frame that are kept beside the frames.
const maxTail = 1024

// decoder describes a frame to package pixels.
func (m *image) decoder() pixels.Frame {
	return pixels.Frame{
		Rows: int(m.rows), Columns: int(m.columns), Samples: int(max(m.samples, 1)),
		BitsAllocated: int(m.allocated), Signed: m.signed == 1, Planar: m.planar == 1,
		Subsampled: m.photometric == "YBR_FULL_422",
	}
}

// fragmentSpan is one fragment of encapsulated Pixel Data in the file.
type fragmentSpan struct {
	at, n int64 // of its bytes
}

// fragmentsAt lists the fragments that follow the header of encapsulated Pixel Data at byte at of the file, the offset table's item first.
func fragmentsAt(f readerAt, at, total int64, c coding) ([]fragmentSpan, error) {
	var out []fragmentSpan
	var b [8]byte
	for {
		if _, err := f.ReadAt(b[:], at); err != nil {
			return nil, fmt.Errorf("at byte %d: Pixel Data ends inside a fragment's header: %w", at, ErrTruncated)
		}
		n := int64(order(c).Uint32(b[4:]))
		switch tag := tagAt(b[:], c); {
		case tag == tagSequenceEnd:
			return out, nil
		case tag != tagItem || n == undefined:
			return nil, fmt.Errorf("at byte %d: no fragment where Pixel Data must have one: %w", at, ErrFormat)
		case at+8+n > total:
			return nil, fmt.Errorf("at byte %d: a fragment says that it has %d bytes, %d are left: %w", at, n, total-at-8, ErrTruncated)
		case len(out) > maxFragments:
			return nil, fmt.Errorf("at byte %d: more than %d fragments: %w", at, maxFragments, ErrFormat)
		}
		out = append(out, fragmentSpan{at: at + 8, n: n})
		at += 8 + n
	}
}

// groupFragments says how many fragments each frame has (FORMAT.md section 5). spans are without the offset table's. The first rule that gives as many frames as
// there should be counts: tables are wrong in real files, and one that has a single entry for many frames would hide all but the first.
func (m *image) groupFragments(f readerAt, spans []fragmentSpan, table []byte, syntax string) []int {
	n := len(spans)
	if n == 0 {
		return nil
	}
	if isVideo(syntax) {
		return []int{n}
	}
	extended, basic := groupAt(spans, m.extendedOffsets(f)), groupAt(spans, basicOffsets(table))
	tabled := extended
	if tabled == nil || basic != nil && int64(len(extended)) != m.frames && int64(len(basic)) == m.frames {
		tabled = basic
	}
	switch {
	case tabled != nil && (int64(len(tabled)) == m.frames || m.framesText == ""):
		return tabled
	case int64(n) == m.frames:
		return ones(n)
	case m.frames == 1:
		return []int{n}
	}
	if groups := byEndMark(f, spans); int64(len(groups)) == m.frames {
		return groups
	}
	if tabled != nil {
		return tabled
	}
	return ones(n)
}

// ones is one fragment for each of n frames.
func ones(n int) []int { return slices.Repeat([]int{1}, n) }

// extendedOffsets are those of the extended offset table, none where there is no table or none that can be.
func (m *image) extendedOffsets(f readerAt) []int64 {
	n := m.offsets / 8
	if n == 0 || n > maxFragments {
		return nil
	}
	b := make([]byte, n*8)
	if _, err := f.ReadAt(b, m.offsetsAt); err != nil {
		return nil
	}
	offsets := make([]int64, 0, n)
	for ; len(b) >= 8; b = b[8:] {
		offsets = append(offsets, int64(binary.LittleEndian.Uint64(b)))
	}
	return offsets
}

// basicOffsets are those of the basic offset table.
func basicOffsets(table []byte) []int64 {
	offsets := make([]int64, 0, len(table)/4)
	for ; len(table) >= 4; table = table[4:] {
		offsets = append(offsets, int64(binary.LittleEndian.Uint32(table)))
	}
	return offsets
}

// groupAt cuts the fragments at the offsets, which count from the first fragment's item header.
func groupAt(spans []fragmentSpan, offsets []int64) []int {
	if len(offsets) == 0 || offsets[0] != 0 {
		return nil
	}
	var groups []int
	next := 1
	for i, s := range spans {
		at := s.at - spans[0].at
		switch {
		case i == 0:
			groups = append(groups, 1)
		case next < len(offsets) && offsets[next] == at:
			groups = append(groups, 1)
			next++
		default:
			groups[len(groups)-1]++
		}
	}
	if next != len(offsets) {
		return nil
	}
	return groups
}

// byEndMark ends a frame at a fragment that ends with the end mark which all JPEG codecs share.
func byEndMark(f readerAt, spans []fragmentSpan) []int {
	var groups []int
	fresh := true
	for _, s := range spans {
		if fresh {
			groups = append(groups, 0)
		}
		groups[len(groups)-1]++
		var end [10]byte
		n := min(s.n, int64(len(end)))
		_, err := f.ReadAt(end[:n], s.at+s.n-n)
		fresh = err == nil && bytes.Contains(end[:n], []byte{0xFF, 0xD9})
	}
	return groups
}
