package web

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/klauspost/compress/gzip"
)

// How long clients keep an answer: what can change they ask for again, with its ETag; a value that is named by its hash never changes.
const (
	forNow  = "private, no-cache"
	forEver = "private, max-age=31536000, immutable"
)

// jsonFile answers with one of the files of JSON, gzipped as it is stored when the client takes that.
func (h *Handler) jsonFile(folder func(target) string, name string) answer {
	return func(w http.ResponseWriter, r *http.Request, t target) error {
		mediaType, err := jsonType(r)
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", mediaType)
		return h.sendZipped(w, r, folder(t)+"/"+name)
	}
}

// jsonType is how JSON is called in the answer: DICOM's, or plainly for a client that knows only that.
func jsonType(r *http.Request) (string, error) {
	mediaType, ok := accepts(r, "application/dicom+json", "application/json")
	if !ok {
		return "", problem{http.StatusNotAcceptable, "this is application/dicom+json"}
	}
	return mediaType, nil
}

// sendZipped sends a file that is gzipped on disk.
func (h *Handler) sendZipped(w http.ResponseWriter, r *http.Request, name string) error {
	f, info, err := h.open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	tag := h.tags.of(f, info)
	w.Header().Add("Vary", "Accept, Accept-Encoding")
	w.Header().Set("Cache-Control", forNow)
	if gzips(r) {
		if fresh(w, r, `"`+tag+`-gz"`) {
			return nil
		}
		w.Header().Set("Content-Encoding", "gzip")
		if r.Header.Get("Range") == "" { // the library says it of bytes that are not encoded alone, and without it they would go in chunks, by way of a buffer
			w.Header().Set("Content-Length", strconv.FormatInt(info.Size(), 10))
		}
		return sendFile(w, r, f, info.Size())
	}
	if fresh(w, r, `"`+tag+`"`) || r.Method == http.MethodHead {
		return nil
	}
	return inflate(w, f)
}

// inflate sends what is in a gzipped file.
func inflate(w http.ResponseWriter, f durable.File) error {
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, z)
	if err != nil {
		return sentError{err}
	}
	return nil
}

// fresh sets the ETag and, when the client has that, or wants another or nothing, answers so (RFC 9110 section 13.2.2). No answer has a time of change, so conditions of time say nothing (13.1.3).
func fresh(w http.ResponseWriter, r *http.Request, tag string) bool {
	w.Header().Set("ETag", tag)
	code := 0
	if wanted := r.Header.Values("If-Match"); len(wanted) > 0 && !names(wanted, tag) {
		code = http.StatusPreconditionFailed
	} else if has := r.Header.Values("If-None-Match"); names(has, tag) || names(has, "W/"+tag) {
		code = http.StatusNotModified
	}
	if code == 0 {
		return false
	}
	w.Header().Del("Content-Type")
	w.WriteHeader(code)
	return true
}

// names reports whether a list of ETags, as clients send it, has one, or is *.
func names(list []string, tag string) bool {
	for _, text := range list {
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part == "*" || part == tag {
				return true
			}
		}
	}
	return false
}

// sendFile sends the bytes of a file, or the range or the news that the client asks for. Content-Type and ETag are set.
func sendFile(w http.ResponseWriter, r *http.Request, f durable.File, size int64) error {
	if text, end := strings.CutPrefix(r.Header.Get("Range"), "bytes=-"); end && text != "" && strings.Trim(text, "0") == "" { // the library would answer with nothing, as a range
		w.Header().Set("Content-Range", "bytes */"+strconv.FormatInt(size, 10))
		return problem{http.StatusRequestedRangeNotSatisfiable, "the end of no bytes is nothing"}
	}
	content, ok := f.(io.ReadSeeker)
	if !ok {
		content = io.NewSectionReader(f, 0, size)
	}
	http.ServeContent(w, r, "", time.Time{}, content)
	return nil
}

