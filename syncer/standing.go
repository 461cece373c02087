package syncer

import (
	"maps"
	"slices"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// stand is what Report says of a site, of whichever study; zero if there is no link, or it has said nothing yet.
type stand struct {
	of        string // its incarnation
	low, away bool
	counts    bool // its word of studies that are not known to differ: sets have been compared, and nothing is unexplained
}

func (c *core) stand(n *neighbour) stand {
	if !n.up || n.said == nil {
		return stand{}
	}
	return stand{n.said.Incarnation, n.said.Low, n.said.Away, (n.compared || level(*n.said, c.mine)) && c.explained(n)}
}

// still reports whether what a site is known to hold of a study that differs is what it holds now, and not only before a cut: it has said it since, or its root proves it.
func (c *core) still(d *difference, site string) bool {
	n := c.sites[site]
	return d.heard[site] >= n.since || c.stand(n).counts
}

// news is what else Report says since the event that was handled. That a site's word does not count any more is news for nobody who waits.
func (c *core) news() (out []effect) {
	if len(c.revised) > 0 {
		slices.SortFunc(c.revised, dedup.UID.Compare)
		out, c.revised = append(out, revised{c.revised}), nil
	}
	for _, name := range slices.Sorted(maps.Keys(c.sites)) {
		n := c.sites[name]
		was, is := n.stands, c.stand(n)
		n.stands = is
		if was.counts = was.counts && is.counts; is != was && is != (stand{}) {
			out = append(out, standing{name})
		}
	}
	return out
}

// explained reports whether the studies that are known to differ are all that does: then the other site's root is this one's and their difference.
func (c *core) explained(n *neighbour) bool {
	return n.said.Root == index.Plus(c.mine.Root, n.differs) && n.said.Count == c.mine.Count+uint64(n.surplus)
}

// level reports whether two sites hold the same of everything.
func level(a, b wire.Summary) bool { return a.Root == b.Root && a.Count == b.Count }

// revise forgets what was believed of a site and a study.
func (c *core) revise(uid dedup.UID, d *difference, site string) {
	if d.of(site) {
		c.drop(d, site)
		c.revised = append(c.revised, uid)
	}
	c.forget(uid)
}
