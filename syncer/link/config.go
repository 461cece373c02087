package link

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"log/slog"
	"net"
	"time"
)

// Site is what the roster says of another site.
type Site struct {
	Name      string
	Key       ed25519.PublicKey
	Addresses []string // host:port, tried in turn; names are resolved anew for each attempt. None: it can only dial out
	Dial      bool     // this site owes it a link, so it is dialled until there is one
	Relay     bool     // packets of others may go through it
}

// Roster is who may have a link with this site. It is a value: SetRoster takes another one.
type Roster struct {
	Cluster string
	// Door is a host name that only those of the cluster know: who does not ask for it is turned away before this site has shown its certificate, so somebody who
	// tries ports learns no names. (Who can watch the path can see it.) "": no door.
	Door        string
	Authorities []ed25519.PublicKey // whose signatures on certificates count
	Sites       []Site              // this site itself may be among them and is passed over
}

// Service is how incoming streams of one kind are served.
type Service struct {
	// Serve is called on a goroutine of its own. When it returns, both directions of the stream are closed. ctx ends with the connection.
	Serve func(ctx context.Context, s *Stream)
	// Limit is how many streams of this kind one site may have open here; more are refused. 0 means 16.
	Limit int
}

// Config makes an Endpoint. Name, Certificate, Roster, Boot and Listen must be given.
type Config struct {
	Name        string          // this site
	Certificate tls.Certificate // of this site's key, an ed25519.PrivateKey
	Roster      Roster
	// Boot grows with every start of this site. After a restart it lets the other end drop what was the old process's.
	Boot uint64
	// Listen opens the UDP port. Run calls it once and closes the result.
	Listen func() (net.PacketConn, error)
	// Resolve turns host:port into addresses; nil means the system's resolver.
	Resolve func(ctx context.Context, address string) ([]net.Addr, error)
	Streams map[Kind]Service
	// Packet takes an incoming packet, which is the callee's to keep. It must not block.
	Packet func(site string, kind Kind, packet []byte, at time.Time)
	// Event is told what happens to links, in order for each site. It must not block, and not call the Endpoint.
	Event func(Event)
	// Pace is asked before n bytes of a data stream of that kind go to site, and returns when they may. It is where a rate limit goes. nil: at once.
	Pace func(ctx context.Context, site string, kind Kind, n int) error
	// Admit answers a request to join. nil: nobody joins here.
	Admit  func(ctx context.Context, a Application) ([]byte, error)
	Timing Timing
	// MaxBundle is the largest number of data connections of a link, at most and by default 32.
	MaxBundle int
	// Memory is how many bytes one site may have us buffer for it before they are read, by default 64 MiB.
	Memory int64
	Log    *slog.Logger // nil: no log
}

// Application is a request to join, by somebody of whom nothing is known.
type Application struct {
	From net.Addr
	// Binding is unique to the connection (RFC 9266's idea): a proof that is bound to it proves nothing on another connection.
	Binding []byte
	Request []byte // at most 4 KiB
}

// Timing are the times of a link. A zero means the default, which suits a WAN.
type Timing struct {
	Idle       time.Duration // nothing heard for so long: the connection is down (20 s)
	KeepAlive  time.Duration // 5 s
	Handshake  time.Duration // no packet for so long, or twice as long altogether: this attempt failed (5 s)
	Drain      time.Duration // a connection that is given up for another stays open for streams under way (2 s)
	MaxBackoff time.Duration // between attempts to dial (8 s)
	Beat       time.Duration // between the beats that measure whether data goes both ways (3 s)
}

func (t Timing) filled() Timing {
	fill := func(d *time.Duration, standard time.Duration) {
		if *d <= 0 {
			*d = standard
		}
	}
	fill(&t.Idle, 20*time.Second)
	fill(&t.KeepAlive, 5*time.Second)
	fill(&t.Handshake, 5*time.Second)
	fill(&t.Drain, 2*time.Second)
	fill(&t.MaxBackoff, 8*time.Second)
	fill(&t.Beat, 3*time.Second)
	return t
}

// EventKind says what happened.
type EventKind string

// The kinds of events.
const (
	Up      EventKind = "up"      // the first connection to a site stands
	Down    EventKind = "down"    // the last one is gone
	Failed  EventKind = "failed"  // a dial failed; told when the reason changes
	Refused EventKind = "refused" // somebody was turned away: not of this cluster, not who it says, not in the roster any more
	Warning EventKind = "warning" // it was let in, and something is odd
	Joined  EventKind = "joined"  // a request to join was granted
	Forged  EventKind = "forged"  // a neighbour passed on, in the name of another site, what that has not sealed: one of the two lies
)

// NotInRoster is the Reason of a Failed where the other end takes this site for a stranger: it was removed there, or that site has not heard of it yet.
const NotInRoster = "the other end refuses this site: its roster has not this name with this key"

// Event is something that operators may want to know.
type Event struct {
	Kind    EventKind
	Site    string // as far as it is known; what a stranger claims to be is in Reason
	Address string // of the other end
	Reason  string
	At      time.Time
	Omitted int // refusals and forgeries before this one that were not told, because there were too many
	// Rival is the name of a site of the roster that the other end claims with another key; "": it was refused for something else, or not at all.
	Rival string
}

// Stats is how a link is.
type Stats struct {
	Site        string
	Up          bool
	Since       time.Time // when it came up, or went down; zero if it never was up
	Address     string
	Dialled     bool          // by this site
	Connections int           // data connections that stand; have two or more streams open for each, or the bundle cannot show what it is good for
	Wanted      int           // data connections that there should be
	RTT         time.Duration // smoothed; of the slowest data connection
	Loss        float64       // of the packets sent lately on data connections, 0 to 1
	Sent        uint64        // bytes over all connections that ever were, with headers
	Received    uint64
	Heard       time.Time // when a beat of theirs arrived here over a data connection
	Echoed      time.Time // when the newest of our beats was sent that they have told us they got
	Streams     int       // open now
	Dropped     uint64    // packets that found their queue full
	Neighbours  []string  // with whom it says that it has links
}

// Socket is what the start found out about the UDP port.
type Socket struct {
	Address       string
	ReceiveBuffer int // bytes; 0 if it cannot be told
	SendBuffer    int
	GSO           bool // the kernel cuts large writes into packets: half the CPU
	// Advice says what an operator can do to make it faster, or nothing.
	Advice string
}
