package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// CreateLabelled is Create for a file that is worth something after the process has died: Salvage finds it by its label, which is one
// component of a path, at most MaxLabel bytes of letters, digits and "!.-_".
func (b *Batch) CreateLabelled(label string) (*Temp, error) {
	if len(label) > MaxLabel || strings.ContainsFunc(label, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune("!.-_", r)
	}) {
		return nil, fmt.Errorf("stage: label of %d bytes: %w", len(label), fs.ErrInvalid)
	}
	return b.create("." + label)
}

// MaxLabel is how long a label may be: with the number before it, it is a file name.
const MaxLabel = 230

// Salvage moves labelled files that dead processes left under parent to the folder into, which is made if need be, named by their labels;
// of several with one label the longest stays. Nothing is known of their bytes: a crash may have torn them, and a write error that nobody was
// told of any more may have lost what the page cache still shows. So whoever uses one copies it into a new batch and checks what it copied.
// Call it before anything sweeps.
func Salvage(fsys FS, parent, into string) error {
	entries, err := fsys.ReadDir(parent)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = MkdirAll(fsys, into)
	}
	if err != nil {
		return fmt.Errorf("salvage: %w", err)
	}
	for _, e := range entries {
		if !e.IsDir() || !isNumber(e.Name()) {
			continue
		}
		if err := salvage(fsys, path.Join(parent, e.Name()), into); err != nil && !errors.Is(err, ErrLocked) {
			return fmt.Errorf("salvage: %w", err)
		}
	}
	return nil
}

func salvage(fsys FS, dir, into string) error {
	lock, err := fsys.TryLock(dir + ".lock")
	if err != nil {
		return err
	}
	defer lock.Close()
	left, err := fsys.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range left {
		number, label, labelled := strings.Cut(e.Name(), ".")
		if !labelled || !isNumber(number) {
			continue
		}
		if err := keepLonger(fsys, path.Join(dir, e.Name()), path.Join(into, label)); err != nil {
			return err
		}
	}
	return nil
}

// keepLonger moves a file to a name, unless one that is as long is there.
func keepLonger(fsys FS, from, to string) error {
	there, err := fsys.Lstat(to)
	if errors.Is(err, fs.ErrNotExist) {
		return fsys.Rename(from, to)
	}
	if err != nil {
		return err
	}
	found, err := fsys.Lstat(from)
	if err != nil || found.Size() <= there.Size() {
		return err
	}
	return fsys.Replace(from, to)
}

// create makes a temporary file whose name ends in tail.
func (b *Batch) create(tail string) (*Temp, error) {
	t := &Temp{path: path.Join(b.staging.dir, strconv.FormatUint(b.staging.next.Add(1), 10)+tail)}
	f, err := b.staging.fs.Create(t.path)
	if err != nil {
		return nil, fmt.Errorf("stage: %w", err)
	}
	t.File = f
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.temps == nil { // ended meanwhile
		f.Close()
		b.staging.fs.Remove(t.path)
		return nil, fmt.Errorf("stage: %w", fs.ErrClosed)
	}
	b.temps[t] = struct{}{}
	return t, nil
}
