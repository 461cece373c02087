package ingest

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/part10"
	"github.com/zeebo/blake3"
)

// The classes of a commit, in the order in which they become visible.
const (
	classBulkdata = iota
	classInstances
)

// Batch is some files that become durable together. Add may be called from several goroutines.
type Batch struct {
	archive *Archive
	durable *durable.Batch
	staged  staged
	sums    bool // addFile takes the SHA-256 as well

	mu      sync.Mutex // guards what follows
	pending []*pending
	bytes   int64
	failure error // of the commit
}

// pending is a file whose parts are staged, or that was found in the tree: it waits for the commit.
type pending struct {
	result  Result
	study   *study
	objects []dedup.Hash
	values  []dedup.Ref  // the small ones
	id      dedup.FileID // of its instance file
	variant bool         // the commit found another file under its name, or there were several already
	found   bool         // it was in the tree: nothing is staged
	removed bool         // the study has it as deleted
}

// Add takes one file apart, proves it and stages it. It refuses at once what cannot be stored, which is then the final answer: done is true. Of all
// others Commit tells.
func (b *Batch) Add(path string, f io.ReaderAt, size int64) (r Result, done bool) {
	return b.add(Result{Path: path, Size: size}, f)
}

// add is Add of a file of which the caller's part of the answer is known.
func (b *Batch) add(of Result, f io.ReaderAt) (r Result, done bool) {
	t := b.archive.borrow()
	defer b.archive.giveBack(t)
	p, err := b.answer(t, t.snapshot(f, of.Size), of.Size)
	if err != nil {
		return refused(of, err), true
	}
	p.result.Path, p.result.Size, p.result.SHA256 = of.Path, of.Size, of.SHA256
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pending = append(b.pending, p)
	return p.result, false
}

// answer looks in the tree for the file, and stages it if it is not there.
func (b *Batch) answer(t *tools, f io.ReaderAt, size int64) (*pending, error) {
	id, err := t.scratch.Identify(f, size)
	if err != nil || placeable(id) != nil {
		return b.stage(t, nil, f, size) // which will say what is wrong
	}
	v, err := b.archive.look(id)
	if err != nil {
		return nil, err
	}
	if p, err := b.archive.duplicate(b.durable, t, v, f, size); p != nil || err != nil {
		return p, err
	}
	return b.stage(t, v, f, size)
}

// Bytes is how much is staged.
func (b *Batch) Bytes() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes
}

// stage takes a file apart into the batch, proves that it can be put together again, and gives its parts their places.
func (b *Batch) stage(t *tools, v *view, f io.ReaderAt, size int64) (*pending, error) {
	s := b.store(t)
	if v != nil {
		s.study = v.study
	}
	p, err := b.take(s, v, f, size)
	if err != nil && len(s.leaned) > 0 { // what it leans on may be damaged: once more, with everything of its own
		s.abandon()
		s.study.forget()
		s = b.store(t)
		p, err = b.take(s, v, f, size)
	}
	if err != nil {
		s.abandon()
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes += s.bytes
	return p, nil
}

// store is an empty store for one file.
func (b *Batch) store(t *tools) *store {
	return &store{tree: b.archive.fs, batch: b.durable, values: map[dedup.Ref]*durable.Temp{}, objects: map[dedup.Hash]dedup.Object{}, tools: t, staged: &b.staged}
}

func (b *Batch) take(s *store, v *view, f io.ReaderAt, size int64) (*pending, error) {
	parts, err := s.tools.scratch.Take(f, size, s)
	if err != nil {
		return nil, err
	}
	id := part10.Identity{Study: parts.Study, Series: parts.Series, SOP: parts.SOP}
	if err := placeable(id); err != nil {
		if _, is := parts.Record.Find(tagDirectory); is {
			err = fmt.Errorf("it is a DICOMDIR, the table of contents of a medium: the files that it lists are taken without it: %w", ErrNoPlace)
		}
		return nil, err
	}
	if len(s.leaned) > 0 && s.study.uid != id.Study {
		return nil, fmt.Errorf("at first sight it was of study %s", s.study.uid)
	}
	if err := s.prove(parts, f); err != nil {
		return nil, err
	}
	text := append(parts.Record.AppendJSON(append(s.tools.record[:0], '[')), ']')
	if cap(text) <= muchText {
		s.tools.record = text
	}
	p := &pending{study: b.archive.study(parts.Study), objects: slices.Collect(maps.Keys(s.objects)), values: s.small,
		id: dedup.FileID{Ref: instanceRef(parts.SOP), Digest: blake3.Sum256(text)}}
	p.result = Result{Status: Stored, Study: parts.Study, Series: parts.Series, SOP: parts.SOP, Remarks: parts.Remarks}
	if v == nil || v.id != id {
		if v, err = b.archive.look(id); err != nil {
			return nil, err
		}
	}
	if err := b.archive.judge(p, parts.Record, v); err != nil {
		return nil, err
	}
	if p.removed {
		s.abandon()
		return p, nil
	}
	if p.result.Status == Duplicate && p.result.Encoding == "" {
		text = nil
	}
	return p, s.place(p.study, text, instanceRef(parts.SOP).In(parts.Study)) // what is there stays; what is missing or damaged of it is mended
}

// ErrNoPlace says that a file has no well-formed UID where the layout of the archive needs one.
var ErrNoPlace = errors.New("no place in the archive")

// tagDirectory is the Directory Record Sequence, of which a DICOMDIR consists.
const tagDirectory dedup.Tag = 0x00041220

// placeable refuses what is no instance of a study.
func placeable(p part10.Identity) error {
	for _, u := range []struct {
		uid  dedup.UID
		name string
	}{{p.Study, "Study Instance UID (0020,000D)"}, {p.Series, "Series Instance UID (0020,000E)"}, {p.SOP, "SOP Instance UID (0008,0018)"}} {
		if u.uid == (dedup.UID{}) {
			return fmt.Errorf("it has no well-formed %s: %w", u.name, ErrNoPlace)
		}
	}
	return nil
}

// prove rebuilds the file from what was staged, read back from disk, and compares.
func (s *store) prove(parts *part10.Parts, f io.ReaderAt) error {
	merged, d, err := mergeRecord(parts.Record, s)
	if err != nil {
		return err
	}
	rebuilt, err := parts.Rebuild(merged, d, s)
	if err != nil {
		return fmt.Errorf("proof: %w", err)
	}
	if err := rebuilt.Compare(f, parts.Size, s.tools.buf); err != nil {
		return fmt.Errorf("proof: %w", err)
	}
	return nil
}

// mergeRecord is a record completed with its extracts.
func mergeRecord(record dedup.Object, source part10.Source) (dedup.Object, dedup.Dedup, error) {
	content, d := dedup.Split(record)
	var extracts []dedup.Object
	for _, h := range d.Refs {
		o, err := source.Object(h)
		if err != nil {
			return nil, d, fmt.Errorf("extract: %w", err)
		}
		e, _ := dedup.Split(o)
		extracts = append(extracts, e)
	}
	return dedup.Merge(content, extracts...), d, nil
}

// refused is the answer to a file that leaves nothing behind.
func refused(r Result, err error) Result {
	r.Status, r.Reason, r.Err = Refused, err.Error(), err
	return r
}
