package combine

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/e2e/shareddata"
)

// What static-wado wrote stays where it is; and if it were ours to combine, nothing would ever be shown otherwise. Its lists that name others, or records that they replaced, stay apart.
func TestGoldenTrees(t *testing.T) {
	studies, combined, apart := 0, 0, map[string]int{}
	err := filepath.WalkDir(shareddata.Dir(t, "data", "golden"), func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if _, err := os.Stat(filepath.Join(path, "studies")); err != nil {
			return nil
		}
		tree, err := durable.OpenOS(path)
		if err != nil {
			return err
		}
		defer tree.Close()
		c := New(Config{Tree: tree})
		uids, err := c.Studies()
		for _, uid := range uids {
			s, err := c.load(t.Context(), uid)
			if err != nil {
				continue // a folder without lists
			}
			studies++
			if err := c.whole(t.Context(), s); err != nil {
				return err
			}
			here := PlanCombine(s.Input)
			if here.List != (dedup.FileID{}) && len(s.Elsewhere) == len(s.Files) {
				t.Errorf("%s: files that static-wado keeps are combined", path)
			}
			s.Elsewhere = nil
			ours := PlanCombine(s.Input)
			if ours.Reason == reasonUnlike {
				t.Errorf("%s: a plan was wrong", path)
			}
			if ours.List != (dedup.FileID{}) {
				combined++
			}
			for _, k := range ours.Apart {
				apart[k.Reason]++
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d studies, %d would be combined, apart %v", studies, combined, apart)
	if studies < 15 || combined < 3 {
		t.Errorf("%d studies, %d combined", studies, combined)
	}
}
