package dedup

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"
)

// Unwrap takes off the multipart envelope in which static-wado keeps raw values and frames: one part between two boundaries. mediaType is
// the part's Content-Type. Content without an envelope is returned as it is, with mediaType "".
//
// Nothing but the content says whether there is an envelope, so only call it for files of other writers. The body ends with ErrDamaged when the
// closing boundary is not where it should be.
func Unwrap(content io.Reader) (body io.Reader, mediaType string, err error) {
	in := bufio.NewReaderSize(content, 4096)
	head, err := in.Peek(in.Size())
	if err != nil && err != io.EOF {
		return nil, "", err
	}
	end := bytes.Index(head, []byte("\r\n\r\n"))
	if end < 0 || !bytes.HasPrefix(head, []byte("--")) {
		return in, "", nil
	}
	lines := strings.Split(string(head[:end]), "\r\n")
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		if strings.EqualFold(name, "Content-Type") {
			mediaType = strings.TrimSpace(value)
		}
	}
	if mediaType == "" || len(lines[0]) > 72 {
		return in, "", nil
	}
	if _, err := in.Discard(end + 4); err != nil {
		return nil, "", err
	}
	return &part{in: in, closing: "\r\n" + lines[0] + "--"}, mediaType, nil
}

// part is a reader of everything before the closing boundary, which is the last thing in the file.
type part struct {
	in      *bufio.Reader
	closing string
}

func (p *part) Read(b []byte) (int, error) {
	ahead, err := p.in.Peek(p.in.Size())
	if err != nil && err != io.EOF {
		return 0, err
	}
	if err == nil {
		// The closing boundary, with or without a line end, is shorter than what stays.
		n, _ := p.in.Read(b[:min(len(b), len(ahead)-len(p.closing)-2)])
		return n, nil
	}
	body, ok := strings.CutSuffix(strings.TrimSuffix(string(ahead), "\r\n"), p.closing)
	if !ok {
		return 0, fmt.Errorf("%w: an envelope does not close", ErrDamaged)
	}
	if body == "" {
		return 0, io.EOF
	}
	return p.in.Read(b[:min(len(b), len(body))])
}
