package audit

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dicomesh/dicomesh/dedup/durable"
)

// Log takes entries. One process has it open, and it needs no closing. Its methods may be called from several goroutines.
type Log struct {
	fsys durable.FS

	mu   sync.Mutex // guards next
	next *batch     // what the next write takes

	writing sync.Mutex // guards all below; one write at a time
	file    int        // the number of the last file
	tail    []byte     // what is in it
	head    Head
}

// batch are entries that become durable together.
type batch struct {
	entries []Entry
	written bool // Log.writing guards it, and err
	err     error
}

// Open opens the log of a state folder, or begins it. If its last file is damaged it goes on in a new one, and says so in an entry; what is before that only Verify reads.
func Open(fsys durable.FS, now time.Time) (*Log, error) {
	if err := fsys.Mkdir(folder); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	if err := errors.Join(fsys.SyncDir("."), fsys.SyncDir(folder)); err != nil {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	l := &Log{fsys: fsys, next: &batch{}, file: 1}
	files, err := logFiles(fsys)
	if err == nil && len(files) > 0 {
		err = l.resume(files, now)
	}
	if err != nil {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	return l, nil
}

// resume goes on after what is there.
func (l *Log) resume(files []string, now time.Time) error {
	last := files[len(files)-1]
	number, err := strconv.Atoi(strings.TrimSuffix(path.Base(last), ".log"))
	if err != nil {
		return err
	}
	l.file = number
	var before Head
	if len(files) > 1 {
		text, err := readFile(l.fsys, files[len(files)-2])
		if err != nil {
			return err
		}
		before, _, _ = follow(last, text, Head{})
	}
	text, err := readFile(l.fsys, last)
	if err != nil {
		return err
	}
	var faults []Fault
	l.head, _, faults = follow(last, text, before)
	if len(faults) == 0 {
		l.tail = text
		return nil
	}
	l.file++
	return l.Append(Entry{At: now, Kind: Broken, About: last, Text: faults[0].String()})
}

// Append adds entries, in this order and with no other between them. They are durable when it returns nil. After an error they are not, and are not in the log: what a
// failed write may have left on the disk all the same, the next one replaces. Entries of one time may share a write, and its error.
func (l *Log) Append(entries ...Entry) error {
	if len(entries) == 0 {
		return nil
	}
	for _, e := range entries {
		if _, err := e.encode(); err != nil {
			return err
		}
	}
	l.mu.Lock()
	b := l.next
	b.entries = append(b.entries, entries...)
	l.mu.Unlock()
	l.writing.Lock()
	defer l.writing.Unlock()
	if !b.written {
		l.mu.Lock()
		l.next = &batch{}
		l.mu.Unlock()
		b.written, b.err = true, l.write(b.entries)
	}
	return b.err
}

// write adds entries to the last file, or to a new one. l.writing is held.
func (l *Log) write(entries []Entry) error {
	if len(l.tail) >= fileSize { // also if this write fails: no number may stand in two files
		l.file, l.tail = l.file+1, nil
	}
	head, text := l.head, l.tail[:len(l.tail):len(l.tail)]
	for _, e := range entries {
		e.Number, e.Prev = head.Number+1, head.Hash
		encoded, err := e.encode()
		if err != nil {
			return err
		}
		head = Head{e.Number, sha256.Sum256(encoded)}
		text = append(append(text, encoded...), '\n')
	}
	if err := durable.ReplaceFile(l.fsys, fileName(l.file), text); err != nil {
		return fmt.Errorf("append to the audit log: %w", err)
	}
	l.head, l.tail = head, text
	return nil
}

// Head is where the log ends now: who notes it elsewhere can tell later whether its end was cut off.
func (l *Log) Head() Head {
	l.writing.Lock()
	defer l.writing.Unlock()
	return l.head
}
