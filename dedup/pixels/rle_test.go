package pixels_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/dicomesh/dicomesh/dedup/pixels"
	"github.com/dicomesh/dicomesh/dedup/pixels/encode"
)

func TestRLERoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawFrame(t, 8, 16, 24, 32)
		native := drawNative(t, f, 8*((f.BitsAllocated+7)/8))
		stream, err := encode.RLE(f, native)
		if err != nil {
			t.Fatal(err)
		}
		wantDecoded(t, rle, f, stream, native)
		wantShortRefused(t, rle, f, stream[:rapid.IntRange(0, len(stream)-3).Draw(t, "cut")], native)
	})
}

// rleStream is an RLE stream of the segments, which are texts of bytes.
func rleStream(segments ...string) []byte {
	header := make([]byte, 64)
	binary.LittleEndian.PutUint32(header, uint32(len(segments)))
	at := 64
	for i, s := range segments {
		binary.LittleEndian.PutUint32(header[4+4*i:], uint32(at))
		at += len(s)
	}
	return append(header, strings.Join(segments, "")...)
}

// TestRLERuns shows what a segment may hold, on a frame of 2x2 bytes.
func TestRLERuns(t *testing.T) {
	for _, c := range []struct{ name, segment, want string }{
		{"literal", "\x03abcd", "abcd"},
		{"replicate", "\xfda", "aaaa"},
		{"both", "\x00a\xfeb", "abbb"},
		{"minus 128 means nothing", "\x80\x03abcd", "abcd"},
		{"padding after the image", "\x03abcd\x00", "abcd"},
		{"a literal run past the image", "\x04abcde", "abcd"},
		{"a literal run past image and segment", "\x7fabcd", "abcd"},
		{"a replicate run past the image", "\x81a", "aaaa"},
		{"empty", "", ""},
		{"literal cut", "\x03abc", ""},
		{"replicate cut", "\x00a\xfd", ""},
		{"only nothing", "\x80\x80\x80", ""},
	} {
		got, err := pixels.Decode(rle, pixels.Frame{Rows: 2, Columns: 2, Samples: 1, BitsAllocated: 8}, rleStream(c.segment), nil)
		if string(got) != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s: got %q, %v; want %q", c.name, got, err, c.want)
		}
	}
}

func TestRLELayout(t *testing.T) {
	stream := rleStream("\x01aA", "\x01bB", "\x01cC", "\x01dD")
	for _, c := range []struct {
		f    pixels.Frame
		want string
	}{
		{pixels.Frame{Rows: 1, Columns: 2, Samples: 2, BitsAllocated: 16}, "badcBADC"},
		{pixels.Frame{Rows: 1, Columns: 2, Samples: 2, BitsAllocated: 16, Planar: true}, "baBAdcDC"},
		{pixels.Frame{Rows: 2, Columns: 1, Samples: 1, BitsAllocated: 32}, "dcbaDCBA"},
		{pixels.Frame{Rows: 2, Columns: 1, Samples: 4, BitsAllocated: 8, Planar: true}, "aAbBcCdD"},
	} {
		got, err := pixels.Decode(rle, c.f, stream, nil)
		if err != nil || string(got) != c.want {
			t.Errorf("%+v: %q, %v; want %q", c.f, got, err, c.want)
		}
	}
}

func TestRLERefuses(t *testing.T) {
	f := pixels.Frame{Rows: 1, Columns: 2, Samples: 2, BitsAllocated: 8}
	good := rleStream("\x01ab", "\x01cd")
	edit := func(at int, value uint32) []byte {
		s := bytes.Clone(good)
		binary.LittleEndian.PutUint32(s[at:], value)
		return s
	}
	for name, stream := range map[string][]byte{
		"no header":                good[:63],
		"no segment":               edit(0, 0),
		"16 segments":              edit(0, 16),
		"too few segments":         edit(0, 1),
		"a segment in the header":  edit(4, 63),
		"a segment past the end":   edit(8, uint32(len(good))+1),
		"segments that go back":    edit(4, 68),
		"a segment that is empty":  edit(8, 64),
		"a segment with no end":    edit(8, 0xffffffff),
		"more segments than asked": rleStream("\x01ab", "\x01cd", "\x01ef"),
	} {
		if got, err := pixels.Decode(rle, f, stream, nil); !errors.Is(err, pixels.ErrCorrupt) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	for _, f := range []pixels.Frame{
		{Rows: 8, Columns: 1, Samples: 1, BitsAllocated: 1},
		{Rows: 1, Columns: 2, Samples: 3, BitsAllocated: 8, Subsampled: true},
	} {
		if _, err := pixels.Decode(rle, f, good, nil); !errors.Is(err, pixels.ErrUnsupported) {
			t.Errorf("%+v: %v", f, err)
		}
	}
}
