package crashfs

import (
	"errors"
	"maps"
	"math/rand/v2"
	"path"
	"slices"

	"github.com/dicomesh/dicomesh/dedup/durable"
)

// change is one name that came to stand for something else, and may not be durable yet. A rename is two: the new name, then
// the old one's removal.
type change struct {
	dir     *node
	base    string
	to      *node   // nil: the name was removed
	removed *change // of a rename's new name: the removal of the old one, which never stands without this
	dropped bool    // a sync of it failed: no later sync makes it durable
}

type slot struct {
	dir  *node
	base string
}

// change makes name, in dir, stand for n from now on.
func (f *FS) change(dir *node, name string, n *node) *change {
	base := path.Base(name)
	if old := dir.seen[base]; old != nil {
		old.links--
	}
	if n == nil {
		delete(dir.seen, base)
	} else {
		dir.seen[base] = n
		n.links++
	}
	c := &change{dir: dir, base: base, to: n}
	f.pending = append(f.pending, c)
	return c
}

// settle makes the pending changes that pick chooses durable, and those without which they cannot be.
// Latest first, so that what a choice entails has not been passed yet.
func (f *FS) settle(pick func(*change) bool) {
	chosen := make(map[*change]bool)
	later := make(map[slot]bool) // a later change of this name is chosen
	for _, c := range slices.Backward(f.pending) {
		s := slot{c.dir, c.base}
		if pick(c) || later[s] || chosen[c.removed] {
			chosen[c], later[s] = true, true
		}
	}
	var rest []*change
	for _, c := range f.pending {
		switch {
		case !chosen[c]:
			rest = append(rest, c)
		case c.to == nil:
			delete(c.dir.kept, c.base)
		default:
			c.dir.kept[c.base] = c.to
		}
	}
	f.pending = rest
}

// sync makes a file's bytes durable, but for those that a failed sync dropped: of them only the length is.
func (n *node) sync() {
	if !n.dirty {
		return
	}
	n.synced = slices.Clone(n.data)
	for _, s := range n.lost {
		clear(n.synced[s.from:s.to])
	}
	n.dirty = false
}

// drop is what a failed sync does to a file: the bytes can be read until the power goes, and are clean as far as the kernel is concerned.
func (n *node) drop() {
	n.losses++
	if n.dirty {
		n.lost = append(n.lost, span{len(n.synced), len(n.data)})
		n.dirty = false
	}
}

// SyncDir implements durable.Syncer.
func (f *FS) SyncDir(name string) error {
	return f.do(Op{Kind: "syncdir", Name: name}, func() error {
		dir, err := f.find(name)
		if err != nil {
			return err
		}
		if dir.seen == nil {
			return durable.ErrNotRegular
		}
		f.settle(func(c *change) bool { return c.dir == dir && !c.dropped })
		return nil
	})
}

// Barrier implements durable.Syncer.
func (f *FS) Barrier() (durable.Barrier, error) {
	b := &barrier{fs: f}
	err := f.do(Op{Kind: "barrier"}, func() error {
		b.losses = f.losses
		return nil
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}

type barrier struct {
	fs     *FS
	losses int // of the file system's, how many this one was told of or is too young for
}

func (b *barrier) SyncAll() error {
	err := b.fs.do(Op{Kind: "syncall"}, func() error {
		for _, n := range b.fs.nodes {
			n.sync()
		}
		b.fs.settle(func(c *change) bool { return !c.dropped })
		if b.losses < b.fs.losses {
			return b.fs.loss
		}
		return nil
	})
	b.fs.mu.Lock()
	defer b.fs.mu.Unlock()
	b.losses = b.fs.losses
	return err
}

// Close lets the barrier go; it is no operation.
func (b *barrier) Close() error { return nil }

// syncFailed drops what a failed sync should have written, unless it happened, and remembers to tell.
func (f *FS) syncFailed(o Op, happened bool, heard error) {
	if errors.Is(heard, ErrCrashed) { // not a failure of the disk: the crash decides
		return
	}
	var nodes []*node
	names := func(*change) bool { return false }
	switch o.Kind {
	default:
		return
	case "sync":
		nodes = []*node{o.node}
	case "syncdir":
		dir, _ := f.find(o.Name)
		names = func(c *change) bool { return c.dir == dir }
	case "syncall":
		nodes = f.nodes
		names = func(*change) bool { return true }
	}
	if !happened {
		f.drop(nodes, names)
	}
	f.losses++
	f.loss = heard
}

func (f *FS) drop(nodes []*node, names func(*change) bool) {
	for _, n := range nodes {
		n.drop()
	}
	for _, c := range f.pending {
		c.dropped = c.dropped || names(c)
	}
}

// Lose is a disk that fails in the background: what was written and not yet synced is dropped, and each Barrier and
// open file hears err at its next sync.
func (f *FS) Lose(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drop(f.nodes, func(*change) bool { return true })
	f.losses++
	f.loss = err
}

// Crash returns the file system as a power cut at this moment would leave it, one of the many ways as rng has it. f itself goes on
// as if nothing had happened, so that one run can be crashed with many seeds. Locks are free, and there is no hook.
func (f *FS) Crash(rng *rand.Rand) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	left := f.clone()
	// From nothing kept to everything kept: a fair coin for each change would hardly ever show either.
	luck := rng.Float64()*1.4 - 0.2
	left.settle(func(*change) bool { return rng.Float64() < luck })
	left.pending = nil
	for _, n := range left.nodes {
		n.links = 0
	}
	for _, n := range left.nodes {
		n.seen = maps.Clone(n.kept)
		n.data = n.torn(rng)
		n.synced, n.lost, n.dirty = slices.Clone(n.data), nil, false
		for _, e := range n.kept {
			e.links++
		}
	}
	return left
}

// torn is what a power cut leaves of a file: all that was synced, and of the rest any length, any of it zeros.
func (n *node) torn(rng *rand.Rand) []byte {
	rest := len(n.data) - len(n.synced)
	length, zeros := rest, rest // how much longer than synced it is, and from where the rest is zeros
	switch rng.IntN(4) {
	case 0:
		length = 0
	case 1:
		length = rng.IntN(rest + 1)
	case 2:
		zeros = rng.IntN(rest + 1)
	}
	left := slices.Concat(n.synced, n.data[len(n.synced):len(n.synced)+length])
	if len(n.synced)+zeros < len(left) {
		clear(left[len(n.synced)+zeros:])
	}
	for _, s := range n.lost {
		if s.from < len(left) {
			clear(left[s.from:min(s.to, len(left))])
		}
	}
	return left
}

// clone copies all that a power cut looks at.
func (f *FS) clone() *FS {
	c := New()
	c.capacity = f.capacity
	c.nodes = nil
	twin := map[*node]*node{nil: nil}
	for _, n := range f.nodes {
		t := c.node(n.seen != nil)
		t.data, t.synced, t.lost = n.data, n.synced, n.lost
		twin[n] = t
	}
	c.root = twin[f.root]
	for _, n := range f.nodes {
		for base, e := range n.kept {
			twin[n].kept[base] = twin[e]
		}
	}
	moved := map[*change]*change{nil: nil}
	for _, p := range slices.Backward(f.pending) { // a removal comes after the name that points to it
		t := &change{dir: twin[p.dir], base: p.base, to: twin[p.to], removed: moved[p.removed]}
		moved[p] = t
		c.pending = append(c.pending, t)
	}
	slices.Reverse(c.pending)
	return c
}
