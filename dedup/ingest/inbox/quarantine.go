package inbox

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"time"

	"golang.org/x/sys/unix"
)

// quarantine is the folder of refused files. Each keeps its name below the inbox, made unique by a number, with the reason beside it:
//
//	export/17/IM0001
//	export/17/IM0001.reason.txt
//
// The reason is durable before the file moves, and the move before anybody is told. A crash between leaves a reason without a file, which the next move of that
// name takes over. Nothing there is ever replaced or removed by us.
type quarantine struct{ root *os.Root }

// reasonTail is what the name of a reason has behind that of its file.
const reasonTail = ".reason.txt"

// note is what a reason says.
type note struct {
	Reason string
	Size   int64
	Time   time.Time
}

func openQuarantine(dir string) (*quarantine, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &quarantine{root}, nil
}

// put moves something from the inbox.
func (q *quarantine) put(from *os.Root, rel string, n note) error {
	dir, base := q.folder(path.Dir(rel)), fitting(path.Base(rel))
	for i := 0; ; i++ {
		name := path.Join(dir, base)
		if i > 0 {
			name = path.Join(dir, fmt.Sprintf("%s.%d", base, i))
		}
		free, err := q.free(name)
		if err != nil {
			return err
		}
		if !free {
			continue
		}
		err = q.place(from, rel, name, n)
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
}

// folder makes the folder in which a file of that folder of the inbox goes. Where a file has its name, or the file system wants none so deep, it is the quarantine itself.
func (q *quarantine) folder(dir string) string {
	if err := q.root.MkdirAll(dir, 0o700); err != nil {
		return "."
	}
	return dir
}

// fitting is a name that leaves room for a number and what a reason has behind it.
func fitting(base string) string {
	const room = 255 - len(".999999") - 2*len(reasonTail)
	if len(base) <= room {
		return base
	}
	sum := sha256.Sum256([]byte(base))
	return base[:room-17] + "-" + hex.EncodeToString(sum[:8])
}

// free reports whether neither a file nor the reason of one has a name. A reason whose file never came is in nobody's way.
func (q *quarantine) free(name string) (bool, error) {
	for _, taken := range []string{name, name + reasonTail + reasonTail} {
		if _, err := q.root.Lstat(taken); err == nil {
			return false, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	return true, nil
}

// place writes the reason and then moves the file.
func (q *quarantine) place(from *os.Root, rel, name string, n note) error {
	if err := q.write(name+reasonTail, n); err != nil {
		return err
	}
	if err := q.move(from, rel, name); err != nil {
		return errors.Join(err, q.root.Remove(name+reasonTail))
	}
	return q.sync(path.Dir(name))
}

func (q *quarantine) write(name string, n note) error {
	if err := q.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := q.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "refused: %s\nsize: %d bytes\ntime: %s\nagain: move the file back into the inbox, when that is mended\n", n.Reason, n.Size, n.Time.UTC().Format(time.RFC3339))
	return errors.Join(err, f.Sync(), f.Close())
}

func (q *quarantine) sync(dir string) error {
	f, err := q.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// move moves what has a name in the inbox, a symbolic link or a device too, to a name that is free. Between two file systems a file is copied.
func (q *quarantine) move(from *os.Root, rel, name string) error {
	source, err := from.Open(path.Dir(rel))
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := q.root.Open(path.Dir(name))
	if err != nil {
		return err
	}
	defer target.Close()
	old, renamed := path.Base(rel), path.Base(name)
	err = unix.Renameat2(int(source.Fd()), old, int(target.Fd()), renamed, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // the file system has no such rename; nobody but us makes names here
		err = unix.Renameat(int(source.Fd()), old, int(target.Fd()), renamed)
	}
	if errors.Is(err, unix.EXDEV) {
		return q.copy(from, rel, name)
	}
	if err != nil {
		return fmt.Errorf("move: %w", err)
	}
	return nil
}

// copy copies a file, durably, and removes it.
func (q *quarantine) copy(from *os.Root, rel, name string) error {
	info, err := from.Lstat(rel)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("what is no file cannot be moved to another file system")
	}
	in, err := from.Open(rel)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := q.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Sync(), out.Close()); err == nil {
		err = q.sync(path.Dir(name))
	}
	if err != nil {
		return errors.Join(err, q.root.Remove(name))
	}
	return from.Remove(rel)
}
