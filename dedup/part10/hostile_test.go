package part10

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/phantom"
	"github.com/dicomesh/dicomesh/e2e/raced"
)

// cuts are the places at which file number i, of n bytes, is cut: every one, but in the header that all files have each 13th, for each file another,
// and in the middle of a long file, which is one long value, only some.
func cuts(i, n int) func(yield func(int) bool) {
	const header, start, end = 1200, 2200, 100
	return func(yield func(int) bool) {
		for at := 0; at < n; at++ {
			if at < header && at%13 != i%13 || at > start && at < n-end && at%499 != 0 {
				continue
			}
			if !yield(at) {
				return
			}
		}
	}
}

// TestTruncated cuts each of our own files at every byte. What is left is refused, or, where the cut falls between two elements of the root,
// is a sound shorter file.
func TestTruncated(t *testing.T) {
	for i, c := range phantom.Cases() {
		if raced.On(t) && i%40 != 0 {
			continue // nothing here is concurrent
		}
		file := c.Bytes()
		shorter := 0
		for at := range cuts(i, len(file)) {
			m := newMemory()
			p, err := Take(bytes.NewReader(file[:at]), int64(at), m)
			if m.open != 0 {
				t.Fatalf("%s cut at %d: %d left open", c.Name, at, m.open)
			}
			switch {
			case err == nil:
				if shorter++; !bytes.Equal(rebuiltFile(t, p, m), file[:at]) {
					t.Fatalf("%s cut at %d: comes back otherwise", c.Name, at)
				}
			case !errors.Is(err, ErrFormat):
				t.Fatalf("%s cut at %d: %v", c.Name, at, err)
			case !errors.Is(err, ErrTruncated):
				t.Errorf("%s cut at %d is not said to end too early: %v", c.Name, at, err)
			}
		}
		if most := len(c.File.Elements)*2 + len(c.File.Tail) + 400; shorter > most {
			t.Errorf("%s: %d cuts are taken for sound files", c.Name, shorter)
		}
	}
}

// TestFlipped changes bytes of our own files, in each file others. What comes of it is refused, or is another sound file.
func TestFlipped(t *testing.T) {
	for i, c := range phantom.Cases() {
		if raced.On(t) && i%40 != 0 {
			continue
		}
		file := c.Bytes()
		for step, at := max(23, len(file)/80), i%23; at < len(file); at += step {
			was := file[at]
			file[at] ^= 1 << (at % 8)
			if at%3 == 0 {
				file[at] = ^was
			}
			m := newMemory()
			p, err := Take(bytes.NewReader(file), int64(len(file)), m)
			switch {
			case err == nil:
				if !bytes.Equal(rebuiltFile(t, p, m), file) {
					t.Fatalf("%s changed at %d: comes back otherwise", c.Name, at)
				}
			case !errors.Is(err, ErrFormat) || m.open != 0:
				t.Fatalf("%s changed at %d: %v, %d left open", c.Name, at, err, m.open)
			}
			file[at] = was
		}
	}
}

var errDisk = errors.New("no space left on device")

// TestFailingStore fails each operation of the store in turn, and all that come after it: Take and Rebuild pass the error on, and leave nothing open.
func TestFailingStore(t *testing.T) {
	for i, c := range phantom.Cases() {
		if i%6 != 0 && c.Name != "sequence/deep-65" || raced.On(t) && i%60 != 0 || len(c.Bytes()) > 20_000 {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			failEach(t, c.Bytes())
		})
	}
}

// mostFailed is at how many operations a file's way through the store fails: at each, or at so many that lie evenly among them.
const mostFailed = 400

func failEach(t *testing.T, file []byte) {
	whole := newMemory()
	operations := 0
	whole.fail = func() error { operations++; return nil }
	if err := throughStore(file, whole); err != nil {
		t.Fatal(err)
	}
	for k := 0; k < operations; k += 1 + operations/mostFailed {
		m := newMemory()
		left := k
		m.fail = func() error {
			if left--; left < 0 {
				return errDisk
			}
			return nil
		}
		err := throughStore(file, m)
		if m.open != 0 {
			t.Fatalf("operation %d: %d left open", k, m.open)
		}
		if !errors.Is(err, errDisk) || errors.Is(err, ErrFormat) {
			t.Fatalf("operation %d: %v", k, err)
		}
	}
}

func throughStore(file []byte, m *memory) error {
	p, err := Take(bytes.NewReader(file), int64(len(file)), m)
	if err != nil {
		return err
	}
	object, d := m.merged(p)
	r, err := Rebuild(object, d, m)
	if err != nil {
		return err
	}
	_, err = r.WriteTo(io.Discard)
	return err
}

// failingFile is a file whose reading fails from a byte on.
type failingFile struct {
	io.ReaderAt
	from int64
}

func (f failingFile) ReadAt(b []byte, at int64) (int, error) {
	if at+int64(len(b)) > f.from {
		return 0, errDisk
	}
	return f.ReaderAt.ReadAt(b, at)
}

