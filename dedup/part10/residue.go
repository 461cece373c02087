package part10

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// ErrResidue says that a residue does not fit the objects that it is applied to: one of them is not what it was.
var ErrResidue = errors.New("encoding residue does not fit")

// residueMagic begins every residue; its digit is the residue's version.
const residueMagic = "DMR1"

// The operations of a residue (FORMAT.md section 7), in the low two bits of a uvarint whose rest is n.
const (
	opCopy   = iota // n bytes of the default rebuild, from where the last operation left off
	opSkip          // leave out n bytes of it
	opInsert        // the n bytes that follow in the residue
	opSeek          // go on at byte n of it
)

// Limits of the search for where two layouts meet again. Beyond them the residue grows, nothing else.
const (
	meetWindow = 48      // pieces looked ahead on each side
	meetWork   = 1 << 24 // comparisons for a whole file
)

// diff is the residue that turns layout from into layout to; nil when they are equal. Bulkdata has the same numbers in both.
func diff(from, to *layout) []byte {
	d := differ{from: from, to: to, skipIsLiteral: true}
	d.run()
	if !d.differs {
		return nil
	}
	return append([]byte(residueMagic), d.ops...)
}

// differ walks two layouts side by side: i and j are the pieces at hand, less their first bytes, of which cutI and cutJ are done with.
type differ struct {
	from, to   *layout
	index      []int64 // where the pieces of from begin; made when it is first needed, as places is
	i, j       int
	cutI, cutJ int64
	places     map[int32][]int // the pieces of from that have a bulkdata; made when it is first needed
	work       int
	differs    bool

	ops             []byte
	copied, skipped int64  // not yet written; a skip stands after a copy
	inserted        []byte // not yet written; stands after a skip
	skippedA        []byte // the literal bytes of the skip, while they are all literal
	skipIsLiteral   bool
}

// less is a piece without its first n bytes.
func (p piece) less(n int64) piece {
	p.at, p.n = p.at+n, p.n-n
	return p
}

// pieceA is piece i of from as far as it is still to be dealt with, pieceB piece j of to.
func (d *differ) pieceA(i int) piece {
	if i == d.i {
		return d.from.pieces[i].less(d.cutI)
	}
	return d.from.pieces[i]
}

func (d *differ) pieceB(j int) piece {
	if j == d.j {
		return d.to.pieces[j].less(d.cutJ)
	}
	return d.to.pieces[j]
}

// pass goes n bytes on in the piece at hand of from; passB of to.
func (d *differ) pass(n int64) {
	if d.cutI += n; d.cutI == d.from.pieces[d.i].n {
		d.i, d.cutI = d.i+1, 0
	}
}

func (d *differ) passB(n int64) {
	if d.cutJ += n; d.cutJ == d.to.pieces[d.j].n {
		d.j, d.cutJ = d.j+1, 0
	}
}

func (d *differ) run() {
	for d.j < len(d.to.pieces) {
		if d.i == len(d.from.pieces) {
			d.apart()
			continue
		}
		switch p, q := d.pieceA(d.i), d.pieceB(d.j); {
		case samePiece(d.from, p, d.to, q):
			d.match(p.n)
		case sameStart(p, q):
			d.match(min(p.n, q.n)) // and leave the rest of the longer one
		default:
			d.apart()
		}
	}
	if d.i < len(d.from.pieces) {
		d.differs = true // what is left of from is not copied; no operation needed
	}
	d.flush()
}

// apart moves on to where the layouts meet again.
func (d *differ) apart() {
	d.differs = true
	i, j, ok := d.meet()
	if !ok {
		i, j = d.i, d.j+1
	}
	for d.i < i {
		p := d.pieceA(d.i)
		d.skip(p)
		d.pass(p.n)
	}
	for d.j < j {
		q := d.pieceB(d.j)
		d.passB(q.n)
		d.insert(q)
	}
}

// meet looks for the nearest pair of pieces ahead that are the same, preferring long ones: a four-byte piece is equal by chance.
func (d *differ) meet() (int, int, bool) {
	ahead := min(meetWindow, d.literals()) // bulkdata cannot be written into a residue
	for sum := 1; sum <= meetWindow+ahead && d.work < meetWork; sum++ {
		for x := max(0, sum-ahead); x <= min(sum, meetWindow); x++ {
			i, j := d.i+x, d.j+sum-x
			if i >= len(d.from.pieces) || j >= len(d.to.pieces) {
				continue
			}
			d.work++
			if p, q := d.pieceA(i), d.pieceB(j); sameStart(p, q) || samePiece(d.from, p, d.to, q) && p.n >= 8 && p.bulk == noBulk {
				return i, j, true
			}
		}
	}
	return 0, 0, false
}

