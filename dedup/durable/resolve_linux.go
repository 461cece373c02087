package durable

import (
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// at is a name as the *at calls want it: a descriptor of its folder and the last part.
type at struct {
	fd   int
	base string
	own  bool // fd is ours to close; else it is the root
}

func (a at) close() {
	if a.own {
		unix.Close(a.fd)
	}
}

// parent opens the folder that holds name. The caller closes it.
func (o *OS) parent(op, name string) (at, error) {
	if !fs.ValidPath(name) || name == "." {
		return at{}, failed(op, name, fs.ErrInvalid)
	}
	dir, base := path.Split(name)
	if dir == "" {
		return at{fd: int(o.root.Fd()), base: base}, nil
	}
	fd, err := o.openFD(path.Clean(dir), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return at{}, failed(op, name, err)
	}
	return at{fd: fd, base: base, own: true}, nil
}

// change does one operation in the folder of name.
func (o *OS) change(op, name string, do func(at) error) error {
	in, err := o.parent(op, name)
	if err != nil {
		return err
	}
	defer in.close()
	return failed(op, name, again(func() error { return do(in) }))
}

// change2 is change for an operation on two names.
func (o *OS) change2(op, from, to string, do func(from, to at) error) error {
	b, err := o.parent(op, to) // the one that may be missing comes first
	if err != nil {
		return err
	}
	defer b.close()
	a, err := o.parent(op, from)
	if err != nil {
		return err
	}
	defer a.close()
	if err := again(func() error { return do(a, b) }); err != nil {
		return &os.LinkError{Op: op, Old: from, New: to, Err: known(err)}
	}
	return nil
}

// openDir opens a folder.
func (o *OS) openDir(op, name string, flags int) (int, error) {
	if !fs.ValidPath(name) {
		return -1, failed(op, name, fs.ErrInvalid)
	}
	fd, err := o.openFD(name, flags|unix.O_DIRECTORY, 0)
	return fd, failed(op, name, err)
}

// open opens a regular file and nothing else.
func (o *OS) open(op, name string, flags int, mode uint32) (*os.File, error) {
	if !fs.ValidPath(name) || name == "." {
		return nil, failed(op, name, fs.ErrInvalid)
	}
	fd, err := o.openFD(name, flags, mode)
	if err != nil {
		return nil, failed(op, name, err)
	}
	if flags&unix.O_NONBLOCK != 0 { // not made by this call: it may be anything
		err = regular(fd)
	}
	if err != nil {
		unix.Close(fd)
		return nil, failed(op, name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// regular refuses what is not a regular file, and makes a descriptor that was opened without waiting an ordinary one
// (else os.NewFile would hand it to the poller).
func regular(fd int) error {
	var st unix.Stat_t
	if err := again(func() error { return unix.Fstat(fd, &st) }); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return ErrNotRegular
	}
	return unix.SetNonblock(fd, false)
}

// openFD opens name below the root through no symbolic link.
func (o *OS) openFD(name string, flags int, mode uint32) (fd int, err error) {
	return o.openAt(int(o.root.Fd()), name, flags, mode)
}

// openAt is openFD below an open folder.
func (o *OS) openAt(dir int, name string, flags int, mode uint32) (fd int, err error) {
	flags |= unix.O_CLOEXEC | unix.O_NOFOLLOW
	if !o.openat2 {
		return walk(dir, name, flags, mode)
	}
	how := unix.OpenHow{
		Flags:   uint64(flags),
		Mode:    uint64(mode),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	err = again(func() error {
		fd, err = unix.Openat2(dir, name, &how)
		return err
	})
	return fd, err
}

// walk is openAt without openat2: each folder is opened through the one before it, and none may be a link.
func walk(below int, name string, flags int, mode uint32) (int, error) {
	dir, last := below, name
	for {
		part, rest, more := strings.Cut(last, "/")
		how := flags
		if more {
			how = unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
		}
		var fd int
		err := again(func() (err error) {
			fd, err = unix.Openat(dir, part, how, mode)
			return err
		})
		if dir != below {
			unix.Close(dir)
		}
		if err != nil || !more {
			return fd, err
		}
		dir, last = fd, rest
	}
}

// again repeats a call that a signal interrupted (slow file systems let that happen; the Go runtime sends signals all the time).
func again(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// failed says which operation on which name failed; nil stays nil.
func failed(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: known(err)}
}

// known puts the kernel's words for "not of that kind" into ours.
func known(err error) error {
	switch err {
	case unix.ELOOP, unix.ENOTDIR, unix.EISDIR, unix.ENXIO: // a link; a file on the way; a folder; a socket
		return ErrNotRegular
	}
	return err
}

// info is what fstatat says, as an fs.FileInfo.
type info struct {
	name string
	st   unix.Stat_t
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.st.Size }
func (i info) ModTime() time.Time { return time.Unix(i.st.Mtim.Unix()) }
func (i info) IsDir() bool        { return i.Mode().IsDir() }
func (i info) Sys() any           { return &i.st }

func (i info) Mode() fs.FileMode {
	mode := fs.FileMode(i.st.Mode & 0o777)
	switch i.st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		mode |= fs.ModeDir
	case unix.S_IFLNK:
		mode |= fs.ModeSymlink
	case unix.S_IFIFO:
		mode |= fs.ModeNamedPipe
	case unix.S_IFSOCK:
		mode |= fs.ModeSocket
	default:
		mode |= fs.ModeDevice
	}
	return mode
}

// syncfsIsMute reports whether syncfs can succeed here although bytes were lost.
func (o *OS) syncfsIsMute() (bool, error) {
	var st unix.Statfs_t
	if err := again(func() error { return unix.Fstatfs(int(o.root.Fd()), &st) }); err != nil {
		return false, err
	}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return false, err
	}
	return mute(int64(st.Type), unix.ByteSliceToString(uts.Release[:])), nil
}

// mute decides that from the kind of file system and the kernel's release.
//
// Since Linux 5.8 syncfs returns write errors, by file system. overlayfs, FUSE and network file systems do not pass on those of the file
// system underneath, so only kinds that write to a disk themselves are believed. Whatever is not known is mute: slower, but true.
func mute(kind int64, release string) bool {
	switch kind {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.TMPFS_MAGIC:
	default:
		return true
	}
	major, rest, _ := strings.Cut(release, ".")
	minor, _, _ := strings.Cut(rest, ".")
	x, err1 := strconv.Atoi(major)
	y, err2 := strconv.Atoi(minor)
	return err1 != nil || err2 != nil || x < 5 || x == 5 && y < 8
}

var _ FS = (*OS)(nil)
