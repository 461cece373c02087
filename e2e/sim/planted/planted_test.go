package planted

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

var plantFlag = flag.String("plant", "", "the mistakes to plant, with commas between them, or all")

// mistake is one file of bugs/.
type mistake struct {
	name, what string
	test       []string // arguments of go test
	edits      []edit
}

// edit is a change of a file of the module.
type edit struct{ path, was, is string }

// mistakes reads bugs/.
func mistakes(t *testing.T) (all []mistake) {
	t.Helper()
	files, err := filepath.Glob("bugs/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no mistakes: %v", err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		what, test, found := strings.Cut(string(a.Comment), "\ntest: ")
		m := mistake{strings.TrimSuffix(filepath.Base(file), ".txtar"), strings.TrimSpace(what), strings.Fields(test), nil}
		for _, f := range a.Files {
			m.edits = append(m.edits, edits(t, f)...)
		}
		if !found || len(m.test) == 0 || len(m.edits) == 0 {
			t.Fatalf("%s names no test, or changes nothing", file)
		}
		all = append(all, m)
	}
	return all
}

// edits reads the edits of one file.
func edits(t *testing.T, f txtar.File) (all []edit) {
	t.Helper()
	for _, part := range strings.Split(string(f.Data), "<<<<<<<\n")[1:] {
		was, rest, found := strings.Cut(part, "=======\n")
		is, _, ended := strings.Cut(rest, ">>>>>>>\n")
		if !found || !ended {
			t.Fatalf("%s: an edit without its end", f.Name)
		}
		all = append(all, edit{f.Name, was, is})
	}
	return all
}

// apply makes the edits in a copy of the module. Each has to fit in exactly one place.
func (m mistake) apply(root string) error {
	for _, e := range m.edits {
		path := filepath.Join(root, e.path)
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if n := bytes.Count(text, []byte(e.was)); n != 1 {
			return fmt.Errorf("%s: what is to be changed stands there %d times:\n%s", e.path, n, e.was)
		}
		if err := os.WriteFile(path, bytes.Replace(text, []byte(e.was), []byte(e.is), 1), 0o644); err != nil {
			return err
		}
	}
	return nil
}

const module = "../../.."

// copyFiles copies files of the module.
func copyFiles(t *testing.T, to string, paths []string) {
	t.Helper()
	for _, p := range paths {
		info, err := os.Stat(filepath.Join(module, p))
		if os.IsNotExist(err) {
			continue // it is about to be removed
		}
		text, err2 := os.ReadFile(filepath.Join(module, p))
		dest := filepath.Join(to, p)
		if err := cmp.Or(err, err2, os.MkdirAll(filepath.Dir(dest), 0o755)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dest, text, info.Mode()); err != nil {
			t.Fatal(err)
		}
	}
}

// paths are the files that a mistake changes.
func (m mistake) paths() (all []string) {
	for _, e := range m.edits {
		all = append(all, e.path)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// TestApplies holds that every mistake can still be planted.
func TestApplies(t *testing.T) {
	for _, m := range mistakes(t) {
		root := t.TempDir()
		copyFiles(t, root, m.paths())
		if err := m.apply(root); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
}

// failed is what go test prints of a test that ran and failed: a mistake that does not build proves nothing.
var failed = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

// TestPlanted plants mistakes, and holds that each is caught by the test that it names, which passes without it.
func TestPlanted(t *testing.T) {
	if *plantFlag == "" {
		return // TestApplies is for every day
	}
	root := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "git", "-C", module, "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		t.Fatal(err)
	}
	copyFiles(t, root, strings.FieldsFunc(string(out), func(r rune) bool { return r == 0 }))
	planted, passed := 0, map[string]bool{}
	for _, m := range mistakes(t) {
		if *plantFlag == "all" || slices.Contains(strings.Split(*plantFlag, ","), m.name) {
			planted++
			m.catch(t, root, passed)
		}
	}
	if planted == 0 {
		t.Errorf("no such mistake: %s", *plantFlag)
	}
}

// catch plants a mistake, runs its test and takes the mistake back. passed are the tests that were seen to pass.
func (m mistake) catch(t *testing.T, root string, passed map[string]bool) {
	t.Helper()
	if test := strings.Join(m.test, " "); !passed[test] {
		if out, err := m.run(t, root); err != nil {
			t.Errorf("%s: %s fails without it: %v\n%s", m.name, test, err, tail(out))
			return
		}
		passed[test] = true
	}
	begun := time.Now()
	if err := m.apply(root); err != nil {
		t.Errorf("%s: %v", m.name, err)
	}
	out, err := m.run(t, root)
	copyFiles(t, root, m.paths())
	caught := failed.FindStringSubmatch(out)
	if err == nil || caught == nil {
		t.Errorf("%-28s NOT CAUGHT by %s: %v\n%s", m.name, strings.Join(m.test, " "), err, tail(out))
		return
	}
	t.Logf("%-28s caught by %s (%s) in %.0f s: %s", m.name, caught[1], m.test[0], time.Since(begun).Seconds(), reason(out))
}

// reason is the first line that says what failed.
func reason(out string) string {
	for _, line := range strings.Split(out, "\n") {
		if line = strings.TrimSpace(line); strings.Contains(line, "_test.go:") && !strings.Contains(line, ": seeds from ") {
			return line[:min(len(line), 150)]
		}
	}
	return ""
}

func tail(out string) string { return out[max(0, len(out)-2000):] }

func (m mistake) run(t *testing.T, root string) (string, error) {
	c := exec.CommandContext(t.Context(), "go", append([]string{"test", "-count=1", "-timeout", "10m"}, m.test...)...)
	c.Dir = root
	out, err := c.CombinedOutput()
	return string(out), err
}
