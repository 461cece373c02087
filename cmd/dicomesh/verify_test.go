package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// say runs dicomesh and returns what it said.
func say(t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	if code := run(t.Context(), args, &out, &err); code != want {
		t.Fatalf("dicomesh %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), code, want, out.String(), err.String())
	}
	return out.String(), err.String()
}

// TestVerifyCommand goes through the life of an archive: sound, indexed, damaged, mended.
func TestVerifyCommand(t *testing.T) {
	dir := t.TempDir()
	tree, samples := filepath.Join(dir, "tree"), filepath.Join(dir, "samples")
	say(t, 0, "sample", "--out", samples, "--studies", "1", "--series", "1", "--instances", "2", "--size", "16")
	say(t, 0, "ingest", "--tree", tree, samples)
	out, _ := say(t, 0, "verify", "--tree", tree)
	if !strings.Contains(out, "instances   2\n") || !strings.Contains(out, "not read") || !strings.Contains(out, "corrupt     0\n") {
		t.Errorf("it says\n%s", out)
	}
	if out, _ = say(t, 0, "verify", "--tree", tree, "--deep"); strings.Contains(out, "not read") {
		t.Errorf("it says\n%s", out)
	}
	if _, err := os.Stat(filepath.Join(tree, ".dicomesh", "state")); !os.IsNotExist(err) {
		t.Error("looking made a state folder")
	}
	say(t, 0, "verify", "--tree", tree, "--index")
	frames, err := filepath.Glob(filepath.Join(tree, "studies", "*", "bulkdata", "*", "*", "*.raw"))
	if err != nil || len(frames) < 2 {
		t.Fatal(frames, err)
	}
	good, err := os.ReadFile(frames[0])
	if err != nil {
		t.Fatal(err)
	}
	rewrite(t, frames[0], append([]byte{good[0] ^ 1}, good[1:]...))
	if err := os.Remove(frames[1]); err != nil {
		t.Fatal(err)
	}
	out, errs := say(t, 1, "verify", "--tree", tree, "--deep")
	for i, kind := range []string{"corrupt", "missing"} { // of frames[0] and frames[1]
		rel, _ := filepath.Rel(tree, frames[i])
		if !strings.Contains(out, kind) || !strings.Contains(out, filepath.ToSlash(rel)+": ") {
			t.Errorf("%s is not named %s in\n%s", rel, kind, out)
		}
	}
	if !strings.Contains(errs, "2 faults") {
		t.Errorf("it says %s", errs)
	}
	findings, _ := say(t, 1, "verify", "--tree", tree, "--deep", "--json")
	jsonLines(t, findings, "corrupt", "missing", "summary")
	say(t, 0, "ingest", "--tree", tree, samples)
	say(t, 0, "verify", "--tree", tree, "--deep")
}

func rewrite(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o444); err != nil {
		t.Fatal(err)
	}
}

// jsonLines holds that each line is JSON and that the kinds are these, in any order.
func jsonLines(t *testing.T, text string, kinds ...string) {
	t.Helper()
	left := map[string]bool{}
	for _, k := range kinds {
		left[k] = true
	}
	for line := range strings.Lines(text) {
		var f struct{ Kind string }
		if err := json.Unmarshal([]byte(line), &f); err != nil || !left[f.Kind] {
			t.Errorf("%s: %v", line, err)
		}
		delete(left, f.Kind)
	}
	if len(left) > 0 {
		t.Errorf("no lines for %v in\n%s", left, text)
	}
}

// TestVerifyUsage holds the exit codes of questions that make no sense.
func TestVerifyUsage(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{
		{"verify"}, {"verify", "--tree", filepath.Join(dir, "nowhere")}, {"verify", "--tree", dir, "--study", "x"},
		{"verify", "--tree", dir, "--state", filepath.Join(dir, "nowhere")},
	} {
		if _, errs := say(t, exitUsage, args...); !strings.Contains(errs, "\n  ") {
			t.Errorf("%v does not say what to type: %s", args, errs)
		}
	}
}
