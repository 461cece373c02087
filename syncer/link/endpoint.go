package link

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

// Endpoint is the one UDP port of a site. New makes it, Run opens and closes it; its other methods may be called at any time, by anybody, and say
// ErrNoLink while it does not run.
type Endpoint struct {
	config   Config
	nameless tls.Certificate // for those who ask to join
	quic     *quic.Config
	budgets  budgets
	crowd    crowd

	work sync.WaitGroup // all that was begun by begin

	mu        sync.Mutex // guards all below, and everything that hangs on a neighbour
	ctx       context.Context
	roster    Roster
	sites     map[string]*neighbour
	transport *quic.Transport // nil unless Run runs
	socket    Socket
	dials     uint64 // made so far
	joining   int
	joins     bucket // requests to join
	told      bucket // refusals
	omitted   int
}

// New makes an endpoint and touches nothing.
func New(c Config) (*Endpoint, error) {
	key, is := c.Certificate.PrivateKey.(ed25519.PrivateKey)
	if c.Name == "" || len(c.Name) > MaxName || !is || len(c.Certificate.Certificate) == 0 || c.Boot == 0 || c.Listen == nil {
		return nil, errors.New("a link needs this site's name, its certificate and key, its boot number and a port")
	}
	nameless, err := namelessCertificate(key)
	if err != nil {
		return nil, err
	}
	c.Timing = c.Timing.filled()
	if c.MaxBundle <= 0 || c.MaxBundle > maxBundle {
		c.MaxBundle = maxBundle
	}
	if c.Memory <= 0 {
		c.Memory = 64 << 20
	}
	if c.Resolve == nil {
		c.Resolve = resolve
	}
	e := &Endpoint{config: c, nameless: nameless, roster: c.Roster, sites: map[string]*neighbour{},
		joins: bucket{rate: 1, burst: 10}, told: bucket{rate: 1, burst: 50}}
	e.budgets.init(c.Memory)
	e.crowd = crowd{from: map[netip.Addr]int{}, known: map[netip.Addr]bool{}}
	e.quic = e.quicConfig()
	return e, nil
}

func (e *Endpoint) quicConfig() *quic.Config {
	t := e.config.Timing
	return &quic.Config{
		Versions:                       []quic.Version{quic.Version1},
		HandshakeIdleTimeout:           t.Handshake,
		MaxIdleTimeout:                 t.Idle,
		KeepAlivePeriod:                t.KeepAlive,
		InitialPacketSize:              packetSize,
		EnableDatagrams:                true,
		MaxIncomingStreams:             maxStreams,
		MaxIncomingUniStreams:          -1,
		InitialConnectionReceiveWindow: initialWindow,
		InitialStreamReceiveWindow:     initialWindow,
		AllowConnectionWindowIncrease:  e.budgets.grow,
	}
}

// resolve asks the system. Names are resolved anew for each attempt, because the addresses of hospitals change.
func resolve(ctx context.Context, address string) ([]net.Addr, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	number, err := net.DefaultResolver.LookupPort(ctx, "udp", port)
	if err != nil {
		return nil, err
	}
	ips, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil {
		return nil, err
	}
	var addresses []net.Addr
	for _, ip := range ips {
		addresses = append(addresses, &net.UDPAddr{IP: ip.IP, Port: number, Zone: ip.Zone})
	}
	return addresses, nil
}

// Run opens the port and keeps the links that the roster asks for until ctx ends. Then it tells every other site at once, and returns when nothing of
// it runs any more: nil after ctx, else why the port could not be opened or failed. It can run once.
func (e *Endpoint) Run(ctx context.Context) error {
	port, err := e.config.Listen()
	if err != nil {
		return fmt.Errorf("open the UDP port: %w", err)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	key := e.config.Certificate.PrivateKey.(ed25519.PrivateKey)
	burst := bucket{rate: 50, burst: 100} // of strangers' packets that cost us a handshake, before they must show that their address is theirs
	var guard sync.Mutex
	transport := &quic.Transport{Conn: coalesce(port), StatelessResetKey: resetKey(key), ConnectionIDLength: 8, ConnContext: e.atTheDoor,
		VerifySourceAddress: func(net.Addr) bool {
			guard.Lock()
			defer guard.Unlock()
			return !burst.take(time.Now())
		}}
	listener, err := transport.Listen(e.acceptTLS(), e.quic)
	if err != nil {
		return errors.Join(fmt.Errorf("listen on %s: %w", port.LocalAddr(), err), port.Close())
	}
	if err := e.open(ctx, transport, port); err != nil {
		return errors.Join(err, listener.Close(), transport.Close(), port.Close())
	}
	e.begin(func() {
		<-ctx.Done()
		e.shut(codeStopped)
		listener.Close()
	})
	err = e.accept(ctx, listener)
	stop()
	e.work.Wait()
	return errors.Join(err, transport.Close(), port.Close())
}

// open lets the other methods work.
func (e *Endpoint) open(ctx context.Context, transport *quic.Transport, port net.PacketConn) error {
	socket := look(port)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ctx != nil {
		return errors.New("this endpoint has run before")
	}
	e.ctx, e.transport, e.socket = ctx, transport, socket
	e.arrange()
	return nil
}

// begin runs f on a goroutine that Run waits for, unless Run is about to return.
func (e *Endpoint) begin(f func()) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.beginLocked(f)
}

