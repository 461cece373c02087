package index

import (
	"container/list"
	"context"
	"sync"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
)

// kept is what a Keeper remembers of a study between two Looks. What it remembers is in the index, or was found wrong on disk; it may be forgotten at any time.
type kept struct {
	uid dedup.UID
	one sync.Mutex // held by the one who uses it, and guards what is below

	known bool                 // heads, bulk, lost, files and bytes are the index's
	heads map[string]*keptFile // lists and instance files that are entered and were there, by path
	bulk  map[dedup.Ref]bool
	lost  map[string]*keptFile // lists, instance files and others that are entered and missed, by path
	files int                  // that are entered and not lost
	bytes int64                // theirs

	resolved bool // what follows is so; heads were all read
	leaves   []dedup.FileID
	missing  []dedup.Ref
	objects  map[dedup.Hash]dedup.Object // bulkdata that records refer to
	bad      map[string]bad              // files that do not count, by path
	facts    Facts                       // the last Look's
	looked   bool                        // there was a Look
	trouble  int                         // how many of all kinds the last one found

	// Guarded by Keeper.mu:
	users   int // who use it or wait
	place   *list.Element
	counted int64 // its part of Keeper.memory
}

// keptFile is a list or an instance file, or a lost file.
type keptFile struct {
	Entry
	file dedup.File // slim; as far as it was read
	read bool
}

// bad is a file that does not count.
type bad struct {
	Trouble
	stamp stamp     // of the file that it is said of: another one is looked at anew
	until time.Time // not finished, maybe: to be looked at again then. Zero for one that is wrong
}

// stamp is what a file system says of a file: while it is the same, so is the file.
type stamp struct {
	size, ino      int64
	changed, wrote time.Time
}

// forget makes it as good as new.
func (s *kept) forget() {
	s.known, s.resolved = false, false
	s.heads, s.bulk, s.lost, s.objects, s.bad = nil, nil, nil, nil, nil
	s.leaves, s.missing, s.files, s.bytes, s.facts, s.looked, s.trouble = nil, nil, 0, 0, Facts{}, false, 0
}

// size is about how many bytes it takes. What was looked at without resolving it is not worth keeping.
func (s *kept) size() int64 {
	if !s.resolved {
		s.forget()
		return 0
	}
	n := int64(4096) + int64(len(s.bulk))*300 + int64(len(s.leaves)+len(s.missing))*160 + int64(len(s.bad))*500
	for _, h := range s.heads {
		n += 500 + h.file.Memory()
	}
	for _, o := range s.objects {
		for _, e := range o {
			n += int64(len(e.JSON)) + 32
		}
	}
	return n
}

// load takes over what the index has.
func (s *kept) load(ctx context.Context, x *Index) error {
	s.forget()
	s.heads, s.bulk, s.lost = make(map[string]*keptFile), make(map[dedup.Ref]bool), make(map[string]*keptFile)
	s.objects, s.bad = make(map[dedup.Hash]dedup.Object), make(map[string]bad)
	for e, err := range x.Files(ctx, s.uid) {
		if err != nil {
			return err
		}
		switch {
		case e.Lost:
			s.lost[e.Path] = &keptFile{Entry: e}
			continue
		case head(e.Ref.Class):
			s.heads[e.Path] = &keptFile{Entry: e}
		case e.Ref.Class == dedup.Bulkdata:
			s.bulk[e.Ref] = true
		}
		s.files, s.bytes = s.files+1, s.bytes+e.Disk
	}
	s.known = true
	return nil
}

// wrong reports whether a list or an instance file is there that does not count.
func (s *kept) wrong() bool {
	for _, b := range s.bad {
		if head(b.Ref.Class) {
			return true
		}
	}
	return false
}
