package pixels_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/jpeg"
	"math"
	"testing"

	"github.com/dicomesh/dicomesh/dedup/pixels"
)

const jpegExtended = "1.2.840.10008.1.2.4.51"

// picture is a grey picture with edges, slopes and noise.
func picture(columns, rows int) *image.Gray {
	g := image.NewGray(image.Rect(0, 0, columns, rows))
	for i := range g.Pix {
		x, y := i%columns, i/columns
		g.Pix[i] = byte(7*x + 5*y + i*i%11)
		if x > y {
			g.Pix[i] = byte(255 - 3*x)
		}
	}
	return g
}

// extendedStream is a picture as the standard library's baseline JPEG, which is extended sequential JPEG but for the marker of its frame header.
func extendedStream(t fataler, g *image.Gray, quality int) []byte {
	var out bytes.Buffer
	if err := jpeg.Encode(&out, g, &jpeg.Options{Quality: quality}); err != nil {
		t.Fatalf("%v", err)
	}
	at := bytes.Index(out.Bytes(), []byte{0xFF, 0xC0})
	return edited(out.Bytes(), at+1, 0xC1)
}

// coloured repeats the one component of a stream three times, in a scan each.
func coloured(grey []byte) []byte {
	sof, sos := bytes.Index(grey, []byte{0xFF, 0xC1}), bytes.Index(grey, []byte{0xFF, 0xDA})
	end := bytes.LastIndex(grey, []byte{0xFF, 0xD9})
	header := append([]byte{0xFF, 0xC1, 0, 17}, grey[sof+4:sof+9]...)
	header = append(header, 3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0)
	out := join(grey[:sof], header, grey[sof+13:sos])
	for id := range byte(3) {
		out = join(out, edited(grey[sos:end], 5, id+1))
	}
	return join(out, grey[end:])
}

// withRestarts puts a restart marker between the two blocks of a picture that has no structure. Each interval has the codes of both blocks, of which the second is not looked at:
// behind a restart the difference is to nothing again.
func withRestarts(two []byte) []byte {
	sos, end := bytes.Index(two, []byte{0xFF, 0xDA}), bytes.LastIndex(two, []byte{0xFF, 0xD9})
	return join(two[:sos], []byte{0xFF, 0xDD, 0, 4, 0, 1}, two[sos:end], []byte{0xFF, 0xD0}, two[sos+10:end], two[end:])
}

// TestJPEGExtended holds against the standard library's decoder: rounding apart, the pixels are the same.
func TestJPEGExtended(t *testing.T) {
	for _, size := range [][2]int{{1, 1}, {8, 8}, {19, 21}, {64, 33}} {
		for _, quality := range []int{10, 75, 100} {
			g := picture(size[0], size[1])
			stream := extendedStream(t, g, quality)
			frame := pixels.Frame{Rows: size[1], Columns: size[0], Samples: 1, BitsAllocated: 8}
			got, err := pixels.Decode(jpegExtended, frame, stream, nil)
			if err != nil {
				t.Fatal(err)
			}
			want := reference(t, stream)
			near(t, got, func(i int) byte { return want.GrayAt(i%size[0], i/size[0]).Y })
			wide := frame
			wide.BitsAllocated = 16
			words, err := pixels.Decode(jpegExtended, wide, stream, nil)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range got {
				if binary.LittleEndian.Uint16(words[2*i:]) != uint16(v) {
					t.Fatalf("pixel %d is %d in 16 bits, %d in 8", i, binary.LittleEndian.Uint16(words[2*i:]), v)
				}
			}
			for cut := range len(stream) {
				if _, err := pixels.Decode(jpegExtended, frame, stream[:cut], nil); !errors.Is(err, pixels.ErrCorrupt) && !errors.Is(err, pixels.ErrUnsupported) {
					t.Fatalf("%v: cut at %d of %d: %v", size, cut, len(stream), err)
				}
			}
		}
	}
}

// TestJPEGExtendedRestarts begins anew behind each restart marker.
func TestJPEGExtendedRestarts(t *testing.T) {
	stream := extendedStream(t, image.NewGray(image.Rect(0, 0, 8, 16)), 90)
	got, err := pixels.Decode(jpegExtended, pixels.Frame{Rows: 16, Columns: 8, Samples: 1, BitsAllocated: 8}, withRestarts(stream), nil)
	if err != nil {
		t.Fatal(err)
	}
	near(t, got, func(int) byte { return 0 })
}

// reference is what the standard library makes of the stream.
func reference(t *testing.T, stream []byte) *image.Gray {
	t.Helper()
	decoded, err := jpeg.Decode(bytes.NewReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	g, ok := decoded.(*image.Gray)
	if !ok {
		t.Fatalf("%T", decoded)
	}
	return g
}

func near(t *testing.T, got []byte, want func(i int) byte) {
	t.Helper()
	for i, v := range got {
		if math.Abs(float64(v)-float64(want(i))) > 2 {
			t.Fatalf("pixel %d is %d, want %d", i, v, want(i))
		}
	}
}

// TestJPEGExtendedPlanes gives each component its own place.
func TestJPEGExtendedPlanes(t *testing.T) {
	grey := extendedStream(t, picture(16, 8), 90)
	one, err := pixels.Decode(jpegExtended, pixels.Frame{Rows: 8, Columns: 16, Samples: 1, BitsAllocated: 8}, grey, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, planar := range []bool{false, true} {
		got, err := pixels.Decode(jpegExtended, pixels.Frame{Rows: 8, Columns: 16, Samples: 3, BitsAllocated: 8, Planar: planar}, coloured(grey), nil)
		if err != nil {
			t.Fatal(err)
		}
		near(t, got, func(i int) byte {
			if planar {
				return one[i%len(one)]
			}
			return one[i/3]
		})
	}
}
