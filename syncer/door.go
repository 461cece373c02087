package syncer

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/dedup/verify"
	"github.com/klauspost/compress/gzip"
	"github.com/zeebo/blake3"
)

// The door: what a neighbour sent is checked here, before anything of it is staged as what it says that it is.

// How far a compressed file may expand: freely to a megabyte, then so many times its size (FORMAT.md section 2), never beyond.
const (
	freeExpansion  = 1 << 20
	jsonRatio      = 400
	valueRatio     = 1100
	mostObject     = 256 << 20 // bytes of a list, an instance file or an object, decompressed
	mostCompressed = 64 << 20  // bytes of a compressed file, as sent
)

// The records of one file: so many, none of fewer bytes. Each takes hundreds of bytes of memory, however little it says.
const (
	mostRecords = 1 << 18
	leastRecord = 40
)

// content is what a file holds, decompressed where its path ends in .gz, never more than the limits. one says that it is compressed in one piece, as dicomesh
// does it.
func content(ref dedup.Ref, stored []byte) (text []byte, one bool, err error) {
	u, err := unpack(ref, stored)
	if err == nil && u.large {
		u.text, err = u.inflate(stored)
	}
	return u.text, u.one, err
}

// unpacked is a file that was read to its end, and was found to keep the limits.
type unpacked struct {
	text  []byte
	large bool // it was read, and not kept
	size  int
	one   bool
}

// unpack reads a file to its end. Who sends one that would expand without end, or beyond the limits, has no memory taken for it.
func unpack(ref dedup.Ref, stored []byte) (unpacked, error) {
	if !strings.HasSuffix(ref.Path(), ".gz") {
		return unpacked{text: stored, size: len(stored)}, nil
	}
	ratio := int64(jsonRatio)
	if ref.Class == dedup.Bulkdata && ref.Ext != ".json.gz" {
		ratio = valueRatio
	}
	in := bytes.NewReader(stored)
	z, err := gzip.NewReader(in)
	if err != nil {
		return unpacked{}, fault("a compressed file that is none")
	}
	most := min(mostObject, max(freeExpansion, ratio*int64(len(stored))))
	out := &beginning{text: make([]byte, 0, min(4*len(stored), freeExpansion))}
	for pieces := 1; err == nil; pieces++ {
		z.Multistream(false)
		_, err = io.Copy(out, io.LimitReader(z, most+1-int64(out.size)))
		switch {
		case err != nil:
		case int64(out.size) > most:
			return unpacked{}, fault("a compressed file that expands beyond %d bytes", most)
		case in.Len() == 0:
			return unpacked{out.text, out.size > freeExpansion, out.size, pieces == 1}, nil
		default:
			err = z.Reset(in)
		}
	}
	return unpacked{}, fault("a compressed file that does not read to its end")
}

// beginning keeps what is written to it, unless that is more than a file may expand to freely.
type beginning struct {
	text []byte // nil when there was too much
	size int
}

// Write implements io.Writer.
func (b *beginning) Write(p []byte) (int, error) {
	if b.size += len(p); b.size > freeExpansion {
		b.text = nil
		return len(p), nil
	}
	b.text = append(b.text, p...)
	return len(p), nil
}

// inflate reads a large file once more, and keeps what it reads.
func (u unpacked) inflate(stored []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(stored))
	if err != nil {
		return nil, fault("a compressed file that is none")
	}
	text := make([]byte, u.size)
	if _, err := io.ReadFull(z, text); err != nil {
		return nil, fault("a compressed file that does not read to its end")
	}
	return text, nil
}

