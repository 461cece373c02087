package index

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/zeebo/blake3"
)

// Measured is a file that was read to its end, and what is remarkable about it.
type Measured struct {
	Entry
	// Head is the header of a gzipped file's first member, without what options may add to it.
	Head [10]byte
	// Members is how many gzip members the file has: more than one is legal, and never what dicomesh writes.
	Members int
}

// gzipHead is the header that dicomesh writes: deflate, no flags, no time, level 6, system unknown.
const gzipHead = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

// Plain reports whether the gzip envelope is exactly as dicomesh writes it (FORMAT.md section 1).
func (m Measured) Plain() bool { return PlainHead(m.Head[:]) && m.Members == 1 }

// PlainHead reports whether a gzipped file begins as dicomesh writes it.
func PlainHead(stored []byte) bool {
	return strings.HasPrefix(string(stored[:min(len(stored), len(gzipHead))]), gzipHead)
}

// Legal reports whether the gzip envelope is one that some writer may have written: no reserved flag, a level and a system that are known (RFC 1952 section
// 2.3.1; zlib writes systems up to 19).
func (m Measured) Legal() bool {
	flags, level, system := m.Head[3], m.Head[8], m.Head[9]
	return flags&0xE0 == 0 && (level == 0 || level == 2 || level == 4) && (system <= 19 || system == 255)
}

// Meter measures one file after another with the same buffers. The zero Meter is ready; it is for one goroutine.
type Meter struct {
	in              *bufio.Reader
	z               *gzip.Reader
	buf             []byte
	stored, content *blake3.Hasher // of 10 KiB each
}

// Measure reads a file to its end, whatever its size, in little memory, and takes its sizes and digests. What it reads it writes to content as well, if that
// is not nil; an error of content's ends it.
//
// A gzipped file that is cut short, damaged, or has bytes behind its end satisfies errors.Is(err, dedup.ErrDamaged). Other errors are the disk's.
func (t *Meter) Measure(fsys durable.Reader, h dedup.Held, content io.Writer) (Measured, error) {
	m := Measured{Entry: Entry{Ref: h.Ref, Path: h.Path}}
	file, err := fsys.Open(h.Path)
	if err != nil {
		return m, err
	}
	defer file.Close()
	if t.buf == nil {
		t.in, t.z, t.buf = bufio.NewReaderSize(nil, 64<<10), new(gzip.Reader), make([]byte, 256<<10)
		t.stored, t.content = blake3.New(), blake3.New()
	}
	t.stored.Reset()
	t.content.Reset()
	in := &counter{from: file, digest: t.stored}
	out := &sink{digest: t.content, to: content}
	packed := strings.HasSuffix(h.Path, ".gz")
	if packed {
		err = t.expand(&m, in, out)
	} else {
		out.digest = nil // it would be that of in
		_, err = io.CopyBuffer(out, in, t.buf)
	}
	if err != nil {
		return m, err
	}
	m.Disk, m.Size = in.n, out.n
	m.Stored = dedup.Digest(in.digest.Sum(nil))
	if m.Content = m.Stored; packed {
		m.Content = dedup.Digest(out.digest.Sum(nil))
	}
	return m, nil
}

// Measure is Meter.Measure for a file now and then.
func Measure(fsys durable.Reader, h dedup.Held, content io.Writer) (Measured, error) {
	return new(Meter).Measure(fsys, h, content)
}

// expand reads all gzip members.
func (t *Meter) expand(m *Measured, in io.Reader, out io.Writer) error {
	t.in.Reset(in)
	head, err := t.in.Peek(len(m.Head))
	if err == io.EOF && len(head) == 0 {
		return fmt.Errorf("no bytes: %w", dedup.ErrDamaged)
	}
	copy(m.Head[:], head)
	for {
		if err := t.z.Reset(t.in); err != nil {
			return gzipError(err)
		}
		t.z.Multistream(false)
		if _, err := io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{t.z}, t.buf); err != nil {
			return gzipError(err)
		}
		m.Members++
		next, err := t.in.Peek(2)
		if err == io.EOF && len(next) == 0 {
			return nil
		} else if err != nil && err != io.EOF {
			return err
		}
		if !bytes.Equal(next, []byte{0x1f, 0x8b}) {
			return fmt.Errorf("bytes behind the end of the gzip member: %w", dedup.ErrDamaged)
		}
	}
}

// gzipError says of an error whether it is the file's or the disk's.
func gzipError(err error) error {
	var corrupt flate.CorruptInputError
	switch {
	case errors.Is(err, gzip.ErrHeader):
		return fmt.Errorf("not a gzip header: %w", dedup.ErrDamaged)
	case errors.Is(err, gzip.ErrChecksum):
		return fmt.Errorf("the gzip checksum does not fit the content: %w", dedup.ErrDamaged)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the gzip member is cut short: %w", dedup.ErrDamaged)
	case errors.As(err, &corrupt):
		return fmt.Errorf("the gzip member does not expand beyond byte %d: %w", int64(corrupt), dedup.ErrDamaged)
	}
	return err
}

// counter is a reader that counts and takes a digest.
type counter struct {
	from   io.Reader
	digest *blake3.Hasher
	n      int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.from.Read(b)
	_, _ = c.digest.Write(b[:n])
	c.n += int64(n)
	return n, err
}

// sink is a writer that counts, takes a digest and passes on.
type sink struct {
	digest *blake3.Hasher // nil: none is taken
	n      int64
	to     io.Writer
}

func (s *sink) Write(b []byte) (int, error) {
	if s.digest != nil {
		_, _ = s.digest.Write(b)
	}
	s.n += int64(len(b))
	if s.to == nil {
		return len(b), nil
	}
	return s.to.Write(b)
}
