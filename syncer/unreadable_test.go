package syncer

import (
	"context"
	"io/fs"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// dying is a shelf on a disk that does not give some of its files: it opens them, and reads nothing of them, or does not even open them.
type dying struct {
	Archive
	unread, unopened dedup.Ref
}

func (d dying) Shelf(context.Context, dedup.UID) (Shelf, error) { return dyingShelf{d: d}, nil }

type dyingShelf struct {
	Shelf
	d dying
}

func (s dyingShelf) Open(ref dedup.Ref, _ dedup.Digest) (Book, error) {
	if ref == s.d.unopened {
		return Book{}, &fs.PathError{Op: "open", Path: "x", Err: syscall.EIO}
	}
	return Book{File: dyingFile{bad: ref == s.d.unread}, Ref: ref, Size: 3000}, nil
}

type dyingFile struct {
	durable.File
	bad bool
}

func (f dyingFile) Close() error { return nil }

func (f dyingFile) ReadAt(b []byte, at int64) (int, error) {
	if f.bad && at+int64(len(b)) > 1000 {
		return 0, syscall.EIO
	}
	return len(b), nil
}

// TestDyingDisk holds that a file which the disk does not give keeps nothing else of its study from those who fetch: who asks again is told that it is absent, and gets the rest.
func TestDyingDisk(t *testing.T) {
	t.Parallel()
	var wants []wire.Want
	for n := range 6 {
		wants = append(wants, wire.Want{Ref: sharedValue(n)})
	}
	for name, zstd := range map[string]bool{"as stored": false, "compressed": true} {
		t.Run(name, func(t *testing.T) {
			a := &answers{archive: dying{unread: wants[2].Ref, unopened: wants[4].Ref}}
			fetch := func() (got []wire.Status) {
				mine, theirs := net.Pipe()
				var answering sync.WaitGroup
				answering.Go(func() {
					defer theirs.Close()
					_ = a.fetch(t.Context(), newTalk(t.Context(), theirs), nil)
				})
				defer answering.Wait()
				defer mine.Close()
				k := newTalk(t.Context(), mine)
				if err := k.say(&wire.Fetch{Study: study(1), Budget: 1 << 20, Whole: wholeFile, Zstd: zstd, Files: wants}); err != nil {
					t.Fatal(err)
				}
				in := &incoming{talk: k, desk: &desk{}, packer: &packer{}}
				for i := range wants {
					h, err := in.head(uint64(i), want{ref: wants[i].Ref})
					if err != nil {
						return got
					}
					if _, err := in.body(h); err != nil {
						return got
					}
					got = append(got, h.Status)
				}
				return got
			}
			if first := fetch(); len(first) > 2 {
				t.Fatalf("a file that cannot be read came: %v", first)
			}
			const here, absent = wire.Here, wire.Absent
			if again := fetch(); !slices.Equal(again, []wire.Status{here, here, absent, here, absent, here}) {
				t.Errorf("who asks again gets %v", again)
			}
		})
	}
}