// countRecords refuses a list that would take far more memory than it has bytes.
func countRecords(text []byte) error {
	records, depth, quoted := 0, 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth == 2 {
				records++
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	if records > mostRecords || records > 1+len(text)/leastRecord {
		return fault("a file of %d records in %d bytes", records, len(text))
	}
	return nil
}

// judges are those who say of a list whether anything is left to be checked of it, each for one goroutine at a time. What is large is checked alone, so that many large files
// that come at a time take the memory of one.
type judges struct {
	idle  sync.Pool
	alone sync.Mutex
}

// open is content; of a large file nobody else opens one before the caller calls done.
func (j *judges) open(ref dedup.Ref, stored []byte) (text []byte, one bool, done func(), err error) {
	u, err := unpack(ref, stored)
	if err != nil || !u.large {
		return u.text, u.one, func() {}, err
	}
	j.alone.Lock()
	text, err = u.inflate(stored)
	return text, u.one, j.alone.Unlock, err
}

// judge is verify.Judge.
func (j *judges) judge(f dedup.File, text, stored []byte) dedup.Answer {
	c, is := j.idle.Get().(*dedup.Compressor)
	if !is {
		c = new(dedup.Compressor)
	}
	defer j.idle.Put(c)
	return verify.Judge(c, f, text, stored)
}

// checkHead checks a list, an instance file or a file of class other: it must be what the source said that it is, and be readable. The head keeps stored.
func (j *judges) checkHead(study dedup.UID, w want, stored []byte) (h head, err error) {
	h = head{ref: w.ref, digest: w.digest, stored: stored, known: index.Received{Entry: index.Entry{Ref: w.ref, Path: w.ref.In(study)}}}
	text, one, done, err := j.open(w.ref, stored)
	defer done()
	if err != nil {
		return h, err
	}
	if dedup.Digest(blake3.Sum256(text)) != w.digest {
		return h, fault("%s that is not the one that was offered", w.ref.Class)
	}
	if w.ref.Class == dedup.Other {
		return h, nil
	}
	if err := countRecords(text); err != nil {
		return h, err
	}
	f := dedup.ParseFile(w.ref, text)
	if f.Fault != nil {
		return h, fault("%s that cannot be read: %w", w.ref.Class, f.Fault)
	}
	said := f.Slim()
	h.needs, h.said = f.References(), &said
	if one && w.ref.Variant == "" && j.judge(f, text, stored) == dedup.Right {
		h.known.File, h.known.Disk, h.known.Size = h.said, int64(len(stored)), int64(len(text))
		h.known.Stored, h.known.Content = blake3.Sum256(stored), w.digest
	}
	return h, nil
}

// checkBulk checks bulkdata against its name, and returns the files that it refers to if it is an object.
//
// Names of 64 hex digits with dicomesh's own extensions are SHA-256 sums; a stream has its own in the name besides. Names in other writers' spellings say
// nothing that can be relied on (nameless): such a file must be what its source recorded when it first saw it, and is taken as it comes from a source that does not say that. Its digest
// is recorded when it is first entered here, and package verify will say "cannot tell" where that is lost.
func (j *judges) checkBulk(w want, ref dedup.Ref, stored []byte) ([]dedup.Ref, error) {
	if ref.Stream != "" {
		if sum := blake3.Sum256(stored); hex.EncodeToString(sum[:16]) != ref.Stream {
			return nil, fault("bulkdata that does not have its name")
		}
		return nil, nil
	}
	text, _, done, err := j.open(ref, stored)
	defer done()
	if err != nil {
		return nil, err
	}
	if ref.Ext == ".json.gz" || ref.Ext == ".json" {
		return checkObject(ref, text)
	}
	if nameless(ref) {
		return nil, w.recorded(blake3.Sum256(text))
	}
	if dedup.HashOf(sha256.Sum256(text)) != ref.Hash() {
		return nil, fault("bulkdata that does not have its name")
	}
	return nil, nil
}

// nameless reports whether the name of a file says nothing of its bytes, and its bytes are no object that says it: a value that another writer has named.
func nameless(ref dedup.Ref) bool {
	object := ref.Ext == ".json.gz" || ref.Ext == ".json"
	return ref.Class == dedup.Bulkdata && ref.Stream == "" && !object && (len(ref.Name) != 2*sha256.Size || !ownExt(ref.Ext))
}

// recorded says whether a nameless file that came is what its source recorded, as far as that has said what it recorded.
func (w want) recorded(content dedup.Digest) error {
	if w.content != (dedup.Digest{}) && w.content != content {
		return fault("bulkdata that is not what its source recorded of it")
	}
	return nil
}

// received is what the index is told of a file that was checked. Where package verify knows more than the door (what an envelope may be, what is inside of
// it, other writers' names) that is no more than that the file is whole.
func received(study dedup.UID, ref dedup.Ref, stored []byte) index.Received {
	r := index.Received{Entry: index.Entry{Ref: ref, Path: ref.In(study)}}
	if selfNamed(ref) && len(stored) > 0 {
		r.Disk, r.Size, r.Stored = int64(len(stored)), int64(len(stored)), blake3.Sum256(stored)
		r.Content = r.Stored
	}
	return r
}

// receivedLarge is received of a file that was summed as it came.
func receivedLarge(study dedup.UID, ref dedup.Ref, size uint64, s *summer) index.Received {
	r := index.Received{Entry: index.Entry{Ref: ref, Path: ref.In(study)}}
	if selfNamed(ref) {
		r.Disk, r.Size, r.Stored = int64(size), int64(size), dedup.Digest(s.blake.Sum(nil))
		r.Content = r.Stored
	}
	return r
}

// selfNamed reports whether the name alone says what the bytes of a file are: checkBulk has held them against it.
func selfNamed(ref dedup.Ref) bool {
	plain := !strings.HasSuffix(ref.Path(), ".gz") && ref.Ext != ".json"
	return ref.Class == dedup.Bulkdata && plain && (ref.Stream != "" || len(ref.Name) == 2*sha256.Size && ownExt(ref.Ext))
}

// ownExt reports whether dicomesh alone writes files with that extension under names of 64 digits: today's static-wado writes without extension, or .gz.
func ownExt(ext string) bool { return ext != "" && ext != ".gz" && ext != ".json" }

// checkObject checks a file that is one object: what may not stand for its name (dedup.Stands) is not taken. With it a member that lies would put another patient's name into the instances of
// dicomesh's own writing, at a site that does not have the extract yet, and no other site would differ.
func checkObject(ref dedup.Ref, text []byte) ([]dedup.Ref, error) {
	o, err := dedup.ParseObject(text)
	if err != nil {
		return nil, fault("an object that cannot be read: %w", err)
	}
	switch {
	case dedup.Stands(o, ref.Hash()):
		return dedup.References(o), nil
	case dedup.Verify(o) == dedup.CannotTell && len(ref.Name) == 2*sha256.Size:
		return nil, fault("an object under a name that nothing proves")
	}
	return nil, fault("an object that does not have its name")
}

// summer checks a large file while it comes in: one that is not compressed, so that its bytes are its content.
type summer struct {
	want
	sha interface {
		io.Writer
		Sum([]byte) []byte
	}
	blake *blake3.Hasher
}

func newSummer(w want) *summer { return &summer{want: w, sha: sha256.New(), blake: blake3.New()} }

// Write implements io.Writer.
func (s *summer) Write(p []byte) (int, error) {
	if s.ref.Class == dedup.Bulkdata && s.ref.Stream == "" {
		_, _ = s.sha.Write(p)
	}
	return s.blake.Write(p)
}

// check says whether what was written is the file.
func (s *summer) check() error {
	switch {
	case s.ref.Class != dedup.Bulkdata:
		if dedup.Digest(s.blake.Sum(nil)) == s.digest {
			return nil
		}
	case s.ref.Stream != "":
		if hex.EncodeToString(s.blake.Sum(nil)[:16]) == s.ref.Stream {
			return nil
		}
	case nameless(s.ref):
		return s.recorded(dedup.Digest(s.blake.Sum(nil)))
	default:
		if hex.EncodeToString(s.sha.Sum(nil)) == s.ref.Name {
			return nil
		}
	}
	return fault("%s that does not have its name", s.ref.Class)
}

// label is the name under which a file that is being received survives this process, "" if it has none.
func label(study dedup.UID, ref dedup.Ref) string {
	if ref.Class == dedup.Other {
		return ""
	}
	return fmt.Sprintf("%s!%s", study, strings.ReplaceAll(ref.Path(), "/", "!"))
}
