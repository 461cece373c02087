package index

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
)

// ErrDiffers says that a file is not what the digest log says that it was when it was first seen. The log keeps what it has: the file is the one at fault.
var ErrDiffers = errors.New("not the file that was first seen under its name")

// Digests is the log of digests of files whose names say nothing. It only grows: what was once recorded of a path is never replaced by something else.
//
// Memory is some 60 bytes a study and 8 a frame of up to 64 KiB, so ten million files of fifty thousand studies take a few megabytes; entries are read back a study at a
// time. Its methods may be called from several goroutines.
type Digests struct {
	// Damage are the parts of the log that are not what was written, in order. The records in all others are good.
	Damage []Damage
	// Cut is how many bytes at the end a crash had left unfinished. Nobody was told that they are recorded.
	Cut int64

	mu     sync.Mutex // guards all below
	file   logFile    // nil: there is no log
	end    int64      // where the next frame goes
	seed   maphash.Seed
	frames map[uint64][]int64 // by hash of a study's UID: where frames begin that may be its own
	broken error              // a write failed: what is after end is not known
}

// Damage is a stretch of the log that cannot be read.
type Damage struct{ From, To int64 }

func (d Damage) String() string {
	return fmt.Sprintf("bytes %d to %d of the digest log are damaged", d.From, d.To)
}

// logFile is the part of os.File that the log needs.
type logFile interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Sync() error
	Truncate(size int64) error
}

const digestsFile = "digests"

// openDigests reads the log in a state folder, or begins it. What a crash left at its end is cut off; damage stays, wherever it is.
func openDigests(dir string, state *durable.OS) (*Digests, error) {
	name := dir + "/" + digestsFile
	_, err := os.Lstat(name)
	file, err2 := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err2 != nil {
		return nil, fmt.Errorf("open digest log: %w", err2)
	}
	if os.IsNotExist(err) {
		if err := state.SyncDir("."); err != nil {
			return nil, errors.Join(fmt.Errorf("open digest log: %w", err), file.Close())
		}
	}
	info, err := file.Stat()
	if err == nil {
		var d *Digests
		if d, err = newDigests(file, info.Size()); err == nil {
			err = d.cut(info.Size())
		}
		if err == nil {
			return d, nil
		}
	}
	return nil, errors.Join(fmt.Errorf("open digest log: %w", err), file.Close())
}

// readDigests is openDigests for somebody who only looks: nothing is made, nothing is cut off, and a log that is not there is an empty one.
func readDigests(dir string) (*Digests, error) {
	file, err := os.Open(dir + "/" + digestsFile)
	if os.IsNotExist(err) {
		return &Digests{}, nil
	} else if err != nil {
		return nil, fmt.Errorf("open digest log: %w", err)
	}
	info, err := file.Stat()
	if err == nil {
		var d *Digests
		if d, err = newDigests(file, info.Size()); err == nil {
			return d, nil
		}
	}
	return nil, errors.Join(fmt.Errorf("open digest log: %w", err), file.Close())
}

// newDigests reads over a log of that size.
func newDigests(file logFile, size int64) (*Digests, error) {
	d := &Digests{file: file, seed: maphash.MakeSeed(), frames: make(map[uint64][]int64)}
	s := frameScan{file: file, size: size}
	for s.next() {
		d.learn(s.frame.study, s.at)
	}
	d.Damage, d.end = s.damage, s.end
	if s.err != nil {
		return d, s.err
	}
	torn, err := tornAt(file, s.end, size)
	if err == nil && !torn {
		d.Damage, d.end = append(d.Damage, Damage{s.end, size}), size
	}
	return d, err
}

// cut removes what comes after the last whole frame.
func (d *Digests) cut(size int64) error {
	if d.Cut = size - d.end; d.Cut == 0 {
		return nil
	}
	if err := d.file.Truncate(d.end); err != nil {
		return err
	}
	return d.file.Sync()
}

func (d *Digests) learn(study dedup.UID, at int64) {
	k := maphash.String(d.seed, study.String())
	d.frames[k] = append(d.frames[k], at)
}

// Close lets the file go.
func (d *Digests) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.file == nil {
		return nil
	}
	err := d.file.Close()
	d.file = nil
	return err
}

