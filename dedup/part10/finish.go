package part10

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/part10/charset"
	"github.com/klauspost/compress/flate"
)

// The start of a Part 10 file (PS3.10 section 7.1).
const (
	preambleSize = 128
	magic        = "DICM"
)

// start reads preamble and group 0002, and sets the scanner to the coding of what follows.
func (t *taker) start() error {
	head, _ := t.scan.r.Peek(preambleSize + 12)
	if len(head) == 0 {
		return t.scan.short(0, "the file is empty")
	}
	if len(head) >= preambleSize+4 && string(head[preambleSize:preambleSize+4]) == magic {
		t.style.preamble = true
		t.layout.add(head[:preambleSize])
		t.layout.add(head[preambleSize : preambleSize+4])
		_, _ = t.scan.r.Discard(preambleSize + 4)
		t.scan.off = preambleSize + 4
	}
	if err := t.group2(); err != nil {
		return err
	}
	if t.syntax == "" {
		return t.guess()
	}
	var deflated bool
	t.scan.root, deflated = codingOf(t.syntax)
	t.style.implicit, t.style.big = t.scan.root.implicit, t.scan.root.big
	if deflated {
		return t.inflate()
	}
	return nil
}

// group2 reads the file meta information, always explicit little endian.
func (t *taker) group2() error {
	t.levels = []building{{}}
	for {
		b, err := t.scan.r.Peek(4)
		if err != nil || tagAt(b, coding{}).Group() != 2 {
			break
		}
		tok, err := t.scan.next()
		if err != nil {
			return err
		}
		if tok.kind != atElement || tok.length > maxInline {
			return t.scan.errorf(tok.at, "(%s) has no place in group 0002", pretty(tok.tag))
		}
		t.style.meta = true
		at := len(t.layout.literal)
		if err := t.metaElement(tok); err != nil {
			return err
		}
		if tok.tag == 0x00020010 {
			t.syntax = string(bytes.TrimRight(t.layout.literal[at+len(tok.raw):], " \x00"))
		}
		if err := t.bounded(tok); err != nil {
			return err
		}
	}
	t.meta = t.levels[0].settled()
	return nil
}

func (t *taker) metaElement(tok token) error {
	at := len(t.layout.literal)
	t.layout.literal = append(t.layout.literal, tok.raw...)
	var err error
	t.layout.literal, err = t.scan.value(t.layout.literal)
	if err != nil {
		return err
	}
	whole := t.layout.literal[at:]
	t.layout.pieces = append(t.layout.pieces, piece{n: int64(len(whole)), at: int64(at), bulk: noBulk})
	if tok.tag != 0x00020000 && t.sink != nil {
		t.set(tok.tag, t.json.exact(tok.vr, whole[len(tok.raw):], charset.Set{}))
	}
	return nil
}

// guess finds the coding of a dataset that nothing announces: little endian most likely, explicit if a VR stands where one would.
func (t *taker) guess() error {
	b, err := t.scan.r.Peek(8)
	if err != nil {
		return t.scan.short(t.scan.off, "there is no dataset")
	}
	explicit := isVRText(b[4:6]) && VR(b[4:6]).known()
	c := coding{implicit: !explicit}
	if group := binary.LittleEndian.Uint16(b); group > 0x00FF && group&0xFF == 0 && explicit {
		c.big = true
	}
	tag := tagAt(b, c)
	if !explicit && int64(order(c).Uint32(b[4:])) > t.size || tag.Group() < 4 && !t.style.meta || tag.Group() > 0x00FF && !t.style.meta {
		what := alien(b)
		if t.size < preambleSize+int64(len(magic)) {
			return fmt.Errorf("at byte %d: %s: %w", t.scan.off, what, unfinished) // the preamble may be anything
		}
		return t.scan.errorf(t.scan.off, "%s", what)
	}
	t.scan.root = c
	t.style.implicit, t.style.big = c.implicit, c.big
	return nil
}

// unfinished is the ErrTruncated of what is too short to be anything yet.
const unfinished = truncated("not a sound DICOM file")

// alien says what a file is that is no DICOM, and for what people take for some what to do with it.
func alien(head []byte) string {
	for _, known := range []struct{ magic, what string }{
		{"PK\x03\x04", "this is a zip archive: unpack it, and send what is in it"},
		{"\x1F\x8B", "this is gzipped: unpack it, and send what is in it"},
		{"%PDF", "this is a PDF document: put it into a DICOM object (as pdf2dcm of dcmtk does), and send that"},
		{"\xFF\xD8\xFF", "this is a JPEG picture: put it into a DICOM object (as img2dcm of dcmtk does), and send that"},
		{"\x89PNG", "this is a PNG picture: put it into a DICOM object, and send that"},
	} {
		if bytes.HasPrefix(head, []byte(known.magic)) {
			return known.what
		}
	}
	return "this is not DICOM: no DICM after a preamble, and no data element at the start"
}

