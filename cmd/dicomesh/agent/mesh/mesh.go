// Package mesh is where a site's links, its gossip and its roster meet: each knows nothing of the others, and here they are told of each other.
//
//	roster changed (by an operator here, by a join, by another site)  -> kept on disk -> links: who may come, who is dialled
//	                                                                                  -> gossip: who is believed in, and spread
//	link up -> gossip joins the site      packets and streams of gossip <-> connection 0 of the links      a request to join -> the roster
//
// What else goes over the links (control and data streams) is the caller's: see Config.Streams.
package mesh

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/gossip"
	"github.com/dicomesh/dicomesh/gossip/identity"
	"github.com/dicomesh/dicomesh/gossip/roster"
	"github.com/dicomesh/dicomesh/syncer/link"
)

// Config makes a Mesh. State, Version and Listen must be given.
type Config struct {
	State   durable.FS // the state folder, private
	Version string     // of this program
	// Listen opens the UDP port; address is the one that the site was set up with, or "".
	Listen  func(address string) (net.PacketConn, error)
	Streams map[link.Kind]link.Service // other than gossip
	Packet  func(site string, kind link.Kind, packet []byte, at time.Time)
	Topics  map[string]gossip.Topic                                             // other than "roster"
	Pace    func(ctx context.Context, site string, kind link.Kind, n int) error // see link.Config
	// Linked is told of what happens to links, Heard of what gossip says, Changed of each new roster, Rival of a machine that claims a member's name with another key. None may block, or call the Mesh.
	Linked  func(link.Event)
	Rival   func(site, address string)
	Heard   func(gossip.Member)
	Changed func(roster.Roster)

	LinkTiming   link.Timing
	GossipTiming gossip.Timing
	Memory       int64 // see link.Config
	Log          *slog.Logger
}

// rosterTopic is the roster's name in gossip.
const rosterTopic = "roster"

// gossipStreams is how many streams of gossip one site may have open here: each may cost memory for a moment.
const gossipStreams = 4

// Mesh is one site's part in its cluster. Its methods may be called at any time.
type Mesh struct {
	config   Config
	identity *identity.Identity
	links    *link.Endpoint
	gossip   *gossip.Gossip
	rosters  chan []byte // that other sites sent, to be merged

	mu   sync.Mutex
	meta gossip.Meta // what this site tells of itself
}

// Open reads the identity and builds the parts. identity.ErrNone if the site was never set up: then it is alone, and has no mesh.
func Open(c Config) (*Mesh, error) {
	m := &Mesh{config: c, rosters: make(chan []byte, 8)}
	var err error
	if m.identity, err = identity.Open(c.State, m.rosterChanged); err != nil {
		return nil, err
	}
	r := m.identity.Roster()
	if _, err := r.Site(m.identity.Name); err != nil {
		return nil, fmt.Errorf("this site, %s, was removed from cluster %s: set it up anew in another folder and let it join", m.identity.Name, m.identity.Cluster)
	}
	m.meta = gossip.Meta{Version: c.Version, Roster: r.Epoch()}
	if m.gossip, err = gossip.New(m.gossipConfig(r)); err != nil {
		return nil, err
	}
	m.links, err = link.New(m.linkConfig(r))
	return m, err
}

func (m *Mesh) gossipConfig(r roster.Roster) gossip.Config {
	c := gossip.Config{
		Cluster: m.identity.Cluster, Name: m.identity.Name, Sites: names(r), Timing: m.config.GossipTiming, Changed: m.config.Heard, Log: m.config.Log,
		Meta:   m.meta,
		Topics: map[string]gossip.Topic{rosterTopic: {State: func() []byte { return m.identity.Roster().Encode() }, Merge: m.rosterHeard}},
		Send:   func(site string, packet []byte) error { return m.links.Send(site, link.Gossip, packet) },
		Open:   func(ctx context.Context, site string) (net.Conn, error) { return m.links.Open(ctx, site, link.Gossip) },
	}
	for name, topic := range m.config.Topics {
		c.Topics[name] = topic
	}
	return c
}

func (m *Mesh) linkConfig(r roster.Roster) link.Config {
	c := link.Config{
		Name: m.identity.Name, Certificate: m.identity.Certificate, Boot: m.identity.Boot, Roster: linkRoster(r, m.identity.Name),
		Listen:  func() (net.PacketConn, error) { return m.config.Listen(m.identity.Listen) },
		Streams: map[link.Kind]link.Service{link.Gossip: {Limit: gossipStreams, Serve: func(ctx context.Context, s *link.Stream) { m.gossip.Stream(ctx, s.Site(), s) }}},
		Packet:  m.packet, Event: m.linkEvent, Pace: m.config.Pace, Timing: m.config.LinkTiming, Memory: m.config.Memory, Log: m.config.Log,
		Admit: func(_ context.Context, a link.Application) ([]byte, error) {
			answer, err := m.identity.Admit(a.Binding, a.Request, time.Now())
			if taken := new(identity.TakenError); errors.As(err, &taken) {
				m.rival(taken.Site, a.From.String())
			}
			return answer, err
		},
	}
	for kind, service := range m.config.Streams {
		c.Streams[kind] = service
	}
	return c
}

