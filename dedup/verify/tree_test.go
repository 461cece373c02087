package verify_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/dedup/ingest"
	"github.com/dicomesh/dicomesh/dedup/phantom"
	"github.com/dicomesh/dicomesh/dedup/verify"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tree is an archive in a folder of the test's.
type tree struct {
	t   testing.TB
	dir string
	fs  *durable.OS
}

func newTree(t testing.TB) tree {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tree")
	must(t, os.Mkdir(dir, 0o755))
	fsys, err := durable.OpenOS(dir)
	must(t, err)
	t.Cleanup(func() { fsys.Close() })
	return tree{t, dir, fsys}
}

// ingest puts phantom's cases into the tree, by name or by group.
func (a tree) ingest(names ...string) {
	a.t.Helper()
	archive, err := ingest.Open(a.fs)
	must(a.t, err)
	defer archive.Close()
	b, err := archive.OpenBatch()
	must(a.t, err)
	defer b.Discard()
	for _, c := range phantom.Cases() {
		group, _, _ := strings.Cut(c.Name, "/")
		if slices.Contains(names, group) || slices.Contains(names, c.Name) {
			data := c.Bytes()
			b.Add(c.Name, bytes.NewReader(data), int64(len(data)))
		}
	}
	for _, r := range b.Commit() {
		if r.Status == ingest.Refused {
			a.t.Fatal(r.Reason)
		}
	}
}

// combine adds a list of all instance files of each study, as combining does, and leaves the instance files.
func (a tree) combine() {
	a.t.Helper()
	studies, _, err := dedup.NewTree(a.fs).Studies()
	must(a.t, err)
	for _, uid := range studies {
		var records []dedup.Object
		for _, h := range a.files(uid) {
			if h.Ref.Class == dedup.Instance {
				folder, err := dedup.NewTree(a.fs).Study(uid)
				must(a.t, err)
				text, err := folder.Read(h, 1<<30)
				must(a.t, err)
				objects, err := dedup.ParseList(text)
				must(a.t, err)
				records = append(records, objects...)
			}
		}
		name, content := dedup.ComposeList(dedup.Dedup{}, nil, records)
		a.write(dedup.Ref{Class: dedup.List, Name: name.String()}.In(uid), dedup.Compress(nil, content))
	}
}

func (a tree) files(uid dedup.UID) []dedup.Held {
	a.t.Helper()
	folder, err := dedup.NewTree(a.fs).Study(uid)
	must(a.t, err)
	held, _, err := folder.Files()
	must(a.t, err)
	return held
}

func (a tree) studies() []dedup.UID {
	a.t.Helper()
	studies, _, err := dedup.NewTree(a.fs).Studies()
	must(a.t, err)
	return studies
}

// study verifies the study that a file belongs to.
func (a tree) study(t testing.TB, h dedup.Held, c verify.Config) (faults, others []verify.Finding) {
	t.Helper()
	c.Tree = a.fs
	for _, uid := range a.studies() {
		if !strings.Contains(h.Path, "/"+uid.String()+"/") {
			continue
		}
		_, err := verify.New(c).Study(t.Context(), uid, func(f verify.Finding) {
			if f.Kind.Fault() {
				faults = append(faults, f)
			} else {
				others = append(others, f)
			}
		})
		must(t, err)
	}
	return faults, others
}

// all is every archive file of the tree, in the order of studies and files.
func (a tree) all() (held []dedup.Held) {
	a.t.Helper()
	for _, uid := range a.studies() {
		held = append(held, a.files(uid)...)
	}
	return held
}

func (a tree) path(name string) string { return filepath.Join(a.dir, filepath.FromSlash(name)) }

func (a tree) read(name string) []byte {
	a.t.Helper()
	data, err := os.ReadFile(a.path(name))
	must(a.t, err)
	return data
}

// write makes or replaces a file.
func (a tree) write(name string, data []byte) {
	a.t.Helper()
	must(a.t, os.MkdirAll(filepath.Dir(a.path(name)), 0o755))
	_ = os.Remove(a.path(name))
	must(a.t, os.WriteFile(a.path(name), data, 0o644))
}

// copyFrom lays the files of a folder into the tree.
func (a tree) copyFrom(dir string) {
	a.t.Helper()
	must(a.t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		must(a.t, err)
		data, err := os.ReadFile(p)
		must(a.t, err)
		a.write(filepath.ToSlash(rel), data)
		return nil
	}))
}

// state is an empty state folder.
func (a tree) state() *index.Index {
	a.t.Helper()
	x, err := index.Open(a.t.Context(), filepath.Join(a.t.TempDir(), "state"))
	must(a.t, err)
	a.t.Cleanup(func() { x.Close() })
	return x
}

// recorded is a state folder that knows the tree as it is now: index and digest log.
func (a tree) recorded() *index.Index {
	a.t.Helper()
	x := a.state()
	a.verify(verify.Config{Deep: true, Index: x, Record: verify.Keep{Index: x}})
	return x
}

// verify runs over the tree and returns the findings that are faults, those that are not, and the counts.
func (a tree) verify(c verify.Config) (faults, others []verify.Finding, s verify.Summary) {
	a.t.Helper()
	c.Tree = a.fs
	s, err := verify.New(c).Run(a.t.Context(), func(f verify.Finding) {
		if f.Kind.Fault() {
			faults = append(faults, f)
		} else {
			others = append(others, f)
		}
	})
	must(a.t, err)
	return faults, others, s
}

// lines are findings as text.
func lines(findings []verify.Finding) string {
	var b strings.Builder
	for _, f := range findings {
		b.WriteString(f.String() + "\n")
	}
	return b.String()
}
