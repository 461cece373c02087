package inbox

import (
	"os"
	"path/filepath"
	"testing"
)

// TestEmpty holds what counts as something that waits.
func TestEmpty(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "inbox")
	b := New(Config{Dir: dir})
	for _, step := range []struct {
		folder, file string
		empty        bool
	}{{"", "", true}, {"a/b", "", true}, {"", ".hidden", true}, {"", "a/x.part", true}, {".later", ".later/scan.dcm", true}, {"", "a/b/scan.dcm", false}} {
		if step.folder != "" {
			if err := os.MkdirAll(filepath.Join(dir, step.folder), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if step.file != "" {
			if err := os.WriteFile(filepath.Join(dir, step.file), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := b.Empty(); err != nil || got != step.empty {
			t.Errorf("with %s%s: %v, %v", step.folder, step.file, got, err)
		}
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "a/b/scan.dcm")); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Empty(); err != nil || got {
		t.Errorf("a link waits to be refused: %v, %v", got, err)
	}
}