// Append records files of a study; on nil they survive a power cut. Files that are recorded already cost nothing.
//
// A file whose content is recorded with another digest is not recorded again: the error then satisfies errors.Is(err, ErrDiffers) and names it, and all others
// are recorded. Equal content under another gzip envelope is no difference; the log then takes note of the new envelope.
//
// When the disk has no room, or can only be read, they are not, and a later Append is tried anew. After any other error the files may or may not be recorded, and the log takes
// nothing more until it is opened again.
func (d *Digests) Append(study dedup.UID, entries []Entry) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	known, err := d.study(study)
	if err != nil {
		return fmt.Errorf("append to digest log: %w", err)
	}
	fresh, differ := news(known, entries)
	if err := d.write(study, fresh); err != nil {
		return fmt.Errorf("append to digest log: %w", err)
	}
	if len(differ) > 0 {
		return fmt.Errorf("append to digest log: %s: %w", strings.Join(differ, ", "), ErrDiffers)
	}
	return nil
}

// news are the entries that the log does not have, and the paths of those that contradict it.
func news(known map[string]Entry, entries []Entry) (fresh []change, differ []string) {
	for _, e := range entries {
		old, has := known[e.Path]
		switch {
		case has && old.Content != e.Content:
			differ = append(differ, e.Path)
		case !has || old.Stored != e.Stored:
			fresh = append(fresh, change{Entry: e})
		}
	}
	return fresh, differ
}

// write appends frames and syncs.
func (d *Digests) write(study dedup.UID, entries []change) error {
	switch {
	case len(entries) == 0:
		return nil
	case d.broken != nil:
		return d.broken
	case d.file == nil:
		return os.ErrClosed
	}
	var out []byte
	var starts []int64
	for _, chunk := range appendChunks(study, sorted(study, entries)) {
		at := d.end + int64(len(out))
		starts = append(starts, at)
		out = appendFrame(out, at, study, chunk)
	}
	n, err := d.file.WriteAt(out, d.end)
	if (durable.IsFull(err) || errors.Is(err, syscall.EROFS)) && (n == 0 || d.file.Truncate(d.end) == nil) {
		return err // the log ends where it did, and what it says of what is before that was synced
	}
	if err == nil {
		// The point of no return: after this the entries are recorded.
		err = d.file.Sync()
	}
	if err != nil {
		// What the disk has now is not known, and syncing again would prove nothing.
		d.broken = fmt.Errorf("the digest log could not be written and takes nothing more until it is opened again: %w", err)
		return errors.Join(d.broken, d.file.Truncate(d.end))
	}
	d.end += int64(len(out))
	for _, at := range starts {
		d.learn(study, at)
	}
	return nil
}

// Study returns what is recorded of a study's files, by their paths in the tree.
func (d *Digests) Study(study dedup.UID) (map[string]Entry, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.study(study)
}

func (d *Digests) study(study dedup.UID) (map[string]Entry, error) {
	out := make(map[string]Entry)
	if d.file == nil {
		return out, nil
	}
	for _, at := range d.frames[maphash.String(d.seed, study.String())] {
		f, err := readFrame(d.file, at, d.end)
		if err != nil {
			return nil, fmt.Errorf("digest log at byte %d: %w", at, err)
		}
		if f.study != study {
			continue
		}
		for _, c := range f.entries {
			// The first content counts. A later record of it is about its envelope.
			if old, has := out[c.Path]; !has || old.Content == c.Content {
				out[c.Path] = c.Entry
			}
		}
	}
	return out, nil
}

// Studies calls for each study that has files in the log, in order.
func (d *Digests) Studies() iter.Seq2[dedup.UID, error] {
	return func(yield func(dedup.UID, error) bool) {
		d.mu.Lock()
		s := frameScan{file: d.file, size: d.end}
		d.mu.Unlock()
		seen := make(map[dedup.UID]bool)
		for s.file != nil && s.next() {
			seen[s.frame.study] = true
		}
		if s.err != nil {
			yield(dedup.UID{}, fmt.Errorf("read digest log: %w", s.err))
			return
		}
		uids := make([]dedup.UID, 0, len(seen))
		for u := range seen {
			uids = append(uids, u)
		}
		slices.SortFunc(uids, dedup.UID.Compare)
		for _, u := range uids {
			if !yield(u, nil) {
				return
			}
		}
	}
}

// Record measures the files of a study that are not recorded yet, and appends them: what an import does with files whose names say nothing, when they are
// durable. Files that cannot be measured are not recorded, and the first of their errors is returned when all others are.
func (d *Digests) Record(fsys durable.Reader, study dedup.UID, held []dedup.Held) error {
	known, err := d.Study(study)
	if err != nil {
		return err
	}
	var entries []Entry
	var failed error
	var meter Meter
	for _, h := range held {
		if _, has := known[h.Path]; has {
			continue
		}
		m, err := meter.Measure(fsys, h, nil)
		if err == nil {
			entries = append(entries, m.Entry)
		} else if failed == nil {
			failed = fmt.Errorf("record %s: %w", h.Path, err)
		}
	}
	return errors.Join(d.Append(study, entries), failed)
}
