package part10

import (
	"bufio"
	"io"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/part10/charset"
	"github.com/klauspost/compress/gzip"
)

// Scratch is the memory that Take works in and that is dear to make: whoever takes many files apart keeps one. The zero Scratch is ready.
// It is used by one goroutine at a time, and holds on to the largest frame that it has seen.
type Scratch struct {
	gzip    dedup.Compressor
	unzip   gzip.Reader
	window  *bufio.Reader
	read    layout // of the file that came in
	made    layout // of the default rebuild
	content content
	names   bulkNames
	objects map[dedup.Hash]bool // of this file, that were kept
	sealed  map[dedup.Type]*sealedObject
	root    dedup.Object
	parts   [extracts]dedup.Object // into which it is divided
	copying []byte                 // what passes through to the sink
	frame   []byte                 // a compressed frame, and
	native  []byte                 // what it decodes to
	swapped []byte                 // a value of a big-endian file, turned round
}

// Take is the function Take in this memory.
//
// What it returns can be rebuilt (Parts.Rebuild) until the next Take; the rest of it is the caller's for ever.
func (s *Scratch) Take(f io.ReaderAt, size int64, sink Store) (*Parts, error) {
	t := newTaker(s, f, size, peekSize)
	t.sink = sink
	return t.take()
}

// Compress is dedup.Compressor.Append in this memory, for what its owner compresses besides.
func (s *Scratch) Compress(dst, content []byte) []byte { return s.gzip.Append(dst, content) }

// ahead is a buffer over r that looks so many bytes ahead; of a small file it needs to see no more than there is.
func (s *Scratch) ahead(r io.Reader, peek int, size int64) *bufio.Reader {
	peek = min(peek, int(min(size, peekSize))+2*preambleSize)
	if s.window == nil || s.window.Size() < peek {
		s.window = bufio.NewReaderSize(r, peek)
	} else {
		s.window.Reset(r)
	}
	return s.window
}

// What a Scratch keeps of a layout for the next file, at most.
const (
	muchLiteral = 1 << 20
	muchPieces  = 1 << 15
	muchRoot    = 1 << 13
)

// emptied is l without its contents, and without its memory if that is much.
func (l *layout) emptied() *layout {
	if cap(l.literal) > muchLiteral || cap(l.pieces) > muchPieces {
		*l = layout{}
	}
	l.literal, l.pieces, l.bulks = l.literal[:0], l.pieces[:0], l.bulks[:0]
	return l
}

// buffer is what a file of n bytes is copied through: for a tiny file a tiny one.
func (s *Scratch) buffer(n int64) []byte {
	if want := bufferFor(n); len(s.copying) < want {
		s.copying = make([]byte, want)
	}
	return s.copying
}

const copyBuffer = 256 << 10

func bufferFor(n int64) int { return int(max(min(n, copyBuffer), 4<<10)) }

// forget makes names and objects those of a new file.
func (s *Scratch) forget() {
	if s.names == nil || len(s.names) > muchRoot {
		s.names, s.objects = bulkNames{}, map[dedup.Hash]bool{}
	}
	clear(s.names)
	clear(s.objects)
}

// emptied is c for the next file.
func (c *content) emptied() *content {
	if cap(c.sums) > muchRoot || cap(c.buf) > muchLiteral {
		c.sums, c.buf = nil, nil
	}
	c.sums, c.buf, c.open, c.hashed = c.sums[:0], c.buf[:0], false, false
	return c
}

// reusable is o without its elements, whose memory it keeps if that is not much.
func reusable(o dedup.Object) dedup.Object {
	if cap(o) > muchRoot {
		return nil
	}
	return o[:0]
}

// arena is where the JSON of attributes is made, many in one piece of memory. What was handed out is never written again.
type arena []byte

// exact is appendExact in the arena.
func (a *arena) exact(vr VR, value []byte, set charset.Set) []byte {
	if want := 64 + 2*len(value); cap(*a)-len(*a) < want {
		*a = make([]byte, 0, max(want, 8<<10))
	}
	start := len(*a)
	*a = appendExact(*a, vr, value, set)
	return (*a)[start:len(*a):len(*a)]
}
