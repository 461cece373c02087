package crashfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/dicomesh/dicomesh/dedup/durable"
)

// ErrCrashed is what is heard of every operation after the power cut.
var ErrCrashed = errors.New("the machine is off")

// Op is an operation on the file system, as the hook and the log see it.
type Op struct {
	N     int    // how many came before
	Kind  string // open create read readat write sync close lstat readdir mkdir rename remove link replace syncdir barrier syncall lock trylock unlock
	Name  string
	To    string // the second name of rename, link and replace
	Bytes int    // of a read or a write

	node *node // what a failed sync drops the bytes of
}

// String is the operation as a line of the log, without its number.
func (o Op) String() string {
	var s strings.Builder
	s.WriteString(o.Kind)
	if o.Name != "" {
		s.WriteString(" " + o.Name)
	}
	if o.To != "" {
		s.WriteString(" -> " + o.To)
	}
	if o.Kind == "write" {
		fmt.Fprintf(&s, " (%d bytes)", o.Bytes)
	}
	return s.String()
}

// CrashAt is a Hook: the power goes off just before operation k.
func CrashAt(k int) func(Op) (bool, error) {
	return func(o Op) (bool, error) {
		if o.N < k {
			return true, nil
		}
		return false, ErrCrashed
	}
}

// FailAt is a Hook: operation k fails with err, and happens all the same if happens is true; every other works.
func FailAt(k int, happens bool, err error) func(Op) (bool, error) {
	return func(o Op) (bool, error) {
		if o.N == k {
			return happens, err
		}
		return true, nil
	}
}

// FailFrom is a Hook: every operation of one of the kinds fails with err from operation k on, and does not happen. A broken disk.
func FailFrom(k int, err error, kinds ...string) func(Op) (bool, error) {
	return func(o Op) (bool, error) {
		for _, kind := range kinds {
			if o.N >= k && o.Kind == kind {
				return false, err
			}
		}
		return true, nil
	}
}

// Ops is how many operations were begun.
func (f *FS) Ops() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.log)
}

// Log is every operation so far, one a line, with what was heard of those that failed.
func (f *FS) Log() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.log, "\n") + "\n"
}

// do counts and logs an operation, asks the hook, and does it. act runs with the file system locked.
func (f *FS) do(o Op, act func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	o.N = len(f.log)
	f.log = append(f.log, o.String())
	happens, heard := true, error(nil)
	if f.Hook != nil {
		happens, heard = f.Hook(o)
	}
	if !happens && heard == nil {
		panic("crashfs: the hook says that " + o.String() + " does not happen, and nobody hears of it")
	}
	var err error
	if happens {
		err = act()
	}
	if heard != nil {
		err = heard
		f.syncFailed(o, happens, heard)
	}
	if err == nil || err == io.EOF {
		return err
	}
	f.log[o.N] += ": " + err.Error()
	if o.To != "" {
		return &os.LinkError{Op: o.Kind, Old: o.Name, New: o.To, Err: err}
	}
	return &fs.PathError{Op: o.Kind, Path: o.Name, Err: err}
}

// Lock implements durable.Locker. One that fails is not held, whatever the hook says: the descriptor is gone.
func (f *FS) Lock(name string) (io.Closer, error) { return f.lock("lock", name, true) }

// TryLock implements durable.Locker.
func (f *FS) TryLock(name string) (io.Closer, error) { return f.lock("trylock", name, false) }

func (f *FS) lock(kind, name string, wait bool) (io.Closer, error) {
	got := false
	err := f.do(Op{Kind: kind, Name: name}, func() error {
		if err := f.lockFile(name); err != nil {
			return err
		}
		for f.held[name] {
			if !wait {
				return durable.ErrLocked
			}
			f.freed.Wait()
		}
		f.held[name], got = true, true
		return nil
	})
	l := &lock{fs: f, name: name}
	if err == nil {
		return l, nil
	}
	if got {
		l.free()
	}
	return nil, err
}

// lockFile makes the lock's file if need be.
func (f *FS) lockFile(name string) error {
	dir, err := f.in(name)
	if err != nil {
		return err
	}
	switch n := dir.seen[path.Base(name)]; {
	case n == nil && f.room() == 0:
		return syscall.ENOSPC
	case n == nil:
		f.change(dir, name, f.node(false))
	case n.seen != nil:
		return durable.ErrNotRegular
	}
	return nil
}

type lock struct {
	fs   *FS
	name string
	gone bool
}

// Close lets go, whatever the hook says.
func (l *lock) Close() error {
	err := l.fs.do(Op{Kind: "unlock", Name: l.name}, func() error { return nil })
	l.free()
	return err
}

func (l *lock) free() {
	l.fs.mu.Lock()
	defer l.fs.mu.Unlock()
	if !l.gone {
		l.gone = true
		delete(l.fs.held, l.name)
		l.fs.freed.Broadcast()
	}
}
