package durable

import (
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// mover is an OS's Mover. The values of a study lie in two levels of folders of their own, so each needs its folders opened or made; what is above those is the
// same for all, and to resolve it from the root each time took most of what naming a file takes.
type mover struct {
	*OS
	held map[string]*above // by path
}

// above is a folder that is open, two levels above the files that get their names.
type above struct {
	fd    int
	grows bool // the last file needed a folder of its own here, as most of a study that is new do: the next one is not looked for, but made
}

// mostHeld is how many folders a Mover keeps open: those of the studies that are received at a time.
const mostHeld = 32

// Mover is NewMover's.
func (o *OS) Mover() Mover { return &mover{OS: o, held: make(map[string]*above)} }

// Close lets the folders go.
func (m *mover) Close() error {
	for _, a := range m.held {
		_ = unix.Close(a.fd) // opened with O_PATH: nothing was written through it
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
	if len(m.held)+2 > mostHeld { // not when one of the two is in use
		_ = m.Close()
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
		return renameFree(at{fd: out.fd, base: path.Base(from)}, at{fd: into.fd, base: path.Join(into.base, path.Base(to))})
	})
	if err != nil {
		err = &os.LinkError{Op: "move", Old: from, New: to, Err: known(err)}
	}
	if err == nil || happened(m.OS, from, err) {
		made = append(made, to)
	}
	return made, err
}

// folder opens a folder, which is made if need be with those above it, and returns what was made. What was made is not opened again: it is at.base, below a folder
// that is open. The caller closes it.
func (m *mover) folder(name string) (in at, made []string, err error) {
	above := path.Dir(path.Dir(name))
	a, err := m.hold(above)
	if err == unix.ENOENT {
		if made, err = mkdirAll(m.OS, above); err == nil {
			a, err = m.hold(above)
		}
	}
	if err != nil {
		return at{}, made, err
	}
	rest := name
	if above != "." {
		rest = name[len(above)+1:]
	}
	if !a.grows {
		in.fd, err = m.openAt(a.fd, rest, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != unix.ENOENT {
			return at{fd: in.fd, own: err == nil}, made, err
		}
	}
	in, grown, err := m.grow(at{fd: a.fd}, rest)
	a.grows = len(grown) > 0
	for _, g := range grown {
		made = append(made, path.Join(above, g))
	}
	return in, made, err
}

// grow makes the folders of a short path that are missing below an open one, and returns the innermost, and which it made. One that was there is opened, because
// it may be a link to elsewhere; what was made here a moment ago can be nothing else.
func (m *mover) grow(in at, rest string) (_ at, made []string, err error) {
	var name string // of what in is, below where it began
	for part := range strings.SplitSeq(rest, "/") {
		below := path.Join(in.base, part)
		name = path.Join(name, part)
		err := again(func() error { return unix.Mkdirat(in.fd, below, m.OS.folder) })
		if err == nil {
			in.base, made = below, append(made, name)
			continue
		}
		var next at
		if err == unix.EEXIST {
			next.fd, err = m.openAt(in.fd, below, unix.O_PATH|unix.O_DIRECTORY, 0)
		}
		in.close()
		if err != nil {
			return at{}, made, err
		}
		next.own = true
		in = next
	}
	return in, made, nil
}

// hold opens a folder that stays open until Close, or until a Move finds too many.
func (m *mover) hold(name string) (*above, error) {
	if a, has := m.held[name]; has {
		return a, nil
	}
	fd, err := m.openFD(name, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	a := &above{fd: fd}
	m.held[name] = a
	return a, nil
}
