package syncer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
)

// depot makes received files durable, those of all pulls together: a sync costs the same for one file as for a thousand.
//
// Files go into the open load. It is committed when it is large enough, or soon after somebody began to wait for it; while one load is committed the next
// is filled. Whoever puts a list or an instance file has waited for the bulkdata that it refers to.
type depot struct {
	staging *durable.Staging
	taken   durable.Taken
	// arrange brings files that share a name into order after a commit (package ingest's Arrange).
	arrange func(study dedup.UID, ref dedup.Ref) error
	linger  time.Duration

	mu      sync.Mutex // guards what follows, and load.users
	open    *load
	apart   map[dedup.UID]time.Time // studies of which a file could not get its name, and when: each of their files is committed alone, so that no other study fails with them
	running sync.WaitGroup          // commits
	turn    chan struct{}           // holds one token: who has it commits
	slots   chan struct{}           // a token in it for each load that is not done, so that a slow disk slows the network
}

// When a load is committed, whoever waits.
const (
	loadFiles = 1000
	loadBytes = 32 << 20
	loads     = 3
)

// load is one batch.
type load struct {
	batch        *durable.Batch
	files, bytes int
	users        sync.WaitGroup // files that are being written
	begun        bool           // its commit has, or waits for its turn
	done         chan struct{}  // closed when what follows is final
	err          error
	taken        map[string]bool // names that were not free
}

func newDepot(staging *durable.Staging, taken durable.Taken, arrange func(dedup.UID, dedup.Ref) error) *depot {
	d := &depot{staging: staging, taken: taken, arrange: arrange, linger: 20 * time.Millisecond, turn: make(chan struct{}, 1), slots: make(chan struct{}, loads)}
	d.turn <- struct{}{}
	return d
}

// The classes of a commit, in the order in which they become visible.
func classOf(ref dedup.Ref) int {
	switch ref.Class {
	case dedup.Instance:
		return 1
	case dedup.List:
		return 2
	}
	return 0
}

// enter takes a place in the open load for so many bytes. It waits while too much waits to be committed.
func (d *depot) enter(bytes int) (*load, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.open == nil {
		d.mu.Unlock()
		d.slots <- struct{}{}
		batch, err := d.staging.OpenBatch()
		d.mu.Lock()
		if err != nil || d.open != nil {
			<-d.slots
		}
		switch {
		case err != nil:
			return nil, fmt.Errorf("%w: %w", durable.ErrNotStored, err)
		case d.open != nil:
			batch.Discard()
		default:
			d.open = &load{batch: batch, done: make(chan struct{})}
		}
	}
	l := d.open
	l.files, l.bytes = l.files+1, l.bytes+bytes
	l.users.Add(1)
	if l.files >= loadFiles || l.bytes >= loadBytes {
		d.open = nil
		d.begin(l)
	}
	return l, nil
}

