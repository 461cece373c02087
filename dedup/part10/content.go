package part10

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"slices"

	"github.com/dicomesh/dicomesh/dedup"
)

// The kinds of entry in the normal form of a dataset (FORMAT.md section 6).
const (
	contentValue = iota
	contentBulk
	contentFrames
	contentSequence
	contentItem
	contentItemEnd
	contentSequenceEnd
)

// content takes the digest of what a dataset says, leaving out how it was written. Each root attribute is hashed by itself and the
// sums are sorted by tag, so that a file in the wrong order says the same.
type content struct {
	sums    []contentSum
	current dedup.Tag
	open    bool
	buf     []byte    // what the attribute that is open says, as far as it is not in h
	h       hash.Hash // of one that says much
	hashed  bool      // something of it is in h
	out     [32]byte
}

type contentSum struct {
	tag dedup.Tag
	sum [32]byte
}

// root begins a root attribute.
func (c *content) root(tag dedup.Tag) {
	c.close()
	c.current, c.open = tag, true
}

func (c *content) close() {
	if c.open {
		c.sums = append(c.sums, contentSum{c.current, c.digest()})
	}
	c.open = false
}

// digest is the sum of what was added since the last time. Most attributes say little: then it is taken in one go.
func (c *content) digest() [32]byte {
	if c.hashed {
		c.hash(c.buf)
		c.h.Sum(c.out[:0])
	} else {
		c.out = sha256.Sum256(c.buf)
	}
	c.buf, c.hashed = c.buf[:0], false
	return c.out
}

// add writes one entry of the attribute that is open.
func (c *content) add(level int, tag dedup.Tag, kind byte, value []byte) {
	c.buf = append(c.buf, byte(min(level, 255)))
	c.buf = binary.LittleEndian.AppendUint32(c.buf, uint32(tag))
	c.buf = append(c.buf, kind)
	c.buf = binary.LittleEndian.AppendUint64(c.buf, uint64(len(value)))
	if len(c.buf)+len(value) <= muchContent {
		c.buf = append(c.buf, value...)
		return
	}
	c.hash(c.buf)
	c.hash(value)
	c.buf = c.buf[:0]
}

// hash puts bytes into h.
func (c *content) hash(b []byte) {
	if c.h == nil {
		c.h = sha256.New()
	}
	if !c.hashed {
		c.h.Reset()
	}
	c.h.Write(b)
	c.hashed = true
}

// muchContent is how much of an attribute is gathered before it is hashed.
const muchContent = 16 << 10

// sum is the digest of everything.
func (c *content) sum() dedup.Hash {
	c.close()
	slices.SortFunc(c.sums, func(a, b contentSum) int {
		return cmp.Or(cmp.Compare(a.tag, b.tag), bytes.Compare(a.sum[:], b.sum[:]))
	})
	all := c.buf[:0]
	for _, s := range c.sums {
		all = binary.LittleEndian.AppendUint32(all, uint32(s.tag))
		all = append(all, s.sum[:]...)
	}
	c.buf = all[:0]
	return dedup.HashOf(sha256.Sum256(all))
}

// counts reports whether an attribute belongs to the content: offset tables, group lengths and padding describe the file.
func counts(tag dedup.Tag) bool {
	const extendedOffsets, extendedLengths = 0x7FE00001, 0x7FE00002
	return tag&0xFFFF != 0 && tag != tagPadding && tag != extendedOffsets && tag != extendedLengths
}

// value writes the entry of a value that stays in its object. Where the dictionary does not know the attribute an implicit file says nothing of its VR,
// so what follows from the VR is left to UN's rules: no byte is padding, and long values are bulk values.
func (c *content) value(level int, tok token, value []byte, vrs *dictionary) {
	n := len(value)
	padded := n > 0 && (value[n-1] == ' ' || value[n-1] == 0) && tok.vr.text()
	if tok.tag.Private() || !padded && n <= inlineBinary {
		c.add(level, tok.tag, contentValue, value)
		return
	}
	_, known := vrs.lookup(tok.tag)
	switch {
	case known && padded:
		c.add(level, tok.tag, contentValue, bytes.TrimRight(value, " \x00"))
	case !known && n > inlineBinary:
		sum := sha256.Sum256(value)
		c.add(level, tok.tag, contentBulk, sum[:])
	default:
		c.add(level, tok.tag, contentValue, value)
	}
}
