// Package golden compares what is with files that say what it should be.
//
// With -update the files are written anew, to be read as a change of behaviour:
//
//	go test ./settle -run TestScenarios -update
package golden

import (
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the files of what is expected anew")

// Compare fails the test unless got is what stands in the file.
func Compare(t testing.TB, path, got string) {
	t.Helper()
	want, err := os.ReadFile(path)
	switch {
	case err == nil && got == string(want):
	case *update:
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	case err != nil:
		t.Fatal(err)
	default:
		t.Errorf("not what %s says. Is it right? Then run with -update.\n%s", path, difference(string(want), got))
	}
}

// Play plays each scenario that matches pattern as a test of its own, all at once: lines of what happens, and indented below each what comes of it. play is
// given the text as it stands in the file, skips what is indented, and returns the scenario as it goes today.
func Play(t *testing.T, pattern string, play func(t *testing.T, text string) string) {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			Compare(t, path, play(t, string(text)))
		})
	}
}

// difference is what was got up to the first line that is not as expected, and what was expected there.
func difference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	at := 0
	for at < len(w) && at < len(g) && w[at] == g[at] {
		at++
	}
	expected := "nothing"
	if at < len(w) {
		expected = w[at]
	}
	return strings.Join(g[max(0, at-6):min(at+1, len(g))], "\n") + "\nline " + strconv.Itoa(at+1) + ", where was expected:\n" + expected
}
