package durable_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path"
	"strings"
	"syscall"
	"testing"

	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/durable/durabletest"
	"github.com/dicomesh/dicomesh/e2e/golden"
)

const tmp = ".dicomesh/tmp"

// wanted is a small study of three classes, in the order in which a caller may well place them: the wrong one.
var wanted = []struct {
	name  string
	class int
	needs string // the names of lower classes that its bytes speak of
}{
	{"studies/1.2/deduplicated/aa.gz", 2, "studies/1.2/deduplicated/instances/1.gz studies/1.2/deduplicated/instances/2.gz"},
	{"studies/1.2/bulkdata/aaa/aa/a.raw", 0, ""},
	{"studies/1.2/deduplicated/instances/1.gz", 1, "studies/1.2/bulkdata/aaa/aa/a.raw"},
	{"studies/1.2/bulkdata/bbb/bb/b.raw", 0, ""},
	{"studies/1.2/deduplicated/instances/2.gz", 1, "studies/1.2/bulkdata/aaa/aa/a.raw studies/1.2/bulkdata/bbb/bb/b.raw"},
}

// store stages and commits all that is wanted.
func store(fsys durable.FS) error {
	staging, err := durable.OpenStaging(fsys, tmp)
	if err != nil {
		return err
	}
	defer staging.Close()
	batch, err := staging.OpenBatch()
	if err != nil {
		return err
	}
	defer batch.Discard()
	for _, w := range wanted {
		if err := place(batch, w.name, w.class, w.name+" needs ", w.needs); err != nil {
			return err
		}
	}
	return batch.Commit(nil)
}

func place(batch *durable.Batch, name string, class int, parts ...string) error {
	temp, err := batch.Create()
	if err != nil {
		return err
	}
	for _, part := range parts {
		if _, err := temp.Write([]byte(part)); err != nil {
			return err
		}
	}
	return batch.Place(temp, name, class)
}

// check looks at the tree from outside: no final name stands for torn bytes, or without the files that it needs. all: nothing is missing.
func check(fsys durable.FS, all bool) error {
	var errs []error
	for _, w := range wanted {
		data, err := durabletest.Read(fsys, w.name)
		if errors.Is(err, fs.ErrNotExist) && !all {
			continue
		}
		if whole := w.name + " needs " + w.needs; err != nil || string(data) != whole {
			errs = append(errs, fmt.Errorf("%s is %q, %v; want %q", w.name, data, err, whole))
		}
		for _, need := range strings.Fields(w.needs) {
			if _, err := fsys.Lstat(need); err != nil {
				errs = append(errs, fmt.Errorf("%s is there without %s", w.name, need))
			}
		}
	}
	return errors.Join(errs...)
}

// powerCuts crashes f in many ways and looks at what is left.
func powerCuts(t *testing.T, f *crashfs.FS, k int, look func(left *crashfs.FS) error) {
	t.Helper()
	for seed := range uint64(40) {
		left := f.Crash(rand.New(rand.NewPCG(uint64(k), seed)))
		if err := look(left); err != nil {
			t.Fatalf("power cut with seed %d after these operations:\n%s%v", seed, f.Log(), err)
		}
	}
}

func TestCommitOrder(t *testing.T) {
	f := crashfs.New()
	if err := store(f); err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, "testdata/commit.txt", f.Log())
}

// A power cut before each operation, many outcomes each: nothing torn, nothing without what it needs; what was acknowledged is there; and
// the next process stores the same files over what is left.
func TestCrashSweep(t *testing.T) {
	for k, done := 0, false; !done; k++ {
		f := crashfs.New()
		f.Hook = crashfs.CrashAt(k)
		err := store(f)
		done = err == nil
		powerCuts(t, f, k, func(left *crashfs.FS) error {
			if err := check(left, done); err != nil {
				return err
			}
			if k%4 != 0 { // the rest is slower, and no likelier to differ between neighbours
				return nil
			}
			return again(left, k)
		})
	}
}

// again stores once more and cuts the power after the acknowledgement.
func again(f *crashfs.FS, k int) error {
	if _, err := durable.Sweep(f, tmp); err != nil {
		return err
	}
	if err := store(f); err != nil {
		return fmt.Errorf("the next process: %w", err)
	}
	if err := check(f.Crash(rand.New(rand.NewPCG(uint64(k), 1))), true); err != nil {
		return fmt.Errorf("after the next process: %w", err)
	}
	return nil
}

