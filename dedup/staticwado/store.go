package staticwado

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"maps"
	"slices"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/ingest"
	"github.com/dicomesh/dicomesh/dedup/part10"
)

// The classes of a commit, in the order in which they become visible. Our list comes before the history that it replaces: no moment shows a rejected
// instance because the list that rejects it is not there yet.
const (
	classBulkdata = iota
	classOwnList
	classInstances
	classLists
)

// When a batch is full.
const (
	batchFiles = 1000
	batchBytes = 64 << 20
)

// writer stores files of one study in batches.
type writer struct {
	run    *run
	study  dedup.UID
	batch  *durable.Batch
	err    error // the tree's, after which nothing can be stored
	placed int   // in the batch
	staged int64 // bytes that were placed in it

	objects map[dedup.Hash]bool // placed in this or an earlier batch: no batch is begun after one that failed
}

// temp is a file that is being staged, and how long it is.
type temp struct {
	*durable.Temp
	n int64
}

func (t *temp) Write(b []byte) (int, error) {
	n, err := t.Temp.Write(b)
	t.n += int64(n)
	return n, err
}

// fatal notes an error of the tree.
func (w *writer) fatal(err error) error {
	if err != nil && w.err == nil {
		w.err = err
	}
	return err
}

func (w *writer) create() (*temp, error) {
	t, err := w.batch.Create()
	return &temp{Temp: t}, w.fatal(err)
}

func newWriter(r *run, study dedup.UID) (*writer, error) {
	w := &writer{run: r, study: study, objects: make(map[dedup.Hash]bool)}
	return w, w.open()
}

func (w *writer) open() error {
	b, err := w.run.staging.OpenBatch()
	if err != nil {
		return err // the batch that was is over, and discarding it again does nothing
	}
	w.batch, w.placed, w.staged = b, 0, 0
	return nil
}

func (w *writer) discard() { w.batch.Discard() }

// full commits a batch that is large enough.
func (w *writer) full() error {
	if w.placed < batchFiles && w.staged < batchBytes {
		return nil
	}
	return w.commit()
}

// commit makes everything so far durable, and begins anew.
func (w *writer) commit() error {
	files, bytes := w.placed, w.staged
	taken := ingest.Taken(w.run.tree)
	err := w.batch.Commit(func(staged, name string) (string, error) {
		instead, err := w.keepPresent(name)
		if !instead {
			name, err = taken(staged, name)
		} else {
			name = ""
		}
		if name == "" && err == nil {
			files--
			bytes -= sizeOf(w.run.tree, staged)
		}
		return name, err
	})
	if err != nil {
		return err
	}
	w.run.summary.Files += files
	w.run.summary.Bytes += bytes
	return w.open()
}

// keepPresent reports whether a name of the class other is taken: nothing tells which of two such files is right.
func (w *writer) keepPresent(name string) (bool, error) {
	ref, err := dedup.ParseRef(name[len("studies/")+len(w.study.String())+1:])
	return ref.Class == dedup.Other, err
}

func sizeOf(fsys durable.Reader, name string) int64 {
	info, err := fsys.Lstat(name)
	if err != nil {
		return 0
	}
	return info.Size()
}

func exists(fsys durable.Reader, name string) (bool, error) {
	_, err := fsys.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, durable.ErrNotRegular) {
		return false, nil
	}
	return err == nil, err
}

// place gives a staged file its name.
func (w *writer) place(t *temp, ref dedup.Ref, class int) error {
	w.placed++
	w.staged += t.n
	return w.batch.Place(t.Temp, ref.In(w.study), class)
}

// put stages a small file.
func (w *writer) put(ref dedup.Ref, content []byte, class int) error {
	return w.copy(ref, bytes.NewReader(content), class, func(err error) error { return err })
}

// copy stages a file and gives it its name. What goes wrong with reading it is for unreadable to judge: nil leaves the file out.
func (w *writer) copy(ref dedup.Ref, from io.Reader, class int, unreadable func(error) error) error {
	t, _, err := w.stage(from)
	if err != nil && w.err == nil {
		return unreadable(err)
	}
	if err == nil {
		err = w.place(t, ref, class)
	}
	if err != nil {
		return err
	}
	return w.full()
}

// stage stages what from has, and returns its SHA-256. An error is from's, unless w.err is set.
func (w *writer) stage(from io.Reader) (*temp, [sha256.Size]byte, error) {
	var sum [sha256.Size]byte
	t, err := w.create()
	if err != nil {
		return nil, sum, err
	}
	h := sha256.New()
	in := &watched{r: from}
	if _, err := io.Copy(io.MultiWriter(t, h), in); err != nil {
		w.batch.Drop(t.Temp)
		if in.err == nil {
			w.fatal(err)
		}
		return nil, sum, err
	}
	h.Sum(sum[:0])
	return t, sum, nil
}

