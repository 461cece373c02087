package part10

import (
	"errors"
	"io"
	"slices"
)

// Read reads on in the value that the last token announced; io.EOF at its end.
func (s *scanner) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > s.left {
		p = p[:s.left]
	}
	n, err := s.r.Read(p)
	s.off, s.left = s.off+int64(n), s.left-int64(n)
	if errors.Is(err, io.EOF) && s.left > 0 {
		err = s.short(s.off, "ends inside a value: %d more bytes were announced", s.left)
	}
	return n, err
}

// inPlace reads the next n bytes of the announced value where they lie, if the file is in memory.
func (s *scanner) inPlace(n int64) ([]byte, bool) {
	u, ok := s.r.(*unread)
	if !ok || n > s.left || n > int64(len(u.rest)) {
		return nil, false
	}
	s.off, s.left = s.off+n, s.left-n
	return u.next(int(n)), true
}

// value reads the announced value, appended to dst, a piece at a time: in a deflated dataset nothing but the bytes themselves says that a
// length is no lie.
func (s *scanner) value(dst []byte) ([]byte, error) {
	const step = 1 << 20
	for s.left > 0 {
		n := len(dst)
		dst = slices.Grow(dst, int(min(s.left, step)))[:n+int(min(s.left, step))]
		if _, err := io.ReadFull(s, dst[n:]); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// skip reads over the announced value.
func (s *scanner) skip() error {
	for s.left > 0 {
		n, err := s.r.Discard(int(min(s.left, 1<<30)))
		s.off, s.left = s.off+int64(n), s.left-int64(n)
		if errors.Is(err, io.EOF) {
			return s.short(s.off, "ends inside a value: %d more bytes were announced", s.left)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