// follow takes a place beside others that were put, if they are all in the open load or durable: then a commit shows them before it shows what is put
// there (their classes are lower), and one commit is enough for both.
func (d *depot) follow(study dedup.UID, others []receipt) (l *load, can bool) {
	if d.parted(study) {
		return nil, false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range others {
		select {
		case <-r.load.done:
			if r.load.err != nil {
				return nil, false
			}
		default:
			if r.load != d.open {
				return nil, false
			}
		}
	}
	if d.open == nil {
		return nil, false
	}
	d.open.users.Add(1)
	return d.open, true
}

// begin has a load committed when its turn comes; until then it takes more. The caller holds the lock.
func (d *depot) begin(l *load) {
	if l.begun {
		return
	}
	l.begun = true
	d.running.Go(func() {
		<-d.turn
		d.mu.Lock()
		if d.open == l {
			d.open = nil
		}
		d.mu.Unlock()
		l.users.Wait()
		l.taken, l.err = d.commit(l.batch)
		d.part(l.err)
		d.turn <- struct{}{}
		<-d.slots
		close(l.done)
	})
}

// store commits a batch of its own. It returns the names that were not free.
func (d *depot) store(b *durable.Batch) (taken map[string]bool, err error) {
	<-d.turn
	defer func() { d.turn <- struct{}{} }()
	return d.commit(b)
}

// commit commits a batch: one at a time, whose turn the caller has; then the files that turned out to share a name are brought into order.
func (d *depot) commit(b *durable.Batch) (taken map[string]bool, err error) {
	taken = map[string]bool{}
	var shared []string
	err = b.Commit(func(staged, name string) (string, error) {
		taken[name] = true
		instead, err := d.take(staged, name)
		if err == nil && instead != "" {
			shared = append(shared, name)
		}
		return instead, err
	})
	for _, name := range shared {
		if err != nil {
			break
		}
		if err = d.order(name); err != nil {
			err = &durable.NameError{Name: name, Err: err}
		}
	}
	return taken, err
}

// take decides about a name that is taken. Of class other what is there stays, because nothing tells which of two is right; all else is for the archive's rule.
func (d *depot) take(staged, name string) (string, error) {
	if _, ref, ok := cutStudy(name); ok && ref.Class == dedup.Other {
		return "", nil
	}
	return d.taken(staged, name)
}

// order arranges the files of one name.
func (d *depot) order(name string) error {
	study, ref, ok := cutStudy(name)
	if !ok || ref.Class != dedup.List && ref.Class != dedup.Instance || ref.Variant != "" {
		return nil
	}
	if err := d.arrange(study, ref); err != nil {
		return fmt.Errorf("%w: %w", durable.ErrNotStored, err)
	}
	return nil
}

// put stages a file that was checked, and that needs others which are in the tree already. It is durable when receipt.wait says so.
func (d *depot) put(study dedup.UID, ref dedup.Ref, stored []byte, needs ...string) (receipt, error) {
	if d.parted(study) {
		return d.putAlone(study, ref, stored, needs...)
	}
	l, err := d.enter(len(stored))
	if err != nil {
		return receipt{}, err
	}
	defer l.users.Done()
	return d.stage(l, study, ref, stored, needs...)
}

// It is remembered of so many studies, for so long, that a file could not get its name.
const (
	mostApart = 1024
	apartFor  = 10 * time.Minute
)

// part takes a study out of the common batches when one failed because of it: something else stands where its folder should be, or the folder is another user's.
func (d *depot) part(err error) {
	var at *durable.NameError
	if !errors.As(err, &at) || durable.IsFull(err) {
		return
	}
	uid, _, _ := strings.Cut(strings.TrimPrefix(at.Name, "studies/"), "/")
	study, wrong := dedup.ParseUID(uid)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.apart == nil || len(d.apart) >= mostApart {
		d.apart = map[dedup.UID]time.Time{}
	}
	if wrong == nil {
		d.apart[study] = time.Now()
	}
}

func (d *depot) parted(study dedup.UID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Since(d.apart[study]) < apartFor
}

// putAlone is put for a study that was parted.
func (d *depot) putAlone(study dedup.UID, ref dedup.Ref, stored []byte, needs ...string) (receipt, error) {
	batch, err := d.staging.OpenBatch()
	if err != nil {
		return receipt{}, fmt.Errorf("%w: %w", durable.ErrNotStored, err)
	}
	l := &load{batch: batch, begun: true, done: make(chan struct{})}
	defer close(l.done)
	r, err := d.stage(l, study, ref, stored, needs...)
	if err != nil {
		batch.Discard()
		return r, err
	}
	l.taken, l.err = d.store(batch)
	d.part(l.err)
	return r, l.err
}

// stage puts a file into a load in which the caller has a place.
func (d *depot) stage(l *load, study dedup.UID, ref dedup.Ref, stored []byte, needs ...string) (receipt, error) {
	t, err := create(l.batch, study, ref)
	if err != nil {
		return receipt{}, fmt.Errorf("%w: %w", durable.ErrNotStored, err)
	}
	for _, name := range needs {
		l.batch.Rely(name)
	}
	_, err = t.Write(stored)
	if err == nil {
		err = l.batch.Place(t, ref.In(study), classOf(ref))
	}
	if err != nil {
		l.batch.Drop(t)
		return receipt{}, fmt.Errorf("%w: %w", durable.ErrNotStored, err)
	}
	return receipt{d, l}, nil
}

func create(b *durable.Batch, study dedup.UID, ref dedup.Ref) (*durable.Temp, error) {
	if name := label(study, ref); name != "" {
		return b.CreateLabelled(name)
	}
	return b.Create()
}

// receipt stands for a file that was put.
type receipt struct {
	depot *depot
	load  *load
}

// stored reports whether the file is durable under that name by what was put, and not because something was there.
func (r receipt) stored(name string) bool {
	select {
	case <-r.load.done:
		return r.load.err == nil && !r.load.taken[name]
	default:
		return false
	}
}

// wait returns when the file is durable, or with the reason why it is not.
func (r receipt) wait(ctx context.Context) error {
	if r.load == nil {
		return nil
	}
	select {
	case <-r.load.done:
		return r.load.err
	case <-time.After(r.depot.linger):
	case <-ctx.Done():
		return ctx.Err()
	}
	r.depot.mu.Lock()
	r.depot.begin(r.load)
	r.depot.mu.Unlock()
	select {
	case <-r.load.done:
		return r.load.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stop commits what is staged, and returns when no commit runs.
func (d *depot) stop() {
	d.mu.Lock()
	if d.open != nil {
		d.begin(d.open)
	}
	d.mu.Unlock()
	d.running.Wait()
}

// cutStudy takes a path in the tree apart.
func cutStudy(name string) (study dedup.UID, ref dedup.Ref, ok bool) {
	inside, found := strings.CutPrefix(name, "studies/")
	uid, inside, more := strings.Cut(inside, "/")
	study, wrong := dedup.ParseUID(uid)
	ref, bad := dedup.ParseRef(inside)
	return study, ref, found && more && wrong == nil && bad == nil
}

// notStored reports whether an error is this site's and not the neighbour's.
func notStored(err error) bool { return errors.Is(err, durable.ErrNotStored) || durable.IsFull(err) }
