package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/ingest"
	"github.com/dicomesh/dicomesh/dedup/ingest/stow"
)

// postedQuiet is for how long nothing more of a study must have been posted before its DICOMweb files are made.
const postedQuiet = time.Second

// posted are the studies of which serve has stored something that is not in their DICOMweb files yet.
type posted struct {
	generate func(context.Context, dedup.UID) error
	log      *slog.Logger

	mu   sync.Mutex // guards last
	last map[dedup.UID]time.Time
}

// door is where clients post to: into the archive of tree, with what is being received beside it.
func (p *posted) door(archive *ingest.Archive, tree string) *stow.Door {
	return stow.New(stow.Config{Archive: archive, Spool: filepath.Join(tree, ".dicomesh", "receiving"), Report: p.stored, Log: p.log})
}

// stored hears what became of an instance.
func (p *posted) stored(r ingest.Result) {
	if r.Status == ingest.Refused {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last[r.Study] = time.Now()
}

// run makes files until ctx ends, and then those that are left.
func (p *posted) run(ctx context.Context) {
	tick := time.NewTicker(postedQuiet / 4)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			p.make(ctx, time.Now().Add(-postedQuiet))
		}
	}
	last, done := context.WithTimeout(context.WithoutCancel(ctx), stopping)
	defer done()
	p.make(last, time.Now())
}

// make makes the files of studies of which nothing was posted since then.
func (p *posted) make(ctx context.Context, since time.Time) {
	for _, study := range p.quiet(since) {
		err := p.generate(ctx, study)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && ctx.Err() == nil {
			p.log.Warn("the DICOMweb files of a study could not be made: regen makes them", "error", err)
		}
	}
}

// quiet takes the studies of which nothing was posted since then.
func (p *posted) quiet(since time.Time) (studies []dedup.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for study, at := range p.last {
		if !at.After(since) {
			studies = append(studies, study)
			delete(p.last, study)
		}
	}
	return studies
}
