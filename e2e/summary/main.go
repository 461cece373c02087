// Command summary reads what `go test -json` prints, shows each package's verdict and the whole output of what failed, and closes with one line:
//
//	1234 passed, 0 failed, 2 skipped
//
// Before that come the slowest tests: where to look when a run takes too long.
//
// It exits 1 when a test or a package failed. With CI=true a skipped test fails too, unless the file named on the command line lists it:
// a line is an import path without the module, a dot, the test's name, and the reason; # begins a comment.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// event is one line of test2json.
type event struct {
	Action, Package, Test, Output, ImportPath string
	Elapsed                                   float64
}

// name is the test as the list of expected skips has it: "dedup/part10.TestCorpus".
func (e event) name() string {
	return strings.TrimPrefix(e.Package, "github.com/dicomesh/dicomesh/") + "." + e.Test
}

// tally is what has been read so far.
type tally struct {
	out                     io.Writer
	passed, failed, skipped int
	output                  map[string][]string // of tests and packages that have not ended, by name
	reasons                 []string            // of skips: "name: why"
	names                   []string            // of skips
	slow                    []event             // the slowest tests, the slowest first
}

// showSlow is how many of the slowest tests are shown, if they took longer than slowest.
const (
	showSlow = 12
	slowest  = 5 // seconds
)

func main() {
	expected, err := readExpected(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "summary:", err)
		os.Exit(2)
	}
	t := &tally{out: os.Stdout, output: map[string][]string{}}
	if err := t.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "summary:", err)
		os.Exit(2)
	}
	if !t.close(expected, os.Getenv("CI") == "true") {
		os.Exit(1)
	}
}

// readExpected is the first word of each line of the named files.
func readExpected(files []string) (map[string]bool, error) {
	expected := map[string]bool{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			if words := strings.Fields(line); len(words) > 1 && !strings.HasPrefix(line, "#") {
				expected[words[0]] = true
			}
		}
	}
	return expected, nil
}

// read takes every line; one that is no event is shown as it is.
func (t *tally) read(in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Fprintln(t.out, lines.Text())
			continue
		}
		t.take(e)
	}
	return lines.Err()
}

func (t *tally) take(e event) {
	if e.Action == "build-output" {
		fmt.Fprint(t.out, e.Output)
		return
	}
	name := e.name()
	switch e.Action {
	case "output":
		t.output[name] = append(t.output[name], e.Output)
		return
	case "pass", "fail", "skip":
	default:
		return
	}
	if e.Test == "" {
		t.endPackage(e)
	} else {
		t.endTest(e)
	}
	delete(t.output, name)
}

func (t *tally) endTest(e event) {
	if e.Elapsed > slowest && !strings.Contains(e.Test, "/") {
		t.slow = append(t.slow, e)
		slices.SortStableFunc(t.slow, func(a, b event) int { return cmp.Compare(b.Elapsed, a.Elapsed) })
		t.slow = t.slow[:min(len(t.slow), showSlow)]
	}
	switch e.Action {
	case "pass":
		t.passed++
	case "skip":
		t.skipped++
		t.names = append(t.names, e.name())
		t.reasons = append(t.reasons, e.name()+": "+reason(t.output[e.name()]))
	case "fail":
		t.failed++
		fmt.Fprint(t.out, strings.Join(t.output[e.name()], ""))
	}
}

// endPackage shows the package's line. A package that fails without a failed test (it did not build, or panicked) counts as one failure,
// and so may one whose test failed: there is no harm in that.
func (t *tally) endPackage(e event) {
	if e.Action == "fail" {
		t.failed++
		fmt.Fprint(t.out, strings.Join(t.output[e.name()], ""))
		for name, lines := range t.output { // tests that never ended: the process died in them
			if strings.HasPrefix(name, e.name()) && name != e.name() {
				fmt.Fprint(t.out, strings.Join(lines, ""))
			}
		}
		return
	}
	word := map[string]string{"pass": "ok", "skip": "--"}[e.Action]
	fmt.Fprintf(t.out, "%-4s %-50s %7.1fs\n", word, strings.TrimSuffix(e.name(), "."), e.Elapsed)
}

// reason is what a skipped test said: the last line that is not test2json's own.
func reason(output []string) string {
	for i := len(output) - 1; i >= 0; i-- {
		if line := strings.TrimSpace(output[i]); line != "" && !strings.HasPrefix(line, "--- ") && !strings.HasPrefix(line, "=== ") {
			return line
		}
	}
	return "no reason given"
}

// close prints the slowest tests, skips and the closing line, and reports whether all is well.
func (t *tally) close(expected map[string]bool, ci bool) bool {
	for _, e := range t.slow {
		fmt.Fprintf(t.out, "slow %-50s %7.1fs\n", e.name(), e.Elapsed)
	}
	for i, why := range t.reasons {
		if ci && !expected[t.names[i]] {
			t.failed++
			t.skipped--
			why += "  (fails, since CI=true and e2e/skips.txt does not list it)"
		}
		fmt.Fprintln(t.out, "skip", why)
	}
	if t.passed+t.failed == 0 {
		fmt.Fprintln(t.out, "no test was run")
		t.failed++
	}
	fmt.Fprintf(t.out, "%d passed, %d failed, %d skipped\n", t.passed, t.failed, t.skipped)
	return t.failed == 0
}
