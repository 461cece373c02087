package combine

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/ingest"
)

// theStudy is the study of the tests in memory.
const theStudy = "1.2.3"

func uid(text string) dedup.UID {
	u, err := dedup.ParseUID(text)
	if err != nil {
		panic(err)
	}
	return u
}

// hashOf is some hash: of a text.
func hashOf(text string) dedup.Hash { return dedup.HashOf(sha256.Sum256([]byte(text))) }

// object is an object of text values, given as tags and values in ascending order.
func object(pairs ...string) dedup.Object {
	var parts []string
	for i := 0; i < len(pairs); i += 2 {
		value, _ := json.Marshal(pairs[i+1])
		parts = append(parts, fmt.Sprintf(`%q:{"Value":[%s],"vr":"LO"}`, pairs[i], value))
	}
	o, err := dedup.ParseObject([]byte("{" + strings.Join(parts, ",") + "}"))
	if err != nil {
		panic(err)
	}
	return o
}

// record is a sealed record of an instance, with something in it that tells it from others.
func record(sop, value string, d dedup.Dedup) (dedup.Object, dedup.Hash) {
	d.Type = dedup.TypeInstance
	if d.Content.IsZero() && !d.Delete {
		d.Content = hashOf(sop + value)
	}
	return seal(object("00080018", sop, "0020000E", "1.2.3.9", "00204000", value), d)
}

func seal(content dedup.Object, d dedup.Dedup) (dedup.Object, dedup.Hash) {
	o, h, err := dedup.Seal(content, d)
	if err != nil {
		panic(err)
	}
	return o, h
}

// foreign is a record as static-wado writes it: without a version, named by a hash that nobody here can check.
func foreign(sop, value string, kind dedup.Type) (dedup.Object, dedup.Hash) {
	h := hashOf("foreign" + sop + value)
	return object("00080018", sop, "00090010", "dedupped", "00091011", h.String(), "00091012", string(kind), "0020000E", "1.2.3.9", "00204000", value), h
}

func instanceFile(o dedup.Object) dedup.File {
	return dedup.ParseFile(dedup.Ref{Class: dedup.Instance, Name: o.Text(0x00080018)}, text(o))
}

func text(objects ...dedup.Object) []byte {
	out := []byte{'['}
	for i, o := range objects {
		if i > 0 {
			out = append(out, ',')
		}
		out = o.AppendJSON(out)
	}
	return append(out, ']')
}

func listFile(info dedup.Dedup, extracts []dedup.Object, records ...dedup.Object) dedup.File {
	name, content := dedup.ComposeList(info, extracts, records)
	return dedup.ParseFile(dedup.Ref{Class: dedup.List, Name: name.String()}, content)
}

// foreignList is a list under a name that says nothing of its content.
func foreignList(name string, refs []dedup.Hash, records ...dedup.Object) dedup.File {
	h := hashOf(name)
	info := fmt.Sprintf(`{"00090010":{"vr":"CS","Value":["dedupped"]},"00091011":{"vr":"LO","Value":[%q]},"00091012":{"vr":"LO","Value":["info"]}`, h)
	if len(refs) > 0 {
		names, _ := json.Marshal(refs2text(refs))
		info += `,"00091010":{"vr":"LO","Value":` + string(names) + `}`
	}
	o, err := dedup.ParseObject([]byte(info + "}"))
	if err != nil {
		panic(err)
	}
	return dedup.ParseFile(dedup.Ref{Class: dedup.List, Name: h.String()}, text(append([]dedup.Object{o}, records...)...))
}

func refs2text(refs []dedup.Hash) (out []string) {
	for _, h := range refs {
		out = append(out, h.String())
	}
	return out
}

// noBulk is a study without bulkdata.
type noBulk struct{}

func (noBulk) Object(dedup.Hash) (dedup.Object, error) { return nil, fs.ErrNotExist }
func (noBulk) Has(dedup.Ref) bool                      { return false }

// content is a file's content again.
func content(f dedup.File) []byte { return text(f.Objects()...) }

