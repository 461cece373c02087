package part10

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/dicomesh/dicomesh/dedup/phantom"
	"github.com/dicomesh/dicomesh/e2e/raced"
)

// outcome is everything that Take tells and keeps of a file.
func outcome(p *Parts, m *memory, err error) string {
	if err != nil {
		return fmt.Sprintf("%v, %d left open", err, m.open)
	}
	var objects []string
	for h, o := range m.objects {
		objects = append(objects, h.String()+string(o.AppendJSON(nil)))
	}
	slices.Sort(objects)
	var files []string
	for ref, data := range m.files {
		files = append(files, ref.String()+sumOf(data))
	}
	slices.Sort(files)
	return fmt.Sprintf("%v %v %v %s %v %v %x %d %d %q %d open %q %q", p.Study, p.Series, p.SOP, p.Record.AppendJSON(nil), p.Hash, p.Content, p.Digest, p.Size,
		p.Residue, p.Remarks, m.open, objects, files)
}

// takenTwice takes a file through a reader, and out of memory with a scratch that was used before, which must be the same in all that can be told, and
// proves the second. It returns what the second made.
func takenTwice(t testing.TB, s *Scratch, name string, file []byte) *Parts {
	t.Helper()
	m := newMemory()
	p, err := Take(bytes.NewReader(file), int64(len(file)), m)
	id, err2 := Identify(bytes.NewReader(file), int64(len(file)))
	loaded := newMemory()
	id2, err3 := s.Identify(Loaded(file), int64(len(file)))
	q, err4 := s.Take(Loaded(file), int64(len(file)), loaded)
	if one, other := outcome(p, m, err), outcome(q, loaded, err4); one != other {
		t.Fatalf("%s: through a reader\n%s\nout of memory\n%s", name, one, other)
	}
	if id != id2 || (err2 == nil) != (err3 == nil) {
		t.Errorf("%s: identified as %v (%v) through a reader, as %v (%v) out of memory", name, id, err2, id2, err3)
	}
	if err != nil {
		return nil
	}
	object, d := loaded.merged(q)
	r, err := q.Rebuild(object, d, loaded)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if err := r.Compare(Loaded(file), int64(len(file)), nil); err != nil || loaded.open != 0 {
		t.Fatalf("%s: %v, %d left open", name, err, loaded.open)
	}
	return q
}

// TestLoaded takes sound files, bad ones and what is left of some when they are cut, with one scratch for all. What Take returned is still the same in the end.
func TestLoaded(t *testing.T) {
	var s Scratch
	records := map[*Parts]string{}
	keep := func(p *Parts) {
		if p != nil {
			records[p] = string(p.Record.AppendJSON(nil))
		}
	}
	for i, c := range phantom.Cases() {
		if raced.On(t) && i%10 != 0 {
			continue
		}
		file := c.Bytes()
		keep(takenTwice(t, &s, c.Name, file))
		for at := i % 97; at < len(file) && len(file) < 20_000; at += 97 {
			keep(takenTwice(t, &s, fmt.Sprintf("%s cut at %d", c.Name, at), file[:at]))
		}
	}
	for _, c := range phantom.BadCases() {
		keep(takenTwice(t, &s, c.Name, c.Data))
	}
	for p, was := range maps.All(records) {
		if is := string(p.Record.AppendJSON(nil)); is != was {
			t.Fatalf("a later Take changed a record from\n%s\nto\n%s", was, is)
		}
	}
	if len(records) < 20 {
		t.Errorf("only %d files were taken", len(records))
	}
}

// TestLoadedCorpus is TestLoaded for real files.
func TestLoadedCorpus(t *testing.T) {
	var s Scratch
	for _, f := range corpus(t) {
		takenTwice(t, &s, f.name, f.data)
	}
}

// TestLoadedOfOtherSize holds that a file in memory that is not as long as it is said to be is refused, not read as far as it goes.
func TestLoadedOfOtherSize(t *testing.T) {
	file := in(t, "1.2.840.10008.1.2.1", phantom.Text(0x00100010, "PN", "Doe"))
	for _, size := range []int{len(file) - 10, len(file) - 1, len(file) + 1, len(file) + 10} {
		if _, err := Take(Loaded(file), int64(size), newMemory()); !errors.Is(err, ErrFormat) {
			t.Errorf("%d bytes taken for %d: %v", len(file), size, err)
		}
	}
}

// TestLoadedCompare finds each difference, and each length that is not the file's.
func TestLoadedCompare(t *testing.T) {
	file := in(t, "1.2.840.10008.1.2.2", append(imageElements(1, 2), phantom.Raw(0x7FE00010, "OW", bytes.Repeat([]byte("pixels"), 3000)))...)
	p, m := taken(t, file)
	object, d := m.merged(p)
	r, err := Rebuild(object, d, m)
	if err != nil {
		t.Fatal(err)
	}
	compare := func(file []byte) error { return r.Compare(Loaded(file), int64(len(file)), nil) }
	if err := compare(file); err != nil {
		t.Error(err)
	}
	for at := 0; at < len(file); at += 7 {
		file[at] ^= 1
		if err := compare(file); !errors.Is(err, ErrDiffers) {
			t.Fatalf("byte %d: %v", at, err)
		}
		file[at] ^= 1
	}
	for _, other := range [][]byte{nil, file[:len(file)-1], append(bytes.Clone(file), 0)} {
		if err := compare(other); !errors.Is(err, ErrDiffers) {
			t.Errorf("%d bytes: %v", len(other), err)
		}
	}
	for _, cut := range []Loaded{nil, file[:100]} {
		if err := r.Compare(cut, int64(len(file)), nil); !errors.Is(err, ErrDiffers) {
			t.Errorf("cut: %v", err)
		}
	}
}
