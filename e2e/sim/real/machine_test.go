package real

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/agent"
	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/ingest"
	"github.com/dicomesh/dicomesh/dedup/ingest/inbox"
	"github.com/dicomesh/dicomesh/watch"
)

// power is a machine's: when the fuse has burnt down, all its disks are off at once.
type power struct {
	fuse    atomic.Int64 // operations until the power goes; 0: it stays
	off     atomic.Bool
	writes  atomic.Int64 // operations that changed what a reader of the tree or of the current files could see
	blown   func()
	stopped atomic.Pointer[chan struct{}] // closed when a suspended machine goes on
	peeked  atomic.Bool                   // whoever looks is not of the machine
}

// hook is asked before each operation of a disk.
func (p *power) hook(o crashfs.Op) (bool, error) {
	if p.peeked.Load() {
		return true, nil
	}
	if p.off.Load() {
		return false, crashfs.ErrCrashed
	}
	if n := p.fuse.Load(); n > 0 && p.fuse.Add(-1) == 0 {
		p.off.Store(true)
		p.blown()
		return false, crashfs.ErrCrashed
	}
	name := o.Name
	if o.To != "" {
		name = o.To
	}
	switch o.Kind {
	case "rename", "replace", "link", "remove", "mkdir", "create":
		if !strings.HasPrefix(name, ".dicomesh") {
			p.writes.Add(1)
		}
	}
	return true, nil
}

// wait waits while the machine is suspended.
func (p *power) wait() {
	if s := p.stopped.Load(); s != nil {
		<-*s
	}
}

// disk is a disk of a machine, as the site has it. What looks from outside uses the crashfs.FS behind it.
type disk struct {
	*crashfs.FS
	power *power
}

// Close implements agent.Folder.
func (d disk) Close() error { return nil }

// The operations that change names wait while the machine is suspended: between any two of them a site may come to stand still.

// Rename implements durable.Writer.
func (d disk) Rename(from, to string) error { d.power.wait(); return d.FS.Rename(from, to) }

// Replace implements durable.Replacer.
func (d disk) Replace(from, to string) error { d.power.wait(); return d.FS.Replace(from, to) }

// Link implements durable.Replacer.
func (d disk) Link(from, to string) error { d.power.wait(); return d.FS.Link(from, to) }

// Remove implements durable.Writer.
func (d disk) Remove(name string) error { d.power.wait(); return d.FS.Remove(name) }

// SyncDir implements durable.Syncer.
func (d disk) SyncDir(name string) error { d.power.wait(); return d.FS.SyncDir(name) }

// Lstat implements durable.Reader.
func (d disk) Lstat(name string) (fs.FileInfo, error) { d.power.wait(); return d.FS.Lstat(name) }

// ReadDir implements durable.Reader.
func (d disk) ReadDir(name string) ([]fs.DirEntry, error) { d.power.wait(); return d.FS.ReadDir(name) }

// door is what stands for the doors: whoever asks has the functions behind them.
type door struct{}

// Run implements agent.Doors.
func (door) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Close implements agent.Doors.
func (door) Close() error { return nil }

// parcel is a file that is handed to an inbox.
type parcel struct {
	path  string
	reply chan ingest.Result
}

// hatch is an inbox that files are handed to.
type hatch struct {
	config  inbox.Config
	parcels chan parcel
}

// Run implements agent.Inbox.
func (h *hatch) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case p := <-h.parcels:
			h.take(ctx, p)
		}
	}
}

func (h *hatch) take(ctx context.Context, p parcel) {
	one := iter.Seq[string](func(yield func(string) bool) { yield(p.path) })
	answered := false
	err := h.config.Archive.Run(ctx, ingest.Config{Workers: 1}, one, func(r ingest.Result) {
		h.config.Report(r)
		answered = true
		p.reply <- r
	})
	if !answered {
		p.reply <- ingest.Result{Status: ingest.Refused, Err: errors.Join(err, ctx.Err())}
	}
}

// Status implements agent.Inbox.
func (h *hatch) Status() inbox.Status { return inbox.Status{} }

