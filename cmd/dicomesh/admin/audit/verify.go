package audit

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/dicomesh/dicomesh/dedup/durable"
)

// Head is where a log ends.
type Head struct {
	Number uint64 // of the last entry; 0: there is none
	Hash   Hash   // of its line
}

// Fault is a place where a log is not as it was written.
type Fault struct {
	File   string
	Line   int // from 1
	Reason string
}

func (f Fault) String() string { return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Reason) }

// Report is what Verify found.
type Report struct {
	Entries uint64
	Files   int
	Head    Head
	Newer   uint64 // entries that are newer than the note of where the log ends: a crash came between
	Faults  []Fault
}

// Verify reads the log in a state folder, beside a running agent or without one, and holds each entry to the one before it. A log that is not there is an empty one. The
// error is that of reading; what is wrong with the log is in the Report.
func Verify(fsys durable.Reader) (Report, error) {
	var report Report
	noted, broken := readNote(fsys) // before the log, which may grow meanwhile
	if broken != nil && !errors.Is(broken, errNote) {
		return report, broken
	}
	files, err := logFiles(fsys)
	if err != nil {
		return report, err
	}
	report.Files = len(files)
	for n, name := range files {
		if want := fileName(n + 1); name != want {
			report.Faults = append(report.Faults, Fault{name, 1, "the file before it is not there"})
		}
		text, err := readFile(fsys, name)
		if err != nil {
			return report, err
		}
		head, entries, faults := follow(name, text, report.Head)
		report.Head, report.Entries, report.Faults = head, report.Entries+entries, append(report.Faults, faults...)
	}
	wrong, newer := judge(noted, report.Head, func(number uint64) (Hash, bool) { return hashOf(fsys, files, number) })
	if broken != nil {
		wrong = broken.Error()
	}
	if report.Newer = newer; wrong != "" {
		report.Faults = append(report.Faults, Fault{noteFile, 1, wrong})
	}
	return report, nil
}

// hashOf finds the hash of an entry: that of the last line that has its number.
func hashOf(fsys durable.Reader, files []string, number uint64) (Hash, bool) {
	for _, name := range slices.Backward(files) {
		text, err := readFile(fsys, name)
		if err != nil {
			return Hash{}, false
		}
		var found Hash
		var has, passed bool
		for _, l := range lines(text) {
			l = bytes.TrimSuffix(l, []byte("\n"))
			e, err := parse(l)
			passed = passed || err == nil && e.Number < number
			if err == nil && e.Number == number {
				found, has = sha256.Sum256(l), true
			}
		}
		if has || passed {
			return found, has
		}
	}
	return Hash{}, false
}

// follow holds the lines of a file to each other and to what came before. After a line that does not follow it goes on with the next: one change is one fault, or two.
func follow(name string, text []byte, head Head) (Head, uint64, []Fault) {
	var faults []Fault
	entries := uint64(0)
	for number, l := range lines(text) {
		e, err := parse(bytes.TrimSuffix(l, []byte("\n")))
		switch {
		case err == nil && l[len(l)-1] != '\n':
			err = errors.New("it is cut off")
		case err == nil && e.Number != head.Number+1:
			err = fmt.Errorf("entry %d after entry %d", e.Number, head.Number)
		case err == nil && e.Prev != head.Hash:
			err = errors.New("the entry before it is not the one that was there when it was written")
		}
		if err != nil {
			faults = append(faults, Fault{name, number, err.Error()})
		}
		if entries++; e.Number > 0 {
			head = Head{e.Number, sha256.Sum256(bytes.TrimSuffix(l, []byte("\n")))}
		}
	}
	if len(text) == 0 {
		faults = append(faults, Fault{name, 1, "the file is empty"})
	}
	return head, entries, faults
}

// lines are the lines of a text, with their ends, numbered from 1.
func lines(text []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		n := 0
		for l := range bytes.Lines(text) {
			if n++; !yield(n, l) {
				return
			}
		}
	}
}

// Entries are the entries of a log, in order. A line that is none is an error, after which it goes on.
func Entries(fsys durable.Reader) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		files, err := logFiles(fsys)
		if err != nil {
			yield(Entry{}, err)
			return
		}
		for _, name := range files {
			text, err := readFile(fsys, name)
			if err != nil && !yield(Entry{}, err) {
				return
			}
			for n, l := range lines(text) {
				e, err := parse(bytes.TrimSuffix(l, []byte("\n")))
				if err != nil {
					err = fmt.Errorf("%s:%d: %w", name, n, err)
				}
				if !yield(e, err) {
					return
				}
			}
		}
	}
}

func fileName(n int) string { return path.Join(folder, fmt.Sprintf("%08d.log", n)) }

// logFiles are the files of the log, in order.
func logFiles(fsys durable.Reader) ([]string, error) {
	entries, err := fsys.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var files []string
	for _, e := range entries {
		number, is := strings.CutSuffix(e.Name(), ".log")
		if n, err := strconv.Atoi(number); is && err == nil && fileName(n) == path.Join(folder, e.Name()) {
			files = append(files, path.Join(folder, e.Name()))
		}
	}
	return files, err
}

func readFile(fsys durable.Reader, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s is too large to be part of an audit log", name)
	}
	return text, err
}