// Run opens the port, keeps the links and gossips until ctx ends. Then gossip takes its leave over the links, and they are closed last.
func (m *Mesh) Run(ctx context.Context) error {
	// The links outlast ctx by the time that gossip needs to say that this site leaves.
	linked, unlink := context.WithCancel(context.WithoutCancel(ctx))
	defer unlink()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var parts sync.WaitGroup
	var linkErr, gossipErr error
	parts.Go(func() { defer stop(); linkErr = m.links.Run(linked) })
	parts.Go(func() { defer unlink(); defer stop(); gossipErr = m.gossip.Run(ctx) })
	parts.Go(func() { m.mergeRosters(ctx) })
	parts.Go(func() { m.keepTelling(ctx) })
	parts.Wait()
	return errors.Join(linkErr, gossipErr)
}

// packet passes gossip's packets to it, and others to whom they are for.
func (m *Mesh) packet(site string, kind link.Kind, packet []byte, at time.Time) {
	switch {
	case kind == link.Gossip:
		m.gossip.Packet(site, packet, at)
	case m.config.Packet != nil:
		m.config.Packet(site, kind, packet, at)
	}
}

func (m *Mesh) linkEvent(e link.Event) {
	if e.Kind == link.Up {
		m.gossip.Linked(e.Site)
	}
	if e.Rival != "" {
		m.rival(e.Rival, e.Address)
	}
	if m.config.Linked != nil {
		m.config.Linked(e)
	}
}

func (m *Mesh) rival(site, address string) {
	if m.config.Rival != nil {
		m.config.Rival(site, address)
	}
}

// rosterHeard takes another site's roster. To merge it takes a disk, for which gossip does not wait; what is dropped comes again.
func (m *Mesh) rosterHeard(encoded []byte) bool {
	select {
	case m.rosters <- encoded:
	default:
	}
	return false // rosterChanged spreads it
}

func (m *Mesh) mergeRosters(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case encoded := <-m.rosters:
			if _, err := m.identity.Merge(encoded); err != nil && m.config.Log != nil {
				m.config.Log.Warn("the roster of another site is not taken", "error", err)
			}
		}
	}
}

// retelling is how often others are looked at who may not have heard of this site's roster.
const retelling = 2 * time.Second

// keepTelling spreads the roster again as long as somebody says that it has another one. A change is spread once, when it happens: what was sent right then to a link that
// was coming up, or going, would else be heard at the next exchange of everything, a minute later, and the cluster is split until then.
func (m *Mesh) keepTelling(ctx context.Context) {
	tick := time.NewTicker(retelling)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		r := m.identity.Roster()
		if slices.ContainsFunc(m.gossip.Members(), func(x gossip.Member) bool {
			return x.State == gossip.Alive && x.Meta.Roster != (roster.Epoch{}) && x.Meta.Roster != r.Epoch()
		}) {
			m.gossip.Spread(rosterTopic, r.Encode())
		}
	}
}

// rosterChanged tells all parts of a new roster, which is on disk by now.
func (m *Mesh) rosterChanged(r roster.Roster) {
	m.links.SetRoster(linkRoster(r, m.identity.Name))
	m.gossip.SetSites(names(r))
	m.gossip.Spread(rosterTopic, r.Encode())
	_ = m.retell(func(meta *gossip.Meta) { meta.Roster = r.Epoch() }) // it fails for the version alone, which New has taken
	if m.config.Changed != nil {
		m.config.Changed(r)
	}
}

// retell changes what this site tells of itself.
func (m *Mesh) retell(change func(*gossip.Meta)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(&m.meta)
	return m.gossip.SetMeta(m.meta)
}

// names are the sites of a roster.
func names(r roster.Roster) []string {
	var all []string
	for _, s := range r.Sites() {
		all = append(all, s.Name)
	}
	return all
}

// linkRoster is what a site's links need of a roster. A site that was removed may have none.
func linkRoster(r roster.Roster, own string) link.Roster {
	cluster, root := r.Cluster()
	door := sha256.Sum256(append([]byte("dicomesh door\x00"), root[:]...))
	out := link.Roster{Cluster: cluster, Door: hex.EncodeToString(door[:16]) + ".dicomesh"}
	for _, k := range r.Issuers() {
		out.Authorities = append(out.Authorities, ed25519.PublicKey(k[:]))
	}
	owed := map[string]bool{}
	for _, p := range r.Links() {
		switch own {
		case p.A:
			owed[p.B] = true
		case p.B:
			owed[p.A] = true
		}
	}
	for _, s := range r.Sites() {
		out.Sites = append(out.Sites, link.Site{Name: s.Name, Key: ed25519.PublicKey(s.Key[:]), Addresses: s.Addresses, Dial: owed[s.Name],
			Relay: s.Role == roster.Full || s.Role == roster.Standby})
	}
	return out
}
