// Package durabletest holds what every durable.FS must do, for tests. What a crash leaves is not asked here: only a twin like crashfs can say.
package durabletest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dicomesh/dicomesh/dedup/durable"
)

// TestFS runs the suite; open returns a new, empty file system each time.
func TestFS(t *testing.T, open func(*testing.T) durable.FS) {
	tests := []struct {
		what string
		test func(*testing.T, durable.FS)
	}{
		{"a file reads as it was written", testFile},
		{"open takes regular files alone", testOpen},
		{"create takes a free name", testCreate},
		{"rename takes a free name", testRename},
		{"one of many renames to a name wins", testRenameRace},
		{"a mover makes the folders that a name needs", testMove},
		{"replace takes any file's place", testReplace},
		{"link gives a second name", testLink},
		{"remove takes files and empty folders", testRemove},
		{"readdir is sorted", testReadDir},
		{"names stay below the root", testNames},
		{"syncs", testSync},
		{"a lock has one holder", testLock},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) { test.test(t, open(t)) })
	}
}

func testFile(t *testing.T, fsys durable.FS) {
	f, err := fsys.Create("a")
	check(t, "create", err, nil)
	for _, part := range []string{"pixel", " ", "data"} {
		_, err := io.WriteString(f, part)
		check(t, "write", err, nil)
	}
	size, err := f.Size()
	check(t, "size", err, nil)
	part := make([]byte, 4)
	_, err = f.ReadAt(part, 6)
	check(t, "read back while it is written", err, nil)
	if size != 10 || string(part) != "data" {
		t.Errorf("size %d, bytes from 6 %q; want 10, data", size, part)
	}
	check(t, "sync", f.Sync(), nil)
	check(t, "close", f.Close(), nil)
	want(t, fsys, "a", "pixel data")

	f, err = fsys.Open("a")
	check(t, "open", err, nil)
	defer f.Close()
	if n, err := f.ReadAt(make([]byte, 8), 6); n != 4 || err != io.EOF {
		t.Errorf("read 8 bytes from 6 of 10: %d, %v; want 4, EOF", n, err)
	}
	if _, err := f.Write([]byte("x")); err == nil {
		t.Error("a file opened for reading was written")
	}
}

func testOpen(t *testing.T, fsys durable.FS) {
	check(t, "mkdir", fsys.Mkdir("d"), nil)
	Write(t, fsys, "d/a", "x")
	for name, kind := range map[string]error{
		"b": fs.ErrNotExist, "e/b": fs.ErrNotExist, "d": durable.ErrNotRegular, "d/a/b": durable.ErrNotRegular,
	} {
		_, err := fsys.Open(name)
		check(t, "open "+name, err, kind)
		_, err = fsys.Lstat(name)
		if name != "d" {
			check(t, "lstat "+name, err, kind)
		}
	}
	info, err := fsys.Lstat("d/a")
	check(t, "lstat", err, nil)
	if info.Name() != "a" || info.Size() != 1 || !info.Mode().IsRegular() || info.IsDir() {
		t.Errorf("lstat of a file of 1 byte: %s, %d bytes, %v", info.Name(), info.Size(), info.Mode())
	}
	if info.Mode().Perm()&0o222 != 0 {
		t.Errorf("a file of the archive has mode %v; want no one to write into it", info.Mode())
	}
	info, err = fsys.Lstat("d")
	check(t, "lstat", err, nil)
	if !info.IsDir() {
		t.Errorf("lstat of a folder: %v", info.Mode())
	}
}

func testCreate(t *testing.T, fsys durable.FS) {
	check(t, "mkdir", fsys.Mkdir("d"), nil)
	check(t, "mkdir again", fsys.Mkdir("d"), fs.ErrExist)
	Write(t, fsys, "d/a", "first")
	for name, kind := range map[string]error{
		"d/a": fs.ErrExist, "d": fs.ErrExist, "e/a": fs.ErrNotExist, "d/a/b": durable.ErrNotRegular,
	} {
		_, err := fsys.Create(name)
		check(t, "create "+name, err, kind)
		check(t, "mkdir "+name, fsys.Mkdir(name), kind)
	}
	want(t, fsys, "d/a", "first")
}

