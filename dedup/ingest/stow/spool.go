package stow

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// inMemory is how much of an instance is received before it goes to a file, and how often it is asked whether there is room.
const inMemory = 1 << 20

// spool holds an instance while it is received: a small one in memory, another in a file that has no name, so that nothing of it is left when the process ends.
type spool struct {
	dir     string
	refusal func() error
	size    int64
	failed  error // of the spool itself

	small []byte
	file  *os.File
	asked int64 // size when it was asked for room
}

// Write implements io.Writer.
func (s *spool) Write(b []byte) (int, error) {
	if s.file == nil && len(s.small)+len(b) <= inMemory {
		s.small = append(s.small, b...)
		s.size += int64(len(b))
		return len(b), nil
	}
	if s.failed = s.spill(); s.failed != nil {
		return 0, s.failed
	}
	n, err := s.file.Write(b)
	s.size += int64(n)
	if s.failed = err; err == nil && s.size-s.asked > 16*inMemory {
		s.asked = s.size
		s.failed = s.refusal()
	}
	return n, s.failed
}

// spill begins a file with what is in memory.
func (s *spool) spill() error {
	if s.file != nil {
		return nil
	}
	if err := s.refusal(); err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	f, err := unnamed(s.dir)
	if err != nil {
		return err
	}
	s.file = f
	_, err = f.Write(s.small)
	s.small = nil
	return err
}

// unnamed makes a file without a name, or, on a file system that has none, one that loses it at once.
func unnamed(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, unix.O_TMPFILE|os.O_RDWR, 0o600)
	if err == nil || !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) {
		return f, err
	}
	if f, err = os.CreateTemp(dir, "receiving-*"); err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}

// ReadAt implements io.ReaderAt.
func (s *spool) ReadAt(b []byte, off int64) (int, error) {
	if s.file != nil {
		return s.file.ReadAt(b, off)
	}
	if off >= int64(len(s.small)) {
		return 0, io.EOF
	}
	n := copy(b, s.small[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (s *spool) close() {
	if s.file != nil {
		_ = s.file.Close() // it has no name: it is gone
	}
	s.small = nil
}
