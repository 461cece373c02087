package phantom

import (
	"math"
	"math/bits"
)

// view is what a frame looks at: which body, by which series' protocol, at which place (-1000 to 1000) or moment, with which noise.
type view struct {
	size         int
	body, series int
	z            int
	noise        noise
}

// modality is a kind of study: its metadata and its painter.
type modality struct {
	name, class, enhanced string // SOP classes of single-frame and multi-frame instances
	pixelSize             int    // bytes
	frames                int    // of an instance when nothing else is asked for
	time                  bool   // frames follow in time, not in space
	describe              func(i Instance) []Element
	paint                 func(v view, frame []byte)
}

// ellipsoid is a part of a body. Places and half-axes are in thousandths of half the field of view. Later parts paint over earlier ones.
type ellipsoid struct {
	x, y, z    int
	rx, ry, rz int
	tissue     int // what it is made of; each modality says how that looks
}

// The tissues. Air is what is around everything.
const (
	air = iota
	fat
	muscle
	lung
	blood
	bone
	marrow
	liquid
	liver
	lesion
	white
	gray
)

// root is the whole part of the square root. It is exact on every machine: no sum is rounded before it.
func root(n int) int {
	if n <= 0 {
		return 0
	}
	return int(math.Sqrt(float64(n)))
}

// slice paints what a plane at z cuts of the parts into tissue numbers, row by row. Integers throughout, so that every machine paints the same.
func slice(parts []ellipsoid, size, z int, out []uint8) {
	clear(out)
	for _, p := range parts {
		d := (z - p.z) * 1000 / p.rz
		if d < -1000 || d > 1000 {
			continue
		}
		shrink := root(1_000_000 - d*d) // thousandths
		rx, ry := p.rx*shrink/1000, p.ry*shrink/1000
		disc(out, size, ellipsoid{x: p.x, y: p.y, rx: rx, ry: ry, tissue: p.tissue})
	}
}

// disc paints one ellipse.
func disc(out []uint8, size int, p ellipsoid) {
	if p.rx == 0 || p.ry == 0 {
		return
	}
	half := size / 2
	cx, cy, rx, ry := (p.x+1000)*half/1000, (p.y+1000)*half/1000, max(1, p.rx*half/1000), max(1, p.ry*half/1000)
	for y := max(0, cy-ry); y <= min(size-1, cy+ry); y++ {
		dy := (y - cy) * 1000 / ry
		dx := rx * root(1_000_000-dy*dy) / 1000
		row := out[y*size:]
		for x := max(0, cx-dx); x <= min(size-1, cx+dx); x++ {
			row[x] = uint8(p.tissue)
		}
	}
}

// bell is a random number around zero with a deviation of four.
func (n *noise) bell() int { return bits.OnesCount64(n.next()) - 32 }

// vary moves a measure by up to a tenth, as bodies differ.
func vary(body, part, value int) int {
	n := noise(body*977 + part)
	return value * (900 + int(n.next()%201)) / 1000
}
