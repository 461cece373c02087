// Package crashfs is the twin of durable.OS in memory, for tests that play the adversary: it counts and logs every operation, fails any of them in
// either way (it failed and did nothing; it failed and did it all the same), fills up, and loses power.
//
// What a power cut leaves is as bad as file systems in the field make it. Whatever was not synced is there or not, each thing by itself, whatever
// the order in which it was done: a name without its bytes (zero length, cut short, zeros), bytes without their name, the second of two names without the first.
// Only this is promised, as ext4, XFS and btrfs do:
//   - synced bytes stay under synced names;
//   - a rename is one step: a file that had a durable name has one of the two names, or both;
//   - of several changes to one name the later ones never stand without the earlier.
//
// A failed sync drops what it should have written: it can still be seen, later syncs succeed, and it is gone at the next
// power cut. As on Linux, every Barrier open at the time hears of it once.
//
// A sweep crashes at operation k = 0, 1, 2, ... until the work is done, many seeds each, and looks at what is left from outside:
//
//	f := crashfs.New()
//	f.Hook = crashfs.CrashAt(k)
//	err := work(f)
//	left := f.Crash(rand.New(rand.NewPCG(k, seed)))
package crashfs

import (
	"cmp"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/dicomesh/dicomesh/dedup/durable"
)

// FS is a durable.FS in memory. Files have mode 0444, folders 0755, and no times.
type FS struct {
	// Hook is asked before each operation whether it happens and what the caller hears. An operation that does not happen
	// must be heard of. It is called with the file system locked, one call at a time. Set it while nothing runs; nil lets all pass.
	Hook func(Op) (happens bool, heard error)

	mu       sync.Mutex // guards all below
	root     *node
	nodes    []*node   // all that were ever made, so that what a seed decides is decided in one order
	pending  []*change // changes of names that a power cut may undo, oldest first
	losses   int       // failed syncs so far
	loss     error     // the latest of them
	log      []string
	capacity int64 // bytes of all files; 0 is no limit
	held     map[string]bool
	freed    *sync.Cond // a lock was let go
}

var _ durable.FS = (*FS)(nil)

// node is a file or a folder, whatever its names.
type node struct {
	seen map[string]*node // a folder's names now; nil for a file
	kept map[string]*node // those that a power cut surely leaves

	data   []byte // a file's bytes now
	synced []byte // those that a power cut surely leaves
	lost   []span // of data: dropped by a failed sync, so no later sync makes them durable
	dirty  bool   // data was written since the last sync, failed or not
	losses int    // failed syncs of this file
	links  int
}

type span struct{ from, to int }

// New returns an empty file system.
func New() *FS {
	f := &FS{held: make(map[string]bool)}
	f.freed = sync.NewCond(&f.mu)
	f.root = f.node(true)
	return f
}

func (f *FS) node(folder bool) *node {
	n := &node{}
	if folder {
		n.seen, n.kept = make(map[string]*node), make(map[string]*node)
	}
	f.nodes = append(f.nodes, n)
	return n
}

// Resize sets how many bytes all files may have together, 0 for no limit. When there is no byte left, a new name cannot be made either.
func (f *FS) Resize(capacity int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.capacity = capacity
}

// room is how many bytes can still be written.
func (f *FS) room() int64 {
	if f.capacity == 0 {
		return 1 << 62
	}
	room := f.capacity
	for _, n := range f.nodes {
		if n.links > 0 {
			room -= int64(len(n.data))
		}
	}
	return max(room, 0)
}

// find returns what name stands for.
func (f *FS) find(name string) (*node, error) {
	if !fs.ValidPath(name) {
		return nil, fs.ErrInvalid
	}
	n := f.root
	if name == "." {
		return n, nil
	}
	for part := range strings.SplitSeq(name, "/") {
		if n.seen == nil {
			return nil, durable.ErrNotRegular
		}
		next, ok := n.seen[part]
		if !ok {
			return nil, fs.ErrNotExist
		}
		n = next
	}
	return n, nil
}

// in returns the folder of name.
func (f *FS) in(name string) (*node, error) {
	if !fs.ValidPath(name) || name == "." {
		return nil, fs.ErrInvalid
	}
	dir, err := f.find(path.Dir(name))
	if err == nil && dir.seen == nil {
		err = durable.ErrNotRegular
	}
	return dir, err
}

// free returns the folder of name, which must be no one's name.
func (f *FS) free(name string) (*node, error) {
	dir, err := f.in(name)
	if err == nil && dir.seen[path.Base(name)] != nil {
		err = fs.ErrExist
	}
	return dir, err
}

// regular returns the file of that name.
func (f *FS) regular(name string) (*node, error) {
	if name == "." {
		return nil, fs.ErrInvalid
	}
	n, err := f.find(name)
	if err == nil && n.seen != nil {
		err = durable.ErrNotRegular
	}
	return n, err
}

