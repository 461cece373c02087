package part10

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/e2e/shareddata"
)

// corpusFile is one real file of others.
type corpusFile struct {
	name string // its path in the corpus
	data []byte
}

// folder is where it stands: bad, dicomdir, or one of the sound ones.
func (f corpusFile) folder() string { return strings.SplitN(f.name, "/", 2)[0] }

// corpus is every DICOM file of the corpus, in order.
func corpus(t testing.TB) []corpusFile {
	t.Helper()
	root := shareddata.Dir(t, "data", "dicom")
	var files []corpusFile
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(root, path)
		switch {
		case err != nil:
			return err
		case d.IsDir() && name == "oracle":
			return filepath.SkipDir
		case d.IsDir() || !strings.Contains(name, "/"): // the manifest
			return nil
		}
		data, err := os.ReadFile(path)
		files = append(files, corpusFile{filepath.ToSlash(name), data})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// sound is the files that are to be taken and given back.
func sound(t testing.TB) []corpusFile {
	files := slices.DeleteFunc(corpus(t), func(f corpusFile) bool { return f.folder() == "bad" || f.folder() == "dicomdir" })
	if len(files) != 136 {
		t.Errorf("the corpus has %d sound files, it had 136", len(files))
	}
	return files
}

// TestCorpusExact takes every real file apart and gives it back byte for byte, at the price of a small residue without a byte of pixels.
func TestCorpusExact(t *testing.T) {
	var costs []float64
	for _, f := range sound(t) {
		t.Run(f.name, func(t *testing.T) {
			p, m := thereAndBack(t, f.data)
			costs = append(costs, float64(p.Residue)/float64(len(f.data)))
			if !strings.Contains(f.name, "dfl") && !strings.Contains(f.name, "Deflated") {
				noPixelsInResidue(t, p, m, f.data)
			}
		})
	}
	slices.Sort(costs)
	t.Logf("residue: median %.3f %%, 90th percentile %.2f %%, highest %.2f %% of the file",
		100*costs[len(costs)/2], 100*costs[len(costs)*9/10], 100*costs[len(costs)-1])
	if median := costs[len(costs)/2]; median > 0.02 {
		t.Errorf("the median residue is %.2f %% of the file", 100*median)
	}
}

// noPixelsInResidue holds that no byte that the residue inserts stands in the value of Pixel Data, but for the headers of items and the padding of fragments.
func noPixelsInResidue(t *testing.T, p *Parts, m *memory, file []byte) {
	t.Helper()
	_, d := m.merged(p)
	if len(d.Encoding) > 2 {
		t.Errorf("%d bulkdata files that only the residue refers to", len(d.Encoding)-2)
	}
	pixels := pixelBytes(t, file)
	for _, span := range inserted(t, p, m) {
		for _, frame := range pixels {
			if from, to := max(span[0], frame[0]), min(span[1], frame[1]); from < to {
				t.Errorf("the residue inserts bytes %d to %d of the file, which are pixels", from, to)
			}
		}
	}
}

// inserted is which bytes of the file come from the residue itself.
func inserted(t *testing.T, p *Parts, m *memory) [][2]int64 {
	t.Helper()
	object, d := m.merged(p)
	r, err := Rebuild(object, d, m)
	if err != nil {
		t.Fatal(err)
	}
	plain := d
	plain.Encoding, plain.FileSize, plain.File = d.Encoding[:1], 0, [32]byte{}
	unchanged, err := Rebuild(object, plain, m)
	if err != nil {
		t.Fatal(err)
	}
	var spans [][2]int64
	at := int64(0)
	for _, q := range r.layout.pieces {
		if q.bulk == noBulk && q.at >= int64(len(unchanged.layout.literal)) {
			spans = append(spans, [2]int64{at, at + q.n})
		}
		at += q.n
	}
	return spans
}

// pixelBytes is where the bytes of root Pixel Data stand in a file: of each fragment without its last, which may be padding.
func pixelBytes(t *testing.T, file []byte) [][2]int64 {
	t.Helper()
	tk := newTaker(new(Scratch), bytes.NewReader(file), int64(len(file)), peekSize)
	if err := tk.start(); err != nil {
		t.Fatal(err)
	}
	var spans [][2]int64
	table := false
	for {
		tok, err := tk.scan.next()
		if err != nil {
			return spans
		}
		switch root := len(tk.scan.levels) == 0; {
		case tok.kind == atPixels:
			table = true
		case tok.kind == atFragment && table:
			table = false
		case tok.kind == atFragment || tok.kind == atElement && root && isPixels(tok.tag):
			if tok.length > 1 {
				spans = append(spans, [2]int64{tk.scan.off, tk.scan.off + tok.length - 1})
			}
		}
		if err := tk.scan.skip(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCorpusRefused refuses every broken file and says where it breaks.
func TestCorpusRefused(t *testing.T) {
	place := regexp.MustCompile(`at byte \d+|\([0-9A-F]{4},[0-9A-F]{4}\)`)
	for _, f := range corpus(t) {
		if f.folder() != "bad" {
			continue
		}
		m := newMemory()
		p, err := Take(bytes.NewReader(f.data), int64(len(f.data)), m)
		if f.name == "bad/invalid-vr-length-test.dcm" { // sound but for one value
			if want := "(0008,0031) TM value of 17 bytes is longer than 16"; err != nil || !slices.Equal(p.Remarks, []string{want}) {
				t.Errorf("%s: %v, remarks %q", f.name, err, p.Remarks)
			}
			continue
		}
		if !errors.Is(err, ErrFormat) || !place.MatchString(err.Error()) || m.open != 0 {
			t.Errorf("%s: %v, %d left open", f.name, err, m.open)
		}
	}
}

// TestCorpusDICOMDIR takes what is no instance as well: who needs an instance sees that it has no UID.
func TestCorpusDICOMDIR(t *testing.T) {
	for _, f := range corpus(t) {
		if f.folder() == "dicomdir" {
			thereAndBack(t, f.data)
		}
	}
}

// judge is the outside judge of round trips: every pair of files in two folders, by oracle.py's diff.
const judge = `
import os, sys
sys.path.insert(0, sys.argv[1])
import oracle
sys.setrecursionlimit(20000)
for name in sorted(os.listdir(sys.argv[2])):
    a, b = (os.path.join(folder, name) for folder in sys.argv[2:4])
    try:
        lines = oracle.diff(a, b)
    except Exception as problem:
        lines = ["unreadable: %s: %s" % (type(problem).__name__, problem)]
    for line in lines:
        print(name.replace("__", "/"), line)
`

// TestCorpusWithoutResidues rebuilds every file without its residue and asks another reader whether anything is missing.
func TestCorpusWithoutResidues(t *testing.T) {
	python, oracle := "/usr/bin/python3", filepath.Dir(shareddata.Dir(t, "data", "oracle.py"))
	if err := exec.Command(python, "-c", "import pydicom").Run(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("python3-pydicom is not there, and CI=true: install Debian's package python3-pydicom")
		}
		t.Skip("python3-pydicom is not there: install Debian's package python3-pydicom")
	}
	before, after := t.TempDir(), t.TempDir()
	for _, f := range sound(t) {
		p, m := taken(t, f.data)
		m.withoutResidues()
		object, d := m.merged(p)
		r, err := Rebuild(object, d, m)
		if needed := p.Residue > 0 || len(d.Encoding) > 2; needed != errors.Is(err, ErrNotExact) || err != nil && !needed || r == nil {
			t.Fatalf("%s: %v with a residue of %d bytes", f.name, err, p.Residue)
		}
		flat := strings.ReplaceAll(f.name, "/", "__")
		for path, data := range map[string][]byte{filepath.Join(before, flat): f.data, filepath.Join(after, flat): written(t, r, m)} {
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	out, err := exec.Command(python, "-c", judge, oracle, before, after).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v\n%.4000s", err, out)
	}
}
