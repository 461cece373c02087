package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/config"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"golang.org/x/sys/unix"
)

// space is what a file system has.
type space struct{ free, size uint64 }

// room watches the disks of a site's folders. What is received is refused while there is less than the floor, before the disk itself refuses it: then index,
// current files and log still have what they need.
type room struct {
	config  config.Disk
	paths   []string
	measure func(path string) (free, size uint64, err error)
	changed func(before, now admin.Disk) // called by Run
	probe   func(path string) error      // EROFS where nothing can be written
	looks   int                          // so many of Run's
	fixed   map[string]bool              // what the last probe found; Run's
	now     atomic.Pointer[admin.Disk]
	away    atomic.Pointer[string] // why nothing can be taken for another reason than room; nil: there is none
}

func newRoom(c config.Disk, paths []string, changed func(before, now admin.Disk)) *room {
	r := &room{config: c, paths: paths, measure: measure, changed: changed, probe: probe, fixed: map[string]bool{}}
	r.now.Store(&admin.Disk{State: admin.DiskOK})
	return r
}

// measure asks the file system that a folder is on for its room. With EROFS there is as much, and none of it can be used.
func measure(path string) (free, size uint64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, 0, &fs.PathError{Op: "statfs", Path: path, Err: err}
	}
	if s.Flags&unix.ST_RDONLY != 0 {
		err = &fs.PathError{Op: "statfs", Path: path, Err: syscall.EROFS}
	}
	return s.Bavail * uint64(s.Bsize), s.Blocks * uint64(s.Bsize), err
}

// probe syncs a folder: a file system that has given up writing after an error, and says nothing of it (ext4 of Linux 6.15 and later), refuses that.
func probe(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}

// probing is how many looks there are from one probe to the next: each may have a disk empty its cache.
const probing = 10

// interval is how often room is measured. In that time a fast disk can take some gigabytes: what is beyond the floor meets the disk's own end, which is handled as well.
const interval = time.Second

// Run measures until ctx ends.
func (r *room) Run(ctx context.Context) error {
	return regularly(ctx, func() error {
		r.look()
		return nil
	})
}

// look measures all folders and takes the one that has least.
func (r *room) look() {
	before := *r.now.Load()
	var least *admin.Disk
	for _, path := range r.paths {
		free, size, err := r.measure(path)
		if r.looks%probing == 0 {
			r.fixed[path] = errors.Is(r.probe(path), syscall.EROFS)
		}
		fixed := r.fixed[path] || errors.Is(err, syscall.EROFS)
		if err != nil && !fixed {
			continue // a folder that is not there has no room, and is watched by others
		}
		d := judgeRoom(before.State, space{free, size}, r.config)
		if fixed {
			d.State, d.Reason = admin.DiskReadOnly, "its file system can only be read: nothing new is taken"
		}
		d.Path = path
		if least == nil || rank(d) > rank(*least) || rank(d) == rank(*least) && d.Free < least.Free {
			least = &d
		}
	}
	r.looks++
	if least == nil {
		return
	}
	r.now.Store(least)
	if least.State != before.State {
		r.changed(before, *least)
	}
}

func rank(d admin.Disk) int {
	switch d.State {
	case admin.DiskReadOnly:
		return 3
	case admin.DiskFull:
		return 2
	case admin.DiskLow:
		return 1
	}
	return 0
}

// judgeRoom says what a file system's room comes to. A state ends an eighth above where it began, so that it does not flutter.
func judgeRoom(before string, s space, c config.Disk) admin.Disk {
	mark := max(uint64(c.Watermark), s.size/100*uint64(c.WatermarkPercent))
	d := admin.Disk{Free: s.free, Size: s.size, Watermark: mark, Floor: uint64(c.Floor), State: admin.DiskOK}
	within := func(limit uint64, already bool) bool { return s.free < limit || already && s.free < limit+limit/8 }
	switch {
	case s.free == 0: // whatever the floor is
		d.State, d.Reason = admin.DiskFull, "nothing is free: nothing new is taken"
	case within(d.Floor, before == admin.DiskFull):
		d.State, d.Reason = admin.DiskFull, fmt.Sprintf("less than disk.floor (%v) is free: nothing new is taken", c.Floor)
	case within(mark, before == admin.DiskLow || before == admin.DiskFull):
		d.State, d.Reason = admin.DiskLow, fmt.Sprintf("less than the watermark (%v) is free", config.Size(mark))
	}
	return d
}

// refusal is why nothing may be written by whoever takes new files; nil if there is nothing against it.
func (r *room) refusal() error {
	if away := r.away.Load(); away != nil {
		return fmt.Errorf("%s: %w", *away, syscall.ENOSPC)
	}
	switch d := r.now.Load(); d.State {
	case admin.DiskFull:
		return fmt.Errorf("%s: %w", d.Reason, syscall.ENOSPC)
	case admin.DiskReadOnly:
		return syscall.EROFS
	}
	return nil
}

// floored is the tree for those that take new files: below the floor it is a disk that is full, which all of them know how to bear.
type floored struct {
	durable.FS
	refusal func() error
}

// Create refuses below the floor.
func (f floored) Create(name string) (durable.File, error) {
	if err := f.refusal(); err != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: err}
	}
	return f.FS.Create(name)
}

// Mover is the tree's own: what has been written may get its name.
func (f floored) Mover() durable.Mover { return durable.NewMover(f.FS) }
