package ingest

import (
	"errors"
	"io"
	"io/fs"
	"sync"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/part10"
)

// store is where one file's parts are staged: a part10.Store over a batch. It is used by one goroutine.
type store struct {
	tree    durable.Reader
	batch   *durable.Batch
	values  map[dedup.Ref]*durable.Temp
	small   []dedup.Ref                 // those of values that were small
	leaned  map[dedup.Ref]*durable.Temp // values of other instances: a file of this batch, nil for one that the study has
	objects map[dedup.Hash]dedup.Object
	bytes   int64
	open    int    // how many of values are open
	study   *study // whose values it may lean on, nil for none
	tools   *tools
	staged  *staged
}

// staged are the objects and the small values that some file of a batch has placed: the batch stores them, or nothing.
type staged struct {
	mu      sync.Mutex // guards what follows
	objects map[objectKey]bool
	values  map[valueKey]*durable.Temp
}

type objectKey struct {
	study dedup.UID
	hash  dedup.Hash
}

func (s *staged) has(study dedup.UID, h dedup.Hash) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.objects[objectKey{study, h}]
}

func (s *staged) add(study dedup.UID, hashes []dedup.Hash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range hashes {
		s.objects[objectKey{study, h}] = true
	}
}

// tools are what one file after another is taken apart with.
type tools struct {
	scratch part10.Scratch
	buf     []byte // for comparing
	small   []byte // a value
	record  []byte // JSON of the instance file
	text    []byte // JSON of an object
	zipped  []byte
	file    []byte // a small file, whole
}

// muchText is the longest record whose memory is kept for the next.
const muchText = 1 << 20

// snapshotSize is the size up to which a file is read once and worked on in memory.
const snapshotSize = 2 << 20

// snapshot is f, read whole if it is small: taking apart, proving and looking for duplicates each read all of it. One that cannot
// be read is left for them to complain about.
func (t *tools) snapshot(f io.ReaderAt, size int64) io.ReaderAt {
	if size > snapshotSize {
		return f
	}
	if int64(cap(t.file)) < size {
		t.file = make([]byte, snapshotSize)
	}
	b := t.file[:size]
	if n, err := f.ReadAt(b, 0); int64(n) < size || err != nil && !errors.Is(err, io.EOF) {
		return f
	}
	return part10.Loaded(b)
}

// compress is text gzipped, valid until the next call.
func (t *tools) compress(text []byte) []byte {
	t.zipped = t.scratch.Compress(t.zipped[:0], text)
	return t.zipped
}

// study is what this process knows of one study. Most instances share all objects with the one before.
type study struct {
	uid dedup.UID

	mu      sync.Mutex          // guards what follows
	objects map[dedup.Hash]bool // that this process has made durable
	values  map[dedup.Ref]bool  // small ones, likewise
	state   *dedup.State        // of the lists in listing
	listing []dedup.Held
}

func (s *study) has(h dedup.Hash) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.objects[h]
}

// learn notes objects and values that a commit has made durable.
func (s *study) learn(objects []dedup.Hash, values []dedup.Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range objects {
		s.objects[h] = true
	}
	for _, ref := range values {
		if len(s.values) >= mostValues {
			clear(s.values) // those that are shared come again
		}
		s.values[ref] = true
	}
}

// forget makes the next file of the study place all its objects and values: a commit compares them with what is there.
func (s *study) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.objects)
	clear(s.values)
}

func objectRef(h dedup.Hash) dedup.Ref {
	return dedup.Ref{Class: dedup.Bulkdata, Name: h.String(), Ext: ".json.gz"}
}

func (s *store) Put(h dedup.Hash, o dedup.Object) error {
	s.objects[h] = o
	return nil
}

func (s *store) Object(h dedup.Hash) (dedup.Object, error) {
	if o, ok := s.objects[h]; ok {
		return o, nil
	}
	return nil, &fs.PathError{Op: "open", Path: h.String(), Err: fs.ErrNotExist}
}

func (s *store) Bulk(ref dedup.Ref) (part10.Bulk, error) {
	if t := s.values[ref]; t != nil {
		return s.batch.Open(t)
	}
	t, leaned := s.leaned[ref]
	switch {
	case !leaned:
		return nil, &fs.PathError{Op: "open", Path: ref.String(), Err: fs.ErrNotExist}
	case t != nil:
		return s.batch.Open(t)
	}
	return s.tree.Open(ref.In(s.study.uid))
}

// placement is a staged file and the name that it is to get.
type placement struct {
	temp  *durable.Temp
	name  string
	class int
}

// place gives everything that was kept its place in the study, and the instance file too unless it is nil. Everything is staged before
// anything is placed: if the disk is full half-way, nothing of the file stays in the batch. What this process has made durable before is relied on.
func (s *store) place(to *study, instance []byte, name string) (err error) {
	var small []placement
	var fresh []dedup.Hash
	defer func() {
		if err != nil {
			for _, p := range small {
				s.batch.Drop(p.temp)
			}
		}
	}()
	for h, o := range s.objects {
		if to.has(h) {
			s.batch.Rely(objectRef(h).In(to.uid))
			continue
		}
		if s.staged.has(to.uid, h) {
			continue
		}
		s.tools.text = o.AppendJSON(s.tools.text[:0])
		t, err := s.stage(s.tools.text)
		if err != nil {
			return err
		}
		small = append(small, placement{t, objectRef(h).In(to.uid), classBulkdata})
		fresh = append(fresh, h)
	}
	if instance != nil {
		t, err := s.stage(instance)
		if err != nil {
			return err
		}
		small = append(small, placement{t, name, classInstances})
	}
	for ref, t := range s.values {
		if err := t.Close(); err != nil {
			return err
		}
		small = append(small, placement{t, ref.In(to.uid), classBulkdata})
	}
	for ref, t := range s.leaned {
		if t == nil {
			s.batch.Rely(ref.In(to.uid))
		}
	}
	for _, p := range small {
		if err := s.batch.Place(p.temp, p.name, p.class); err != nil {
			return err
		}
	}
	s.staged.add(to.uid, fresh)
	s.staged.addValues(to.uid, s.small, s.values)
	return nil
}

// stage writes a small file, gzipped, and closes it.
func (s *store) stage(text []byte) (*durable.Temp, error) {
	t, err := s.batch.Create()
	if err != nil {
		return nil, err
	}
	if _, err = t.Write(s.tools.compress(text)); err == nil {
		err = t.Close()
	}
	if err != nil {
		s.batch.Drop(t)
		return nil, err
	}
	return t, nil
}

// abandon takes everything that was kept and not placed out of the batch.
func (s *store) abandon() {
	for _, t := range s.values {
		s.batch.Drop(t)
	}
}
