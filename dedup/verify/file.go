package verify

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"strings"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/index"
)

// taken is a file's measures and the sum that its name may be.
type taken struct {
	index.Measured
	name string // hex of the sum of the content, by the hash whose length the name has
	head string // the first bytes of the content
}

// file checks one file by itself, and against what is known of it.
func (l *look) file(t *tools, h dedup.Held) verdict {
	v := verdict{held: h}
	v.taken.Entry = index.Entry{Ref: h.Ref, Path: h.Path}
	switch {
	case ofObjects(h.Ref):
		l.objects(t, &v)
	case !l.config.Deep:
		l.glance(&v)
	default:
		l.bytes(t, &v)
	}
	if !v.gone && v.answer != dedup.Corrupt {
		l.compare(&v)
	}
	return v
}

// ofObjects reports whether a file holds JSON objects.
func ofObjects(r dedup.Ref) bool {
	return r.Class == dedup.List || r.Class == dedup.Instance || r.Class == dedup.Bulkdata && strings.HasPrefix(r.Ext, ".json")
}

// corrupt and cannotTell are the verdict with a reason.
func (v *verdict) corrupt(format string, args ...any) {
	v.answer, v.what = dedup.Corrupt, fmt.Sprintf(format, args...)
}

func (v *verdict) cannotTell(what string) { v.answer, v.what = dedup.CannotTell, what }

const (
	nothingKnown = "its name says nothing, and no digest was taken when it was first seen"
	otherMaker   = "its name is not made in a way that is known here, and no digest was taken when it was first seen"
)

// failed is the verdict on a file that could not be read. A file that went away meanwhile was removed by somebody: if anything needs it, it will be missed.
func (v *verdict) failed(err error) {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, durable.ErrNotRegular):
		v.gone = true
	case errors.Is(err, dedup.ErrDamaged):
		v.corrupt("%s", strings.TrimSuffix(err.Error(), ": "+dedup.ErrDamaged.Error()))
	case errors.Is(err, dedup.ErrTooLarge):
		v.cannotTell("it is larger than what is read of a file of objects")
	default:
		v.corrupt("it cannot be read: %v", cause(err))
	}
}

// cause is an error without the path, which the finding has.
func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// glance looks at size alone.
func (l *look) glance(v *verdict) {
	v.unread = true
	info, err := l.config.Tree.Lstat(v.held.Path)
	if err != nil {
		v.failed(err)
		return
	}
	v.taken.Disk = info.Size()
	if v.taken.Disk == 0 && !mayBeEmpty(v.held) {
		v.corrupt("it has no bytes")
	}
}

// mayBeEmpty reports whether a file without a byte can be right: its name is that of nothing, or it is somebody's attachment.
func mayBeEmpty(h dedup.Held) bool {
	empty := sha256.Sum256(nil)
	return h.Ref.Name == hex.EncodeToString(empty[:]) && h.Ref.Stream == "" && !strings.HasSuffix(h.Path, ".gz") ||
		h.Ref.Class == dedup.Other && !strings.HasSuffix(h.Path, ".gz") && !strings.Contains(h.Path, "/frames/")
}

// bytes reads a value, a frame or another file to its end.
func (l *look) bytes(t *tools, v *verdict) {
	sum, prefix := nameHash(v.held.Ref)
	head := &keepHead{}
	to := io.Writer(head)
	if sum != nil {
		_, _ = io.WriteString(sum, prefix)
		to = io.MultiWriter(head, sum)
	}
	var err error
	if v.taken.Measured, err = t.Measure(l.config.Tree, v.held, to); err != nil {
		v.failed(err)
		v.taken.Disk = l.sizeOf(v.held)
		return
	}
	v.taken.head = string(head.kept)
	if sum != nil {
		v.taken.name = hex.EncodeToString(sum.Sum(nil))
	}
	if v.taken.Disk == 0 && !mayBeEmpty(v.held) {
		v.corrupt("it has no bytes")
		return
	}
	if strings.HasSuffix(v.held.Path, ".gz") && !v.taken.Legal() {
		v.corrupt("its gzip header is none")
		return
	}
	l.byName(t, v)
}

