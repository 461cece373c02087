package events

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
)

// longest line that is read: no event is near it, but somebody may have edited a file.
const longestLine = 64 << 10

// read takes the events of one file into memory.
func (l *Log) read(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewReaderSize(file, longestLine)
	for {
		line, err := lines.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull): // no line of ours: what follows its next line feed is read again
		case err != nil && !errors.Is(err, io.EOF):
			return err
		default:
			var e Event
			if json.Unmarshal(line, &e) == nil && e.Seq >= l.next {
				l.remember(e)
				l.next = e.Seq + 1
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
	}
}

// openFile opens the file that is written. A last line that a crash cut short is closed by the next write.
func (l *Log) openFile() error {
	file, err := os.OpenFile(l.name(0), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	last := []byte{'\n'}
	if info.Size() > 0 {
		if _, err := file.ReadAt(last, info.Size()-1); err != nil {
			return errors.Join(err, file.Close())
		}
	}
	l.file, l.written, l.torn = file, info.Size(), last[0] != '\n'
	return nil
}

// write appends an event to the file, after putting a full one aside. l.mu is held: a line is short, and its order is that of the numbers.
func (l *Log) write(e Event) {
	err := l.rotate()
	if err == nil && l.file != nil {
		line := encode(e)
		if l.torn {
			line = append([]byte{'\n'}, line...)
		}
		var n int
		n, err = l.file.Write(line)
		l.written += int64(n)
		if n > 0 {
			l.torn = n < len(line)
		}
	}
	if err != nil && !l.failing {
		l.config.Log.Warn("events are not written to disk", "error", err)
	}
	l.failing = err != nil || l.file == nil
}

// rotate begins a new file when the old one is full.
func (l *Log) rotate() error {
	if l.file == nil || l.written < l.config.FileBytes {
		return nil
	}
	for n := l.config.Files - 1; n > 0; n-- {
		if err := os.Rename(l.name(n-1), l.name(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	old := l.file
	if err := l.openFile(); err != nil {
		return err
	}
	return old.Close()
}
