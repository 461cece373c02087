package dedup

import "slices"

// contest is who gives way to whom among the records of a study's leaves.
//
// Nodes of the graph are the records, each once, and hubs: "whatever replaces this hash". A record leads to the hub of its hash, and the hub to
// the records that replace it, so that the graph is no larger than the files that it comes from, whatever they say.
type contest struct {
	graph   graph
	records []*Record // by node
	byID    map[Digest]int32
	byHash  map[Hash][]int32
	bySOP   map[UID][]int32
	hubs    map[hub]int32
	gone    []bool // by node, when all edges are known
}

// hub names a hub: what is replaced, by a hash or a content; the live records of a hash that was deleted;
// or what one list removes or supersedes of an instance.
type hub struct {
	kind rule
	hash Hash
	list *listIndex
	sop  UID
}

type rule uint8

const (
	ruleReplaced rule = iota
	ruleDeleted
	ruleEmptied
	ruleSuperseded
)

func newContest(leaves []*File, e *evidence) *contest {
	c := &contest{byID: make(map[Digest]int32), byHash: make(map[Hash][]int32), bySOP: make(map[UID][]int32), hubs: make(map[hub]int32)}
	files := make(map[*File]bool, len(leaves))
	for _, f := range leaves {
		files[f] = true
		for i := range f.records {
			c.addRecord(&f.records[i])
		}
	}
	for n, r := range c.records {
		c.addReplaced(int32(n), r)
	}
	for n, r := range c.records {
		c.yield(int32(n), r)
	}
	var lists []*listIndex
	for _, l := range e.lists {
		if files[l.file] {
			lists = append(lists, l)
		}
	}
	for _, l := range lists {
		c.addEmptied(l, lists)
		c.addSuperseded(l)
	}
	c.gone = c.graph.gone()
	return c
}

func (c *contest) addRecord(r *Record) {
	if _, known := c.byID[r.id]; known {
		return
	}
	n := c.graph.add(1)
	c.records = append(c.records, r)
	c.byID[r.id] = n
	c.byHash[r.Dedup.Hash] = append(c.byHash[r.Dedup.Hash], n)
	c.bySOP[r.SOP] = append(c.bySOP[r.SOP], n)
}

// hub returns a hub that leads to node n.
func (c *contest) hub(h hub, n int32) {
	node, ok := c.hubs[h]
	if !ok {
		node = c.graph.add(1)
		c.hubs[h] = node
	}
	c.graph.edge(node, n)
}

// addReplaced makes the hubs of what a record replaces or deletes by hash.
func (c *contest) addReplaced(n int32, r *Record) {
	for _, h := range r.replaces() {
		c.hub(hub{kind: ruleReplaced, hash: h}, n)
	}
	if r.Dedup.Type == TypeDeleted && !r.Dedup.Hash.IsZero() {
		c.hub(hub{kind: ruleDeleted, hash: r.Dedup.Hash}, n)
	}
}

// yield leads a record to the hubs of its own hash and content.
func (c *contest) yield(n int32, r *Record) {
	for _, h := range c.hubsOf(r) {
		c.graph.edge(n, c.hubs[h])
	}
}

// hubsOf are the hubs of a record's hash and content that there are.
func (c *contest) hubsOf(r *Record) []hub {
	hubs := []hub{{kind: ruleReplaced, hash: r.Dedup.Hash}, {kind: ruleReplaced, hash: r.Dedup.Content}}
	if r.Dedup.Type != TypeDeleted {
		hubs = append(hubs, hub{kind: ruleDeleted, hash: r.Dedup.Hash})
	}
	return slices.DeleteFunc(hubs, func(h hub) bool {
		_, ok := c.hubs[h]
		return !ok || h.hash.IsZero()
	})
}

// addEmptied lets the records of an instance give way to the removals of it in a list that names their file, or themselves.
func (c *contest) addEmptied(l *listIndex, lists []*listIndex) {
	for sop := range l.emptied {
		h := hub{kind: ruleEmptied, list: l, sop: sop}
		for _, r := range l.sops[sop] {
			if r.empties() {
				c.hub(h, c.byID[r.id])
			}
		}
		var yielding []*Record
		for _, g := range lists {
			if l.namesList(g) {
				yielding = append(yielding, g.sops[sop]...)
			}
		}
		for _, n := range c.bySOP[sop] {
			if known(l.refs, c.records[n].Dedup.Hash) {
				yielding = append(yielding, c.records[n])
			}
		}
		for _, r := range yielding {
			if !l.ids[r.id] {
				c.graph.edge(c.byID[r.id], c.hubs[h])
			}
		}
	}
}

// addSuperseded lets records give way to those of a list that supersedes them as static-wado does.
func (c *contest) addSuperseded(l *listIndex) {
	for name := range l.refs {
		for _, n := range c.byHash[name] {
			r := c.records[n]
			if !l.supersedes(r) {
				continue
			}
			h := hub{kind: ruleSuperseded, list: l, sop: r.SOP}
			if _, made := c.hubs[h]; !made {
				for _, by := range l.sops[r.SOP] {
					c.hub(h, c.byID[by.id])
				}
			}
			c.graph.edge(n, c.hubs[h])
		}
	}
}

// sops are the instances that records speak of, in order.
func (c *contest) sops() []UID {
	sops := make([]UID, 0, len(c.bySOP))
	for sop := range c.bySOP {
		if sop.text != "" {
			sops = append(sops, sop)
		}
	}
	slices.SortFunc(sops, UID.Compare)
	return sops
}
