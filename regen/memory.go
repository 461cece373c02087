package regen

import (
	"errors"
	"sync"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/export"
	"golang.org/x/sys/unix"
)

// Memory is what Generators of one archive remember of studies: one that grows is read again and again, and of its lists, instance files and extracts only few are new. It is bounded, and no
// truth: what is remembered of a file counts only while the file system says the same of it. The zero Memory is ready; it may be used by several goroutines and holds some 64 MB at most.
type Memory struct {
	mu      sync.Mutex
	studies map[dedup.UID]*remembrance
	size    int64 // of all
}

// remembrance is what is remembered of one study. It is one round's own while that runs.
type remembrance struct {
	heads   map[string]*head            // by path
	objects map[dedup.Hash]dedup.Object // objects in bulkdata, as they are stored
	sizes   map[dedup.Ref]int64         // of frames, which are named by what is in them
	size    int64                       // of the texts
}

// head is a list or an instance file that was read.
type head struct {
	stamp   stamp
	file    dedup.File
	size    int64
	entries []entry // of its objects, when they were asked for
}

// stamp is what the file system says of a file. The archive never writes into one, so while it is the same so is the file. The zero stamp says nothing.
type stamp struct {
	inode     uint64
	size      int64
	sec, nsec int64 // of its last change
}

func stampOf(s *unix.Stat_t) stamp { return stamp{s.Ino, s.Size, s.Ctim.Sec, s.Ctim.Nsec} }

// maxMemory bounds the texts that are remembered. What is made of them is some four times as large.
const maxMemory = 16 << 20

// recall hands over what is remembered of a study.
func (m *Memory) recall(uid dedup.UID) *remembrance {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.studies[uid]
	if r == nil {
		return &remembrance{heads: make(map[string]*head), objects: make(map[dedup.Hash]dedup.Object), sizes: make(map[dedup.Ref]int64)}
	}
	delete(m.studies, uid)
	m.size -= r.size
	return r
}

// keep remembers a study. When all is too much the others are forgotten.
func (m *Memory) keep(uid dedup.UID, r *remembrance) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.size > maxMemory || m.studies[uid] != nil {
		return // too large, or another round of it has ended meanwhile
	}
	if m.studies == nil || m.size+r.size > maxMemory {
		m.studies, m.size = make(map[dedup.UID]*remembrance), 0
	}
	m.studies[uid] = r
	m.size += r.size
}

// read is a list or an instance file, remembered or read. A damaged one counts for nothing, and says so in its Fault.
func (r *remembrance) read(folder dedup.Folder, h dedup.Held, now stamp) (*head, error) {
	if known := r.heads[h.Path]; known != nil && now != (stamp{}) && known.stamp == now {
		return known, nil
	}
	text, err := folder.Read(h, maxHead)
	out := &head{stamp: now, size: int64(len(text))}
	switch {
	case errors.Is(err, dedup.ErrDamaged), errors.Is(err, dedup.ErrTooLarge):
		out.file = dedup.File{ID: dedup.FileID{Ref: h.Ref}, Fault: err}
	case err != nil:
		return nil, err
	default:
		out.file = dedup.ParseFile(h.Ref, text)
	}
	return out, nil
}

// heads remembers the heads of a round in place of those of the one before.
func (r *remembrance) replace(heads map[string]*head) {
	r.heads, r.size = heads, 0
	for _, h := range heads {
		r.size += h.size
	}
	r.size += int64(len(r.objects))*averageObject + int64(len(r.sizes))*averageSize
}

// averageObject is about how much text an object in bulkdata is: an extract, an encoding. Sequences are larger, and fewer.
const averageObject = 2 << 10

// averageSize is what a name and a number take, in the measure of texts.
const averageSize = 64

// sizeOf is the size of a frame on disk.
func (s *study) sizeOf(ref dedup.Ref) (int64, error) {
	if size, ok := s.known.sizes[ref]; ok {
		return size, nil
	}
	_, size, err := s.folder.Find(ref)
	if err == nil {
		s.known.sizes[ref] = size
	}
	return size, err
}

// source is a study of which some objects are remembered. Whether they are still there is asked each time.
type source struct {
	export.Source
	objects map[dedup.Hash]dedup.Object
}

// Object implements dedup.Bulk.
func (s source) Object(h dedup.Hash) (dedup.Object, error) {
	if o, ok := s.objects[h]; ok && s.Has(dedup.Ref{Class: dedup.Bulkdata, Name: h.String(), Ext: ".json.gz"}) {
		return o, nil
	}
	o, err := s.Source.Object(h)
	if err == nil {
		s.objects[h] = o
	}
	return o, err
}
