package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestSmokeRegen runs the regen scenario as a user would, small: every row is measured, a second round writes nothing, and nothing is left behind.
func TestSmokeRegen(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "dicomesh")
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/dicomesh/dicomesh/cmd/dicomesh").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b := &regenerate{Smoke: true, Dir: t.TempDir(), Binary: binary}
	if err := b.Run(t.Context()); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(b.Dir)
	if err != nil || len(left) != 0 {
		t.Errorf("%d files left behind, %v", len(left), err)
	}
}
