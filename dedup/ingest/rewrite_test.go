package ingest_test

import (
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/combine"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/ingest"
	"github.com/zeebo/blake3"
)

// TestRewrite holds that damaged instance files come back, byte for byte, from a list that has their records, and that nothing else is written: not what no list has, and nothing
// from an instance file.
func TestRewrite(t *testing.T) {
	f := pick(t, "same/original")
	for _, damage := range []string{"gone", "flipped", "empty"} {
		fsys := crashfs.New()
		mustAdd(t, fsys, f)
		want, was := contents(t, fsys), map[string]dedup.Digest{}
		for name, text := range want {
			if strings.Contains(name, "/instances/") {
				was[name] = blake3.Sum256([]byte(text))
			}
		}
		if len(was) != 1 {
			t.Fatalf("%d instance files in %d", len(was), len(want))
		}
		study := studyOf(t, fsys)
		spoilt := func() {
			for name := range was {
				spoil(t, fsys, name, damage)
			}
		}
		spoilt()
		if n, err := ingest.Rewrite(t.Context(), fsys, study, was); n != 0 || err != nil {
			t.Errorf("%s, and no list: %d written, %v", damage, n, err)
		}
		mustAdd(t, fsys, f)
		if _, err := combine.New(combine.Config{Tree: fsys}).Study(t.Context(), study); err != nil {
			t.Fatal(err)
		}
		want = contents(t, fsys)
		spoilt()
		other := map[string]dedup.Digest{}
		for name := range was {
			other[name] = dedup.Digest{1}
		}
		if n, err := ingest.Rewrite(t.Context(), fsys, study, other); n != 0 || err != nil {
			t.Errorf("%s, and another content: %d written, %v", damage, n, err)
		}
		if n, err := ingest.Rewrite(t.Context(), fsys, study, was); n != 1 || err != nil {
			t.Errorf("%s: %d written, %v", damage, n, err)
		}
		if got := contents(t, fsys); !equal(got, want) {
			t.Errorf("%s: not what it was", damage)
		}
	}
}

// studyOf is the one study of a tree.
func studyOf(t *testing.T, fsys *crashfs.FS) dedup.UID {
	t.Helper()
	studies, _, err := dedup.NewTree(fsys).Studies()
	if err != nil || len(studies) != 1 {
		t.Fatalf("%d studies, %v", len(studies), err)
	}
	return studies[0]
}
