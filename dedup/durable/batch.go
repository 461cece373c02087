package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
)

// Batch stores many files as one: all of them, or it says that it did not.
//
//	batch, err := staging.OpenBatch()
//	defer batch.Discard()
//	temp, err := batch.Create()
//	temp.Write(...)                          // as often as you like
//	err = batch.Place(temp, name, class)     // for as many files as you like
//	err = batch.Commit(nil)                  // nil: all names stand on disk, acknowledge
//
// Classes become visible in ascending order (bulkdata, instances, lists), and a class only when those before it are durable: whatever
// the moment of a crash, a name of one class never stands without the files of lower classes that it speaks of.
//
// A power cut or a kill during Commit leaves whole files at final names or none: those of some classes complete, of
// the next one some, of the rest none. Nobody was told that they are stored; the next attempt finds them taken.
//
// Create and Place may be called from several goroutines. How many files make a batch is the caller's business.
type Batch struct {
	staging *Staging
	barrier Barrier

	mu     sync.Mutex         // guards what follows
	temps  map[*Temp]struct{} // every temporary file that may be on disk
	placed []*Temp            // in the order of Place
	relied []string
}

// Temp is a file of a batch that has no final name yet. It is written by one goroutine, and can be read back (ReadAt) before Place.
type Temp struct {
	File
	path  string
	name  string // the final name
	class int
	err   error // the first failed write: such a file is never placed
	ended bool  // closed for writing
}

// OpenBatch begins a batch. It must end with Commit or Discard.
func (s *Staging) OpenBatch() (*Batch, error) {
	// Before the first byte: a write error in between must reach this batch.
	barrier, err := s.fs.Barrier()
	if err != nil {
		return nil, fmt.Errorf("open batch: %w", err)
	}
	return &Batch{staging: s, barrier: barrier, temps: make(map[*Temp]struct{})}, nil
}

// Create makes a temporary file. One that is never placed is removed in the end.
func (b *Batch) Create() (*Temp, error) { return b.create("") }

// Write implements io.Writer. After an error the file is of no use; the batch is, if the caller leaves the file out.
func (t *Temp) Write(p []byte) (int, error) {
	n, err := t.File.Write(p)
	if err != nil && t.err == nil {
		t.err = err
	}
	return n, err
}

// Close ends writing, a second time does nothing. A batch of very many files closes each when it is written; Open reads it back.
func (t *Temp) Close() error {
	if t.ended {
		return t.err
	}
	t.ended = true
	if err := t.File.Close(); err != nil && t.err == nil {
		t.err = err
	}
	return t.err
}

// Open reads back a file that is not yet stored. One that is not closed is read where it is, by the goroutine that writes it, and stays open when what
// Open returns is closed.
func (b *Batch) Open(t *Temp) (File, error) {
	if !t.ended {
		return stillOpen{t}, nil
	}
	return b.staging.fs.Open(t.path)
}

// stillOpen is a temporary file that is read before it is closed.
type stillOpen struct{ *Temp }

// Close leaves it open.
func (stillOpen) Close() error { return nil }

// Drop takes a file that was not placed out of the batch and removes it.
func (b *Batch) Drop(t *Temp) {
	_ = t.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, mine := b.temps[t]; !mine || t.name != "" {
		return
	}
	if b.staging.fs.Remove(t.path) == nil {
		delete(b.temps, t)
	}
}