// put stores lists and instance files of theStudy durably, as an ingest would; a file whose name is taken by other content becomes a variant.
func put(fsys durable.FS, files ...dedup.File) error {
	staging, err := durable.OpenStaging(fsys, stagingFolder)
	if err != nil {
		return err
	}
	defer staging.Close()
	batch, err := staging.OpenBatch()
	if err != nil {
		return err
	}
	defer batch.Discard()
	for _, f := range files {
		temp, err := batch.Create()
		if err != nil {
			return err
		}
		if _, err := temp.Write(dedup.Compress(nil, content(f))); err != nil {
			return err
		}
		if err := batch.Place(temp, f.ID.Ref.In(uid(theStudy)), int(f.ID.Ref.Class)); err != nil {
			return err
		}
	}
	if err := batch.Commit(ingest.Taken(fsys)); err != nil {
		return err
	}
	for _, f := range files {
		beside := f.ID.Ref
		beside.Variant = f.ID.Digest.String()
		if _, err := fsys.Lstat(beside.In(uid(theStudy))); err != nil {
			continue
		}
		if err := ingest.Arrange(fsys, uid(theStudy), f.ID.Ref); err != nil {
			return err
		}
	}
	return nil
}

// putBulk stores a value, and returns the hash that names it.
func putBulk(fsys durable.FS, value string) (dedup.Ref, error) {
	ref := dedup.Ref{Class: dedup.Bulkdata, Name: hashOf(value).String(), Ext: ".raw"}
	name := ref.In(uid(theStudy))
	if _, err := fsys.Lstat(name); err == nil {
		return ref, nil
	}
	staging, err := durable.OpenStaging(fsys, stagingFolder)
	if err != nil {
		return ref, err
	}
	defer staging.Close()
	batch, err := staging.OpenBatch()
	if err != nil {
		return ref, err
	}
	defer batch.Discard()
	temp, err := batch.Create()
	if err != nil {
		return ref, err
	}
	if _, err := temp.Write([]byte(value)); err != nil {
		return ref, err
	}
	if err := batch.Place(temp, name, int(dedup.Bulkdata)); err != nil {
		return ref, err
	}
	return ref, batch.Commit(nil)
}

// clockAt is a machine's clock for tests.
type clockAt struct{ Reading }

func (c *clockAt) read() Reading        { return c.Reading }
func (c *clockAt) pass(d time.Duration) { c.At += d }

func newClock() *clockAt { return &clockAt{Reading{"boot", time.Hour}} }

// heads are the paths of lists, instance files and variants of a study in a tree, in order.
func heads(t testing.TB, fsys durable.Reader, study string) (paths []string) {
	t.Helper()
	folder, err := dedup.NewTree(fsys).Study(uid(study))
	if err != nil {
		t.Fatal(err)
	}
	held, err := folder.Heads()
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range held {
		paths = append(paths, h.Path)
	}
	return paths
}

// state is a study in a tree.
func state(t testing.TB, fsys durable.FS, study string) *dedup.State {
	t.Helper()
	s, err := New(Config{Tree: fsys}).load(t.Context(), uid(study))
	if err != nil {
		t.Fatal(err)
	}
	return dedup.Resolve(s.Files, s.Bulk)
}

// all is every file below a folder with its bytes.
func all(fsys durable.Reader, dir string, out map[string]string) error {
	entries, err := fsys.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if e.IsDir() {
			if err := all(fsys, name, out); err != nil {
				return err
			}
			continue
		}
		f, err := fsys.Open(name)
		if err != nil {
			return err
		}
		size, err := f.Size()
		text := make([]byte, size)
		if err == nil {
			_, err = f.ReadAt(text, 0)
		}
		if err2 := f.Close(); err == nil && size > 0 {
			err = err2
		}
		if err != nil {
			return err
		}
		out[name] = string(text)
	}
	return nil
}

// memory is a tree in memory with these files.
func memory(t testing.TB, files ...dedup.File) *crashfs.FS {
	t.Helper()
	fsys := crashfs.New()
	for _, f := range files {
		if f.Fault != nil {
			t.Fatal(f.Fault)
		}
		if err := put(fsys, f); err != nil {
			t.Fatal(err)
		}
	}
	return fsys
}

func reasons(kept []Kept) (out []string) {
	for _, k := range kept {
		out = append(out, k.Reason)
	}
	slices.Sort(out)
	return out
}
