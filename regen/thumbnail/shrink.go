package thumbnail

import "image"

// shrinker makes a picture smaller while its rows come in: each pixel of the thumbnail is the mean of a rectangle of whole pixels, and at no time is there more of
// the large picture than a row.
type shrinker struct {
	columns, rows, channels int      // of what comes in
	width, height           int      // of what goes out
	row                     []byte   // for the caller to fill: channels interleaved
	sums                    []uint32 // of the row of out that is being made
	y, made                 int      // rows that came in, and are finished
	out                     []byte
	whole                   bool // what comes in goes out, small pictures too
}

// shrinker makes pictures of at most Size pixels on the longer side, or whole ones.
func (l *layout) shrinker(channels int) *shrinker {
	columns, rows := l.frame.Columns, l.frame.Rows
	width, height := columns, rows
	if longer := max(columns, rows); longer > Size && !l.whole {
		width, height = max(1, columns*Size/longer), max(1, rows*Size/longer)
	}
	s := newShrinker(image.Pt(columns, rows), image.Pt(width, height), channels)
	s.whole = l.whole
	return s
}

// newShrinker makes pictures of a size, which is smaller than what comes in, or the same.
func newShrinker(from, to image.Point, channels int) *shrinker {
	s := &shrinker{columns: from.X, rows: from.Y, channels: channels, width: to.X, height: to.Y}
	s.row, s.sums = make([]byte, from.X*channels), make([]uint32, to.X*channels)
	s.out = make([]byte, 0, to.X*to.Y*channels)
	return s
}

// add takes what is in row. A rectangle has at most 256 by 256 pixels, since frames have at most 65,535 rows and columns: sums fit.
func (s *shrinker) add() {
	if s.channels == 1 {
		s.addGrey()
	} else {
		s.addColours()
	}
	s.y++
	if s.y == (s.made+1)*s.rows/s.height {
		s.flush()
	}
}

func (s *shrinker) addGrey() {
	left := 0
	for x := range s.sums {
		right := (x + 1) * s.columns / s.width
		sum := s.sums[x]
		for _, v := range s.row[left:right] {
			sum += uint32(v)
		}
		s.sums[x], left = sum, right
	}
}

func (s *shrinker) addColours() {
	left := 0
	for x := range s.width {
		right := (x + 1) * s.columns / s.width
		for i := left * s.channels; i < right*s.channels; i++ {
			s.sums[x*s.channels+i%s.channels] += uint32(s.row[i])
		}
		left = right
	}
}

// flush makes a row of the sums.
func (s *shrinker) flush() {
	high := (s.made+1)*s.rows/s.height - s.made*s.rows/s.height
	for x := range s.width {
		n := uint32(high * ((x+1)*s.columns/s.width - x*s.columns/s.width))
		for c := range s.channels {
			s.out = append(s.out, byte((s.sums[x*s.channels+c]+n/2)/n))
		}
	}
	clear(s.sums)
	s.made++
}

// image is the picture when all rows came in. Icons of a few pixels become larger, whole times: JPEG would smear their colours.
func (s *shrinker) image() image.Image {
	times := 1
	if longer := max(s.width, s.height); longer <= least/2 && !s.whole {
		times = least / longer
	}
	bounds := image.Rect(0, 0, s.width*times, s.height*times)
	if s.channels == 1 {
		grey := &image.Gray{Pix: s.out, Stride: s.width, Rect: bounds}
		if times > 1 {
			grey = image.NewGray(bounds)
			for i := range grey.Pix {
				grey.Pix[i] = s.out[i/grey.Stride/times*s.width+i%grey.Stride/times]
			}
		}
		return grey
	}
	out := image.NewRGBA(bounds)
	for n := range bounds.Dx() * bounds.Dy() {
		from := s.channels * (n/bounds.Dx()/times*s.width + n%bounds.Dx()/times)
		copy(out.Pix[4*n:4*n+3], s.out[from:from+3])
		out.Pix[4*n+3] = 255
	}
	return out
}
