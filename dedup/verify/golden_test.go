package verify_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup/verify"
	"github.com/dicomesh/dicomesh/e2e/shareddata"
)

// TestOtherWriters holds that there is no false alarm on trees of other writers: of each file it is right, or nobody can tell.
func TestOtherWriters(t *testing.T) {
	golden := shareddata.Dir(t, "data", "golden")
	trees := map[string][]string{}
	cases, err := os.ReadDir(golden)
	must(t, err)
	for _, c := range cases {
		stage := func(names ...string) (dirs []string) {
			for _, n := range names {
				dirs = append(dirs, filepath.Join(golden, c.Name(), n))
			}
			return dirs
		}
		switch {
		case !c.IsDir() || c.Name() == "LICENSES":
		case strings.HasPrefix(c.Name(), "scenarios"):
			matches, err := filepath.Glob(filepath.Join(golden, c.Name(), "*", "*", "studies"))
			must(t, err)
			more, err := filepath.Glob(filepath.Join(golden, c.Name(), "*", "studies"))
			must(t, err)
			for _, m := range append(matches, more...) {
				trees["scenario "+m[len(golden)+1:]] = []string{filepath.Dir(m)}
			}
		default:
			trees[c.Name()+" instances"] = stage("stage1-instance")
			trees[c.Name()+" grouped"] = stage("stage1-instance", "stage2-group")
			trees[c.Name()+" metadata"] = stage("stage3-metadata")
			trees[c.Name()+" create"] = stage("create-default")
			trees[c.Name()+" seed"] = stage("seed-dialect-2021")
		}
	}
	for name, dirs := range trees {
		if _, err := os.Stat(dirs[0]); err != nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			a := newTree(t)
			for _, dir := range dirs {
				a.copyFrom(dir)
			}
			faults, others, s := a.verify(verify.Config{Deep: true})
			if s.Instances == 0 || s.Right == 0 || s.Right+s.CannotTell != s.Files {
				t.Errorf("%+v", s)
			}
			// The scenarios were stored without their frames, which is what is wrong with them.
			for _, f := range faults {
				if !strings.HasPrefix(name, "scenario") || f.Kind != verify.Missing || !strings.HasSuffix(f.Path, "/frames") {
					t.Errorf("a false alarm: %s", f)
				}
			}
			if strings.HasPrefix(name, "scenario") && len(faults) != s.Instances {
				t.Errorf("%d instances without frames, found are\n%s", s.Instances, lines(faults))
			}
			for _, f := range others {
				known := !strings.HasSuffix(name, "seed") && strings.Contains(f.Path, "/bulkdata/") // today's dialect has names that can be checked
				if f.Kind != verify.CannotTell && f.Kind != verify.Variant || known {
					t.Errorf("%s", f)
				}
			}
		})
	}
}
