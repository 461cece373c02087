package agent

import (
	"strings"
	"sync"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
)

// reading is the tree for those who read it: it knows which files are open, so that none of them is collected.
type reading struct {
	Folder

	mu   sync.Mutex
	open map[string]int // how often, by path
}

func newReading(tree Folder) *reading { return &reading{Folder: tree, open: make(map[string]int)} }

// Open implements durable.Reader.
func (r *reading) Open(name string) (durable.File, error) {
	r.count(name, 1) // before it is, so that whoever looks in between does not miss it
	f, err := r.Folder.Open(name)
	if err != nil {
		r.count(name, -1)
		return nil, err
	}
	return &opened{File: f, done: sync.OnceFunc(func() { r.count(name, -1) })}, nil
}

func (r *reading) count(name string, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open[name] += n; r.open[name] == 0 {
		delete(r.open, name)
	}
}

// uses reports whether somebody reads a file of that name, in the study's folder or beside it. It would rather say so of one file too many.
func (r *reading) uses(study dedup.UID, ref dedup.Ref) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name := range r.open {
		if strings.Contains(name, study.String()) && strings.Contains(name, ref.Name) {
			return true
		}
	}
	return false
}

// opened is a file that is counted as long as it is open.
type opened struct {
	durable.File
	done func()
}

// Close implements io.Closer.
func (o *opened) Close() error {
	defer o.done()
	return o.File.Close()
}
