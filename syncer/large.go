package syncer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// The shape of ranges: pieces of a large file that travel on streams of their own, so that they spread over the connections of a bundle. A piece is as large as
// the link has leave for, within these limits: what a cut costs is what was under way.
const (
	mostFile   = 1 << 40 // bytes of one file: whoever says more lies
	mostPiece  = 2 << 20
	mostPieces = 2 * atATime // that are under way or wait for one before them
)

// partial is a large file of which a part has come. It is one pull's at a time.
type partial struct {
	batch *durable.Batch
	temp  *durable.Temp
	sum   *summer
	at    uint64 // bytes that were written
	found bool   // some of them came before: in another pull, of another site perhaps, or in a process that died
}

// Write implements io.Writer. Its errors are this site's.
func (p *partial) Write(b []byte) (int, error) {
	n, err := p.temp.Write(b)
	if err != nil {
		return n, fmt.Errorf("%w: %w", durable.ErrNotStored, err)
	}
	p.at += uint64(n)
	return p.sum.Write(b)
}

// partials are large files whose pulls were cut, kept for the next pull: of any source, because what counts is checked in the end.
type partials struct {
	mu   sync.Mutex
	kept map[string]*partial // by label; guarded by mu
}

// mostPartials is how many are kept: each has a file open.
const mostPartials = 16

func (p *partials) take(label string) *partial {
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.kept[label]
	delete(p.kept, label)
	return x
}

func (p *partials) keep(label string, x *partial) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if label == "" || p.kept == nil || len(p.kept) >= mostPartials || p.kept[label] != nil {
		x.batch.Discard()
		return
	}
	p.kept[label] = x
}

// close drops what is kept. What is labelled can be salvaged by the next process all the same.
func (p *partials) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, x := range p.kept {
		_ = x.temp.Close()
	}
	p.kept = nil
}

