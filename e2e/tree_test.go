package e2e

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/dicomesh/dicomesh"

// source is one Go file of the tree, parsed.
type source struct {
	path    string // relative to the root, with slashes
	pkg     string // folder of path, "" for the root
	test    bool
	text    string
	syntax  *ast.File
	fileset *token.FileSet
}

// in reports whether the file is in one of these folders or below them.
func (s source) in(folders ...string) bool {
	for _, f := range folders {
		if s.pkg == f || strings.HasPrefix(s.pkg, f+"/") {
			return true
		}
	}
	return false
}

// line is the line number of a position.
func (s source) line(p token.Pos) int { return s.fileset.Position(p).Line }

// imports are the paths that the file imports.
func (s source) imports() []string {
	var paths []string
	for _, i := range s.syntax.Imports {
		paths = append(paths, strings.Trim(i.Path.Value, "`\""))
	}
	return paths
}

// root is the folder of go.mod.
func root(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		t.Fatalf("this test reads the checkout that it lies in: %v", err)
	}
	return dir
}

// files are the paths of all files of the tree, without folders that begin with a dot, but with .ci.
func files(t testing.TB) []string {
	t.Helper()
	var paths []string
	dir := root(t)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != ".ci" && rel != "." {
			return filepath.SkipDir
		}
		if d.Type().IsRegular() {
			paths = append(paths, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// sources are the Go files of the tree. They are parsed once for all tests, which only read them.
func sources(t testing.TB) []source {
	t.Helper()
	parsed.Do(func() { parsed.all = parse(t) })
	return parsed.all
}

var parsed struct {
	sync.Once
	all []source
}

func parse(t testing.TB) (all []source) {
	t.Helper()
	fileset := token.NewFileSet()
	for _, path := range files(t) {
		if !strings.HasSuffix(path, ".go") || strings.Contains(path, "testdata/") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root(t), path))
		if err != nil {
			t.Fatal(err)
		}
		syntax, err := parser.ParseFile(fileset, path, text, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		pkg, _, _ := cutLast(path, "/")
		all = append(all, source{path, pkg, strings.HasSuffix(path, "_test.go"), string(text), syntax, fileset})
	}
	return all
}

// cutLast is strings.Cut at the last sep; before is "" where there is none.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return "", s, false
}
