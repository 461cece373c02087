package dedup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
)

// ErrTooLarge says that a file is larger, or expands further, than its reader wants to have it. Nothing is wrong with the disk.
var ErrTooLarge = errors.New("larger than the limit")

// ErrDamaged says that a file's bytes are not what was written: its gzip envelope does not read to its end, or content does not have its name.
var ErrDamaged = errors.New("damaged")

// Compressor writes gzip as the archive does: one member, no name, no time. The bytes may differ between releases, and nothing
// compares them. The zero Compressor is ready; once it had long content it keeps a megabyte that is dear to make, so whoever writes many files keeps one.
// It is used by one goroutine at a time.
type Compressor struct {
	short, long *gzip.Writer
}

// Append appends content, compressed, to dst.
func (c *Compressor) Append(dst, content []byte) []byte {
	if len(content) <= shortContent {
		return appendGzip(&c.short, gzip.StatelessCompression, dst, content)
	}
	at := len(dst)
	dst = appendGzip(&c.long, longLevel, dst, content)
	if int64(len(content)) > max(freeExpansion, int64(len(dst)-at)*jsonRatio) {
		// No reader would expand it so far. Without matches a byte is a bit at least.
		return appendGzip(new(*gzip.Writer), gzip.HuffmanOnly, dst[:at], content)
	}
	return dst
}

// appendGzip appends content compressed with z, which is made if it is nil.
func appendGzip(z **gzip.Writer, level int, dst, content []byte) []byte {
	out := bytes.NewBuffer(dst)
	var err error
	if *z == nil {
		*z, err = gzip.NewWriterLevel(out, level)
	} else {
		(*z).Reset(out)
	}
	if err == nil {
		(*z).ModTime = time.Unix(0, 0) // "no time" in the header; the zero Time would be written as one
		_, err = (*z).Write(content)
	}
	if err == nil {
		err = (*z).Close()
	}
	if err != nil {
		panic(err) // A Buffer takes everything, and the level is right.
	}
	return out.Bytes()
}

// Compress is Compressor.Append for a file now and then.
func Compress(dst, content []byte) []byte { return new(Compressor).Append(dst, content) }

// How content is compressed. What is short, as nearly all instance files and extracts are, goes without the tables of level 6: they are far larger than the
// content and out of the cache each time, which cost more than all the rest of it. It gets a sixth longer for that: 230 bytes of a CT slice's 527,000.
const (
	shortContent = 16 << 10
	longLevel    = 6
)

// How far content may expand once it is above 1 MiB. JSON of real studies was seen at up to 60 : 1; other values may be all zeros, which gzip
// makes 1,028 times smaller.
const (
	freeExpansion = 1 << 20
	jsonRatio     = 400
	valueRatio    = 1100
)

// expand reads the content of a gzipped file. It ends with ErrTooLarge where content goes beyond most, with ErrDamaged
// where the file is not whole.
func expand(r io.Reader, most int64) (io.Reader, error) {
	z, err := gzip.NewReader(r)
	if err == io.EOF {
		return nil, fmt.Errorf("%w: no bytes", ErrDamaged)
	} else if err != nil {
		return nil, gzipError(err)
	}
	return &bounded{z, most, true}, nil
}

// bounded is a reader of at most so many bytes more.
type bounded struct {
	r       io.Reader
	left    int64
	gzipped bool
}

func (b *bounded) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, ErrTooLarge
	}
	if b.gzipped {
		err = gzipError(err)
	}
	return n, err
}

// gzipError says of an error whether it is the file's or the disk's.
func gzipError(err error) error {
	var corrupt flate.CorruptInputError
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &corrupt) {
		return fmt.Errorf("%w: %v", ErrDamaged, err)
	}
	return err
}
