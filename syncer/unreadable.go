package syncer

import (
	"errors"
	"io"
	"io/fs"
	"sync"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// unreadable are files that the disk did not give when somebody fetched them. The first who asks for one has his answer end in the middle, because its header was sent; from then on
// it counts as absent, so that all else of its study can be had from a disk that is dying. It is read again after a while, and a look or a scrub says what it is.
type unreadable struct {
	mu    sync.Mutex
	files map[unreadFile]time.Time // and when; guarded by mu
}

type unreadFile struct {
	study  dedup.UID
	ref    dedup.Ref
	digest dedup.Digest
}

// It is remembered of so many files, for so long.
const (
	mostUnread = 4096
	unreadFor  = 10 * time.Minute
)

func (u *unreadable) has(study dedup.UID, w wire.Want) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	at, has := u.files[unreadFile{study, w.Ref, w.Digest}]
	return has && time.Since(at) < unreadFor
}

// add takes what reading a file came to.
func (u *unreadable) add(study dedup.UID, w wire.Want, err error) {
	if err == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.files == nil || len(u.files) >= mostUnread {
		u.files = map[unreadFile]time.Time{}
	}
	u.files[unreadFile{study, w.Ref, w.Digest}] = time.Now()
}

// reading is a file that remembers that it could not be read.
type reading struct {
	durable.File
	err error
}

// ReadAt implements io.ReaderAt.
func (r *reading) ReadAt(b []byte, at int64) (int, error) {
	n, err := r.File.ReadAt(b, at)
	if err != nil && err != io.EOF && !errors.Is(err, fs.ErrClosed) {
		r.err = err
	}
	return n, err
}
