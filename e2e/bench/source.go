package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/dicomesh/dicomesh/dedup/phantom"
	"github.com/dicomesh/dicomesh/e2e/shareddata"
)

// shape is the study to measure with.
type shape struct {
	series, instances int
	tiny              bool // 8 by 8 pixels instead of 512 by 512
}

// makeStudy writes a study of that shape below folder: real metadata and pixels that gzip cannot shrink, made of a file of the shared corpus.
// Where the corpus is not there and phantoms will do, as in a smoke run, it writes phantoms.
func makeStudy(ctx context.Context, folder string, s shape, phantomsDo bool) error {
	maker, found := shareddata.Find("data", "make_study.py")
	if found && s.tiny {
		seed, _ := shareddata.Find("data", "dicom", "structure", "CT_small.dcm")
		return s.run(ctx, maker, seed, folder, "--tiny")
	}
	if found {
		seed, _ := shareddata.Find("data", "dicom", "study", "rt_phantom", "ct_1.dcm")
		return s.run(ctx, maker, seed, folder)
	}
	if !phantomsDo {
		return errors.New("the shared corpus is not there (a folder named shared beside the checkout, or DICOMESH_SHARED); --smoke can do without")
	}
	return s.phantoms(ctx, folder)
}

func (s shape) run(ctx context.Context, maker, seed, folder string, more ...string) error {
	args := append([]string{maker, seed, folder, "--series", strconv.Itoa(s.series), "--instances", strconv.Itoa(s.instances)}, more...)
	if err := command(ctx, "/usr/bin/python3", args...); err != nil {
		return fmt.Errorf("make a study (Debian: apt-get install python3-pydicom python3-numpy): %w", err)
	}
	return nil
}

func (s shape) phantoms(ctx context.Context, folder string) error {
	study := phantom.Study{Number: 1, Series: s.series, Instances: s.instances, Size: 512}
	if s.tiny {
		study.Size = 8
	}
	for i := range study.All() {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := filepath.Join(folder, i.Path())
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		file, err := os.Create(name)
		if err != nil {
			return err
		}
		if err := errors.Join(i.Write(file), file.Close()); err != nil {
			return err
		}
	}
	return nil
}
