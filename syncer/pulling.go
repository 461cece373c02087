package syncer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// puller performs pulls.
type puller struct {
	open    Opener
	archive Archive
	tree    durable.FS
	depot   *depot
	lanes   *lanes
	packer  *packer
	desks   desks
	pieces  pieces
	judges
	spared   spared
	odd      clashes
	saved    *savings
	shelter  *shelter
	partials *partials
	bulky    gates
	patience time.Duration
	progress func(fetched) // told now and then
	log      *slog.Logger
}

// A group of heads is fetched, completed and committed before the next one: what is visible stays true at every moment, memory is bounded, and what a
// long pull has brought stays when it is cut. Offers come in pages, for the same reason.
const (
	pageHeads  = 512 // that are offered at a time, and what the last part has beyond that
	mostPart   = 16 << 10
	firstHeads = 32 // of the first group of a pull
	groupHeads = 500
	groupBytes = 16 << 20
	maxDepth   = 8 // of objects that refer to objects (FORMAT.md section 4)
)

// stride is how many heads the next group has. A process that is killed within a group fetches its heads again, so there are few at first, and twice as many
// as long as a group takes less than a second.
type stride struct{ heads int }

func (s *stride) took(d time.Duration) {
	switch {
	case d < time.Second:
		s.heads = min(2*s.heads, groupHeads)
	case d > 4*time.Second:
		s.heads = max(s.heads/2, firstHeads)
	}
}

// transfer is one pull.
type transfer struct {
	*puller
	study    dedup.UID
	site     string
	lane     atomic.Uint32 // a Lane; it may become more urgent on the way
	bytes    atomic.Uint64
	tent     *tent                 // heads that wait for their bulkdata
	lists    map[dedup.FileID]bool // that are leaves here when it begins
	offered  wire.StudyState       // what the source holds, as it said with its last offer
	withheld withheld
	others   dedup.Digest // of what this site held of class other when it began
	clashing clashing

	mu   sync.Mutex // guards what follows
	came []arrival
	said int64 // bytes of memory that lists and instance files among them take
}

// arrival is a file that was put, and what is known of it.
type arrival struct {
	index.Received
	receipt receipt // zero: it is durable
}

// mostArrivals is of how many files it is remembered, and mostSaid how many bytes of what lists say: the others are read once more.
const (
	mostArrivals = 1 << 16
	mostSaid     = 16 << 20
)

// arrived remembers a file for the look that will enter it.
func (t *transfer) arrived(f index.Received, r receipt) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f.File != nil {
		if t.said += f.File.Memory(); t.said > mostSaid {
			return
		}
	}
	if len(t.came) < mostArrivals {
		t.came = append(t.came, arrival{f, r})
	}
}

// arrivals are those that became durable.
func (t *transfer) arrivals() (a Arrival) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.came {
		if f.receipt.load == nil || f.receipt.stored(f.Path) {
			a.Files = append(a.Files, f.Received)
		}
	}
	return a
}

// land sees that what came before an error becomes durable: nobody else waits for it, and the next pull is to find it.
func (t *transfer) land(ctx context.Context, err error) {
	if err == nil || notStored(err) {
		return
	}
	t.mu.Lock()
	var put []receipt
	for _, a := range t.came {
		if n := len(put); n == 0 || put[n-1] != a.receipt {
			put = append(put, a.receipt)
		}
	}
	t.mu.Unlock()
	_ = waitAll(ctx, put) // why the pull ended is the error that counts
}

// pull brings what a site has of a study and this one has not. What it brought before an error stays.
func (p *puller) pull(ctx context.Context, t *transfer) (err error) {
	t.tent = p.shelter.enter(t.study)
	defer func() { p.shelter.leave(t.tent, err) }()
	missing, err := p.archive.Missing(ctx, t.study)
	if err != nil {
		return fmt.Errorf("%w: %w", durable.ErrNotStored, err)
	}
	state, mine, err := p.archive.Heads(ctx, t.study)
	if err != nil {
		return fmt.Errorf("%w: %w", durable.ErrNotStored, err)
	}
	here := t.note(mine)
	t.others = state.Others
	o := &offering{pages: &wire.Heads{Study: t.study, Have: bucketsOf(mine)}, steps: stride{firstHeads}, here: here}
	if err = t.complete(ctx, missing); err == nil {
		err = t.all(ctx, o)
	}
	if err == nil {
		err = t.heldBack(ctx, state, o.leaves)
	}
	if len(missing) == 0 && !o.came {
		return err
	}
	t.land(ctx, err)
	// Whatever came is looked at, also when the rest did not.
	a := t.arrivals()
	a.Others = len(o.others) > 0
	if err = errors.Join(err, p.archive.Take(context.WithoutCancel(ctx), t.study, a)); err == nil {
		err = t.clashed(ctx, o.others)
	}
	return err
}

