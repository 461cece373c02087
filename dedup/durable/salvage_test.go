package durable_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/durable/durabletest"
)

// stage leaves files behind as a process that dies does: what is staged is never placed, and nobody cleans up.
func stage(t *testing.T, fsys durable.FS, files map[string]string) *durable.Staging {
	t.Helper()
	s, err := durable.OpenStaging(fsys, "tmp")
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.OpenBatch()
	if err != nil {
		t.Fatal(err)
	}
	for label, content := range files {
		temp, err := b.CreateLabelled(label)
		if label == "" {
			temp, err = b.Create()
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := temp.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
		if err := temp.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// TestSalvage holds that labelled leftovers of the dead are kept, the longest of each label, and nobody else's are touched.
func TestSalvage(t *testing.T) {
	fsys := crashfs.New()
	dead := stage(t, fsys, map[string]string{"a": "long one", "b": "b", "": "unlabelled"})
	second := stage(t, fsys, map[string]string{"a": "short"})
	living := stage(t, fsys, map[string]string{"c": "in use"})
	for _, s := range []*durable.Staging{dead, second} {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := durable.Salvage(fsys, "tmp", "saved/here"); err != nil {
			t.Fatal(err)
		}
	}
	left, err := fsys.ReadDir("saved/here")
	if err != nil || len(left) != 2 {
		t.Fatalf("%d files are saved, %v", len(left), err)
	}
	for label, want := range map[string]string{"a": "long one", "b": "b"} {
		if got, err := durabletest.Read(fsys, "saved/here/"+label); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v", label, got, err)
		}
	}
	if err := living.Close(); err != nil {
		t.Fatal(err)
	}
	if err := durable.Salvage(fsys, "tmp", "saved/here"); err != nil {
		t.Fatal(err)
	}
	if got, err := durabletest.Read(fsys, "saved/here/c"); err != nil || string(got) != "in use" {
		t.Errorf("after its owner's death c is %q, %v", got, err)
	}
	if err := durable.Salvage(fsys, "nowhere", "saved/there"); err != nil {
		t.Errorf("nothing to save: %v", err)
	}
}

// TestLabels holds that a label cannot lead anywhere.
func TestLabels(t *testing.T) {
	s := stage(t, crashfs.New(), nil)
	b, err := s.OpenBatch()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Discard()
	for _, label := range []string{"a/b", "..\x00", "ü", strings.Repeat("a", durable.MaxLabel+1), "a b", `a\b`} {
		if _, err := b.CreateLabelled(label); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("label %.20q: %v", label, err)
		}
	}
}
