package regen

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/klauspost/compress/gzip"
)

// record is what the last round that finished left: which files, made of what, and which ones are on their way out. It is a memory, not the truth: without
// it, or with a damaged one, every file is compared with what it should be. It is removed before anything is changed and written when all is done, so what it
// says is never newer or older than the files.
type record struct {
	made  made
	files map[string]remembered // by path
	gone  map[string]time.Time  // files that nothing refers to any more, and since when
}

// made says what all files were made from, and how.
type made struct {
	how       string       // version and options of the generator
	print     string       // fingerprint of the study's heads
	leaves    dedup.Digest // what these were
	conflict  bool
	placeless int
}

func (m made) text() string {
	return fmt.Sprintf("%s\t%s\t%s\t%t\t%d", m.how, m.print, m.leaves, m.conflict, m.placeless)
}

func parseMade(line string) (m made, ok bool) {
	fields := strings.Split(line, "\t")
	if len(fields) != 5 {
		return made{}, false
	}
	leaves, err := hex.DecodeString(fields[2])
	if err != nil || len(leaves) != len(m.leaves) {
		return made{}, false
	}
	m = made{how: fields[0], print: fields[1], leaves: dedup.Digest(leaves), conflict: fields[3] == "true"}
	m.placeless, err = strconv.Atoi(fields[4])
	return m, err == nil
}

// remembered is what is remembered of a file.
type remembered struct {
	key  string
	size int64 // on disk
}

const recordHead = "dicomesh current 1"

// text is the record as lines of fields: made, then the files, then those that are gone, in order of their paths.
func (r *record) text() []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s\n%s\n", recordHead, r.made.text())
	for _, path := range sortedKeys(r.files) {
		f := r.files[path]
		fmt.Fprintf(&out, "%s\t%s\t%d\n", path, f.key, f.size)
	}
	for _, path := range sortedKeys(r.gone) {
		fmt.Fprintf(&out, "%s\t%d\n", path, r.gone[path].Unix())
	}
	return out.Bytes()
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func newRecord() *record {
	return &record{files: make(map[string]remembered), gone: make(map[string]time.Time)}
}

// parseRecord reads a record; an empty one if it is not whole.
func parseRecord(text string) *record {
	r := newRecord()
	head, rest, _ := strings.Cut(text, "\n")
	line, rest, _ := strings.Cut(rest, "\n")
	of, ok := parseMade(line)
	if head != recordHead || !ok {
		return r
	}
	r.made = of
	for line := range strings.Lines(rest) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		n, err := strconv.ParseInt(fields[len(fields)-1], 10, 64)
		switch {
		case err == nil && len(fields) == 3:
			r.files[fields[0]] = remembered{fields[1], n}
		case err == nil && len(fields) == 2:
			r.gone[fields[0]] = time.Unix(n, 0)
		default:
			return newRecord()
		}
	}
	return r
}

// maxRecord bounds a record: some hundred bytes a file.
const maxRecord = 1 << 30

// maxCurrent is the largest file of the current tree that is read to compare it.
const maxCurrent = 4 << 30

// readGzip reads a gzipped file of the current tree, at most limit bytes of what is in it.
func readGzip(fsys durable.Reader, name string, limit int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(z, limit))
}
