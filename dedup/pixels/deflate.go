package pixels

import (
	"bytes"
	"errors"
	"io"

	"github.com/klauspost/compress/flate"
)

// decodeDeflated decodes a frame of Deflated Image Frame Compression (PS3.5 A.4.13): the native frame as one raw deflate stream (RFC 1951).
// The stream must hold exactly the frame and end; the NUL that makes its length even comes after that end.
func decodeDeflated(_ Frame, stream, dst []byte) error {
	r := flate.NewReader(bytes.NewReader(stream))
	if n, err := io.ReadFull(r, dst); err != nil {
		return corrupt("inflate: %d bytes of %d, then: %v", n, len(dst), err)
	}
	var more [1]byte
	switch _, err := io.ReadFull(r, more[:]); {
	case err == nil:
		return corrupt("inflate: more than %d bytes", len(dst))
	case !errors.Is(err, io.EOF):
		return corrupt("inflate: at the end: %v", err)
	}
	return nil
}
