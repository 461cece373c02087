package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/config"
	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/regen"
	"github.com/dicomesh/dicomesh/settle"
)

// shelf keeps the current tree within current.max_size: when it is larger, the files of the studies that nobody has asked for longest go. Such a study stays published: searches find it, and
// its files are made again when somebody asks for it, through settle's gate.
//
// When a study was used last is remembered in memory. After a start a study counts as used when its files were made.
type shelf struct {
	limit   int64 // bytes; 0: there is no limit, and nothing is counted
	keep    time.Duration
	current cleaner
	log     *slog.Logger
	now     func() time.Time

	mu    sync.Mutex // guards what follows
	held  map[dedup.UID]onShelf
	bytes int64 // of all that are held
}

// onShelf is a study that has current files.
type onShelf struct {
	bytes int64
	used  time.Time
}

// cleaner is the current tree as a shelf sees it.
type cleaner interface {
	// Studies calls found for each study that has current files, with their size and when they were made.
	Studies(ctx context.Context, found func(study dedup.UID, bytes int64, made time.Time)) error
	// Clean removes the files of a study; errKept when they may not go now.
	Clean(ctx context.Context, study dedup.UID) error
}

// errKept says that a study's files stay: they could not be made again now, or are being made.
var errKept = errors.New("the study's files stay")

func newShelf(c config.Current, current cleaner, log *slog.Logger) *shelf {
	return &shelf{limit: int64(c.MaxSize), keep: time.Duration(c.Keep), current: current, log: log, now: time.Now, held: map[dedup.UID]onShelf{}}
}

// used says that somebody asks for a study.
func (s *shelf) used(study dedup.UID) {
	if s.limit == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if h, ok := s.held[study]; ok {
		h.used = s.now()
		s.held[study] = h
	}
}

// made says that a study's files have that many bytes now, 0 that it has none.
func (s *shelf) made(study dedup.UID, bytes int64) { s.put(study, onShelf{bytes, s.now()}) }

func (s *shelf) put(study dedup.UID, h onShelf) {
	if s.limit == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	was, known := s.held[study]
	s.bytes += h.bytes - was.bytes
	if h.bytes == 0 {
		delete(s.held, study)
		return
	}
	if known && was.used.After(h.used) {
		h.used = was.used
	}
	s.held[study] = h
}

// tidying is how often it is looked whether there is too much; less often where that takes long, as when many studies may not go while the cluster is not whole, so that
// looking takes a twentieth of the time at most.
const tidying = time.Second

// Run cleans until ctx ends.
func (s *shelf) Run(ctx context.Context) error {
	if s.limit == 0 {
		return nil
	}
	s.measure(ctx)
	for pause := tidying; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		began := time.Now()
		s.tidy(ctx)
		pause = max(tidying, 20*time.Since(began))
	}
}

// measure counts what is there at the start.
func (s *shelf) measure(ctx context.Context) {
	err := s.current.Studies(ctx, func(study dedup.UID, bytes int64, made time.Time) { s.put(study, onShelf{bytes, made}) })
	if err != nil && ctx.Err() == nil {
		s.log.Warn("the current tree could not be measured: current.max_size counts what is made from now on", "error", err)
	}
}

// tidy cleans the least used studies until the rest is within the limit. It says so once, and not for each.
func (s *shelf) tidy(ctx context.Context) {
	gone, bytes := 0, int64(0)
	for _, study := range s.spare() {
		h, over := s.over(study)
		if !over || ctx.Err() != nil {
			break
		}
		switch err := s.current.Clean(ctx, study); {
		case err == nil:
			gone, bytes = gone+1, bytes+h.bytes
			s.made(study, 0)
		case !errors.Is(err, errKept):
			s.log.Warn("current files could not be removed to make room", "error", err)
			return
		}
	}
	if gone > 0 {
		s.log.Info("current files were removed to make room: they are made again when somebody asks", "studies", gone, "bytes", bytes)
	}
}

// spare are the studies that may go, the least used first.
func (s *shelf) spare() []dedup.UID {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes <= s.limit {
		return nil
	}
	latest := s.now().Add(-s.keep)
	var out []dedup.UID
	for study, h := range s.held {
		if !h.used.After(latest) {
			out = append(out, study)
		}
	}
	slices.SortFunc(out, func(a, b dedup.UID) int {
		return cmp.Or(s.held[a].used.Compare(s.held[b].used), a.Compare(b))
	})
	return out
}

// over reports whether there still is too much, and what a study has of it.
func (s *shelf) over(study dedup.UID) (onShelf, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[study], s.bytes > s.limit
}

// siteShelf is a site's current tree, as its shelf sees it.
type siteShelf struct{ *site }

// Studies implements cleaner.
func (s siteShelf) Studies(ctx context.Context, found func(study dedup.UID, bytes int64, made time.Time)) error {
	entries, err := s.current.ReadDir("studies")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	for _, e := range entries {
		study, err := dedup.ParseUID(e.Name())
		if err != nil {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		info, err := s.current.Lstat(regen.StatusPath(study))
		if err != nil {
			continue // no round has finished it
		}
		if bytes, err := regen.Size(s.current, study); err == nil {
			found(study, bytes, info.ModTime())
		}
	}
	return nil
}

// Clean implements cleaner.
func (s siteShelf) Clean(ctx context.Context, study dedup.UID) error {
	g := regen.New(regen.Config{Archive: s.tree, Current: s.current, Memory: s.memory})
	if _, err := g.Clean(study, func() error { return s.spareable(ctx, study) }); err != nil {
		return fmt.Errorf("clean a study: %w", err)
	}
	return nil
}

// spareable is errKept for a study that is not settled and at rest, or of which files could not be made again at once. It is asked when no round of the study runs; so none has
// made files that wait to be published, because the study would not be at rest.
func (s siteShelf) spareable(ctx context.Context, study dedup.UID) error {
	status, err := s.loop.Study(ctx, study)
	if err != nil {
		return err
	}
	v, err := s.loop.Allow(ctx, study)
	if err != nil {
		return err
	}
	if status.Step != atRest || v.State != settle.Settled || !v.Published || !v.Generate {
		return errKept
	}
	return nil
}

// atRest is the step of a study for which nothing is being done.
const atRest = "rest"
