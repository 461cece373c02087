package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// OS is the FS of a folder of this machine. (os.Root is not enough: it follows symbolic links that stay inside, and its
// Rename replaces.)
//
// No symbolic link below the root is followed, nowhere on the way, also not one that somebody puts there between two calls: the kernel
// resolves a name in one step (openat2), or, where a container forbids that, each folder is opened through the last one.
// The root's own path is the operator's word and may lead through links.
//
// One descriptor stays open; an operation costs the opening of the folder that it changes and itself. Descriptors of folders are not kept, but by a Mover for
// as long as a batch gets its names.
type OS struct {
	dir        string
	root       *os.File // read-only; every name is resolved from here
	openat2    bool     // the kernel resolves names; else we walk
	syncClosed bool     // syncfs does not tell of write errors here, so a written file is synced as it is closed
	file       uint32   // permissions of what Create makes
	folder     uint32   // permissions of what Mkdir makes
}

// OpenOS opens the archive (or any tree that others may read) at dir, which must be there.
//
// Files are made with mode 0444, folders with 0755, less the umask. 0444 because nothing in an archive changes in place:
// a stray program of the same user does not write into a file that a second name shares (published frames are hard links),
// and a replacement is a new file anyway.
func OpenOS(dir string) (*OS, error) { return openOS(dir, 0o444, 0o755) }

// OpenPrivate is OpenOS for a folder of secrets and state: files 0400, folders 0700.
func OpenPrivate(dir string) (*OS, error) { return openOS(dir, 0o400, 0o700) }

