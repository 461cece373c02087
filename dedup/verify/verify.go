package verify

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/index"
)

// Recorder is told what was read of files that are not corrupt, a study at a time, in order. It keeps it: in the index, in the digest log.
type Recorder interface {
	Record(ctx context.Context, study dedup.UID, r Reading) error
}

// Reading is what was read of a study.
type Reading struct {
	Files   []index.Entry // every file that was read and is not corrupt
	Unknown []index.Entry // of those: the ones of which nobody can tell
	Leaf    dedup.Digest  // of the study's leaves
}

// Config says what is verified, and how.
type Config struct {
	Tree    durable.Reader
	Index   *index.Index // what the state folder knows, with its digest log; nil: nothing
	Deep    bool         // read every byte
	Workers int          // files that are read at the same time; 0: one for each processor
	Record  Recorder     // nil: nothing is kept. Needs Deep
	// Report, if not nil, hears how far a Run is, from one goroutine at a time. Then all files are counted first.
	Report func(Progress)
}

// Checker verifies studies of one tree.
type Checker struct {
	config Config
	tree   dedup.Tree
	idle   chan *tools // one for each file that may be read now
	large  sync.Mutex  // one large file of objects at a time

	mu       sync.Mutex // guards progress
	progress Progress
}

// New makes a Checker. It touches nothing.
func New(c Config) *Checker {
	if c.Workers <= 0 {
		c.Workers = runtime.GOMAXPROCS(0)
	}
	checker := &Checker{config: c, tree: dedup.NewTree(c.Tree), idle: make(chan *tools, c.Workers)}
	for range c.Workers {
		checker.idle <- &tools{}
	}
	return checker
}

// tools are what one file after another is read with.
type tools struct {
	index.Meter
	gzip  dedup.Compressor
	again []byte // compressed again
	text  []byte // JSON
}

// Run verifies every study of the tree, and those that the index or the digest log knows and the tree has not. found hears each finding, from one goroutine,
// in the order of studies and, within one, of paths. An error means that the verification could not be finished, not that something was found.
func (c *Checker) Run(ctx context.Context, found func(Finding)) (Summary, error) {
	var total Summary
	studies, strays, err := c.tree.Studies()
	if err != nil {
		return total, err
	}
	for _, f := range c.besideStudies(strays) {
		total.count(f.Kind)
		found(f)
	}
	studies, err = c.knownStudies(ctx, studies)
	switch {
	case errors.Is(err, index.ErrDamaged):
		unusable := Finding{Kind: CannotTell, Path: "index.db", What: "the index is damaged, and only a cache: what it alone would know is not looked at"}
		total.count(unusable.Kind)
		found(unusable)
	case err != nil:
		return total, err
	}
	if c.config.Report != nil {
		if c.progress.FilesTotal, c.progress.BytesTotal, err = c.tree.Measure(ctx, studies); err != nil {
			return total, err
		}
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	for r := range c.inOrder(ctx, studies) {
		if r.err != nil {
			return total, fmt.Errorf("verify study: %w", r.err)
		}
		if err := c.record(ctx, &r); err != nil {
			return total, fmt.Errorf("record study: %w", err)
		}
		total.add(r.summary)
		for _, f := range r.findings {
			found(f)
		}
	}
	return total, ctx.Err()
}

// Study verifies one study, as Run does.
func (c *Checker) Study(ctx context.Context, uid dedup.UID, found func(Finding)) (Summary, error) {
	r := c.study(ctx, uid)
	if r.err == nil {
		r.err = c.record(ctx, &r)
	}
	if r.err != nil {
		return r.summary, fmt.Errorf("verify study: %w", r.err)
	}
	for _, f := range r.findings {
		found(f)
	}
	return r.summary, nil
}

// inOrder verifies as many studies at a time as there are workers, and hands the results over in the order of the studies. The channel is drained, or ctx ended.
func (c *Checker) inOrder(ctx context.Context, studies []dedup.UID) <-chan result {
	out := make(chan result)
	waiting := make(chan chan result, c.config.Workers)
	go func() {
		defer close(waiting)
		for _, uid := range studies {
			one := make(chan result, 1)
			select {
			case waiting <- one:
			case <-ctx.Done():
				return
			}
			go func() { one <- c.study(ctx, uid) }()
		}
	}()
	go func() {
		defer close(out)
		for one := range waiting {
			r := <-one
			select {
			case out <- r:
			case <-ctx.Done():
			}
		}
	}()
	return out
}

// besideStudies are findings about no study: names that are none, and damage to the digest log.
func (c *Checker) besideStudies(strays []dedup.Finding) []Finding {
	var out []Finding
	for _, s := range strays {
		out = append(out, Finding{Kind: Unexpected, Path: s.Path, What: s.Reason})
	}
	if c.config.Index != nil {
		for _, d := range c.config.Index.Digests.Damage {
			out = append(out, Finding{Kind: Corrupt, Path: "digests", What: d.String()})
		}
	}
	slices.SortFunc(out, Finding.compare)
	return out
}

// knownStudies adds the studies that somebody knows. With an index.ErrDamaged come all that the rest knows.
func (c *Checker) knownStudies(ctx context.Context, studies []dedup.UID) (all []dedup.UID, damage error) {
	if c.config.Index == nil {
		return studies, nil
	}
	for s, err := range c.config.Index.Studies(ctx, 0) {
		if errors.Is(err, index.ErrDamaged) {
			damage = err
			break
		} else if err != nil {
			return nil, err
		}
		studies = append(studies, s.UID)
	}
	for uid, err := range c.config.Index.Digests.Studies() {
		if err != nil {
			return nil, err
		}
		studies = append(studies, uid)
	}
	slices.SortFunc(studies, dedup.UID.Compare)
	return slices.Compact(studies), damage
}

// tell reports one more file.
func (c *Checker) tell(bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.progress.Files, c.progress.Bytes = c.progress.Files+1, c.progress.Bytes+bytes
	if c.config.Report != nil {
		c.config.Report(c.progress)
	}
}

// record hands what was read to the Recorder.
func (c *Checker) record(ctx context.Context, r *result) error {
	if c.config.Record == nil || r.reading.Files == nil {
		return nil
	}
	if err := c.config.Record.Record(ctx, r.study, r.reading); err != nil {
		return err
	}
	r.summary.Recorded = int64(len(r.reading.Unknown))
	return nil
}