// watched tells an error of reading from one of writing.
type watched struct {
	r   io.Reader
	err error
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.r.Read(b)
	if err != nil && err != io.EOF {
		w.err = err
	}
	return n, err
}

// store is where one instance's parts are staged while it is converted: a part10.Store. It is used by one goroutine.
type store struct {
	study   *study
	values  map[dedup.Ref]*temp // that the record will refer to
	frames  map[string]*temp    // frames and values out of their envelopes, by name, gone when the instance is converted
	objects map[dedup.Hash]dedup.Object
	lent    map[dedup.Hash]dedup.Object // objects that the record will not refer to
}

func newStore(s *study) *store {
	return &store{study: s, values: map[dedup.Ref]*temp{}, frames: map[string]*temp{},
		objects: map[dedup.Hash]dedup.Object{}, lent: map[dedup.Hash]dedup.Object{}}
}

// value is one bulkdata file that is being written.
type value struct {
	*temp
	store *store
}

func (v *value) Write(b []byte) (int, error) {
	n, err := v.temp.Write(b)
	return n, v.store.study.out.fatal(err)
}

// Create implements part10.Sink.
func (s *store) Create() (part10.Value, error) {
	t, err := s.study.out.create()
	if err != nil {
		return nil, err
	}
	return &value{t, s}, nil
}

// Keep implements part10.Value.
func (v *value) Keep(ref dedup.Ref) error {
	return keep(v.store.study.out, v.store.values, v.temp, ref)
}

// keep notes a staged file under its key, once.
func keep[K comparable](w *writer, in map[K]*temp, t *temp, key K) error {
	if _, known := in[key]; known {
		w.batch.Drop(t.Temp)
		return nil
	}
	if err := t.Close(); err != nil {
		w.batch.Drop(t.Temp)
		return w.fatal(err)
	}
	in[key] = t
	return nil
}

// Drop implements part10.Value.
func (v *value) Drop() { v.store.study.out.batch.Drop(v.Temp) }

// Put implements part10.Sink.
func (s *store) Put(h dedup.Hash, o dedup.Object) error {
	s.objects[h] = o
	return nil
}

// Object implements part10.Source.
func (s *store) Object(h dedup.Hash) (dedup.Object, error) {
	for _, of := range []map[dedup.Hash]dedup.Object{s.objects, s.lent} {
		if o, ok := of[h]; ok {
			return o, nil
		}
	}
	return s.study.either().Object(h)
}

// Bulk implements part10.Source. Values of the source are in the tree by now, bare but for those whose names say nothing.
func (s *store) Bulk(ref dedup.Ref) (part10.Bulk, error) {
	if t, ok := s.values[ref]; ok {
		return s.study.out.batch.Open(t.Temp)
	}
	if t, ok := s.frames[ref.Name]; ok {
		return s.study.out.batch.Open(t.Temp)
	}
	held, _, err := s.study.to.Find(ref)
	if err != nil {
		return nil, err
	}
	if held.Ref.Ext != "" && held.Ref.Ext != ".gz" {
		return s.study.run.tree.Open(held.Path)
	}
	in, err := s.study.to.OpenHeld(held, maxValue)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	body, _, err := dedup.Unwrap(in)
	if err != nil {
		return nil, err
	}
	t, _, err := s.study.out.stage(body)
	if err == nil {
		err = keep(s.study.out, s.frames, t, ref.Name)
	}
	if err != nil {
		return nil, err
	}
	return s.study.out.batch.Open(t.Temp)
}

// abandon takes everything out of the batch.
func (s *store) abandon() {
	drop(s.study.out, s.frames)
	drop(s.study.out, s.values)
}

func drop[K comparable](w *writer, of map[K]*temp) {
	for key, t := range of {
		w.batch.Drop(t.Temp)
		delete(of, key)
	}
}

// commit gives everything that was kept its place in the study.
func (s *store) commit() error {
	w := s.study.out
	drop(w, s.frames)
	for _, ref := range slices.SortedFunc(maps.Keys(s.values), dedup.Ref.Compare) {
		if err := w.place(s.values[ref], ref, classBulkdata); err != nil {
			return err
		}
	}
	for _, h := range slices.SortedFunc(maps.Keys(s.objects), dedup.Hash.Compare) {
		if w.objects[h] {
			continue // most instances share all objects with the one before
		}
		w.objects[h] = true
		if err := w.put(objectRef(h), w.run.gzip.Append(nil, s.objects[h].AppendJSON(nil)), classBulkdata); err != nil {
			return err
		}
	}
	return w.full()
}

func objectRef(h dedup.Hash) dedup.Ref {
	return dedup.Ref{Class: dedup.Bulkdata, Name: h.String(), Ext: ".json.gz"}
}
