package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
)

// WriteFile stores one small file under a name that must be free (fs.ErrExist): on nil it survives a power cut. Its folder must be
// there, durably. Any other error is an ErrNotStored, and the name was taken back as far as that was possible.
//
// The temporary file is name + ".new", beside it: one writer of a name at a time, and a leftover is overwritten by the next.
func WriteFile(fsys FS, name string, data []byte) error {
	return put(fsys, name, data, func(temp string) error {
		err := fsys.Rename(temp, name)
		if err != nil && !happened(fsys, temp, err) {
			return err
		}
		if err == nil {
			err = fsys.SyncDir(path.Dir(name))
		}
		if err != nil {
			return errors.Join(err, fsys.Remove(name))
		}
		return nil
	})
}

// ReplaceFile is WriteFile for state that changes: it takes the place of the file that is there, and at any
// moment, also after a crash, the name stands for all of the old bytes or all of the new.
// After an ErrNotStored it is either: act on neither before a ReplaceFile succeeded.
func ReplaceFile(fsys FS, name string, data []byte) error {
	return put(fsys, name, data, func(temp string) error {
		if err := fsys.Replace(temp, name); err != nil {
			return err
		}
		return fsys.SyncDir(path.Dir(name))
	})
}

// put writes data durably under a temporary name and has it moved.
func put(fsys FS, name string, data []byte, move func(temp string) error) error {
	temp := name + ".new"
	err := stage(fsys, temp, data)
	if err == nil {
		err = move(temp)
	}
	if err == nil {
		return nil
	}
	fsys.Remove(temp) // or the next writer does
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return fmt.Errorf("write %s: %w: %w", name, ErrNotStored, err)
}

// stage makes a file whose bytes are durable.
func stage(fsys FS, temp string, data []byte) error {
	if err := fsys.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := fsys.Create(temp)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// happened reports whether a rename that failed moved the file all the same (the lost answer of a file server): the old name is gone,
// and that was not what the failure was about.
func happened(fsys Reader, from string, failure error) bool {
	if errors.Is(failure, fs.ErrNotExist) || errors.Is(failure, fs.ErrExist) {
		return false
	}
	_, err := fsys.Lstat(from)
	return errors.Is(err, fs.ErrNotExist)
}
