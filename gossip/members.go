package gossip

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// members is our own table of what memberlist says. memberlist hands out live pointers, also from Members, and calls back with its locks held: so
// each node is copied in the callback, and nothing of memberlist is called there.
type members struct {
	config Config

	mu    sync.Mutex
	sites map[string]bool // of the roster, less this one
	table map[string]Member
	meta  Meta // of this site
	done  bool // callbacks that come later are of timers that memberlist left behind
}

func newMembers(c Config) *members {
	m := &members{config: c, table: map[string]Member{}, meta: c.Meta}
	m.setSites(c.Sites)
	return m
}

func (m *members) setSites(sites []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sites = map[string]bool{}
	for _, s := range sites {
		if s != m.config.Name {
			m.sites[s] = true
		}
	}
}

// all are the members of the roster, seen or not, by name.
func (m *members) all() []Member {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []Member
	for _, site := range slices.Sorted(maps.Keys(m.sites)) {
		member, seen := m.table[site]
		if !seen {
			member = Member{Site: site, State: Unseen}
		}
		all = append(all, member)
	}
	return all
}

// missing are the sites of the roster that are not seen to be alive.
func (m *members) missing() []string {
	var missing []string
	for _, member := range m.all() {
		if member.State != Alive {
			missing = append(missing, member.Site)
		}
	}
	return missing
}

// NotifyJoin implements memberlist.EventDelegate.
func (m *members) NotifyJoin(n *memberlist.Node) { m.note(n, Alive) }

// NotifyUpdate implements memberlist.EventDelegate.
func (m *members) NotifyUpdate(n *memberlist.Node) { m.note(n, Alive) }

// NotifyLeave implements memberlist.EventDelegate. A site that is declared dead while it leaves has left.
func (m *members) NotifyLeave(n *memberlist.Node) {
	if n.State == memberlist.StateLeft {
		m.note(n, Left)
		return
	}
	m.note(n, Gone)
}

func (m *members) note(n *memberlist.Node, state State) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.done || n.Name == m.config.Name {
		return
	}
	was := m.table[n.Name]
	now := Member{Site: n.Name, State: state, Since: was.Since, Meta: was.Meta}
	if meta, err := decodeMeta(n.Meta); err == nil {
		now.Meta = meta
	}
	if now.Meta.Leaving && state == Gone {
		now.State = Left
	}
	if now.State != was.State {
		now.Since = time.Now()
	}
	m.table[n.Name] = now
	if now != was && m.config.Changed != nil && m.sites[n.Name] {
		m.config.Changed(now)
	}
}

// NotifyAlive implements memberlist.AliveDelegate: rumours of sites that the roster does not have go no further, nor those with an address that is not theirs.
func (m *members) NotifyAlive(n *memberlist.Node) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n.Name != m.config.Name && !m.sites[n.Name] {
		return fmt.Errorf("site %.80q is not in the roster", n.Name)
	}
	if !n.Addr.Equal(addressOf(n.Name)) {
		return fmt.Errorf("site %s with an address that is not its own", n.Name)
	}
	return nil
}

// alive are the sites that are seen to be alive, by name.
func (m *members) alive() []string {
	var alive []string
	for _, member := range m.all() {
		if member.State == Alive {
			alive = append(alive, member.Site)
		}
	}
	return alive
}

// setMeta says whether it is new.
func (m *members) setMeta(meta Meta) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	meta.Leaving = meta.Leaving || m.meta.Leaving
	was := m.meta
	m.meta = meta
	return was != meta
}

func (m *members) ownMeta() Meta {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.meta
}

// stop makes late callbacks do nothing.
func (m *members) stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done = true
}

// joinAddress is how memberlist is told to join a site.
func joinAddress(site string) string {
	return strings.Join([]string{site, siteAddr(site).String()}, "/")
}
