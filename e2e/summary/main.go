// Command summary reads what `go test -json` prints, shows each package's verdict and the whole output of what failed, and closes with one line:
//
//	1234 passed, 0 failed, 2 skipped
//
// Before that come the slowest tests: where to look when a run takes too long.
//
// Tests that were thinned under the race detector (package raced) are run a second time without it, as soon as their package has ended.
//
// It exits 1 when a test or a package failed. With CI=true a skipped test fails too, unless the file named on the command line lists it:
// a line is an import path without the module, a dot, the test's name, and the reason; # begins a comment.
//
// A second file names packages whose tests wait for other processes, sockets and the disk, in the same form without the test's name. What fails there, and
// only there, gets a second try by itself: a machine that others use too can make such a test late, and a fault of ours fails twice. It is named
// in the end, after the word "again".
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
)

// module begins every import path here.
const module = "github.com/dicomesh/dicomesh/"

// event is one line of test2json.
type event struct {
	Action, Package, Test, Output, ImportPath string
	Key, Value                                string // of an attribute
	Elapsed                                   float64
}

// name is the test as the list of expected skips has it: "dedup/part10.TestCorpus".
func (e event) name() string {
	return e.pkg() + "." + e.Test
}

func (e event) pkg() string { return strings.TrimPrefix(e.Package, module) }

// tally is what has been read so far.
type tally struct {
	mu                      sync.Mutex // is held while an event is taken, and so guards what follows until all runs have ended
	out                     io.Writer
	passed, failed, skipped int
	output                  map[string][]string // of tests and packages that have not ended, by name
	reasons                 []string            // of skips: "name: why"
	names                   []string            // of skips
	slow                    []event             // the slowest tests, the slowest first
	whole                   int                 // tests that passed and are no part of another
	again                   map[string]bool     // packages of which what fails is tried twice
	tops                    map[string][]string // tests that failed and are no part of another, by package
	lost                    map[string]int      // failures, by package
	died                    map[string]bool     // packages with a test that never ended; no lateness explains that, nor what follows
	wrong                   map[string]bool     // packages with a race or a panic
	toolchain               map[string]bool     // packages whose process was ended by a fault of the race detector or the runtime itself
	flaky                   []string            // tests that passed the second time

	thinned map[string]map[string]bool // tests that are to run whole when their package has ended, by package
	jobs    chan<- job                 // takes them; nil: nobody does
}

func newTally(out io.Writer) *tally {
	return &tally{out: out, output: map[string][]string{}, tops: map[string][]string{}, lost: map[string]int{}, died: map[string]bool{}, wrong: map[string]bool{}, toolchain: map[string]bool{}, thinned: map[string]map[string]bool{}}
}

// showSlow is how many of the slowest tests are shown, if they took longer than slowest.
const (
	showSlow = 12
	slowest  = 5 // seconds
)

func main() {
	good, err := summarise(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "summary:", err)
		os.Exit(2)
	}
	if !good {
		os.Exit(1)
	}
}

// summarise reads standard input to its end. files are those of expected skips and, if there is a second, of packages that have a second try.
func summarise(files []string) (bool, error) {
	var lists [2]map[string]bool
	for n, name := range files[:min(len(files), len(lists))] {
		list, err := readList(name)
		if err != nil {
			return false, err
		}
		lists[n] = list
	}
	t := newTally(os.Stdout)
	t.again = lists[1]
	end := t.runWhole(goWhole)
	err := t.read(os.Stdin)
	if err = errors.Join(err, end()); err != nil {
		return false, err
	}
	if err := t.secondTry(goTest); err != nil {
		return false, err
	}
	return t.close(lists[0], os.Getenv("CI") == "true"), nil
}

// readList is the first word of each line of a file that gives a reason after it.
func readList(name string) (map[string]bool, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	list := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) > 1 && !strings.HasPrefix(line, "#") {
			list[words[0]] = true
		}
	}
	return list, nil
}

// read takes every line; one that is no event is shown as it is.
func (t *tally) read(in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		t.line(lines.Bytes())
	}
	return lines.Err()
}

func (t *tally) line(b []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var e event
	if err := json.Unmarshal(b, &e); err != nil {
		fmt.Fprintln(t.out, string(b))
		return
	}
	t.take(e)
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
	case "attr":
		t.note(e)
		return
	case "pass", "fail", "skip":
	default:
		return
	}
	if e.Test == "" {
		t.endPackage(e)
		t.hand(e.pkg())
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
		if !strings.Contains(e.Test, "/") {
			t.whole++
		}
	case "skip":
		t.skipped++
		t.names = append(t.names, e.name())
		t.reasons = append(t.reasons, e.name()+": "+reason(t.output[e.name()]))
	case "fail":
		t.lose(e)
		if !strings.Contains(e.Test, "/") {
			t.tops[e.pkg()] = append(t.tops[e.pkg()], e.Test)
		}
		t.show(e, t.output[e.name()])
	}
}

// lose counts a failure.
func (t *tally) lose(e event) {
	t.failed++
	t.lost[e.pkg()]++
}

// show shows what a failed test or package said; of one that may have a second try, as what the first one said.
func (t *tally) show(e event, output []string) {
	for _, line := range output {
		if strings.Contains(line, "DATA RACE") || strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
			t.wrong[e.pkg()] = true
		}
		if byToolchain(line) {
			t.toolchain[e.pkg()] = true
		}
		if t.again[e.pkg()] {
			line = "first try: " + line
		}
		fmt.Fprint(t.out, line)
	}
}

// endPackage shows the package's line. A package that fails without a failed test (it did not build, or panicked) counts as one failure,
// and so may one whose test failed: there is no harm in that.
func (t *tally) endPackage(e event) {
	if e.Action == "fail" {
		t.lose(e)
		t.show(e, t.output[e.name()])
		for name, lines := range t.output { // tests that never ended: the process died in them
			if strings.HasPrefix(name, e.name()) && name != e.name() {
				t.died[e.pkg()] = true
				t.show(e, lines)
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
	for _, name := range t.flaky {
		fmt.Fprintln(t.out, "again", name+": failed, and passed by itself")
	}
	if t.passed+t.failed == 0 {
		fmt.Fprintln(t.out, "no test was run")
		t.failed++
	}
	fmt.Fprintf(t.out, "%d passed, %d failed, %d skipped\n", t.passed, t.failed, t.skipped)
	return t.failed == 0
}
