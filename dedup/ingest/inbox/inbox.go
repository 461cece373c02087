package inbox

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/dicomesh/dicomesh/dedup/ingest"
)

// Config says what an Inbox takes, and what becomes of it. Dir, Quarantine, Archive and Log are needed.
type Config struct {
	Dir        string // made if it is not there. It belongs to the inbox: whatever is in it is taken, and empty folders are removed
	Quarantine string // made if it is not there; outside of Dir
	Archive    *ingest.Archive
	Ingest     ingest.Config // bounds a batch; SHA256 as there. Files is 250 where it is 0: so many descriptors are held
	// Quiet is how long a file must be unchanged where the kernel tells whether somebody has it open for writing. 0: DefaultQuiet.
	Quiet time.Duration
	// Patience is how long it must be unchanged where nobody can tell, and how old an empty folder is when it is removed. 0: DefaultPatience.
	Patience time.Duration
	// BrokenOff is how long a file that ends too early is given to be continued, where the kernel tells; else it is Patience. 0: DefaultBrokenOff, or Patience if that is shorter.
	BrokenOff time.Duration
	// Report hears of each file that was answered, from one goroutine, when the answer is durable: before a file is removed or moved. Its Path is relative to Dir, and may be a
	// patient's name. Files that wait for room are not reported. nil: nobody does.
	Report func(ingest.Result)
	Log    *slog.Logger
}

// The defaults of a Config.
const (
	DefaultQuiet     = 300 * time.Millisecond
	DefaultPatience  = time.Minute
	DefaultBrokenOff = 10 * time.Second
	defaultFiles     = 250
)

// Inbox is a folder whose files are ingested.
type Inbox struct {
	config Config
	now    func() time.Time
	probe  func(*os.Root) (leases bool, err error)
	unlink func(from *os.Root, rel string) error
	yields func(from *os.Root, dir string) bool // what is in a folder may be removed from it
	pause  time.Duration                        // the first one, when nothing can be stored

	mu     sync.Mutex // guards status
	status Status
}

// Status is how an Inbox does.
type Status struct {
	Waiting      int64     // files that were there when it looked last and are neither taken nor left alone; at least 1 when something came since
	WaitingBytes int64     // theirs
	Writing      int64     // of Waiting: those that somebody has open for writing, or that changed too lately
	Ignored      int64     // files and folders with a name that is left alone
	Stuck        int64     // files that were tried, and folders, which this user may not read, or not remove from where they are
	StuckWhy     string    // of one of them, and what to do; "" when there is none
	Paused       string    // why nothing is taken at present; "" when it is not so
	PausedSince  time.Time // zero when it is not
	Leases       bool      // the kernel tells who writes; else files wait for Patience
	Unwatched    int64     // folders that could not be watched: they are looked at every few seconds
	Stored       int64     // since start
	Duplicates   int64
	Conflicts    int64
	Refused      int64
	Last         time.Time // when a file was answered last; zero if none was
}

// New touches nothing.
func New(c Config) *Inbox {
	if c.Quiet == 0 {
		c.Quiet = DefaultQuiet
	}
	if c.Patience == 0 {
		c.Patience = DefaultPatience
	}
	if c.BrokenOff == 0 {
		c.BrokenOff = min(DefaultBrokenOff, c.Patience)
	}
	d := ingest.Defaults()
	if c.Ingest.Files <= 0 {
		c.Ingest.Files = defaultFiles
	}
	if c.Ingest.Bytes <= 0 {
		c.Ingest.Bytes = d.Bytes
	}
	if c.Ingest.Workers <= 0 {
		c.Ingest.Workers = d.Workers
	}
	return &Inbox{config: c, now: time.Now, probe: leasesWork, unlink: (*os.Root).Remove, yields: yields, pause: firstPause}
}

// Status is how it does now.
func (b *Inbox) Status() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.status
}

// change changes the status.
func (b *Inbox) change(how func(*Status)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	how(&b.status)
}

// Run takes what is in the inbox and what comes, until ctx ends. A file that is being taken when ctx ends, or when the process dies, is either still in the
// inbox, or durable in the archive, or both: then it is a duplicate the next time. The error is of folders that cannot be made or read at all.
func (b *Inbox) Run(ctx context.Context) error {
	d, err := b.open()
	if err != nil {
		return fmt.Errorf("open inbox: %w", err)
	}
	defer d.close()
	for ctx.Err() == nil {
		d.sleep(ctx, d.sweep(ctx))
	}
	return nil
}
