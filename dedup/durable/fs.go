// Package durable makes files that survive a power cut, or says that it could not.
//
// Everything that dicomesh keeps goes through one narrow door, FS: the operations of a file system that matter to
// durability, each with its contract. OS is the real one; package crashfs is its twin in memory, which can fail
// any operation and lose whatever was not synced.
//
// A file becomes part of the archive in this order, and only so: its bytes are written under a temporary name, the file
// system is synced, the file is renamed to its final name (never over another one), and the file system is synced again.
// Batch does that for many files at once: two syncs for a thousand files cost what two cost for one.
// After a failed sync nothing of the batch is stored: the kernel may have dropped the very pages that it could not write,
// and a second sync that succeeds proves nothing (rename would succeed all the same).
//
// To know that much, a sync must be told of every write error since the first byte, also of those that another caller's sync
// was told of before. Linux tells each open descriptor once, hence Barrier: opened before the first byte, synced after the last.
//
// A process that is killed between a sync that fails and the taking back leaves names that later syncs may not make durable. Nobody was told that they are
// stored, but another process may find them. That is harmless where a file system that cannot write names stops taking writes, because then the other's commit
// fails as well: ext4 with its journal, XFS, Btrfs and F2FS do. On ext4 without a journal there is no telling: do not keep an archive there.
//
// A name that can be seen is not yet stored: the commit that made it may still fail and take it back. Whoever acknowledges
// a file because it is there already asks the Batch (Rely, or Taken), which looks again when no other commit runs.
package durable

import (
	"errors"
	"io"
	"io/fs"
	"syscall"
)

// ErrNotRegular says that a name is not of the kind that was asked for: a symbolic link, a device, a socket or a folder where
// a file was, a file where a folder was, or a symbolic link or a file on the way to it. The tree never contains a
// link by our doing: whoever put it there does not get it followed.
var ErrNotRegular = errors.New("not a regular file")

// ErrLocked says that another holder, in this process or another, has the lock.
var ErrLocked = errors.New("locked")

// ErrNotStored says that what was to be stored may not be acknowledged. Sources still have it: fetch or ask again,
// from the first byte; IsFull tells whether that can help before space is made.
var ErrNotStored = errors.New("not stored")

// IsFull reports whether err says that there is no room: the disk or the quota is full.
// The answer is to refuse new work until there is room again. A file beyond the largest size that the file system allows (EFBIG) is
// not that: no room that could be made would help.
func IsFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// File is an open file. Reads and writes are sequential; ReadAt serves readers that need a part.
type File interface {
	io.Reader
	io.ReaderAt
	io.Writer
	io.Closer
	// Sync makes the file's bytes durable (fsync), not its name. After an error the file is lost: remove it.
	Sync() error
	// Size is the length in bytes now.
	Size() (int64, error)
}

// Reader is the part of a file system that looks.
// Names are slash-separated paths relative to the root, as fs.ValidPath has them; the root itself, ".", can be looked at and synced.
// Errors satisfy errors.Is with the fs.Err values, and with ErrNotRegular.
type Reader interface {
	// Open opens a regular file for reading. It follows no symbolic link anywhere on the way, and waits for nobody (a fifo's writer).
	Open(name string) (File, error)
	// ReadDir lists a folder, sorted by name.
	ReadDir(name string) ([]fs.DirEntry, error)
	// Lstat describes a name without following it.
	Lstat(name string) (fs.FileInfo, error)
}

// Writer is the part of a file system that changes names. None of it is durable before SyncDir or SyncAll.
type Writer interface {
	// Create makes a new empty file for writing (and reading); fs.ErrExist if there is one. It is written now or never:
	// no door opens a present file for writing.
	Create(name string) (File, error)
	// Mkdir makes one folder; fs.ErrExist if there is one.
	Mkdir(name string) error
	// Rename moves a file to a name that must be free: fs.ErrExist if it is not, and then nothing has changed.
	Rename(from, to string) error
	// Remove removes a file or an empty folder.
	Remove(name string) error
}

// Replacer changes what a present name stands for.
type Replacer interface {
	// Link gives a file a second name; fs.ErrExist if the name is taken.
	Link(from, to string) error
	// Replace moves a file to a name, atomically taking the place of a file that is there.
	Replace(from, to string) error
}

// Syncer makes changes durable.
type Syncer interface {
	// SyncDir makes the names in one folder durable (fsync of the folder), not the folder's own name.
	SyncDir(name string) error
	// Barrier begins to collect write errors; open it before the first byte that its SyncAll is to vouch for.
	Barrier() (Barrier, error)
}

// Barrier is one caller's view of the write errors of a file system.
type Barrier interface {
	// SyncAll makes everything written so far in this file system durable (syncfs): bytes and names, whoever wrote them.
	// It fails if any write since the barrier was opened (or since it failed last) did not reach the disk, also when
	// another sync was told so before, and also when it was somebody else's file: there is no telling.
	SyncAll() error
	io.Closer
}

// Locker keeps processes out of each other's way.
type Locker interface {
	// Lock takes the exclusive advisory lock of that name, waiting for it, across processes and within this one.
	// Closing it lets go; so does the end of the process.
	// A lock file is left behind on purpose: removing it would let two holders in.
	Lock(name string) (io.Closer, error)
	// TryLock is Lock that does not wait: ErrLocked.
	TryLock(name string) (io.Closer, error)
}

// FS is a file system rooted at one folder. All methods may be called from several goroutines.
type FS interface {
	Reader
	Writer
	Replacer
	Syncer
	Locker
}
