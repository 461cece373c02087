package syncer

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// Archive is the files of this site. Its methods are called from several goroutines.
type Archive interface {
	// Heads are the lists, instance files and files of class other of a study that are here and right, and its state.
	Heads(ctx context.Context, study dedup.UID) (wire.StudyState, []wire.Head, error)
	// Shelf opens what is here and right of a study.
	Shelf(ctx context.Context, study dedup.UID) (Shelf, error)
	// Missing is bulkdata that the study refers to and that is not here, or not right. Of a study that nobody has looked at yet it finds out first what is here, so that
	// nothing is fetched that lies there already.
	Missing(ctx context.Context, study dedup.UID) ([]dedup.Ref, error)
	// Take enters what became durable of a study. Syncer.Local is called before it returns.
	Take(ctx context.Context, study dedup.UID, a Arrival) error
}

// Arrival is what became durable of a study.
type Arrival struct {
	Files  []index.Received // bulkdata and files of class other, as far as something is known of them
	Others bool             // there were files of class other
}

// Shelf is what is here of one study, as it was when it was opened.
type Shelf interface {
	// Open opens a file that is here and right: of several variants the one with that digest, which is zero for bulkdata. fs.ErrNotExist: there is none.
	Open(ref dedup.Ref, digest dedup.Digest) (Book, error)
	// Where is the path in the tree of bulkdata that is there, under any of its spellings; "" if it is not. Of an object it returns what that refers to.
	Where(ref dedup.Ref) (path string, refs []dedup.Ref)
	// Spared finds for each of some lists and instance files a leaf that says all that it says, so that it is not needed, whether it is here or not.
	Spared(ctx context.Context, files []dedup.File) ([]dedup.FileID, error)
}

// Book is an open file of the tree.
type Book struct {
	durable.File
	Ref     dedup.Ref // as what it is stored
	Size    int64
	Content dedup.Digest // what was recorded of its content, where the name says nothing (nameless); zero: nothing was
}

// answers is the side that is asked.
type answers struct {
	catalog Catalog
	archive Archive
	packer  packer
	desks   desks
	unread  unreadable
}

// queries answers questions until the asker has no more. note is told of each question of a walk, and with which keys it ends.
func (a *answers) queries(ctx context.Context, t *talk, g *guard, note func(keys []wire.Key)) error {
	for walks := false; ; {
		m, err := t.hear()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case *wire.Compare:
			walks = true
			note(nil)
		case *wire.Describe:
			if walks {
				note(m.Keys)
			}
		}
		if err := a.question(ctx, t, g, m); err != nil {
			return err
		}
	}
}

// question answers one, when others of the same site leave room for it.
func (a *answers) question(ctx context.Context, t *talk, g *guard, m wire.Message) error {
	done, err := g.ask(ctx)
	if err != nil {
		return err
	}
	defer done()
	began, wrote := time.Now(), t.wrote
	defer func() { g.answered(ctx, time.Since(began)-(t.wrote-wrote)) }()
	switch m := m.(type) {
	case *wire.Compare:
		return a.compare(ctx, t, m)
	case *wire.Describe:
		return a.describe(ctx, t, m)
	case *wire.Feed:
		return a.feed(ctx, t, m)
	case *wire.Heads:
		return a.heads(ctx, t, m)
	}
	return fault("a question of kind %s", m.Kind())
}

// compare answers with what is below the nodes that differ, a frame for a few of them.
func (a *answers) compare(ctx context.Context, t *talk, m *wire.Compare) error {
	few := len(m.Nodes) <= fewNodes
	var out wire.Compared
	size := 0
	for _, n := range m.Nodes {
		mine, err := node(ctx, a.catalog, placeOf(n.Prefix))
		if err != nil {
			return err
		}
		if mine == n.Sum {
			continue
		}
		b, err := below(ctx, a.catalog, placeOf(n.Prefix), few)
		if err != nil {
			return err
		}
		out.Below = append(out.Below, b)
		if size += 32 + 32*len(b.Nodes) + 20*len(b.Items); size > wire.MaxFrame/4 {
			out.More = true
			if err := t.say(&out); err != nil {
				return err
			}
			out, size = wire.Compared{}, 0
		}
	}
	return t.say(&out)
}

