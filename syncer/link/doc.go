// Package link owns the one UDP port of a site and the links to other sites that run over it.
//
// A link is a bundle of QUIC connections between two sites. Connection 0 carries gossip and control alone, so that no stalled bulk reader
// can hold them up; data connections carry the rest, as many as measured loss and round-trip time make worth while (see next in size.go).
// Whoever dialled, both ends open streams, so a site that can only dial out is a full member.
//
// Who is who. A site is its key, pinned in the roster that the caller hands in (Roster). Both ends show a certificate for that
// key whose URI SAN is dicomesh://CLUSTER/SITE, issued by an authority of the roster; all three are checked before any byte of data, at each
// end, and again whenever the roster changes: a site that is removed loses its connections at once. Certificate dates only warn, because the clocks
// of hospitals are wrong. There are no session tickets and no early data. Whoever is refused learns nothing else; the caller is told (Event).
//
// A client without a valid certificate sees its dial and first write succeed, such is TLS 1.3. So a link is up only after the acceptor's
// HELLO, and nothing is sent before it. Both sides may dial at the same time; ties.go says which connection stays.
//
// What this package does not do: it does not say whether the cluster is whole, it knows no studies, and its queues of datagrams drop.
// What goes through a neighbour is between its two ends as well (sealed.go): streams are sealed, packets are of those who prove themselves what they say.
// Round-trip time, loss and who was heard when are told by Links; what follows from them is for others to decide.
//
// PROTOCOL.md sections 1, 4, 5 and 8 have the reasons and what was measured.
package link

import "errors"

// The protocols, by which TLS tells a site of the cluster from one that wants to join. The number is the major version: sites whose numbers
// differ do not talk. What is added within a major version is skipped by those who do not know it.
const (
	protocolSite = "dicomesh/1"
	protocolJoin = "dicomesh-join/1"
	// protocolRelayed is spoken by the two ends of a relayed stream, with the number of its kind behind it.
	protocolRelayed = "dicomesh-relayed/1"
)

// Limits. They hold whatever a neighbour does.
const (
	// MaxName is the longest site name in bytes: two names and a packet of memberlist's largest size fit one datagram.
	MaxName = 63
	// MaxPacket is the largest packet that Send takes, so that it can also be relayed.
	MaxPacket = maxDatagram - relayHeader

	maxDatagram    = 1163 // what a QUIC packet of 1,200 bytes carries: the least that every path must take
	relayHeader    = 4 + 2*MaxName
	packetSize     = 1200     // quic-go's default first packet of 1,280 never passes a path of 1,252
	queueDepth     = 128      // datagrams that wait for a connection; more are dropped
	maxBundle      = 32       // data connections of one link
	maxStreams     = 128      // streams that a neighbour may have open on one connection
	maxRelayed     = 16       // streams that one neighbour may have relayed here at a time
	maxRelayBytes  = 32 << 20 // in one direction of a relayed stream
	maxFrame       = 64 << 10 // of the control stream
	maxHello       = 256
	maxJoin        = 4 << 10 // a request to join
	maxAdmission   = 8 << 20 // the answer
	maxJoining     = 4       // requests to join that are answered at a time
	maxStrangers   = 512     // connections that have not shown yet whose they are
	maxFromAddress = 64      // of them from one address: a bundle is dialled all at once
	maxPrimaries   = 4       // connections 0 of one site at a time, while it is being settled which one stays
)

// ErrNoLink says that a site cannot be reached now: try another one, or wait for its link (Event).
var ErrNoLink = errors.New("no link")

// ErrTooLarge says that a packet is larger than MaxPacket: use a stream.
var ErrTooLarge = errors.New("packet too large")

// ErrRefused says that the other end answered and said no: trying again without changing something is in vain.
var ErrRefused = errors.New("refused")

// Kind says what a stream or packet is for. Its number is the first thing that a stream carries.
// Kinds below Data ride on connection 0, where there is only room for small things; all others on data connections.
type Kind uint8

// The kinds. Users of data connections may add their own above Data.
const (
	Gossip  Kind = 1
	Control Kind = 2
	Ask     Kind = 5 // small questions to a site that there may be no link with
	Data    Kind = 16

	relay   Kind = 3 // a stream to be passed on to the site named next
	relayed Kind = 4 // a stream that was passed on, from the site named next
)

// primary says whether a kind belongs on connection 0.
func (k Kind) primary() bool { return k < Data }