// note is what is here of a study when its pull begins.
func (t *transfer) note(mine []wire.Head) (here map[dedup.FileID]bool) {
	here = make(map[dedup.FileID]bool, len(mine))
	for _, h := range mine {
		here[idOf(h)] = true
		if h.Leaf && h.Ref.Class == dedup.List {
			t.lists[idOf(h)] = true
		}
	}
	return here
}

// offering is what a source offers in a pull, page by page.
type offering struct {
	pages  *wire.Heads // asks for the next page
	steps  stride
	here   map[dedup.FileID]bool
	leaves int         // that were offered
	came   bool        // something is lacking here
	others []wire.Head // of class other among it
}

// all brings what is offered and is not here.
func (t *transfer) all(ctx context.Context, o *offering) error {
	for more := true; more && !t.withheld.enough(); more = o.pages.From > 0 {
		o.pages.Most = uint64(min(2*o.steps.heads, pageHeads))
		lacking, err := t.offers(ctx, o.pages)
		if err != nil {
			return err
		}
		for _, h := range lacking {
			o.leaves += truth(h.Leaf)
		}
		lacking = slices.DeleteFunc(lacking, func(h wire.Head) bool { return o.here[idOf(h)] || t.spared.has(t, idOf(h)) || t.clashes(h) })
		o.came = o.came || len(lacking) > 0
		for _, h := range lacking {
			if h.Ref.Class == dedup.Other {
				o.others = append(o.others, h)
			}
		}
		if err := t.inGroups(ctx, lacking, &o.steps); err != nil {
			return err
		}
	}
	return nil
}

// inGroups brings heads that are lacking, group by group.
func (t *transfer) inGroups(ctx context.Context, lacking []wire.Head, steps *stride) error {
	slices.SortFunc(lacking, func(a, b wire.Head) int {
		return cmp.Or(a.Ref.Compare(b.Ref), slices.Compare(a.Digest[:], b.Digest[:]))
	})
	for group := range groups(lacking, steps) {
		if t.withheld.enough() {
			return nil
		}
		began := time.Now()
		if err := t.group(ctx, group); err != nil {
			return err
		}
		steps.took(time.Since(began))
	}
	return nil
}

// idOf is a head's identity.
func idOf(h wire.Head) dedup.FileID {
	h.Ref.Variant = ""
	return dedup.FileID{Ref: h.Ref, Digest: h.Digest}
}

// groups cuts heads, which are in order, into groups.
func groups(heads []wire.Head, steps *stride) func(yield func([]wire.Head) bool) {
	return func(yield func([]wire.Head) bool) {
		for len(heads) > 0 {
			n, bytes := 0, uint64(0)
			for n < len(heads) && n < steps.heads && (n == 0 || bytes+heads[n].Disk <= groupBytes) {
				bytes += heads[n].Disk
				n++
			}
			if !yield(heads[:n]) {
				return
			}
			heads = heads[n:]
		}
	}
}

// offers asks the source for a page of the heads in which the two sites may differ, and makes the request that for the next one.
func (t *transfer) offers(ctx context.Context, page *wire.Heads) ([]wire.Head, error) {
	s, err := t.open(ctx, t.site, Query)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	k := newTalk(ctx, s)
	defer k.done()
	k.patience, k.until = t.patience, time.Now().Add(4*t.patience)
	heads, last, err := hearHeads(k, page)
	if err != nil {
		return nil, blameStall(ctx, err)
	}
	t.offered = last.State
	page.From = last.Next
	return heads, nil
}

// hearHeads asks for a page of heads, and reads the answer: heads of the parts that were asked for, and no more than a page has.
func hearHeads(k *talk, page *wire.Heads) (heads []wire.Head, last *wire.HeadsOf, err error) {
	if err := k.say(page); err != nil {
		return nil, nil, err
	}
	for more := true; more; more = last.More {
		if last, err = answer[*wire.HeadsOf](k); err != nil {
			return nil, nil, err
		}
		if len(last.Heads) == 0 && last.More {
			return nil, nil, fault("an answer that goes on and says nothing")
		}
		if heads = append(heads, last.Heads...); len(heads) > pageHeads+mostPart {
			return nil, nil, fault("more heads than were asked for")
		}
	}
	if last.Next > 0 && last.Next <= page.From || last.Next >= uint64(len(page.Have)) {
		return nil, nil, fault("heads that never end")
	}
	for _, h := range heads {
		switch part := uint64(h.Digest[0]); {
		case h.Ref.Class == dedup.Bulkdata:
			return nil, nil, fault("bulkdata among the lists")
		case part < page.From || last.Next > 0 && part >= last.Next:
			return nil, nil, fault("heads that were not asked for")
		}
	}
	return heads, last, nil
}

