package gossip

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// Gossip is one site's part in it. New makes it, Run runs it; its other methods may be called at any time.
type Gossip struct {
	config    Config
	members   *members
	transport *transport
	delegate  *delegate

	linked  chan struct{} // join is not empty
	telling chan struct{} // there is something to announce or to send
	mu      sync.Mutex    // guards all below
	join    map[string]bool
	joining map[string]bool
	changed bool     // the meta is to be announced
	out     [][]byte // messages that are too large for packets
}

// maxOut is how many large messages wait at most; the next full exchange carries what was dropped.
const maxOut = 64

// maxRumours is how many small messages wait at most. While no other site is alive none is sent, and what is said every second would pile up for ever.
const maxRumours = 256

// New makes a Gossip and touches nothing.
func New(c Config) (*Gossip, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	c.Timing = c.Timing.filled()
	g := &Gossip{config: c, members: newMembers(c), transport: newTransport(c),
		linked: make(chan struct{}, 1), telling: make(chan struct{}, 1), join: map[string]bool{}, joining: map[string]bool{}}
	queue := &memberlist.TransmitLimitedQueue{RetransmitMult: 4, NumNodes: func() int { return 1 + len(g.members.alive()) }}
	g.delegate = &delegate{members: g.members, topics: c.Topics, queue: queue, tell: g.tell}
	return g, nil
}

func (g *Gossip) memberlistConfig() *memberlist.Config {
	t := g.config.Timing
	c := memberlist.DefaultWANConfig()
	c.Name, c.Label, c.RequireNodeNames = g.config.Name, "dicomesh/"+g.config.Cluster, true
	c.Transport, c.Delegate, c.Events, c.Alive = g.transport, g.delegate, g.members, g.members
	c.UDPBufferSize, c.EnableCompression, c.HandoffQueueDepth = packetSize, false, handOff
	c.ProbeInterval, c.ProbeTimeout, c.GossipInterval, c.PushPullInterval = t.Probe, t.ProbeTimeout, t.Gossip, t.PushPull
	c.GossipToTheDeadTime = 12 * t.Probe
	c.Logger = log.New(logWriter{g.config.Log}, "", 0)
	return c
}

// Run gossips until ctx ends; then it tells the others that this site leaves, as planned, and returns. Links must outlast it, or nobody hears
// that. It can run once. Timers of memberlist's own may fire for a while afterwards; they find everything closed.
func (g *Gossip) Run(ctx context.Context) error {
	m, err := memberlist.Create(g.memberlistConfig())
	if err != nil {
		return fmt.Errorf("start gossip: %w", err)
	}
	var work sync.WaitGroup
	work.Go(func() { g.keepJoining(ctx, m, &work) })
	work.Go(func() { g.keepTelling(ctx, m) })
	<-ctx.Done()
	g.leave(m)
	g.members.stop()
	err = m.Shutdown()
	work.Wait()
	return err
}

// leave announces that this site is about to stop: in its meta, since a rumour of its death can overtake that of its leaving, and by memberlist's own word.
func (g *Gossip) leave(m *memberlist.Memberlist) {
	if len(g.members.alive()) == 0 {
		return
	}
	meta := g.members.ownMeta()
	meta.Leaving = true
	g.members.setMeta(meta)
	half := g.config.Timing.Leave / 2
	if err := m.UpdateNode(half); err != nil {
		g.debug("announce the leave", err)
	}
	if err := m.Leave(half); err != nil {
		g.debug("leave", err)
	}
}

// keepJoining joins the sites that are not seen: those whose link came up at once, all by a slow timer, for ever.
func (g *Gossip) keepJoining(ctx context.Context, m *memberlist.Memberlist, work *sync.WaitGroup) {
	timer := time.NewTicker(g.config.Timing.Rejoin)
	defer timer.Stop()
	for {
		var missing []string
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			missing = g.members.missing()
		case <-g.linked:
			missing = g.justLinked()
		}
		for _, site := range missing {
			if g.startJoin(site) {
				work.Go(func() { g.joinSite(m, site) })
			}
		}
	}
}

