package agent

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/config"
	"github.com/dicomesh/dicomesh/dedup"
)

// cleaned is a current tree of which a shelf removes studies.
type cleaned struct {
	sizes map[dedup.UID]int64
	made  map[dedup.UID]time.Time
	kept  map[dedup.UID]bool // may not go
	fails error
	gone  []string
}

func (c *cleaned) Studies(_ context.Context, found func(dedup.UID, int64, time.Time)) error {
	for study, bytes := range c.sizes {
		found(study, bytes, c.made[study])
	}
	return nil
}

func (c *cleaned) Clean(_ context.Context, study dedup.UID) error {
	if c.kept[study] {
		return errKept
	}
	if c.fails != nil {
		return c.fails
	}
	c.gone = append(c.gone, study.String())
	return nil
}

// The least used studies go, until the rest is within the limit; one that was asked for or made a moment ago stays, as does one that may not go.
func TestShelf(t *testing.T) {
	one, two, three, four := uid(t, "1.1"), uid(t, "1.2"), uid(t, "1.3"), uid(t, "1.4")
	now := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	before := func(hours int) time.Time { return now.Add(-time.Duration(hours) * time.Hour) }
	c := &cleaned{sizes: map[dedup.UID]int64{one: 100, two: 100, three: 100, four: 100}, made: map[dedup.UID]time.Time{one: before(9), two: before(8), three: before(7), four: before(6)}, kept: map[dedup.UID]bool{}}
	s := newShelf(config.Current{MaxSize: 400, Keep: config.Duration(10 * time.Minute)}, c, slog.New(slog.DiscardHandler))
	s.now = func() time.Time { return now }
	s.measure(t.Context())
	goes := func(what string, want ...string) {
		t.Helper()
		if s.tidy(t.Context()); !slices.Equal(c.gone, want) {
			t.Errorf("%s: %v went, want %v", what, c.gone, want)
		}
		now, c.gone = now.Add(time.Second), nil
	}
	goes("all fit")
	s.used(one)
	c.kept[two] = true
	s.made(three, 150)
	goes("the least used may not go", "1.4")
	s.made(four, 180)
	goes("too much, and all of it was used a moment ago")
	now = now.Add(time.Hour)
	goes("an hour later the least used go, though the first was made before the others", "1.1", "1.3")
	c.fails = errors.New("the disk is broken")
	s.made(one, 500)
	now = now.Add(time.Hour)
	goes("a broken disk")
	c.fails = nil
	goes("and when it is mended", "1.4", "1.1")
}

// Without a limit nothing is counted and nothing goes.
func TestShelfWithoutLimit(t *testing.T) {
	c := &cleaned{sizes: map[dedup.UID]int64{uid(t, "1.1"): 1 << 50}}
	s := newShelf(config.Defaults().Current, c, slog.New(slog.DiscardHandler))
	s.made(uid(t, "1.2"), 1<<50)
	s.used(uid(t, "1.2"))
	if err := s.Run(t.Context()); err != nil || len(c.gone) > 0 || len(s.held) > 0 {
		t.Errorf("%v went, %d are counted: %v", c.gone, len(s.held), err)
	}
}
