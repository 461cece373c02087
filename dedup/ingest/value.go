package ingest

import (
	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/part10"
)

// What is kept of values that instances share.
const (
	smallValue = 16 << 10 // the longest value that is looked for before it becomes a file
	mostValues = 4 << 10  // values that are known of a study, and of those that a batch has placed
	mostOpen   = 8        // values of one instance that stay open until they are placed
)

// value is one bulkdata file on its way into the batch. A small one becomes a file only when it has its name and turns out to be a new one: private
// blocks, lookup tables and residues are often those of the instance before.
type value struct {
	store *store
	temp  *durable.Temp // nil as long as it is all in small
	small []byte
	n     int64
}

func (s *store) Create() (part10.Value, error) {
	v := &value{store: s, small: s.tools.small[:0]}
	s.tools.small = nil
	return v, nil
}

func (v *value) Write(b []byte) (int, error) {
	if v.temp == nil && len(v.small)+len(b) <= smallValue {
		v.small = append(v.small, b...)
		v.n += int64(len(b))
		return len(b), nil
	}
	if err := v.begin(); err != nil {
		return 0, err
	}
	n, err := v.temp.Write(b)
	v.n += int64(n)
	return n, err
}

// begin makes the file, with what there is of it.
func (v *value) begin() error {
	if v.temp != nil {
		return nil
	}
	var err error
	if v.temp, err = v.store.batch.Create(); err != nil {
		return err
	}
	if len(v.small) > 0 {
		_, err = v.temp.Write(v.small)
	}
	return err
}

// Keep names the value. Where the study has one of this name the instance leans on that; the proof reads it. Else it is a file, which stays open for the
// proof if it is one of the first: an instance may have hundreds of thousands of frames.
func (v *value) Keep(ref dedup.Ref) error {
	s := v.store
	if s.keeps(ref) || v.temp == nil && s.lean(ref) {
		v.Drop()
		return nil
	}
	small := v.temp == nil
	err := v.begin()
	if s.open++; err == nil && s.open > mostOpen {
		err = v.temp.Close()
	}
	if err != nil {
		v.Drop()
		return err
	}
	if small {
		s.small = append(s.small, ref)
	}
	s.values[ref], s.bytes = v.temp, s.bytes+v.n
	v.release()
	return nil
}

func (v *value) Drop() {
	if v.temp != nil {
		v.store.batch.Drop(v.temp)
	}
	v.release()
}

// release gives the memory to the next value.
func (v *value) release() { v.store.tools.small, v.small = v.small, nil }

// keeps reports whether the instance has a value of this name already.
func (s *store) keeps(ref dedup.Ref) bool {
	_, own := s.values[ref]
	_, leaned := s.leaned[ref]
	return own || leaned
}

// lean finds the value of this name that another instance of the study has brought: a file of this batch, or one that this process has made durable.
func (s *store) lean(ref dedup.Ref) bool {
	if s.study == nil {
		return false
	}
	temp := s.staged.value(s.study.uid, ref)
	if temp == nil && !s.study.hasValue(ref) {
		return false
	}
	if s.leaned == nil {
		s.leaned = map[dedup.Ref]*durable.Temp{}
	}
	s.leaned[ref] = temp
	return true
}

// value is the file of this batch that another instance has placed under a name, nil if there is none.
func (s *staged) value(study dedup.UID, ref dedup.Ref) *durable.Temp {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.values[valueKey{study, ref}]
}

// addValues notes small values that were placed.
func (s *staged) addValues(study dedup.UID, small []dedup.Ref, values map[dedup.Ref]*durable.Temp) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ref := range small {
		if len(s.values) < mostValues {
			s.values[valueKey{study, ref}] = values[ref]
		}
	}
}

type valueKey struct {
	study dedup.UID
	ref   dedup.Ref
}

func (s *study) hasValue(ref dedup.Ref) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.values[ref]
}