func (l *look) sizeOf(h dedup.Held) int64 {
	info, err := l.config.Tree.Lstat(h.Path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// nameHash is the hash that a value's name may be, nil if none is known, and what is hashed before the value.
func nameHash(r dedup.Ref) (sum hash.Hash, prefix string) {
	switch {
	case r.Class != dedup.Bulkdata || r.Stream != "":
		return nil, ""
	case len(r.Name) == 64:
		return sha256.New(), ""
	case len(r.Name) == 40:
		return sha1.New(), "buffer:" // the dialect of 2021
	}
	return nil, ""
}

// byName decides by the name.
func (l *look) byName(t *tools, v *verdict) {
	r := v.held.Ref
	switch {
	case r.Stream != "":
		if v.answer = dedup.Right; v.taken.Content.String()[:len(r.Stream)] != r.Stream {
			v.corrupt("its content is not what its name says (BLAKE3 %.32s)", v.taken.Content)
		}
	case v.taken.name != "" && v.taken.name == r.Name:
		v.answer = dedup.Right
		if r.Ext == ".residue.gz" {
			l.plain(t, v, nil)
		}
	case len(r.Name) == 64 && r.Class == dedup.Bulkdata && written(r.Ext):
		v.corrupt("its content is not what its name says (SHA-256 %s)", v.taken.name)
	default:
		l.unwrapped(v)
	}
}

// written reports whether dicomesh writes bulkdata with that extension: then the name is a SHA-256.
func written(ext string) bool { return ext != "" && ext != ".gz" && ext != ".raw.gz" }

// unwrapped decides about another writer's file by what is inside its multipart envelope, if it is in one.
func (l *look) unwrapped(v *verdict) {
	v.cannotTell(nothingKnown)
	if v.taken.name != "" {
		v.what = otherMaker
	}
	if !strings.HasPrefix(v.taken.head, "--") {
		return
	}
	content, err := l.folder.OpenHeld(v.held, 1<<62)
	if err != nil {
		v.failed(err)
		return
	}
	defer content.Close()
	sum, prefix := nameHash(v.held.Ref)
	if sum == nil {
		sum = sha256.New()
	}
	_, _ = io.WriteString(sum, prefix)
	body, mediaType, err := dedup.Unwrap(content)
	if err == nil && mediaType != "" {
		_, err = io.Copy(sum, body)
	}
	if errors.Is(err, dedup.ErrDamaged) {
		v.corrupt("its multipart envelope does not close")
	} else if err == nil && mediaType != "" && hex.EncodeToString(sum.Sum(nil)) == v.held.Ref.Name {
		v.answer, v.what = dedup.Right, ""
	}
}

// compare holds a file against the digest log and the index.
func (l *look) compare(v *verdict) {
	// A variant's name has its digest, so which of them has the canonical path, now or when it was recorded, is no question of damage.
	variant := !v.unread && l.variant[index.Name{Class: v.held.Ref.Class, Name: v.held.Ref.Name}][v.taken.Content]
	known, logged := l.logged[v.held.Path]
	if logged && (!variant || known.Content == v.taken.Content) {
		l.compareTo(v, known, "first seen", "")
	}
	if v.answer == dedup.CannotTell && !v.unread && (variant || logged) {
		v.answer, v.what = dedup.Right, ""
	}
	known, indexed := l.indexed[v.held.Path]
	if indexed && v.answer != dedup.Corrupt && (!variant || known.Content == v.taken.Content) {
		l.compareTo(v, known, "indexed", " (the index alone can tell)")
	}
}

func (l *look) compareTo(v *verdict, known index.Entry, when, alone string) {
	t := &v.taken
	switch {
	case v.unread && t.Disk != known.Disk:
		v.corrupt("it has %d bytes, and had %d when it was %s%s", t.Disk, known.Disk, when, alone)
	case v.unread:
	case t.Content != known.Content && t.Size != known.Size:
		v.corrupt("its content has %d bytes, and had %d when it was %s%s", t.Size, known.Size, when, alone)
	case t.Content != known.Content:
		v.corrupt("its content is not what it was when it was %s%s", when, alone)
	case t.Stored != known.Stored:
		v.corrupt("its content is right, but its gzip envelope is not what it was when it was %s%s", when, alone)
	}
}

// keepHead keeps the first bytes.
type keepHead struct{ kept []byte }

func (k *keepHead) Write(b []byte) (int, error) {
	if n := min(len(b), 4-len(k.kept)); n > 0 {
		k.kept = append(k.kept, b[:n]...)
	}
	return len(b), nil
}

// parseDigest reads 64 hex.
func parseDigest(s string) (d dedup.Digest, ok bool) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(d) {
		return d, false
	}
	return dedup.Digest(b), true
}
