package part10

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/part10/charset"
	"github.com/zeebo/blake3"
)

// Limits beyond which a value leaves its object (FORMAT.md section 3).
const (
	inlineBinary  = 1024
	inlinePrivate = 1024
	inlineJSON    = 16 << 10
)

// taker is one run of Take.
type taker struct {
	*Scratch
	file *witness
	size int64
	sink Store
	in   input
	vrs  *dictionary
	scan *scanner

	layout  *layout
	content *content
	image   image
	syntax  string
	style   style
	pixels  *pixelElement
	levels  []building
	meta    dedup.Object
	json    arena
	held    int64 // what the objects weigh that are being built: see weight
	noise   int64
	remarks []string
	// deflatedAt is where a deflated dataset begins in the file, 0 when there is none; prefix is how many pieces come before it.
	deflatedAt int64
	prefix     int
}

// Take reads the Part 10 file f of size bytes and hands its bulkdata and shared objects to sink.
// It refuses with an error that satisfies errors.Is(err, ErrFormat) what is not DICOM, ends early or contradicts itself; other errors are f's and the sink's.
// Nothing of what the sink was given is of use after an error.
func Take(f io.ReaderAt, size int64, sink Store) (*Parts, error) {
	return new(Scratch).Take(f, size, sink)
}

func (t *taker) take() (*Parts, error) {
	digest := t.digest()
	err := t.read()
	if at := t.in.consumed(); err == nil && at != t.size {
		err = fmt.Errorf("at byte %d: the file changed while it was read: %w", at, ErrFormat)
	}
	if t.file.err != nil {
		return nil, fmt.Errorf("at byte %d: %w", t.in.consumed(), t.file.err)
	}
	if err != nil {
		return nil, err
	}
	return t.finish(digest())
}

// digest is called before the first byte is read; what it returns, after the last one.
func (t *taker) digest() func() [32]byte {
	if l, ok := t.file.f.(Loaded); ok {
		return func() [32]byte { return blake3.Sum256(l) } // in one go, which is the fastest way
	}
	p, h := t.in.(*progress), blake3.New()
	p.r = io.TeeReader(p.r, h)
	return func() (sum [32]byte) {
		h.Sum(sum[:0])
		return sum
	}
}

// newTaker is a taker that is about to read its first byte, and looks at most peek bytes ahead.
func newTaker(s *Scratch, f io.ReaderAt, size int64, peek int) *taker {
	s.forget()
	t := &taker{Scratch: s, file: &witness{f: f}, size: size, vrs: newDictionary(), layout: s.read.emptied(), content: s.content.emptied()}
	var ahead stream
	if l, ok := f.(Loaded); ok {
		u := &unread{rest: l}
		t.in, ahead = u, u
	} else {
		t.in = &progress{r: io.NewSectionReader(t.file, 0, size)}
		ahead = s.ahead(t.in, peek, size)
	}
	t.scan = newScanner(ahead, size, coding{}, t.vrs)
	return t
}

// witness keeps the error that reading the file failed with, so that nobody takes it for a fault of what is in the file.
type witness struct {
	f   io.ReaderAt
	err error
}

func (w *witness) ReadAt(b []byte, at int64) (int, error) {
	n, err := w.f.ReadAt(b, at)
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}

// progress counts the bytes read.
type progress struct {
	r io.Reader
	n int64
}

func (p *progress) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.n += int64(n)
	return n, err
}

func (p *progress) consumed() int64 { return p.n }

// read walks over preamble, group 0002 and dataset.
func (t *taker) read() error {
	if err := t.start(); err != nil {
		return err
	}
	t.levels = []building{{object: t.root[:0]}}
	for {
		tok, err := t.scan.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := t.step(tok); err != nil {
			return err
		}
		if err := t.bounded(tok); err != nil {
			return err
		}
	}
	if len(t.levels) != 1 {
		return t.scan.short(t.scan.off, "ends inside a sequence")
	}
	if t.deflatedAt > 0 {
		return t.finishDeflated()
	}
	return nil
}

// bounded refuses a file that has more of what is held in memory than any sound one.
func (t *taker) bounded(tok token) error {
	switch {
	case t.noise > maxPadding:
		return t.scan.errorf(tok.at, "more than %d MiB of padding", maxPadding>>20)
	case t.weight() > maxMemory:
		return t.scan.errorf(tok.at, "%d MiB of attributes in %d pieces, and %d frames and long values, take more than %d MiB of memory",
			len(t.layout.literal)>>20, len(t.layout.pieces), len(t.layout.bulks), maxMemory>>20)
	}
	return nil
}

