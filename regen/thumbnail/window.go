package thumbnail

import (
	"fmt"
	"image"
	"math"
	"strconv"

	"github.com/dicomesh/dicomesh/dedup"
)

// The attributes that say how grey values are shown (PS3.3 C.11.1, C.11.2, C.7.6.16.2.9, C.7.6.16.2.10).
const (
	tagIntercept dedup.Tag = 0x00281052
	tagSlope     dedup.Tag = 0x00281053
	tagCenter    dedup.Tag = 0x00281050
	tagWidth     dedup.Tag = 0x00281051
	tagFunction  dedup.Tag = 0x00281056
	tagModality  dedup.Tag = 0x00283000
	tagVOI       dedup.Tag = 0x00283010

	tagShared    dedup.Tag = 0x52009229
	tagPerFrame  dedup.Tag = 0x52009230
	tagFrameVOI  dedup.Tag = 0x00289132
	tagTransform dedup.Tag = 0x00289145
)

// grey is the picture of a frame of one sample.
func (d Dataset) grey(l *layout) (image.Image, error) {
	modality, err := d.modality()
	if err != nil {
		return nil, err
	}
	voi, err := d.voi()
	if err != nil {
		return nil, err
	}
	shade := func(v float64) byte { return voi.shade(modality.value(v)) }
	n := l.frame.Rows * l.frame.Columns
	if voi.kind == windowNone {
		voi.low, voi.high = l.extremes(n, modality)
	}
	if l.photometric == "MONOCHROME1" {
		light := shade
		shade = func(v float64) byte { return ^light(v) }
	}
	out := l.shrinker(1)
	row := l.shades(shade)
	for y := range l.frame.Rows {
		row(out.row, y*l.frame.Columns)
		out.add()
	}
	return out.image(), nil
}

// shades returns what makes a shade of each sample from the n-th on. Where there are more pixels than values, each value's is made once.
func (l *layout) shades(shade func(float64) byte) func(row []byte, n int) {
	if l.float != "" || l.frame.BitsAllocated > 16 {
		return func(row []byte, n int) {
			for i := range row {
				row[i] = shade(l.value(l.raw(n + i)))
			}
		}
	}
	table := make([]int16, 1<<l.frame.BitsAllocated) // shade and 1; 0 is not made yet
	made := func(raw uint64) byte {
		table[raw] = int16(shade(l.value(raw))) + 1
		return byte(table[raw] - 1)
	}
	if l.frame.BitsAllocated == 16 {
		return func(row []byte, n int) {
			in := l.native[2*n : 2*(n+len(row))]
			for i := range row {
				raw := uint16(in[2*i]) | uint16(in[2*i+1])<<8
				if row[i] = byte(table[raw] - 1); table[raw] == 0 {
					row[i] = made(uint64(raw))
				}
			}
		}
	}
	return func(row []byte, n int) {
		for i := range row {
			raw := l.raw(n + i)
			if row[i] = byte(table[raw] - 1); table[raw] == 0 {
				row[i] = made(raw)
			}
		}
	}
}

// extremes are the least and greatest values of the frame.
func (l *layout) extremes(n int, m transform) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	look := func(raw uint64) {
		v := m.value(l.value(raw))
		low, high = min(low, v), max(high, v)
	}
	if l.float != "" || l.frame.BitsAllocated > 16 {
		for i := range n {
			look(l.raw(i))
		}
		return low, high
	}
	seen := make([]bool, 1<<l.frame.BitsAllocated)
	for i := range n {
		seen[l.raw(i)] = true
	}
	for raw, is := range seen {
		if is {
			look(uint64(raw))
		}
	}
	return low, high
}

// transform is the modality's: a table, or a line.
type transform struct {
	table            *table
	slope, intercept float64
}

func (t transform) value(v float64) float64 {
	if t.table != nil {
		return float64(t.table.at(v))
	}
	return float64(v*t.slope) + t.intercept
}

func (d Dataset) modality() (transform, error) {
	if items := sequence(d.Object, tagModality); len(items) > 0 {
		t, err := d.table(items[0], 0x00283002, 0x00283006)
		return transform{table: t}, err
	}
	t := transform{slope: 1}
	o := d.Object
	if group := d.group(tagTransform); group != nil {
		o = group
	}
	if slope, ok := decimal(o, tagSlope); ok {
		t.slope = slope
		t.intercept, _ = decimal(o, tagIntercept)
	}
	return t, nil
}

// group is the first item of a functional group's sequence: that of the frame, else that which all frames share; nil if there is none.
func (d Dataset) group(tag dedup.Tag) dedup.Object {
	if frames := sequence(d.Object, tagPerFrame); d.Frame < len(frames) {
		if items := sequence(frames[d.Frame], tag); len(items) > 0 {
			return items[0]
		}
	}
	for _, shared := range sequence(d.Object, tagShared) {
		if items := sequence(shared, tag); len(items) > 0 {
			return items[0]
		}
	}
	return nil
}

