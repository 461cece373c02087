package export_test

import (
	"bytes"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup/combine"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/export"
	"github.com/dicomesh/dicomesh/dedup/ingest"
	"github.com/dicomesh/dicomesh/dedup/phantom"
)

// vanishing is a tree in which somebody takes a file away between the listing and the reading (a quarantine, gc).
type vanishing struct {
	*crashfs.FS
	name string
}

func (v vanishing) Open(name string) (durable.File, error) {
	if strings.Contains(name, v.name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return v.FS.Open(name)
}

func TestOneFileVanishesTheStudyIsSkipped(t *testing.T) {
	fsys := crashfs.New()
	a, _ := ingest.Open(fsys)
	b, _ := a.OpenBatch()
	s := phantom.Study{Number: 1, Series: 1, Instances: 3, Size: 16}
	for i := range s.All() {
		var buf bytes.Buffer
		i.Write(&buf)
		b.Add(i.Path(), bytes.NewReader(buf.Bytes()), int64(buf.Len()))
	}
	rs := b.Commit()
	x := export.New(vanishing{fsys, "instances/" + rs[0].SOP.String()})
	n := 0
	err := x.Study(t.Context(), rs[0].Study, t.TempDir(), func(export.Result) { n++ })
	if n != 2 || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%d of the 2 others given back; %v (which the command takes for an empty folder: silence, exit 0)", n, err)
	}
}

// combining is a tree whose files are combined and collected between the listing and the first reading.
type combining struct {
	*crashfs.FS
	once func()
}

func (c *combining) Open(name string) (durable.File, error) {
	if once := c.once; once != nil && strings.Contains(name, "/instances/") {
		c.once = nil
		once()
	}
	return c.FS.Open(name)
}

func TestStudyIsCombinedMeanwhile(t *testing.T) {
	fsys := crashfs.New()
	a, _ := ingest.Open(fsys)
	b, _ := a.OpenBatch()
	s := phantom.Study{Number: 1, Series: 1, Instances: 3, Size: 16}
	for i := range s.All() {
		var buf bytes.Buffer
		i.Write(&buf)
		b.Add(i.Path(), bytes.NewReader(buf.Bytes()), int64(buf.Len()))
	}
	study := b.Commit()[0].Study
	x := export.New(&combining{fsys, func() {
		c := combine.New(combine.Config{Tree: fsys})
		_, err := c.Study(t.Context(), study)
		gone, err2 := c.Collect(t.Context(), study)
		if err != nil || err2 != nil || len(gone.Remove) != 3 {
			t.Errorf("%d collected: %v, %v", len(gone.Remove), err, err2)
		}
	}})
	n := 0
	if err := x.Study(t.Context(), study, t.TempDir(), func(export.Result) { n++ }); n != 3 || err != nil {
		t.Errorf("%d of 3 given back: %v", n, err)
	}
}
