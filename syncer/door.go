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

// content is what a file holds, decompressed where its path ends in .gz, never more than the limits. one says that it is compressed in one piece, as dicomesh
// does it.
func content(ref dedup.Ref, stored []byte) (text []byte, one bool, err error) {
	if !strings.HasSuffix(ref.Path(), ".gz") {
		return stored, false, nil
	}
	ratio := int64(jsonRatio)
	if ref.Class == dedup.Bulkdata && ref.Ext != ".json.gz" {
		ratio = valueRatio
	}
	in := bytes.NewReader(stored)
	z, err := gzip.NewReader(in)
	if err != nil {
		return nil, false, fault("a compressed file that is none")
	}
	most := min(mostObject, max(freeExpansion, ratio*int64(len(stored))))
	out := bytes.NewBuffer(make([]byte, 0, min(4*len(stored), freeExpansion)+bytes.MinRead))
	for pieces := 1; err == nil; pieces++ {
		z.Multistream(false)
		_, err = io.Copy(out, io.LimitReader(z, most+1-int64(out.Len())))
		switch {
		case err != nil:
		case int64(out.Len()) > most:
			return nil, false, fault("a compressed file that expands beyond %d bytes", most)
		case in.Len() == 0:
			return out.Bytes(), pieces == 1, nil
		default:
			err = z.Reset(in)
		}
	}
	return nil, false, fault("a compressed file that does not read to its end")
}

// judges are those who say of a list whether anything is left to be checked of it, each for one goroutine at a time.
type judges struct{ idle sync.Pool }

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
	text, one, err := content(w.ref, stored)
	if err != nil {
		return h, err
	}
	if dedup.Digest(blake3.Sum256(text)) != w.digest {
		return h, fault("%s that is not the one that was offered", w.ref.Class)
	}
	if w.ref.Class == dedup.Other {
		return h, nil
	}
	f := dedup.ParseFile(w.ref, text)
	if f.Fault != nil {
		return h, fault("%s that cannot be read: %w", w.ref.Class, f.Fault)
	}
	said := f.Slim()
	h.needs, h.said = needsOf(f), &said
	if one && w.ref.Variant == "" && j.judge(f, text, stored) == dedup.Right {
		h.known.File, h.known.Disk, h.known.Size = h.said, int64(len(stored)), int64(len(text))
		h.known.Stored, h.known.Content = blake3.Sum256(stored), w.digest
	}
	return h, nil
}

// checkBulk checks bulkdata against its name, and returns the files that it refers to if it is an object.
//
// Names of 64 hex digits with dicomesh's own extensions are SHA-256 sums; a stream has its own in the name besides. Names in other writers' spellings say
// nothing that can be relied on: such a file is taken as it comes, its digest is recorded when it is first entered, and package verify will say "cannot
// tell" where that is lost.
func checkBulk(ref dedup.Ref, stored []byte) ([]dedup.Ref, error) {
	if ref.Stream != "" {
		if sum := blake3.Sum256(stored); hex.EncodeToString(sum[:16]) != ref.Stream {
			return nil, fault("bulkdata that does not have its name")
		}
		return nil, nil
	}
	text, _, err := content(ref, stored)
	if err != nil {
		return nil, err
	}
	if ref.Ext == ".json.gz" || ref.Ext == ".json" {
		return checkObject(ref, text)
	}
	if len(ref.Name) == 2*sha256.Size && ownExt(ref.Ext) && dedup.HashOf(sha256.Sum256(text)) != ref.Hash() {
		return nil, fault("bulkdata that does not have its name")
	}
	return nil, nil
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

// checkObject checks a file that is one object.
func checkObject(ref dedup.Ref, text []byte) ([]dedup.Ref, error) {
	o, err := dedup.ParseObject(text)
	if err != nil {
		return nil, fault("an object that cannot be read: %w", err)
	}
	_, d := dedup.Split(o)
	switch answer := dedup.Verify(o); {
	case answer == dedup.Corrupt, answer == dedup.Right && d.Hash != ref.Hash(), d.Version != "" && d.Hash != ref.Hash():
		return nil, fault("an object that does not have its name")
	}
	return dedup.References(o), nil
}

// summer checks a large file while it comes in: one that is not compressed, so that its bytes are its content.
type summer struct {
	ref    dedup.Ref
	digest dedup.Digest // of class other; else zero
	sha    interface {
		io.Writer
		Sum([]byte) []byte
	}
	blake *blake3.Hasher
}

func newSummer(ref dedup.Ref, digest dedup.Digest) *summer {
	return &summer{ref: ref, digest: digest, sha: sha256.New(), blake: blake3.New()}
}

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
	case len(s.ref.Name) != 2*sha256.Size || !ownExt(s.ref.Ext):
		return nil
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
