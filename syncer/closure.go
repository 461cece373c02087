package syncer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
)

// complete fetches bulkdata that is missing of what is here already.
func (t *transfer) complete(ctx context.Context, missing []dedup.Ref) error {
	if len(missing) == 0 {
		return nil
	}
	c, err := t.closure(ctx, missing, func(dedup.Ref) (string, []dedup.Ref) { return "", nil })
	if err != nil {
		return err
	}
	t.withheld.unhealed = len(c.absent) > 0
	return waitAll(ctx, c.put)
}

// bulk brings what some heads refer to, and what that refers to.
func (t *transfer) bulk(ctx context.Context, heads []head) (closure, error) {
	shelf, err := t.archive.Shelf(ctx, t.study)
	if err != nil {
		return closure{}, fmt.Errorf("%w: %w", durable.ErrNotStored, err)
	}
	var refs []dedup.Ref
	for _, h := range heads {
		refs = append(refs, h.needs...)
	}
	return t.closure(ctx, refs, shelf.Where)
}

// closure is what became of some bulkdata and of what that refers to.
type closure struct {
	absent map[dedup.Ref]bool // the source does not have it, or something that it refers to
	found  map[dedup.Ref]string
	parts  map[dedup.Ref][]dedup.Ref // what an object refers to
	put    []receipt                 // what came is durable when these are
}

// lacks reports whether something that a head refers to is neither here nor at the source.
func (c closure) lacks(h head) bool {
	return slices.ContainsFunc(h.needs, func(r dedup.Ref) bool { return c.absent[r] })
}

// spread makes absent what refers to something absent.
func (c closure) spread() {
	for again := true; again; {
		again = false
		for r, parts := range c.parts {
			if !c.absent[r] && slices.ContainsFunc(parts, func(p dedup.Ref) bool { return c.absent[p] }) {
				c.absent[r], again = true, true
			}
		}
	}
}

// closure brings files and what those refer to, unless where says that a file is here.
func (t *transfer) closure(ctx context.Context, refs []dedup.Ref, where func(dedup.Ref) (string, []dedup.Ref)) (closure, error) {
	c := closure{absent: map[dedup.Ref]bool{}, found: map[dedup.Ref]string{}, parts: map[dedup.Ref][]dedup.Ref{}}
	seen := map[dedup.Ref]bool{}
	for depth := 0; len(refs) > 0 && depth <= maxDepth; depth++ {
		wants, next := c.wants(refs, seen, where)
		w := &wave{transfer: t, receipts: c.put, next: next, parts: c.parts}
		if err := t.fetchAll(ctx, wants, w); err != nil {
			return c, err
		}
		for _, r := range w.gone {
			c.absent[r] = true
		}
		if err := t.larges(ctx, w); err != nil {
			return c, err
		}
		c.put, refs = w.receipts, w.next
	}
	c.spread()
	return c, nil
}

// atOnce is how many large files of a study are fetched at the same time: the end of one leaves room on the link for the beginning of another.
const atOnce = 3

// larges fetches the large files of a wave, and returns when they are durable.
func (t *transfer) larges(ctx context.Context, w *wave) error {
	var all sync.WaitGroup
	room := make(chan struct{}, atOnce)
	errs := make([]error, len(w.large))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for i, f := range w.large {
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			if errs[i] = ctx.Err(); errs[i] == nil {
				var refs []dedup.Ref
				refs, errs[i] = t.large(ctx, f.want, f.size)
				w.refers(f.want.ref, refs)
			}
			if errs[i] != nil {
				cancel()
			}
		})
	}
	all.Wait()
	return firstOf(errs)
}

// firstOf is the first error, but for those that say no more than that others were ended by it.
func firstOf(errs []error) (first error) {
	for _, err := range errs {
		if err != nil && (first == nil || errors.Is(first, context.Canceled)) {
			first = err
		}
	}
	return first
}

func waitAll(ctx context.Context, receipts []receipt) error {
	for _, r := range receipts {
		if err := r.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// wants are those of some files that are to be fetched: each once, and not those that are here. What those refer to is looked for next.
func (c closure) wants(refs []dedup.Ref, seen map[dedup.Ref]bool, where func(dedup.Ref) (string, []dedup.Ref)) (wants []want, next []dedup.Ref) {
	for _, r := range refs {
		if seen[r] {
			continue
		}
		seen[r] = true
		path, parts := where(r)
		if path == "" {
			wants = append(wants, want{ref: r})
			continue
		}
		c.found[r] = path
		if len(parts) > 0 {
			c.parts[r] = parts
			next = append(next, parts...)
		}
	}
	return wants, next
}

// wave takes the bulkdata of one round.
type wave struct {
	*transfer

	mu       sync.Mutex // guards what follows
	receipts []receipt
	next     []dedup.Ref
	gone     []dedup.Ref
	large    []largeFile
	parts    map[dedup.Ref][]dedup.Ref // what each object refers to
}

type largeFile struct {
	want want
	size uint64
}

func (w *wave) take(x want, ref dedup.Ref, stored []byte) error {
	refs, err := w.checkBulk(x, ref, stored)
	if err != nil {
		return err
	}
	r, err := w.depot.put(w.study, ref, stored)
	if err != nil {
		return err
	}
	w.arrived(received(w.study, ref, stored), r)
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.receipts); n == 0 || w.receipts[n-1] != r {
		w.receipts = append(w.receipts, r)
	}
	w.add(x.ref, refs)
	return nil
}

// refers notes what a file refers to.
func (w *wave) refers(ref dedup.Ref, refs []dedup.Ref) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.add(ref, refs)
}

// add is refers for a caller who holds the lock.
func (w *wave) add(ref dedup.Ref, refs []dedup.Ref) {
	if w.next = append(w.next, refs...); len(refs) > 0 {
		w.parts[ref] = refs
	}
}

func (w *wave) without(x want) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone = append(w.gone, x.ref)
}

func (w *wave) beyond(x want, size uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.large = append(w.large, largeFile{x, size})
}
