package part10

import (
	"crypto/sha256"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/pixels"
)

// pixelElement is the root Pixel Data on its way into the record.
type pixelElement struct {
	tag     dedup.Tag
	vr      VR
	ext     string
	frames  []dedup.Ref
	tail    []byte // bytes after the last frame that the default rebuild does not give; nil if it does
	video   bool
	offsets bool // the basic offset table is filled
	decode  bool // frames are named by their pixels
}

// maxDecoded is the largest frame whose pixels name it (FORMAT.md section 5).
const maxDecoded = 256 << 20

// nativePixels takes native Pixel Data frame by frame.
func (t *taker) nativePixels(tok token) error {
	if err := t.image.count(); err != nil {
		return err
	}
	t.layout.add(tok.raw)
	p := &pixelElement{tag: tok.tag, vr: tok.vr, ext: ".raw"}
	t.pixels = p
	swap := 0
	if tok.coding.big {
		swap = tok.vr.swap()
	}
	frames, size, tail := t.image.cutNative(tok.tag, tok.length)
	if swap > 1 && size%int64(swap) != 0 {
		frames, size, tail = 1, tok.length, 0
	}
	var sums []byte
	for range frames {
		ref, sum, err := t.keep(t.scan, size, swap, p.ext)
		if err != nil {
			return err
		}
		p.frames, sums = append(p.frames, ref), append(sums, sum[:]...)
		t.layout.addBulk(t.names.number(t.layout, ref, size, swap), 0, size)
	}
	if err := t.pixelTail(p, frames*size, tail); err != nil {
		return err
	}
	t.content.add(t.depth(), tok.tag, contentFrames, sums)
	return nil
}

// pixelTail reads what follows the last frame.
func (t *taker) pixelTail(p *pixelElement, frames, tail int64) error {
	b, err := t.scan.value(nil)
	if err != nil || int64(len(b)) != tail {
		return err
	}
	t.layout.add(b)
	if odd := frames%2 == 1; !(odd && tail == 1 && b[0] == 0 || !odd && tail == 0) {
		p.tail = b
		if b == nil {
			p.tail = []byte{}
		}
	}
	return nil
}

// encapsulated takes Pixel Data that is cut into fragments (PS3.5 section A.4).
func (t *taker) encapsulated(tok token) error {
	root, second := t.atRoot() && t.pixels == nil && !t.has(tok.tag), t.second(tok.tag)
	if t.atRoot() {
		t.content.root(tok.tag)
		if err := t.image.count(); err != nil {
			return err
		}
	}
	t.noteUnknown(tok)
	p := &pixelElement{tag: tok.tag, vr: tok.vr, ext: frameExt(t.syntax), video: isVideo(t.syntax)}
	if second {
		p.ext = residueExt
	}
	p.decode = root && pixels.Lossless(t.syntax) && t.image.decoder().Size() > 0 && t.image.decoder().Size() <= maxDecoded
	t.layout.add(tok.raw)
	sums, err := t.fragments(tok, p)
	if err != nil {
		return err
	}
	t.content.add(t.depth(), tok.tag, contentFrames, sums)
	if root {
		t.pixels = p
		return nil
	}
	t.set(tok.tag, appendFragments(nil, p, ""))
	return nil
}

// fragments reads the offset table and the fragments and puts frames together. It returns the frames' hashes, one after the other.
func (t *taker) fragments(header token, p *pixelElement) ([]byte, error) {
	groups, err := t.plan(header)
	if err != nil {
		return nil, err
	}
	var sums []byte
	first := true
	for {
		tok, err := t.scan.next()
		if err != nil {
			return nil, err
		}
		switch {
		case tok.kind == atPixelsEnd:
			t.layout.add(tok.raw)
			return sums, nil
		case tok.kind != atFragment:
			t.layout.add(tok.raw)
		case first:
			first = false
			p.offsets = tok.length > 0
			if err := t.literal(tok); err != nil {
				return nil, err
			}
		default:
			n := 1
			if len(groups) > 0 {
				n, groups = groups[0], groups[1:]
			}
			if sums, err = t.oneFrame(tok, n, p, sums); err != nil {
				return nil, err
			}
			if err := t.bounded(tok); err != nil {
				return nil, err
			}
		}
	}
}

// plan looks ahead in the file for how many fragments each frame has. In a deflated dataset, where encapsulated Pixel Data has no business, each fragment is a frame.
func (t *taker) plan(header token) ([]int, error) {
	if t.scan.total < 0 {
		return nil, nil
	}
	spans, err := fragmentsAt(t.file, t.scan.off, t.size, header.coding)
	if err != nil || len(spans) == 0 {
		return nil, err
	}
	table := make([]byte, min(spans[0].n, 4*maxFragments))
	if _, err := t.file.ReadAt(table, spans[0].at); err != nil {
		return nil, err
	}
	m := t.image
	if !t.atRoot() {
		m = image{frames: 1}
	}
	return m.groupFragments(t.file, spans[1:], table, t.syntax), nil
}

// literal takes an item with its bytes into the layout.
func (t *taker) literal(tok token) error {
	if tok.length > maxSkeleton {
		return t.scan.errorf(tok.at, "an offset table of %d bytes", tok.length)
	}
	t.layout.add(tok.raw)
	b, err := t.scan.value(nil)
	t.layout.add(b)
	return err
}

// oneFrame reads the n fragments of a frame, the first of which is at hand.
func (t *taker) oneFrame(tok token, n int, p *pixelElement, sums []byte) ([]byte, error) {
	k, err := t.begin()
	if err != nil {
		return nil, err
	}
	decode := p.decode
	t.frame = t.frame[:0]
	var parts []int64
	var heads [][]byte
	for ; ; n-- {
		heads = append(heads, append([]byte(nil), tok.raw...))
		parts = append(parts, tok.length)
		decode = decode && int64(len(t.frame))+tok.length <= maxDecoded
		if decode {
			at := len(t.frame)
			t.frame, err = t.scan.value(t.frame)
			k.write(t.frame[at:])
		} else {
			k.copy(t.scan, tok.length, 0)
		}
		if err != nil || k.err != nil || n <= 1 {
			break
		}
		if tok, err = t.scan.next(); err != nil || tok.kind != atFragment {
			break
		}
	}
	if err == nil {
		err = k.err
	}
	if err != nil {
		k.drop()
		return nil, err
	}
	ref, sum, err := t.nameFrame(k, p, decode)
	if err != nil {
		return nil, err
	}
	p.frames = append(p.frames, ref)
	t.lay(t.names.number(t.layout, ref, k.n, 0), heads, parts)
	return append(sums, sum[:]...), nil
}

// lay puts a frame into the layout, fragment by fragment.
func (t *taker) lay(number int, heads [][]byte, parts []int64) {
	at := int64(0)
	for i, part := range parts {
		t.layout.add(heads[i])
		t.layout.addBulk(number, at, part)
		at += part
	}
}

// nameFrame names a frame by its pixels where the format says so and they can be had, else by its bytes.
func (t *taker) nameFrame(k *keeper, p *pixelElement, decode bool) (dedup.Ref, [32]byte, error) {
	if decode {
		var err error
		if t.native, err = pixels.Decode(t.syntax, t.image.decoder(), t.frame, t.native); err == nil {
			var own [32]byte
			k.hash.Sum(own[:0])
			name := sha256.Sum256(t.native)
			ref := k.keepAs(streamRef(name, own, t.frame, p.ext))
			return ref, name, k.err
		}
	}
	return k.keep(p.ext)
}
