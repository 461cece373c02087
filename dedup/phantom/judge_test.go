package phantom

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// judge finds DCMTK's dcmdump, which knows nothing of this package.
func judge(t *testing.T) string {
	t.Helper()
	dcmdump, err := exec.LookPath("dcmdump")
	if err != nil {
		t.Skip("dcmdump is not there (Debian: apt-get install dcmtk)")
	}
	return dcmdump
}

// TestJudgeAccepts holds that another reader reads the good cases to their end, so that they are odd but DICOM.
func TestJudgeAccepts(t *testing.T) {
	dcmdump := judge(t)
	not := map[string]string{
		"ts/2.4.205":                    "a syntax newer than dcmdump: it does not know that the dataset is deflated",
		"frames/native-in-encapsulated": "dcmdump wants fragments; other readers take the value as it is",
		"sequence/deep-5000-delimited":  "dcmdump calls itself for each level, and its stack need not hold",
		"sequence/deep-5000-defined":    "the same",
		"sequence/deep-5000-implicit":   "the same",
		"sequence/not-items":            "dcmdump wants items; the value can be kept as bytes",
		"structure/syntax-private":      "dcmdump may refuse a syntax that it does not know",
		"structure/meta-length-wrong":   "versions of dcmdump differ in what they make of it",
		"structure/meta-length-zero":    "the same",
		"structure/meta-only":           "the same",
		"structure/meta-odd":            "the same",
		"structure/deflated-garbage":    "the same",
		"frames/fragment-nothing":       "the same",
		"structure/future-vr":           "the same",
		"private/groups":                "the same",
		"values/lengths-off":            "the same",
	}
	dir := t.TempDir()
	var names []string
	for _, c := range Cases() {
		if not[c.Name] != "" {
			continue
		}
		name := strings.ReplaceAll(c.Name, "/", "_")
		names = append(names, name)
		if err := os.WriteFile(filepath.Join(dir, name), c.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	all := exec.Command(dcmdump, append([]string{"--quiet"}, names...)...)
	all.Dir = dir
	if all.Run() == nil {
		return
	}
	for _, name := range names {
		one := exec.Command(dcmdump, "--quiet", name)
		one.Dir = dir
		var said strings.Builder
		one.Stderr = &said
		if err := one.Run(); err != nil {
			t.Errorf("dcmdump refuses %s: %v %s", name, err, said.String())
		}
	}
}

// TestJudgeStudies holds that a file of each sample study is DICOM, its number of frames included.
func TestJudgeStudies(t *testing.T) {
	dcmdump := judge(t)
	for _, s := range small() {
		name := filepath.Join(t.TempDir(), "phantom.dcm")
		file, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := range s.All() {
			if err := i.Write(file); err != nil {
				t.Fatal(err)
			}
			break
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(dcmdump, name).CombinedOutput()
		if err != nil || strings.Contains(string(out), "\nW: ") || strings.Contains(string(out), "\nE: ") || strings.HasPrefix(string(out), "W: ") {
			t.Errorf("dcmdump on study %+v: %v\n%.500s", s, err, out)
		}
	}
}
