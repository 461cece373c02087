package syncer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// Library is this site's archive, as its index has it, with the digest tree of all of it: a Catalog and an Archive.
//
// Whoever looks at studies does it through the Library (Look, LookAll, Rescan): the digest tree is true only if it hears of every change of the index.
type Library struct {
	config LibraryConfig
	tree   dedup.Tree
	seed   maphash.Seed
	locks  [64]sync.Mutex // by study: a look, and what the sums make of it, are one step

	mu      sync.Mutex // guards what follows
	sums    *index.Sums
	change  uint64
	room    Room
	dated   time.Time
	shelves map[dedup.UID]*shelf // the last few that were opened
}

// LibraryConfig says what a Library is of.
type LibraryConfig struct {
	Tree   durable.FS
	Index  *index.Index
	Keeper *index.Keeper
	Key    [32]byte // the cluster's, for its digest trees
	// Looked is told of every look that changed something, before the look returns.
	Looked func(index.Holding, wire.StudyState)
	// Amiss is told of a study of which a file is not what the index has, as somebody found who wanted to read it: it is gone, something else stands in its place, or it has another size. LookAll
	// finds out the rest. It must not block; nil: nobody.
	Amiss func(dedup.UID)
}

// OpenLibrary reads what the index has into a digest tree.
func OpenLibrary(ctx context.Context, c LibraryConfig) (*Library, error) {
	l := &Library{config: c, tree: dedup.NewTree(c.Tree), seed: maphash.MakeSeed(), shelves: map[dedup.UID]*shelf{}}
	_, err := l.Recount(ctx)
	return l, err
}

// Recount makes the digest tree anew out of the index, and reports whether the one that was did not say the same: then something is wrong with this program.
// Nothing may look meanwhile for the answer to mean something.
func (l *Library) Recount(ctx context.Context) (drifted bool, err error) {
	var rows []index.Sum
	var change uint64
	for s, err := range l.config.Index.Studies(ctx, 0) {
		if err != nil {
			return false, fmt.Errorf("count studies: %w", err)
		}
		change = max(change, s.Change)
		if state := stateOfRow(s); !nothing(state) {
			rows = append(rows, sumOf(state))
		}
	}
	sums := index.NewSums(l.config.Key, len(rows)+len(rows)/2)
	for _, x := range rows {
		sums.Replace(nil, &x)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	drifted = l.sums != nil && !l.sums.Equal(sums)
	l.sums, l.change = sums, max(change, l.change)
	return drifted, nil
}

// stateOfRow is what the index's row of a study says to others.
func stateOfRow(s index.Study) wire.StudyState {
	state := wire.StudyState{UID: s.UID, Change: s.Change}
	if s.Nothing() {
		return state
	}
	state.Leaf, state.Others = s.Leaf, s.Others
	if s.Complete {
		state.Flags |= wire.Complete
	} else {
		state.Flags |= wire.Flags(s.Wanting) << wire.Wanting
	}
	if s.Conflict {
		state.Flags |= wire.Conflict
	}
	return state
}

// Look is Keeper.Look.
func (l *Library) Look(ctx context.Context, uid dedup.UID) (index.Holding, error) {
	return l.look(ctx, uid, l.config.Keeper.Look)
}

// LookAll is Keeper.LookAll.
func (l *Library) LookAll(ctx context.Context, uid dedup.UID) (index.Holding, error) {
	return l.look(ctx, uid, l.config.Keeper.LookAll)
}

// Rescan is LookAll at every study that the tree or the index has, one after the other, with a rest of so many times as long as each look took: nothing that
// vanished, or that somebody put where nobody watches, is overlooked for longer than one rescan. each hears of each study.
func (l *Library) Rescan(ctx context.Context, rest int, each func(index.Holding, error)) error {
	studies, _, err := l.tree.Studies()
	if err != nil {
		return fmt.Errorf("rescan: %w", err)
	}
	for s, err := range l.config.Index.Studies(ctx, 0) {
		if err != nil {
			return fmt.Errorf("rescan: %w", err)
		}
		studies = append(studies, s.UID)
	}
	slices.SortFunc(studies, dedup.UID.Compare)
	for _, uid := range slices.Compact(studies) {
		began := time.Now()
		h, err := l.LookAll(ctx, uid)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		each(h, err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(rest) * time.Since(began)):
		}
	}
	l.Compared(time.Now())
	return nil
}

// Gone takes files out of the index that are about to be collected: lists that are here account for them.
func (l *Library) Gone(ctx context.Context, uid dedup.UID, paths []string) error {
	_, err := l.look(ctx, uid, func(ctx context.Context, uid dedup.UID) (index.Holding, error) {
		_, err := l.config.Index.Update(ctx, uid, index.Change{Gone: paths})
		return index.Holding{}, err
	})
	return err
}

