package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// ingest compares dicomesh ingest with a copy that is as durable.
type ingest struct {
	Tiny   bool   `help:"20,000 instances of 8x8 pixels in 200 series, instead of 500 CT slices of 512x512 in 5."`
	Pairs  int    `default:"5" help:"How many pairs of runs."`
	Smoke  bool   `help:"20 slices, one pair, in a temporary folder without a file system of its own."`
	Dir    string `placeholder:"DIR" help:"Where the ext4 image lies (the folder for temporary files)."`
	Binary string `placeholder:"FILE" help:"The dicomesh to measure; built from this checkout if not given."`
}

// imageBytes is room for the source, a tree and a copy of either shape; the file is sparse.
const imageBytes = 6 << 30

// Run measures and prints the table.
func (b *ingest) Run(ctx context.Context) error {
	_, err := b.measure(ctx)
	return err
}

// measure prints the table, and returns the samples: dicomesh's, then the copy's.
func (b *ingest) measure(ctx context.Context) (samples [2][]sample, err error) {
	if b.Dir == "" {
		b.Dir = os.TempDir()
	}
	folder, done, err := b.place(ctx)
	if err != nil {
		return samples, err
	}
	defer func() { err = errors.Join(err, done()) }()
	binary, err := b.binary(ctx, folder)
	if err != nil {
		return samples, err
	}
	title, study := b.study()
	source := filepath.Join(folder, "source")
	if err := makeStudy(ctx, source, study, b.Smoke); err != nil {
		return samples, err
	}
	if err := command(ctx, "sync", "-f", folder); err != nil {
		return samples, err
	}
	input, err := measureFolder(source)
	if err != nil {
		return samples, err
	}
	both := [2]contender{
		{"dicomesh ingest", func(source, target string) []string { return []string{binary, "ingest", "--tree", target, source} }},
		{"cp -r, sync -f", copyDurably},
	}
	samples, err = pairs(ctx, b.Pairs, folder, source, both)
	if err != nil {
		return samples, err
	}
	return samples, report(os.Stdout, fmt.Sprintf("%s, %s/%s, %d CPUs", title, runtime.GOOS, runtime.GOARCH, runtime.NumCPU()), input, both, samples)
}

// copyDurably is what an administrator would do.
func copyDurably(source, target string) []string {
	return []string{"sh", "-c", `cp -r "$1" "$2" && sync -f "$2"`, "sh", source, target}
}

// study is what to measure with, and its title.
func (b *ingest) study() (string, shape) {
	switch {
	case b.Smoke:
		b.Pairs = 1
		return "smoke", shape{2, 10, b.Tiny}
	case b.Tiny:
		return "tiny instances", shape{200, 100, true}
	}
	return "CT slices", shape{5, 100, false}
}

// place is the folder to measure in, and what removes it.
func (b *ingest) place(ctx context.Context) (string, func() error, error) {
	if b.Smoke {
		folder, err := os.MkdirTemp(b.Dir, "dicomesh-bench-")
		return folder, func() error { return os.RemoveAll(folder) }, err
	}
	d, err := newDisk(ctx, b.Dir, imageBytes)
	if err != nil {
		return "", nil, err
	}
	return d.Mount, d.Close, nil
}

// binary is the program to measure.
func (b *ingest) binary(ctx context.Context, folder string) (string, error) {
	if b.Binary != "" {
		return filepath.Abs(b.Binary)
	}
	binary := filepath.Join(folder, "dicomesh")
	return binary, command(ctx, "go", "build", "-o", binary, "github.com/dicomesh/dicomesh/cmd/dicomesh")
}
