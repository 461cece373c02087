package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

// mostAgain is how many failed tests are given a second try: when more fail it is not the machine.
const mostAgain = 4

// runner runs tests of one package by themselves, and returns what `go test -json` prints.
type runner func(pkg string, tests []string) (io.Reader, error)

// goTest is the runner of second tries: with the race detector, one test at a time, nothing from the cache.
func goTest(pkg string, tests []string) (io.Reader, error) {
	return output("go", "test", "-race", "-json", "-count=1", "-parallel=1", "-timeout=15m", only(tests), pkg)
}

// goWhole is the runner of what was thinned. It does not hurry: tests of whole processes may run beside it, and they have limits in seconds.
func goWhole(pkg string, tests []string) (io.Reader, error) {
	return output("nice", "-n", "5", "go", "test", "-json", "-timeout=30m", only(tests), pkg)
}

// only is the flag that chooses tests; all, if none is named.
func only(tests []string) string {
	if len(tests) == 0 {
		return "-run=."
	}
	quoted := make([]string, len(tests))
	for n, test := range tests {
		quoted[n] = regexp.QuoteMeta(test)
	}
	return "-run=^(" + strings.Join(quoted, "|") + ")$"
}

func output(program string, args ...string) (io.Reader, error) {
	cmd := exec.Command(program, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if _, exited := err.(*exec.ExitError); exited {
		err = nil // the events say what failed
	}
	return bytes.NewReader(out), err
}

// byToolchain reports whether a line says that a process was ended by a fault of the race detector or of the Go runtime, on a stack of their own: a fault in Go code reads
// otherwise, and is one of ours. Bubbles of testing/synctest under the race detector are known for it (golang.org/issue/78156).
func byToolchain(line string) bool {
	return strings.Contains(line, "ThreadSanitizer: CHECK failed") || strings.HasPrefix(line, "SIGSEGV: segmentation violation")
}

// secondTry runs what failed once more, when all of it is in packages of the list and it is little, or the toolchain failed: by then nothing else runs beside it. What passes
// counts as passed, and is named among the last lines, so that it is looked into: a test that needs that often has a fault of its own, or shows one.
func (t *tally) secondTry(run runner) error {
	tests := 0
	for pkg := range t.lost {
		switch {
		case t.toolchain[pkg] && !t.wrong[pkg]:
			t.tops[pkg] = nil // all of it ended there
			tests++
		case !t.again[pkg] || t.died[pkg] || t.wrong[pkg] || len(t.tops[pkg]) == 0:
			return nil
		}
		tests += len(t.tops[pkg])
	}
	if tests > mostAgain {
		return nil
	}
	for _, pkg := range slices.Sorted(maps.Keys(t.lost)) {
		failed := t.tops[pkg]
		if len(failed) == 0 {
			fmt.Fprintf(t.out, "once more, because the race detector itself failed: %s\n", pkg)
		} else {
			fmt.Fprintf(t.out, "once more, alone: %s of %s\n", strings.Join(failed, ", "), pkg)
		}
		events, err := run(module+pkg, failed)
		if err != nil {
			return err
		}
		second := newTally(t.out)
		if err := second.read(events); err != nil {
			return err
		}
		if second.failed > 0 || second.whole == 0 || len(failed) > 0 && second.whole != len(failed) {
			continue
		}
		t.failed -= t.lost[pkg]
		t.passed += second.passed
		for _, test := range failed {
			t.flaky = append(t.flaky, pkg+"."+test)
		}
		if len(failed) == 0 {
			t.flaky = append(t.flaky, pkg+", as a whole")
		}
	}
	return nil
}