func testRename(t *testing.T, fsys durable.FS) {
	check(t, "mkdir", fsys.Mkdir("d"), nil)
	Write(t, fsys, "a", "a")
	Write(t, fsys, "d/b", "b")
	check(t, "rename to a taken name", fsys.Rename("a", "d/b"), fs.ErrExist)
	check(t, "rename to a folder", fsys.Rename("a", "d"), fs.ErrExist)
	check(t, "rename to itself", fsys.Rename("a", "a"), fs.ErrExist)
	check(t, "rename into no folder", fsys.Rename("a", "e/a"), fs.ErrNotExist)
	check(t, "rename into a file", fsys.Rename("a", "d/b/a"), durable.ErrNotRegular)
	check(t, "rename of nothing", fsys.Rename("c", "d/c"), fs.ErrNotExist)
	want(t, fsys, "a", "a")
	want(t, fsys, "d/b", "b")
	check(t, "rename", fsys.Rename("a", "d/a"), nil)
	want(t, fsys, "d/a", "a")
	_, err := fsys.Lstat("a")
	check(t, "lstat of the old name", err, fs.ErrNotExist)
}

func testMove(t *testing.T, fsys durable.FS) {
	m := durable.NewMover(fsys)
	defer m.Close()
	check(t, "mkdir", fsys.Mkdir("t"), nil)
	moves := []struct {
		to   string
		made []string
		kind error
	}{
		{"s/1/b/aa/bb/x", []string{"s", "s/1", "s/1/b", "s/1/b/aa", "s/1/b/aa/bb", "s/1/b/aa/bb/x"}, nil},
		{"s/1/b/aa/cc/x", []string{"s/1/b/aa/cc", "s/1/b/aa/cc/x"}, nil},
		{"s/1/b/dd/bb/x", []string{"s/1/b/dd", "s/1/b/dd/bb", "s/1/b/dd/bb/x"}, nil},
		{"s/1/b/dd/bb/y", []string{"s/1/b/dd/bb/y"}, nil},
		{"s/1/b/dd/bb/y", nil, fs.ErrExist},
		{"s/1/b/dd/bb", nil, fs.ErrExist},
		{"s/1/b/dd/bb/y/z", nil, durable.ErrNotRegular},
		{"s/1/b/dd/bb/y/z/z", nil, durable.ErrNotRegular},
		{"s/1/l/x", []string{"s/1/l", "s/1/l/x"}, nil},
		{"u/x", []string{"u", "u/x"}, nil},
		{"x", []string{"x"}, nil},
		{"x", nil, fs.ErrExist},
		{"../x", nil, fs.ErrInvalid},
	}
	for i, x := range moves {
		from := fmt.Sprintf("t/%d", i)
		Write(t, fsys, from, x.to)
		made, err := m.Move(from, x.to)
		check(t, "move to "+x.to, err, x.kind)
		if !slices.Equal(made, x.made) {
			t.Errorf("for %s were made %v; want %v", x.to, made, x.made)
		}
		if x.kind != nil {
			want(t, fsys, from, x.to)
			continue
		}
		want(t, fsys, x.to, x.to)
		_, err = fsys.Lstat(from)
		check(t, "lstat of the old name", err, fs.ErrNotExist)
	}
	made, err := m.Move("t/nothing", "s/1/b/aa/bb/z")
	check(t, "move of nothing", err, fs.ErrNotExist)
	if len(made) > 0 {
		t.Errorf("for nothing were made %v", made)
	}
}

func testRenameRace(t *testing.T, fsys durable.FS) {
	const racers = 16
	for i := range racers {
		Write(t, fsys, fmt.Sprint(i), fmt.Sprint(i))
	}
	var wg sync.WaitGroup
	var winner atomic.Int64
	for i := range racers {
		wg.Go(func() {
			err := fsys.Rename(fmt.Sprint(i), "final")
			if err == nil && !winner.CompareAndSwap(0, int64(i)+1) {
				t.Errorf("renames of %d and %d to one name both succeeded", winner.Load()-1, i)
			}
			if err != nil && !errors.Is(err, fs.ErrExist) {
				t.Errorf("rename to a taken name: %v; want fs.ErrExist", err)
			}
		})
	}
	wg.Wait()
	want(t, fsys, "final", fmt.Sprint(winner.Load()-1))
}

