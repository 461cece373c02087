package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/zeebo/blake3"
)

// ErrDamaged says that what the state folder has is not what was written into it. The index can be rebuilt; of the digest log the other records
// are still good.
var ErrDamaged = errors.New("damaged")

// Entry is one file of a study: what it is called, where it is, and what it was when it was read.
type Entry struct {
	Ref     dedup.Ref
	Path    string       // in the tree
	Disk    int64        // bytes on disk
	Size    int64        // bytes of content, decompressed where Path ends in .gz
	Stored  dedup.Digest // of the bytes on disk
	Content dedup.Digest // of the content: equal to Stored for a file that is not compressed
	// Lost says that the file is not there any more, and that nothing which is there makes up for it: it was not collected, it is missed (package comment).
	Lost bool
	// Damaged says that the file is there and is not what was entered: it counts for nothing, and is nothing that could be given to anybody. Spare says of such a list that
	// the others accounted for it as long as it was right: nothing is lost with it.
	Damaged, Spare bool
}

// change is an entry that came, or the path of one that went.
type change struct {
	Entry
	gone bool
}

// compareKeys orders entries as a study's manifest has them.
func compareKeys(study dedup.UID) func(a, b change) int {
	return func(a, b change) int { return strings.Compare(key(study, a.Path), key(study, b.Path)) }
}

// key is a path as the manifest keeps it: relative to the study where it is in the format's folder, else with a slash in front.
func key(study dedup.UID, path string) string {
	if rel, ok := strings.CutPrefix(path, folder(study)); ok {
		return rel
	}
	return "/" + path
}

func unkey(study dedup.UID, key string) string {
	if rooted, ok := strings.CutPrefix(key, "/"); ok {
		return rooted
	}
	return folder(study) + key
}

func folder(study dedup.UID) string { return "studies/" + study.String() + "/" }

// A chunk is eight bytes of the BLAKE3 of the rest, then entries in the order of their keys:
//
//	shared  uvarint   how many bytes of its key are those of the key before
//	rest    uvarint, bytes
//	flags   byte
//	gone entries end here; the others go on
//	disk    uvarint
//	content 32 bytes
//	size    uvarint, stored 32 bytes       with flagPacked
//	ref     uvarint, bytes: its path       with flagRef
const (
	chunkLimit = 64 << 10
	chunkSum   = 8

	flagGone   = 1 // a change, not an entry: the file is no more
	flagPacked = 2 // content is not what is stored
	flagRef    = 4 // the Ref is not what the key says
	flagLost   = 8

	flagDamaged = 16
	flagSpare   = 32
)

// chunkWriter puts entries into a chunk.
type chunkWriter struct {
	study dedup.UID
	out   []byte
	first string // the key of the first entry
	last  string
}

// add appends an entry, or reports that the chunk is full. One entry always has room.
func (w *chunkWriter) add(c change) bool {
	if len(w.out) == 0 {
		w.out = make([]byte, chunkSum, 4<<10)
	}
	before := len(w.out)
	k := key(w.study, c.Path)
	shared := 0
	for shared < min(len(k), len(w.last)) && k[shared] == w.last[shared] {
		shared++
	}
	w.out = binary.AppendUvarint(w.out, uint64(shared))
	w.out = appendText(w.out, k[shared:])
	w.out = w.appendFacts(w.out, c, k)
	if len(w.out) > chunkLimit && before > chunkSum {
		w.out = w.out[:before]
		return false
	}
	if before == chunkSum {
		w.first = k
	}
	w.last = k
	return true
}

func (w *chunkWriter) appendFacts(out []byte, c change, k string) []byte {
	if c.gone {
		return append(out, flagGone)
	}
	var flags byte
	if c.Stored != c.Content || c.Disk != c.Size {
		flags |= flagPacked
	}
	if r, err := dedup.ParseRef(k); err != nil || r != c.Ref {
		flags |= flagRef
	}
	if c.Lost {
		flags |= flagLost
	}
	if c.Damaged {
		flags |= flagDamaged
	}
	if c.Spare {
		flags |= flagSpare
	}
	out = append(out, flags)
	out = binary.AppendUvarint(out, uint64(c.Disk))
	out = append(out, c.Content[:]...)
	if flags&flagPacked != 0 {
		out = binary.AppendUvarint(out, uint64(c.Size))
		out = append(out, c.Stored[:]...)
	}
	if flags&flagRef != 0 {
		out = appendText(out, c.Ref.Path())
	}
	return out
}