func openOS(dir string, file, folder uint32) (*OS, error) {
	root, err := os.OpenFile(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	o := &OS{dir: dir, root: root, file: file, folder: folder}
	if o.syncClosed, err = o.syncfsIsMute(); err != nil {
		root.Close()
		return nil, fmt.Errorf("what file system is %s: %w", dir, err)
	}
	o.openat2 = true
	switch fd, err := o.openFD(".", unix.O_PATH|unix.O_DIRECTORY, 0); err {
	case nil:
		unix.Close(fd)
	case unix.ENOSYS, unix.EPERM: // a kernel before 5.6, or a container's filter
		o.openat2 = false
	default:
		root.Close()
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	return o, nil
}

// Close lets the root go. No other method may run or be called afterwards; open files stay usable.
func (o *OS) Close() error { return o.root.Close() }

// Open implements Reader.
func (o *OS) Open(name string) (File, error) {
	// O_NONBLOCK: a fifo would wait for its writer. What was opened is looked at afterwards, so nothing can be swapped in between.
	f, err := o.open("open", name, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return &osFile{File: f}, nil
}

// Create implements Writer.
func (o *OS) Create(name string) (File, error) {
	f, err := o.open("create", name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, o.file)
	if err != nil {
		return nil, err
	}
	return &osFile{File: f, syncs: o.syncClosed}, nil
}

// ReadDir implements Reader.
func (o *OS) ReadDir(name string) ([]fs.DirEntry, error) {
	fd, err := o.openDir("readdir", name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	dir := os.NewFile(uintptr(fd), filepath.Join(o.dir, name))
	defer dir.Close()
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return nil, failed("readdir", name, err)
	}
	for i, e := range entries {
		entries[i] = entry{e, o, path.Join(name, e.Name())}
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

// entry is an fs.DirEntry whose Info comes through the root and not by a path that could meet a symbolic link.
type entry struct {
	fs.DirEntry
	os   *OS
	path string
}

func (e entry) Info() (fs.FileInfo, error) { return e.os.Lstat(e.path) }

// Lstat implements Reader.
func (o *OS) Lstat(name string) (fs.FileInfo, error) {
	if name == "." {
		return o.root.Stat()
	}
	in, err := o.parent("lstat", name)
	if err != nil {
		return nil, err
	}
	defer in.close()
	var st unix.Stat_t
	if err := again(func() error { return unix.Fstatat(in.fd, in.base, &st, unix.AT_SYMLINK_NOFOLLOW) }); err != nil {
		return nil, failed("lstat", name, err)
	}
	return info{in.base, st}, nil
}

// Mkdir implements Writer.
func (o *OS) Mkdir(name string) error {
	return o.change("mkdir", name, func(in at) error { return unix.Mkdirat(in.fd, in.base, o.folder) })
}

// Remove implements Writer.
func (o *OS) Remove(name string) error {
	return o.change("remove", name, func(in at) error {
		err := unix.Unlinkat(in.fd, in.base, 0)
		if err == unix.EISDIR {
			err = unix.Unlinkat(in.fd, in.base, unix.AT_REMOVEDIR)
		}
		return err
	})
}

// Rename implements Writer.
func (o *OS) Rename(from, to string) error {
	return o.change2("rename", from, to, renameFree)
}

// renameFree renames to a name that must be free.
func renameFree(a, b at) error {
	err := unix.Renameat2(a.fd, a.base, b.fd, b.base, unix.RENAME_NOREPLACE)
	if err == unix.EINVAL || err == unix.ENOSYS { // this file system (NFS ...) or kernel has no such flag
		return renameByLink(a, b)
	}
	return err
}

// renameByLink renames without replacing in two steps: a crash between them leaves both names, never none.
func renameByLink(a, b at) error {
	if err := again(func() error { return unix.Linkat(a.fd, a.base, b.fd, b.base, 0) }); err != nil {
		return err
	}
	err := again(func() error { return unix.Unlinkat(a.fd, a.base, 0) })
	if err != nil { // the old name stays, so the new one goes: a failed rename has changed nothing
		again(func() error { return unix.Unlinkat(b.fd, b.base, 0) })
	}
	return err
}

// Link implements Replacer.
func (o *OS) Link(from, to string) error {
	return o.change2("link", from, to, func(a, b at) error { return unix.Linkat(a.fd, a.base, b.fd, b.base, 0) })
}

// Replace implements Replacer.
func (o *OS) Replace(from, to string) error {
	return o.change2("replace", from, to, func(a, b at) error { return unix.Renameat(a.fd, a.base, b.fd, b.base) })
}

// SyncDir implements Syncer.
func (o *OS) SyncDir(name string) error {
	fd, err := o.openDir("syncdir", name, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return failed("syncdir", name, again(func() error { return unix.Fsync(fd) }))
}

// Barrier implements Syncer. It costs one descriptor.
func (o *OS) Barrier() (Barrier, error) {
	// A description of its own: the kernel remembers in it which write errors it was told of. Tried on ext4 whose device ran full
	// underneath: two barriers open at the time each failed once; the first one's next sync, and a younger barrier's, succeeded.
	fd, err := o.openDir("barrier", ".", unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	return barrier{os.NewFile(uintptr(fd), ".")}, nil
}

type barrier struct{ root *os.File }

func (b barrier) SyncAll() error {
	return failed("syncall", ".", again(func() error { return unix.Syncfs(int(b.root.Fd())) }))
}

func (b barrier) Close() error { return b.root.Close() }

// Lock implements Locker.
func (o *OS) Lock(name string) (io.Closer, error) { return o.flock(name, unix.LOCK_EX) }

// TryLock implements Locker.
func (o *OS) TryLock(name string) (io.Closer, error) { return o.flock(name, unix.LOCK_EX|unix.LOCK_NB) }

func (o *OS) flock(name string, how int) (io.Closer, error) {
	f, err := o.open("lock", name, unix.O_RDWR|unix.O_CREAT|unix.O_NONBLOCK, 0o644&o.folder)
	if err != nil {
		return nil, err
	}
	// flock belongs to the open description: a second Lock in this process waits as another process would.
	if err := again(func() error { return unix.Flock(int(f.Fd()), how) }); err != nil {
		f.Close()
		if err == unix.EWOULDBLOCK {
			err = ErrLocked
		}
		return nil, failed("lock", name, err)
	}
	return f, nil
}

// osFile is a File of the operating system. It syncs before it closes where only that finds out whether the bytes were written.
type osFile struct {
	*os.File
	syncs bool
}

func (f *osFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

func (f *osFile) Close() error {
	if !f.syncs {
		return f.File.Close()
	}
	f.syncs = false
	return errors.Join(f.Sync(), f.File.Close())
}