func (e *Endpoint) beginLocked(f func()) bool {
	if e.transport == nil {
		return false
	}
	e.work.Go(f)
	return true
}

// shut closes all connections and lets nothing new begin.
func (e *Endpoint) shut(why code) {
	e.mu.Lock()
	var all []*conn
	for _, n := range e.sites {
		all = append(append(all, n.primaries...), n.data...)
	}
	e.transport = nil
	e.mu.Unlock()
	var closing sync.WaitGroup
	for _, c := range all {
		closing.Go(func() { c.close(why) })
	}
	closing.Wait()
}

// SetRoster takes another roster. Sites that are no longer in it, or have another key, lose their connections at once; new ones are dialled.
func (e *Endpoint) SetRoster(r Roster) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.roster = r
	if e.transport != nil {
		e.arrange()
	}
}

// arrange makes the neighbours those of the roster. e.mu is held.
func (e *Endpoint) arrange() {
	for _, n := range e.sites {
		at := slices.IndexFunc(e.roster.Sites, func(s Site) bool { return s.Name == n.name && s.Key.Equal(n.site.Key) })
		if at < 0 {
			e.drop(n)
			continue
		}
		n.site = e.roster.Sites[at]
		n.changed()
	}
	for _, s := range e.roster.Sites {
		if s.Name != e.config.Name && len(s.Key) == ed25519.PublicKeySize && e.sites[s.Name] == nil {
			e.sites[s.Name] = e.adopt(s)
		}
	}
}

// drop ends all that is of a removed site.
func (e *Endpoint) drop(n *neighbour) {
	delete(e.sites, n.name)
	n.cancel()
	for _, c := range slices.Concat(n.primaries, n.data) {
		e.beginLocked(func() { c.close(codeRemoved) })
	}
	if len(n.primaries) > 0 {
		e.tellLocked(Event{Kind: Refused, Site: n.name, Address: n.primaries[0].address(), Reason: "it was removed from the roster, or its key was changed: its connections are closed"})
		e.tellLocked(Event{Kind: Down, Site: n.name, Reason: codeRemoved.String()})
	}
	n.primaries, n.data = nil, nil
	n.changed()
}

// Part closes the link with a site, if there is one: whoever knows that nothing comes through it, one way at least, ends by it what would wait in vain. The site is dialled again, if it
// is owed a link, and a connection stands again only when it goes both ways.
func (e *Endpoint) Part(site string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.neighbourOf(site)
	if n == nil {
		return
	}
	for _, c := range slices.Concat(n.primaries, n.data) {
		e.beginLocked(func() { c.close(codeSilent) })
	}
}

// tell passes an event on.
func (e *Endpoint) tell(ev Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tellLocked(ev)
}

func (e *Endpoint) tellLocked(ev Event) {
	ev.At = time.Now()
	if ev.Kind == Refused || ev.Kind == Forged {
		if !e.told.take(ev.At) { // a flood of strangers is one line a second, and a number
			e.omitted++
			return
		}
		ev.Omitted, e.omitted = e.omitted, 0
	}
	if e.config.Log != nil {
		e.config.Log.Info("link", "event", string(ev.Kind), "site", ev.Site, "address", ev.Address, "reason", ev.Reason)
	}
	if e.config.Event != nil {
		e.config.Event(ev)
	}
}

// bucket is a token bucket that starts full. The zero value never gives.
type bucket struct {
	rate, burst float64 // tokens a second, and at most
	spent       float64
	last        time.Time
}

func (b *bucket) take(now time.Time) bool {
	if !b.last.IsZero() {
		b.spent = max(0, b.spent-b.rate*now.Sub(b.last).Seconds())
	}
	b.last = now
	if b.spent+1 > b.burst {
		return false
	}
	b.spent++
	return true
}
