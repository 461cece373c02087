package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/dicomesh/dicomesh/dedup"
)

// Append appends m as a frame.
func Append(dst []byte, m Message) []byte {
	var w writer
	m.append(&w)
	dst = binary.AppendUvarint(dst, uint64(m.Kind()))
	dst = binary.AppendUvarint(dst, uint64(len(w.b)))
	return append(dst, w.b...)
}

// Read reads one frame whose body has at most limit bytes. io.EOF says that the stream ended before a frame; an error that satisfies
// errors.Is(err, ErrFrame) that the neighbour sent something wrong; any other is the stream's.
func Read(r *bufio.Reader, limit int) (Message, error) {
	kind, err := uvarint(r)
	if err == io.EOF {
		return nil, io.EOF
	}
	if err != nil {
		return nil, cut("kind", err)
	}
	size, err := uvarint(r)
	if err != nil {
		return nil, cut("length", err)
	}
	if size > uint64(limit) {
		return nil, fmt.Errorf("frame of %d bytes, more than %d: %w", size, limit, ErrFrame)
	}
	body, err := readBody(r, int(size))
	if err != nil {
		return nil, cut("body", err)
	}
	return Parse(Kind(kind), body)
}

// readBody takes memory as bytes arrive: a length is a claim.
func readBody(r io.Reader, size int) ([]byte, error) {
	const step = 64 << 10
	body := make([]byte, 0, min(size, step))
	for len(body) < size {
		n := min(size-len(body), step)
		body = append(body, make([]byte, n)...)
		if _, err := io.ReadFull(r, body[len(body)-n:]); err != nil {
			return nil, err
		}
	}
	return body, nil
}

// uvarint reads a number of a frame's head.
func uvarint(r io.ByteReader) (n uint64, err error) {
	for shift := 0; shift < 64; shift += 7 {
		b, err := r.ReadByte()
		switch {
		case errors.Is(err, io.EOF) && shift > 0:
			return 0, io.ErrUnexpectedEOF
		case err != nil:
			return 0, err
		case shift == 63 && b > 1:
			return 0, ErrFrame
		}
		if n |= uint64(b&0x7F) << shift; b < 0x80 {
			return n, nil
		}
	}
	return 0, ErrFrame
}

// cut says of the end of a stream within a frame that the frame is at fault.
func cut(where string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("frame cut short in its %s: %w", where, ErrFrame)
	}
	return fmt.Errorf("%s of a frame: %w", where, err)
}

// Parse reads the body of a frame. A kind that this release does not know gives an Unknown.
func Parse(kind Kind, body []byte) (Message, error) {
	m := newMessage(kind)
	if m == nil {
		return &Unknown{kind: kind}, nil
	}
	r := reader{b: body}
	m.parse(&r)
	if r.err != nil {
		return nil, fmt.Errorf("%s, at byte %d: %w", kind, len(body)-len(r.b), r.err)
	}
	return m, nil
}

// writer appends fields.
type writer struct{ b []byte }

func (w *writer) uint(n uint64)         { w.b = binary.AppendUvarint(w.b, n) }
func (w *writer) count(n int)           { w.uint(uint64(n)) }
func (w *writer) raw(b []byte)          { w.b = append(w.b, b...) }
func (w *writer) uid(u dedup.UID)       { w.text(u.String()) }
func (w *writer) digest(d dedup.Digest) { w.raw(d[:]) }

func (w *writer) text(s string) {
	w.count(len(s))
	w.b = append(w.b, s...)
}

func (w *writer) bool(v bool) {
	b := byte(0)
	if v {
		b = 1
	}
	w.b = append(w.b, b)
}

// reader takes fields off a body. After the first error every field is zero.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%s: %w", what, ErrFrame)
		r.b = nil
	}
}

func (r *reader) uint() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.fail("number")
		return 0
	}
	r.b = r.b[size:]
	return n
}

// count reads how many elements follow: no more than limit, and than there are bytes for.
func (r *reader) count(limit, least int) int {
	n := r.uint()
	if n > uint64(limit) || n > uint64(len(r.b)/least) {
		r.fail("count")
		return 0
	}
	return int(n)
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.fail("bytes")
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) text() string {
	return string(r.take(r.count(MaxText, 1)))
}

func (r *reader) bool() bool {
	b := r.take(1)
	if len(b) == 1 && b[0] > 1 {
		r.fail("truth value")
	}
	return len(b) == 1 && b[0] == 1
}

// uid reads a UID; zero if it is empty and none may be.
func (r *reader) uid() dedup.UID {
	u, err := dedup.ParseUID(r.text())
	if err != nil {
		r.fail("UID")
	}
	return u
}

func (r *reader) uidOrNone() dedup.UID {
	s := r.text()
	if s == "" {
		return dedup.UID{}
	}
	u, err := dedup.ParseUID(s)
	if err != nil {
		r.fail("UID")
	}
	return u
}

// ref reads the name of a file, in its one spelling.
func (r *reader) ref() dedup.Ref { return r.refOf(r.text()) }

func (r *reader) refOrNone() dedup.Ref {
	if s := r.text(); s != "" {
		return r.refOf(s)
	}
	return dedup.Ref{}
}

func (r *reader) refOf(s string) dedup.Ref {
	ref, err := dedup.ParseRef(s)
	if err != nil || ref.Path() != s {
		r.fail("name of a file")
		return dedup.Ref{}
	}
	return ref
}

func (r *reader) digest() (d dedup.Digest) {
	copy(d[:], r.take(len(d)))
	return d
}
