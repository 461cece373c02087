package index

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
)

// ErrAbsent says that the tree itself is not there: a study is gone with everything around it, the tree's own folder too. That is a file system that is not mounted, and nothing
// is concluded from it.
var ErrAbsent = errors.New("the tree is not there: is its file system mounted?")

// KeeperConfig says what a Keeper keeps, and with what.
type KeeperConfig struct {
	Tree  durable.Reader
	Index *Index
	// Check reads a file to its end and checks it against its own name; package verify has it (Checker.File, of a Checker that is Deep).
	Check func(dedup.Folder, dedup.Held) Checked
	// Cache is how many bytes of memory may go into what is remembered of the studies that were looked at last. One study is always remembered. 0: DefaultCache.
	Cache int64
	// Patience is how long a file must be unchanged whose name and content cannot tell whether it is finished. 0: DefaultPatience.
	Patience time.Duration
	// Now is the clock that file times are held against. nil: time.Now.
	Now func() time.Time
}

// The defaults of a KeeperConfig.
const (
	DefaultCache    = 256 << 20
	DefaultPatience = time.Minute
)

// Keeper says what a site holds of a study, and keeps the index true to it. Its methods may be called from several goroutines; those about one study wait for
// each other.
//
// It is a reader of the tree: it moves, changes and removes nothing there. A damaged file stays where it is, does not count (Entry.Damaged), and makes way when somebody
// comes with the right content (ingest.Taken); moving it before would only make of a study that is known to lack something one that looks whole, unless nothing is lost with it (Holding.Spare). And absence is never a
// deletion: a list or an instance file that was entered and is gone is either accounted for by the lists that are here, then it was collected, or it is lost, and the
// index goes on missing it until it is back (Entry.Lost).
type Keeper struct {
	config KeeperConfig
	tree   dedup.Tree

	mu      sync.Mutex // guards all below
	studies map[dedup.UID]*kept
	recent  *list.List // of *kept that remember something, the last one used in front
	memory  int64      // theirs
	told    map[Trouble]bool
}

// maxTold bounds what a Keeper remembers to have reported.
const maxTold = 100_000

