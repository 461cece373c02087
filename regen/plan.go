package regen

import (
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/zeebo/blake3"
)

// level is when a file becomes visible: after all files of lower levels are.
type level uint8

const (
	ofWarning  level = iota // the old status, when frames are going to be replaced
	ofInstance              // frames, thumbnails, bulkdata
	ofSeries                // metadata and instances
	ofStudy                 // series, studies, deduplicated
	ofStatus                // the status
)

// file is one file that a study should have. Its content comes from the archive as it is (ref), or from content, or from what open opens.
type file struct {
	path    string // below studies/<UID>/
	level   level
	key     string // what it is made of: with an equal key it has equal content
	ref     dedup.Ref
	content func() ([]byte, error)
	sealed  bool // the content says from what it was made, so under another key it is never the same
	open    func() (io.ReadCloser, error)
}

// gzipped reports whether content is compressed when it is written.
func (f file) gzipped() bool { return strings.HasSuffix(f.path, ".gz") }

// plan is every file that the study should have, in the order of levels. Contents that are dear are made when they are asked for.
func (s *study) plan(thumbnails bool) ([]file, error) {
	if err := s.load(); err != nil {
		return nil, err
	}
	if len(s.all) == 0 {
		return nil, nil
	}
	var files []file
	for _, instances := range s.series() {
		files = append(files, s.seriesPlan(instances, thumbnails)...)
	}
	files = append(files, s.bulkPlan()...)
	studyFiles, err := s.studyPlan()
	if err != nil {
		return nil, err
	}
	files = append(files, studyFiles...)
	slices.SortStableFunc(files, func(a, b file) int { return int(a.level) - int(b.level) })
	return files, nil
}

func (s *study) seriesPlan(instances []*instance, thumbnails bool) []file {
	dir := "series/" + instances[0].series.String() + "/"
	var files []file
	var pictures []*picture
	for _, i := range instances {
		own := dir + "instances/" + i.sop.String() + "/"
		frames := s.framePlan(i, own)
		files = append(files, frames...)
		if p := newPicture(s, i, frames); p != nil && thumbnails {
			files = append(files, p.file(own+"thumbnail"))
			pictures = append(pictures, p)
		}
	}
	if p := middle(pictures); p != nil {
		files = append(files, p.file(dir+"thumbnail"))
	}
	json := newSeriesFiles(s, instances)
	return append(files,
		file{path: dir + "metadata.gz", level: ofSeries, key: json.key(), content: json.takeMetadata, sealed: true},
		file{path: dir + "instances.gz", level: ofSeries, key: json.key(), content: json.takeQuery, sealed: true})
}

// framePlan are the frames of one instance.
func (s *study) framePlan(i *instance, dir string) []file {
	switch {
	case i.pixels == nil:
		return nil
	case i.pixels.foreign != nil:
		return s.foreignPlan(i, dir)
	case i.pixels.video:
		return []file{stored(dir+"pixeldata", i.pixels.frames[0])}
	}
	if c, ok := s.cut(i); ok {
		return s.cutPlan(c, dir)
	}
	var files []file
	for n, ref := range i.pixels.frames {
		files = append(files, stored(dir+"frames/"+strconv.Itoa(n+1), ref))
	}
	return files
}

// stored is a file that is one of the archive's.
func stored(path string, ref dedup.Ref) file {
	return file{path: path, level: ofInstance, key: ref.Path(), ref: ref}
}

// bulkPlan is the bulkdata that the JSON refers to.
func (s *study) bulkPlan() []file {
	seen := make(map[dedup.Ref]bool)
	var files []file
	for _, i := range s.all {
		for _, ref := range i.bulk {
			if !seen[ref] {
				seen[ref] = true
				files = append(files, stored(BulkPath(ref), ref))
			}
		}
		for _, f := range s.joinedPlan(i) {
			if ref := (dedup.Ref{Class: dedup.Other, Name: f.path}); !seen[ref] {
				seen[ref] = true
				files = append(files, f)
			}
		}
	}
	return files
}

// BulkPath is where a bulkdata file is in the current tree, below its study: as its URI says, with .gz for JSON, as all JSON has it.
func BulkPath(ref dedup.Ref) string {
	if strings.HasPrefix(ref.Ext, ".json") {
		return served(ref) + ".gz"
	}
	return served(ref)
}

// studyPlan are the files about the whole study. The queries are cheap, and are made to know whether they changed.
func (s *study) studyPlan() ([]file, error) {
	series, err := s.seriesQuery()
	if err != nil {
		return nil, fmt.Errorf("series query: %w", err)
	}
	study, err := s.studyQuery()
	if err != nil {
		return nil, fmt.Errorf("study query: %w", err)
	}
	status, err := s.status()
	if err != nil {
		return nil, fmt.Errorf("status: %w", err)
	}
	return []file{
		fresh("series.gz", ofStudy, series),
		fresh("studies.gz", ofStudy, study),
		fresh(statusName, ofStatus, status),
		{path: "deduplicated.gz", level: ofStudy, key: Version + "." + s.leaves.String()[:32], content: s.deduplicated, sealed: true},
	}, nil
}

func fresh(path string, l level, content []byte) file {
	sum := blake3.Sum256(content)
	return file{path: path, level: l, key: hex.EncodeToString(sum[:16]), content: func() ([]byte, error) { return content, nil }}
}
