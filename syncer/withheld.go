package syncer

import (
	"context"
	"fmt"
	"sync"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// withheld is what a source offered in a pull and did not give. Most often it was replaced or collected there meanwhile, or was found to be damaged, and then the source says
// so when it is asked again; one that goes on offering it is at fault, or it could keep others from being asked by offering all and giving nothing.
type withheld struct {
	mu       sync.Mutex // guards what follows
	heads    []dedup.FileID
	leaves   int  // that it gave, and of which it did not give what they refer to
	unhealed bool // it does not have what is missing here of what is here
}

// mostWithheld is after how many heads no more are asked for: what a source that gives nothing can cost.
const mostWithheld = 64

func (w *withheld) head(id dedup.FileID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heads = append(w.heads, id)
}

// enough reports whether there is no use in going on.
func (w *withheld) enough() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.heads) >= mostWithheld
}

// heldBack asks a source once more about what it did not give. offered says how many leaves it offered, and mine is what this site held when the pull began.
func (t *transfer) heldBack(ctx context.Context, mine wire.StudyState, offered int) error {
	w := &t.withheld
	complete := t.offered.Flags&wire.Complete != 0
	switch {
	case nothing(mine) && offered == 0 && t.offered.Leaf != (dedup.Digest{}) && t.offered.Leaf != dedup.LeafDigest(nil):
		return fault("a study of which it offers nothing")
	case w.unhealed && complete && t.offered.Leaf == mine.Leaf:
		return fault("a study that it holds completely, it says, and does not give")
	case len(w.heads) == 0 && (w.leaves == 0 || !complete):
		return nil
	}
	page := &wire.Heads{Study: t.study, From: 255, Most: 1}
	var asked dedup.FileID
	if n := len(w.heads); n > 0 {
		asked = w.heads[n-1]
		page.From = uint64(asked.Digest[0])
	}
	was := t.offered
	heads, err := t.offers(ctx, page)
	if err != nil {
		return fmt.Errorf("ask again for what was not given: %w", err)
	}
	for _, h := range heads {
		if idOf(h) == asked {
			return fault("%s that it offers and does not give", h.Ref.Class)
		}
	}
	if w.leaves > 0 && alike(was, t.offered) && complete {
		return fault("a study that it holds completely, it says, and does not give")
	}
	return nil
}
