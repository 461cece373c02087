// Package gossip says which sites are up, as far as hearsay goes, and spreads what all sites should know: the roster, and later the reachability rows.
//
// It is hashicorp/memberlist over the links of the site, which the caller hands in as functions (Config.Send, Config.Open); gossip has no port and no key of its
// own, so its word about a site is the word of the path that data takes. It knows no DICOM.
//
// Its views are hints. memberlist's member count says nothing about wholeness: a lost site looks like a smaller, healthy cluster, and two sites that
// cannot reach each other stay alive to both through a third. Who decides anything by Members decides by rumour. What is spread must prove itself
// (the roster's records are signed), for a site that passes it on may have made it up.
//
// memberlist does not heal a cut that outlasts its suspicion. So Run joins every site of the roster that is not seen, for ever: when its link comes up (Linked),
// and by a slow timer.
//
// DESIGN.md has the traps of memberlist that are mended here, and how.
package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"
)

// Limits.
const (
	MaxName    = 63      // bytes of a site's name
	MaxVersion = 64      // bytes of Meta.Version
	MaxPayload = 4 << 20 // bytes of one topic's state
	packetSize = 1024    // what memberlist may put into a packet; the largest it was seen to make is 1,029
	spreadSize = 880     // of a topic's change in a packet; larger ones go over streams
	handOff    = 256     // packets that wait for memberlist; more are dropped
	streamTime = 30 * time.Second
)

// Topic is something that all sites should know: each site holds a state, and Merge takes another's into it. Merge must be commutative and idempotent,
// and check what it is given. Both may be called at any time and from any goroutine, and must not call the Gossip.
type Topic struct {
	// State is all that this site knows, at most MaxPayload bytes.
	State func() []byte
	// Merge takes a state, or a change, of another site, and says whether it held anything new; then it is passed on.
	Merge func(state []byte) (news bool)
}

// Config makes a Gossip. Cluster, Name, Send and Open must be given.
type Config struct {
	Cluster string
	Name    string // this site
	// Send sends a packet of at most 1,034 bytes to a site, directly or through a neighbour. It copies the packet and does not block. nil means no more
	// than that it was tried.
	Send func(site string, packet []byte) error
	// Open opens a stream to a site, directly or through a neighbour. It fails at once where there is neither.
	Open   func(ctx context.Context, site string) (net.Conn, error)
	Sites  []string // of the roster, to begin with; see SetSites
	Meta   Meta     // of this site, to begin with; see SetMeta
	Topics map[string]Topic
	// Changed is told of each change of a member, in order. It must not block, and not call the Gossip.
	Changed func(Member)
	Timing  Timing
	Log     *slog.Logger // nil: no log
}

// Timing are the times of the gossip; a zero means the default, which is memberlist's for a WAN.
type Timing struct {
	Probe        time.Duration // between probes (5 s)
	ProbeTimeout time.Duration // 3 s
	Gossip       time.Duration // between rounds (500 ms)
	PushPull     time.Duration // between full exchanges with a site drawn at random (60 s)
	Rejoin       time.Duration // between attempts to join a site that is not seen (15 s)
	Leave        time.Duration // that a planned leave may take (3 s)
}

// State is what gossip says of a site.
type State string

// The states. A site that left said so itself; one that is gone just does not answer, to anybody.
const (
	Unseen State = "unseen"
	Alive  State = "alive"
	Gone   State = "gone"
	Left   State = "left"
)

// Member is what is known by hearsay of a site of the roster.
type Member struct {
	Site  string
	State State
	Since time.Time // of the state
	Meta  Meta      // the last that it told; of a gone site, what it was
}

var errStopped = errors.New("gossip stopped")

// check says what is missing.
func (c Config) check() error {
	if c.Cluster == "" || c.Name == "" || len(c.Name) > MaxName || len(c.Cluster) > MaxName || c.Send == nil || c.Open == nil {
		return errors.New("gossip needs the names of its cluster and site, and links")
	}
	for topic := range c.Topics {
		if topic == "" || len(topic) > MaxName {
			return fmt.Errorf("topic %.80q: no name, or one of more than %d bytes", topic, MaxName)
		}
	}
	if _, err := c.Meta.encode(); err != nil {
		return err
	}
	return nil
}

func (t Timing) filled() Timing {
	fill := func(d *time.Duration, standard time.Duration) {
		if *d <= 0 {
			*d = standard
		}
	}
	fill(&t.Probe, 5*time.Second)
	fill(&t.ProbeTimeout, 3*time.Second)
	fill(&t.Gossip, 500*time.Millisecond)
	fill(&t.PushPull, time.Minute)
	fill(&t.Rejoin, 15*time.Second)
	fill(&t.Leave, 3*time.Second)
	return t
}
