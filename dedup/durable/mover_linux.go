package durable

import (
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// mover is an OS's Mover. The values of a study lie in two levels of folders of their own, so each needs its folders opened or made; what is above those is the
// same for all, and to resolve it from the root each time took most of what naming a file takes.
type mover struct {
	*OS
	held map[string]int // folders that are open, by path
}

// mostHeld is how many folders a Mover keeps open: those of the studies that are received at a time.
const mostHeld = 32

// Mover is NewMover's.
func (o *OS) Mover() Mover { return &mover{OS: o, held: make(map[string]int)} }

// Close lets the folders go.
func (m *mover) Close() error {
	for _, fd := range m.held {
		_ = unix.Close(fd) // opened with O_PATH: nothing was written through it
	}
	clear(m.held)
	return nil
}

// Move implements Mover.
func (m *mover) Move(from, to string) (made []string, err error) {
	for _, name := range [...]string{from, to} {
		if !fs.ValidPath(name) || name == "." {
			return nil, failed("move", name, fs.ErrInvalid)
		}
	}
	into, made, err := m.folder(path.Dir(to))
	if err != nil {
		return made, failed("move", to, err)
	}
	defer into.close()
	out, err := m.hold(path.Dir(from))
	if err != nil {
		return made, failed("move", from, err)
	}
	err = again(func() error {
		return renameFree(at{fd: out, base: path.Base(from)}, at{fd: into.fd, base: path.Base(to)})
	})
	if err != nil {
		err = &os.LinkError{Op: "move", Old: from, New: to, Err: known(err)}
	}
	if err == nil || happened(m.OS, from, err) {
		made = append(made, to)
	}
	return made, err
}

// folder opens a folder, which is made if need be with those above it, and returns what was made. The caller closes it.
func (m *mover) folder(name string) (in at, made []string, err error) {
	above := path.Dir(path.Dir(name))
	fd, err := m.hold(above)
	if err == unix.ENOENT {
		if made, err = mkdirAll(m.OS, above); err == nil {
			fd, err = m.hold(above)
		}
	}
	if err != nil {
		return at{}, made, err
	}
	rest := name
	if above != "." {
		rest = name[len(above)+1:]
	}
	const flags = unix.O_PATH | unix.O_DIRECTORY
	if in.fd, err = m.openAt(fd, rest, flags, 0); err != unix.ENOENT {
		return at{fd: in.fd, own: err == nil}, made, err
	}
	outer, inner := path.Split(rest)
	if outer == "" {
		in, err = m.make(fd, inner)
		return in, note(made, name, in), err
	}
	first, err := m.make(fd, path.Clean(outer))
	if made = note(made, path.Dir(name), first); err != nil {
		return at{}, made, err
	}
	defer first.close()
	in, err = m.make(first.fd, inner)
	return in, note(made, name, in), err
}

// make makes a folder, unless it is there, and opens it. at.base is its name if it was made here, also when it could not be opened.
func (m *mover) make(dir int, base string) (in at, err error) {
	switch err := again(func() error { return unix.Mkdirat(dir, base, m.OS.folder) }); err {
	case nil:
		in.base = base
	case unix.EEXIST:
	default:
		return in, err
	}
	in.fd, err = m.openAt(dir, base, unix.O_PATH|unix.O_DIRECTORY, 0)
	in.own = err == nil
	return in, err
}

// note adds a folder to those that were made, if it was.
func note(made []string, name string, in at) []string {
	if in.base != "" {
		made = append(made, name)
	}
	return made
}

// hold opens a folder that stays open until Close, or until there are too many.
func (m *mover) hold(name string) (int, error) {
	if fd, has := m.held[name]; has {
		return fd, nil
	}
	fd, err := m.openFD(name, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return -1, err
	}
	if len(m.held) >= mostHeld {
		_ = m.Close()
	}
	m.held[name] = fd
	return fd, nil
}