// What a piece, a bulkdata file and an attribute of an object weigh beside their bytes, and how many times the JSON of objects is there at once:
// while it is copied from items into their sequence, sealed, and stored. Measured (TestHeaviest).
const (
	pieceWeight   = 128
	bulkWeight    = 384
	elementWeight = 48
	jsonWeight    = 4
)

// weight is about how many bytes of memory it takes to turn what was read so far into objects and a residue. Whatever the file says, it is
// in proportion to what was read; this bounds it, for the bytes of a text may take six times as many of JSON, and a tiny element has a hundred of its own.
func (t *taker) weight() int64 {
	l := t.layout
	return 2*int64(len(l.literal)) + pieceWeight*int64(len(l.pieces)) + bulkWeight*int64(len(l.bulks)) + jsonWeight*t.held
}

// step takes up one token of the dataset.
func (t *taker) step(tok token) error {
	switch tok.kind {
	case atElement:
		return t.element(tok)
	case atSequence:
		return t.beginSequence(tok)
	case atItem:
		t.layout.add(tok.raw)
		t.style.items.count(tok)
		t.push(building{set: t.top().set, signed: t.top().signed, second: t.top().second})
		t.content.add(t.depth(), tok.tag, contentItem, nil)
	case atItemEnd:
		t.layout.add(tok.raw)
		t.content.add(t.depth(), tagItem, contentItemEnd, nil)
		t.endItem()
	case atSequenceEnd:
		t.layout.add(tok.raw)
		return t.endSequence()
	case atPixels:
		return t.encapsulated(tok)
	case atNoise:
		t.layout.add(tok.raw)
		t.noise += int64(len(tok.raw))
	default:
		return t.scan.errorf(tok.at, "a fragment outside of Pixel Data")
	}
	return nil
}

// element takes up an element with a value.
func (t *taker) element(tok token) error {
	if t.atRoot() && counts(tok.tag) {
		t.content.root(tok.tag)
	}
	t.noteUnknown(tok)
	if t.atRoot() && isPixels(tok.tag) && !t.has(tok.tag) && t.pixels == nil && tok.length > 0 {
		return t.nativePixels(tok)
	}
	if tok.broken {
		t.say("(%s) is no run of items, as a sequence must be, and kept as bytes", pretty(tok.tag))
	}
	if tok.length > inlineLimit(tok) {
		return t.outOfLine(tok)
	}
	return t.inline(tok)
}

// noteUnknown notes that a root attribute which goes into the object is written as UN.
func (t *taker) noteUnknown(tok token) {
	if tok.unknown() && t.atRoot() && !t.has(tok.tag) {
		t.style.noteUnknown(tok.tag)
	}
}

// inlineLimit is the most bytes that a value may have to stay in its object.
func inlineLimit(tok token) int64 {
	switch {
	case tok.tag == tagPadding:
		return maxPadding
	case tok.vr.binary():
		return inlineBinary
	case tok.tag.Private():
		return inlinePrivate
	}
	return maxInline
}

// inline puts a value into the open object.
func (t *taker) inline(tok token) error {
	at := len(t.layout.literal)
	t.layout.literal = append(t.layout.literal, tok.raw...)
	var err error
	if t.layout.literal, err = t.scan.value(t.layout.literal); err != nil {
		return err
	}
	whole := t.layout.literal[at:]
	t.layout.pieces = append(t.layout.pieces, piece{n: int64(len(whole)), at: int64(at), bulk: noBulk})
	if tok.tag == tagPadding {
		t.noise += tok.length
		return nil
	}
	value := t.little(tok, whole[len(tok.raw):])
	if tok.tag&0xFFFF == 0 {
		t.style.groupLength(tok.tag, t.atRoot())
		return nil
	}
	if counts(tok.tag) {
		t.content.value(t.depth(), tok, value, t.vrs)
	}
	if t.second(tok.tag) {
		return nil
	}
	t.note(tok, value)
	t.remark(tok, value)
	t.set(tok.tag, t.json.exact(tok.vr, value, t.top().set))
	return nil
}

// little is a value with its units in little-endian order, valid until the next.
func (t *taker) little(tok token, value []byte) []byte {
	if !tok.coding.big || tok.vr.swap() < 2 {
		return value
	}
	t.swapped = append(t.swapped[:0], value...)
	swapUnits(t.swapped, tok.vr.swap())
	return t.swapped
}

// swapUnits turns round the bytes of each whole unit.
func swapUnits(b []byte, unit int) {
	for ; len(b) >= unit; b = b[unit:] {
		slices.Reverse(b[:unit])
	}
}

