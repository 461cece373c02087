package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"sync/atomic"
)

// Staging is a folder of temporary files that is this process's own for as long as it runs.
//
// Under one parent (.dicomesh/tmp) the stagings of all processes of a tree stand side by side, numbered from 0, each with a lock:
//
//	0/  0.lock     held by whoever stages in 0/
//	1/  1.lock
//	commit.lock    held during a Commit
//
// A process takes the lowest number whose lock is free. So the lock, not a process id or an age, says whether the owner lives, and what the dead
// left behind is removed when the number is used again, or by Sweep. What is to survive a restart is not staged here.
type Staging struct {
	fs     FS
	dir    string
	commit string // the lock that lets one commit run at a time
	lock   io.Closer
	next   atomic.Uint64 // the name of the next temporary file
}

// OpenStaging takes a staging folder under parent, which is made if need be. Close it when no batch of it is left.
func OpenStaging(fsys FS, parent string) (*Staging, error) {
	if err := MkdirAll(fsys, parent); err != nil {
		return nil, fmt.Errorf("open staging: %w", err)
	}
	for n := 0; ; n++ {
		dir := path.Join(parent, strconv.Itoa(n))
		lock, err := fsys.TryLock(dir + ".lock")
		if errors.Is(err, ErrLocked) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("open staging: %w", err)
		}
		if err := renew(fsys, dir); err != nil {
			return nil, errors.Join(fmt.Errorf("open staging: %w", err), lock.Close())
		}
		return &Staging{fs: fsys, dir: dir, commit: commitLock(parent), lock: lock}, nil
	}
}

// renew makes dir an empty folder.
func renew(fsys FS, dir string) error {
	err := fsys.Mkdir(dir)
	if errors.Is(err, fs.ErrExist) {
		_, err = empty(fsys, dir)
	}
	return err
}

// empty removes the files in a folder. A staging holds only files.
func empty(fsys FS, dir string) (removed int, err error) {
	left, err := fsys.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	for _, e := range left {
		if err := fsys.Remove(path.Join(dir, e.Name())); err != nil {
			return removed, err
		}
		removed++
	}
	return removed, nil
}

// LockCommits waits until no commit to the tree runs, and lets none begin until it is closed: for whoever takes files away, on which a commit that
// is under way may rely. What can be seen while it is held is of commits that ended, or of one that died: the next SyncAll makes it durable. parent is the parent of the
// tree's stagings.
func LockCommits(fsys FS, parent string) (io.Closer, error) {
	err := MkdirAll(fsys, parent)
	if err == nil {
		var lock io.Closer
		if lock, err = fsys.Lock(commitLock(parent)); err == nil {
			return lock, nil
		}
	}
	return nil, fmt.Errorf("lock commits: %w", err)
}

func commitLock(parent string) string { return path.Join(parent, "commit.lock") }

// Close lets the folder go. Temporary files that are still in it are the next owner's to remove.
func (s *Staging) Close() error { return s.lock.Close() }

// Sweep removes what dead processes left under parent, and says how many files that were. Stagings in use stay. Nothing but numbered
// folders is touched. Call it at start: a crash can leave gigabytes, and its number may not be used again for long.
func Sweep(fsys FS, parent string) (removed int, err error) {
	entries, err := fsys.ReadDir(parent)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("sweep: %w", err)
	}
	for _, e := range entries {
		if !e.IsDir() || !isNumber(e.Name()) {
			continue
		}
		n, err := sweep(fsys, path.Join(parent, e.Name()))
		removed += n
		if err != nil && !errors.Is(err, ErrLocked) {
			return removed, fmt.Errorf("sweep: %w", err)
		}
	}
	return removed, nil
}

func sweep(fsys FS, dir string) (removed int, err error) {
	lock, err := fsys.TryLock(dir + ".lock")
	if err != nil {
		return 0, err
	}
	defer lock.Close()
	return empty(fsys, dir)
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// MkdirAll makes a folder and those above it that are missing. They are durable after the next SyncAll, as what is put into them is.
func MkdirAll(fsys Writer, name string) error {
	_, err := mkdirAll(fsys, name)
	return err
}

// mkdirAll is MkdirAll that says which folders it made, outermost first, also when it failed.
func mkdirAll(fsys Writer, name string) (made []string, err error) {
	err = fsys.Mkdir(name)
	if errors.Is(err, fs.ErrNotExist) {
		// Upwards only as far as needed: most often all but one are there.
		if made, err = mkdirAll(fsys, path.Dir(name)); err != nil {
			return made, err
		}
		err = fsys.Mkdir(name)
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		return made, nil
	case err != nil:
		return made, err
	}
	return append(made, name), nil
}
