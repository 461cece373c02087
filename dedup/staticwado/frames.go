package staticwado

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/dicomesh/dicomesh/dedup"
)

// Transfer syntaxes in which frames are native Pixel Data. Whatever is not here is encapsulated.
const (
	implicitLittle = "1.2.840.10008.1.2"
	explicitLittle = "1.2.840.10008.1.2.1"
	explicitBig    = "1.2.840.10008.1.2.2"
	deflatedLittle = "1.2.840.10008.1.2.1.99"
	geLittle       = "1.2.840.113619.5.2"
)

func native(syntax string) bool {
	switch syntax {
	case implicitLittle, explicitLittle, explicitBig, deflatedLittle, geLittle:
		return true
	}
	return false
}

// tagAvailable is where static-wado puts the transfer syntax of the file that came, or of what it made of it.
const tagAvailable dedup.Tag = 0x00083002

// maxFrames is the most frames that an instance may have: what part10 cuts a value into.
const maxFrames = 1 << 19

// pixels are the files with an instance's frames.
type pixels struct {
	tag    dedup.Tag
	vr     string
	frames []dedup.Held
}

// pixels finds the frames of an instance; nil if it has none, or its record says itself where they are. The error says what is missing.
func (s *study) pixels(merged dedup.Object) (*pixels, error) {
	for _, tag := range []dedup.Tag{0x7FE00008, 0x7FE00009, 0x7FE00010} {
		e, ok := merged.Find(tag)
		if !ok {
			continue
		}
		a, err := e.Attribute()
		if err != nil {
			return nil, err
		}
		if _, elsewhere := dedup.ParseBulkURI(a.BulkDataURI); a.BulkDataURI == "" || a.Fragments != nil || elsewhere == nil {
			return nil, nil
		}
		p := &pixels{tag: tag, vr: a.VR}
		return p, s.findFrames(p, merged)
	}
	return nil, nil
}

func (s *study) findFrames(p *pixels, merged dedup.Object) error {
	f := s.others.instances[place{uidOf(merged, tagSeries).String(), uidOf(merged, tagSOP).String()}]
	if f == nil {
		return fmt.Errorf("missing: its frames")
	}
	if len(f.frames) == 0 && len(f.video) > 0 {
		p.frames = f.video[:1]
		return nil
	}
	count := 1
	if text := merged.Text(0x00280008); text != "" {
		n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil || n < 1 || n > maxFrames {
			return fmt.Errorf("its number of frames makes no sense")
		}
		count = int(n)
	}
	for n := 1; n <= count; n++ {
		of := f.frames[n]
		if len(of) == 0 {
			return fmt.Errorf("missing: frame %d of %d", n, count)
		}
		p.frames = append(p.frames, of[0])
	}
	return nil
}

// stageFrames takes the frames out of their envelopes and returns the Pixel Data that refers to them, with the transfer syntax of what is inside.
//
// The envelope's word counts before the record's: a record may name the syntax that the frames were meant to be converted to.
func (s *study) stageFrames(st *store, p *pixels, merged dedup.Object) (dedup.Element, string, error) {
	syntax, size := "", int64(0)
	a := dedup.Attribute{VR: p.vr, Fragments: []dedup.Hash{}, Ext: ".bin"}
	for n, h := range p.frames {
		name, own, err := s.stageFrame(st, h, merged)
		if err != nil {
			return dedup.Element{}, "", fmt.Errorf("frame %d: %w", n+1, err)
		}
		length := st.frames[name.String()].n
		if n > 0 && (own != syntax || native(own) && length != size) {
			return dedup.Element{}, "", fmt.Errorf("frame %d has another transfer syntax or size than the first: %w", n+1, errUnclear)
		}
		syntax, size = own, length
		a.Fragments = append(a.Fragments, name)
	}
	switch {
	case syntax == "":
		syntax = explicitLittle
	case !native(syntax):
		a.VR = "OB"
	}
	if native(syntax) {
		if err := wholeBytes(merged, len(p.frames)); err != nil {
			return dedup.Element{}, "", err
		}
		a.Ext, syntax = ".raw", explicitLittle
	}
	return dedup.Element{Tag: p.tag, JSON: a.AppendJSON(nil)}, syntax, nil
}

// wholeBytes refuses several frames of one bit a pixel that do not end on bytes: files of one frame each do not say how they go together.
func wholeBytes(merged dedup.Object, frames int) error {
	rows, _ := strconv.Atoi(merged.Text(0x00280010))
	columns, _ := strconv.Atoi(merged.Text(0x00280011))
	if frames > 1 && merged.Text(0x00280100) == "1" && rows*columns%8 != 0 {
		return fmt.Errorf("frames of one bit a pixel that do not end on bytes: %w", errUnclear)
	}
	return nil
}

// stageFrame stages one frame without its envelope. It returns the SHA-256 by which the frame is found, and its transfer syntax, "" if nothing tells.
func (s *study) stageFrame(st *store, h dedup.Held, merged dedup.Object) (dedup.Hash, string, error) {
	in, err := s.from.OpenHeld(h, maxValue)
	if err != nil {
		return dedup.Hash{}, "", err
	}
	defer in.Close()
	body, mediaType, err := dedup.Unwrap(in)
	if err != nil {
		return dedup.Hash{}, "", err
	}
	syntax := transferSyntax(mediaType)
	if syntax == "" {
		syntax = merged.Text(tagAvailable)
	}
	if allocated, _ := strconv.Atoi(merged.Text(0x00280100)); syntax == explicitBig && allocated > 8 {
		body = &swapped{r: bufio.NewReader(body)}
	}
	t, sum, err := s.out.stage(body)
	if err != nil {
		return dedup.Hash{}, "", err
	}
	s.run.config.Advance(t.n)
	if t.n == 0 {
		s.out.batch.Drop(t.Temp)
		return dedup.Hash{}, "", fmt.Errorf("it is empty: %w", dedup.ErrDamaged)
	}
	name := dedup.HashOf(sum)
	return name, syntax, keep(s.out, st.frames, t, name.String())
}

// swapped turns round the two bytes of each word: native frames of a big endian file become little endian, as the archive has them.
type swapped struct{ r *bufio.Reader }

func (s *swapped) Read(b []byte) (int, error) {
	if len(b) < 2 {
		return s.r.Read(b) // the odd byte at the end, or a caller who does not want whole words
	}
	n, err := io.ReadFull(s.r, b[:len(b)&^1])
	if err == io.ErrUnexpectedEOF {
		err = nil
	}
	for i := 1; i < n; i += 2 {
		b[i-1], b[i] = b[i], b[i-1]
	}
	return n, err
}

// transferSyntax is the parameter of a part's Content-Type, "" if it has none.
func transferSyntax(mediaType string) string {
	for _, parameter := range strings.Split(mediaType, ";")[1:] {
		name, v, _ := strings.Cut(parameter, "=")
		if strings.EqualFold(strings.TrimSpace(name), "transfer-syntax") {
			u, _ := dedup.ParseUID(strings.Trim(strings.TrimSpace(v), `"`))
			return u.String()
		}
	}
	return ""
}
