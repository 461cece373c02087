package syncer

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// Catalog is what this site holds, as its index has it. Its methods are called from several goroutines.
type Catalog interface {
	// Summary is of the whole site, now.
	Summary() wire.Summary
	// Sums is the digest tree of all studies that Below and Since tell of.
	Sums() *index.Sums
	// Below are the studies whose keys are below a place, in any order.
	Below(ctx context.Context, p index.Place) ([]wire.StudyState, error)
	// Since are up to most studies whose last changes have numbers above one, in the order of those.
	Since(ctx context.Context, change uint64, most int) ([]wire.StudyState, error)
}

// When the studies below a node are listed instead of the sums of the next level. Where few nodes were asked for, answers may be larger, to
// spare a round trip.
const (
	fewNodes   = 4
	listed     = 48
	listedFew  = 256
	mostDigits = 16
)

// sumOf is a study as the digest tree has it.
func sumOf(s wire.StudyState) index.Sum {
	return index.Sum{UID: s.UID, Leaf: s.Leaf, Others: s.Others, Flags: uint64(s.Flags)}
}

func short(sum [32]byte) wire.Short { return wire.Short(sum[:16]) }

func placeOf(p wire.Prefix) index.Place  { return index.Place{Digits: int(p.Nibbles), Bits: p.Bits} }
func prefixOf(p index.Place) wire.Prefix { return wire.Prefix{Nibbles: uint8(p.Digits), Bits: p.Bits} }

// below answers for one node that differs: what this site has there.
func below(ctx context.Context, c Catalog, p index.Place, few bool) (wire.Below, error) {
	sums, list := c.Sums(), listed
	if few {
		list = listedFew
	}
	if p.Digits < sums.Depth() {
		if _, n := sums.Node(p); n > list {
			return wire.Below{Prefix: prefixOf(p), Nodes: nodesBelow(sums, p, few)}, nil
		}
	}
	states, err := c.Below(ctx, p)
	if err != nil {
		return wire.Below{}, err
	}
	if len(states) > wire.MaxBelow && p.Digits < mostDigits {
		return wire.Below{Prefix: prefixOf(p), Nodes: nodesOf(sums, p, states)}, nil
	}
	b := wire.Below{Prefix: prefixOf(p), Listed: true, Items: make([]wire.Item, 0, len(states))}
	for _, s := range states {
		h := sums.Hash(sumOf(s))
		b.Items = append(b.Items, wire.Item{Key: wire.Key(index.KeyOf(s.UID)), Hash: [8]byte(h[:8])})
	}
	return b, nil
}

// nodesBelow are the nodes of the next level that are not empty, or of the level after it where there is one and few are asked for.
func nodesBelow(sums *index.Sums, p index.Place, few bool) (nodes []wire.Node) {
	for n := range 16 {
		child := p.Below(n)
		if few && child.Digits < sums.Depth() {
			nodes = append(nodes, nodesBelow(sums, child, false)...)
			continue
		}
		if sum, count := sums.Node(child); count > 0 {
			nodes = append(nodes, wire.Node{Prefix: prefixOf(child), Sum: short(sum)})
		}
	}
	return nodes
}

// nodesOf sums up studies below a place where the tree does not reach.
func nodesOf(sums *index.Sums, p index.Place, states []wire.StudyState) (nodes []wire.Node) {
	for n := range 16 {
		child := p.Below(n)
		var in []index.Sum
		for _, s := range states {
			if child.Has(index.KeyOf(s.UID)) {
				in = append(in, sumOf(s))
			}
		}
		if len(in) > 0 {
			nodes = append(nodes, wire.Node{Prefix: prefixOf(child), Sum: short(sums.SumOf(in))})
		}
	}
	return nodes
}

// node is this site's sum at a place, wherever the tree ends.
func node(ctx context.Context, c Catalog, p index.Place) (wire.Short, error) {
	if p.Digits <= c.Sums().Depth() {
		sum, _ := c.Sums().Node(p)
		return short(sum), nil
	}
	if none(c, p) {
		return wire.Short{}, nil
	}
	states, err := c.Below(ctx, p)
	if err != nil {
		return wire.Short{}, err
	}
	var in []index.Sum
	for _, s := range states {
		in = append(in, sumOf(s))
	}
	return short(c.Sums().SumOf(in)), nil
}

// none reports whether the tree knows that this site has nothing around a place.
func none(c Catalog, p index.Place) bool {
	sums := c.Sums()
	depth := sums.Depth()
	_, n := sums.Node(index.Place{Digits: depth, Bits: p.Bits &^ (^uint64(0) >> (4 * depth))})
	return n == 0
}

// comparison walks the digest trees of two sites from the root to the studies that differ.
type comparison struct {
	catalog Catalog
	talk    *talk
	most    int               // studies to find
	keys    map[wire.Key]bool // of studies that differ and that the other site has
	differ  []held            // studies that it does not have
	lookups int               // into the index, for places where the tree ends or the other site lists
	partial bool              // there may be more
}

// mostPlaces is how many nodes of one level are followed, and mostLookups for how many places of a comparison the index is asked.
const (
	mostPlaces  = 1 << 14
	mostLookups = 1 << 16
)

