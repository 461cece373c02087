package part10

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// ErrDiffers says that what was rebuilt is not the file that it was compared with.
var ErrDiffers = errors.New("the rebuilt file differs from the original")

// Compare reads the rebuilt file and f, which has size bytes, side by side: nil means that WriteTo would write exactly f. It takes no
// digest, and is the cheaper proof where the original is at hand. buf is used for reading; it is worth keeping where many files are compared.
func (r *Rebuilt) Compare(f io.ReaderAt, size int64, buf []byte) error {
	l, loaded := f.(Loaded)
	if r.deflate > 0 || r.layout.size() != size || loaded && int64(len(l)) != size {
		return ErrDiffers
	}
	if len(buf) < 2*minCompare {
		buf = make([]byte, copyBuffer)
	}
	c := comparison{pieceWriter: pieceWriter{r: r, buf: buf}, file: f}
	if c.loaded = l; !loaded {
		half := len(buf) / 2 &^ 15 // whole units of every VR
		c.buf, c.mine = buf[:half], buf[half:]
	}
	defer c.close()
	return c.pieces(&c, r.layout.pieces)
}

const minCompare = 4 << 10

// comparison is a writer that accepts nothing but the bytes of a file, in order.
type comparison struct {
	pieceWriter
	file io.ReaderAt
	at   int64
	mine []byte // of the file

	loaded Loaded // the file, if it is in memory
}

func (c *comparison) Write(b []byte) (int, error) {
	if c.loaded != nil {
		return c.compare(b)
	}
	for n := 0; n < len(b); {
		part := c.mine[:min(len(c.mine), len(b)-n)]
		if got, err := c.file.ReadAt(part, c.at); got < len(part) {
			return n, fmt.Errorf("compare at byte %d: %w", c.at, errors.Join(err, ErrDiffers))
		}
		if !bytes.Equal(part, b[n:n+len(part)]) {
			return n, fmt.Errorf("compare at byte %d: %w", c.at, ErrDiffers)
		}
		n, c.at = n+len(part), c.at+int64(len(part))
	}
	return len(b), nil
}

// compare is Write where the file is in memory.
func (c *comparison) compare(b []byte) (int, error) {
	if !bytes.HasPrefix(c.loaded[c.at:], b) { // it is as long as all that is rebuilt
		return 0, fmt.Errorf("compare at byte %d: %w", c.at, ErrDiffers)
	}
	c.at += int64(len(b))
	return len(b), nil
}
