package inbox

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// answer is what the kernel says about who writes a file.
type answer uint8

const (
	unknown answer = iota // it does not say
	nobody                // nobody has it open for writing, and who wants to has to wait until we close it
	writing               // somebody has
)

// lease asks for a read lease on a file (fcntl(2), F_SETLEASE). The kernel grants one only where no process, and no mapping, has the file open for writing. Whoever opens it for
// writing while we hold it waits until we close it, at most /proc/sys/fs/lease-break-time (45 s), and we are sent a SIGIO, which the Go runtime lets pass. It takes to be the
// file's owner or to have CAP_LEASE, as root has.
func lease(f *os.File) answer {
	switch err := control(f, unix.F_SETLEASE, unix.F_RDLCK, nil); {
	case err == nil:
		return nobody
	case errors.Is(err, unix.EAGAIN):
		return writing
	}
	return unknown
}

// leased reports whether a lease that was granted still holds: nobody wants the file.
func leased(f *os.File) bool {
	var held int
	return control(f, unix.F_GETLEASE, 0, &held) == nil && held == unix.F_RDLCK
}

func control(f *os.File, cmd, arg int, result *int) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	err2 := conn.Control(func(fd uintptr) {
		var n int
		if n, err = unix.FcntlInt(fd, cmd, arg); result != nil {
			*result = n
		}
	})
	return errors.Join(err, err2)
}

// probeName is a file that is made for a moment to try leases on. Nobody takes it: its name begins with a dot.
const probeName = ".dicomesh-lease"

// leasesWork tries in a folder whether the kernel tells who writes there: it must grant a lease on a file that nobody writes and refuse it on one that somebody does. A network file
// system may refuse all, because it cannot know.
func leasesWork(root *os.Root) (works bool, err error) {
	if err := root.Remove(probeName); err != nil && !errors.Is(err, os.ErrNotExist) {
		return false, fmt.Errorf("a probe that was left behind: %w", err)
	}
	w, err := root.OpenFile(probeName, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, root.Remove(probeName)) }()
	written, err := probe(root)
	if err2 := w.Close(); err != nil || err2 != nil {
		return false, errors.Join(err, err2)
	}
	alone, err := probe(root)
	return written == writing && alone == nobody, err
}

func probe(root *os.Root) (answer, error) {
	f, err := root.Open(probeName)
	if err != nil {
		return unknown, err
	}
	defer f.Close()
	return lease(f), nil
}