func testReplace(t *testing.T, fsys durable.FS) {
	check(t, "mkdir", fsys.Mkdir("d"), nil)
	Write(t, fsys, "a", "new")
	Write(t, fsys, "d/a", "old")
	reader, err := fsys.Open("d/a")
	check(t, "open", err, nil)
	defer reader.Close()
	check(t, "replace a folder", fsys.Replace("a", "d"), durable.ErrNotRegular)
	check(t, "replace", fsys.Replace("a", "d/a"), nil)
	want(t, fsys, "d/a", "new")
	if data, err := io.ReadAll(reader); string(data) != "old" || err != nil {
		t.Errorf("who had it open reads %q, %v; want the old bytes", data, err)
	}
	check(t, "replace nothing", fsys.Replace("d/a", "b"), nil)
	want(t, fsys, "b", "new")
	check(t, "replace by nothing", fsys.Replace("a", "b"), fs.ErrNotExist)
	want(t, fsys, "b", "new")
}

func testLink(t *testing.T, fsys durable.FS) {
	Write(t, fsys, "a", "a")
	Write(t, fsys, "c", "c")
	check(t, "link", fsys.Link("a", "b"), nil)
	check(t, "link to a taken name", fsys.Link("a", "c"), fs.ErrExist)
	check(t, "link of nothing", fsys.Link("x", "y"), fs.ErrNotExist)
	check(t, "replace by another name of itself", fsys.Replace("a", "b"), nil)
	want(t, fsys, "a", "a")
	check(t, "remove", fsys.Remove("a"), nil)
	want(t, fsys, "b", "a")
	want(t, fsys, "c", "c")
}

func testRemove(t *testing.T, fsys durable.FS) {
	check(t, "mkdir", fsys.Mkdir("d"), nil)
	Write(t, fsys, "d/a", "x")
	check(t, "remove a folder that is not empty", fsys.Remove("d"), fs.ErrExist)
	check(t, "remove", fsys.Remove("d/a"), nil)
	check(t, "remove again", fsys.Remove("d/a"), fs.ErrNotExist)
	check(t, "remove a folder", fsys.Remove("d"), nil)
	check(t, "remove in no folder", fsys.Remove("d/a"), fs.ErrNotExist)
}

func testReadDir(t *testing.T, fsys durable.FS) {
	for _, name := range []string{"10", "b", "a", "9"} {
		Write(t, fsys, name, name)
	}
	check(t, "mkdir", fsys.Mkdir("aa"), nil)
	entries, err := fsys.ReadDir(".")
	check(t, "readdir", err, nil)
	var got []string
	for _, e := range entries {
		info, err := e.Info()
		check(t, "info", err, nil)
		if e.IsDir() != info.IsDir() || !e.IsDir() && info.Size() != int64(len(e.Name())) {
			t.Errorf("%v: %d bytes", e, info.Size())
		}
		got = append(got, e.Name())
	}
	if s := strings.Join(got, " "); s != "10 9 a aa b" {
		t.Errorf("readdir: %s; want 10 9 a aa b", s)
	}
	_, err = fsys.ReadDir("a")
	check(t, "readdir of a file", err, durable.ErrNotRegular)
	_, err = fsys.ReadDir("x")
	check(t, "readdir of nothing", err, fs.ErrNotExist)
}

func testNames(t *testing.T, fsys durable.FS) {
	check(t, "mkdir", fsys.Mkdir("d"), nil)
	Write(t, fsys, "a", "x")
	for _, name := range []string{"", "/a", "..", "../a", "d/../a", "d//a", "d/", "./a", "d/.", "\xff"} {
		for op, err := range each(fsys, name) {
			check(t, fmt.Sprintf("%s %q", op, name), err, fs.ErrInvalid)
		}
	}
	for _, op := range []string{"open", "create", "mkdir", "remove", "rename", "rename to", "link", "link to", "replace", "replace to", "lock", "trylock"} {
		check(t, op+" the root", each(fsys, ".")[op], fs.ErrInvalid)
	}
	want(t, fsys, "a", "x")
}

