package regen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
)

// Version is the generator's: it changes whenever the same study makes other files. Every current tree is then made anew, a study at a time.
const Version = "3"

// Grace is how long a file stays that nothing refers to any more.
const Grace = 10 * time.Minute

// Config says between what a Generator works.
type Config struct {
	Archive durable.Reader // the tree
	Current durable.FS     // the root of the current tree
	// Share gives a file of the archive a second name in the current tree, which is free, as durable.Share does. Where it fails, or is nil, files are copied.
	Share func(from, to string) error
	// Memory is shared by Generators of this archive, so that each finds what another has read. nil: this one has its own.
	Memory *Memory
	// NoThumbnails leaves thumbnails out. Those that are there are then removed.
	NoThumbnails bool
}

// Generator makes current files. It remembers something of the studies that it has read last (Memory), so that an instance more does not cost reading the study. Its methods may be called from several goroutines, and by several processes for the same roots: rounds of one
// study wait for each other.
type Generator struct {
	config Config
	tree   dedup.Tree
	memory *Memory
}

// New touches nothing.
func New(c Config) *Generator {
	g := &Generator{config: c, tree: dedup.NewTree(c.Archive), memory: c.Memory}
	if g.memory == nil {
		g.memory = new(Memory)
	}
	return g
}

// Result tells what one round found and did.
type Result struct {
	Study     dedup.UID
	Leaves    dedup.Digest // the leaf digest that the files are of now
	Wrote     int          // files that were written: 0 when all was as it should be
	Removed   int          // files that nothing refers to any more since this round; they are removed after Grace
	Files     int          // that the study has
	Bytes     int64        // of what was written, as on disk
	Conflict  bool         // the study waits for a human; the record that every site shows is what was published
	Placeless int          // instances that cannot be published because nothing tells their series
	Due       time.Time    // when a file is to be removed: another round then will do it. Zero: there is none
}

// Changed reports whether the round changed what a reader sees: then another round has to follow.
func (r Result) Changed() bool { return r.Wrote > 0 || r.Removed > 0 }

// Incomplete says that something of the study is not here, or not readable: nothing was generated, and what was published stays as it is.
// Another round can help when it has arrived.
type Incomplete struct {
	Missing []dedup.Ref   // files that live records need
	Faults  []dedup.Fault // leaves that cannot be read
}

// Error names a few of the files.
func (i *Incomplete) Error() string {
	var names []string
	for _, ref := range i.Missing {
		names = append(names, ref.String())
	}
	for _, f := range i.Faults {
		names = append(names, f.File.Ref.String()+" (damaged)")
	}
	more := ""
	if len(names) > 3 {
		more = fmt.Sprintf(" and %d more", len(names)-3)
		names = names[:3]
	}
	return "incomplete: not here: " + strings.Join(names, ", ") + more
}

// Study does one round for a study: its current files are then those of the study's state, durably. now is the caller's clock: files that are not
// wanted since Grace or longer are removed.
//
// An error of type *Incomplete and fs.ErrNotExist (the archive has nothing of the study) mean that nothing was touched: absence is never a deletion.
// After any other error some files may be new and others old, each of them whole; the next round finishes the work.
func (g *Generator) Study(ctx context.Context, uid dedup.UID, now time.Time) (Result, error) {
	res := Result{Study: uid}
	err := g.round(ctx, uid, now, &res)
	if err == nil {
		err = Wanted(g.config.Current, uid)
	}
	if err != nil {
		return res, fmt.Errorf("regenerate %s: %w", uid, err)
	}
	return res, nil
}

// Studies are the UIDs of the archive's studies, in order.
func (g *Generator) Studies() ([]dedup.UID, error) {
	studies, _, err := g.tree.Studies()
	return studies, err
}

// round compares and writes.
func (g *Generator) round(ctx context.Context, uid dedup.UID, now time.Time, res *Result) error {
	s, err := g.look(uid)
	if err != nil {
		return err
	}
	p, err := g.openPlace(uid)
	if err != nil {
		return err
	}
	defer p.close()
	if was := p.record.made; s.print != "" && was.print == s.print && was.how == g.how() && p.intact() {
		res.Leaves, res.Conflict, res.Placeless = was.leaves, was.conflict, was.placeless
		return p.finish(now, res)
	}
	known := g.memory.recall(uid)
	if s, err = g.reread(uid, s, known); err != nil {
		return err
	}
	defer g.memory.keep(uid, known)
	res.Leaves, res.Conflict = s.leaves, s.state.Conflict()
	if err := s.complete(); err != nil {
		return err
	}
	return g.compare(ctx, s, p, now, res)
}

// attempts is how often a study is listed anew because a file of the listing had gone.
const attempts = 10

// reread reads a study that was listed, and lists it again when a file of the listing is gone: others combine and collect meanwhile, and the list that took it in
// is in the next listing.
func (g *Generator) reread(uid dedup.UID, s *study, known *remembrance) (*study, error) {
	err := s.resolve(known)
	for range attempts {
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		again, gone := g.look(uid)
		if gone != nil {
			err = gone
			continue
		}
		s, err = again, again.resolve(known)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("its files come and go too fast: %v", err) // the study is there, so it must not look as if it were not
	}
	return s, err
}

// compare is a round of a study that is complete.
func (g *Generator) compare(ctx context.Context, s *study, p *place, now time.Time, res *Result) error {
	plan, err := s.plan(!g.config.NoThumbnails)
	if err != nil {
		return err
	}
	res.Files, res.Placeless = len(plan), s.placeless
	was := p.record.made
	if err := p.stage(ctx, s, plan, res); err != nil {
		return err
	}
	p.record.made = made{how: g.how(), print: s.print, leaves: s.leaves, conflict: res.Conflict, placeless: s.placeless}
	return p.publish(now, was == p.record.made, res)
}

// how says what makes the files, besides what they are made from.
func (g *Generator) how() string {
	if g.config.NoThumbnails {
		return Version + " without thumbnails"
	}
	return Version
}