// Leaves is Keeper.Leaves.
func (l *Library) Leaves(ctx context.Context, uid dedup.UID) (ids []dedup.FileID, err error) {
	_, err = l.look(ctx, uid, func(ctx context.Context, uid dedup.UID) (h index.Holding, err error) {
		ids, h, err = l.config.Keeper.Leaves(ctx, uid)
		return h, err
	})
	return ids, err
}

// look has a study looked at, and enters what became of its row into the sums, also after an error.
func (l *Library) look(ctx context.Context, uid dedup.UID, how func(context.Context, dedup.UID) (index.Holding, error)) (index.Holding, error) {
	lock := l.lock(uid)
	lock.Lock()
	defer lock.Unlock()
	was, _, err := l.config.Index.Study(ctx, uid)
	if err != nil {
		return index.Holding{}, err
	}
	h, err := how(ctx, uid)
	now, _, again := l.config.Index.Study(context.WithoutCancel(ctx), uid)
	if again != nil {
		return h, errors.Join(err, again)
	}
	if was.Change != now.Change {
		l.mu.Lock()
		delete(l.shelves, uid)
		l.mu.Unlock()
	}
	if a, b := stateOfRow(was), stateOfRow(now); !alike(a, b) {
		l.replace(a, b)
		if l.config.Looked != nil {
			l.config.Looked(h, b)
		}
	}
	return h, err
}

func (l *Library) lock(uid dedup.UID) *sync.Mutex {
	return &l.locks[maphash.String(l.seed, uid.String())%uint64(len(l.locks))]
}

func (l *Library) replace(was, now wire.StudyState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.change = max(l.change, now.Change)
	l.sums.Replace(orNone(was), orNone(now))
}

// orNone is how a study stands in the sums: not at all, if there is nothing of it.
func orNone(s wire.StudyState) *index.Sum {
	if nothing(s) {
		return nil
	}
	x := sumOf(s)
	return &x
}

// Room is whether a site can take anything in.
type Room struct {
	Low  bool // no: the disk is too full, or the archive is not there
	Away bool // the archive is not there, its disk is not mounted: what the index says of it holds nothing up
}

// Room says whether anything can be taken in.
func (l *Library) Room(r Room) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.room = r
}

// Compared says that the index was held against the disk now.
func (l *Library) Compared(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dated = at
}

// Summary implements Catalog.
func (l *Library) Summary() wire.Summary {
	l.mu.Lock()
	defer l.mu.Unlock()
	root, count := l.sums.Root()
	s := wire.Summary{Incarnation: l.config.Index.Incarnation, Root: root, Count: uint64(count), Change: l.change, Low: l.room.Low, Away: l.room.Away}
	if !l.dated.IsZero() {
		s.Dated = uint64(l.dated.Unix())
	}
	return s
}

// Sums implements Catalog.
func (l *Library) Sums() *index.Sums {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sums
}

// Below implements Catalog.
func (l *Library) Below(ctx context.Context, p index.Place) (states []wire.StudyState, err error) {
	for s, err := range l.config.Index.Below(ctx, p) {
		if err != nil {
			return nil, err
		}
		if state := stateOfRow(s); !nothing(state) {
			states = append(states, state)
		}
	}
	return states, nil
}

// Since implements Catalog.
func (l *Library) Since(ctx context.Context, change uint64, most int) (states []wire.StudyState, err error) {
	for s, err := range l.config.Index.Studies(ctx, change) {
		if err != nil {
			return nil, err
		}
		if states = append(states, stateOfRow(s)); len(states) >= most {
			break
		}
	}
	return states, nil
}

// State is what this site holds of one study.
func (l *Library) State(ctx context.Context, uid dedup.UID) (wire.StudyState, error) {
	s, _, err := l.config.Index.Study(ctx, uid)
	s.UID = uid
	return stateOfRow(s), err
}

// Heads implements Archive. Lists are offered also when others account for them: without them a receiver could not know what they account for.
func (l *Library) Heads(ctx context.Context, uid dedup.UID) (wire.StudyState, []wire.Head, error) {
	state, err := l.State(ctx, uid)
	if err != nil || nothing(state) {
		return state, nil, err
	}
	ids, err := l.Leaves(ctx, uid)
	if err != nil {
		return state, nil, err
	}
	leaf := make(map[dedup.FileID]bool, len(ids))
	for _, id := range ids {
		leaf[id] = true
	}
	s, err := l.shelf(ctx, uid)
	if err != nil {
		return state, nil, err
	}
	var heads []wire.Head
	for id, e := range s.heads {
		if id.Ref.Class != dedup.Instance || leaf[id] {
			heads = append(heads, wire.Head{Ref: id.Ref, Digest: id.Digest, Disk: uint64(e.Disk), Leaf: leaf[id]})
		}
	}
	slices.SortFunc(heads, func(a, b wire.Head) int {
		return cmp.Or(a.Ref.Compare(b.Ref), slices.Compare(a.Digest[:], b.Digest[:]))
	})
	return state, heads, nil
}

