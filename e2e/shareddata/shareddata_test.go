package shareddata

import (
	"os"
	"path/filepath"
	"testing"
)

func TestDirByName(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "data", "dicom"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DICOMESH_SHARED", root)
	if got, want := Dir(t, "data", "dicom"), filepath.Join(root, "data", "dicom"); got != want {
		t.Errorf("Dir is %s, want %s", got, want)
	}
}

func TestDirBesideTheCheckout(t *testing.T) {
	root := t.TempDir()
	deep := filepath.Join(root, "checkout", "dedup", "part10")
	for _, dir := range []string{deep, filepath.Join(root, "shared", "data")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("DICOMESH_SHARED", "")
	t.Chdir(deep)
	got, err := filepath.EvalSymlinks(Dir(t, "data"))
	want, err2 := filepath.EvalSymlinks(filepath.Join(root, "shared", "data"))
	if err != nil || err2 != nil || got != want {
		t.Errorf("Dir is %s (%v), want %s (%v)", got, err, want, err2)
	}
}

// TestMissing holds both halves of the promise with a stand-in for the test that asks.
func TestMissing(t *testing.T) {
	for _, c := range []struct{ ci, end string }{{"", "skipped"}, {"true", "failed"}} {
		t.Setenv("DICOMESH_SHARED", t.TempDir())
		t.Setenv("CI", c.ci)
		asker := &asker{TB: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer func() { _ = recover() }()
			Dir(asker, "data", "nowhere")
		}()
		<-done
		if asker.end != c.end {
			t.Errorf("with CI=%q the test is %q, want %q", c.ci, asker.end, c.end)
		}
	}
}

// asker is a test that remembers how it was ended.
type asker struct {
	testing.TB
	end string
}

func (a *asker) Helper()               {}
func (a *asker) Skipf(string, ...any)  { a.end = "skipped"; panic("skipped") }
func (a *asker) Fatalf(string, ...any) { a.end = "failed"; panic("failed") }
