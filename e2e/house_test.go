package e2e

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	longestFunction = 60
	longestFile     = 500
)

// TestPackageComments holds that each package says what it is for.
func TestPackageComments(t *testing.T) {
	said := map[string]bool{}
	for _, s := range sources(t) {
		if !s.test {
			said[s.pkg] = said[s.pkg] || strings.TrimSpace(s.syntax.Doc.Text()) != ""
		}
	}
	for pkg, has := range said {
		if !has {
			t.Errorf("package %s has no comment", pkg)
		}
	}
}

// TestSizes holds that functions and files of shipped code stay readable.
func TestSizes(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		if n := strings.Count(s.text, "\n"); n > longestFile {
			t.Errorf("%s has %d lines, more than %d", s.path, n, longestFile)
		}
		for _, d := range s.syntax.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				if n := s.line(f.End()) - s.line(f.Pos()) + 1; n > longestFunction {
					t.Errorf("%s:%d: %s has %d lines, more than %d", s.path, s.line(f.Pos()), f.Name.Name, n, longestFunction)
				}
			}
		}
	}
}

// TestForbidden holds that some things are not done here at all.
func TestForbidden(t *testing.T) {
	for _, s := range sources(t) {
		ast.Inspect(s.syntax, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Name.Name == "init" && n.Recv == nil {
					t.Errorf("%s:%d: init() runs unasked: hand the value in, or make it where it is used", s.path, s.line(n.Pos()))
				}
			case *ast.SelectorExpr:
				forbiddenCall(t, s, n)
			}
			return true
		})
	}
}

func forbiddenCall(t *testing.T, s source, n *ast.SelectorExpr) {
	t.Helper()
	pkg, ok := n.X.(*ast.Ident)
	if !ok {
		return
	}
	switch call := pkg.Name + "." + n.Sel.Name; {
	case (call == "context.Background" || call == "context.TO"+"DO") && !s.in("cmd", "e2e"):
		t.Errorf("%s:%d: %s: take the context of the caller (in tests t.Context())", s.path, s.line(n.Pos()), call)
	case call == "time.Sleep" && s.test:
		t.Errorf("%s:%d: time.Sleep in a test: wait for what is awaited, or use testing/synctest", s.path, s.line(n.Pos()))
	}
}

// TestFinished holds that no file says that it is unfinished. The words are put together here so that this file does not say them.
func TestFinished(t *testing.T) {
	words := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X|not imple` + `mented|unimple` + `mented)\b`)
	for _, s := range sources(t) {
		for i, line := range strings.Split(s.text, "\n") {
			if word := words.FindString(line); word != "" {
				t.Errorf("%s:%d: %s", s.path, i+1, word)
			}
		}
	}
}

// TestNoMachinePaths holds that nothing in the tree means one developer's machine.
func TestNoMachinePaths(t *testing.T) {
	machine := regexp.MustCompile(`(^|[^\w.}])/(` + `work|root|home)/[\w.]`)
	for _, path := range files(t) {
		text, err := os.ReadFile(filepath.Join(root(t), path))
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			if found := machine.FindString(line); found != "" && len(line) < 2000 {
				t.Errorf("%s:%d: %s…", path, i+1, found)
			}
		}
	}
}

// TestUsualFiles holds that what a newcomer looks for first is there.
func TestUsualFiles(t *testing.T) {
	for _, path := range []string{"README.md", "LICENSE", "CHANGELOG.md", ".ci/run", "e2e/test", "e2e/first"} {
		info, err := os.Stat(filepath.Join(root(t), path))
		if err != nil {
			t.Error(err)
			continue
		}
		if script := strings.HasPrefix(path, ".ci") || strings.HasPrefix(path, "e2e"); script && info.Mode()&0o111 == 0 {
			t.Errorf("%s cannot be executed", path)
		}
	}
}