// Missing implements Archive. A study of which nothing was known may be on disk all the same: the index is new, or somebody has put it there.
func (l *Library) Missing(ctx context.Context, uid dedup.UID) ([]dedup.Ref, error) {
	s, has, err := l.config.Index.Study(ctx, uid)
	if err != nil || has && s.Complete {
		return nil, err
	}
	look := l.Look
	if !has {
		look = l.LookAll
	}
	h, err := look(ctx, uid)
	return h.Missing, err
}

// Take implements Archive.
func (l *Library) Take(ctx context.Context, uid dedup.UID, a Arrival) error {
	receive := l.config.Keeper.Receive
	if a.Others {
		receive = l.config.Keeper.ReceiveAll
	}
	_, err := l.look(ctx, uid, func(ctx context.Context, uid dedup.UID) (index.Holding, error) { return receive(ctx, uid, a.Files) })
	return err
}

// shelf is what the index has of one study.
type shelf struct {
	*Library
	fs     durable.Reader
	folder dedup.Folder
	heads  map[dedup.FileID]index.Entry
	bulk   map[dedup.Ref]index.Entry
}

// mostShelves is how many are remembered: requests for one study come one after another.
const mostShelves = 8

// Shelf implements Archive.
func (l *Library) Shelf(ctx context.Context, uid dedup.UID) (Shelf, error) { return l.shelf(ctx, uid) }

func (l *Library) shelf(ctx context.Context, uid dedup.UID) (*shelf, error) {
	l.mu.Lock()
	s := l.shelves[uid]
	l.mu.Unlock()
	if s != nil { // of the study as it is: every change goes through look
		return s, nil
	}
	lock := l.lock(uid) // a look that ends meanwhile would leave what it changed unseen
	lock.Lock()
	defer lock.Unlock()
	folder, err := l.tree.Study(uid)
	if err != nil {
		return nil, err
	}
	s = &shelf{Library: l, fs: l.config.Tree, folder: folder, heads: map[dedup.FileID]index.Entry{}, bulk: map[dedup.Ref]index.Entry{}}
	for e, err := range l.config.Index.Files(ctx, uid) {
		switch {
		case err != nil:
			return nil, err
		case e.Lost, e.Damaged:
		case e.Ref.Class == dedup.Bulkdata:
			s.bulk[e.Ref] = e
		default:
			id := dedup.FileID{Ref: e.Ref, Digest: e.Content}
			id.Ref.Variant = ""
			s.heads[id] = e
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for old := range l.shelves {
		if len(l.shelves) < mostShelves {
			break
		}
		delete(l.shelves, old)
	}
	l.shelves[uid] = s
	return s, nil
}

// Open implements Shelf.
func (s *shelf) Open(ref dedup.Ref, digest dedup.Digest) (Book, error) {
	e, has := s.heads[dedup.FileID{Ref: ref, Digest: digest}]
	if ref.Class == dedup.Bulkdata {
		for _, r := range ref.Spellings() {
			if e, has = s.bulk[r]; has {
				break
			}
		}
	}
	if !has {
		return Book{}, fs.ErrNotExist
	}
	f, err := s.fs.Open(e.Path)
	if err != nil {
		s.amiss(err)
		return Book{}, err
	}
	size, err := f.Size()
	if err != nil || size != e.Disk {
		s.amiss(fs.ErrNotExist) // what was entered is not there
		return Book{}, errors.Join(fs.ErrNotExist, err, f.Close())
	}
	ref = e.Ref
	ref.Variant = ""
	b := Book{File: f, Ref: ref, Size: size}
	if nameless(ref) {
		b.Content = e.Content
	}
	return b, nil
}

// amiss says that a file could not be opened as what it was entered, if that is not the disk's failure.
func (s *shelf) amiss(err error) {
	if s.config.Amiss != nil && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, durable.ErrNotRegular)) {
		s.config.Amiss(s.folder.Study)
	}
}

// Where implements Shelf. An object that cannot be read is not there.
func (s *shelf) Where(ref dedup.Ref) (string, []dedup.Ref) {
	held, _, err := s.folder.Find(ref)
	if err != nil {
		return "", nil
	}
	if ref.Ext != ".json.gz" {
		return held.Path, nil
	}
	text, err := s.folder.Read(held, mostObject)
	if err != nil {
		return "", nil
	}
	o, err := dedup.ParseObject(text)
	if err != nil {
		return "", nil
	}
	return held.Path, dedup.References(o)
}

// Spared implements Shelf.
func (s *shelf) Spared(ctx context.Context, files []dedup.File) (spared []dedup.FileID, err error) {
	_, err = s.look(ctx, s.folder.Study, func(ctx context.Context, uid dedup.UID) (h index.Holding, err error) {
		spared, h, err = s.config.Keeper.Spared(ctx, uid, files)
		return h, err
	})
	return spared, err
}
