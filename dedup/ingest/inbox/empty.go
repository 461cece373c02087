package inbox

import (
	"errors"
	"io/fs"
	"path/filepath"
)

// Empty looks, now, whether there is nothing in the folder that would be taken: only empty folders, and names that are left alone. It is for who waits until
// everything has been taken; Status tells what was there when the inbox looked last. Where the folder is not there nothing is in it.
func (b *Inbox) Empty() (bool, error) {
	found := errors.New("found")
	err := filepath.WalkDir(b.config.Dir, func(name string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // it was taken meanwhile
			return nil
		case errors.Is(err, fs.ErrPermission) && name != b.config.Dir: // who knows what is in it
			return found
		case err != nil:
			return err
		case name == b.config.Dir:
			return nil
		case leftAlone(e.Name()) && e.IsDir():
			return fs.SkipDir
		case leftAlone(e.Name()), e.IsDir():
			return nil
		}
		return found
	})
	if errors.Is(err, found) {
		return false, nil
	}
	return err == nil, err
}
