package syncer

import (
	"context"
	"fmt"
	"sync"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
)

// spared are heads that came and were not taken, because a list that is here says all that they say: files that this site has collected, most often, and that
// others have not yet. As long as that list is a leaf here they are not asked for again. It is a memory, not a record: after a restart each comes once more.
type spared struct {
	mu    sync.Mutex
	known map[sparedHead]dedup.FileID // the list that says it; guarded by mu
}

// sparedHead is a head of a study.
type sparedHead struct {
	study dedup.UID
	id    dedup.FileID
}

// mostSpared bounds what is remembered: some 30 MB.
const mostSpared = 1 << 16

// add remembers a head that a pull did not take.
func (s *spared) add(t *transfer, id, by dedup.FileID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil || len(s.known) >= mostSpared {
		s.known = map[sparedHead]dedup.FileID{}
	}
	s.known[sparedHead{t.study, id}] = by
}

// has reports whether a pull would not take a head.
func (s *spared) has(t *transfer, id dedup.FileID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	by, has := s.known[sparedHead{t.study, id}]
	return has && t.lists[by]
}

// needed are those of some heads that no list which is here makes superfluous. The others are let go.
func (t *transfer) needed(ctx context.Context, heads []head) (needed []head, err error) {
	var files []dedup.File
	for _, h := range heads {
		if h.said != nil {
			files = append(files, *h.said)
		}
	}
	if len(t.lists) == 0 || len(files) == 0 {
		return heads, nil
	}
	shelf, err := t.archive.Shelf(ctx, t.study)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", durable.ErrNotStored, err)
	}
	spared, err := shelf.Spared(ctx, files)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", durable.ErrNotStored, err)
	}
	var gone []head
	for _, h := range heads {
		if h.said != nil {
			by := spared[0]
			if spared = spared[1:]; by != (dedup.FileID{}) {
				t.spared.add(t, h.said.ID, by)
				gone = append(gone, h)
				continue
			}
		}
		needed = append(needed, h)
	}
	t.tent.give(gone)
	return needed, nil
}
