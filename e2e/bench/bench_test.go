package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPairs measures a copy against itself: who is first changes, all is cleaned up, and the table says what was moved.
func TestPairs(t *testing.T) {
	folder := t.TempDir()
	source := filepath.Join(folder, "source")
	if err := (shape{1, 3, true}).phantoms(t.Context(), source); err != nil {
		t.Fatal(err)
	}
	input, err := measureFolder(source)
	if err != nil || input.files != 3 {
		t.Fatalf("%d files made, %v", input.files, err)
	}
	both := [2]contender{{"one", copyDurably}, {"other", copyDurably}}
	samples, err := pairs(t.Context(), 2, folder, source, both)
	if err != nil || len(samples[0]) != 2 || len(samples[1]) != 2 {
		t.Fatalf("%d and %d samples, %v", len(samples[0]), len(samples[1]), err)
	}
	if samples[0][0].stored != input || samples[0][0].wall <= 0 {
		t.Errorf("a copy of %+v is measured as %+v", input, samples[0][0])
	}
	var table strings.Builder
	if err := report(&table, "null", input, both, samples); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(table.String(), "| 1.0000 | 1.0000 |") || !strings.Contains(table.String(), "one takes ") {
		t.Errorf("the table is\n%s", table.String())
	}
	if _, err := os.Stat(filepath.Join(folder, "target")); !os.IsNotExist(err) {
		t.Errorf("the target is left behind: %v", err)
	}
}

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   spread
	}{{[]float64{3, 1, 2}, spread{1, 2, 3}}, {[]float64{4, 1, 2, 3}, spread{1, 2.5, 4}}, {[]float64{7}, spread{7, 7, 7}}} {
		if got := spreadOf(c.values); got != c.want {
			t.Errorf("spread of %v is %v, want %v", c.values, got, c.want)
		}
	}
}

// TestSmoke runs the ingest scenario as a user would, small.
func TestSmoke(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "dicomesh")
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/dicomesh/dicomesh/cmd/dicomesh").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	help, err := exec.Command(binary, "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(help), "\n  ingest ") {
		t.Skip("dicomesh has no ingest yet")
	}
	for _, tiny := range []bool{false, true} {
		b := &ingest{Tiny: tiny, Smoke: true, Dir: t.TempDir(), Binary: binary}
		if err := b.Run(t.Context()); err != nil {
			t.Error(err)
		}
		left, err := os.ReadDir(b.Dir)
		if err != nil || len(left) != 0 {
			t.Errorf("%d files left behind, %v", len(left), err)
		}
	}
}

// TestTable: each rival is set beside dicomesh at the same job, and a job that is lost says so.
func TestTable(t *testing.T) {
	var table strings.Builder
	err := writeTable(&table, []line{
		{"a", mine, "s", []float64{2, 3, 1}, ""},
		{"a", "slow", "s", []float64{5}, "much"},
		{"a", "fast", "s", []float64{0.5}, ""},
		{"b", "alone", "ms", []float64{123.4}, ""},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| a | dicomesh | 2.00 s | 1.00 | 3.00 | 3 |  |  |\n",
		"| a | slow | 5.00 s | 5.00 | 5.00 | 1 | 2.50 x better | much |\n",
		"| a | fast | 0.500 s | 0.500 | 0.500 | 1 | **4.00 x worse** |  |\n",
		"| b | alone | 123 ms | 123 | 123 | 1 |  |  |\n",
	} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("%q is not in\n%s", want, table.String())
		}
	}
}