// compareWith finds the studies that this site and another hold differently, in a round trip a level. Where more than most are found, or far more places have to be
// looked at than that many studies have, the answer is partial: the next comparison, when those are level, finds others.
func compareWith(ctx context.Context, c Catalog, t *talk, most int) (differ []held, partial bool, err error) {
	x := &comparison{catalog: c, talk: t, most: most, keys: map[wire.Key]bool{}}
	for frontier := []index.Place{{}}; len(frontier) > 0; {
		var next []index.Place
		for part := range slices.Chunk(frontier, wire.MaxNodes) {
			found, err := x.level(ctx, part)
			if err != nil {
				return nil, false, err
			}
			if next = append(next, found...); x.full(&next) {
				break
			}
		}
		frontier = next
	}
	differ, err = x.describe(ctx)
	return differ, x.partial, err
}

// full reports whether no more places are to be looked at, and keeps those that are within bounds.
func (x *comparison) full(next *[]index.Place) bool {
	switch {
	case len(x.keys)+len(x.differ) >= x.most, x.lookups >= mostLookups:
		*next = nil
	case len(*next) > mostPlaces:
		*next = (*next)[:mostPlaces]
	default:
		return false
	}
	x.partial = true
	return true
}

// level asks about some nodes and returns those below them that differ.
func (x *comparison) level(ctx context.Context, places []index.Place) (next []index.Place, err error) {
	request := &wire.Compare{}
	asked := map[index.Place]bool{}
	for _, p := range places {
		sum, err := node(ctx, x.catalog, p)
		if err != nil {
			return nil, err
		}
		asked[p] = true
		request.Nodes = append(request.Nodes, wire.Node{Prefix: prefixOf(p), Sum: sum})
	}
	if err := x.talk.say(request); err != nil {
		return nil, err
	}
	for more := true; more; {
		m, err := answer[*wire.Compared](x.talk)
		if err != nil {
			return nil, err
		}
		if more = m.More; more && len(m.Below) == 0 {
			return nil, fault("an answer that goes on and says nothing")
		}
		for _, b := range m.Below {
			p := placeOf(b.Prefix)
			if !asked[p] {
				return nil, fault("an answer for a node that was not asked for, or twice")
			}
			delete(asked, p)
			found, err := x.node(ctx, p, b)
			if err != nil {
				return nil, err
			}
			next = append(next, found...)
		}
	}
	return next, nil
}

// node takes the answer for one node.
func (x *comparison) node(ctx context.Context, p index.Place, b wire.Below) ([]index.Place, error) {
	if b.Listed || len(b.Nodes) == 0 {
		return nil, x.items(ctx, p, b.Items)
	}
	digits := int(b.Nodes[0].Prefix.Nibbles)
	if digits <= p.Digits || digits > p.Digits+2 || digits > mostDigits {
		return nil, fault("an answer from another level")
	}
	theirs := make(map[index.Place]wire.Short, len(b.Nodes))
	for _, n := range b.Nodes {
		q := placeOf(n.Prefix)
		if q.Digits != digits || p.Digits > 0 && (q.Bits^p.Bits)>>(64-4*p.Digits) != 0 {
			return nil, fault("an answer from another place")
		}
		theirs[q] = n.Sum
	}
	var next []index.Place
	for _, q := range descendants(p, digits) {
		mine, err := node(ctx, x.catalog, q)
		if err != nil {
			return nil, err
		}
		x.lookups += truth(q.Digits > x.catalog.Sums().Depth())
		if mine != theirs[q] {
			next = append(next, q)
		}
	}
	return next, nil
}

// descendants are the places of so many digits below one.
func descendants(p index.Place, digits int) []index.Place {
	places := []index.Place{p}
	for range digits - p.Digits {
		var next []index.Place
		for _, q := range places {
			for n := range 16 {
				next = append(next, q.Below(n))
			}
		}
		places = next
	}
	return places
}

// items compares the studies below a place one by one. Where this site has very many, of which the other one lists few, that is done in parts: all of them are never in memory.
func (x *comparison) items(ctx context.Context, p index.Place, items []wire.Item) error {
	if sums := x.catalog.Sums(); p.Digits < sums.Depth() {
		if _, n := sums.Node(p); n > wire.MaxBelow {
			return x.inParts(ctx, p, items)
		}
	}
	x.lookups++
	states, err := x.catalog.Below(ctx, p)
	if err != nil {
		return err
	}
	theirs := make(map[wire.Key][8]byte, len(items))
	for _, i := range items {
		theirs[i.Key] = i.Hash
	}
	for _, s := range states {
		key := wire.Key(index.KeyOf(s.UID))
		hash, has := theirs[key]
		switch h := x.catalog.Sums().Hash(sumOf(s)); {
		case has && hash == [8]byte(h[:8]):
			delete(theirs, key)
		case !has && len(x.differ) < x.most:
			x.differ = append(x.differ, held{wire.StudyState{UID: s.UID}, s})
		}
	}
	for key := range theirs {
		if len(x.keys) < x.most { // else it is full, and partial
			x.keys[key] = true
		}
	}
	return nil
}