// take returns the chunk and begins another; nil if there is nothing in it.
func (w *chunkWriter) take() []byte {
	out := w.out
	w.out, w.last, w.first = nil, "", ""
	if len(out) == 0 {
		return nil
	}
	sum := blake3.Sum256(out[chunkSum:])
	copy(out, sum[:chunkSum])
	return out
}

// appendChunks is changes, which are in order, as chunks.
func appendChunks(study dedup.UID, changes []change) (chunks [][]byte) {
	w := chunkWriter{study: study}
	for _, c := range changes {
		if !w.add(c) {
			chunks = append(chunks, w.take())
			w.add(c)
		}
	}
	if last := w.take(); last != nil {
		chunks = append(chunks, last)
	}
	return chunks
}

func appendText(out []byte, s string) []byte {
	return append(binary.AppendUvarint(out, uint64(len(s))), s...)
}

// readChunk returns what chunkWriter wrote, or an error that satisfies errors.Is(err, ErrDamaged).
func readChunk(study dedup.UID, chunk []byte) ([]change, error) {
	if len(chunk) < chunkSum {
		return nil, fmt.Errorf("chunk of %d bytes: %w", len(chunk), ErrDamaged)
	}
	if sum := blake3.Sum256(chunk[chunkSum:]); string(sum[:chunkSum]) != string(chunk[:chunkSum]) {
		return nil, fmt.Errorf("chunk of %d bytes has a wrong checksum: %w", len(chunk), ErrDamaged)
	}
	r := chunkReader{study: study, in: chunk[chunkSum:]}
	var out []change
	for len(r.in) > 0 {
		c, ok := r.next()
		if !ok {
			return nil, fmt.Errorf("chunk of %d bytes does not read to its end: %w", len(chunk), ErrDamaged)
		}
		out = append(out, c)
	}
	return out, nil
}

// chunkReader takes entries out of a chunk.
type chunkReader struct {
	study dedup.UID
	in    []byte
	last  string
	bad   bool
}

func (r *chunkReader) number() int64 {
	n, size := binary.Uvarint(r.in)
	if size <= 0 || n > 1<<62 {
		r.bad = true
		return 0
	}
	r.in = r.in[size:]
	return int64(n)
}

func (r *chunkReader) bytes(n int64) []byte {
	if n > int64(len(r.in)) {
		r.bad = true
		return nil
	}
	b := r.in[:n]
	r.in = r.in[n:]
	return b
}

func (r *chunkReader) digest() (d dedup.Digest) {
	copy(d[:], r.bytes(int64(len(d))))
	return d
}

func (r *chunkReader) next() (c change, ok bool) {
	shared := r.number()
	if shared > int64(len(r.last)) {
		return c, false
	}
	r.last = r.last[:shared] + string(r.bytes(r.number()))
	c.Path = unkey(r.study, r.last)
	flags := r.bytes(1)
	if r.bad {
		return c, false
	}
	if flags[0]&flagGone != 0 {
		c.gone = true
		return c, true
	}
	c.Lost, c.Damaged, c.Spare = flags[0]&flagLost != 0, flags[0]&flagDamaged != 0, flags[0]&flagSpare != 0
	c.Disk = r.number()
	c.Content = r.digest()
	c.Size, c.Stored = c.Disk, c.Content
	if flags[0]&flagPacked != 0 {
		c.Size = r.number()
		c.Stored = r.digest()
	}
	name := r.last
	if flags[0]&flagRef != 0 {
		name = string(r.bytes(r.number()))
	}
	var err error
	c.Ref, err = dedup.ParseRef(name)
	return c, !r.bad && err == nil
}

// sorted is changes in the manifest's order, of each path the last one.
func sorted(study dedup.UID, changes []change) []change {
	compare := compareKeys(study)
	slices.SortStableFunc(changes, compare)
	out := changes[:0]
	for i, c := range changes {
		if i+1 < len(changes) && compare(c, changes[i+1]) == 0 {
			continue
		}
		out = append(out, c)
	}
	return out
}