// large fetches a file that is too large to come with others, and returns what it refers to. It is durable when large returns no error.
func (t *transfer) large(ctx context.Context, w want, size uint64) (refs []dedup.Ref, err error) {
	if size > mostFile {
		return nil, fault("a file of %d bytes", size)
	}
	if strings.HasSuffix(w.ref.Path(), ".gz") || w.ref.Ext == ".json" {
		return t.largeInMemory(ctx, w, size)
	}
	for again := true; again; {
		p, err := t.begin(w, size)
		if err != nil {
			return nil, err
		}
		if again, err = t.bytewise(ctx, p, size); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// bytewise fetches the rest of a large file: by ranges, written in order, checked while they are. again: what had come before spoiled it, and nobody can tell whose fault that is, so
// that it is to be fetched from its first byte.
func (t *transfer) bytewise(ctx context.Context, p *partial, size uint64) (again bool, err error) {
	w := p.sum.want
	if err := t.ranges(ctx, w, span{p.at, size}, func(b []byte) error {
		_, err := p.Write(b)
		return err
	}); err != nil {
		if notStored(err) {
			p.batch.Discard()
		} else {
			t.partials.keep(label(t.study, w.ref), p)
		}
		return false, err
	}
	defer p.batch.Discard()
	switch err := p.sum.check(); {
	case err != nil && p.found:
		return true, nil
	case err != nil:
		return false, err
	}
	if err := p.batch.Place(p.temp, w.ref.In(t.study), classOf(w.ref)); err != nil {
		return false, fmt.Errorf("%w: %w", durable.ErrNotStored, err)
	}
	taken, err := t.depot.store(p.batch)
	if name := w.ref.In(t.study); err == nil && !taken[name] {
		t.arrived(receivedLarge(t.study, w.ref, p.at, p.sum), receipt{})
	}
	return false, err
}

// begin is what has come of a file already: in a pull before, or in a process that died, of whose bytes nothing is known, so they are copied and summed.
func (t *transfer) begin(w want, size uint64) (*partial, error) {
	if p := t.partials.take(label(t.study, w.ref)); p != nil {
		if p.at <= size && p.sum.want == w && w.resumes() {
			p.found = p.at > 0
			return p, nil
		}
		p.batch.Discard()
	}
	batch, err := t.depot.staging.OpenBatch()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", durable.ErrNotStored, err)
	}
	temp, err := create(batch, t.study, w.ref)
	if err != nil {
		batch.Discard()
		return nil, fmt.Errorf("%w: %w", durable.ErrNotStored, err)
	}
	p := &partial{batch: batch, temp: temp, sum: newSummer(w)}
	if w.resumes() {
		err = t.goOn(p, size)
	}
	if err != nil {
		batch.Discard()
		return nil, fmt.Errorf("%w: %w", durable.ErrNotStored, err)
	}
	return p, nil
}

// goOn copies what an earlier process had saved of a file.
func (t *transfer) goOn(p *partial, size uint64) error {
	f := t.saved.open(t.study, p.sum.ref)
	if f == nil {
		return nil
	}
	p.found = true
	_, err := io.Copy(p, io.LimitReader(f, int64(size)))
	_ = f.Close()
	t.saved.drop(t.study, p.sum.ref)
	return err
}

// resumes reports whether a file may go on from bytes that came before. Of one whose name says nothing, and of which its source has not said what it recorded, nobody would ever notice
// that it was put together of two.
func (w want) resumes() bool { return !nameless(w.ref) || w.content != dedup.Digest{} }

// largeInMemory fetches a file of more than wholeFile that has to be read as a whole: a list of very many records. It is checked in memory, within the limits.
func (t *transfer) largeInMemory(ctx context.Context, w want, size uint64) (refs []dedup.Ref, err error) {
	if size > mostCompressed {
		return nil, fault("a compressed file of %d bytes", size)
	}
	leave, err := t.bulky.enter(ctx, t.site)
	if err != nil {
		return nil, err
	}
	defer leave()
	var stored []byte // as bytes come: a size is a claim
	if err := t.ranges(ctx, w, span{0, size}, func(b []byte) error {
		stored = append(stored, b...)
		return nil
	}); err != nil {
		return nil, err
	}
	if w.ref.Class != dedup.Bulkdata {
		h, err := t.checkHead(t.study, w, stored)
		if err != nil {
			return nil, err
		}
		leave() // what it refers to may be as large
		return nil, t.headAlone(ctx, h)
	}
	if refs, err = t.checkBulk(w, w.ref, stored); err != nil {
		return nil, err
	}
	r, err := t.depot.put(t.study, w.ref, stored)
	if err != nil {
		return nil, err
	}
	t.arrived(received(t.study, w.ref, stored), r)
	return refs, r.wait(ctx)
}

// headAlone completes and commits one head.
func (t *transfer) headAlone(ctx context.Context, h head) error {
	bulk, err := t.bulk(ctx, []head{h})
	if err != nil || bulk.lacks(h) {
		return err
	}
	return t.commit(ctx, []head{h}, bulk)
}

// gates let in one at a time for each site: files that have to be in memory as a whole, of which a site could send one to each of its pulls, and three at a time.
type gates struct {
	mu sync.Mutex
	of map[string]chan struct{} // a token in it when somebody is in; guarded by mu
}

// enter waits until it is let in. The caller calls leave; a second time it does nothing.
func (g *gates) enter(ctx context.Context, site string) (leave func(), err error) {
	g.mu.Lock()
	if g.of == nil {
		g.of = map[string]chan struct{}{}
	}
	gate := g.of[site]
	if gate == nil {
		gate = make(chan struct{}, 1)
		g.of[site] = gate
	}
	g.mu.Unlock()
	select {
	case gate <- struct{}{}:
		return sync.OnceFunc(func() { <-gate }), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// span is a stretch of a file.
type span struct{ from, to uint64 }

// ranges fetches a stretch of a file in pieces, several at a time, and hands them to write in order.
func (t *transfer) ranges(ctx context.Context, w want, s span, write func([]byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	pieces := make(chan chan result, mostPieces)
	go t.ask(ctx, w, s, pieces)
	var failed error
	for p := range pieces {
		r := <-p
		if failed == nil {
			failed = r.err
		}
		if failed == nil {
			failed = write(r.bytes)
		}
		if failed != nil {
			cancel()
		}
		t.pieces.give(r.bytes)
		// Only now: what waits for a piece before it is lost by a cut as well.
		if r.release != nil {
			r.release()
		}
	}
	cancel()
	return failed
}

// result is one piece.
type result struct {
	bytes   []byte
	err     error
	release func() // gives the leave for it back
}

// ask starts the fetching of pieces, each when the link has leave for it, and closes pieces when the last one was started.
func (t *transfer) ask(ctx context.Context, w want, s span, pieces chan<- chan result) {
	defer close(pieces)
	for at := s.from; at < s.to; {
		p := make(chan result, 1)
		pieces <- p
		urgency := Lane(t.lane.Load())
		leave, err := t.lanes.acquire(ctx, t.site, urgency, leastRequest)
		if err != nil {
			p <- result{err: err}
			return
		}
		x := span{at, min(at+uint64(min(leave, mostPiece)), s.to)}
		at = x.to
		go func() {
			b, err := t.piece(ctx, w, x, s.to)
			p <- result{b, err, func() { t.lanes.release(t.site, urgency, leave, int64(len(b))) }}
		}()
	}
}

// pieces is memory for pieces.
type pieces struct{ idle sync.Pool }

func (p *pieces) take(size int) []byte {
	b, _ := p.idle.Get().(*[]byte)
	if b == nil || cap(*b) < size {
		return make([]byte, 0, size)
	}
	return *b
}

func (p *pieces) give(b []byte) {
	if b = b[:0]; cap(b) > 0 {
		p.idle.Put(&b)
	}
}

// piece fetches one piece of a file of that size.
func (t *transfer) piece(ctx context.Context, w want, s span, size uint64) ([]byte, error) {
	stream, err := t.open(ctx, t.site, Fetch)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	d := t.desks.take()
	defer t.desks.give(d)
	k := d.talk(ctx, stream)
	defer k.done()
	k.patience, k.until = t.patience, time.Now().Add(t.enough(int64(s.to-s.from)))
	x := wire.Want{Ref: w.ref, Digest: w.digest, Offset: s.from, Length: s.to - s.from, Partial: true}
	if err := k.say(&wire.Fetch{Study: t.study, Budget: x.Length, Whole: wholeFile, Files: []wire.Want{x}}); err != nil {
		return nil, blameStall(ctx, err)
	}
	in := &incoming{talk: k, desk: &desk{buffer: t.pieces.take(int(x.Length))}, packer: t.packer}
	h, err := in.head(0, w)
	if err != nil {
		return nil, blameStall(ctx, err)
	}
	if h.Status != wire.Here || h.Length != x.Length || h.Coding != wire.Stored {
		return nil, fault("%s, %d bytes, where %d of a large file were asked for", h.Status, h.Length, x.Length)
	}
	if h.Size != size || h.Content != w.content {
		return nil, errors.New("a large file that has become another one at its source while it was fetched")
	}
	b, err := in.body(h)
	if err == nil {
		t.report(uint64(len(b)))
	}
	return b, blameStall(ctx, err)
}
