package index

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/zeebo/blake3"
)

// The digest log is a row of frames, each of files of one study:
//
//	"DMDG"  by which a reader finds its way back after damage
//	version uint32, little-endian: 1
//	length  uint32: of the payload
//	sum     16 bytes of the BLAKE3 of: where the frame begins (uint64), version, length, payload
//	payload the study's UID (uvarint, bytes), then entries as in a chunk of the index
//
// That a frame's place is part of its sum keeps a block that the disk put elsewhere from passing.
const (
	frameMagic   = "DMDG"
	frameVersion = 1
	frameHead    = 4 + 4 + 4 + 16
	frameLimit   = 1 << 20
)

type frame struct {
	study   dedup.UID
	entries []change
	next    int64
}

func appendFrame(out []byte, at int64, study dedup.UID, chunk []byte) []byte {
	payload := append(appendText(nil, study.String()), chunk...)
	out = append(out, frameMagic...)
	out = binary.LittleEndian.AppendUint32(out, frameVersion)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(payload)))
	out = append(out, frameSum(at, out[len(out)-8:], payload)...)
	return append(out, payload...)
}

func frameSum(at int64, versionAndLength, payload []byte) []byte {
	h := blake3.New()
	var place [8]byte
	binary.LittleEndian.PutUint64(place[:], uint64(at))
	for _, b := range [...][]byte{place[:], versionAndLength, payload} {
		_, _ = h.Write(b)
	}
	return h.Sum(nil)[:16]
}

// readFrame reads the frame at that byte of a log that ends at end. An error is ErrDamaged or the disk's.
func readFrame(file io.ReaderAt, at, end int64) (f frame, err error) {
	var head [frameHead]byte
	if end-at < frameHead {
		return f, fmt.Errorf("the log ends: %w", ErrDamaged)
	}
	if err := readAll(file, head[:], at); err != nil {
		return f, err
	}
	length := int64(binary.LittleEndian.Uint32(head[8:]))
	if string(head[:4]) != frameMagic || length > frameLimit || length > end-at-frameHead {
		return f, fmt.Errorf("no record: %w", ErrDamaged)
	}
	payload := make([]byte, length)
	if err := readAll(file, payload, at+frameHead); err != nil {
		return f, err
	}
	if !bytes.Equal(head[12:], frameSum(at, head[4:12], payload)) {
		return f, fmt.Errorf("a record with a wrong checksum: %w", ErrDamaged)
	}
	f.next = at + frameHead + length
	if v := binary.LittleEndian.Uint32(head[4:]); v != frameVersion {
		return f, fmt.Errorf("a record of version %d, made by a later release: %w", v, errLater)
	}
	return f, f.parse(payload)
}

// errLater ends the reading of a log that a later release has written into: cutting or skipping anything there would lose what it knows.
var errLater = errors.New("use the release that made it, or a later one")

func (f *frame) parse(payload []byte) (err error) {
	n, size := binary.Uvarint(payload)
	if size <= 0 || n > uint64(len(payload)-size) {
		return fmt.Errorf("a record without a study: %w", ErrDamaged)
	}
	if f.study, err = dedup.ParseUID(string(payload[size : size+int(n)])); err != nil {
		return fmt.Errorf("a record without a study: %w", ErrDamaged)
	}
	f.entries, err = readChunk(f.study, payload[size+int(n):])
	return err
}

func readAll(file io.ReaderAt, b []byte, at int64) error {
	if _, err := file.ReadAt(b, at); err != nil {
		return err
	}
	return nil
}

// tornAt reports whether what follows the last good frame is what a crash leaves of an append: the beginning of a frame, and then the end of the log, or zeros where the
// bytes never came. Anything else was recorded once, and is damaged: nobody may cut it off and say that it never was.
func tornAt(file io.ReaderAt, at, end int64) (bool, error) {
	left := end - at
	if left < frameHead {
		return true, nil
	}
	var head [frameHead]byte
	if err := readAll(file, head[:], at); err != nil {
		return false, err
	}
	tail := make([]byte, min(left, frameTail))
	if err := readAll(file, tail, end-int64(len(tail))); err != nil {
		return false, err
	}
	if len(bytes.Trim(tail, "\x00")) == 0 {
		return true, nil
	}
	length := int64(binary.LittleEndian.Uint32(head[8:]))
	if string(head[:4]) != frameMagic || length <= left-frameHead || left-frameHead > frameLimit {
		return false, nil
	}
	// Cut short, unless it is the length that is damaged and the frame is whole.
	payload := make([]byte, left-frameHead)
	if err := readAll(file, payload, at+frameHead); err != nil {
		return false, err
	}
	binary.LittleEndian.PutUint32(head[8:], uint32(len(payload)))
	return !bytes.Equal(head[12:], frameSum(at, head[4:12], payload)), nil
}

// frameTail is how many zeros no frame ends with: its last bytes are of a digest or a name.
const frameTail = 16

// frameScan goes from frame to frame, and over damage to the next good one.
type frameScan struct {
	file   io.ReaderAt
	size   int64
	at     int64 // where frame begins
	frame  frame
	end    int64 // behind the last good frame
	damage []Damage
	err    error // the disk's
}

// next goes to the next good frame. What is between two of them is damage; what is behind the last one is what a crash leaves.
func (s *frameScan) next() bool {
	for at := s.end; at < s.size; {
		f, err := readFrame(s.file, at, s.size)
		if err == nil {
			if at > s.end {
				s.damage = append(s.damage, Damage{s.end, at})
			}
			s.at, s.frame, s.end = at, f, f.next
			return true
		}
		if !errors.Is(err, ErrDamaged) {
			s.err = fmt.Errorf("byte %d: %w", at, err)
			return false
		}
		if at, err = s.magic(at + 1); err != nil {
			s.err = err
			return false
		}
	}
	return false
}

// magic is where the next frame may begin, from a byte on; the end of the log if there is none.
func (s *frameScan) magic(from int64) (int64, error) {
	buf := make([]byte, 64<<10)
	for from < s.size {
		n, err := s.file.ReadAt(buf[:min(int64(len(buf)), s.size-from)], from)
		if err != nil && err != io.EOF {
			return 0, err
		}
		if i := bytes.Index(buf[:n], []byte(frameMagic)); i >= 0 {
			return from + int64(i), nil
		}
		if n < len(frameMagic) {
			break
		}
		from += int64(n - len(frameMagic) + 1)
	}
	return s.size, nil
}
