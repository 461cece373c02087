package part10

import (
	"io"
)

// Loaded is a file that was read into memory whole. Take, Identify and Compare work on its bytes where they lie, and copy none of them: that is the
// cheapest way to give them a file that is not large. Nobody writes into it meanwhile.
type Loaded []byte

// ReadAt implements io.ReaderAt.
func (l Loaded) ReadAt(p []byte, at int64) (int, error) {
	if at < 0 || at >= int64(len(l)) {
		return 0, io.EOF
	}
	n := copy(p, l[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// input is a file that is read from start to end.
type input interface {
	io.Reader
	consumed() int64 // bytes read so far
}

// stream is what a scanner reads: a bufio.Reader over an input, or a file in memory.
type stream interface {
	io.Reader
	io.ByteReader
	Peek(n int) ([]byte, error)
	Discard(n int) (int, error)
}

// unread is the rest of something in memory.
type unread struct {
	rest []byte
	n    int64 // bytes read so far
}

func (u *unread) Peek(n int) ([]byte, error) {
	if n > len(u.rest) {
		return u.rest, io.EOF
	}
	return u.rest[:n], nil
}

func (u *unread) Discard(n int) (int, error) {
	b, err := u.Peek(n)
	u.next(len(b))
	return len(b), err
}

func (u *unread) Read(p []byte) (int, error) {
	if len(u.rest) == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return copy(p, u.next(min(len(p), len(u.rest)))), nil
}

func (u *unread) ReadByte() (byte, error) {
	if len(u.rest) == 0 {
		return 0, io.EOF
	}
	return u.next(1)[0], nil
}

func (u *unread) consumed() int64 { return u.n }

// next is the next n bytes, which are there.
func (u *unread) next(n int) []byte {
	b := u.rest[:n:n]
	u.rest = u.rest[n:]
	u.n += int64(n)
	return b
}