// Each operation fails in either way: an answer of nil is true, and after an error the same files can be stored and stay.
func TestFaultSweep(t *testing.T) {
	for _, happens := range []bool{false, true} {
		for k, done := 0, false; !done; k++ {
			f := crashfs.New()
			f.Hook = crashfs.FailAt(k, happens, syscall.EIO)
			err := store(f)
			done = k >= f.Ops()
			powerCuts(t, f, k, func(left *crashfs.FS) error { return check(left, err == nil) })
			f.Hook = nil
			if err := store(f); err != nil {
				t.Fatalf("store after a fault at %d (happened: %v): %v\n%s", k, happens, err, f.Log())
			}
			powerCuts(t, f, k, func(left *crashfs.FS) error { return check(left, true) })
		}
	}
}

// The disk breaks at each operation and stays broken.
func TestBrokenDisk(t *testing.T) {
	for k, done := 0, false; !done; k++ {
		f := crashfs.New()
		f.Hook = crashfs.FailFrom(k, syscall.EIO, "create", "write", "mkdir", "rename", "remove", "sync", "syncall")
		err := store(f)
		done = k >= f.Ops()
		if !done && strings.Contains(f.Log(), "syncall: ") && !errors.Is(err, durable.ErrNotStored) {
			t.Errorf("a sync failed and commit says %v\n%s", err, f.Log())
		}
		powerCuts(t, f, k, func(left *crashfs.FS) error { return check(left, err == nil) })
	}
}

// A rename fails, yet happens: the name is taken back. And a write fails, which the caller does not look at.
func TestFailuresOfOneFile(t *testing.T) {
	f := crashfs.New()
	staging, batch := open(t, f)
	must(t, place(batch, "name", 0, "x"))
	f.Hook = func(o crashfs.Op) (bool, error) {
		if o.Kind == "rename" {
			return true, syscall.EIO
		}
		return true, nil
	}
	if err := batch.Commit(nil); !errors.Is(err, durable.ErrNotStored) {
		t.Errorf("a rename failed and commit says %v", err)
	}
	if _, err := f.Lstat("name"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what the failed commit made is there: %v", err)
	}

	f.Hook = nil
	batch, err := staging.OpenBatch()
	must(t, err)
	temp, err := batch.Create()
	must(t, err)
	f.Hook = crashfs.FailAt(f.Ops(), false, syscall.EIO)
	temp.Write([]byte("x"))
	if err := batch.Place(temp, "name", 0); !errors.Is(err, syscall.EIO) {
		t.Errorf("a write failed and place says %v", err)
	}
	must(t, batch.Commit(nil))
	if _, err := f.Lstat("name"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file that was not written is there: %v", err)
	}
}

// The disk loses bytes in the background, and another batch's sync is the first to hear of it.
func TestErrorReachesEveryBatch(t *testing.T) {
	f := crashfs.New()
	staging, first := open(t, f)
	second, err := staging.OpenBatch()
	must(t, err)
	must(t, place(first, "a", 0, "a"))
	must(t, place(second, "b", 0, "b"))
	f.Lose(syscall.EIO)
	for i, batch := range []*durable.Batch{first, second} {
		if err := batch.Commit(nil); !errors.Is(err, durable.ErrNotStored) || !errors.Is(err, syscall.EIO) {
			t.Errorf("batch %d lost its bytes and commit says %v", i, err)
		}
	}
	third, err := staging.OpenBatch()
	must(t, err)
	must(t, place(third, "c", 0, "c"))
	must(t, third.Commit(nil))
}

func TestTakenNames(t *testing.T) {
	f := crashfs.New()
	staging, batch := open(t, f)
	must(t, place(batch, "same", 0, "x"))
	must(t, place(batch, "other", 0, "x"))
	must(t, batch.Commit(nil))

	batch, err := staging.OpenBatch()
	must(t, err)
	must(t, place(batch, "same", 0, "x"))
	must(t, place(batch, "other", 0, "y"))
	must(t, place(batch, "new", 0, "z"))
	must(t, batch.Commit(func(staged, name string) (string, error) {
		a, err1 := durabletest.Read(f, staged)
		b, err2 := durabletest.Read(f, name)
		if bytes.Equal(a, b) {
			return "", errors.Join(err1, err2)
		}
		return "variants/" + name, errors.Join(err1, err2)
	}))
	powerCuts(t, f, 0, func(left *crashfs.FS) error {
		for name, want := range map[string]string{"same": "x", "other": "x", "variants/other": "y", "new": "z"} {
			if got, err := durabletest.Read(left, name); string(got) != want {
				return fmt.Errorf("%s is %q, %v; want %q", name, got, err, want)
			}
		}
		return nil
	})

	batch, err = staging.OpenBatch()
	must(t, err)
	must(t, place(batch, "newer", 0, "x"))
	must(t, place(batch, "same", 0, "y"))
	conflict := errors.New("conflict")
	err = batch.Commit(func(string, string) (string, error) { return "", conflict })
	if !errors.Is(err, conflict) || !errors.Is(err, durable.ErrNotStored) {
		t.Errorf("commit says %v; want the callback's error", err)
	}
	if _, err := f.Lstat("newer"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after a commit that failed its name is there: %v", err)
	}
	empty(t, f)
}

