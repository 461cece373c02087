package web

import (
	"io"
	"net/http"
	"strconv"
	"strings"
)

// part is one part of an answer of multipart/related (RFC 2387, PS3.18 section 8.6.1.2).
type part struct {
	mediaType string
	location  string // relative to the URL of the request; "" for none
	size      int64  // in bytes; -1 where only sending it tells
	send      func(io.Writer) error
}

// head is what stands before a part's bytes.
func (p part) head(boundary string, first bool) string {
	var b strings.Builder
	if !first {
		b.WriteString("\r\n")
	}
	b.WriteString("--" + boundary + "\r\n")
	if p.size >= 0 {
		b.WriteString("Content-Length: " + strconv.FormatInt(p.size, 10) + "\r\n")
	}
	if p.location != "" {
		b.WriteString("Content-Location: " + p.location + "\r\n")
	}
	b.WriteString("Content-Type: " + p.mediaType + "\r\n\r\n")
	return b.String()
}

// relatedType is the Content-Type of an answer whose parts are of a media type, which may have parameters.
func relatedType(mediaType, boundary string) string {
	kind, _, _ := strings.Cut(mediaType, ";")
	return related + `; type="` + kind + `"; boundary=` + boundary
}

// boundaryOf is made of the ETag, so that equal answers are equal bytes: the inodes, times and digests in it are not known to whoever makes an image, so none has it inside.
func boundaryOf(tag string) string { return digest("boundary " + tag) }

// sendParts sends parts whose sizes are known, so the whole has a length. ETag is set.
func sendParts(w http.ResponseWriter, r *http.Request, parts []part, tag string) error {
	boundary := boundaryOf(tag)
	end := "\r\n--" + boundary + "--\r\n"
	size := int64(len(end))
	for n, p := range parts {
		size += int64(len(p.head(boundary, n == 0))) + p.size
	}
	w.Header().Set("Content-Type", relatedType(parts[0].mediaType, boundary))
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	if r.Method == http.MethodHead {
		return nil
	}
	for n, p := range parts {
		_, err := io.WriteString(w, p.head(boundary, n == 0))
		if err == nil {
			err = p.send(w)
		}
		if err != nil {
			return sentError{err}
		}
	}
	if _, err := io.WriteString(w, end); err != nil {
		return sentError{err}
	}
	return nil
}
