package e2e

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// TestKilledIngest kills the real binary with SIGKILL at some twenty moments, spread from its first staged file to its last rename. Whatever it
// had called stored is given back byte for byte, nothing that is visible is torn, and the next run goes on as if nothing had happened.
func TestKilledIngest(t *testing.T) {
	t.Parallel()
	source, tree := t.TempDir(), t.TempDir()
	if _, code := dicomesh(t, "sample", "--out", source, "--studies", "2", "--series", "4", "--instances", "30", "--size", "64"); code != 0 {
		t.Fatal("sample failed")
	}
	sums := map[string]bool{}
	for _, sum := range regular(t, source) {
		sums[sum] = true
	}
	moments := []struct {
		folder string // below tree
		files  int    // that are in it when the process dies
	}{
		{".dicomesh/tmp/0", 1}, {".dicomesh/tmp/0", 40}, {".dicomesh/tmp/0", 150}, {".dicomesh/tmp/0", 300}, {".dicomesh/tmp/0", 450},
		{"studies/*/bulkdata/*/*", 1}, {"studies/*/bulkdata/*/*", 50}, {"studies/*/bulkdata/*/*", 200}, {"studies/*/bulkdata/*/*", 245},
		{"studies/*/deduplicated/instances", 1}, {"studies/*/deduplicated/instances", 60}, {"studies/*/deduplicated/instances", 170},
		{"studies/*/deduplicated/instances", 238},
	}
	killed := 0
	for _, m := range moments {
		acknowledged, died := killWhen(t, tree, source, m.folder, m.files)
		if died {
			killed++
		}
		given := export(t, tree)
		for _, sum := range acknowledged {
			if !given[sum] {
				t.Fatalf("killed with %d files in %s: a file that was called stored is not given back", m.files, m.folder)
			}
		}
		for sum := range given {
			if !sums[sum] {
				t.Fatalf("killed with %d files in %s: a file is given back that never came in", m.files, m.folder)
			}
		}
	}
	if killed < 5 {
		t.Errorf("only %d of %d runs were killed in time", killed, len(moments))
	}
	if _, code := dicomesh(t, "ingest", "--tree", tree, source); code != 0 {
		t.Errorf("the last run: exit code %d", code)
	}
	if given := export(t, tree); len(given) != len(sums) {
		t.Errorf("%d files are given back, want %d", len(given), len(sums))
	}
}

// killWhen runs an ingest until so many files are in the folders that match, and kills it. It returns the SHA-256 of the files that it had called stored or
// duplicate, and whether it was killed before its end.
func killWhen(t *testing.T, tree, source, folder string, files int) (acknowledged []string, died bool) {
	t.Helper()
	cmd := exec.Command(filepath.Join(binDir(), "dicomesh"), "ingest", "--tree", tree, "--json", source)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			var i ingested
			if json.Unmarshal(lines.Bytes(), &i) == nil && (i.Status == "stored" || i.Status == "duplicate") {
				acknowledged = append(acknowledged, i.SHA256)
			}
		}
	}()
	for running := true; running && count(filepath.Join(tree, folder)) < files; runtime.Gosched() {
		select {
		case <-over:
			running = false
		default:
		}
	}
	_ = cmd.Process.Kill() // it may have ended
	<-over
	_ = cmd.Wait()
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	return acknowledged, ok && status.Signaled()
}

// count is how many files there are in the folders that match pattern.
func count(pattern string) int {
	folders, _ := filepath.Glob(pattern)
	n := 0
	for _, f := range folders {
		entries, _ := os.ReadDir(f)
		n += len(entries)
	}
	return n
}

// export exports a tree, which must be sound, and returns the SHA-256 of all files.
func export(t *testing.T, tree string) map[string]bool {
	t.Helper()
	folder := t.TempDir()
	if out, code := dicomesh(t, "export", "--tree", tree, "--out", folder); code != 0 {
		t.Fatalf("export: exit code %d: %s", code, out)
	}
	sums := map[string]bool{}
	for path, sum := range regular(t, folder) {
		if strings.HasSuffix(path, ".dcm") {
			sums[sum] = true
		}
	}
	return sums
}