// group fetches some heads, completes them, and commits those that are complete.
func (t *transfer) group(ctx context.Context, heads []wire.Head) error {
	var large []wire.Head
	wants := make([]want, 0, len(heads))
	for _, h := range heads {
		if h.Ref.Class == dedup.Other && h.Disk > wholeFile {
			large = append(large, h)
			continue
		}
		wants = append(wants, want{ref: h.Ref, digest: h.Digest})
	}
	c := &collection{transfer: t, most: wholeFile}
	for _, h := range heads {
		c.most += int(min(h.Disk, wholeFile))
	}
	err := t.fetchAll(ctx, wants, c)
	t.tent.take(c.got, t.lanes.rate(t.site))
	if err != nil {
		return err
	}
	got, err := t.needed(ctx, c.got)
	if err != nil {
		return err
	}
	bulk, err := t.bulk(ctx, got)
	if err != nil {
		return err
	}
	for _, h := range append(large, c.large...) {
		if _, err := t.large(ctx, want{ref: h.Ref, digest: h.Digest}, h.Disk); err != nil {
			return err
		}
	}
	leaves := make(map[dedup.FileID]bool, len(heads))
	for _, h := range heads {
		leaves[idOf(h)] = h.Leaf
	}
	got = slices.DeleteFunc(got, func(h head) bool {
		lacks := bulk.lacks(h)
		t.withheld.leaves += truth(lacks && leaves[idOf(wire.Head{Ref: h.ref, Digest: h.digest})])
		return lacks
	})
	err = t.commit(ctx, got, bulk)
	if err == nil {
		t.tent.give(got)
		t.tent.bound()
	}
	return err
}

// collection takes the heads of a group.
type collection struct {
	*transfer

	mu    sync.Mutex // guards what follows
	got   []head
	bytes int   // of them, which stay in memory until they are committed
	most  int   // that there may be: what was offered, and a file more, for one that has got another envelope since
	said  int64 // bytes of memory that what they say takes
	large []wire.Head
}

func (c *collection) take(w want, ref dedup.Ref, stored []byte) error {
	h, err := c.checkHead(c.study, w, slices.Clone(stored))
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bytes += len(stored); c.bytes > c.most {
		return fault("lists of more bytes than were offered")
	}
	if h.said != nil {
		if c.said += h.said.Memory(); c.said > mostSaid { // it is read once more, and taken
			h.said, h.known.File = nil, nil
		}
	}
	c.got = append(c.got, h)
	return nil
}

// without lets a head go that the source had when it offered it: most often it was replaced meanwhile, and the next look shows by what.
func (c *collection) without(w want) {
	c.withheld.head(idOf(wire.Head{Ref: w.ref, Digest: w.digest}))
}

func (c *collection) beyond(w want, size uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.large = append(c.large, wire.Head{Ref: w.ref, Digest: w.digest, Disk: size})
}

// head is a fetched list or instance file.
type head struct {
	ref    dedup.Ref
	digest dedup.Digest
	stored []byte
	needs  []dedup.Ref
	said   *dedup.File    // slim; nil of other files, and where it would take too much memory
	known  index.Received // what the index is told of it
}

// commit makes heads durable, with what came for them or after it.
func (t *transfer) commit(ctx context.Context, heads []head, c closure) error {
	put, err := t.stage(ctx, heads, c)
	if err != nil {
		return err
	}
	return waitAll(ctx, append(put, c.put...))
}

// stage puts heads into the load in which what came for them is, or into another when that is durable.
//
// What was found here may be another commit's that is taken back: the batch looks again.
func (t *transfer) stage(ctx context.Context, heads []head, c closure) (receipts []receipt, err error) {
	put := t.depot.put
	if l, can := t.depot.follow(t.study, c.put); can {
		defer l.users.Done()
		put = func(study dedup.UID, ref dedup.Ref, stored []byte, needs ...string) (receipt, error) {
			return t.depot.stage(l, study, ref, stored, needs...)
		}
	} else if err := waitAll(ctx, c.put); err != nil {
		return nil, err
	}
	for _, h := range heads {
		var relied []string
		for _, r := range h.needs {
			if path := c.found[r]; path != "" {
				relied = append(relied, path)
			}
		}
		r, err := put(t.study, h.ref, h.stored, relied...)
		if err != nil {
			return nil, err
		}
		if h.ref.Class == dedup.Other || h.known.File != nil {
			t.arrived(h.known, r)
		}
		receipts = append(receipts, r)
	}
	return receipts, nil
}