// Empty implements agent.Inbox.
func (h *hatch) Empty() (bool, error) { return true, nil }

// walker is a watcher that walks.
type walker struct {
	config watch.Config
	tree   dedup.Tree

	mu       sync.Mutex
	expected map[dedup.UID]bool
	seen     map[dedup.UID]string // the names and sizes of a study's lists and instance files
}

const (
	walkEach   = 2 * time.Second
	expectEach = 15 // walks
)

// Run implements agent.Watcher.
func (w *walker) Run(ctx context.Context) error {
	tick := time.NewTicker(walkEach)
	defer tick.Stop()
	for n := 0; ; n++ {
		w.walk(n%expectEach == 0)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// walk tells of every study whose names have changed, and of those of which somebody waits for something.
func (w *walker) walk(expected bool) {
	studies, _, err := w.tree.Studies()
	if err != nil {
		return
	}
	w.mu.Lock()
	gone := maps.Clone(w.seen)
	waiting := maps.Clone(w.expected)
	w.mu.Unlock()
	for _, uid := range studies {
		delete(gone, uid)
		names, err := w.names(uid)
		if err != nil {
			continue
		}
		w.mu.Lock()
		was, known := w.seen[uid]
		w.seen[uid] = names
		w.mu.Unlock()
		switch {
		case !known:
			w.config.Touched(uid, watch.First)
		case was != names:
			w.config.Touched(uid, watch.Appeared)
		case expected && waiting[uid]:
			w.config.Touched(uid, watch.Expected)
		}
	}
	for _, uid := range slices.SortedFunc(maps.Keys(gone), dedup.UID.Compare) {
		w.config.Touched(uid, watch.Vanished)
	}
}

func (w *walker) names(uid dedup.UID) (string, error) {
	folder, err := w.tree.Study(uid)
	if err != nil {
		return "", err
	}
	heads, err := folder.Heads()
	var names strings.Builder
	for _, h := range heads {
		fmt.Fprintln(&names, h.Path)
	}
	return names.String(), err
}

// Status implements agent.Watcher.
func (w *walker) Status() watch.Status { return watch.Status{} }

// Heat implements agent.Attention.
func (w *walker) Heat(dedup.UID) {}

// Expect implements agent.Attention.
func (w *walker) Expect(uid dedup.UID) { w.expect(uid, true) }

// Enough implements agent.Attention.
func (w *walker) Enough(uid dedup.UID) { w.expect(uid, false) }

func (w *walker) expect(uid dedup.UID, is bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if is {
		w.expected[uid] = true
	} else {
		delete(w.expected, uid)
	}
}

// opening is what a site hands to its machine while it opens.
type opening struct {
	hatch *hatch
	doors admin.Config
}

// machine is the computer of a site, which says when the site is open.
func (s *site) machine(opened chan<- opening) *agent.Machine {
	var o opening
	return &agent.Machine{
		Make:   func(string) error { return nil },
		Folder: func(path string) (agent.Folder, error) { return s.folder(path) },
		Same:   func(agent.Folder, string) (bool, error) { return true, nil },
		Share:  func(agent.Folder, string, agent.Folder, string) error { return errors.ErrUnsupported },
		Room: func(string) (free, size uint64, err error) {
			if s.full.Load() {
				return 1 << 10, 1 << 40, nil
			}
			return 1 << 39, 1 << 40, nil
		},
		Port:  s.port,
		Clock: s.reading,
		Wall:  func() time.Time { return time.Now().Add(time.Duration(s.wall.Load())) },
		Watch: func(c watch.Config) agent.Watcher {
			return &walker{config: c, tree: dedup.NewTree(s.tree), expected: map[dedup.UID]bool{}, seen: map[dedup.UID]string{}}
		},
		Inbox: func(c inbox.Config) agent.Inbox {
			o.hatch = &hatch{config: c, parcels: make(chan parcel)}
			return o.hatch
		},
		Doors: func(c admin.Config) (agent.Doors, string, error) {
			o.doors = c
			opened <- o
			return door{}, "nowhere", nil
		},
	}
}
