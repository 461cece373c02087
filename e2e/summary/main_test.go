package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/e2e/raced"
)

const someEvents = `{"Action":"run","Package":"github.com/dicomesh/dicomesh/dedup","Test":"TestA"}
{"Action":"pass","Package":"github.com/dicomesh/dicomesh/dedup","Test":"TestA"}
{"Action":"output","Package":"github.com/dicomesh/dicomesh/dedup","Test":"TestB","Output":"    b_test.go:3: no corpus\n"}
{"Action":"output","Package":"github.com/dicomesh/dicomesh/dedup","Test":"TestB","Output":"--- SKIP: TestB\n"}
{"Action":"skip","Package":"github.com/dicomesh/dicomesh/dedup","Test":"TestB"}
{"Action":"pass","Package":"github.com/dicomesh/dicomesh/dedup","Elapsed":0.1}
`

func TestSummary(t *testing.T) {
	failing := `{"Action":"output","Package":"p","Test":"TestC","Output":"what went wrong\n"}
{"Action":"fail","Package":"p","Test":"TestC"}
`
	for _, c := range []struct {
		name, events string
		expected     map[string]bool
		ci, good     bool
		want         string
	}{
		{"skips are told", someEvents, nil, false, true, "skip dedup.TestB: b_test.go:3: no corpus\n1 passed, 0 failed, 1 skipped\n"},
		{"skips fail in CI", someEvents, nil, true, false, "1 passed, 1 failed, 0 skipped\n"},
		{"expected skips do not", someEvents, map[string]bool{"dedup.TestB": true}, true, true, "1 passed, 0 failed, 1 skipped\n"},
		{"failures are shown", someEvents + failing, nil, false, false, "what went wrong\n"},
		{"a build failure counts", `{"Action":"fail","Package":"p"}`, nil, false, false, "0 passed, 1 failed, 0 skipped\n"},
		{"slow tests are shown", `{"Action":"pass","Package":"p","Test":"TestS","Elapsed":1}
{"Action":"pass","Package":"p","Test":"TestM/x","Elapsed":77}
{"Action":"pass","Package":"p","Test":"TestM","Elapsed":77.5}
{"Action":"pass","Package":"p","Test":"TestL","Elapsed":99}
`, nil, false, true, fmt.Sprintf("slow %-50s %7.1fs\nslow %-50s %7.1fs\n4 passed", "p.TestL", 99.0, "p.TestM", 77.5)},
		{"nothing is no success", "", nil, false, false, "0 passed, 1 failed, 0 skipped\n"},
	} {
		var out strings.Builder
		tally := newTally(&out)
		if err := tally.read(strings.NewReader(c.events)); err != nil {
			t.Fatal(err)
		}
		if good := tally.close(c.expected, c.ci); good != c.good || !strings.Contains(out.String(), c.want) {
			t.Errorf("%s: %v\n%s", c.name, good, out.String())
		}
	}
}

// TestWhole holds that what was thinned runs whole, that and no more, and that what comes of it counts.
func TestWhole(t *testing.T) {
	thinned := func(pkg, test string) string {
		return fmt.Sprintf("{\"Action\":\"attr\",\"Package\":%q,\"Test\":%q,\"Key\":%q,\"Value\":\"\"}\n", module+pkg, test, raced.Thinned)
	}
	ended := func(action, pkg, test string) string {
		return fmt.Sprintf("{\"Action\":%q,\"Package\":%q,\"Test\":%q}\n", action, module+pkg, test)
	}
	other := fmt.Sprintf("{\"Action\":\"attr\",\"Package\":%q,\"Test\":\"TestO\",\"Key\":\"other\"}\n", module+"p")
	first := thinned("p", "TestA/b/c") + thinned("p", "TestA") + thinned("q", "TestQ") + thinned("p", "TestB") + other + ended("pass", "p", "TestA") + ended("skip", "p", "TestB") + ended("pass", "p", "TestC") + ended("pass", "p", "") +
		ended("fail", "q", "") + ended("pass", "r", "")
	for _, c := range []struct {
		second string // of p
		want   string
	}{
		{ended("pass", "p", "TestA") + ended("pass", "p", "TestB") + ended("pass", "p", ""), "4 passed, 1 failed, 1 skipped\n"},
		{ended("fail", "p", "TestA") + ended("fail", "p", ""), "2 passed, 3 failed, 1 skipped\n"},
	} {
		var out strings.Builder
		var ran []string
		tally := newTally(&out)
		end := tally.runWhole(func(pkg string, tests []string) (io.Reader, error) {
			ran = append(ran, pkg+fmt.Sprint(tests))
			if pkg == module+"q" {
				return strings.NewReader(""), nil
			}
			return strings.NewReader(c.second), nil
		})
		if err := errors.Join(tally.read(strings.NewReader(first)), end()); err != nil {
			t.Fatal(err)
		}
		tally.close(nil, false)
		if !strings.HasSuffix(out.String(), c.want) || fmt.Sprint(ran) != fmt.Sprintf("[%[1]sp[TestA TestB] %[1]sq[TestQ]]", module) {
			t.Errorf("ran %v\n%s", ran, out.String())
		}
	}
	broken := newTally(io.Discard)
	end := broken.runWhole(func(string, []string) (io.Reader, error) { return nil, io.ErrClosedPipe })
	if err := errors.Join(broken.read(strings.NewReader(first)), end()); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a command that does not run: %v", err)
	}
}

