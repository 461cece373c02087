package regen

import (
	"cmp"
	"encoding/hex"
	"errors"
	"io"
	"slices"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/regen/thumbnail"
	"github.com/zeebo/blake3"
)

// picture is an instance's thumbnail.
type picture struct {
	study    *study
	instance *instance
	frame    file // the middle one
	number   int  // of it, from 0

	made []byte // kept when the series has it too
	keep bool
}

// newPicture is nil for an instance without frames.
func newPicture(s *study, i *instance, frames []file) *picture {
	if len(frames) == 0 {
		return nil
	}
	return &picture{study: s, instance: i, frame: frames[len(frames)/2], number: len(frames) / 2}
}

// file is the thumbnail as a file. Its key covers the frame and all that says how it is shown.
func (p *picture) file(path string) file {
	h := blake3.New()
	var buf []byte
	for _, e := range p.instance.merged {
		if shows(e.Tag) {
			buf = append(append(append(buf, e.Tag.String()...), e.JSON...), '\n')
		}
	}
	buf = append(append(append(append(buf, p.instance.syntax...), '\n'), p.frame.key...), byte(p.number), byte(p.number>>8), byte(p.number>>16))
	_, _ = h.Write(buf)
	return file{path: path, level: ofInstance, key: "t" + Version + "." + hex.EncodeToString(h.Sum(nil)[:16]), content: p.content}
}

// shows reports whether an attribute says how pixels are shown: all of group 0028, and functional groups.
func shows(t dedup.Tag) bool { return t.Group() == 0x0028 || t.Group() == 0x5200 }

// content makes the picture. A frame of which there is none gives a neutral one; an error is one of reading.
func (p *picture) content() ([]byte, error) {
	if p.made != nil {
		return p.made, nil
	}
	out, err := p.make()
	if errors.Is(err, thumbnail.ErrNoPicture) {
		out, err = thumbnail.Neutral()
	}
	if p.keep {
		p.made = out
	}
	return out, err
}

func (p *picture) make() ([]byte, error) {
	if p.instance.pixels.video {
		return nil, thumbnail.ErrNoPicture
	}
	frame, err := p.read()
	if err != nil {
		return nil, err
	}
	d := thumbnail.Dataset{Syntax: p.instance.syntax, Frame: p.number, Bulk: p.study.value}
	switch p.instance.pixels.tag {
	case tagFloatPixels:
		d.Float = "OF"
	case tagDoublePixels:
		d.Float = "OD"
	}
	publish := publisher{p.study, ""}
	for _, e := range p.instance.merged {
		if !shows(e.Tag) {
			continue
		}
		if e, err = publish.element(e, 0); err != nil {
			return nil, err
		}
		d.Object = append(d.Object, e)
	}
	return thumbnail.Make(d, frame)
}

// read reads the frame, unless it is larger than any of which a picture is made.
func (p *picture) read() ([]byte, error) {
	c, err := p.study.opener(p.frame)
	if err != nil || c.open == nil {
		return c.data, err
	}
	in, err := c.open()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	frame, err := io.ReadAll(io.LimitReader(in, thumbnail.MaxFrame+1))
	if err == nil && len(frame) > thumbnail.MaxFrame {
		err = thumbnail.ErrNoPicture
	}
	return frame, err
}

// maxTable is the largest value that is read to show a frame: tables have at most 65,536 entries of 16 bits.
const maxTable = 1 << 20

// value reads a value in bulkdata.
func (s *study) value(uri string) ([]byte, error) {
	ref, err := dedup.ParseBulkURI(uri)
	if err != nil {
		return nil, err
	}
	c, err := s.opener(file{ref: ref})
	if err != nil {
		return nil, err
	}
	in, err := c.open()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return io.ReadAll(io.LimitReader(in, maxTable))
}

// middle is the thumbnail of a series: that of the middle one of its instances that have one, by InstanceNumber, then UID.
func middle(pictures []*picture) *picture {
	if len(pictures) == 0 {
		return nil
	}
	sorted := slices.Clone(pictures)
	slices.SortStableFunc(sorted, func(a, b *picture) int {
		return cmp.Or(cmp.Compare(a.instance.number(tagInstance, 0), b.instance.number(tagInstance, 0)), a.instance.sop.Compare(b.instance.sop))
	})
	p := sorted[len(sorted)/2]
	p.keep = true
	return p
}
