// Package wire is what two sites say to each other about studies and files: the messages, their bytes and their limits.
//
// A message is a frame: its kind (uvarint), the length of its body (uvarint), the body. A body is its fields in the order of the Go struct:
//
//	uint64, int   uvarint
//	bool          one byte, 0 or 1
//	string        uvarint length, bytes (UTF-8)
//	UID, Ref      as string: a Ref is its study-relative path, and what does not parse as one is an error, so no name reaches a path unchecked
//	Digest, Sum   32 bytes
//	slice         uvarint count, then the elements
//
// Versions: sites of one Major talk to each other. A newer Minor adds messages, which older readers skip by their length, and fields at the end of a
// body, which older readers leave unread; it never changes what is there. So a reader tolerates bytes behind the last field that it knows, and a kind
// that it does not know is returned as Unknown.
//
// Everything that comes from a neighbour is bounded before memory is taken for it: a frame by the limit that its reader gives, a count by the
// bytes that are left for it. An error says where in the frame, and never quotes the frame.
//
// Three kinds of streams carry messages. The *control* stream, one in each direction on connection 0, carries Hello, Changed and Claim.
// A *query* stream carries one request and the frames of its answer. A *fetch* stream carries one Fetch, then a FileHeader and its bytes for each file.
// DESIGN.md in package syncer says when they are sent, with an example of each.
package wire

import "errors"

// Major changes when sites of two releases can no longer talk; it is part of the protocol's name in TLS (ALPN). Minor grows with every addition.
const (
	Major = 1
	Minor = 1
)

// The limits of one frame and of what is in it. A writer keeps them by splitting; a reader refuses what is beyond.
const (
	MaxFrame   = 1 << 20 // bytes of a body
	MaxStudies = 4096    // states or claims in a frame
	MaxNodes   = 4096    // nodes or keys in a request
	MaxHeads   = 4096    // heads in a frame
	MaxFiles   = 1000    // files in a Fetch
	MaxText    = 1200    // bytes of a string; the longest is the path of a file of class other
)

// ErrFrame says that bytes are not a message: cut short, beyond a limit, or with a field that does not parse. Who sent them is at fault.
var ErrFrame = errors.New("not a well-formed message")
