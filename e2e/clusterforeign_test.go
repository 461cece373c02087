package e2e

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/e2e/shareddata"
)

// TestClusterForeign puts trees that other writers made, and a file of no class of the format, into one site's tree: they are at the other site as they are.
func TestClusterForeign(t *testing.T) {
	t.Parallel()
	golden := shareddata.Dir(t, "data", "golden")
	for _, kind := range []string{"seed-dialect-2021", "create-default"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, "a", "b")
			a, b := c.sites["a"], c.sites["b"]
			copied := 0
			for _, from := range parts(t, golden) {
				if from = filepath.Join(from, kind); !there(from) {
					continue
				}
				copied++
				if out, err := exec.Command("cp", "-a", from+"/.", a.in("tree")).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
			}
			studies := parts(t, a.in("tree", "studies"))
			letter := filepath.Join(studies[0], "letters", "1.pdf")
			if !isFolder(studies[0]) {
				letter = filepath.Join(studies[1], "letters", "1.pdf")
			}
			if err := os.MkdirAll(filepath.Dir(letter), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(letter, []byte("a letter"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(letter, time.Time{}, time.Now().Add(-time.Hour)); err != nil { // nobody is writing it any more
				t.Fatal(err)
			}
			eventually(t, 2*time.Minute, "all studies are known", func() bool { return len(a.digests()) > 0 && len(a.digests()) == len(b.digests()) })
			c.level(2*time.Minute, len(a.digests()))
			took := eventually(t, 4*time.Minute, "every other file has come", func() bool { return maps.Equal(besides(t, a.in("tree")), besides(t, b.in("tree"))) })
			t.Logf("%d trees, %d studies, %d other files, which came %v later", copied, len(a.digests()), len(besides(t, a.in("tree"))), took.Round(time.Millisecond))
			out, code := dicomesh(t, "verify", "--tree", b.in("tree"), "--deep")
			if want, before := dicomesh(t, "verify", "--tree", a.in("tree"), "--deep"); code > before {
				t.Errorf("verify says of the first %s and of the second %s", want, out)
			}
		})
	}
}

// besides are the files of a tree's studies that are neither bulkdata nor objects: those that two writers may lay out in their own ways are compared by their digests.
func besides(t *testing.T, tree string) map[string]string {
	t.Helper()
	files := map[string]string{}
	for path, sum := range archived(t, tree) {
		if parts := strings.Split(path, "/"); len(parts) > 3 && parts[2] != "bulkdata" && parts[2] != "deduplicated" {
			files[path] = sum
		}
	}
	return files
}

func there(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