func (a *answers) describe(ctx context.Context, t *talk, m *wire.Describe) error {
	var states []wire.StudyState
	for _, k := range m.Keys {
		found, err := a.catalog.Below(ctx, placeOfKey(index.Key(k)))
		if err != nil {
			return err
		}
		states = append(states, found...)
	}
	return a.sayStates(t, states, 0)
}

func (a *answers) feed(ctx context.Context, t *talk, m *wire.Feed) error {
	if m.Incarnation != a.catalog.Summary().Incarnation {
		return t.say(&wire.States{Incarnation: a.catalog.Summary().Incarnation, Next: m.Since})
	}
	states, err := a.catalog.Since(ctx, m.Since, int(min(m.Most, wire.MaxStudies)))
	if err != nil {
		return err
	}
	next := m.Since
	for _, s := range states {
		next = max(next, s.Change)
	}
	return a.sayStates(t, states, next)
}

// sayStates says states in as many frames as they need, one at least.
func (a *answers) sayStates(t *talk, states []wire.StudyState, next uint64) error {
	const part = 1024
	incarnation := a.catalog.Summary().Incarnation
	for {
		n := min(part, len(states))
		if err := t.say(&wire.States{Incarnation: incarnation, Studies: states[:n], Next: next, More: n < len(states)}); err != nil {
			return err
		}
		if states = states[n:]; len(states) == 0 {
			return nil
		}
	}
}

// heads answers with the heads in the parts that differ.
func (a *answers) heads(ctx context.Context, t *talk, m *wire.Heads) error {
	state, heads, err := a.archive.Heads(ctx, m.Study)
	if err != nil {
		return err
	}
	if m.Have != nil {
		heads = differing(heads, m.Have)
	}
	heads, next := page(heads, m.From, m.Most)
	const part = 1024
	for {
		n := min(part, len(heads))
		if err := t.say(&wire.HeadsOf{State: state, Heads: heads[:n], More: n < len(heads), Next: next}); err != nil {
			return err
		}
		if heads = heads[n:]; len(heads) == 0 {
			return nil
		}
	}
}

func bucketsOf(heads []wire.Head) *wire.Buckets {
	var b wire.Buckets
	for _, h := range heads {
		b.Add(h.Digest)
	}
	return &b
}

func differing(heads []wire.Head, have *wire.Buckets) (out []wire.Head) {
	mine := bucketsOf(heads)
	for _, h := range heads {
		if mine[h.Digest[0]] != have[h.Digest[0]] {
			out = append(out, h)
		}
	}
	return out
}

// page are the heads in the parts from one on, until there are most of them, and the part after those (0: there is none).
func page(heads []wire.Head, from, most uint64) (out []wire.Head, next uint64) {
	if from == 0 && (most == 0 || uint64(len(heads)) <= most) {
		return heads, 0
	}
	var parts [256][]wire.Head
	for _, h := range heads {
		parts[h.Digest[0]] = append(parts[h.Digest[0]], h)
	}
	for p := from; p < uint64(len(parts)); p++ {
		if most > 0 && uint64(len(out)) >= most {
			return out, p
		}
		out = append(out, parts[p]...)
	}
	return out, 0
}

// minimumRate is what an asker must take, in bytes a second: one that takes less stalls a stream on purpose, or will not be through in time anyway.
const minimumRate = 4 << 10

// fetch answers one Fetch.
func (a *answers) fetch(ctx context.Context, t *talk, g *guard) error {
	m, err := t.hear()
	if err != nil {
		return err
	}
	f, ok := m.(*wire.Fetch)
	if !ok {
		return fault("a request of kind %s", m.Kind())
	}
	shelf, err := a.shelf(ctx, g, f.Study)
	if err != nil {
		return err
	}
	d := a.desks.take()
	defer a.desks.give(d)
	d.out.Reset(t)
	s := &sender{talk: t, desk: d, packer: &a.packer, guard: g, request: f, unread: &a.unread, left: min(f.Budget, mostRequest)}
	for i, w := range f.Files {
		if err := s.file(shelf, uint64(i), w); err != nil {
			return err
		}
	}
	return s.out.Flush()
}