// TestFailingFile passes on what reading the file fails with, and does not call the file unsound for it.
func TestFailingFile(t *testing.T) {
	for _, c := range phantom.Cases() {
		file := c.Bytes()
		for _, from := range []int{0, 200, len(file) / 2, len(file) - 1} {
			m := newMemory()
			_, err := Take(failingFile{bytes.NewReader(file), int64(from)}, int64(len(file)), m)
			if !errors.Is(err, errDisk) || errors.Is(err, ErrFormat) || m.open != 0 {
				t.Fatalf("%s from byte %d: %v, %d left open", c.Name, from, err, m.open)
			}
		}
	}
}

// nothing is a Store that keeps objects and the sizes of values, and no value.
type nothing struct {
	memory
	values, bytes int64
}

func newNothing() *nothing { return &nothing{memory: *newMemory()} }

type countedValue struct{ s *nothing }

func (n *nothing) Create() (Value, error)          { n.values++; return countedValue{n}, nil }
func (v countedValue) Write(b []byte) (int, error) { v.s.bytes += int64(len(b)); return len(b), nil }
func (v countedValue) Keep(dedup.Ref) error        { return nil }
func (v countedValue) Drop()                       {}
func (n *nothing) Bulk(ref dedup.Ref) (Bulk, error) {
	return nil, fmt.Errorf("%s: %w", ref, fs.ErrNotExist)
}

// generated is a file that begins with head and ends with tail, between which body makes the bytes.
type generated struct {
	head, tail []byte
	n          int64 // bytes between
	body       func(b []byte, at int64)
	read       int64
}

func (g *generated) size() int64 { return int64(len(g.head)) + g.n + int64(len(g.tail)) }

func (g *generated) ReadAt(b []byte, at int64) (int, error) {
	done := 0
	for done < len(b) && at+int64(done) < g.size() {
		done += g.readSome(b[done:], at+int64(done))
	}
	g.read += int64(done)
	if done < len(b) {
		return done, io.EOF
	}
	return done, nil
}

func (g *generated) readSome(b []byte, at int64) int {
	if h := int64(len(g.head)); at < h {
		return copy(b, g.head[at:])
	} else if at >= h+g.n {
		return copy(b, g.tail[at-h-g.n:])
	} else {
		b = b[:min(int64(len(b)), h+g.n-at)]
		g.body(b, at-h)
		return len(b)
	}
}

// plainHead is preamble, group 0002 and the elements.
func plainHead(syntax string, elements ...phantom.Element) []byte {
	f := phantom.File{Elements: elements}
	for _, s := range phantom.Syntaxes() {
		if s.UID == syntax {
			f.Syntax = s
		}
	}
	return f.Bytes()
}

func imageElements(frames int, rows uint16) []phantom.Element {
	return []phantom.Element{
		phantom.Text(0x00080018, "UI", "1.2.3"),
		phantom.Numbers(0x00280002, "US", uint16(1)),
		phantom.Text(0x00280008, "IS", strconv.Itoa(frames)),
		phantom.Numbers(0x00280010, "US", rows),
		phantom.Numbers(0x00280011, "US", uint16(512)),
		phantom.Numbers(0x00280100, "US", uint16(16)),
	}
}

// peakHeap runs f and returns by how much the heap was larger at its largest, as far as sampling at each step of the reader tells.
func peakHeap(t *testing.T, g *generated, store Store) (uint64, *Parts) {
	t.Helper()
	runtime.GC()
	var before, peak runtime.MemStats
	runtime.ReadMemStats(&before)
	w := &watched{g: g}
	p, err := Take(w, g.size(), store)
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&peak)
	return max(w.peak, peak.HeapAlloc) - min(before.HeapAlloc, max(w.peak, peak.HeapAlloc)), p
}

// watched looks at the heap now and then while a file is read.
type watched struct {
	g     *generated
	calls int
	peak  uint64
}

func (w *watched) ReadAt(b []byte, at int64) (int, error) {
	if w.calls++; w.calls%100 == 0 {
		var now runtime.MemStats
		runtime.ReadMemStats(&now)
		w.peak = max(w.peak, now.HeapAlloc)
	}
	return w.g.ReadAt(b, at)
}

// TestGigabyte takes a multi-frame image of 1 GiB apart in little memory.
func TestGigabyte(t *testing.T) {
	const frames, frame = 2048, 512 * 512 * 2
	g := &generated{n: frames * frame, body: func(b []byte, at int64) { clear(b); b[0] = byte(at >> 20) }}
	pixels := phantom.Raw(0x7FE00010, "OW", nil)
	pixels.Claim = new(uint32)
	*pixels.Claim = frames * frame
	g.head = plainHead("1.2.840.10008.1.2.1", append(imageElements(frames, 512), pixels)...)
	store := newNothing()
	heap, p := peakHeap(t, g, store)
	if store.bytes < g.n || p.Size != g.size() {
		t.Errorf("%d bytes were kept", store.bytes)
	}
	t.Logf("%d MiB of heap for %d values", heap>>20, store.values)
	if heap > 64<<20 {
		t.Errorf("%d MiB of heap", heap>>20)
	}
}