// inParts is items for each place of the next level, until enough is found.
func (x *comparison) inParts(ctx context.Context, p index.Place, items []wire.Item) error {
	for n := range 16 {
		if len(x.keys)+len(x.differ) >= x.most {
			x.partial = true
			return nil
		}
		child := p.Below(n)
		var in []wire.Item
		for _, i := range items {
			if child.Has(index.Key(i.Key)) {
				in = append(in, i)
			}
		}
		if err := x.items(ctx, child, in); err != nil {
			return err
		}
	}
	return nil
}

// describe asks for the studies that differ. Those that the other site does not have are named too: so it knows what to ask about, and need not walk itself.
func (x *comparison) describe(ctx context.Context) ([]held, error) {
	for _, h := range x.differ {
		x.keys[keyOf(h.mine.UID)] = true
	}
	keys := slices.SortedFunc(maps.Keys(x.keys), func(a, b wire.Key) int { return slices.Compare(a[:], b[:]) })
	for part := range slices.Chunk(keys, wire.MaxNodes) {
		if err := x.talk.say(&wire.Describe{Keys: part}); err != nil {
			return nil, err
		}
		states, _, err := hearStates(x.talk, len(part))
		if err != nil {
			return nil, err
		}
		for _, s := range states {
			if !x.keys[wire.Key(index.KeyOf(s.UID))] {
				return nil, fault("a study that was not asked for")
			}
		}
		both, err := beside(ctx, x.catalog, states)
		if err != nil {
			return nil, err
		}
		x.differ = append(x.differ, both...)
	}
	return x.differ, nil
}

// askAbout finds what another site holds of the studies with these keys. Of those that it does not tell of it has nothing.
func askAbout(ctx context.Context, c Catalog, t *talk, keys []wire.Key) ([]held, error) {
	x := &comparison{catalog: c, talk: t, keys: make(map[wire.Key]bool, len(keys))}
	for _, k := range keys {
		x.keys[k] = true
	}
	differ, err := x.describe(ctx)
	if err != nil {
		return nil, err
	}
	for _, h := range differ {
		delete(x.keys, keyOf(h.theirs.UID))
	}
	for _, k := range keys {
		if !x.keys[k] {
			continue
		}
		states, err := c.Below(ctx, placeOfKey(index.Key(k)))
		if err != nil {
			return nil, err
		}
		for _, s := range states {
			if keyOf(s.UID) == k {
				differ = append(differ, held{wire.StudyState{UID: s.UID}, s})
			}
		}
	}
	return differ, nil
}

func keyOf(uid dedup.UID) wire.Key { return wire.Key(index.KeyOf(uid)) }

// hearStates reads a whole answer of states, of which there are no more than were asked for.
func hearStates(t *talk, most int) (states []wire.StudyState, last *wire.States, err error) {
	for more := true; more; more = last.More {
		if last, err = answer[*wire.States](t); err != nil {
			return nil, nil, err
		}
		if states = append(states, last.Studies...); len(states) > most {
			return nil, nil, fault("more studies than were asked for")
		}
		if last.More && len(last.Studies) == 0 {
			return nil, nil, fault("an answer that goes on and says nothing")
		}
	}
	return states, last, nil
}

// beside puts what this site holds beside what another does.
func beside(ctx context.Context, c Catalog, theirs []wire.StudyState) ([]held, error) {
	out := make([]held, 0, len(theirs))
	for _, s := range theirs {
		mine, err := stateOf(ctx, c, s.UID)
		if err != nil {
			return nil, err
		}
		out = append(out, held{s, mine})
	}
	return out, nil
}

// stateOf is what this site holds of one study.
func stateOf(ctx context.Context, c Catalog, uid dedup.UID) (wire.StudyState, error) {
	states, err := c.Below(ctx, placeOfStudy(uid))
	if err != nil {
		return wire.StudyState{}, fmt.Errorf("look up a study: %w", err)
	}
	for _, s := range states {
		if s.UID == uid {
			return s, nil
		}
	}
	return wire.StudyState{UID: uid}, nil
}

// placeOfStudy is the deepest place of a study, which it has for itself but for chance.
func placeOfStudy(uid dedup.UID) index.Place { return placeOfKey(index.KeyOf(uid)) }

func placeOfKey(k index.Key) index.Place {
	p := index.Place{}
	for d := range mostDigits {
		p = p.Below(int(k[d/2]>>(4*(1-d%2))) & 15)
	}
	return p
}

// follow asks a site what has changed since a number, and returns what to ask for next time.
func follow(ctx context.Context, c Catalog, t *talk, fx feed) (both []held, next uint64, err error) {
	if err := t.say(&wire.Feed{Incarnation: fx.incarnation, Since: fx.since, Most: wire.MaxStudies}); err != nil {
		return nil, 0, err
	}
	states, last, err := hearStates(t, wire.MaxStudies)
	if err != nil {
		return nil, 0, err
	}
	if last.Incarnation != fx.incarnation || last.Next < fx.since {
		return nil, 0, fault("a feed of another index")
	}
	both, err = beside(ctx, c, states)
	return both, last.Next, err
}
