package staticwado

import (
	"context"
	"fmt"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
)

// stagingFolder is where files wait for their commit, as in package ingest.
const stagingFolder = ".dicomesh/tmp"

// Import takes all studies of source over into tree. What is wrong with a file, an instance or a study is reported, and the rest goes on; an error
// means that the tree cannot be written, or that ctx ended: what was reported until then is durable.
func Import(ctx context.Context, tree durable.FS, source durable.Reader, c Config) (Summary, error) {
	r := &run{config: c.withDefaults(), tree: tree, source: source}
	r.summary.Instances = make(map[Status]int)
	if !c.DryRun {
		if _, err := durable.Sweep(tree, stagingFolder); err != nil {
			return r.summary, err
		}
		staging, err := durable.OpenStaging(tree, stagingFolder)
		if err != nil {
			return r.summary, err
		}
		defer staging.Close()
		r.staging = staging
	}
	studies, findings, err := dedup.NewTree(source).Studies()
	if err != nil {
		return r.summary, err
	}
	for _, f := range findings {
		r.skip(f.Path, f.Reason)
	}
	for _, uid := range studies {
		if err := ctx.Err(); err != nil {
			return r.summary, err
		}
		if err := r.study(ctx, uid); err != nil {
			return r.summary, fmt.Errorf("import: %w", err)
		}
	}
	return r.summary, nil
}

// run is one Import.
type run struct {
	config  Config
	tree    durable.FS // of a dry run only read
	source  durable.Reader
	staging *durable.Staging // nil in a dry run
	summary Summary
	gzip    dedup.Compressor
}

func (r *run) skip(path, reason string) {
	r.summary.Skipped++
	r.config.Skip(dedup.Finding{Path: path, Reason: reason})
}

// study takes one study over. A source that cannot be read is skipped.
func (r *run) study(ctx context.Context, uid dedup.UID) error {
	s, err := r.open(uid)
	if s == nil || err != nil {
		return err
	}
	r.summary.Studies++
	s.plan()
	if !r.config.DryRun {
		if err := s.take(ctx); err != nil {
			return err
		}
	}
	s.report()
	return nil
}

// take writes a study: bulkdata, what is converted, the rest, and then what speaks of all that.
func (s *study) take(ctx context.Context) error {
	var err error
	if s.out, err = newWriter(s.run, s.uid); err != nil {
		return err
	}
	defer s.out.discard()
	for _, step := range []func(context.Context) error{s.takeBulk, s.convertAll, s.takeOthers, s.takeHeads} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return s.record()
}
