package combine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
)

// maxHead is the largest list, instance file or object that is read, decompressed.
const maxHead = 1 << 30

// study is a study as it was read: all its lists and instance files at one moment.
type study struct {
	uid    dedup.UID
	folder dedup.Folder
	Input
	paths map[dedup.FileID][]string // where each is; more than once if it is a variant
	held  map[dedup.FileID]dedup.Held
}

// attempts is how often a study is listed anew because a file of the listing had gone: then others collect, and what they had written before is in the next listing.
const attempts = 10

// load reads a study. fs.ErrNotExist says that there is no list and no instance file of it.
func (c *Combiner) load(ctx context.Context, uid dedup.UID) (*study, error) {
	for range attempts {
		s, err := c.read(ctx, uid)
		if !errors.Is(err, errVanished) {
			return s, err
		}
	}
	return nil, fmt.Errorf("read study %s: %w", uid, errVanished)
}

var errVanished = errors.New("its files come and go too fast")

func (c *Combiner) read(ctx context.Context, uid dedup.UID) (*study, error) {
	folder, err := c.tree.Study(uid)
	if err != nil {
		return nil, err
	}
	heads, err := folder.Heads()
	if err != nil {
		return nil, err
	}
	if len(heads) == 0 {
		return nil, fmt.Errorf("study %s has no list and no instance file: %w", uid, fs.ErrNotExist)
	}
	s := &study{uid: uid, folder: folder, paths: make(map[dedup.FileID][]string), held: make(map[dedup.FileID]dedup.Held)}
	s.Bulk, s.Elsewhere = &bulk{folder: folder, found: make(map[dedup.Ref]bool)}, make(map[dedup.FileID]bool)
	for _, h := range heads {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f, err := c.head(folder, h)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, durable.ErrNotRegular) {
			return nil, errVanished
		} else if err != nil {
			return nil, fmt.Errorf("read study %s: %w", uid, err)
		}
		s.add(h, f)
	}
	return s, nil
}

// add takes a file up, of which no more is kept than is always needed.
func (s *study) add(h dedup.Held, f dedup.File) {
	if h.Path != h.Ref.In(s.uid) {
		s.Elsewhere[f.ID] = true
	}
	if s.paths[f.ID] = append(s.paths[f.ID], h.Path); len(s.paths[f.ID]) == 1 {
		s.Files, s.held[f.ID] = append(s.Files, f.Slim()), h
	}
}

// head reads a list or an instance file. A damaged one has a Fault.
func (c *Combiner) head(folder dedup.Folder, h dedup.Held) (dedup.File, error) {
	text, err := folder.Read(h, maxHead)
	if errors.Is(err, dedup.ErrDamaged) || errors.Is(err, dedup.ErrTooLarge) {
		h.Ref.Variant = ""
		return dedup.File{ID: dedup.FileID{Ref: h.Ref}, Fault: err}, nil
	}
	if err != nil {
		return dedup.File{}, err
	}
	c.config.Advance(int64(len(text)))
	return dedup.ParseFile(h.Ref, text), nil
}

// whole reads the study's leaves again, whole.
func (c *Combiner) whole(ctx context.Context, s *study) error {
	leaf := make(map[dedup.FileID]bool)
	for _, id := range dedup.Resolve(s.Files, s.Bulk).Leaves {
		leaf[id] = true
	}
	for i, f := range s.Files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !leaf[f.ID] || f.Fault != nil {
			continue
		}
		whole, err := c.head(s.folder, s.held[f.ID])
		if err != nil || whole.ID != f.ID {
			return fmt.Errorf("read study %s again: %w", s.uid, errors.Join(errVanished, err))
		}
		s.Files[i] = whole
	}
	return nil
}

// bulk is a study's bulkdata. What was found once is taken to be there: bulkdata is never removed.
type bulk struct {
	folder dedup.Folder
	found  map[dedup.Ref]bool
}

// Has implements dedup.Bulk.
func (b *bulk) Has(r dedup.Ref) bool {
	if !b.found[r] {
		_, _, err := b.folder.Find(r)
		b.found[r] = err == nil
	}
	return b.found[r]
}

// Object implements dedup.Bulk.
func (b *bulk) Object(h dedup.Hash) (dedup.Object, error) {
	held, _, err := b.folder.Find(dedup.Ref{Class: dedup.Bulkdata, Name: h.String(), Ext: ".json.gz"})
	if err != nil {
		return nil, err
	}
	text, err := b.folder.Read(held, maxHead)
	if err != nil {
		return nil, err
	}
	return dedup.ParseObject(text)
}
