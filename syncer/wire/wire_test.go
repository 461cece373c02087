package wire

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/e2e/golden"
)

func uid(s string) dedup.UID {
	u, err := dedup.ParseUID(s)
	if err != nil {
		panic(err)
	}
	return u
}

func ref(s string) dedup.Ref {
	r, err := dedup.ParseRef(s)
	if err != nil {
		panic(err)
	}
	return r
}

// examples has every message, every field of it different from zero.
func examples() []Message {
	state := StudyState{uid("1.2.3"), dedup.Digest{1, 2, 31: 3}, dedup.Digest{8}, Complete | Conflict, 300, uid("1.2.4")}
	summary := Summary{"INCARNATION", Sum{9, 31: 8}, 2, 301, true, 1_790_000_000, true}
	bulk := ref("bulkdata/" + strings.Repeat("a", 3) + "/bb/" + strings.Repeat("c", 59) + ".raw")
	prefix := Prefix{3, 0xABC0 << 48}
	return []Message{
		&Hello{Minor, "1", summary},
		&Changed{summary, []StudyState{state}},
		&Claim{[]Claimed{{uid("1.2.3"), dedup.Digest{7}, 1 << 20, true}}},
		&Compare{[]Node{{prefix, Short{5}}}},
		&Compared{[]Below{{prefix, []Node{{Prefix{4, 0xABCD << 48}, Short{6}}}, []Item{}, false}, {prefix, []Node{}, []Item{{Key{1}, [8]byte{2}}}, true}}, true},
		&Describe{[]Key{{1, 11: 2}}},
		&Feed{"INCARNATION", 12, 100},
		&States{"INCARNATION", []StudyState{state}, 302, true},
		&Heads{uid("1.2.3"), &Buckets{1, 255: 2}, 16, 500},
		&HeadsOf{state, []Head{{ref("deduplicated/instances/1.2.3.4.gz"), dedup.Digest{4}, 900, true}, {ref("series/1/x.bin"), dedup.Digest{5}, 7, true}}, true, 48},
		&Fetch{uid("1.2.3"), 8 << 20, 4 << 20, true, []Want{{Ref: bulk}, {ref("deduplicated/instances/1.2.3.4.gz"), dedup.Digest{4}, 10, 20, true}}},
		&FileHeader{1, Here, bulk, 900, Zstd, 500, dedup.Digest{6, 31: 7}},
	}
}

// TestGolden holds the bytes of every message: what is on the wire between two releases changes only by additions.
func TestGolden(t *testing.T) {
	var got strings.Builder
	seen := map[Kind]bool{}
	for _, m := range examples() {
		got.WriteString(m.Kind().String() + "\t" + hex.EncodeToString(Append(nil, m)) + "\n")
		seen[m.Kind()] = true
	}
	for k := Kind(1); newMessage(k) != nil; k++ {
		if !seen[k] {
			t.Errorf("no example of %s", k)
		}
	}
	golden.Compare(t, "testdata/golden.txt", got.String())
}

func TestRoundTrip(t *testing.T) {
	for _, m := range examples() {
		frame := Append(nil, m)
		got, err := Read(bufio.NewReader(iotest.OneByteReader(bytes.NewReader(frame))), MaxFrame)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%s reads as %+v, %v", m.Kind(), got, err)
		}
	}
}

// TestCutShort holds that a frame without its end is an error of the neighbour's, and the end of the stream between frames is none.
func TestCutShort(t *testing.T) {
	for _, m := range examples() {
		frame := Append(nil, m)
		for n := range frame {
			_, err := Read(bufio.NewReader(bytes.NewReader(frame[:n])), MaxFrame)
			if n == 0 && err != io.EOF || n > 0 && !errors.Is(err, ErrFrame) {
				t.Errorf("%s cut at %d: %v", m.Kind(), n, err)
			}
		}
	}
	broken := errors.New("reset")
	if _, err := Read(bufio.NewReader(iotest.ErrReader(broken)), MaxFrame); !errors.Is(err, broken) || errors.Is(err, ErrFrame) {
		t.Errorf("an error of the stream becomes %v", err)
	}
}

// TestShortBody holds that every field is looked for: a body without its last byte is none, but where that byte is one that came with a later release.
func TestShortBody(t *testing.T) {
	for _, m := range examples() {
		var w writer
		m.append(&w)
		if came := sinceMinor1(m); came > 0 {
			got, err := Parse(m.Kind(), w.b[:len(w.b)-came])
			if err != nil || !reflect.DeepEqual(got, m) {
				t.Errorf("%s of minor version 0 reads as %+v, %v", m.Kind(), got, err)
			}
			w.b = w.b[:len(w.b)-came]
		}
		for n := range w.b {
			if _, err := Parse(m.Kind(), w.b[:n]); !errors.Is(err, ErrFrame) {
				t.Errorf("%s with %d of %d bytes: %v", m.Kind(), n, len(w.b), err)
			}
		}
	}
}