// NewKeeper makes a Keeper. It touches nothing.
func NewKeeper(c KeeperConfig) *Keeper {
	if c.Cache == 0 {
		c.Cache = DefaultCache
	}
	if c.Patience == 0 {
		c.Patience = DefaultPatience
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Keeper{config: c, tree: dedup.NewTree(c.Tree), studies: make(map[dedup.UID]*kept), recent: list.New(), told: make(map[Trouble]bool)}
}

// Look finds out what a study is now, enters it into the index, and returns it. It costs what changed: the names of the study's lists and instance files are
// listed, new ones are read and checked, and so is the bulkdata that they refer to and that the index does not know. Of a study that is not there the Holding is
// Nothing, without an error.
//
// What was entered when Look returns an error is right, and stays; look again. ErrAbsent means that the tree is to be looked for first.
func (k *Keeper) Look(ctx context.Context, uid dedup.UID) (Holding, error) {
	s := k.enter(uid)
	defer k.leave(s)
	return k.look(ctx, s, (*look).glance)
}

// LookAll is Look at every file of the study: bulkdata that nothing refers to and files of class other are entered too, and files of any class that vanished,
// or have another size than they had, are noticed. It costs a walk over all folders of the study, and no reading of files that are known.
func (k *Keeper) LookAll(ctx context.Context, uid dedup.UID) (Holding, error) {
	s := k.enter(uid)
	defer k.leave(s)
	return k.look(ctx, s, (*look).everything)
}

// Received is a file that its storer had checked before it stored it under its name, where nothing was: what it was then, or, with zero digests, only that it is
// whole. Nothing else says that of a file whose name says nothing: any other one has to lie still for a while before it counts.
type Received struct {
	Entry
	// File is what a list or an instance file says of which everything was checked that KeeperConfig.Check checks (verify.Judge). Without it such a file is read.
	File *dedup.File
}

// Receive is Look by the storer of some files, who spares it the reading of them.
func (k *Keeper) Receive(ctx context.Context, uid dedup.UID, files []Received) (Holding, error) {
	return k.receive(ctx, uid, files, (*look).glance)
}

// ReceiveAll is LookAll by the storer of some files.
func (k *Keeper) ReceiveAll(ctx context.Context, uid dedup.UID, files []Received) (Holding, error) {
	return k.receive(ctx, uid, files, (*look).everything)
}

func (k *Keeper) receive(ctx context.Context, uid dedup.UID, files []Received, find func(*look) error) (Holding, error) {
	s := k.enter(uid)
	defer k.leave(s)
	return k.look(ctx, s, func(l *look) error {
		l.received = make(map[string]Received, len(files))
		for _, f := range files {
			l.received[f.Path] = f
		}
		return find(l)
	})
}

// Leaves are the ids of the leaves, in order: those whose digest is Holding.Leaf. It looks first.
func (k *Keeper) Leaves(ctx context.Context, uid dedup.UID) ([]dedup.FileID, Holding, error) {
	s := k.enter(uid)
	defer k.leave(s)
	h, err := k.look(ctx, s, (*look).closely)
	return slices.Clone(s.leaves), h, err
}

// Spared finds for each of some files a leaf that says all that it says (dedup.File.Spares), so that nobody here needs it; the zero FileID if there is none. Of a study
// that is not complete nothing is spared: what seems superfluous may be what it is healed from. It looks first.
func (k *Keeper) Spared(ctx context.Context, uid dedup.UID, files []dedup.File) ([]dedup.FileID, Holding, error) {
	s := k.enter(uid)
	defer k.leave(s)
	spared := make([]dedup.FileID, len(files))
	h, err := k.look(ctx, s, (*look).closely)
	if err != nil || !h.Complete {
		return spared, h, err
	}
	for _, f := range s.heads {
		if !f.read || f.Ref.Class != dedup.List || !slices.Contains(s.leaves, f.file.ID) {
			continue
		}
		spares := f.file.Spares()
		for i := range files {
			if spared[i] == (dedup.FileID{}) && spares(files[i]) {
				spared[i] = f.file.ID
			}
		}
	}
	return spared, h, nil
}

// Forget takes everything about a study out of the index: an operator's word that what vanished is to be forgotten. The next Look takes what is there as all there is.
// The digest log forgets nothing.
func (k *Keeper) Forget(ctx context.Context, uid dedup.UID) error {
	s := k.enter(uid)
	defer k.leave(s)
	s.forget()
	if err := k.config.Index.Remove(ctx, uid); err != nil {
		return fmt.Errorf("forget a study: %w", err)
	}
	return nil
}

// Rescan is LookAll at every study that the tree or the index has, in order; each hears of each. An error about one study is told and does not end it. When all were looked at
// without one, the index is complete. The tree's strays, which belong to no study, come with the zero UID.
func (k *Keeper) Rescan(ctx context.Context, each func(Holding, error)) error {
	studies, strays, err := k.tree.Studies()
	if err != nil {
		return fmt.Errorf("rescan: %w", err)
	}
	var beside Holding
	k.strays(&beside, strays)
	if beside.StrayCount > 0 {
		each(beside, nil)
	}
	for s, err := range k.config.Index.Studies(ctx, 0) {
		if err != nil {
			return fmt.Errorf("rescan: %w", err)
		}
		studies = append(studies, s.UID)
	}
	slices.SortFunc(studies, dedup.UID.Compare)
	failed := false
	for _, uid := range slices.Compact(studies) {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := k.LookAll(ctx, uid)
		failed = failed || err != nil
		each(h, err)
	}
	if failed {
		return nil
	}
	return k.config.Index.Complete(ctx)
}

// enter returns what is remembered of a study, for the caller alone until leave.
func (k *Keeper) enter(uid dedup.UID) *kept {
	k.mu.Lock()
	s := k.studies[uid]
	if s == nil {
		s = &kept{uid: uid}
		k.studies[uid] = s
	}
	s.users++
	k.mu.Unlock()
	s.one.Lock()
	return s
}

// leave lets go, and forgets the studies that were used longest ago when there is too much.
func (k *Keeper) leave(s *kept) {
	memory := s.size()
	s.one.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	s.users--
	k.memory += memory - s.counted
	s.counted = memory
	switch {
	case memory == 0 && s.place == nil:
		if s.users == 0 {
			delete(k.studies, s.uid)
		}
	case s.place == nil:
		s.place = k.recent.PushFront(s)
	default:
		k.recent.MoveToFront(s.place)
	}
	for at := k.recent.Back(); at != nil && at != k.recent.Front() && k.memory > k.config.Cache; {
		old := at.Value.(*kept)
		at = at.Prev()
		if old.users == 0 {
			k.recent.Remove(old.place)
			delete(k.studies, old.uid)
			k.memory -= old.counted
		}
	}
}

// tell marks those of these troubles that were not reported before.
func (k *Keeper) tell(troubles []Trouble) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range troubles {
		t := &troubles[i]
		t.New = false
		if k.told[*t] {
			continue
		}
		if len(k.told) >= maxTold {
			clear(k.told)
		}
		k.told[*t] = true
		t.New = true
	}
}

// strays takes down what has no place in an archive.
func (k *Keeper) strays(h *Holding, found []dedup.Finding) {
	h.StrayCount = len(found)
	for _, f := range found[:min(len(found), Shown)] {
		h.Strays = append(h.Strays, Trouble{Path: f.Path, Reason: f.Reason})
	}
	k.tell(h.Strays)
}
