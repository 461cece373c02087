package combine

import (
	"context"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
)

// Config says what is combined and collected, and under which conditions.
type Config struct {
	Tree durable.FS
	// Keep is how long a list stays after others have come to account for it, in time that is measured here: older versions of the study can be looked at for so long.
	// Less than Day, and 0, is Day.
	Keep time.Duration
	// Grace is how long instance files stay after the study's leaves last changed, for readers that have listed them and not yet read them. 0: not at all.
	Grace time.Duration
	// InUse reports whether somebody reads a file; it then stays, until a later call. It is asked when the plan is made and once more before the file goes. nil: nothing is in use.
	InUse func(study dedup.UID, ref dedup.Ref) bool
	// Gone takes files out of the index, by their paths in the tree, before they are removed. When it fails nothing is removed. nil: there is no index.
	Gone func(ctx context.Context, study dedup.UID, paths []string) error
	// Clock is what running time is read from. nil: SystemClock.
	Clock func() Reading
	// Advance hears of bytes that were read, as content. nil: nobody watches.
	Advance func(int64)
}

// Day is the least time for which a list stays.
const Day = 24 * time.Hour

// Combiner combines and collects in one tree. Its methods may be called from several goroutines, and by several processes; the tree's locks keep them apart.
type Combiner struct {
	config Config
	tree   dedup.Tree
}

// New makes a Combiner. It touches nothing.
func New(c Config) *Combiner {
	c.Keep = max(c.Keep, Day)
	if c.InUse == nil {
		c.InUse = func(dedup.UID, dedup.Ref) bool { return false }
	}
	if c.Gone == nil {
		c.Gone = func(context.Context, dedup.UID, []string) error { return nil }
	}
	if c.Clock == nil {
		c.Clock = SystemClock
	}
	if c.Advance == nil {
		c.Advance = func(int64) {}
	}
	return &Combiner{c, dedup.NewTree(c.Tree)}
}

// Studies are the UIDs of the tree's studies, in order.
func (c *Combiner) Studies() ([]dedup.UID, error) {
	studies, _, err := c.tree.Studies()
	return studies, err
}

// Kept is a file that stays as it is, and why.
type Kept struct {
	File   dedup.FileID
	Reason string
	Left   time.Duration // until time alone lets it go; 0 if it is not about time
}

// The folders that the package uses.
const (
	stagingFolder = ".dicomesh/tmp"
	arrangeLock   = ".dicomesh/arrange.lock" // package ingest's: who changes what canonical paths stand for
)