// The most that a deflated dataset may grow to: this many bytes, or this many times what it was.
const (
	inflateFree  = 256 << 20
	inflateRatio = 100
)

// inflate lets the scanner read a deflated dataset (PS3.5 section A.5).
func (t *taker) inflate() error {
	t.style.deflated = true
	t.deflatedAt, t.prefix = t.scan.off, len(t.layout.pieces)
	limit := &inflated{r: flate.NewReader(t.scan.r), in: t.in}
	t.scan = newScanner(bufio.NewReaderSize(limit, peekSize), -1, t.scan.root, t.vrs)
	return nil
}

// inflated refuses a stream that inflates beyond reason.
type inflated struct {
	r  io.Reader
	in input
	n  int64
}

func (i *inflated) Read(p []byte) (int, error) {
	n, err := i.r.Read(p)
	i.n += int64(n)
	switch {
	case i.n > inflateFree && i.n/inflateRatio > i.in.consumed():
		err = fmt.Errorf("the deflated dataset grows to more than %d times its size: %w", inflateRatio, ErrFormat)
	case err != nil && !errors.Is(err, io.EOF):
		err = fmt.Errorf("the deflated dataset is damaged or cut short: %w", ErrTruncated)
	}
	return n, err
}

// finishDeflated keeps the deflated bytes themselves, and whatever follows them, for the way back: they take the dataset's place in the layout.
func (t *taker) finishDeflated() error {
	if _, err := io.Copy(io.Discard, t.in); err != nil {
		return err
	}
	n := t.size - t.deflatedAt
	ref, _, err := t.keep(io.NewSectionReader(t.file, t.deflatedAt, n), n, 0, residueExt)
	if err != nil {
		return err
	}
	t.layout.pieces = t.layout.pieces[:t.prefix]
	t.layout.addBulk(t.names.number(t.layout, ref, n, 0), 0, n)
	return nil
}

// finish turns what was read into objects, and what they do not say into a residue.
func (t *taker) finish(digest [32]byte) (*Parts, error) {
	root := t.levels[0].settled()
	p := &Parts{Size: t.size, Content: t.content.sum(), Digest: digest, Remarks: t.remarks, unzip: &t.unzip}
	p.Study, p.Series, p.SOP = uidOf(root, 0x0020000D), uidOf(root, 0x0020000E), uidOf(root, 0x00080018)
	root = t.withPixels(root, p)
	t.root = reusable(root)
	root = withRoom(root)
	t.style.settle(countGroups(root))
	block, content, err := t.divide(root)
	if err != nil {
		return nil, err
	}
	if block.Encoding, err = t.encoding(root, p); err != nil {
		return nil, err
	}
	block.Type, block.Content, block.File, block.FileSize = dedup.TypeInstance, p.Content, p.Digest, p.Size
	p.Record, p.Hash, err = dedup.Seal(content, block)
	return p, err
}

// uidOf is an attribute that is one well-formed UID, else the zero UID.
func uidOf(o dedup.Object, tag dedup.Tag) dedup.UID {
	e, _ := o.Find(tag)
	a, err := e.Attribute()
	if err != nil || len(a.Value) != 1 || VR(a.VR).facts().form != formValues {
		return dedup.UID{}
	}
	u, _ := dedup.ParseUID(o.Text(tag))
	return u
}

// withRoom leaves out the last private block of group 0009 if the archive's own block finds no other place: the residue keeps it.
func withRoom(root dedup.Object) dedup.Object {
	const last = 0xFF
	inLast := func(e dedup.Element) bool {
		return e.Tag.Group() == 9 && (e.Tag&0xFFFF == last || e.Tag&0xFF00 == last<<8)
	}
	if !slices.ContainsFunc(root, inLast) {
		return root
	}
	var group dedup.Object
	for _, e := range root {
		if e.Tag.Group() == 9 {
			group = append(group, e)
		}
	}
	if _, _, err := dedup.Seal(group, dedup.Dedup{}); err == nil {
		return root
	}
	return slices.DeleteFunc(slices.Clone(root), inLast)
}

func countGroups(o dedup.Object) int {
	n, last := 0, -1
	for _, e := range o {
		if g := int(e.Tag.Group()); g != last {
			n, last = n+1, g
		}
	}
	return n
}

// withPixels puts the frames into the root object.
func (t *taker) withPixels(root dedup.Object, p *Parts) dedup.Object {
	if t.pixels == nil {
		return root
	}
	leaf := "frames"
	if t.pixels.video {
		leaf = "pixeldata"
	}
	t.style.offsets = t.pixels.offsets
	folder := fmt.Sprintf("series/%s/instances/%s/%s", p.Series, p.SOP, leaf)
	e := dedup.Element{Tag: t.pixels.tag, JSON: appendFragments(nil, t.pixels, folder)}
	i, _ := slices.BinarySearchFunc(root, e.Tag, byTag)
	return slices.Insert(root, i, e)
}

