package part10

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
)

// memory is a Store in memory that holds its caller to the contract: each value is kept or dropped, once, and what is opened is closed.
// Like the real one it refuses bulkdata whose name is not the hash of its bytes, but for frames that are named by their pixels.
type memory struct {
	files   map[dedup.Ref][]byte
	objects map[dedup.Hash]dedup.Object
	open    int // values neither kept nor dropped, bulkdata not closed
	// fail, if set, is asked before each operation.
	fail func() error
}

func newMemory() *memory {
	return &memory{files: map[dedup.Ref][]byte{}, objects: map[dedup.Hash]dedup.Object{}}
}

func (m *memory) may() error {
	if m.fail == nil {
		return nil
	}
	return m.fail()
}

type memoryValue struct {
	data []byte
	m    *memory
	done bool
}

func (m *memory) Create() (Value, error) {
	if err := m.may(); err != nil {
		return nil, err
	}
	m.open++
	return &memoryValue{m: m}, nil
}

func (v *memoryValue) Write(b []byte) (int, error) {
	if err := v.m.may(); err != nil {
		return 0, err
	}
	v.data = append(v.data, b...)
	return len(b), nil
}

func (v *memoryValue) end() {
	if v.done {
		panic("a value that is kept or dropped twice")
	}
	v.done = true
	v.m.open--
}

func (v *memoryValue) Keep(ref dedup.Ref) error {
	v.end()
	if err := v.m.may(); err != nil {
		return err
	}
	if ref.Stream == "" && !strings.HasSuffix(ref.Ext, ".gz") && ref.Name != sumOf(v.data) {
		return errors.New("a name that is not the hash")
	}
	if before, ok := v.m.files[ref]; ok && !bytes.Equal(before, v.data) {
		return errors.New("one name for different bytes")
	}
	v.m.files[ref] = v.data
	return nil
}

func (v *memoryValue) Drop() { v.end() }

func sumOf(b []byte) string { return dedup.HashOf(sha256.Sum256(b)).String() }

func (m *memory) Put(h dedup.Hash, o dedup.Object) error {
	if err := m.may(); err != nil {
		return err
	}
	m.objects[h] = o
	return nil
}

// Object is the object without its private block, as Source has it; encoding objects need theirs.
func (m *memory) Object(h dedup.Hash) (dedup.Object, error) {
	if err := m.may(); err != nil {
		return nil, err
	}
	o, ok := m.objects[h]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return o, nil
}

type memoryBulk struct {
	*bytes.Reader
	m *memory
}

func (b memoryBulk) Size() (int64, error) { return b.Reader.Size(), b.m.may() }

func (b memoryBulk) ReadAt(p []byte, at int64) (int, error) {
	if err := b.m.may(); err != nil {
		return 0, err
	}
	return b.Reader.ReadAt(p, at)
}

func (b memoryBulk) Close() error {
	b.m.open--
	return nil
}

func (m *memory) Bulk(ref dedup.Ref) (Bulk, error) {
	if err := m.may(); err != nil {
		return nil, err
	}
	b, ok := m.files[ref]
	if !ok {
		return nil, fmt.Errorf("%v: %w", ref, fs.ErrNotExist)
	}
	m.open++
	return memoryBulk{bytes.NewReader(b), m}, nil
}

// merged is a record with its extracts, and the record's block.
func (m *memory) merged(p *Parts) (dedup.Object, dedup.Dedup) {
	record, d := dedup.Split(p.Record)
	out := make(map[dedup.Tag]dedup.Element)
	for _, h := range d.Refs {
		o, _ := dedup.Split(m.objects[h])
		for _, e := range o {
			out[e.Tag] = e
		}
	}
	for _, e := range record {
		out[e.Tag] = e
	}
	return inOrder(out), d
}

func inOrder(elements map[dedup.Tag]dedup.Element) dedup.Object {
	o := make(dedup.Object, 0, len(elements))
	for _, e := range elements {
		o = append(o, e)
	}
	slices.SortFunc(o, func(a, b dedup.Element) int { return cmp.Compare(a.Tag, b.Tag) })
	return o
}

// withoutResidues forgets all residues, and what only they refer to.
func (m *memory) withoutResidues() {
	for ref := range m.files {
		if strings.HasPrefix(ref.Ext, residueExt) {
			delete(m.files, ref)
		}
	}
}

// taken is Take on a file in memory, which must succeed and leave nothing open.
func taken(t testing.TB, file []byte) (*Parts, *memory) {
	t.Helper()
	m := newMemory()
	p, err := Take(bytes.NewReader(file), int64(len(file)), m)
	if err != nil {
		t.Fatalf("Take: %v", err)
	}
	if m.open != 0 {
		t.Errorf("Take left %d open", m.open)
	}
	return p, m
}

// rebuiltFile is the file that comes back.
func rebuiltFile(t testing.TB, p *Parts, m *memory) []byte {
	t.Helper()
	object, d := m.merged(p)
	r, err := Rebuild(object, d, m)
	if err != nil {
		t.Fatalf("Rebuild: %v", err)
	}
	return written(t, r, m)
}

func written(t testing.TB, r *Rebuilt, m *memory) []byte {
	t.Helper()
	var out bytes.Buffer
	n, err := r.WriteTo(&out)
	if err != nil || n != int64(out.Len()) {
		t.Fatalf("WriteTo: %d of %d bytes, %v", n, out.Len(), err)
	}
	if r.Size() >= 0 && r.Size() != n {
		t.Errorf("Size is %d, %d bytes were written", r.Size(), n)
	}
	if m.open != 0 {
		t.Errorf("Rebuild left %d open", m.open)
	}
	return out.Bytes()
}

// thereAndBack is Take and Rebuild, which must give the same bytes.
func thereAndBack(t testing.TB, file []byte) (*Parts, *memory) {
	t.Helper()
	p, m := taken(t, file)
	if p.Size != int64(len(file)) {
		t.Errorf("Size is %d, the file has %d", p.Size, len(file))
	}
	if back := rebuiltFile(t, p, m); !bytes.Equal(back, file) {
		t.Errorf("rebuilt %d bytes, the file had %d; they differ at byte %d", len(back), len(file), firstDifference(back, file))
	}
	return p, m
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}