// Place closes t and says under which name, in which class, it is to be stored. After an error t is out of the batch.
func (b *Batch) Place(t *Temp, name string, class int) error {
	err := t.Close()
	if err == nil && !fs.ValidPath(name) {
		err = fs.ErrInvalid
	}
	if err != nil {
		return fmt.Errorf("place %s: %w", name, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	t.name, t.class = name, class
	b.placed = append(b.placed, t)
	return nil
}

// Rely says that what this batch stores, or acknowledges, needs a name that is there already. Commit looks again, and makes it durable: the
// commit of another that showed the name may still fail and take it back, or have died before its last sync.
func (b *Batch) Rely(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.relied = append(b.relied, name)
}

// Taken decides about a staged file whose final name is taken: it compares the two (both can be opened) and returns "" to drop
// the staged one, another name for it to take instead, or an error to end the commit. It runs within Commit: no other commit to the tree
// runs meanwhile, and it must not call the batch.
type Taken func(staged, name string) (instead string, err error)

// NameError says at which name a commit failed, because the file could not be put there, or is relied on and not there. Whoever puts files of several makers into one batch
// sees by it whose to leave out.
type NameError struct {
	Name string
	Err  error
}

// Error is what Err says, which names the file already.
func (e *NameError) Error() string { return e.Err.Error() }

// Unwrap is Err.
func (e *NameError) Unwrap() error { return e.Err }

// Commit stores what was placed. On nil every file stands at its name, or was dropped by taken, and everything placed and relied on
// survives a power cut from now on. taken may be nil: then what is there stays, which is right where a name says the content.
//
// Any error is an ErrNotStored: nothing of the batch may be acknowledged. The class whose names could not be made durable is taken back,
// as far as the file system lets us; lower classes stay, for they are durable: removing them
// could, after a crash, leave a name of a higher class without them. A relied name that is gone is an fs.ErrNotExist as well, one where something else is than a file an ErrNotRegular. Where one name is the reason a NameError has it.
//
// One commit runs at a time in a tree, whichever process it is of. So a name that is there when this one begins is either of a finished commit
// or of one that died, whose bytes are durable in any case and whose names the first sync here makes durable.
func (b *Batch) Commit(taken Taken) error {
	defer b.Discard()
	if err := b.commit(taken); err != nil {
		return fmt.Errorf("commit: %w: %w", ErrNotStored, err)
	}
	return nil
}

func (b *Batch) commit(taken Taken) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	lock, err := b.staging.fs.Lock(b.staging.commit)
	if err != nil {
		return err
	}
	defer lock.Close()
	slices.Sort(b.relied) // most files of a study rely on the same
	for _, name := range slices.Compact(b.relied) {
		if err := b.standing(name); err != nil {
			return &NameError{name, err}
		}
	}
	// The bytes, before any name: a crash must not find a name that stands for nothing.
	if err := b.barrier.SyncAll(); err != nil {
		return err
	}
	slices.SortStableFunc(b.placed, func(x, y *Temp) int { return x.class - y.class })
	for rest := b.placed; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].class == rest[0].class {
			n++
		}
		if err := b.publish(rest[:n], taken); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// standing is nil for a name under which a file is: a link, or a folder, in its place would be relied on in vain.
func (b *Batch) standing(name string) error {
	info, err := b.staging.fs.Lstat(name)
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "rely on", Path: name, Err: ErrNotRegular}
	}
	return err
}

// publish gives the files of one class their names and makes those durable, or takes them back.
func (b *Batch) publish(class []*Temp, taken Taken) (err error) {
	var made []string // files and folders, in the order in which they were made
	move := NewMover(b.staging.fs)
	defer func() {
		_ = move.Close()
		if err != nil {
			err = errors.Join(err, withdraw(b.staging.fs, made))
		}
	}()
	for _, t := range class {
		names, err := b.name(move, t, taken)
		made = append(made, names...)
		if err != nil {
			return &NameError{t.name, err}
		}
	}
	// The point of no return: when this returns nil the class is stored.
	return b.barrier.SyncAll()
}

// name renames t to its final name, and returns what was made for that (none if the name is taken, and stays so), also when it failed.
func (b *Batch) name(move Mover, t *Temp, taken Taken) (made []string, err error) {
	for to := t.name; ; {
		names, err := move.Move(t.path, to)
		made = append(made, names...)
		switch {
		case err == nil:
			delete(b.temps, t)
			return made, nil
		case !errors.Is(err, fs.ErrExist):
			return made, err
		case taken == nil:
			return made, nil
		}
		if to, err = taken(t.path, to); to == "" || err != nil {
			return made, err
		}
	}
}

// withdraw removes, latest first, names that were made and could not be made durable, so that nobody takes them for stored: they would vanish
// at the next crash although a later sync succeeds. That goes for folders as well, and all that is put into them later.
// No other commit has seen them: we hold the lock. A folder that has something else in it stays.
func withdraw(fsys Writer, made []string) error {
	var errs []error
	for _, name := range slices.Backward(made) {
		if err := fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("take back: %w", err))
		}
	}
	return errors.Join(errs...)
}

// Discard ends the batch and removes its temporary files. After Commit, and a second time, it does nothing.
// What cannot be removed now is removed by the staging's next owner.
func (b *Batch) Discard() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.temps == nil {
		return
	}
	for t := range b.temps {
		_ = t.Close()
		b.staging.fs.Remove(t.path)
	}
	b.temps, b.placed = nil, nil
	b.barrier.Close()
}
