package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadme runs the README's commands as they stand there: every sh block that is marked.
//
//	<!-- run -->                    in one fresh folder for all blocks of the page, with dicomesh on the path
//	<!-- run in the checkout -->    in the checkout, which they leave as it is
func TestReadme(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)<!-- (run[^>]*) -->\n```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) == 0 || len(blocks) != strings.Count(string(text), "<!-- run") {
		t.Fatalf("%d blocks to run, %d marks", len(blocks), strings.Count(string(text), "<!-- run"))
	}
	folder, temporary := t.TempDir(), t.TempDir()
	for _, b := range blocks {
		shell := exec.Command("bash", "-euxo", "pipefail", "-c", b[2])
		shell.Dir = folder
		if b[1] == "run in the checkout" {
			shell.Dir = root(t)
		}
		shell.Env = append(os.Environ(), "PATH="+path(), "TMPDIR="+temporary)
		if out, err := shell.CombinedOutput(); err != nil {
			t.Fatalf("the README says\n%s\nbut: %v\n%s", b[2], err, out)
		}
	}
}

// TestReadmeTests holds that each test that the README names as a guarantee's is there, in the package that it names.
func TestReadmeTests(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	last, names := "", 0 // the test files of the package named last
	for _, m := range regexp.MustCompile("`([a-z0-9/]+)`|`(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(string(text), -1) {
		folder := m[1]
		if folder != "" {
			files, err := filepath.Glob(filepath.Join(root(t), folder, "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			all := ""
			for _, name := range files {
				source, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				all += string(source)
			}
			if all != "" {
				last = all
			}
			continue
		}
		names++
		if !strings.Contains(last, "func "+m[2]+"(") {
			t.Errorf("the README names %s, which is not in the package named before it", m[2])
		}
	}
	if names < 10 {
		t.Errorf("the README names %d tests", names)
	}
}

// TestReadmeCommands holds that the README's table of commands is what the binary lists.
func TestReadmeCommands(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	help, err := exec.Command(filepath.Join(binDir(), "dicomesh"), "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(help), "Commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^  ([a-z]+)`).FindAllStringSubmatch(list, -1) {
		listed[m[1]] = true
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `dicomesh ([a-z]+)").FindAllStringSubmatch(string(text), -1) {
		if !listed[m[1]] {
			t.Errorf("the README tells of %s, which the binary does not list", m[1])
		}
		delete(listed, m[1])
	}
	for name := range listed {
		t.Errorf("the binary lists %s, of which the README's table says nothing", name)
	}
}
