package syncer

import (
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
)

// savings are files that an earlier process had received and not committed, by their labels (durable.Salvage).
type savings struct {
	fs  durable.FS
	dir string

	mu   sync.Mutex                    // guards left
	left map[dedup.UID]map[string]bool // nil before list
}

// list reads what there is. What stands at its final name already, or is not the label of a study's file, is of no use, and is removed.
func (s *savings) list() {
	if s.fs == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = map[dedup.UID]map[string]bool{}
	entries, err := s.fs.ReadDir(s.dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		final := "studies/" + strings.ReplaceAll(e.Name(), "!", "/") // as label made it
		study, _, labelled := cutStudy(final)
		_, err := s.fs.Lstat(final)
		if !labelled || err == nil {
			_ = s.fs.Remove(path.Join(s.dir, e.Name()))
			continue
		}
		if s.left[study] == nil {
			s.left[study] = map[string]bool{}
		}
		s.left[study][e.Name()] = true
	}
}

// has reports whether something was saved of a file, and under which label.
func (s *savings) has(study dedup.UID, ref dedup.Ref) (name string, has bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left[study] == nil {
		return "", false // as it is for most: no label is made
	}
	name = label(study, ref)
	return name, s.left[study][name]
}

// read reads what was saved of a file, if that is at most limit bytes: all of it, or its beginning.
func (s *savings) read(study dedup.UID, ref dedup.Ref, limit int64) []byte {
	f := s.open(study, ref)
	if f == nil {
		return nil
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil || size == 0 || size > limit {
		return nil
	}
	b := make([]byte, size)
	if n, err := f.ReadAt(b, 0); err != nil && n < len(b) {
		return nil
	}
	return b
}

// open opens what was saved of a large file; nil if there is nothing. The caller closes and drops it.
func (s *savings) open(study dedup.UID, ref dedup.Ref) durable.File {
	name, has := s.has(study, ref)
	if !has {
		return nil
	}
	f, err := s.fs.Open(path.Join(s.dir, name))
	if err != nil {
		return nil
	}
	return f
}

// drop removes what was saved of a file.
func (s *savings) drop(study dedup.UID, ref dedup.Ref) {
	if name, has := s.has(study, ref); has {
		s.remove(study, name)
	}
}

// settle removes what is left of a study of which everything has come: it was replaced, or came another way.
func (s *savings) settle(study dedup.UID) {
	s.mu.Lock()
	names := slices.Collect(maps.Keys(s.left[study]))
	s.mu.Unlock()
	s.remove(study, names...)
}

func (s *savings) remove(study dedup.UID, names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		_ = s.fs.Remove(path.Join(s.dir, name)) // what stays is found again by the next process
		delete(s.left[study], name)
	}
	if len(s.left[study]) == 0 {
		delete(s.left, study)
	}
}
