package staticwado

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/export"
	"github.com/dicomesh/dicomesh/dedup/part10"
)

// outcome is what an import said.
type outcome struct {
	Summary
	results  []Result
	findings []dedup.Finding
	recorded []dedup.Held
}

func (o outcome) String() string {
	s := fmt.Sprintf("%v, %d written, %d derived", o.Instances, o.Files, o.Derived)
	for _, r := range o.results {
		if r.Reason != "" {
			s += fmt.Sprintf("\n  %s %s: %s", r.Status, r.SOP, r.Reason)
		}
	}
	for _, f := range o.findings {
		s += fmt.Sprintf("\n  %s: %s", f.Path, f.Reason)
	}
	return s
}

// imported runs an import that must not fail.
func imported(t testing.TB, tree durable.FS, source durable.Reader) outcome {
	t.Helper()
	o, err := run1(t, tree, source, Config{})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func run1(t testing.TB, tree durable.FS, source durable.Reader, c Config) (o outcome, err error) {
	c.Report = func(r Result) { o.results = append(o.results, r) }
	c.Skip = func(f dedup.Finding) { o.findings = append(o.findings, f) }
	c.Record = func(_ dedup.UID, held []dedup.Held) error {
		o.recorded = append(o.recorded, held...)
		return nil
	}
	o.Summary, err = Import(t.Context(), tree, source, c)
	return o, err
}

// counts is the number of instances of some statuses, in the order of their declaration.
func (o outcome) counts() string {
	return fmt.Sprintf("%d imported, %d present, %d deleted, %d conflict, %d incomplete, %d failed", o.Instances[Imported], o.Instances[Present],
		o.Instances[Deleted], o.Instances[Conflict], o.Instances[Incomplete], o.Instances[Failed])
}

// openSource opens a folder of this machine that is only read.
func openSource(t testing.TB, dir string) durable.Reader {
	t.Helper()
	o, err := durable.OpenOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
	return struct{ durable.Reader }{o}
}

// resolved is a study as a tree has it.
func resolved(t testing.TB, fsys durable.Reader, u dedup.UID) (*dedup.State, export.Source) {
	t.Helper()
	folder, err := dedup.NewTree(fsys).Study(u)
	if err != nil {
		t.Fatal(err)
	}
	held, _, err := folder.Files()
	if err != nil {
		t.Fatal(err)
	}
	var files []dedup.File
	for _, h := range held {
		if h.Ref.Class != dedup.List && h.Ref.Class != dedup.Instance {
			continue
		}
		text, err := folder.Read(h, maxHead)
		if err == nil {
			files = append(files, dedup.ParseFile(h.Ref, text))
		}
	}
	bulk := export.NewSource(fsys, folder)
	return dedup.Resolve(files, bulk), bulk
}

func studies(t testing.TB, fsys durable.Reader) []dedup.UID {
	t.Helper()
	uids, _, err := dedup.NewTree(fsys).Studies()
	if err != nil {
		t.Fatal(err)
	}
	return uids
}

// shown is what a study shows: each instance, whether it lives, and whether it is in conflict.
func shown(s *dedup.State) string {
	var lines []string
	for _, i := range s.Instances {
		lines = append(lines, fmt.Sprintf("%s %s deleted %v conflict %v", i.SOP, i.Series, i.Deleted, i.Conflict))
	}
	return strings.Join(lines, "\n")
}

// checkSame checks that the tree shows what the source shows, and that all live instances have records of ours unless the import said otherwise.
func checkSame(t testing.TB, tree, source durable.Reader, o outcome) {
	t.Helper()
	said := make(map[dedup.UID]Status)
	for _, r := range o.results {
		said[r.SOP] = r.Status
	}
	for _, u := range studies(t, source) {
		theirs, _ := resolved(t, source, u)
		ours, _ := resolved(t, tree, u)
		if a, b := shown(theirs), shown(ours); a != b {
			t.Errorf("study %s shows\n%s\nthe source\n%s", u, b, a)
		}
		for _, i := range ours.Instances {
			for _, r := range i.Records {
				if own, undone := r.Dedup.Version != "", said[i.SOP] == Incomplete || said[i.SOP] == Failed; own == undone {
					t.Errorf("%s is said to be %s, its record has version %q", i.SOP, said[i.SOP], r.Dedup.Version)
				}
			}
		}
	}
}

// contents are all files of a tree but for its staging, decompressed.
func contents(t testing.TB, fsys durable.Reader) map[string]string {
	t.Helper()
	out := make(map[string]string)
	var walk func(dir string)
	walk = func(dir string) {
		entries, err := fsys.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			switch p := path.Join(dir, e.Name()); {
			case p == ".dicomesh":
			case e.IsDir():
				walk(p)
			default:
				out[p] = string(readFile(t, fsys, p))
			}
		}
	}
	walk(".")
	return out
}

