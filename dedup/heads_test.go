package dedup_test

import (
	"path"
	"slices"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/durable/durabletest"
)

// Heads are what Files finds of lists and instance files, in all layouts.
func TestHeadsAreThoseOfFiles(t *testing.T) {
	fsys := crashfs.New()
	hash := "0123456789abcdef0123456789abcdef01234567"
	for _, name := range []string{
		"studies/1.2/bulkdata/012/34/56789abcdef0123456789abcdef01234567.raw",
		"studies/1.2/deduplicated/" + hash + ".gz",
		"studies/1.2/deduplicated/instances/1.2.3.gz",
		"studies/1.2/deduplicated/isntances/1.2.4.gz",
		"studies/1.2/variants/instances/1.2.3." + hash + hash[:24] + ".gz",
		"studies/1.2/series/1.5/metadata.gz",
		"deduplicated/1.2/" + hash + ".gz",
		"instances/1.2/" + hash + ".gz",
	} {
		if err := durable.MkdirAll(fsys, path.Dir(name)); err != nil {
			t.Fatal(err)
		}
		durabletest.Write(t, fsys, name, "x")
	}
	uid, err := dedup.ParseUID("1.2")
	if err != nil {
		t.Fatal(err)
	}
	folder, err := dedup.NewTree(fsys).Study(uid)
	if err != nil {
		t.Fatal(err)
	}
	all, _, err := folder.Files()
	if err != nil {
		t.Fatal(err)
	}
	want := slices.DeleteFunc(all, func(h dedup.Held) bool { return h.Ref.Class != dedup.List && h.Ref.Class != dedup.Instance })
	got, err := folder.Heads()
	if err != nil || !slices.Equal(got, want) || len(got) != 6 {
		t.Errorf("heads %v, %v; want %v", got, err, want)
	}
}