// divide splits the root attributes into extracts, which the sink gets, and the content of the record.
func (t *taker) divide(root dedup.Object) (dedup.Dedup, dedup.Object, error) {
	parts := &t.parts
	for i, o := range parts {
		parts[i] = reusable(o)
	}
	for _, e := range root {
		to := inRecord
		if !e.Tag.Private() {
			to = extractOf(e.Tag)
		}
		parts[to] = append(parts[to], e)
		if e.Tag == 0x0020000E {
			parts[inRecord] = append(parts[inRecord], e)
		}
	}
	var block dedup.Dedup
	for x := inPatient; x < extracts; x++ {
		if len(parts[x]) == 0 {
			continue
		}
		h, err := t.object(x.kind(), parts[x], nil)
		if err != nil {
			return block, nil, err
		}
		block.Refs = append(block.Refs, h)
	}
	return block, parts[inRecord], nil
}

// encoding keeps the encoding object and the residue and returns the values of DeduppedEncoding.
func (t *taker) encoding(root dedup.Object, p *Parts) ([]dedup.Hash, error) {
	meta := t.sparingMeta(root)
	h, err := t.object(dedup.TypeEncoding, meta, t.style.words())
	if err != nil {
		return nil, err
	}
	from, extra, err := t.rebuilt(meta, root)
	if err != nil {
		return nil, err
	}
	if len(extra) == 0 {
		p.base, p.root, p.meta = from, root, meta
	}
	out := []dedup.Hash{h}
	residue := diff(from, t.layout)
	if residue != nil {
		ref, n, err := t.keepResidue(residue)
		if err != nil {
			return nil, err
		}
		p.Residue = n
		out = append(out, ref)
	} else if len(extra) > 0 {
		out = append(out, dedup.Hash{})
	}
	return append(out, extra...), nil
}

// sparingMeta is group 0002 with the two UIDs that nearly always repeat the dataset's left empty, so that a series shares one encoding object.
func (t *taker) sparingMeta(root dedup.Object) dedup.Object {
	out := slices.Clone(t.meta)
	for i, m := range out {
		of := repeated(m.Tag)
		if twin, ok := root.Find(of); of != 0 && ok && bytes.Equal(twin.JSON, m.JSON) {
			out[i].JSON = []byte(`{"vr":"UI"}`)
		} else if of != 0 && string(m.JSON) == `{"vr":"UI"}` {
			out[i].JSON = []byte(`{"DeduppedBytes":"","vr":"UI"}`)
		}
	}
	return out
}

// rebuilt is the default rebuild of what was read, followed by the bulkdata that it has no place for; the hashes name the latter.
func (t *taker) rebuilt(meta, root dedup.Object) (*layout, []dedup.Hash, error) {
	out := t.made.emptied() // as long as the other, but for oddities
	out.literal, out.pieces = slices.Grow(out.literal, len(t.layout.literal)), slices.Grow(out.pieces, len(t.layout.pieces))
	out.bulks = append(out.bulks, t.layout.bulks...)
	e := &encoder{source: t.sink, names: t.names, style: parseStyle(t.style.words()), out: out}
	if err := e.file(meta, root); err != nil {
		return nil, nil, fmt.Errorf("rebuild: %w", err)
	}
	placed, wanted := e.out.used(), t.layout.used()
	var extra []dedup.Hash
	for i, b := range t.layout.bulks {
		if placed[i] || !wanted[i] {
			continue
		}
		h, err := t.keepExtra(b)
		if err != nil {
			return nil, nil, err
		}
		extra = append(extra, h)
		e.out.addBulk(i, 0, b.size)
	}
	return e.out, extra, nil
}

// keepExtra stores bulkdata that no object refers to under the extension of residues, its bytes as they stand in the file.
func (t *taker) keepExtra(b bulk) (dedup.Hash, error) {
	h, err := dedup.ParseHash(b.ref.Name)
	if err != nil || b.ref.Ext == residueExt {
		return h, err
	}
	in, err := t.sink.Bulk(b.ref)
	if err != nil {
		return h, err
	}
	defer in.Close()
	ref, _, err := t.keep(io.NewSectionReader(in, 0, b.size), b.size, b.swap, residueExt)
	if err != nil {
		return h, err
	}
	return dedup.ParseHash(ref.Name)
}

// residueExt is the extension of bulkdata that only a residue refers to.
const residueExt = ".residue"

// keepResidue stores the operations, compressed, and returns their hash and what they take on disk.
func (t *taker) keepResidue(residue []byte) (dedup.Hash, int64, error) {
	k, err := t.begin()
	if err != nil {
		return dedup.Hash{}, 0, err
	}
	k.hash.Write(residue)
	small := t.gzip.Append(nil, residue)
	if _, err := k.value.Write(small); err != nil {
		k.drop()
		return dedup.Hash{}, 0, err
	}
	ref, _, err := k.keep(residueExt + ".gz")
	if err != nil {
		return dedup.Hash{}, 0, err
	}
	h, err := dedup.ParseHash(ref.Name)
	return h, int64(len(small)), err
}
