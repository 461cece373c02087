package thumbnail_test

import (
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"testing"

	"github.com/dicomesh/dicomesh/regen/thumbnail"
)

// ramp is a frame in which each pixel is its column times 100 and its row.
func ramp(rows, columns int) []byte {
	out := make([]byte, 2*rows*columns)
	for n := range rows * columns {
		binary.LittleEndian.PutUint16(out[2*n:], uint16(n%columns*100+n/columns))
	}
	return out
}

// A picture has each pixel as the window says it, by the formulas of PS3.3 C.11.2.1.2 and .3, and the part and size that are asked for.
func TestRender(t *testing.T) {
	const rows, columns = 40, 30
	d := thumbnail.Dataset{Object: object(t, grey(rows, columns, `00281050 DS 1000`, `00281051 DS 2000`)...), Syntax: native}
	at := func(v thumbnail.View, x, y int) int {
		t.Helper()
		p, err := thumbnail.Render(d, ramp(rows, columns), v)
		if err != nil {
			t.Fatalf("%+v: %v", v, err)
		}
		return int(p.At(x, y).(color.Gray).Y)
	}
	for _, c := range []struct {
		v          thumbnail.View
		x, y, want int
	}{
		{thumbnail.View{}, 10, 20, 130}, // (1020 - 999.5) / 1999 + 0.5
		{thumbnail.View{Center: 500, Width: 1000}, 0, 0, 0},
		{thumbnail.View{Center: 500, Width: 1000}, 29, 0, 255},
		{thumbnail.View{Center: 500, Width: 1000}, 5, 0, 128},
		{thumbnail.View{Center: 500, Width: 1000, Function: "LINEAR_EXACT"}, 5, 0, 128},
		{thumbnail.View{Center: 500, Width: 1000, Function: "sigmoid"}, 10, 0, 225}, // 1 / (1 + exp(-2))
		{thumbnail.View{Center: 500, Width: 1000, Function: "linear-exact", Region: image.Rect(2, 0, 9, 9)}, 2 + 3, 0, 128},
		{thumbnail.View{Center: 500, Width: 1000, Region: image.Rect(5, 0, 7, 2), Size: image.Pt(1, 1)}, 0, 0, 141}, // the mean of 128, 153 and of the row below
		{thumbnail.View{Center: 500, Width: 1000, Size: image.Pt(60, 90)}, 11, 0, 134},                              // between 128 and 153, at a quarter
	} {
		if got := at(c.v, c.x, c.y); got < c.want-1 || got > c.want+1 {
			t.Errorf("%+v at %d, %d: %d, want %d", c.v, c.x, c.y, got, c.want)
		}
	}
	for size, want := range map[image.Point]image.Point{{}: {30, 40}, {X: 15, Y: 99}: {15, 20}, {X: 99, Y: 20}: {15, 20}, {X: 60, Y: 90}: {60, 80}, {X: 1, Y: 1}: {1, 1}, {X: 30, Y: 40}: {30, 40}, {X: 31, Y: 41}: {31, 41}} {
		p, err := thumbnail.Render(d, ramp(rows, columns), thumbnail.View{Size: size})
		if err != nil || p.Bounds().Size() != want {
			t.Errorf("into %v: %v, want %v", size, p.Bounds().Size(), want)
		}
	}
	for name, v := range map[string]thumbnail.View{"outside": {Region: image.Rect(0, 0, 31, 1)}, "huge": {Size: image.Pt(1<<20, 1<<20)}, "a word": {Width: 1, Function: "cubic"}, "narrow": {Width: 0.5}, "negative": {Width: -3, Function: "sigmoid"}} {
		if _, err := thumbnail.Render(d, ramp(rows, columns), v); !errors.Is(err, thumbnail.ErrView) {
			t.Errorf("%s: %v", name, err)
		}
	}
	huge := thumbnail.Dataset{Object: object(t, grey(8192, 8192)...), Syntax: native}
	if _, err := thumbnail.Render(huge, ramp(1, 1), thumbnail.View{}); !errors.Is(err, thumbnail.ErrNoPicture) {
		t.Errorf("too many pixels: %v", err)
	}
}

// Colours keep theirs, at each size.
func TestRenderColours(t *testing.T) {
	const side = 8
	lines := []string{`00280002 US 3`, `00280010 US 8`, `00280011 US 8`, `00280100 US 8`, `00280101 US 8`, `00280102 US 7`, `00280103 US 0`, `00280004 CS "RGB"`, `00280006 US 0`}
	var frame []byte
	for range side * side {
		frame = append(frame, 200, 40, 60)
	}
	for _, size := range []image.Point{{}, {X: 3, Y: 3}, {X: 20, Y: 20}} {
		p, err := thumbnail.Render(thumbnail.Dataset{Object: object(t, lines...), Syntax: native}, frame, thumbnail.View{Size: size})
		if err != nil {
			t.Fatal(err)
		}
		b := p.Bounds().Max
		if c := p.At(b.X-1, b.Y/2).(color.RGBA); c != (color.RGBA{R: 200, G: 40, B: 60, A: 255}) {
			t.Errorf("%v: %v", size, c)
		}
	}
}