// TestSecondTry holds who has one: tests of listed packages, while they are few and nothing else failed.
func TestSecondTry(t *testing.T) {
	fail := func(pkg, test string) string {
		return fmt.Sprintf(`{"Action":"output","Package":"%[1]s","Test":"%[2]s","Output":"--- FAIL: %[2]s\n"}
{"Action":"fail","Package":"%[1]s","Test":"%[2]s"}
`, module+pkg, test)
	}
	ended := func(pkg string) string { return fmt.Sprintf("{\"Action\":\"fail\",\"Package\":%q}\n", module+pkg) }
	pass := func(test string) string {
		return fmt.Sprintf("{\"Action\":\"pass\",\"Package\":%q,\"Test\":%q}\n", module+"e2e", test)
	}
	late := fail("e2e", "TestLate/half") + fail("e2e", "TestLate") + ended("e2e")
	for _, c := range []struct {
		name, first, second string
		good                bool
		want                string
	}{
		{"passes alone", pass("TestA") + late, pass("TestLate/half") + pass("TestLate"), true, "again e2e.TestLate: failed, and passed by itself\n3 passed, 0 failed, 0 skipped\n"},
		{"fails again", late, late, false, "0 passed, 3 failed, 0 skipped\n"},
		{"is not run", late, ended("e2e"), false, "0 passed, 3 failed, 0 skipped\n"},
		{"passes in part", late + fail("e2e", "TestB"), pass("TestLate"), false, "0 passed, 4 failed, 0 skipped\n"},
		{"is not listed", fail("dedup", "TestA"), "", false, "--- FAIL: TestA\n0 passed, 1 failed, 0 skipped\n"},
		{"something else failed", late + fail("dedup", "TestA"), "", false, "0 passed, 4 failed, 0 skipped\n"},
		{"died", ended("e2e"), "", false, "0 passed, 1 failed, 0 skipped\n"},
		{"a race", strings.Replace(late, "--- FAIL: TestLate/half", "WARNING: DATA RACE", 1), "", false, "0 passed, 3 failed, 0 skipped\n"},
		{"never ended", late[:len(late)-len(ended("e2e"))] + strings.SplitAfter(fail("e2e", "TestB"), "\n")[0] + ended("e2e"), "", false, "0 passed, 3 failed, 0 skipped\n"},
		{"the race detector failed", strings.Replace(late, "--- FAIL: TestLate/half", "FATAL: ThreadSanitizer: CHECK failed: tsan_rtl.cpp:1", 1), pass("TestA") + pass("TestLate"), true, "again e2e, as a whole: failed, and passed by itself\n2 passed, 0 failed, 0 skipped\n"},
		{"the runtime failed, and again", strings.Replace(late, "--- FAIL: TestLate/half", "SIGSEGV: segmentation violation", 1), late, false, "0 passed, 3 failed, 0 skipped\n"},
		{"the race detector failed, and found a race", strings.Replace(late, "--- FAIL: TestLate/half", "WARNING: DATA RACE", 1) + strings.Replace(late, "--- FAIL: TestLate/half", "FATAL: ThreadSanitizer: CHECK failed", 1), "", false, "0 passed, 6 failed, 0 skipped\n"},
		{"Go code failed", strings.Replace(late, "--- FAIL: TestLate/half", "panic: runtime error\\n[signal SIGSEGV: segmentation violation]", 1), "", false, "0 passed, 3 failed, 0 skipped\n"},
		{"too many", fail("e2e", "A") + fail("e2e", "B") + fail("e2e", "C") + fail("e2e", "D") + fail("e2e", "E"), "", false, "0 passed, 5 failed, 0 skipped\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			tally := newTally(&out)
			tally.again = map[string]bool{"e2e": true}
			if err := tally.read(strings.NewReader(c.first)); err != nil {
				t.Fatal(err)
			}
			err := tally.secondTry(func(pkg string, tests []string) (io.Reader, error) {
				if c.second == "" || pkg != module+"e2e" || len(tests) > 0 && tests[0] != "TestLate" {
					t.Errorf("%s: %v is tried again", pkg, tests)
				}
				return strings.NewReader(c.second), nil
			})
			if good := tally.close(nil, true); err != nil || good != c.good || !strings.HasSuffix(out.String(), c.want) {
				t.Errorf("%v %v\n%s", err, good, out.String())
			}
		})
	}
}