// justLinked are the missing sites whose links came up.
func (g *Gossip) justLinked() []string {
	missing := g.members.missing()
	g.mu.Lock()
	defer g.mu.Unlock()
	linked := g.join
	g.join = map[string]bool{}
	return slices.DeleteFunc(missing, func(site string) bool { return !linked[site] })
}

// startJoin says whether a site is to be joined now. A join into a dark path takes long, and must hold up no other.
func (g *Gossip) startJoin(site string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.joining[site] {
		return false
	}
	g.joining[site] = true
	return true
}

func (g *Gossip) joinSite(m *memberlist.Memberlist, site string) {
	if _, err := m.Join([]string{joinAddress(site)}); err != nil {
		g.debug("join "+site, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.joining, site)
}

// keepTelling announces this site's meta when it has changed, at most once a second, and sends what is too large for packets.
func (g *Gossip) keepTelling(ctx context.Context, m *memberlist.Memberlist) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.telling:
		}
		g.mu.Lock()
		changed, out := g.changed, g.out
		g.changed, g.out = false, nil
		g.mu.Unlock()
		for _, message := range out {
			g.sendToAll(ctx, m, message)
		}
		if !changed {
			continue
		}
		if err := m.UpdateNode(time.Second); err != nil {
			g.debug("announce", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}

func (g *Gossip) sendToAll(ctx context.Context, m *memberlist.Memberlist, message []byte) {
	for _, site := range g.members.alive() {
		if ctx.Err() != nil {
			return
		}
		if err := m.SendReliable(&memberlist.Node{Name: site, Addr: addressOf(site), Port: port}, message); err != nil {
			g.debug("send to "+site, err)
		}
	}
}

// nudge wakes a loop, once.
func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Linked says that the link with a site came up: if it is not seen, it is joined now.
func (g *Gossip) Linked(site string) {
	g.mu.Lock()
	g.join[site] = true
	g.mu.Unlock()
	nudge(g.linked)
}

// SetSites says which sites the roster has now. Rumours of others are not believed; what was known of one that is removed is not told any more.
func (g *Gossip) SetSites(sites []string) { g.members.setSites(sites) }

// SetMeta says what this site tells of itself from now on. An error says that it is too long.
func (g *Gossip) SetMeta(meta Meta) error {
	if _, err := meta.encode(); err != nil {
		return err
	}
	if g.members.setMeta(meta) {
		g.mu.Lock()
		g.changed = true
		g.mu.Unlock()
		nudge(g.telling)
	}
	return nil
}

// Members are the other sites of the roster, by name, as rumour has them.
func (g *Gossip) Members() []Member { return g.members.all() }

// Spread tells all sites of a change of a topic, soon and without a promise; the full exchanges of states promise that it arrives.
func (g *Gossip) Spread(topic string, change []byte) { g.tell(messageOf(topic, change)) }

func (g *Gossip) tell(message []byte) {
	if len(message) <= spreadSize {
		g.delegate.queue.QueueBroadcast(rumour(message))
		g.delegate.queue.Prune(maxRumours)
		return
	}
	g.mu.Lock()
	if len(g.out) < maxOut && len(message) <= MaxPayload+1+MaxName {
		g.out = append(g.out, message)
	}
	g.mu.Unlock()
	nudge(g.telling)
}

// Packet takes a packet from a site, which is gossip's from then on. It does not block.
func (g *Gossip) Packet(site string, packet []byte, at time.Time) {
	g.transport.packet(site, packet, at)
}

// Stream serves a stream from a site and returns when it is over; the caller closes it.
func (g *Gossip) Stream(ctx context.Context, site string, c net.Conn) {
	if err := g.transport.incoming(ctx, site, c); err != nil {
		g.debug("stream from "+site, err)
	}
}

func (g *Gossip) debug(what string, err error) {
	if g.config.Log != nil {
		g.config.Log.Debug("gossip", "what", what, "error", err)
	}
}

// logWriter takes memberlist's log. All of it is for those who look for faults in gossip itself: what operators should know is told by Changed.
type logWriter struct{ log *slog.Logger }

func (w logWriter) Write(line []byte) (int, error) {
	if w.log != nil {
		w.log.Debug("memberlist", "line", strings.TrimSpace(string(line)))
	}
	return len(line), nil
}
