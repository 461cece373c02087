package durable_test

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/durable/durabletest"
)

func TestShare(t *testing.T) {
	archive, current := openOS(t, t.TempDir()), openOS(t, t.TempDir())
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
	must(t, archive.Remove("frame"))
	if got, err := durabletest.Read(current, "1"); string(got) != "pixels" {
		t.Errorf("after the other name is gone it holds %q, %v", got, err)
	}
}