// The kinds of windows.
const (
	windowNone    = "" // from the least value to the greatest
	windowLinear  = "LINEAR"
	windowExact   = "LINEAR_EXACT"
	windowSigmoid = "SIGMOID"
	windowTable   = "table"
)

// window turns values into shades.
type window struct {
	kind          string
	center, width float64
	low, high     float64
	table         *table
}

func (d Dataset) voi() (window, error) {
	if d.window.width != 0 {
		return d.window, nil
	}
	o := d.Object
	if items := sequence(o, tagVOI); len(items) > 0 {
		t, err := d.table(items[0], 0x00283002, 0x00283006)
		return window{kind: windowTable, table: t}, err
	}
	if group := d.group(tagFrameVOI); group != nil {
		o = group
	}
	w := window{kind: o.Text(tagFunction)}
	if w.kind != windowExact && w.kind != windowSigmoid {
		w.kind = windowLinear
	}
	var center, width bool
	w.center, center = decimal(o, tagCenter)
	w.width, width = decimal(o, tagWidth)
	least := 0.0
	if w.kind == windowLinear {
		least = 1
	}
	if !center || !width || w.width < least || w.width == 0 {
		return window{}, nil
	}
	return w, nil
}

// shade is PS3.3 C.11.2.1.2 and .3.
func (w window) shade(v float64) byte {
	var y float64 // 0 to 1
	switch w.kind {
	case windowTable:
		return w.table.eight(v)
	case windowExact:
		y = (v-w.center)/w.width + 0.5
	case windowSigmoid:
		y = 1 / (1 + math.Exp(-4*(v-w.center)/w.width))
	case windowLinear:
		if w.width == 1 {
			return byte(255 * below(w.center-0.5, v))
		}
		y = (v-(w.center-0.5))/(w.width-1) + 0.5
	default:
		if w.high <= w.low {
			return 0
		}
		y = (v - w.low) / (w.high - w.low)
	}
	return byte(math.Floor(float64(min(max(y, 0), 1)*255) + 0.5))
}

func below(edge, v float64) int {
	if v <= edge {
		return 0
	}
	return 1
}

// decimal is an attribute's first value as a number.
func decimal(o dedup.Object, tag dedup.Tag) (float64, bool) {
	v, err := strconv.ParseFloat(o.Text(tag), 64)
	return v, err == nil && !math.IsNaN(v) && !math.IsInf(v, 0)
}

// sequence are the items of a sequence; none of one that is no sequence.
func sequence(o dedup.Object, tag dedup.Tag) []dedup.Object {
	e, ok := o.Find(tag)
	if !ok {
		return nil
	}
	a, err := e.Attribute()
	if err != nil {
		return nil
	}
	var items []dedup.Object
	for _, v := range a.Value {
		item, err := dedup.ParseObject(v)
		if err != nil {
			return nil
		}
		items = append(items, item)
	}
	return items
}

// table is a look-up table (PS3.3 C.11.1.1.1).
type table struct {
	first float64
	top   float64 // the greatest value that its bits can have
	data  []uint16
}

// table reads a descriptor and its data.
func (d Dataset) table(o dedup.Object, descriptor, data dedup.Tag) (*table, error) {
	numbers, err := d.numbers(o, descriptor)
	if err != nil || len(numbers) < 3 {
		return nil, fmt.Errorf("table %s: %d numbers: %w", descriptor, len(numbers), err)
	}
	entries, bits := numbers[0]&0xFFFF, numbers[2]
	if entries == 0 {
		entries = 1 << 16
	}
	values, err := d.numbers(o, data)
	if err != nil {
		return nil, err
	}
	t := &table{first: float64(numbers[1]), top: 65535}
	if bits > 0 && bits < 16 {
		t.top = float64(int(1)<<bits - 1)
	}
	for _, v := range values {
		t.data = append(t.data, uint16(v))
	}
	if bits <= 8 && len(values) < entries && 2*len(values) >= entries { // two entries of 8 bits in each word
		t.data = t.data[:0]
		for _, v := range values {
			t.data = append(t.data, uint16(v&0xFF), uint16(v>>8&0xFF))
		}
	}
	if len(t.data) == 0 {
		return nil, fmt.Errorf("table %s is empty", data)
	}
	return t, nil
}

func (t *table) at(v float64) uint16 {
	return t.data[int(min(max(v-t.first, 0), float64(len(t.data)-1)))]
}

func (t *table) eight(v float64) byte {
	return byte(min(float64(float64(t.at(v))*255)/t.top+0.5, 255))
}
