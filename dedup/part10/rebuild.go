package part10

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/zeebo/blake3"
)

// ErrNotExact says that a file can be written with the same attributes and values, but not as the bytes that came in: its residue cannot be had.
var ErrNotExact = errors.New("the encoding residue is missing: equal by attribute, not by byte")

// Rebuilt is an instance ready to be written as a Part 10 file.
type Rebuilt struct {
	layout  *layout
	source  Source
	deflate int // piece from which on the dataset is to be deflated; 0: nothing is
	digest  dedup.Digest
	size    int64
	exact   bool
	unzip   *gzip.Reader // to read the residue with
}

// Rebuild puts the Part 10 file of a record together. merged is the record with its extracts, d the record's private block.
//
// The file is the one that came in, byte for byte, if the record is as it was taken in and its residue is at hand. If only the
// residue is missing the error satisfies errors.Is(err, ErrNotExact) and the Rebuilt is good all the same.
// A record of another writer has no encoding object: it is written as explicit little endian, or in the syntax of its frames.
func Rebuild(merged dedup.Object, d dedup.Dedup, source Source) (*Rebuilt, error) {
	e := encoder{source: source, names: bulkNames{}, out: &layout{}}
	meta, err := e.prologue(merged, d)
	if err != nil {
		return nil, err
	}
	if err := e.file(meta, merged); err != nil {
		return nil, err
	}
	r := &Rebuilt{layout: e.out, source: source, digest: d.File, size: d.FileSize, exact: d.File != dedup.Digest{}, unzip: new(gzip.Reader)}
	err = r.applyResidue(d.Encoding)
	switch {
	case errors.Is(err, ErrNotExact):
		if e.style.deflated {
			r.deflate = e.inner
		}
		r.exact = false
		if damage := r.check(); damage != nil {
			return nil, damage
		}
		return r, err
	case err != nil:
		return nil, err
	case r.exact && r.layout.size() != r.size:
		return nil, fmt.Errorf("the objects make a file of %d bytes, it had %d: %w", r.layout.size(), r.size, ErrResidue)
	}
	return r, nil
}

// Rebuild is the package's Rebuild of what Take has just stored, for the proof: merged, d and source are what was stored, read again. If they are the very
// objects from which the residue was found, as they are meant to be, the default rebuild, a function of them, is the one at hand; else it is made anew.
func (p *Parts) Rebuild(merged dedup.Object, d dedup.Dedup, source Source) (*Rebuilt, error) {
	if p.base == nil || !sameObject(merged, p.root) || len(d.Encoding) == 0 || !p.sameMeta(d.Encoding[0], source) {
		return Rebuild(merged, d, source)
	}
	r := &Rebuilt{layout: p.base, source: source, digest: d.File, size: d.FileSize, exact: true, unzip: p.unzip}
	if err := r.applyResidue(d.Encoding); err != nil {
		return nil, err
	}
	return r, nil
}

// sameMeta reports whether an encoding object is the one of which base was made. Its style is part of its hash.
func (p *Parts) sameMeta(h dedup.Hash, source Source) bool {
	sealed, err := source.Object(h)
	if err != nil || dedup.Verify(sealed) != dedup.Right {
		return false
	}
	meta, d := dedup.Split(sealed)
	return d.Hash == h && sameObject(meta, p.meta)
}

// sameObject reports whether two objects have the same elements.
func sameObject(a, b dedup.Object) bool {
	return slices.EqualFunc(a, b, func(x, y dedup.Element) bool { return x.Tag == y.Tag && bytes.Equal(x.JSON, y.JSON) })
}

// check compares every bulkdata file of the record with its name. Where the file is exact its digest does that, and more.
func (r *Rebuilt) check() error {
	buf := make([]byte, copyBuffer)
	for _, b := range r.layout.bulks {
		if b.ref.Ext == residueExt {
			continue // it is not to be written
		}
		if err := checkBulk(r.source, b.ref, buf); err != nil {
			return err
		}
	}
	return nil
}

// checkBulk reads a bulkdata file and compares it with its name.
func checkBulk(source Source, ref dedup.Ref, buf []byte) error {
	in, err := source.Bulk(ref)
	if err != nil {
		return err
	}
	defer in.Close()
	size, err := in.Size()
	if err != nil {
		return err
	}
	own, stream := sha256.New(), blake3.New()
	if _, err := io.CopyBuffer(io.MultiWriter(own, stream), io.NewSectionReader(in, 0, size), buf); err != nil {
		return err
	}
	if ref.Stream != "" && hex.EncodeToString(stream.Sum(nil)[:16]) == ref.Stream ||
		ref.Stream == "" && hex.EncodeToString(own.Sum(nil)) == ref.Name {
		return nil
	}
	return fmt.Errorf("%s is not what its name says: %w", ref, ErrResidue)
}

// prologue finds group 0002 and the style of a record.
func (e *encoder) prologue(merged dedup.Object, d dedup.Dedup) (dedup.Object, error) {
	if len(d.Encoding) == 0 || d.Encoding[0].IsZero() {
		e.style = style{preamble: true, meta: true}
		return foreignMeta(merged), nil
	}
	sealed, err := e.source.Object(d.Encoding[0])
	if err != nil {
		return nil, fmt.Errorf("encoding object: %w", err)
	}
	meta, block := dedup.Split(sealed)
	e.style = parseStyle(block.Layout)
	return meta, nil
}

