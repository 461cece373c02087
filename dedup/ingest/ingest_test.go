package ingest_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/export"
	"github.com/dicomesh/dicomesh/dedup/ingest"
	"github.com/dicomesh/dicomesh/dedup/part10"
	"github.com/dicomesh/dicomesh/dedup/phantom"
	"github.com/dicomesh/dicomesh/e2e/raced"
)

// file is a Part 10 file of a test.
type file struct {
	name string
	data []byte
}

// filed are the phantom's cases that have a place in an archive.
func filed(t testing.TB) []file {
	t.Helper()
	var out []file
	for _, c := range phantom.Cases() {
		id, err := part10.Identify(bytes.NewReader(c.Bytes()), int64(len(c.Bytes())))
		if err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		if id.Study != (dedup.UID{}) && id.Series != (dedup.UID{}) && id.SOP != (dedup.UID{}) {
			out = append(out, file{c.Name, c.Bytes()})
		}
	}
	if len(out) < 100 {
		t.Fatalf("only %d cases have a place in an archive", len(out))
	}
	return out
}

// add ingests files as one batch and returns the answers by name.
func add(fsys durable.FS, files ...file) (map[string]ingest.Result, error) {
	a, err := ingest.Open(fsys)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	b, err := a.OpenBatch()
	if err != nil {
		return nil, err
	}
	defer b.Discard()
	out := map[string]ingest.Result{}
	for _, f := range files {
		if r, done := b.Add(f.name, bytes.NewReader(f.data), int64(len(f.data))); done {
			out[f.name] = r
		}
	}
	for _, r := range b.Commit() {
		out[r.Path] = r
	}
	return out, nil
}