// note remembers what later elements depend on.
func (t *taker) note(tok token, value []byte) {
	switch tok.tag {
	case 0x00080005:
		t.top().set, _ = charset.Parse(splitTerms(value))
	case 0x00280103:
		t.top().signed = len(value) >= 2 && value[0] == 1
		t.vrs.signed = t.top().signed
	case 0x7FE00001:
		t.image.offsets, t.image.offsetsAt = tok.length, tok.at+int64(len(tok.raw))
	}
	if t.atRoot() {
		t.image.note(tok.tag, value)
	}
}

// outOfLine hands a long value to the sink.
func (t *taker) outOfLine(tok token) error {
	t.layout.add(tok.raw)
	if tok.tag == 0x7FE00001 && t.atRoot() {
		t.image.offsets, t.image.offsetsAt = tok.length, tok.at+int64(len(tok.raw))
	}
	swap, ext := 0, ".raw"
	switch {
	case t.second(tok.tag):
		ext = residueExt
	case tok.coding.big:
		swap = tok.vr.swap()
	}
	ref, sum, err := t.keep(t.scan, tok.length, swap, ext)
	if err != nil {
		return err
	}
	if counts(tok.tag) {
		t.content.add(t.depth(), tok.tag, contentBulk, sum[:])
	}
	t.layout.addBulk(t.names.number(t.layout, ref, tok.length, swap), 0, tok.length)
	t.set(tok.tag, appendReference(nil, ref, tok.vr))
	return nil
}

// beginSequence opens a sequence, or keeps one that nests too deep as the bytes that it is.
func (t *taker) beginSequence(tok token) error {
	if t.depth() >= maxNesting {
		return t.deep(tok)
	}
	if t.atRoot() {
		t.content.root(tok.tag)
	}
	t.noteUnknown(tok)
	t.layout.add(tok.raw)
	t.style.sequences.count(tok)
	t.content.add(t.depth(), tok.tag, contentSequence, nil)
	t.push(building{tag: tok.tag, set: t.top().set, signed: t.top().signed, second: t.second(tok.tag)})
	return nil
}

func (t *taker) endItem() {
	item := t.pop()
	t.vrs.signed = t.top().signed
	s := &t.top().sequence
	before := len(*s)
	if item.held > copyBuffer {
		*s = slices.Grow(*s, int(item.held)) // at once, and not in steps of which each is a copy
	}
	if before == 0 {
		*s = append(*s, sequenceStart...)
	} else {
		*s = append(*s, ',')
	}
	*s = item.settled().AppendJSON(*s)
	t.held -= item.held
	t.hold(int64(len(*s) - before))
}

// endSequence closes a sequence and gives it to the object that it stands in, by reference if it is long.
func (t *taker) endSequence() error {
	s := t.pop()
	t.held -= s.held
	t.content.add(t.depth(), s.tag, contentSequenceEnd, nil)
	if s.second {
		return nil
	}
	json := endSequence(s.sequence)
	if len(json) > inlineJSON {
		h, err := t.object(dedup.TypeSequence, dedup.Object{{Tag: s.tag, JSON: json}}, nil)
		if err != nil {
			return err
		}
		json = appendReference(nil, dedup.Ref{Class: dedup.Bulkdata, Name: h.String(), Ext: ".json.gz"}, "SQ")
	}
	t.set(s.tag, json)
	return nil
}

// deep keeps a sequence that nests deeper than an object may as encoded bytes.
func (t *taker) deep(tok token) error {
	t.layout.add(tok.raw)
	t.style.sequences.count(tok)
	w, err := t.begin()
	if err != nil {
		return err
	}
	floor := len(t.scan.levels)
	var end []byte
	for w.err == nil {
		inner, err := t.scan.next()
		if err != nil {
			w.drop()
			return err
		}
		if len(t.scan.levels) < floor {
			end = inner.raw
			break
		}
		w.write(inner.raw)
		if inner.kind == atElement || inner.kind == atFragment {
			w.copy(t.scan, inner.length, 0)
		}
	}
	ext := ".raw"
	if t.second(tok.tag) {
		ext = residueExt
	}
	ref, sum, err := w.keep(ext)
	if err != nil {
		return err
	}
	t.content.add(t.depth(), tok.tag, contentBulk, sum[:])
	t.layout.addBulk(t.names.number(t.layout, ref, w.n, 0), 0, w.n)
	t.layout.add(end)
	t.set(tok.tag, appendReference(nil, ref, "UN"))
	return nil
}
