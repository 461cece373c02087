package thumbnail

import (
	"errors"
	"fmt"
	"image"
	"image/draw"
	"strings"
)

// MaxRendered is how many pixels a frame, and the picture of it, may have.
const MaxRendered = 1 << 25

// View is how somebody wants to see a frame (PS3.18 section 8.3.5.1). The zero View is all of it, pixel for pixel, as its attributes say.
type View struct {
	// Center and Width are of the window, Function says which (PS3.3 C.11.2.1): linear, linear-exact or sigmoid. Width 0: as the attributes say. Colours have no window.
	Center, Width float64
	Function      string
	// Region is the part of the frame, in pixels. A Max.X of 0 is the frame's right edge, a Max.Y of 0 its bottom: so the zero Region is all of it.
	Region image.Rectangle
	// Mirrored swaps left and right of the picture, Inverted top and bottom.
	Mirrored, Inverted bool
	// Size is into what the picture is to fit, keeping its shape; zero: pixel for pixel.
	Size image.Point
}

// ErrView says that a View cannot be had of any frame, or not of this one.
var ErrView = errors.New("no such view")

// Render makes a picture of a frame, which is as the archive has it: an *image.Gray or an *image.RGBA. Errors satisfy errors.Is with ErrNoPicture or ErrView.
func Render(d Dataset, frame []byte, v View) (out image.Image, err error) {
	defer func() {
		if r := recover(); r != nil { // a decoder of a library that stumbles over a frame
			out, err = nil, fmt.Errorf("panic: %v: %w", r, ErrNoPicture)
		}
	}()
	if d.window, err = v.window(); err != nil {
		return nil, err
	}
	d.whole = true
	if l := newLayout(d); int64(l.frame.Columns)*int64(l.frame.Rows) > MaxRendered {
		return nil, fmt.Errorf("%d by %d: %w", l.frame.Columns, l.frame.Rows, ErrNoPicture)
	}
	p, err := d.picture(frame)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoPicture, err)
	}
	return v.of(p)
}

func (v View) window() (window, error) {
	if v.Width == 0 {
		return window{}, nil
	}
	w := window{center: v.Center, width: v.Width}
	switch strings.ReplaceAll(strings.ToLower(v.Function), "_", "-") {
	case "", "linear":
		w.kind = windowLinear
	case "linear-exact":
		w.kind = windowExact
	case "sigmoid":
		w.kind = windowSigmoid
	default:
		return window{}, fmt.Errorf("a window is linear, linear-exact or sigmoid: %w", ErrView)
	}
	if v.Width < 0 || w.kind == windowLinear && v.Width < 1 {
		return window{}, fmt.Errorf("a window of width %v: %w", v.Width, ErrView)
	}
	return w, nil
}

// of is the part and the size of a picture that is wanted.
func (v View) of(p image.Image) (image.Image, error) {
	p, err := v.region(p)
	if err != nil {
		return nil, err
	}
	from := p.Bounds().Size()
	if v.Size == (image.Point{}) || v.Size == from {
		return v.turned(p), nil
	}
	to := image.Pt(v.Size.X, max(1, (from.Y*v.Size.X+from.X/2)/from.X))
	if to.Y > v.Size.Y {
		to = image.Pt(max(1, (from.X*v.Size.Y+from.Y/2)/from.Y), v.Size.Y)
	}
	if int64(to.X)*int64(to.Y) > MaxRendered {
		return nil, fmt.Errorf("%d by %d: %w", to.X, to.Y, ErrView)
	}
	if to.X <= from.X && to.Y <= from.Y {
		return v.turned(smaller(p, to)), nil
	}
	return v.turned(larger(p, to)), nil
}

// region is the part of a picture that is wanted.
func (v View) region(p image.Image) (image.Image, error) {
	all := p.Bounds()
	if v.Region == (image.Rectangle{}) {
		return p, nil
	}
	r := v.Region
	if r.Max.X == 0 {
		r.Max.X = all.Max.X
	}
	if r.Max.Y == 0 {
		r.Max.Y = all.Max.Y
	}
	if r.Empty() || !r.In(all) {
		return nil, fmt.Errorf("the region is not in the frame of %d by %d: %w", all.Dx(), all.Dy(), ErrView)
	}
	return p.(interface {
		SubImage(image.Rectangle) image.Image
	}).SubImage(r), nil
}