// applyResidue turns the default rebuild into the file that came in. ErrNotExact says that the residue cannot be had, any other error that
// something else is not what it was.
func (r *Rebuilt) applyResidue(encoding []dedup.Hash) error {
	if len(encoding) < 2 {
		return nil
	}
	for _, h := range encoding[2:] {
		ref := dedup.Ref{Class: dedup.Bulkdata, Name: h.String(), Ext: residueExt}
		in, err := r.source.Bulk(ref)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrNotExact, err)
		}
		size, err := in.Size()
		_ = in.Close()
		if err != nil {
			return err
		}
		r.layout.addBulk(r.layout.newBulk(ref, size, 0), 0, size)
	}
	if encoding[1].IsZero() {
		return nil
	}
	residue, err := r.readResidue(dedup.Ref{Class: dedup.Bulkdata, Name: encoding[1].String(), Ext: residueExt + ".gz"})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotExact, err)
	}
	l, err := apply(r.layout, residue, r.size)
	if err != nil {
		return err
	}
	r.layout = l
	return nil
}

// readResidue reads and inflates the operations, and compares them with their name: a residue that is right and does not fit tells of damage elsewhere.
func (r *Rebuilt) readResidue(ref dedup.Ref) ([]byte, error) {
	in, err := r.source.Bulk(ref)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	size, err := in.Size()
	if err != nil {
		return nil, err
	}
	residue, err := decompress(io.NewSectionReader(in, 0, size), min(2*maxSkeleton, 16*r.size+copyBuffer), r.unzip) // no byte of a file takes 16 of residue
	if err == nil && dedup.HashOf(sha256.Sum256(residue)).String() != ref.Name {
		err = fmt.Errorf("%s is not what its name says: %w", ref, ErrResidue)
	}
	return residue, err
}

// Exact reports whether WriteTo writes the bytes that came in.
func (r *Rebuilt) Exact() bool { return r.exact }

// Size is the length of the file in bytes; -1 if only writing it tells.
func (r *Rebuilt) Size() int64 {
	if r.deflate > 0 {
		return -1
	}
	return r.layout.size()
}

// WriteTo writes the file. Where it is to be exact, the digest that was taken of the file that came in must come out, else the
// error says so after the last byte: whoever writes to a file must not keep it then.
func (r *Rebuilt) WriteTo(w io.Writer) (int64, error) {
	digest := blake3.New()
	count := &writeCounter{w: io.MultiWriter(w, digest)}
	if err := r.write(count); err != nil {
		return count.n, err
	}
	if r.exact && dedup.Digest(digest.Sum(nil)) != r.digest {
		return count.n, fmt.Errorf("the rebuilt file is not the one that came in: %w", ErrResidue)
	}
	return count.n, nil
}

type writeCounter struct {
	w io.Writer
	n int64
}

func (c *writeCounter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

func (r *Rebuilt) write(w io.Writer) error {
	p := &pieceWriter{r: r, buf: make([]byte, bufferFor(r.layout.size()))}
	defer p.close()
	head, body := r.layout.pieces, []piece(nil)
	if r.deflate > 0 {
		head, body = head[:r.deflate], head[r.deflate:]
	}
	if err := p.pieces(w, head); err != nil || len(body) == 0 {
		return err
	}
	count := &writeCounter{w: w}
	z, err := flate.NewWriter(count, flate.DefaultCompression)
	if err != nil {
		return err
	}
	if err := p.pieces(z, body); err != nil {
		return err
	}
	if err := z.Close(); err != nil || count.n%2 == 0 {
		return err
	}
	_, err = w.Write([]byte{0}) // PS3.5 section A.5: padded to an even length
	return err
}

// pieceWriter writes pieces and keeps at most one bulkdata file open.
type pieceWriter struct {
	r    *Rebuilt
	open Bulk
	of   int32
	buf  []byte
}

func (p *pieceWriter) close() {
	if p.open != nil {
		_ = p.open.Close()
	}
	p.open = nil
}

// pieces writes literal bytes in long runs and bulkdata as it comes.
func (p *pieceWriter) pieces(w io.Writer, pieces []piece) error {
	l := p.r.layout
	for i := 0; i < len(pieces); i++ {
		q := pieces[i]
		if q.bulk != noBulk {
			if err := p.bulk(w, q); err != nil {
				return err
			}
			continue
		}
		for i+1 < len(pieces) && pieces[i+1].bulk == noBulk && pieces[i+1].at == q.at+q.n {
			i++
			q.n += pieces[i].n
		}
		if _, err := w.Write(l.bytesOf(q)); err != nil {
			return err
		}
	}
	return nil
}

// bulk writes a stretch of bulkdata, turned round by units where the file is big endian.
func (p *pieceWriter) bulk(w io.Writer, q piece) error {
	b := p.r.layout.bulks[q.bulk]
	if p.open == nil || p.of != q.bulk {
		p.close()
		in, err := p.r.source.Bulk(b.ref)
		if err != nil {
			return err
		}
		p.open, p.of = in, q.bulk
	}
	unit := int64(max(b.swap, 1))
	for n := q.n; n > 0; {
		from := q.at + q.n - n
		lead := from % unit
		whole := (lead + n + unit - 1) / unit * unit
		buf := p.buf[:min(whole, int64(len(p.buf))/unit*unit)]
		got, err := p.open.ReadAt(buf, from-lead)
		if err != nil && !errors.Is(err, io.EOF) || int64(got) <= lead {
			return fmt.Errorf("%s is shorter than it was: %w", b.ref, errors.Join(err, io.ErrUnexpectedEOF))
		}
		if b.swap > 1 {
			swapUnits(buf[:got], b.swap)
		}
		out := buf[lead:min(int64(got), lead+n)]
		if _, err := w.Write(out); err != nil {
			return err
		}
		n -= int64(len(out))
	}
	return nil
}