// literals is how many pieces of to from the one at hand on are literal, up to the window.
func (d *differ) literals() int {
	n := 0
	for n < meetWindow && d.j+n < len(d.to.pieces) && d.to.pieces[d.j+n].bulk == noBulk {
		n++
	}
	return n
}

// match copies the n bytes that come next in both.
func (d *differ) match(n int64) {
	if d.skipped > 0 || len(d.inserted) > 0 {
		d.flush()
	}
	d.copied += n
	d.pass(n)
	d.passB(n)
}

func (d *differ) skip(p piece) {
	d.skipped += p.n
	if p.bulk == noBulk && d.skipIsLiteral {
		d.skippedA = append(d.skippedA, d.from.bytesOf(p)...)
	} else {
		d.skipIsLiteral, d.skippedA = false, nil
	}
}

func (d *differ) insert(p piece) {
	if p.bulk == noBulk {
		d.inserted = append(d.inserted, d.to.bytesOf(p)...)
		return
	}
	d.fetch(p)
}

// fetch copies bulkdata that stands elsewhere in from: go there, copy, and go on from there.
func (d *differ) fetch(p piece) {
	d.flush()
	if d.places == nil {
		d.index, d.places = d.from.offsets(), make(map[int32][]int)
		for i, q := range d.from.pieces {
			if q.bulk != noBulk {
				d.places[q.bulk] = append(d.places[q.bulk], i)
			}
		}
	}
	for _, i := range d.places[p.bulk] {
		q := d.from.pieces[i]
		if p.at < q.at || p.at+p.n > q.at+q.n {
			continue
		}
		d.op(opSeek, d.index[i]+p.at-q.at)
		d.op(opCopy, p.n)
		d.i, d.cutI = i, 0
		d.pass(p.at + p.n - q.at)
		return
	}
	panic("part10: layouts of different bulkdata")
}

// flush writes what is pending. A skip of literal bytes and an insertion share their common start and end: most often they
// are one element with another VR or length.
func (d *differ) flush() {
	a, b := d.skippedA, d.inserted
	head, tail := 0, 0
	if d.skipIsLiteral && d.skipped > 0 {
		for head < len(a) && head < len(b) && a[head] == b[head] {
			head++
		}
		for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
			tail++
		}
	}
	d.op(opCopy, d.copied+int64(head))
	d.op(opSkip, d.skipped-int64(head+tail))
	if body := b[head : len(b)-tail]; len(body) > 0 {
		d.op(opInsert, int64(len(body)))
		d.ops = append(d.ops, body...)
	}
	d.copied, d.skipped, d.inserted, d.skippedA, d.skipIsLiteral = int64(tail), 0, d.inserted[:0], d.skippedA[:0], true
}

func (d *differ) op(kind int, n int64) {
	if n > 0 || kind == opSeek {
		d.ops = binary.AppendUvarint(d.ops, uint64(n)<<2|uint64(kind))
	}
}

// apply is the layout that residue makes of from. A nil residue leaves it as it is.
// A hostile residue that copies for ever is stopped by limit, the length that the file must have, and by the number of pieces that a file may have.
func apply(from *layout, residue []byte, limit int64) (*layout, error) {
	if residue == nil {
		return from, nil
	}
	if len(residue) < len(residueMagic) || string(residue[:len(residueMagic)]) != residueMagic {
		return nil, fmt.Errorf("it does not begin with %s: %w", residueMagic, ErrResidue)
	}
	index := from.offsets()
	out := &layout{literal: slices.Clip(from.literal), bulks: from.bulks} // what is inserted goes into a copy
	var at, size int64
	var err error
	for rest := residue[len(residueMagic):]; len(rest) > 0; {
		head, width := binary.Uvarint(rest)
		if width <= 0 || head>>2 > 1<<60 {
			return nil, fmt.Errorf("broken operation: %w", ErrResidue)
		}
		rest = rest[width:]
		n := int64(head >> 2)
		switch head & 3 {
		case opSkip:
			at = min(at+n, 1<<60)
		case opSeek:
			at = n
		case opInsert:
			if n > int64(len(rest)) {
				return nil, fmt.Errorf("cut short: %w", ErrResidue)
			}
			out.add(rest[:n])
			rest, size = rest[n:], size+n
		case opCopy:
			if out.pieces, err = from.appendCut(out.pieces, index, at, n); err != nil {
				return nil, err
			}
			at, size = at+n, size+n
		}
		if size > limit || len(out.pieces) > 2*maxPieces {
			return nil, fmt.Errorf("makes more than the %d bytes of the file: %w", limit, ErrResidue)
		}
	}
	return out, nil
}