func readFile(t testing.TB, fsys durable.Reader, name string) []byte {
	t.Helper()
	f, err := fsys.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(name, ".gz") {
		return gunzip(t, data)
	}
	return data
}

// sameTree compares two trees by their contents.
func sameTree(t testing.TB, a, b durable.Reader) {
	t.Helper()
	x, y := contents(t, a), contents(t, b)
	for name, text := range x {
		if other, has := y[name]; !has || other != text {
			t.Errorf("%s: there: %v, equal: %v", name, has, other == text)
		}
	}
	for name := range y {
		if _, has := x[name]; !has {
			t.Errorf("%s is only in the second", name)
		}
	}
}

// exported is the Part 10 file of a live record.
func exported(t testing.TB, s *dedup.State, bulk export.Source, r dedup.Record) []byte {
	t.Helper()
	rebuilt, err := part10.Rebuild(s.Merge(r), r.Dedup, bulk)
	if err != nil {
		t.Fatalf("%s: %v", r.SOP, err)
	}
	var out bytes.Buffer
	if _, err := rebuilt.WriteTo(&out); err != nil {
		t.Fatalf("%s: %v", r.SOP, err)
	}
	return out.Bytes()
}

// memory is a part10.Store.
type memory struct {
	values  map[dedup.Ref][]byte
	objects map[dedup.Hash]dedup.Object
}

type memoryValue struct {
	bytes.Buffer
	m *memory
}

func (m *memory) Create() (part10.Value, error) { return &memoryValue{m: m}, nil }
func (m *memory) Put(h dedup.Hash, o dedup.Object) error {
	m.objects[h] = o
	return nil
}
func (v *memoryValue) Keep(ref dedup.Ref) error {
	v.m.values[ref] = v.Bytes()
	return nil
}
func (v *memoryValue) Drop() {}

func (m *memory) Object(h dedup.Hash) (dedup.Object, error) {
	if o, ok := m.objects[h]; ok {
		return o, nil
	}
	return nil, fs.ErrNotExist
}

type memoryBulk struct{ *bytes.Reader }

func (memoryBulk) Close() error           { return nil }
func (b memoryBulk) Size() (int64, error) { return b.Reader.Size(), nil }

func (m *memory) Bulk(ref dedup.Ref) (part10.Bulk, error) {
	if b, ok := m.values[ref]; ok {
		return memoryBulk{bytes.NewReader(b)}, nil
	}
	return nil, fs.ErrNotExist
}

// takenApart is a Part 10 file as ingest sees it: the record with its extracts, and their content.
func takenApart(t testing.TB, file []byte) (dedup.Object, *part10.Parts) {
	t.Helper()
	m := &memory{map[dedup.Ref][]byte{}, map[dedup.Hash]dedup.Object{}}
	parts, err := part10.Take(bytes.NewReader(file), int64(len(file)), m)
	if err != nil {
		t.Fatal(err)
	}
	content, d := dedup.Split(parts.Record)
	merged, err := complete(content, d.Refs, m)
	if err != nil {
		t.Fatal(err)
	}
	return merged, parts
}

func raw(t testing.TB, fsys durable.Reader, name string) []byte {
	t.Helper()
	f, err := fsys.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// put writes a file, or writes it anew.
func put(t testing.TB, to *crashfs.FS, name string, data []byte) {
	t.Helper()
	if err := durable.MkdirAll(to, path.Dir(name)); err != nil {
		t.Fatal(err)
	}
	if _, err := to.Lstat(name); err == nil {
		if err := to.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := durable.WriteFile(to, name, data); err != nil {
		t.Fatal(err)
	}
}

func sortedKeys(m map[string]string) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