// A temporary file can be read back before it is closed and after; to close what reads it does not end writing.
func TestReadBack(t *testing.T) {
	f := crashfs.New()
	_, batch := open(t, f)
	temp, err := batch.Create()
	must(t, err)
	for _, part := range []string{"one", "two", ""} {
		if part == "" {
			must(t, temp.Close())
		} else if _, err := temp.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
		back, err := batch.Open(temp)
		must(t, err)
		size, err := back.Size()
		must(t, err)
		data, err := io.ReadAll(io.NewSectionReader(back, 0, size))
		must(t, err)
		if !strings.HasPrefix("onetwo", string(data)) || !strings.HasSuffix(string(data), part) || len(data) == 0 {
			t.Errorf("read back %q", data)
		}
		must(t, back.Close())
	}
	must(t, batch.Place(temp, "value", 0))
	must(t, batch.Commit(nil))
}

// Of names that many rely on each is looked at once.
func TestRelyOnce(t *testing.T) {
	f := crashfs.New()
	_, batch := open(t, f)
	for range 3 {
		batch.Rely("bulkdata")
		batch.Rely("other")
	}
	durabletest.Write(t, f, "bulkdata", "")
	durabletest.Write(t, f, "other", "")
	before := f.Log()
	must(t, batch.Commit(nil))
	if n := strings.Count(strings.TrimPrefix(f.Log(), before), "lstat "); n != 2 {
		t.Errorf("two names are looked at %d times", n)
	}
}

// A name that another commit showed, and took back before ours.
func TestRely(t *testing.T) {
	f := crashfs.New()
	staging, batch := open(t, f)
	batch.Rely("bulkdata")
	must(t, place(batch, "instance", 1, "needs bulkdata"))
	if err := batch.Commit(nil); !errors.Is(err, durable.ErrNotStored) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what the batch relies on is gone and commit says %v", err)
	}
	if _, err := f.Lstat("instance"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the instance is there without it: %v", err)
	}

	must(t, f.Mkdir("bulkdata"))
	batch, err := staging.OpenBatch()
	must(t, err)
	batch.Rely("bulkdata")
	if err := batch.Commit(nil); !errors.Is(err, durable.ErrNotStored) || !errors.Is(err, durable.ErrNotRegular) {
		t.Errorf("a folder is in the place of what the batch relies on and commit says %v", err)
	}
	must(t, f.Remove("bulkdata"))

	durabletest.Write(t, f, tmp+"/0/x", "")
	must(t, f.Rename(tmp+"/0/x", "bulkdata")) // by a process that died before its last sync
	batch, err = staging.OpenBatch()
	must(t, err)
	batch.Rely("bulkdata")
	must(t, batch.Commit(nil))
	powerCuts(t, f, 0, func(left *crashfs.FS) error {
		_, err := left.Lstat("bulkdata")
		return err
	})
}

func TestFullDisk(t *testing.T) {
	for room := int64(1); ; room += 7 {
		f := crashfs.New()
		f.Resize(room)
		err := store(f)
		if err == nil {
			break
		}
		if !durable.IsFull(err) {
			t.Fatalf("on a disk of %d bytes: %v", room, err)
		}
		if err := check(f, false); err != nil {
			t.Fatal(err)
		}
		f.Resize(0)
		must(t, store(f))
		if err := check(f, true); err != nil {
			t.Fatalf("when there was room again: %v", err)
		}
	}
}

func TestUnfinished(t *testing.T) {
	f := crashfs.New()
	_, batch := open(t, f)
	temp, err := batch.Create()
	must(t, err)
	must(t, place(batch, "a", 0, "a"))
	if err := place(batch, "../a", 0, "a"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("place ../a: %v", err)
	}
	must(t, batch.Commit(nil))
	batch.Discard()
	if _, err := temp.Write(nil); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("a file that was not placed can be written after the commit: %v", err)
	}
	if _, err := batch.Create(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("a batch that was committed takes files: %v", err)
	}
	empty(t, f)
}

func open(t *testing.T, f durable.FS) (*durable.Staging, *durable.Batch) {
	t.Helper()
	staging, err := durable.OpenStaging(f, tmp)
	must(t, err)
	batch, err := staging.OpenBatch()
	must(t, err)
	return staging, batch
}

// empty fails the test if a temporary file is left.
func empty(t *testing.T, f durable.FS) {
	t.Helper()
	left, err := f.ReadDir(path.Join(tmp, "0"))
	must(t, err)
	for _, e := range left {
		t.Errorf("%s is left in staging", e.Name())
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
