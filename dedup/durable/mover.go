package durable

import (
	"errors"
	"io"
	"io/fs"
	"path"
)

// Mover gives many files their names, one after the other, on one goroutine. It may keep folders open between two Moves, so it is for one batch, and closed
// behind it: whoever moves one of those folders elsewhere meanwhile moves along what is put into it.
type Mover interface {
	// Move is Writer.Rename that makes the folders above the new name that are missing. It returns what it made, those folders, outermost first, and the name,
	// also when it failed.
	Move(from, to string) (made []string, err error)
	io.Closer
}

// NewMover is the Mover of a file system: its own, if it has a method Mover, else one that goes by whole names.
func NewMover(fsys FS) Mover {
	if own, has := fsys.(interface{ Mover() Mover }); has {
		return own.Mover()
	}
	return byNames{fsys}
}

// byNames is a Mover that keeps nothing open.
type byNames struct{ FS }

// Move looks at folders only when they turn out to be missing: of 20,000 files in a study some 40,000 would be asked for.
func (m byNames) Move(from, to string) (made []string, err error) {
	err = m.Rename(from, to)
	if errors.Is(err, fs.ErrNotExist) {
		if made, err = mkdirAll(m, path.Dir(to)); err != nil {
			return made, err
		}
		err = m.Rename(from, to)
	}
	if err == nil || happened(m, from, err) {
		made = append(made, to)
	}
	return made, err
}

// Close does nothing.
func (byNames) Close() error { return nil }
