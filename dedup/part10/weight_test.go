package part10

import (
	"bytes"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup/phantom"
	"github.com/dicomesh/dicomesh/e2e/raced"
)

// heavy are files that cost the most memory for each of their bytes: n is how many elements, frames or 32 KiB texts they have.
func heavy() map[string]func(n int) []byte {
	sequence := []byte{0x40, 0, 0x30, 0xA7, 'S', 'Q', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE, 0xFF, 0, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF}
	shut := []byte{0xFE, 0xFF, 0x0D, 0xE0, 0, 0, 0, 0, 0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0}
	elements := func(n int, vr string, value []byte) []byte {
		var out []byte
		for i := range n {
			group, element := 0x40+i>>15*2, i&0x7FFF*2+1
			out = append(out, byte(group), byte(group>>8), byte(element), byte(element>>8), vr[0], vr[1])
			if VR(vr).long() {
				out = append(out, 0, 0)
			}
			out = append(out, byte(len(value)), byte(len(value)>>8))
			if VR(vr).long() {
				out = append(out, 0, 0)
			}
			out = append(out, value...)
		}
		return out
	}
	head := plainHead("1.2.840.10008.1.2.1", phantom.Text(0x00080018, "UI", "1.2.3"))
	text := bytes.Repeat([]byte{1}, 32<<10) // six characters of JSON for each
	return map[string]func(n int) []byte{
		"elements":       func(n int) []byte { return slices.Concat(head, elements(n, "US", []byte{1, 2})) },
		"elements in it": func(n int) []byte { return slices.Concat(head, sequence, elements(n, "US", []byte{1, 2}), shut) },
		"items": func(n int) []byte {
			return slices.Concat(head, sequence[:12], bytes.Repeat(append(sequence[12:20:20], shut[:8]...), n), shut[8:])
		},
		"texts":       func(n int) []byte { return slices.Concat(head, elements(n, "UT", text)) },
		"texts in it": func(n int) []byte { return slices.Concat(head, sequence, elements(n, "UT", text), shut) },
		"fragments": func(n int) []byte {
			whole := plainHead("1.2.840.10008.1.2.4.50", append(imageElements(n, 512), phantom.Encapsulated(nil))...)
			for i := range n {
				whole = append(whole[:len(whole)-8], 0xFE, 0xFF, 0, 0xE0, 4, 0, 0, 0, byte(i), byte(i>>8), byte(i>>16), 0, 0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0)
			}
			return whole
		},
	}
}

// TestHeaviest takes files that cost the most memory for each of their bytes: one that is too much is refused early, and says why; the most that is taken
// takes a bounded heap: more than the limit, because the collector lets as much garbage be as there is memory in use.
func TestHeaviest(t *testing.T) {
	if raced.On(t) {
		t.Skip("the race detector needs memory of its own")
	}
	const mostHeap = 700 << 20
	beyond := map[string]int{"elements": 1_200_000, "elements in it": 1_200_000, "items": 2_000_000, "texts": 600, "texts in it": 600, "fragments": 700_000}
	within := map[string]int{"elements in it": 850_000, "texts in it": 420}
	for what, file := range heavy() {
		heap, err := heapOf(file(beyond[what]))
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "MiB of memory") || heap > mostHeap {
			t.Errorf("%d %s: %d MiB of heap, %v", beyond[what], what, heap>>20, err)
		}
		if n := within[what]; n > 0 {
			heap, err := heapOf(file(n))
			t.Logf("%d %s: %d MiB of heap", n, what, heap>>20)
			if err != nil || heap > mostHeap {
				t.Errorf("%d %s: %d MiB of heap, %v", n, what, heap>>20, err)
			}
		}
	}
}

// heapOf takes a file and tells by how much the heap grew at its largest.
func heapOf(file []byte) (grown uint64, err error) {
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	stop, peak := make(chan struct{}), make(chan uint64)
	go func() {
		for most := before.HeapInuse; ; {
			select {
			case <-stop:
				peak <- most
				return
			case <-time.After(5 * time.Millisecond):
				var now runtime.MemStats
				runtime.ReadMemStats(&now)
				most = max(most, now.HeapInuse)
			}
		}
	}()
	_, err = Take(bytes.NewReader(file), int64(len(file)), newNothing())
	close(stop)
	return <-peak - before.HeapInuse, err
}
