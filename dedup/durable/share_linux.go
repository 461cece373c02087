package durable

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Share gives a file of one root a name in another without copying its bytes: as a file of its own that shares its blocks (a reflink), or, where the
// file system has no such thing, as a second name of the same file (a hard link). The name must be free. Whoever gets an error copies: the roots may lie on
// two file systems, or the file may have all the names that it can have. After an error nothing is left under the name.
//
// The name is durable after the next SyncAll of the root that it is in.
func Share(from *OS, name string, to *OS, as string) error {
	file, err := from.open("share", name, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if to.clone(int(file.Fd()), as) == nil {
		return nil
	}
	return to.change("share", as, func(in at) error {
		return unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", file.Fd()), in.fd, in.base, unix.AT_SYMLINK_FOLLOW)
	})
}

// clone makes a file that shares the blocks of an open one.
func (o *OS) clone(fd int, as string) error {
	file, err := o.open("clone", as, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, o.file)
	if err != nil {
		return err
	}
	err = again(func() error { return unix.IoctlFileClone(int(file.Fd()), fd) })
	if err = errors.Join(err, file.Close()); err != nil {
		err = errors.Join(err, o.Remove(as))
	}
	return err
}
