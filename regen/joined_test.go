package regen_test

import (
	"bytes"
	"encoding/binary"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/phantom"
	"github.com/dicomesh/dicomesh/regen"
)

// An icon that is several streams is one value, from which a client gets each of them.
func TestIconInPieces(t *testing.T) {
	var c phantom.Case
	for _, c = range phantom.Cases() {
		if strings.HasSuffix(c.Name, "icon-encapsulated") {
			break
		}
	}
	pieces := [][]byte{[]byte("one, of some bytes"), []byte("two."), []byte("three.")}
	c.File.Elements = slices.Clone(c.File.Elements)
	for i, e := range c.File.Elements {
		if e.Tag == 0x00880200 {
			elements := slices.DeleteFunc(slices.Clone(e.Items[0].Elements), func(e phantom.Element) bool { return e.Tag == 0x7FE00010 })
			elements = append(elements, phantom.Encapsulated([]uint32{0, 26, 38}, pieces...))
			elements = slices.Insert(elements, slices.IndexFunc(elements, func(e phantom.Element) bool { return e.Tag > 0x00280008 }), phantom.Text(0x00280008, "IS", "3"))
			c.File.Elements[i] = phantom.Sequence(0x00880200, phantom.Item{Elements: elements})
		}
	}
	archive, current := crashfs.New(), crashfs.New()
	put(t, archive, c.Bytes())
	g := regen.New(regen.Config{Archive: archive, Current: current, NoThumbnails: true})
	studies, err := g.Studies()
	must(t, err)
	round(t, g, studies[0], noon())
	files := contents(t, current)
	checkCurrent(t, files)
	for name, text := range files {
		if path.Base(name) != "metadata.gz" {
			continue
		}
		_, after, _ := strings.Cut(text, `"BulkDataURI":"../../bulkdata/`)
		uri, _, found := strings.Cut(after, `"`)
		value := []byte(files["studies/"+studies[0].String()+"/bulkdata/"+uri])
		if got := itemsOf(value); !found || len(got) != 3 || !slices.EqualFunc(got, pieces, func(a, b []byte) bool { return bytes.Equal(bytes.TrimRight(a, "\x00"), b) }) {
			t.Errorf("the icon is at %q: %q, want %q", uri, got, pieces)
		}
	}
}

// Frames that do not begin on bytes are cut, however their number is written.
func TestCutFrames(t *testing.T) {
	for _, count := range []string{"3", " 3", "3.0"} {
		var c phantom.Case
		for _, c = range phantom.Cases() {
			if strings.HasSuffix(c.Name, "1-bit-unaligned") {
				break
			}
		}
		c.File.Elements = slices.Clone(c.File.Elements)
		for i, e := range c.File.Elements {
			if e.Tag == 0x00280008 {
				c.File.Elements[i] = phantom.Text(e.Tag, "IS", count)
			}
		}
		archive, current := crashfs.New(), crashfs.New()
		put(t, archive, c.Bytes())
		g := regen.New(regen.Config{Archive: archive, Current: current, NoThumbnails: true})
		studies, err := g.Studies()
		must(t, err)
		round(t, g, studies[0], noon())
		frames := 0
		for name := range contents(t, current) {
			if strings.Contains(name, "/frames/") {
				frames++
			}
		}
		if frames != 3 {
			t.Errorf("%q: %d frames", count, frames)
		}
	}
}

// itemsOf takes encapsulated Pixel Data apart, as PS3.5 section A.4 has it.
func itemsOf(value []byte) (items [][]byte) {
	for n := 0; len(value) >= 8; n++ {
		tag, size := binary.LittleEndian.Uint32(value), binary.LittleEndian.Uint32(value[4:])
		value = value[8:]
		if tag == 0xE0DDFFFE && len(value) == 0 {
			return items
		}
		if tag != 0xE000FFFE || int(size) > len(value) || n == 0 && size != 0 {
			return nil
		}
		if n > 0 {
			items = append(items, value[:size])
		}
		value = value[size:]
	}
	return nil
}
