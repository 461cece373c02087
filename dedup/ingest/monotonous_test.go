package ingest_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/ingest"
	"github.com/dicomesh/dicomesh/dedup/phantom"
)

// What is stored can be read back: JSON that gzip makes very small too.
func TestMonotonous(t *testing.T) {
	var f phantom.File
	for _, x := range phantom.Cases() {
		if x.Name == "same/original" {
			f = x.File
		}
	}
	var items []phantom.Item
	for range 100 {
		items = append(items, phantom.Item{Elements: []phantom.Element{phantom.Text(0x0040A160, "UT", strings.Repeat("A", 65530))}})
	}
	var root []phantom.Element
	for i := range uint32(40) {
		root = append(root, phantom.Text(0x40404000+i*0x20000, "UT", strings.Repeat("A", 65530)))
	}
	for name, extra := range map[string][]phantom.Element{"sequence": {phantom.Sequence(0x0040A730, items...)}, "root": root} {
		f := f
		f.Elements = append(slices.Clone(f.Elements), extra...)
		slices.SortStableFunc(f.Elements, func(a, b phantom.Element) int { return int(int64(a.Tag) - int64(b.Tag)) })
		file := file{name, f.Bytes()}
		fsys := crashfs.New()
		r := mustAdd(t, fsys, file)[name]
		t.Log(name, len(file.data), r.Status, r.Reason)
		if r = mustAdd(t, fsys, file)[name]; r.Status != ingest.Duplicate {
			t.Errorf("%s again: %s", name, r.Status)
		}
		if exported(t, fsys)[string(file.data)] != 1 {
			t.Errorf("%s: stored, and cannot be given back", name)
		}
	}
}
