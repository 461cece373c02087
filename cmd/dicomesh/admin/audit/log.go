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
	noted   *Head // what the note says: head, unless it could not be written; nil: there is none that can be read
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
	if err == nil {
		err = l.resume(files, now)
	}
	if err != nil {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	return l, nil
}

// resume goes on after what is there.
func (l *Log) resume(files []string, now time.Time) error {
	noted, err := readNote(l.fsys)
	unreadable := errors.Is(err, errNote)
	if err != nil && !unreadable {
		return err
	}
	last, wrong := path.Join(folder, "*.log"), ""
	if len(files) > 0 {
		last = files[len(files)-1]
		if wrong, err = l.take(files); err != nil {
			return err
		}
	}
	if wrong == "" && unreadable {
		wrong = errNote.Error()
	} else if wrong == "" {
		wrong, _ = judge(noted, l.head, func(number uint64) (Hash, bool) { return hashOf(l.fsys, files, number) })
	}
	l.noted = noted
	if wrong == "" {
		if err := l.note(); noted == nil {
			return err
		}
		return nil // a disk that is full keeps no site from starting: the next entries take the note with them
	}
	l.file, l.tail = l.file+1, nil
	if noted != nil { // so that the damage shows for ever: this is not what is there now
		l.head = Head{max(l.head.Number, noted.Number), noted.Hash}
	}
	return l.Append(Entry{At: now, Kind: Broken, About: last, Text: wrong})
}

// take reads the end of the log, and says what is wrong with its last file.
func (l *Log) take(files []string) (wrong string, err error) {
	last := files[len(files)-1]
	if l.file, err = strconv.Atoi(strings.TrimSuffix(path.Base(last), ".log")); err != nil {
		return "", err
	}
	var before Head
	if len(files) > 1 {
		text, err := readFile(l.fsys, files[len(files)-2])
		if err != nil {
			return "", err
		}
		before, _, _ = follow(last, text, Head{})
	}
	text, err := readFile(l.fsys, last)
	if err != nil {
		return "", err
	}
	var faults []Fault
	l.head, _, faults = follow(last, text, before)
	if len(faults) > 0 {
		return faults[0].String(), nil
	}
	l.tail = text
	return "", nil
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
	_ = l.note() // the entries are there; what could not be noted now is with the next ones, or by the next start
	return nil
}

// note notes where the log ends, if that is not what is noted. l.writing is held, or nobody else has l yet.
func (l *Log) note() error {
	if l.noted != nil && *l.noted == l.head {
		return nil
	}
	head := l.head
	err := writeNote(l.fsys, head)
	if err == nil {
		l.noted = &head
	}
	return err
}

// Head is where the log ends now: who notes it elsewhere can tell later whether its end was cut off.
func (l *Log) Head() Head {
	l.writing.Lock()
	defer l.writing.Unlock()
	return l.head
}