// open opens a file of the current tree, and describes the very file that it opened.
func (h *Handler) open(name string) (durable.File, fs.FileInfo, error) {
	f, err := h.config.Current.Open(name)
	if err != nil {
		return nil, nil, err
	}
	info, err := describe(f)
	if errors.Is(err, errors.ErrUnsupported) {
		info, err = h.config.Current.Lstat(name)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// describe is what the system says of an open file; errors.ErrUnsupported of one that is not the system's.
func describe(f durable.File) (fs.FileInfo, error) {
	if described, ok := f.(interface{ Stat() (fs.FileInfo, error) }); ok {
		return described.Stat()
	}
	return nil, errors.ErrUnsupported
}

// tagOf is an ETag for a file that does not say of what it is: files are replaced and not written into, so its inode and times will do.
func tagOf(info fs.FileInfo) string {
	id := identityOf(info)
	if id == (identity{}) {
		id = identity{0, info.Size(), info.ModTime().UnixNano(), 0}
	}
	return strconv.FormatUint(id.inode, 36) + "-" + strconv.FormatInt(id.size, 36) + "-" + strconv.FormatInt(id.mtime, 36)
}

// tagCache remembers the ETags of files of JSON: to make one takes unpacking the beginning of the file.
type tagCache struct {
	mu   sync.Mutex
	tags map[identity]string
}

// maxTags bounds the cache; an entry is some 150 bytes.
const maxTags = 4096

// of is the ETag of an open file; info describes that very file.
func (c *tagCache) of(f durable.File, info fs.FileInfo) string {
	id := identityOf(info)
	c.mu.Lock()
	tag, ok := c.tags[id]
	c.mu.Unlock()
	if ok && id != (identity{}) {
		return tag
	}
	if tag = madeOf(f); tag == "" {
		tag = tagOf(info)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tags == nil || len(c.tags) >= maxTags {
		c.tags = map[identity]string{}
	}
	c.tags[id] = tag
	return tag
}

// leaves is DeduppedLeaves as the first object of each file has it: what the file was generated from, and the generator's version.
var leaves = regexp.MustCompile(`"0009[0-9A-F]{2}1B":\{"Value":\["([0-9a-f]{64})","([0-9A-Za-z. ]{1,32})"\]`)

// madeOf is an ETag made of what a gzipped file of JSON says that it was generated from, and of the checksum at its end, because an instance that came in may have
// said such things too. It is "" for a file that says nothing.
func madeOf(f durable.File) string {
	size, err := f.Size()
	if err != nil || size < 8 {
		return ""
	}
	var end [8]byte
	if _, err := f.ReadAt(end[:], size-8); err != nil {
		return ""
	}
	from := ""
	_ = searchHead(f, func(head []byte) bool {
		m := leaves.FindSubmatch(head)
		if m != nil {
			from = string(m[1][:32]) + "-" + string(m[2]) + "-" + strconv.FormatUint(binary.LittleEndian.Uint64(end[:]), 36)
		}
		return m != nil
	})
	return from
}

// isOf reports whether a gzipped file of JSON says that it was generated from that.
func isOf(f durable.File, digest, version string) bool {
	want := []byte(`1B":{"Value":["` + digest + `","` + version + `"]`)
	return searchHead(f, func(head []byte) bool { return bytes.Contains(head, want) })
}

// headSize is how far into a file its first private block is looked for: only what the standard has in groups up to 0008 stands before it.
const headSize = 1 << 20

// searchHead shows ever more of the beginning of what is in a gzipped file until found says so.
func searchHead(f durable.File, found func(head []byte) bool) bool {
	size, err := f.Size()
	if err != nil {
		return false
	}
	z, err := gzip.NewReader(io.NewSectionReader(f, 0, size))
	if err != nil {
		return false
	}
	head := make([]byte, 4<<10)
	for have := 0; ; head = append(head, make([]byte, 3*len(head))...) {
		n, err := io.ReadFull(z, head[have:])
		have += n
		if found(head[:have]) {
			return true
		}
		if err != nil || len(head) >= headSize {
			return false
		}
	}
}
