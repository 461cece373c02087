package export_test

import (
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/export"
)

// Records of another writer, in conflict: without a DeduppedHash, or with one that does not cover what differs.
func TestForeignConflict(t *testing.T) {
	rec := func(hash, name string) string {
		block := `"00090010":{"Value":["dedupped"],"vr":"LO"},`
		if hash != "" {
			block += `"00091011":{"Value":["` + hash + `"],"vr":"LO"},"00091012":{"Value":["instance"],"vr":"LO"},`
		}
		return `{"00080016":{"Value":["1.2.840.10008.5.1.4.1.1.7"],"vr":"UI"},"00080018":{"Value":["1.2.3"],"vr":"UI"},` + block +
			`"00100010":{"Value":[{"Alphabetic":"` + name + `"}],"vr":"PN"},"0020000D":{"Value":["1.2"],"vr":"UI"},"0020000E":{"Value":["1.2.9"],"vr":"UI"}}`
	}
	h := "0123456789abcdef0123456789abcdef01234567"
	for what, list := range map[string]string{
		"same hash": `[` + rec(h, "A") + `,` + rec(h, "B") + `,` + rec(h, "C") + `]`,
		"no hash":   `[` + rec("", "A") + `,` + rec("", "B") + `]`,
	} {
		t.Run(what, func(t *testing.T) {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("panic: %v", p)
				}
			}()
			fsys := crashfs.New()
			durable.MkdirAll(fsys, "studies/1.2/deduplicated")
			durable.WriteFile(fsys, "studies/1.2/deduplicated/fedcba9876543210fedcba9876543210fedcba98.gz", dedup.Compress(nil, []byte(list)))
			uid, _ := dedup.ParseUID("1.2")
			paths := map[string]int{}
			n := 0
			err := export.New(fsys).Study(t.Context(), uid, t.TempDir(), func(r export.Result) { n++; paths[r.Path]++; t.Log(r) })
			if err != nil || len(paths) != n {
				t.Errorf("%d records, %d files: %v", n, len(paths), err)
			}
		})
	}
}