// turned swaps the sides of a picture.
func (v View) turned(p image.Image) image.Image {
	if !v.Mirrored && !v.Inverted {
		return p
	}
	channels, row := planes(p)
	size := p.Bounds().Size()
	out := make([]byte, 0, size.X*size.Y*channels)
	for y := range size.Y {
		if v.Inverted {
			y = size.Y - 1 - y
		}
		line := row(y)
		if !v.Mirrored {
			out = append(out, line...)
			continue
		}
		for x := size.X - 1; x >= 0; x-- {
			out = append(out, line[x*channels:(x+1)*channels]...)
		}
	}
	return assembled(out, size, channels)
}

// Fit makes a picture that is there already as large as goes into size, keeping its shape. An error satisfies errors.Is(err, ErrView).
func Fit(p image.Image, size image.Point) (image.Image, error) {
	switch p.(type) {
	case *image.Gray, *image.RGBA:
	default:
		whole := image.NewRGBA(image.Rectangle{Max: p.Bounds().Size()})
		draw.Draw(whole, whole.Bounds(), p, p.Bounds().Min, draw.Src)
		p = whole
	}
	return View{Size: size}.of(p)
}

// planes are a picture's samples: how many a pixel has, and the row that begins at y.
func planes(p image.Image) (channels int, row func(y int) []byte) {
	b := p.Bounds()
	if g, grey := p.(*image.Gray); grey {
		return 1, func(y int) []byte { return g.Pix[g.PixOffset(b.Min.X, b.Min.Y+y):][:b.Dx()] }
	}
	c := p.(*image.RGBA)
	return 4, func(y int) []byte { return c.Pix[c.PixOffset(b.Min.X, b.Min.Y+y):][:4*b.Dx()] }
}

// smaller averages whole pixels.
func smaller(p image.Image, to image.Point) image.Image {
	channels, row := planes(p)
	kept := min(channels, 3) // opacity is all or nothing here: all
	s := newShrinker(p.Bounds().Size(), to, kept)
	s.whole = true
	for y := range p.Bounds().Dy() {
		if from := row(y); channels == kept {
			copy(s.row, from)
		} else {
			for x := range p.Bounds().Dx() {
				copy(s.row[3*x:3*x+3], from[4*x:])
			}
		}
		s.add()
	}
	return s.image()
}

// larger interpolates between the middles of pixels.
func larger(p image.Image, to image.Point) image.Image {
	channels, row := planes(p)
	from := p.Bounds().Size()
	out := make([]byte, 0, to.X*to.Y*channels)
	for y := range to.Y {
		y0, y1, fy := between(y, to.Y, from.Y)
		above, below := row(y0), row(y1)
		for x := range to.X {
			x0, x1, fx := between(x, to.X, from.X)
			for c := range channels {
				top := int(above[x0*channels+c])*(256-fx) + int(above[x1*channels+c])*fx
				low := int(below[x0*channels+c])*(256-fx) + int(below[x1*channels+c])*fx
				out = append(out, byte((top*(256-fy)+low*fy+1<<15)>>16))
			}
		}
	}
	return assembled(out, to, channels)
}

// assembled is a picture of samples that follow each other.
func assembled(samples []byte, size image.Point, channels int) image.Image {
	bounds := image.Rectangle{Max: size}
	if channels == 1 {
		return &image.Gray{Pix: samples, Stride: size.X, Rect: bounds}
	}
	return &image.RGBA{Pix: samples, Stride: 4 * size.X, Rect: bounds}
}

// between is where the n-th of to pixels lies between those of from, in 256ths.
func between(n, to, from int) (first, second, part int) {
	at := ((2*n+1)*from*128)/to - 128 // of its middle, from that of the first pixel
	at = min(max(at, 0), (from-1)*256)
	first = at >> 8
	return first, min(first+1, from-1), at & 255
}
