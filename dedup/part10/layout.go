package part10

import (
	"bytes"
	"fmt"

	"github.com/dicomesh/dicomesh/dedup"
)

// A layout is a Part 10 file as a run of pieces: literal bytes, and stretches of bulkdata that are named, not held.
// The scanner makes one of the file that came in, the encoder one of what it would write by default; the residue is what
// turns the second into the first. Pieces follow the data elements, so that two layouts of
// the same dataset fall into the same pieces wherever they agree.
type layout struct {
	literal []byte
	pieces  []piece
	bulks   []bulk
}

// piece is n bytes of a layout: of its literal bytes from at on when bulk is negative, else of that bulkdata from its byte at on.
type piece struct {
	n, at int64
	bulk  int32
}

// bulk is one stretch of value bytes in the order in which they stand in the file.
type bulk struct {
	ref  dedup.Ref
	size int64
	swap int // bytes of a unit whose order is turned round on the way out; 0 or 1: none
}

const noBulk = -1

// add appends literal bytes as one piece.
func (l *layout) add(parts ...[]byte) {
	at := len(l.literal)
	for _, p := range parts {
		l.literal = append(l.literal, p...)
	}
	if n := len(l.literal) - at; n > 0 {
		l.pieces = append(l.pieces, piece{n: int64(n), at: int64(at), bulk: noBulk})
	}
}

// addBulk appends n bytes of bulkdata number b from its byte at on.
func (l *layout) addBulk(b int, at, n int64) {
	if n > 0 {
		l.pieces = append(l.pieces, piece{n: n, at: at, bulk: int32(b)})
	}
}

// newBulk registers the next bulkdata and returns its number.
func (l *layout) newBulk(ref dedup.Ref, size int64, swap int) int {
	l.bulks = append(l.bulks, bulk{ref: ref, size: size, swap: swap})
	return len(l.bulks) - 1
}

// size is the length of the file in bytes.
func (l *layout) size() int64 {
	var n int64
	for _, p := range l.pieces {
		n += p.n
	}
	return n
}

// bytesOf is the literal bytes of a piece that has them.
func (l *layout) bytesOf(p piece) []byte { return l.literal[p.at : p.at+p.n] }

// samePiece reports whether piece p of l and q of m stand for the same bytes.
func samePiece(l *layout, p piece, m *layout, q piece) bool {
	if p.bulk != q.bulk || p.n != q.n {
		return false
	}
	return p.bulk != noBulk && p.at == q.at || p.bulk == noBulk && bytes.Equal(l.bytesOf(p), m.bytesOf(q))
}

// sameStart reports whether p and q begin at the same byte of the same bulkdata.
func sameStart(p, q piece) bool { return p.bulk != noBulk && p.bulk == q.bulk && p.at == q.at }

// appendCut appends the n bytes of l from its byte from on to dst, literal bytes that stand together as one piece; an error if the layout is shorter.
// index holds, for each piece, the byte at which it begins (see offsets).
func (l *layout) appendCut(dst []piece, index []int64, from, n int64) ([]piece, error) {
	if from < 0 || n < 0 || from > index[len(index)-1]-n {
		return dst, fmt.Errorf("bytes %d to %d of a file of %d: %w", from, from+n, index[len(index)-1], ErrResidue)
	}
	for i := find(index, from); n > 0; i++ {
		p := l.pieces[i]
		skip := from - index[i]
		p.at, p.n = p.at+skip, min(p.n-skip, n)
		if last := len(dst) - 1; p.bulk == noBulk && last >= 0 && dst[last].bulk == noBulk && dst[last].at+dst[last].n == p.at {
			dst[last].n += p.n
		} else {
			dst = append(dst, p)
		}
		from, n = from+p.n, n-p.n
	}
	return dst, nil
}

// offsets is where each piece begins, and last the length of the whole.
func (l *layout) offsets() []int64 {
	out := make([]int64, len(l.pieces)+1)
	for i, p := range l.pieces {
		out[i+1] = out[i] + p.n
	}
	return out
}

// find is the last piece that begins at or before byte at.
func find(index []int64, at int64) int {
	low, high := 0, len(index)-1
	for high-low > 1 {
		if mid := (low + high) / 2; index[mid] <= at {
			low = mid
		} else {
			high = mid
		}
	}
	return low
}

// used says for each bulkdata whether it stands anywhere in the layout.
func (l *layout) used() []bool {
	out := make([]bool, len(l.bulks))
	for _, p := range l.pieces {
		if p.bulk != noBulk {
			out[p.bulk] = true
		}
	}
	return out
}