// Open implements durable.Reader.
func (f *FS) Open(name string) (durable.File, error) {
	var n *node
	err := f.do(Op{Kind: "open", Name: name}, func() (err error) {
		n, err = f.regular(name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &file{fs: f, node: n, name: name, losses: n.losses}, nil
}

// ReadDir implements durable.Reader.
func (f *FS) ReadDir(name string) (entries []fs.DirEntry, err error) {
	err = f.do(Op{Kind: "readdir", Name: name}, func() error {
		n, err := f.find(name)
		if err != nil {
			return err
		}
		if n.seen == nil {
			return durable.ErrNotRegular
		}
		for base, e := range n.seen {
			entries = append(entries, fs.FileInfoToDirEntry(info{base, int64(len(e.data)), e.seen != nil}))
		}
		slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
		return nil
	})
	if err != nil {
		return nil, err
	}
	return entries, nil
}

// Lstat implements durable.Reader.
func (f *FS) Lstat(name string) (fs.FileInfo, error) {
	var n *node
	err := f.do(Op{Kind: "lstat", Name: name}, func() (err error) {
		n, err = f.find(name)
		return err
	})
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return info{path.Base(name), int64(len(n.data)), n.seen != nil}, nil
}

// Create implements durable.Writer.
func (f *FS) Create(name string) (durable.File, error) {
	n, err := f.make("create", name, false)
	if err != nil {
		return nil, err
	}
	return &file{fs: f, node: n, name: name, writable: true}, nil
}

// Mkdir implements durable.Writer.
func (f *FS) Mkdir(name string) error {
	_, err := f.make("mkdir", name, true)
	return err
}

func (f *FS) make(kind, name string, folder bool) (n *node, err error) {
	err = f.do(Op{Kind: kind, Name: name}, func() error {
		dir, err := f.free(name)
		if err != nil {
			return err
		}
		if f.room() == 0 {
			return syscall.ENOSPC
		}
		n = f.node(folder)
		f.change(dir, name, n)
		return nil
	})
	return n, err
}

// Rename implements durable.Writer.
func (f *FS) Rename(from, to string) error {
	return f.do(Op{Kind: "rename", Name: from, To: to}, func() error { return f.move(from, to, f.free) })
}

// Replace implements durable.Replacer.
func (f *FS) Replace(from, to string) error {
	return f.do(Op{Kind: "replace", Name: from, To: to}, func() error {
		return f.move(from, to, func(to string) (*node, error) {
			dir, err := f.in(to)
			if err != nil {
				return nil, err
			}
			switch n := dir.seen[path.Base(to)]; {
			case strings.HasPrefix(from, to+"/"):
				return nil, syscall.ENOTEMPTY
			case n != nil && n.seen != nil:
				return nil, durable.ErrNotRegular
			}
			return dir, nil
		})
	})
}

// both looks for the folders of two names, as the disk does before it looks at the names.
func (f *FS) both(from, to string) error {
	if _, err := f.in(from); err != nil {
		return err
	}
	_, err := f.in(to)
	return err
}

// move renames the file from; place says in which folder to may be put.
func (f *FS) move(from, to string, place func(to string) (*node, error)) error {
	if err := f.both(from, to); err != nil {
		return err
	}
	n, err := f.regular(from)
	if err != nil {
		return err
	}
	dir, err := place(to)
	if err != nil {
		return err
	}
	if dir.seen[path.Base(to)] == n { // two names of one file: POSIX keeps both
		return nil
	}
	old, err := f.in(from)
	if err != nil {
		return err
	}
	added := f.change(dir, to, n)
	added.removed = f.change(old, from, nil)
	return nil
}

// Link implements durable.Replacer.
func (f *FS) Link(from, to string) error {
	return f.do(Op{Kind: "link", Name: from, To: to}, func() error {
		if err := f.both(from, to); err != nil {
			return err
		}
		n, err := f.find(from)
		if err != nil {
			return err
		}
		dir, err := f.free(to)
		switch {
		case err != nil:
			return err
		case n.seen != nil:
			return fs.ErrPermission
		}
		f.change(dir, to, n)
		return nil
	})
}

// Remove implements durable.Writer.
func (f *FS) Remove(name string) error {
	return f.do(Op{Kind: "remove", Name: name}, func() error {
		dir, err := f.in(name)
		if err != nil {
			return err
		}
		switch n := dir.seen[path.Base(name)]; {
		case n == nil:
			return fs.ErrNotExist
		case len(n.seen) > 0:
			return syscall.ENOTEMPTY
		}
		f.change(dir, name, nil)
		return nil
	})
}

// info describes a name.
type info struct {
	name   string
	size   int64
	folder bool
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return i.folder }
func (i info) Sys() any           { return nil }

func (i info) Mode() fs.FileMode {
	if i.folder {
		return fs.ModeDir | 0o755
	}
	return 0o444
}
