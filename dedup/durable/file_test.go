package durable_test

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/durable/durabletest"
)

// A power cut before, and a fault at, each operation of a small write over (or beside) an old file.
func TestSmallFileSweep(t *testing.T) {
	hooks := map[string]func(k int) func(crashfs.Op) (bool, error){
		"crash":    crashfs.CrashAt,
		"failed":   func(k int) func(crashfs.Op) (bool, error) { return crashfs.FailAt(k, false, syscall.EIO) },
		"happened": func(k int) func(crashfs.Op) (bool, error) { return crashfs.FailAt(k, true, syscall.EIO) },
	}
	for what, hook := range hooks {
		t.Run("write, "+what, func(t *testing.T) { sweepSmallFile(t, durable.WriteFile, "", hook) })
		t.Run("replace, "+what, func(t *testing.T) { sweepSmallFile(t, durable.ReplaceFile, "old", hook) })
	}
}

func sweepSmallFile(t *testing.T, write func(durable.FS, string, []byte) error, old string, hook func(k int) func(crashfs.Op) (bool, error)) {
	for k, done := 0, false; !done; k++ {
		f := crashfs.New()
		if old != "" {
			must(t, durable.WriteFile(f, "name", []byte(old)))
		}
		begin := f.Ops()
		f.Hook = hook(begin + k)
		err := write(f, "name", []byte("new"))
		done = begin+k >= f.Ops()
		if err != nil && !errors.Is(err, durable.ErrNotStored) {
			t.Fatalf("%v; want ErrNotStored", err)
		}
		powerCuts(t, f, k, func(left *crashfs.FS) error { return oldOrNew(left, old, err == nil) })
		f.Hook = nil
		if errors.Is(err, crashfs.ErrCrashed) {
			continue
		}
		if err := write(f, "name", []byte("new")); err != nil && !errors.Is(err, fs.ErrExist) {
			t.Fatalf("the next write: %v", err)
		}
		powerCuts(t, f, k, func(left *crashfs.FS) error { return oldOrNew(left, old, true) })
	}
}

func oldOrNew(f *crashfs.FS, old string, stored bool) error {
	data, err := durabletest.Read(f, "name")
	if errors.Is(err, fs.ErrNotExist) && old == "" && !stored {
		return nil
	}
	if err != nil || string(data) != "new" && (stored || string(data) != old) {
		return fmt.Errorf("the file is %q, %v (acknowledged: %v)", data, err, stored)
	}
	return nil
}

func TestWriteFileTakesAFreeName(t *testing.T) {
	f := crashfs.New()
	must(t, durable.WriteFile(f, "name", []byte("old")))
	if err := durable.WriteFile(f, "name", []byte("new")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("write to a taken name: %v", err)
	}
	must(t, oldOrNew(f, "old", false))
	entries, err := f.ReadDir(".")
	must(t, err)
	if len(entries) != 1 {
		t.Errorf("%d files are left; want 1", len(entries))
	}
}

func TestIsFull(t *testing.T) {
	for err, want := range map[error]bool{syscall.ENOSPC: true, syscall.EDQUOT: true, syscall.EFBIG: false, syscall.EIO: false, nil: false} {
		if got := durable.IsFull(fmt.Errorf("write: %w", err)); got != want {
			t.Errorf("IsFull(%v) = %v", err, got)
		}
	}
}
