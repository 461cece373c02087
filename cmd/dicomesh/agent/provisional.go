package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/regen"
	"github.com/dicomesh/dicomesh/settle"
)

// provisionalFolder is where output lies that no reader is shown as current.
const provisionalFolder = ".dicomesh/provisional"

// provisional is the output that is made of held studies while the cluster is split, where the operator chose that (settle.when_split), in a current tree of its own. A study has some, and readers are shown it, from when a
// record says so (settle.Record.Provisional) until one says that it has none any more; then its files go. Its methods may be called from several goroutines.
type provisional struct {
	current Folder                       // in which the tree lies
	open    func() (Folder, error)       // opens the tree; fs.ErrNotExist if it is not there
	clean   func(Folder) provisionalGone // removes files of a tree
	allowed bool                         // the operator wants such output
	log     *slog.Logger
	wake    chan struct{} // of one: there are files to remove

	mu   sync.Mutex         // guards all below
	tree Folder             // nil: none was needed so far
	has  map[dedup.UID]bool // studies that have files: whether readers are shown them
	over map[dedup.UID]bool // studies whose files are to go
}

// provisionalGone removes the files of one study, unless may has something against it when no round of it runs.
type provisionalGone func(study dedup.UID, may func() error) error

// openAside takes in what there is of provisional output.
func (s *site) openAside(ctx context.Context) error {
	s.aside = s.newProvisional()
	s.closing(s.aside.close)
	err := s.aside.find(func(study dedup.UID) (settle.Record, error) {
		row, _, err := s.index.Study(ctx, study)
		if err != nil {
			return settle.Record{}, err
		}
		r, _ := decodeRecord(study, row.State) // one that cannot be read speaks of no output
		return r, nil
	})
	if err != nil {
		return fmt.Errorf("provisional output of an earlier run: %w", err)
	}
	return nil
}

func (s *site) newProvisional() *provisional {
	path := filepath.Join(s.config.Paths.Current, provisionalFolder)
	return &provisional{current: s.current, allowed: s.config.Settle.WhenSplit == "provisional", log: s.log, wake: make(chan struct{}, 1),
		has: map[dedup.UID]bool{}, over: map[dedup.UID]bool{},
		open: func() (Folder, error) { return s.config.Machine.Folder(path) },
		clean: func(tree Folder) provisionalGone {
			g := regen.New(regen.Config{Archive: s.tree, Current: tree, Memory: s.memory})
			return func(study dedup.UID, may func() error) error {
				if _, err := g.Clean(study, may); err != nil {
					return err
				}
				return regen.Wanted(tree, study)
			}
		}}
}

// folder opens the tree, if it was not.
func (p *provisional) folder() (Folder, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tree != nil {
		return p.tree, nil
	}
	tree, err := p.open()
	if err == nil {
		p.tree = tree
	}
	return tree, err
}

// close lets the tree go.
func (p *provisional) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tree == nil {
		return nil
	}
	tree := p.tree
	p.tree = nil
	return tree.Close()
}

// begin opens the tree for a round of a study, making it.
func (p *provisional) begin(study dedup.UID) (Folder, error) {
	if err := durable.MkdirAll(p.current, provisionalFolder); err != nil {
		return nil, err
	}
	tree, err := p.folder()
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.over, study)
	if !p.has[study] {
		p.has[study] = false // until its record speaks of it
	}
	return tree, nil
}

// find takes in what an earlier run left: what its record speaks of, and the operator still wants, is shown; the rest is to go.
func (p *provisional) find(record func(dedup.UID) (settle.Record, error)) error {
	tree, err := p.folder()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	entries, err := tree.ReadDir("studies")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		study, err := dedup.ParseUID(e.Name())
		if err != nil {
			continue
		}
		r, err := record(study)
		if err != nil {
			return err
		}
		_, err = tree.Lstat(regen.StatusPath(study))
		p.has[study] = true
		if !p.allowed || err != nil || !isProvisional(r) {
			p.end(study)
		}
	}
	return nil
}

// isProvisional reports whether a record speaks of provisional output, other than what is published.
func isProvisional(r settle.Record) bool {
	return r.Provisional != (dedup.Digest{}) && r.Provisional != r.Published
}

// saved hears of each record that is saved.
func (p *provisional) saved(study dedup.UID, r settle.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch _, has := p.has[study]; {
	case isProvisional(r):
		p.has[study] = true
	case has:
		p.end(study)
	}
}

// end has the files of a study removed: readers are not shown them from here on. mu is held, or nobody else has p yet.
func (p *provisional) end(study dedup.UID) {
	delete(p.has, study)
	p.over[study] = true
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// shown reports whether readers are shown provisional output of a study.
func (p *provisional) shown(study dedup.UID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.has[study]
}

// count is how many studies readers are shown provisional output of.
func (p *provisional) count() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, shown := range p.has {
		if shown {
			n++
		}
	}
	return n
}

// provisionalRetry is when it is tried again to remove what could not be removed.
const provisionalRetry = time.Minute

// Run removes files until ctx ends.
func (p *provisional) Run(ctx context.Context) error {
	again := time.NewTicker(provisionalRetry)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.wake:
		case <-again.C:
		}
		if err := p.tidy(ctx); err != nil {
			p.log.Warn("provisional output that is over could not be removed, it is tried again", "error", err)
		}
	}
}

// tidy removes the files of all studies whose output is over.
func (p *provisional) tidy(ctx context.Context) error {
	p.mu.Lock()
	studies := slices.SortedFunc(maps.Keys(p.over), dedup.UID.Compare)
	p.mu.Unlock()
	if len(studies) == 0 {
		return nil
	}
	tree, err := p.folder()
	if err != nil {
		return err
	}
	clean := p.clean(tree)
	var errs []error
	for _, study := range studies {
		if ctx.Err() != nil {
			break
		}
		err := clean(study, func() error { return p.still(study) })
		if errors.Is(err, errKept) {
			continue
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("remove provisional output: %w", err))
			continue
		}
		p.mu.Lock()
		delete(p.over, study)
		p.mu.Unlock()
	}
	return errors.Join(errs...)
}

// still is errKept for a study of which output is made anew.
func (p *provisional) still(study dedup.UID) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over[study] {
		return errKept
	}
	return nil
}

// provisional does a round into the tree of provisional output.
func (s *site) provisional(ctx context.Context, job settle.Job) (settle.Round, error) {
	apart, err := s.aside.begin(job.Study)
	if err != nil {
		return settle.Round{}, err
	}
	return s.round(ctx, job, apart)
}
