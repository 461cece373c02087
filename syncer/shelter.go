package syncer

import (
	"sync"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
)

// shelter is where heads stay that were checked and cannot be committed yet, because their bulkdata has not come: after a cut the next pull of the study, from
// whomever, takes them from here.
type shelter struct {
	staging *durable.Staging
	most    int // bytes that may wait for another pull

	mu    sync.Mutex // guards what follows
	tents map[dedup.UID]*tent
	bytes int // of the heads in them
}

// mostSheltered bounds what waits for another pull. Heads beyond travel again.
const mostSheltered = 16 << 20

// tent is the heads of one study. It is for one pull at a time.
type tent struct {
	staging *durable.Staging
	most    int
	study   dedup.UID
	heads   map[dedup.FileID][]byte // as they are stored
	bytes   int
	batch   *durable.Batch // holds labelled copies, for the next process; nil: there are none
}

// enter is the tent of a study, empty or as the last pull left it.
func (s *shelter) enter(study dedup.UID) *tent {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tents[study]
	if t == nil {
		return &tent{staging: s.staging, most: s.most, study: study, heads: map[dedup.FileID][]byte{}}
	}
	delete(s.tents, study)
	s.bytes -= t.bytes
	return t
}

// leave keeps a tent for the next pull, if this one did not come through.
func (s *shelter) leave(t *tent, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil || len(t.heads) == 0 || s.bytes+t.bytes > s.most {
		t.strike()
		return
	}
	s.tents[t.study] = t
	s.bytes += t.bytes
}

// take puts heads into the tent. Where the link carries so little (rate, in bytes a second, 0: it is not known) that it would take a while until they came again they
// are written down too, for this process may be killed. That they cannot be is no error: they are only to save time.
func (t *tent) take(heads []head, rate float64) {
	const while = 0.02 // seconds
	size := 0
	for _, h := range heads {
		size += len(h.stored)
	}
	write := size > 0 && float64(size) >= rate*while
	for _, h := range heads {
		id := dedup.FileID{Ref: h.ref, Digest: h.digest}
		if t.heads[id] != nil {
			continue
		}
		t.heads[id] = h.stored
		t.bytes += len(h.stored)
		if write {
			write = t.write(label(t.study, h.ref), h.stored)
		}
	}
}

// write makes a labelled copy, and reports whether another one is worth trying.
func (t *tent) write(label string, stored []byte) bool {
	if label == "" {
		return true
	}
	if t.batch == nil {
		var err error
		if t.batch, err = t.staging.OpenBatch(); err != nil {
			return false
		}
	}
	temp, err := t.batch.CreateLabelled(label)
	if err != nil {
		return false
	}
	_, err = temp.Write(stored)
	return err == nil && temp.Close() == nil
}

// find is a head that came in an earlier pull, nil if it did not.
func (t *tent) find(w want) []byte { return t.heads[dedup.FileID{Ref: w.ref, Digest: w.digest}] }

// bound lets all go where more waits than may wait for another pull: of a source that has little of what its lists refer to that could be all of them.
func (t *tent) bound() {
	if t.bytes > t.most {
		t.strike()
	}
}

// give takes heads out of the tent: they are committed, or not to be.
func (t *tent) give(heads []head) {
	for _, h := range heads {
		id := dedup.FileID{Ref: h.ref, Digest: h.digest}
		t.bytes -= len(t.heads[id])
		delete(t.heads, id)
	}
	if len(t.heads) == 0 {
		t.strike()
	}
}

// strike empties the tent.
func (t *tent) strike() {
	if t.batch != nil {
		t.batch.Discard()
	}
	t.batch, t.bytes = nil, 0
	clear(t.heads)
}

// close lets all tents go. Their copies can be salvaged by the next process.
func (s *shelter) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tents)
}
