package mesh

import (
	"context"
	"crypto/ed25519"
	"slices"
	"time"

	"github.com/dicomesh/dicomesh/gossip"
	"github.com/dicomesh/dicomesh/gossip/reach"
	"github.com/dicomesh/dicomesh/gossip/roster"
	"github.com/dicomesh/dicomesh/syncer/link"
)

// Site is all that is known here of one site of the roster.
type Site struct {
	Row    roster.Site
	Self   bool
	Owed   bool          // this site and that one owe each other a link
	Link   link.Stats    // zero for this site
	Member gossip.Member // by hearsay; zero for this site
}

// Sites are the sites of the roster, by name.
func (m *Mesh) Sites() []Site {
	r := m.identity.Roster()
	links, members := map[string]link.Stats{}, map[string]gossip.Member{}
	for _, l := range m.links.Links() {
		links[l.Site] = l
	}
	for _, s := range m.gossip.Members() {
		members[s.Site] = s
	}
	owed := map[string]bool{}
	for _, s := range linkRoster(r, m.identity.Name).Sites {
		owed[s.Name] = s.Dial
	}
	var all []Site
	for _, row := range r.Sites() {
		all = append(all, Site{Row: row, Self: row.Name == m.identity.Name, Owed: owed[row.Name], Link: links[row.Name], Member: members[row.Name]})
	}
	return all
}

// Linked reports whether a link with a site stands.
func (m *Mesh) Linked(site string) bool {
	return slices.ContainsFunc(m.links.Links(), func(l link.Stats) bool { return l.Site == site && l.Up })
}

// Beyond are the sites without a link that can be reached by way of a neighbour, for what is small.
func (m *Mesh) Beyond() (sites []string) {
	links, relays := m.links.Links(), map[string]bool{}
	for _, s := range linkRoster(m.identity.Roster(), m.identity.Name).Sites {
		relays[s.Name] = s.Relay
	}
	for _, to := range links {
		if !to.Up && slices.ContainsFunc(links, func(by link.Stats) bool { return by.Up && relays[by.Site] && slices.Contains(by.Neighbours, to.Site) }) {
			sites = append(sites, to.Site)
		}
	}
	return sites
}

// Part closes the links of this site that are judged to carry nothing, one way at least, for limit and longer: what runs over them would wait in vain, and others can be asked at once. A link
// that has stood for less is left alone, because what is known of its directions is of an earlier one. It is dialled again, and stands when it goes both ways.
func (m *Mesh) Part(judged []reach.Link, limit time.Duration) {
	now, self := time.Now(), m.identity.Name
	stands := map[string]bool{}
	for _, l := range m.links.Links() {
		stands[l.Site] = l.Up && now.Sub(l.Since) >= limit
	}
	for _, l := range judged {
		other := l.A
		switch self {
		case l.A:
			other = l.B
		case l.B:
		default:
			continue
		}
		if stands[other] && (silent(l.There, limit) || silent(l.Back, limit)) {
			m.links.Part(other)
		}
	}
}

// silent reports whether a direction was up, and nothing has come through it for so long.
func silent(w reach.Way, limit time.Duration) bool { return w.Known && !w.Up && w.Age >= limit }

// Self is who this site is, for whoever signs in its name.
func (m *Mesh) Self(beat time.Duration) reach.Self {
	key, _ := m.identity.Certificate.PrivateKey.(ed25519.PrivateKey)
	return reach.Self{Site: m.identity.Name, Key: key, Boot: m.identity.Boot, Beat: beat}
}

// Name is the names of the cluster and of this site.
func (m *Mesh) Name() (cluster, site string) { return m.identity.Cluster, m.identity.Name }

// Roster is the roster as it is now.
func (m *Mesh) Roster() roster.Roster { return m.identity.Roster() }

// Socket is what the start found out about the UDP port.
func (m *Mesh) Socket() link.Socket { return m.links.Socket() }

// Open opens a stream to a site: see link.Endpoint.Open.
func (m *Mesh) Open(ctx context.Context, site string, kind link.Kind) (*link.Stream, error) {
	return m.links.Open(ctx, site, kind)
}

// Send sends a packet to a site: see link.Endpoint.Send.
func (m *Mesh) Send(site string, kind link.Kind, packet []byte) error {
	return m.links.Send(site, kind, packet)
}

// Spread tells all sites of a change of a topic: see gossip.Gossip.Spread.
func (m *Mesh) Spread(topic string, change []byte) { m.gossip.Spread(topic, change) }

// Tell says what this site tells of its archive with every sign of life from now on.
func (m *Mesh) Tell(root [32]byte, count, change uint64) {
	_ = m.retell(func(meta *gossip.Meta) { meta.Root, meta.Count, meta.Change = root, count, change }) // as in rosterChanged
}

// change changes the roster with this site's credential, or with the cluster's recovery key if there is one.
func (m *Mesh) change(recovery string, change func(roster.Roster, ed25519.PrivateKey) (roster.Roster, error)) error {
	if recovery != "" {
		return m.identity.Recover(recovery, change)
	}
	return m.identity.Change(change)
}

// Remove takes a site out of the cluster for ever, on this site's word, or, if it is given, on the recovery key's.
func (m *Mesh) Remove(site, recovery string) error {
	return m.change(recovery, func(r roster.Roster, operator ed25519.PrivateKey) (roster.Roster, error) {
		return r.Remove(site, m.identity.Name, operator)
	})
}

// AckDown says, on this site's word, that a site is down and not to be waited for until then; with a zero time, that it is waited for again. As with
// Remove it may be the recovery key's.
func (m *Mesh) AckDown(site string, until time.Time, recovery string) error {
	return m.change(recovery, func(r roster.Roster, operator ed25519.PrivateKey) (roster.Roster, error) {
		if until.IsZero() {
			return r.Return(site, m.identity.Name, operator)
		}
		return r.AckDown(roster.Down{Site: site, Until: until, By: m.identity.Name, Now: time.Now()}, operator)
	})
}
