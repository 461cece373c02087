package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// TestSmokeTable makes the table as a user would, small: whatever is installed of nginx and Orthanc answers the same questions, and nothing is left behind.
func TestSmokeTable(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "dicomesh")
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/dicomesh/dicomesh/cmd/dicomesh").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b := &everything{Smoke: true, Dir: t.TempDir(), Binary: binary}
	if err := b.Run(t.Context()); err != nil {
		t.Error(err)
	}
	for _, contender := range []string{mine, "cp -r, sync -f"} {
		if !slices.ContainsFunc(b.lines, func(l line) bool { return l.contender == contender }) {
			t.Errorf("%s is not in the table", contender)
		}
	}
	left, err := os.ReadDir(b.Dir)
	if err != nil || len(left) != 0 {
		t.Errorf("%d files left behind, %v", len(left), err)
	}
}