// shelf opens a study for somebody who fetches: that is a question like others.
func (a *answers) shelf(ctx context.Context, g *guard, study dedup.UID) (Shelf, error) {
	done, err := g.ask(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	began := time.Now()
	defer func() { g.answered(ctx, time.Since(began)) }()
	return a.archive.Shelf(ctx, study)
}

// sender writes the answer to one Fetch.
type sender struct {
	*desk
	talk    *talk
	packer  *packer
	guard   *guard
	request *wire.Fetch
	unread  *unreadable
	left    uint64 // of the budget
	began   bool   // one file was sent, so that a budget of little is not nothing
	packed  []byte
	misses  int // files in a row that compression did not help
}

// file sends one file, or says why not.
func (s *sender) file(shelf Shelf, i uint64, w wire.Want) error {
	if s.unread.has(s.request.Study, w) {
		return s.head(&wire.FileHeader{Index: i, Status: wire.Absent})
	}
	b, err := shelf.Open(w.Ref, w.Digest)
	if err != nil { // it is not there, or cannot be opened: there may be others of it
		return s.head(&wire.FileHeader{Index: i, Status: wire.Absent})
	}
	defer b.Close()
	disk := &reading{File: b.File}
	b.File = disk
	defer func() { s.unread.add(s.request.Study, w, disk.err) }()
	h := &wire.FileHeader{Index: i, Status: wire.Here, Size: uint64(b.Size), Content: b.Content}
	if b.Ref != w.Ref {
		h.Ref = b.Ref
	}
	if w.Offset > h.Size {
		h.Status = wire.Absent
		return s.head(h)
	}
	if h.Length = h.Size - w.Offset; w.Partial {
		h.Length = min(h.Length, w.Length)
	}
	switch {
	case !w.Partial && h.Length > min(s.request.Whole, mostRequest):
		h.Status, h.Length = wire.Large, 0
		return s.head(h)
	case s.began && h.Length > s.left, h.Length > mostRequest:
		h.Status, h.Length = wire.Later, 0
		return s.head(h)
	}
	s.began = true
	s.left -= min(s.left, h.Length)
	return s.body(b, h, w)
}

func (s *sender) head(h *wire.FileHeader) error {
	_, err := s.out.Write(wire.Append(nil, h))
	return err
}

// body sends a header and the bytes that it announces.
func (s *sender) body(b Book, h *wire.FileHeader, w wire.Want) error {
	_ = s.talk.SetDeadline(time.Now().Add(patience + time.Duration(h.Length/minimumRate)*time.Second)) // a stream that is over says so when it is read
	if room := 2 * int64(h.Length); s.worthPacking(b, h) && s.guard.pack(room) {                       // else it goes as it is: who does not read holds no memory here
		defer s.guard.pack(-room)
		return s.compressed(b, h, w)
	}
	if err := s.head(h); err != nil {
		return err
	}
	_, err := io.CopyN(s.out, io.NewSectionReader(b, int64(w.Offset), int64(h.Length)), int64(h.Length))
	if err == io.EOF {
		return fmt.Errorf("%s is shorter than it was: %w", b.Ref.Class, io.ErrUnexpectedEOF)
	}
	return err
}

// worthPacking reports whether a file may travel compressed, and may be smaller so.
func (s *sender) worthPacking(b Book, h *wire.FileHeader) bool {
	return s.request.Zstd && compressible(b.Ref) && h.Length > 0 && h.Length <= wholeFile && (s.misses < packMisses || h.Index%packAgain == 0)
}

// compressible reports whether a file's bytes may shrink: what is not compressed already.
func compressible(r dedup.Ref) bool {
	return r.Class == dedup.Bulkdata && (r.Ext == ".raw" || r.Ext == ".bin" || r.Ext == ".residue") || r.Class == dedup.Other
}

// compressed sends bytes compressed, if that makes them a tenth smaller at least.
func (s *sender) compressed(b Book, h *wire.FileHeader, w wire.Want) error {
	s.buffer = slices.Grow(s.buffer[:0], int(h.Length))
	plain := s.buffer[:h.Length]
	if n, err := b.ReadAt(plain, int64(w.Offset)); err != nil && n < len(plain) {
		return err
	}
	packed, smaller, err := s.packer.pack(plain, s.packed[:0])
	if err != nil {
		return err
	}
	s.packed = packed
	s.misses++
	if smaller {
		h.Coding, h.Length, plain, s.misses = wire.Zstd, uint64(len(packed)), packed, 0
	}
	if err := s.head(h); err != nil {
		return err
	}
	_, err = s.out.Write(plain)
	return err
}