// each does everything with one name and returns what failed.
func each(fsys durable.FS, name string) map[string]error {
	failed := make(map[string]error)
	_, failed["open"] = fsys.Open(name)
	_, failed["create"] = fsys.Create(name)
	_, failed["lock"] = fsys.Lock(name)
	_, failed["trylock"] = fsys.TryLock(name)
	failed["mkdir"] = fsys.Mkdir(name)
	failed["remove"] = fsys.Remove(name)
	failed["rename"], failed["rename to"] = fsys.Rename(name, "free"), fsys.Rename("a", name)
	failed["link"], failed["link to"] = fsys.Link(name, "free"), fsys.Link("a", name)
	failed["replace"], failed["replace to"] = fsys.Replace(name, "free"), fsys.Replace("a", name)
	if name != "." {
		_, failed["lstat"] = fsys.Lstat(name)
		_, failed["readdir"] = fsys.ReadDir(name)
		failed["syncdir"] = fsys.SyncDir(name)
	}
	return failed
}

func testSync(t *testing.T, fsys durable.FS) {
	barrier, err := fsys.Barrier()
	check(t, "barrier", err, nil)
	check(t, "mkdir", fsys.Mkdir("d"), nil)
	Write(t, fsys, "d/a", "x")
	check(t, "syncall", barrier.SyncAll(), nil)
	check(t, "syncall again", barrier.SyncAll(), nil)
	check(t, "close", barrier.Close(), nil)
	check(t, "syncdir", fsys.SyncDir("d"), nil)
	check(t, "syncdir of the root", fsys.SyncDir("."), nil)
	check(t, "syncdir of a file", fsys.SyncDir("d/a"), durable.ErrNotRegular)
	check(t, "syncdir of nothing", fsys.SyncDir("e"), fs.ErrNotExist)
}

func testLock(t *testing.T, fsys durable.FS) {
	first, err := fsys.Lock("l")
	check(t, "lock", err, nil)
	_, err = fsys.TryLock("l")
	check(t, "trylock of a held lock", err, durable.ErrLocked)
	other, err := fsys.TryLock("m")
	check(t, "trylock of another", err, nil)
	check(t, "unlock", other.Close(), nil)

	var held atomic.Int32
	held.Store(1)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			lock, err := fsys.Lock("l")
			if err != nil {
				t.Errorf("lock: %v", err)
				return
			}
			if n := held.Add(1); n != 1 {
				t.Errorf("%d hold the lock", n)
			}
			held.Add(-1)
			lock.Close()
		})
	}
	held.Store(0)
	check(t, "unlock", first.Close(), nil)
	wg.Wait()
	last, err := fsys.TryLock("l")
	check(t, "trylock of a free lock", err, nil)
	check(t, "unlock", last.Close(), nil)
	_, err = fsys.Lock("x/l")
	check(t, "lock in no folder", err, fs.ErrNotExist)
}

// Write makes a file, not durably, and fails the test if it cannot.
func Write(t *testing.T, fsys durable.Writer, name, data string) {
	t.Helper()
	f, err := fsys.Create(name)
	check(t, "create "+name, err, nil)
	_, err = io.WriteString(f, data)
	check(t, "write "+name, errors.Join(err, f.Close()), nil)
}

// Read returns the bytes of a file.
func Read(fsys durable.Reader, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(f)
	return data, errors.Join(err, f.Close())
}

func want(t *testing.T, fsys durable.Reader, name, data string) {
	t.Helper()
	if got, err := Read(fsys, name); err != nil || !bytes.Equal(got, []byte(data)) {
		t.Errorf("%s: %q, %v; want %q", name, got, err, data)
	}
}

// check fails the test unless err is of that kind (nil: none).
func check(t *testing.T, what string, err, kind error) {
	t.Helper()
	if kind == nil && err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if !errors.Is(err, kind) {
		t.Errorf("%s: %v; want %v", what, err, kind)
	}
}