// sinceMinor1 is how many bytes at the end of a message's example came with minor version 1, and takes out of it what they say.
func sinceMinor1(m Message) int {
	switch m := m.(type) {
	case *Hello:
		m.Summary.Away = false
		return 1
	case *Changed:
		m.Summary.Away = false
		return 1
	case *FileHeader:
		m.Content = dedup.Digest{}
		return 1 + len(m.Content)
	}
	return 0
}

// TestNewer holds that additions of a newer release are let through: fields at the end, kinds, flags.
func TestNewer(t *testing.T) {
	for _, m := range examples() {
		var w writer
		m.append(&w)
		if got, err := Parse(m.Kind(), append(w.b, "what is to come"...)); err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%s with a field more: %+v, %v", m.Kind(), got, err)
		}
	}
	stream := append([]byte{0xFF, 0x01, 3, 1, 2, 3}, Append(nil, &Heads{Study: uid("1.2")})...)
	r := bufio.NewReader(bytes.NewReader(stream))
	if m, err := Read(r, MaxFrame); err != nil || m.Kind() != 255 {
		t.Fatalf("a kind of tomorrow: %v, %v", m, err)
	}
	if m, err := Read(r, MaxFrame); err != nil || m.Kind() != KindHeads {
		t.Errorf("after a kind of tomorrow: %v, %v", m, err)
	}
}

// TestHostile holds that names which must not become paths, places that are none and counts beyond what is there are refused, in little memory.
func TestHostile(t *testing.T) {
	want := func(path string) []byte {
		var w writer
		(&Fetch{Study: uid("1.2"), Files: []Want{{}}}).append(&w)
		head := w.b[:len(w.b)-36] // the empty Want
		w = writer{b: head}
		w.text(path)
		w.raw(make([]byte, 32+3))
		return w.b
	}
	if _, err := Parse(KindFetch, want("series/1/x.bin")); err != nil {
		t.Fatalf("the test's own way to write a name: %v", err)
	}
	long := strings.Repeat("a", 300)
	for _, path := range []string{"", "../x", "/etc/passwd", "a/../b", "a\x00b", long, "bulkdata/AAA/BB/" + strings.Repeat("C", 59) + ".raw", "series//x", "deduplicated/isntances/1.2.gz",
		"bulkdata/../x", ".dicomesh/site.json", "a\\b", strings.Repeat("a/", 600) + "a"} {
		if _, err := Parse(KindFetch, want(path)); !errors.Is(err, ErrFrame) || path != "" && strings.Contains(err.Error(), path) {
			t.Errorf("name %.40q: %v", path, err)
		}
	}
	for name, frame := range map[string][]byte{
		"a body beyond the limit":   {1, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F},
		"a length that overflows":   {1, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02},
		"a kind that overflows":     {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01},
		"a million claims":          {byte(KindClaim), 3, 0xC0, 0x84, 0x3D},
		"more nodes than bytes":     {byte(KindCompare), 2, 0xFF, 0x1F},
		"a prefix of 17 nibbles":    append([]byte{byte(KindCompare), 19, 1, 17, 0}, make([]byte, 16)...),
		"digits beyond the place":   append([]byte{byte(KindCompare), 19, 1, 1, 16}, make([]byte, 16)...),
		"a truth value that is 2":   append([]byte{byte(KindCompared), 2}, 2, 0),
		"an empty StudyInstanceUID": {byte(KindHeads), 1, 0},
	} {
		if _, err := Read(bufio.NewReader(bytes.NewReader(frame)), MaxFrame); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
	claim := append([]byte{byte(KindFetch), 0x80, 0x80, 0x40}, make([]byte, 100)...) // a megabyte that does not come
	used := testing.AllocsPerRun(1, func() { _, _ = Read(bufio.NewReader(bytes.NewReader(claim)), MaxFrame) })
	if used > 20 {
		t.Errorf("%v allocations for a body that does not come", used)
	}
}

// FuzzParse holds that whatever comes in is a message that prints and reads again as the same, or ErrFrame.
func FuzzParse(f *testing.F) {
	for _, m := range examples() {
		f.Add(Append(nil, m))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		m, err := Read(bufio.NewReader(bytes.NewReader(frame)), MaxFrame)
		if err != nil {
			if err != io.EOF && !errors.Is(err, ErrFrame) {
				t.Fatalf("%v", err)
			}
			return
		}
		if _, unknown := m.(*Unknown); unknown {
			return
		}
		again, err := Read(bufio.NewReader(bytes.NewReader(Append(nil, m))), MaxFrame)
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("%+v becomes %+v, %v", m, again, err)
		}
	})
}
