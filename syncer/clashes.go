package syncer

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sync"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// clashes are files of class other that came and could not get their names: another file has it, or one whose name this file system takes for the same. Nothing tells which of two is right, so what is here stays, and the two sites
// are not level until somebody renames them (both of two that had one name: a site takes nothing else under a name than what it has seen there first). While this site holds the same of the study such a file is not asked for again.
type clashes struct {
	mu    sync.Mutex
	known map[sparedHead]dedup.Digest // what this site held of class other; guarded by mu
}

func (c *clashes) add(h sparedHead, others dedup.Digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known) >= mostSpared {
		c.known = map[sparedHead]dedup.Digest{}
	}
	c.known[h] = others
}

func (c *clashes) has(h sparedHead, others dedup.Digest) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	held, has := c.known[h]
	return has && held == others
}

// clashing is what one pull has to say of them.
type clashing struct {
	taken, folded int
	news          bool // one was not known before
}

// why is that in words, which name no file: others have given the names, and may have thought of a patient. "" if there is none.
func (c clashing) why() string {
	switch {
	case c.taken+c.folded == 0:
		return ""
	case c.folded == 0:
		return fmt.Sprintf("%d files that are none of the format's are not taken: other files have their names here. Give both of each two another name, each at its own site", c.taken)
	}
	return fmt.Sprintf("%d files that are none of the format's are not taken: of %d the file system here takes the name for that of another file, as one does to which upper and lower case are the same. Rename one of each two, at a site that has both",
		c.taken+c.folded, c.folded)
}

// clashes reports whether a head is a file that would not get its name.
func (t *transfer) clashes(h wire.Head) bool {
	if h.Ref.Class != dedup.Other || !t.odd.has(sparedHead{t.study, idOf(h)}, t.others) {
		return false
	}
	t.clash(h)
	return true
}

// clash counts one.
func (t *transfer) clash(h wire.Head) {
	if t.spelled(h.Ref.In(t.study)) {
		t.clashing.taken++
	} else {
		t.clashing.folded++
	}
}

// spelled reports whether a path that is there is spelled so in its folders.
func (t *transfer) spelled(at string) bool {
	for ; at != "."; at = path.Dir(at) {
		entries, err := t.tree.ReadDir(path.Dir(at))
		if err == nil && !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == path.Base(at) }) {
			return false
		}
	}
	return true
}

// clashed finds out which of some files of class other, that came, have not got their names.
func (t *transfer) clashed(ctx context.Context, came []wire.Head) error {
	if len(came) == 0 {
		return nil
	}
	state, mine, err := t.archive.Heads(ctx, t.study)
	if err != nil {
		return fmt.Errorf("%w: %w", durable.ErrNotStored, err)
	}
	here := make(map[dedup.FileID]bool, len(mine))
	for _, h := range mine {
		here[idOf(h)] = true
	}
	for _, h := range came {
		if _, err := t.tree.Lstat(h.Ref.In(t.study)); err != nil || here[idOf(h)] {
			continue // it was not given, or it is here
		}
		t.odd.add(sparedHead{t.study, idOf(h)}, state.Others)
		t.clash(h)
		t.clashing.news = true
	}
	return nil
}
