package e2e

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup/phantom"
)

// ingested is what dicomesh ingest --json says of one file.
type ingested struct {
	Path, Status, Encoding, Reason, SHA256 string
}

// dicomesh runs the binary and returns what it wrote to stdout, with its exit code.
func dicomesh(t *testing.T, args ...string) (string, int) {
	t.Helper()
	cmd := exec.Command(filepath.Join(binDir(), "dicomesh"), args...)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil && cmd.ProcessState.ExitCode() < 0 {
		t.Fatalf("dicomesh %s: %v\n%s", strings.Join(args, " "), err, said.String())
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// ingestJSON ingests a folder and returns the lines by file name.
func ingestJSON(t *testing.T, tree, folder string) (map[string]ingested, int) {
	t.Helper()
	out, code := dicomesh(t, "ingest", "--tree", tree, "--json", "--workers", "1", folder)
	lines := map[string]ingested{}
	for line := range strings.Lines(out) {
		var i ingested
		if err := json.Unmarshal([]byte(line), &i); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		lines[filepath.Base(i.Path)] = i
	}
	return lines, code
}

// regular are the regular files below a folder and their SHA-256.
func regular(t *testing.T, folder string) map[string]string {
	t.Helper()
	sums := map[string]string{}
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		sums[path] = fmt.Sprintf("%x", sha256.Sum256(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sums
}

// TestCatalogue takes every good case in, all into one tree, and gets each back byte for byte. Twins are found to be duplicates in
// another encoding, rivals to be conflicts, all others to be new; a second time all are duplicates.
func TestCatalogue(t *testing.T) {
	t.Parallel()
	source, tree, out := t.TempDir(), t.TempDir(), t.TempDir()
	cases, sums := map[string]phantom.Case{}, map[string]string{}
	for n, c := range phantom.Cases() {
		name := fmt.Sprintf("%03d-%s", n, strings.ReplaceAll(c.Name, "/", "_")) // in this order, so that originals come before their twins
		cases[name], sums[fmt.Sprintf("%x", sha256.Sum256(c.Bytes()))] = c, c.Name
		if err := os.WriteFile(filepath.Join(source, name), c.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	lines, code := ingestJSON(t, tree, source)
	if code != 0 || len(lines) != len(cases) {
		t.Errorf("exit code %d, %d lines for %d files", code, len(lines), len(cases))
	}
	for name, c := range cases {
		want, got := expected(c), lines[name]
		if got.Status+got.Encoding != want {
			t.Errorf("%s (%s) is %s%s, want %s: %s", name, c.Shows, got.Status, got.Encoding, want, got.Reason)
		}
	}
	if _, code := dicomesh(t, "export", "--tree", tree, "--out", out); code != 0 {
		t.Errorf("export: exit code %d", code)
	}
	for _, sum := range regular(t, out) {
		delete(sums, sum)
	}
	for _, name := range sums {
		t.Errorf("%s did not come back", name)
	}
	lines, _ = ingestJSON(t, tree, source)
	for name, again := range lines {
		if again.Status != "duplicate" {
			t.Errorf("%s a second time is %s: %s", name, again.Status, again.Reason)
		}
	}
}

// expected is what ingest should say: status and encoding.
func expected(c phantom.Case) string {
	switch {
	case c.Twin != "":
		return "duplicateother"
	case c.Rival != "":
		return "conflict"
	}
	return "stored"
}

// TestBadCatalogue holds that every bad case is refused with one line, that nothing of it is in the tree, and that a good file beside them is stored.
func TestBadCatalogue(t *testing.T) {
	source, tree := t.TempDir(), t.TempDir()
	for _, c := range phantom.BadCases() {
		if err := os.WriteFile(filepath.Join(source, c.Name), c.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	before := regular(t, source)
	lines, code := ingestJSON(t, tree, source)
	if code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	for _, c := range phantom.BadCases() {
		got := lines[c.Name]
		if got.Status != "refused" || got.Reason == "" || strings.Contains(got.Reason, "\n") {
			t.Errorf("%s (%s) is %s, want refused because %s: %q", c.Name, c.Shows, got.Status, c.Fault, got.Reason)
		}
	}
	for path, sum := range regular(t, source) {
		if before[path] != sum {
			t.Errorf("%s was changed", path)
		}
	}
	for path := range regular(t, tree) {
		if strings.HasPrefix(path, filepath.Join(tree, "studies")) {
			t.Errorf("%s is in the tree", path)
		}
	}
	good := phantom.Cases()[0]
	if err := os.WriteFile(filepath.Join(source, "good"), good.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if lines, _ := ingestJSON(t, tree, source); lines["good"].Status != "stored" {
		t.Errorf("a good file among bad ones is %s: %s", lines["good"].Status, lines["good"].Reason)
	}
}