func mustAdd(t testing.TB, fsys durable.FS, files ...file) map[string]ingest.Result {
	t.Helper()
	out, err := add(fsys, files...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// study is the state of a study in a tree.
func study(fsys durable.FS, uid dedup.UID) (*dedup.State, export.Source, error) {
	folder, err := dedup.NewTree(fsys).Study(uid)
	if err != nil {
		return nil, export.Source{}, err
	}
	held, _, err := folder.Files()
	if err != nil {
		return nil, export.Source{}, err
	}
	var files []dedup.File
	for _, h := range held {
		if h.Ref.Class == dedup.List || h.Ref.Class == dedup.Instance {
			text, err := folder.Read(h, 1<<30)
			if err != nil {
				return nil, export.Source{}, fmt.Errorf("%s: %w", h.Path, err)
			}
			files = append(files, dedup.ParseFile(h.Ref, text))
		}
	}
	source := export.NewSource(fsys, folder)
	return dedup.Resolve(files, source), source, nil
}

// exported is every file that the tree gives back exactly, as text, and how often.
func exported(t testing.TB, fsys durable.FS) map[string]int {
	t.Helper()
	out := map[string]int{}
	studies, _, err := dedup.NewTree(fsys).Studies()
	if err != nil {
		t.Fatal(err)
	}
	for _, uid := range studies {
		state, source, err := study(fsys, uid)
		if err != nil {
			t.Fatal(err)
		}
		if len(state.Faults) > 0 {
			t.Errorf("faults: %v", state.Faults)
		}
		for _, i := range state.Instances {
			for _, r := range i.Records {
				rebuilt, err := part10.Rebuild(state.Merge(r), r.Dedup, source)
				if err != nil {
					t.Errorf("instance %s: %v", i.SOP, err)
					continue
				}
				var b bytes.Buffer
				if _, err := rebuilt.WriteTo(&b); err != nil || !rebuilt.Exact() {
					t.Errorf("instance %s: exact %v, %v", i.SOP, rebuilt.Exact(), err)
				}
				out[b.String()]++
			}
		}
	}
	return out
}

// contents is every archive file of a tree, decompressed.
func contents(t testing.TB, fsys durable.FS) map[string]string {
	t.Helper()
	out := map[string]string{}
	var walk func(dir string)
	walk = func(dir string) {
		entries, err := fsys.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			name := path.Join(dir, e.Name())
			if e.IsDir() {
				walk(name)
				continue
			}
			out[name] = string(content(t, fsys, name))
		}
	}
	walk("studies")
	return out
}

func content(t testing.TB, fsys durable.FS, name string) []byte {
	t.Helper()
	f, err := fsys.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := io.Reader(f)
	if strings.HasSuffix(name, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return b
}

func TestEveryCaseComesBack(t *testing.T) {
	for n, f := range filed(t) {
		if n%raced.Pick(t, 1, 5) > 0 {
			continue
		}
		fsys := crashfs.New()
		r := mustAdd(t, fsys, f)[f.name]
		if r.Status != ingest.Stored {
			t.Errorf("%s: %s: %s", f.name, r.Status, r.Reason)
			continue
		}
		if got := exported(t, fsys); len(got) != 1 || got[string(f.data)] != 1 {
			t.Errorf("%s: it did not come back", f.name)
		}
		before := contents(t, fsys)
		if r := mustAdd(t, fsys, f)[f.name]; r.Status != ingest.Duplicate || r.Encoding != "" {
			t.Errorf("%s: again: %s %s", f.name, r.Status, r.Encoding)
		}
		if after := contents(t, fsys); !equal(before, after) {
			t.Errorf("%s: the second time something was written", f.name)
		}
	}
}

func equal(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

func TestBadCasesLeaveNothing(t *testing.T) {
	fsys := crashfs.New()
	for _, c := range phantom.BadCases() {
		r := mustAdd(t, fsys, file{c.Name, c.Data})[c.Name]
		if r.Status != ingest.Refused || !errors.Is(r.Err, part10.ErrFormat) && !errors.Is(r.Err, ingest.ErrNoPlace) {
			t.Errorf("%s: %s: %s", c.Name, r.Status, r.Reason)
		}
		if (c.Name == "dicomdir") != strings.Contains(r.Reason, "DICOMDIR") {
			t.Errorf("%s: %s", c.Name, r.Reason)
		}
		if strings.Contains(r.Reason, "\n") || len(r.Reason) > 200 {
			t.Errorf("%s: not one line: %q", c.Name, r.Reason)
		}
	}
	if _, err := fsys.Lstat("studies"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("refused files left something in the tree: %v", err)
	}
	entries, err := fsys.ReadDir(".dicomesh/tmp/0")
	if err != nil || len(entries) > 0 {
		t.Errorf("%d staged files are left: %v", len(entries), err)
	}
}

func TestTwinsAndRivals(t *testing.T) {
	fsys := crashfs.New()
	var all []file
	for _, c := range phantom.Cases() {
		if c.Name != "same/original" && c.Twin != "same/original" && c.Rival != "same/original" {
			continue
		}
		f := file{c.Name, c.Bytes()}
		all = append(all, f)
		r := mustAdd(t, fsys, f)[c.Name]
		switch {
		case c.Twin == "" && c.Rival == "":
			if r.Status != ingest.Stored {
				t.Errorf("%s: %s", c.Name, r.Status)
			}
		case c.Twin != "":
			if r.Status != ingest.Duplicate || r.Encoding != "other" {
				t.Errorf("twin %s: %s %q %s", c.Name, r.Status, r.Encoding, r.Reason)
			}
		default:
			if r.Status != ingest.Conflict {
				t.Errorf("rival %s: %s", c.Name, r.Status)
			}
		}
	}
	got := exported(t, fsys)
	for _, f := range all {
		if got[string(f.data)] != 1 {
			t.Errorf("%s is given back %d times", f.name, got[string(f.data)])
		}
	}
	for _, f := range all {
		if r := mustAdd(t, fsys, f)[f.name]; r.Status != ingest.Duplicate || r.Encoding != "" {
			t.Errorf("%s again: %s %q", f.name, r.Status, r.Encoding)
		}
	}
}

// The order in which files come, and how they fall into batches, leaves no trace.
func TestOrderLeavesNoTrace(t *testing.T) {
	files := filed(t)
	first := crashfs.New()
	mustAdd(t, first, files...)
	want := contents(t, first)
	for seed := range uint64(raced.Pick(t, 3, 1)) {
		rng := rand.New(rand.NewPCG(seed, 1))
		rng.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
		fsys := crashfs.New()
		for rest := files; len(rest) > 0; {
			n := min(len(rest), 1+rng.IntN(40))
			mustAdd(t, fsys, rest[:n]...)
			rest = rest[n:]
		}
		got := contents(t, fsys)
		for name := range got {
			if got[name] != want[name] {
				t.Errorf("seed %d: %s differs", seed, name)
			}
		}
		if len(got) != len(want) {
			t.Errorf("seed %d: %d files, want %d", seed, len(got), len(want))
		}
	}
}

// A list that deletes or replaces counts, also for what comes later and in another encoding.
func TestDeletedStaysDeleted(t *testing.T) {
	fsys := crashfs.New()
	original, twin, rival := pick(t, "same/original"), pick(t, "same/rle"), pick(t, "same/other-value")
	r := mustAdd(t, fsys, original)[original.name]
	state, _, err := study(fsys, r.Study)
	if err != nil {
		t.Fatal(err)
	}
	record := state.Instances[0].Records[0]
	gone, _, err := dedup.Seal(dedup.Object{mustFind(t, record.Object, 0x00080018)},
		dedup.Dedup{Type: dedup.TypeInstance, Delete: true, Replace: []dedup.Hash{record.Dedup.Hash, record.Dedup.Content}})
	if err != nil {
		t.Fatal(err)
	}
	name, text := dedup.ComposeList(dedup.Dedup{}, nil, []dedup.Object{gone})
	list := dedup.Ref{Class: dedup.List, Name: name.String()}.In(r.Study)
	if err := durable.WriteFile(fsys, list, dedup.Compress(nil, text)); err != nil {
		t.Fatal(err)
	}
	before := contents(t, fsys)
	for _, f := range []file{original, twin} {
		if r := mustAdd(t, fsys, f)[f.name]; r.Status != ingest.Duplicate || !strings.Contains(r.Reason, "deleted") {
			t.Errorf("%s: %s %q", f.name, r.Status, r.Reason)
		}
	}
	if !equal(before, contents(t, fsys)) {
		t.Error("a deleted instance that was sent again left something")
	}
	if got := exported(t, fsys); len(got) != 0 {
		t.Errorf("%d files are given back", len(got))
	}
	if r := mustAdd(t, fsys, rival)[rival.name]; r.Status != ingest.Conflict {
		t.Errorf("another content of a deleted instance: %s %q", r.Status, r.Reason)
	}
}

func mustFind(t testing.TB, o dedup.Object, tag dedup.Tag) dedup.Element {
	t.Helper()
	e, ok := o.Find(tag)
	if !ok {
		t.Fatalf("no %s", tag)
	}
	return e
}

func pick(t testing.TB, name string) file {
	t.Helper()
	i := slices.IndexFunc(phantom.Cases(), func(c phantom.Case) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("no case %s", name)
	}
	return file{name, phantom.Cases()[i].Bytes()}
}

// What a damaged archive cannot give back is stored again from the file at hand, and the damaged file is kept aside.
func TestResendMends(t *testing.T) {
	f := pick(t, "same/original")
	whole := crashfs.New()
	mustAdd(t, whole, f)
	want := contents(t, whole)
	for name := range want {
		for _, damage := range []string{"gone", "flipped", "empty"} {
			fsys := crashfs.New()
			mustAdd(t, fsys, f)
			spoil(t, fsys, name, damage)
			r := mustAdd(t, fsys, f)[f.name]
			if r.Status != ingest.Stored && r.Status != ingest.Duplicate {
				t.Errorf("%s %s: %s %s", name, damage, r.Status, r.Reason)
			}
			if got := contents(t, fsys); !equal(got, want) {
				t.Errorf("%s %s: not mended", name, damage)
			}
		}
	}
}

// spoil damages a file of the tree.
func spoil(t testing.TB, fsys durable.FS, name, how string) {
	t.Helper()
	f, err := fsys.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	if err := fsys.Remove(name); err != nil {
		t.Fatal(err)
	}
	switch how {
	case "gone":
		return
	case "empty":
		b = nil
	case "flipped":
		b[len(b)/2] ^= 0xFF
	}
	if err := durable.WriteFile(fsys, name, b); err != nil {
		t.Fatal(err)
	}
}
