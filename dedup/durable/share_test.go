package durable_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/durable/durabletest"
)

func TestShare(t *testing.T) {
	dir := t.TempDir()
	archive, current := openOS(t, dir), openOS(t, t.TempDir())
	durabletest.Write(t, archive, "frame", "pixels")
	must(t, durable.Share(archive, "frame", current, "1"))
	if got, err := durabletest.Read(current, "1"); string(got) != "pixels" {
		t.Errorf("the shared file holds %q, %v", got, err)
	}
	if err := durable.Share(archive, "frame", current, "1"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a name that is taken: %v", err)
	}
	if err := durable.Share(archive, "none", current, "2"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	must(t, os.Symlink("frame", filepath.Join(dir, "link")))
	must(t, syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	must(t, archive.Mkdir("folder"))
	for _, name := range []string{"link", "fifo", "folder"} {
		err := durable.Share(archive, name, current, "3")
		if _, gone := current.Lstat("3"); !errors.Is(err, durable.ErrNotRegular) || !errors.Is(gone, fs.ErrNotExist) {
			t.Errorf("a %s is shared: %v, %v", name, err, gone)
		}
	}
	must(t, archive.Remove("frame"))
	if got, err := durabletest.Read(current, "1"); string(got) != "pixels" {
		t.Errorf("after the other name is gone it holds %q, %v", got, err)
	}
}