// TestManyFragments takes an image of 200,000 tiny frames apart, encapsulated.
func TestManyFragments(t *testing.T) {
	const each = 16
	frames := int64(200_000)
	if raced.On(t) {
		frames /= 10
	}
	g := &generated{n: frames * each, body: func(b []byte, at int64) {
		for i := range b {
			where := at + int64(i)
			item := [each]byte{0xFE, 0xFF, 0x00, 0xE0, 8, 0, 0, 0}
			binary.BigEndian.PutUint32(item[8:], uint32(where/each))
			b[i] = item[where%each]
		}
	}}
	whole := plainHead("1.2.840.10008.1.2.4.50", append(imageElements(int(frames), 512), phantom.Encapsulated(nil))...)
	g.head, g.tail = whole[:len(whole)-8], whole[len(whole)-8:]
	store := newNothing()
	heap, _ := peakHeap(t, g, store)
	t.Logf("%d MiB of heap for %d values", heap>>20, store.values)
	if store.values < frames {
		t.Errorf("%d values for %d frames", store.values, frames)
	}
	if perFrame := heap / uint64(frames); perFrame > 2000 {
		t.Errorf("%d bytes of heap a frame", perFrame)
	}
}

// TestLies refuses at once what says that it is much longer than its file.
func TestLies(t *testing.T) {
	three := uint32(3_000_000_000)
	for _, e := range []phantom.Element{
		phantom.Raw(0x00291001, "OB", make([]byte, 100_000)),
		phantom.Raw(0x7FE00010, "OW", make([]byte, 100_000)),
		phantom.Sequence(0x00400260, phantom.Item{}),
	} {
		e.Claim = &three
		g := &generated{head: plainHead("1.2.840.10008.1.2.1", append(imageElements(1, 512), e)...)}
		heap := testing.AllocsPerRun(1, func() {
			if _, err := Take(g, g.size(), newNothing()); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "says that it has") {
				t.Errorf("%s: %v", e, err)
			}
		})
		if heap > 2000 {
			t.Errorf("%s: %f allocations", e, heap)
		}
	}
}

// TestLieInDeflated gives a length only as much memory as there are bytes, where nothing tells how long the dataset is.
func TestLieInDeflated(t *testing.T) {
	table := phantom.Raw(0x7FE00010, "OB", []byte{0xFE, 0xFF, 0, 0xE0, 0, 0, 0, 0x0B, 1, 2})
	table.Claim = new(uint32)
	*table.Claim = undefined
	g := &generated{head: plainHead("1.2.840.10008.1.2.1.99", append(imageElements(1, 512), table)...)}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := Take(g, g.size(), newNothing())
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, ErrFormat) || used > 16<<20 {
		t.Errorf("%v, %d MiB", err, used>>20)
	}
}

// TestDeepNesting takes what nests far deeper than any reader recurses, and refuses what nests without end.
func TestDeepNesting(t *testing.T) {
	open := []byte{0x08, 0, 0x40, 0x11, 'S', 'Q', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE, 0xFF, 0, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF}
	shut := []byte{0xFE, 0xFF, 0x0D, 0xE0, 0, 0, 0, 0, 0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0}
	for _, levels := range []int{maxNesting - 1, maxNesting, maxNesting + 1, 5_000, 100_000} {
		file := slices.Concat(plainHead("1.2.840.10008.1.2.1"), bytes.Repeat(open, levels), bytes.Repeat(shut, levels))
		thereAndBack(t, file)
	}
	file := slices.Concat(plainHead("1.2.840.10008.1.2.1"), bytes.Repeat(open, maxDepth+1), bytes.Repeat(shut, maxDepth+1))
	if _, err := Take(bytes.NewReader(file), int64(len(file)), newMemory()); !errors.Is(err, ErrFormat) {
		t.Errorf("%d levels: %v", maxDepth+1, err)
	}
}

// TestDescending takes files whose elements stand in the wrong order, many of them, in reasonable time.
func TestDescending(t *testing.T) {
	n := uint32(100_000)
	if raced.On(t) {
		n /= 10
	}
	var small, large []phantom.Element
	for i := range n {
		small = append(small, phantom.Raw(0x60000000+(n-i)*2+0x10000*(i%2)+1, "LO", []byte("v ")))
	}
	for i := range n / 40 {
		large = append(large, phantom.Raw(0x00100000+6000-i, "OB", bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 520)))
	}
	for _, elements := range [][]phantom.Element{small, large, append(large, large...)} {
		file := phantom.File{Syntax: phantom.Syntaxes()[0], Elements: elements}.Bytes()
		thereAndBack(t, file)
	}
}
