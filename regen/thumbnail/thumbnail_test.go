package thumbnail_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/regen/thumbnail"
)

// object makes attributes of lines such as 00280010 US 4.
func object(t testing.TB, lines ...string) dedup.Object {
	t.Helper()
	var parts []string
	for _, line := range lines {
		f := strings.SplitN(line, " ", 3)
		parts = append(parts, fmt.Sprintf(`"%s":{"vr":"%s","Value":[%s]}`, f[0], f[1], f[2]))
	}
	o, err := dedup.ParseObject([]byte("{" + strings.Join(parts, ",") + "}"))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// grey describes frames of one sample of 16 bits.
func grey(rows, columns int, more ...string) []string {
	return append([]string{`00280002 US 1`, `00280004 CS "MONOCHROME2"`, fmt.Sprint("00280010 US ", rows), fmt.Sprint("00280011 US ", columns),
		`00280100 US 16`, `00280101 US 16`, `00280102 US 15`, `00280103 US 0`}, more...)
}

const native = "1.2.840.10008.1.2.1"

func picture(t testing.TB, d thumbnail.Dataset, frame []byte) image.Image {
	t.Helper()
	b, err := thumbnail.Make(d, frame)
	if err != nil {
		t.Fatal(err)
	}
	p, err := jpeg.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Grey values go through the window as PS3.3 C.11.2 says; a mean of squares of the source is one pixel.
func TestWindows(t *testing.T) {
	const side = 512
	frame := make([]byte, 2*side*side)
	for n := range side * side {
		binary.LittleEndian.PutUint16(frame[2*n:], uint16(n%side*4)) // a ramp from 0 to 2,044
	}
	functions := map[string]struct {
		lines []string
		shade func(v float64) float64
	}{
		"linear":  {[]string{`00281050 DS 1000`, `00281051 DS 800`}, func(v float64) float64 { return (v-999.5)/799 + 0.5 }},
		"exact":   {[]string{`00281050 DS 1000`, `00281051 DS 800`, `00281056 CS "LINEAR_EXACT"`}, func(v float64) float64 { return (v-1000)/800 + 0.5 }},
		"sigmoid": {[]string{`00281050 DS 1000`, `00281051 DS 800`, `00281056 CS "SIGMOID"`}, func(v float64) float64 { return 1 / (1 + math.Exp(-4*(v-1000)/800)) }},
		"rescale": {[]string{`00281050 DS 0`, `00281051 DS 801`, `00281052 DS -1000`, `00281053 DS 1`}, func(v float64) float64 { return (v-1000+0.5)/800 + 0.5 }},
		"none":    {nil, func(v float64) float64 { return v / 2044 }},
		"inverse": {[]string{`00280004 CS "MONOCHROME1"`}, func(v float64) float64 { return 1 - v/2044 }},
		"table":   {[]string{`00283010 SQ {"00283002":{"vr":"US","Value":[2,1000,8]},"00283006":{"vr":"US","Value":[20,200]}}`}, func(v float64) float64 { return map[bool]float64{true: 20, false: 200}[v <= 1000] / 255 }},
	}
	for name, f := range functions {
		lines := grey(side, side)
		if name == "inverse" {
			lines = append(lines[:1], lines[2:]...)
		}
		p := picture(t, thumbnail.Dataset{Object: object(t, append(lines, f.lines...)...), Syntax: native}, frame)
		if p.Bounds() != image.Rect(0, 0, 256, 256) {
			t.Errorf("%s: %v", name, p.Bounds())
		}
		worst := 0.0
		for x := range 256 {
			want := (clamp(f.shade(float64(8*x))) + clamp(f.shade(float64(8*x+4)))) / 2
			worst = max(worst, math.Abs(want-float64(p.At(x, 100).(color.Gray).Y)))
		}
		if limit := map[bool]float64{true: 25, false: 4}[name == "table"]; worst > limit { // JPEG rings at the table's edge
			t.Errorf("%s: a difference of %.1f", name, worst)
		}
	}
}

func clamp(y float64) float64 { return min(max(y, 0), 1) * 255 }

// What is not compressed is seen the same in every transfer syntax that says so, also with the byte that makes a fragment's length even.
func TestNativeSyntaxes(t *testing.T) {
	frame := make([]byte, 15*15*3)
	for n := range frame {
		frame[n] = byte(n * n / 7)
	}
	lines := []string{`00280002 US 3`, `00280004 CS "RGB"`, `00280006 US 0`, `00280010 US 15`, `00280011 US 15`, `00280100 US 8`, `00280101 US 8`, `00280102 US 7`, `00280103 US 0`}
	want := picture(t, thumbnail.Dataset{Object: object(t, lines...), Syntax: native}, frame)
	for _, syntax := range []string{"", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.1.98"} {
		if !thumbnail.Decodes(syntax) {
			t.Errorf("%s is not decoded", syntax)
		}
		if got := picture(t, thumbnail.Dataset{Object: object(t, lines...), Syntax: syntax}, append(frame, 0)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: another picture", syntax)
		}
	}
}

// Colours are right however their samples lie.
func TestColours(t *testing.T) {
	const side = 16
	red := color.RGBA{200, 40, 60, 255}
	lines := []string{`00280002 US 3`, `00280010 US 16`, `00280011 US 16`, `00280100 US 8`, `00280101 US 8`, `00280102 US 7`, `00280103 US 0`}
	y, cb, cr := color.RGBToYCbCr(red.R, red.G, red.B)
	planes := func(c ...byte) (out []byte) {
		for _, v := range c {
			out = append(out, bytes.Repeat([]byte{v}, side*side)...)
		}
		return out
	}
	for name, f := range map[string]struct {
		frame []byte
		lines []string
	}{
		"interleaved":    {bytes.Repeat([]byte{red.R, red.G, red.B}, side*side), []string{`00280004 CS "RGB"`, `00280006 US 0`}},
		"planar":         {planes(red.R, red.G, red.B), []string{`00280004 CS "RGB"`, `00280006 US 1`}},
		"ybr":            {bytes.Repeat([]byte{y, cb, cr}, side*side), []string{`00280004 CS "YBR_FULL"`, `00280006 US 0`}},
		"ybr planar":     {planes(y, cb, cr), []string{`00280004 CS "YBR_FULL"`, `00280006 US 1`}},
		"ybr subsampled": {bytes.Repeat([]byte{y, y, cb, cr}, side*side/2), []string{`00280004 CS "YBR_FULL_422"`, `00280006 US 0`}},
	} {
		p := picture(t, thumbnail.Dataset{Object: object(t, append(f.lines, lines...)...), Syntax: native}, f.frame)
		r, g, b, _ := p.At(40, 70).RGBA()
		if abs(r>>8, 200) > 4 || abs(g>>8, 40) > 4 || abs(b>>8, 60) > 4 || p.Bounds().Dx() != 128 {
			t.Errorf("%s: %d %d %d, %v", name, r>>8, g>>8, b>>8, p.Bounds())
		}
	}
}

func abs(a uint32, b int) int { return max(int(a)-b, b-int(a)) }

// progressive is a JPEG of which each scan is ten bytes or so and passes over all pixels.
func progressive(side uint16, scans int) []byte {
	out := []byte{0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0}
	out = append(out, bytes.Repeat([]byte{1}, 64)...)
	out = append(out, 0xFF, 0xC2, 0, 11, 8, byte(side>>8), byte(side), byte(side>>8), byte(side), 1, 1, 0x11, 0)
	out = append(out, 0xFF, 0xC4, 0, 20, 0x10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xE0) // one code, 0: a run of ends of 16,384 and more blocks
	blocks := int(side/8) * int(side/8)
	for range scans {
		out = append(out, 0xFF, 0xDA, 0, 8, 1, 1, 0, 1, 63, 0)
		bits, have := uint64(0), 0
		for left := blocks; left > 0; left -= 1<<14 + 1<<14 - 1 {
			bits, have = bits<<15|0x3FFF, have+15
			for ; have >= 8; have -= 8 {
				if out = append(out, byte(bits>>(have-8))); out[len(out)-1] == 0xFF {
					out = append(out, 0)
				}
			}
		}
		if have > 0 {
			if out = append(out, byte(bits<<(8-have)|(1<<(8-have)-1))); out[len(out)-1] == 0xFF {
				out = append(out, 0)
			}
		}
	}
	return append(out, 0xFF, 0xD9)
}

// Frames that would take too long or too much are refused at once, and a panic below costs the picture alone.
func TestRunaways(t *testing.T) {
	side := func(n int) []string { return grey(n, n) }
	eight := func(n int) []string {
		return []string{`00280002 US 1`, `00280004 CS "MONOCHROME2"`, fmt.Sprint("00280010 US ", n), fmt.Sprint("00280011 US ", n), `00280100 US 8`, `00280101 US 8`, `00280102 US 7`, `00280103 US 0`}
	}
	if _, err := jpeg.Decode(bytes.NewReader(progressive(1024, 3))); err != nil {
		t.Fatalf("a few scans: %v", err)
	}
	for name, c := range map[string]struct {
		d     thumbnail.Dataset
		frame []byte
	}{
		"many scans":    {thumbnail.Dataset{Object: object(t, eight(4096)...), Syntax: "1.2.840.10008.1.2.4.50"}, progressive(4096, 20_000)},
		"huge":          {thumbnail.Dataset{Object: object(t, side(65535)...), Syntax: native}, make([]byte, 1<<10)},
		"huge one bit":  {thumbnail.Dataset{Object: object(t, `00280010 US 32768`, `00280011 US 32768`, `00280100 US 1`, `00280101 US 1`), Syntax: native}, make([]byte, 128<<20)},
		"short":         {thumbnail.Dataset{Object: object(t, side(64)...), Syntax: native}, make([]byte, 100)},
		"nothing":       {thumbnail.Dataset{}, nil},
		"rle":           {thumbnail.Dataset{Object: object(t, side(64)...), Syntax: "1.2.840.10008.1.2.5"}, bytes.Repeat([]byte{0xFF}, 1000)},
		"jpeg 2000":     {thumbnail.Dataset{Object: object(t, side(64)...), Syntax: "1.2.840.10008.1.2.4.90"}, []byte("\xff\x4f\xff\x51")},
		"panic":         {thumbnail.Dataset{Object: object(t, append(side(8), `00283010 SQ {"00283002":{"vr":"US","Value":[2,0,8]},"00283006":{"vr":"OW","BulkDataURI":"bulkdata/x"}}`)...), Syntax: native, Bulk: func(string) ([]byte, error) { panic("below") }}, make([]byte, 128)},
		"two samples":   {thumbnail.Dataset{Object: object(t, `00280002 US 2`, `00280010 US 8`, `00280011 US 8`, `00280100 US 8`), Syntax: native}, make([]byte, 128)},
		"other columns": {thumbnail.Dataset{Object: object(t, eight(1000)...), Syntax: "1.2.840.10008.1.2.4.50"}, progressive(1024, 1)},
	} {
		began := time.Now()
		if _, err := thumbnail.Make(c.d, c.frame); !errors.Is(err, thumbnail.ErrNoPicture) {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
}

// Averages are those of whole pixels, whatever the shape.
func TestShapes(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 30 {
		rows, columns := 65+random.IntN(700), 65+random.IntN(700)
		frame := make([]byte, 2*rows*columns)
		for n := range rows * columns {
			binary.LittleEndian.PutUint16(frame[2*n:], uint16(n/columns*30+n%columns*20))
		}
		p := picture(t, thumbnail.Dataset{Object: object(t, grey(rows, columns, `00281050 DS 128`, `00281051 DS 256`, `00281053 DS 0.005`, `00281052 DS 0`)...), Syntax: native}, frame)
		w, h := columns, rows
		if longer := max(w, h); longer > thumbnail.Size {
			w, h = max(1, w*thumbnail.Size/longer), max(1, h*thumbnail.Size/longer)
		}
		if p.Bounds() != image.Rect(0, 0, w, h) {
			t.Fatalf("%d by %d becomes %v, want %d by %d", columns, rows, p.Bounds(), w, h)
		}
		for range 50 {
			x, y := random.IntN(w), random.IntN(h)
			at := 0.005 * (30*(float64(rows)*(float64(y)+0.5)/float64(h)) + 20*(float64(columns)*(float64(x)+0.5)/float64(w)))
			if got := float64(p.At(x, y).(color.Gray).Y); math.Abs(got-at) > 6 {
				t.Errorf("%d by %d at %d, %d: %.0f, want about %.0f", columns, rows, x, y, got, at)
			}
		}
	}
}

// FuzzMake: no frame and no attributes do anything but cost their picture.
func FuzzMake(f *testing.F) {
	for _, syntax := range []string{native, "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80"} {
		f.Add(syntax, []byte(`{"00280010":{"vr":"US","Value":[8]},"00280011":{"vr":"US","Value":[8]},"00280100":{"vr":"US","Value":[16]},"00281050":{"vr":"DS","Value":[40]},"00281051":{"vr":"DS","Value":[400]}}`), make([]byte, 128))
		f.Add(syntax, []byte(`{"00280004":{"vr":"CS","Value":["PALETTE COLOR"]},"00280010":{"vr":"US","Value":[8]},"00280011":{"vr":"US","Value":[8]},"00281101":{"vr":"US","Value":[2,0,16]},"00281201":{"vr":"OW","InlineBinary":"AAECAw=="}}`), progressive(8, 1))
	}
	f.Fuzz(func(t *testing.T, syntax string, text, frame []byte) {
		o, err := dedup.ParseObject(text)
		if err != nil || len(frame) > 1<<16 {
			return
		}
		if out, err := thumbnail.Make(thumbnail.Dataset{Object: o, Syntax: syntax, Bulk: func(string) ([]byte, error) { return frame, nil }}, frame); err != nil {
			if !errors.Is(err, thumbnail.ErrNoPicture) || strings.Contains(err.Error(), "panic") {
				t.Error(err)
			}
		} else if _, err := jpeg.DecodeConfig(bytes.NewReader(out)); err != nil {
			t.Error(err)
		}
	})
}
