package wire

import (
	"fmt"

	"github.com/dicomesh/dicomesh/dedup"
)

// Kind is a message's number on the wire. Numbers are never used again for something else.
type Kind uint64

// The kinds.
const (
	KindHello Kind = iota + 1
	KindChanged
	KindClaim
	KindCompare
	KindCompared
	KindDescribe
	KindFeed
	KindStates
	KindHeads
	KindHeadsOf
	KindFetch
	KindFileHeader
)

// String is the kind's word in errors and logs.
func (k Kind) String() string {
	words := [...]string{"", "hello", "changed", "claim", "compare", "compared", "describe", "feed", "states", "heads", "heads of", "fetch", "file header"}
	if k > 0 && int(k) < len(words) {
		return words[k]
	}
	return fmt.Sprintf("message of kind %d", uint64(k))
}

// Message is one of the messages below.
type Message interface {
	Kind() Kind
	append(*writer)
	parse(*reader)
}

// newMessage is an empty message of that kind, nil for a kind that this release does not know.
func newMessage(k Kind) Message {
	switch k {
	case KindHello:
		return new(Hello)
	case KindChanged:
		return new(Changed)
	case KindClaim:
		return new(Claim)
	case KindCompare:
		return new(Compare)
	case KindCompared:
		return new(Compared)
	case KindDescribe:
		return new(Describe)
	case KindFeed:
		return new(Feed)
	case KindStates:
		return new(States)
	case KindHeads:
		return new(Heads)
	case KindHeadsOf:
		return new(HeadsOf)
	case KindFetch:
		return new(Fetch)
	case KindFileHeader:
		return new(FileHeader)
	}
	return nil
}

// Unknown is a message of a newer release. It was read and left aside.
type Unknown struct{ kind Kind }

// Kind implements Message.
func (u *Unknown) Kind() Kind     { return u.kind }
func (u *Unknown) append(*writer) {}
func (u *Unknown) parse(*reader)  {}

// Flags say how a site holds a study. Bits that a reader does not know are kept out of decisions.
type Flags uint64

// The flags. What a site says of its own settling is not among them: sites whose flags differ are not level.
const (
	Complete Flags = 1 << iota // everything that the leaves refer to is there, verified and durable
	Conflict                   // the study waits for a human
	Purged                     // the study was removed for good by an operator; there are no leaves
)

// Wanting is where in the flags of a study that is not held completely a site says what it wants of it: a digest of names, in the bits from here up (index.Facts). Others compare it and do not
// understand it: sites that want different files are not level.
const Wanting = 32

// StudyState is what a site holds of one study. On the wire Others is a bool, and the digest only where it is true.
type StudyState struct {
	UID    dedup.UID
	Leaf   dedup.Digest // dedup.LeafDigest of its leaves
	Others dedup.Digest // likewise of its files of class other; zero: it has none
	Flags  Flags
	Change uint64    // the sender's number of its last change: for the feed and for display, never compared with another site's
	After  dedup.UID // commit this study first (a move between studies); zero: none
}

func (s *StudyState) append(w *writer) {
	w.uid(s.UID)
	w.digest(s.Leaf)
	w.bool(s.Others != dedup.Digest{})
	if (s.Others != dedup.Digest{}) {
		w.digest(s.Others)
	}
	w.uint(uint64(s.Flags))
	w.uint(s.Change)
	w.uid(s.After)
}

func (s *StudyState) parse(r *reader) {
	s.UID, s.Leaf = r.uid(), r.digest()
	if r.bool() {
		s.Others = r.digest()
	}
	s.Flags, s.Change, s.After = Flags(r.uint()), r.uint(), r.uidOrNone()
}

const leastState = 1 + 1 + 32 + 1 + 1 + 1 + 1 // bytes of the shortest StudyState

func appendStates(w *writer, states []StudyState) {
	w.count(len(states))
	for i := range states {
		states[i].append(w)
	}
}

func parseStates(r *reader) []StudyState {
	states := make([]StudyState, r.count(MaxStudies, leastState))
	for i := range states {
		states[i].parse(r)
	}
	return states
}

// Summary says of a whole site what two sites compare first.
type Summary struct {
	Incarnation string // of the sender's index: with another one, nothing that was said before holds
	Root        Sum    // over all studies
	Count       uint64 // of studies
	Change      uint64 // the highest number given
	Low         bool   // the disk is below its watermark: the sender takes nothing in, and is no holder of anything new
	Dated       uint64 // when the sender last compared its index with its disk, Unix seconds; for display
	Away        bool   // the sender's archive is not there, a disk that is not mounted: its index says what it held, and nobody knows what it holds. Since minor version 1
}

func (s *Summary) append(w *writer) {
	w.text(s.Incarnation)
	w.raw(s.Root[:])
	w.uint(s.Count)
	w.uint(s.Change)
	w.bool(s.Low)
	w.uint(s.Dated)
}

func (s *Summary) parse(r *reader) {
	s.Incarnation, s.Root, s.Count, s.Change, s.Low, s.Dated = r.text(), r.sum(), r.uint(), r.uint(), r.bool(), r.uint()
}

// appendMore and parseMore are for what came to a summary later: it stands behind all that older releases read, and is zero where one of them wrote.
func (s *Summary) appendMore(w *writer) { w.bool(s.Away) }

func (s *Summary) parseMore(r *reader) {
	if len(r.b) > 0 {
		s.Away = r.bool()
	}
}

// Hello is the first message on a control stream.
type Hello struct {
	Minor     uint64
	Generator string // version of the sender's generator: sites with different ones report it
	Summary   Summary
}

// Kind implements Message.
func (*Hello) Kind() Kind { return KindHello }

func (h *Hello) append(w *writer) {
	w.uint(h.Minor)
	w.text(h.Generator)
	h.Summary.append(w)
	h.Summary.appendMore(w)
}

func (h *Hello) parse(r *reader) {
	h.Minor, h.Generator = r.uint(), r.text()
	h.Summary.parse(r)
	h.Summary.parseMore(r)
}

// Changed is a hint: these studies have changed at the sender, and this is what it holds now. It may be lost, late or doubled; the sums are the truth.
type Changed struct {
	Summary Summary
	Studies []StudyState
}

// Kind implements Message.
func (*Changed) Kind() Kind { return KindChanged }

func (c *Changed) append(w *writer) {
	c.Summary.append(w)
	appendStates(w, c.Studies)
	c.Summary.appendMore(w)
}

func (c *Changed) parse(r *reader) {
	c.Summary.parse(r)
	c.Studies = parseStates(r)
	c.Summary.parseMore(r)
}

// Claimed is a study that the sender is fetching.
type Claimed struct {
	UID     dedup.UID
	Leaf    dedup.Digest // what it is fetching, as its source told it
	Fetched uint64       // bytes so far: a claim that does not grow counts for nothing after a while
	Over    bool         // it has given up, or is through
}

// Claim tells neighbours what the sender is fetching, so that they take it from there and a thin origin sends it once.
type Claim struct{ Studies []Claimed }

// Kind implements Message.
func (*Claim) Kind() Kind { return KindClaim }

func (c *Claim) append(w *writer) {
	w.count(len(c.Studies))
	for _, s := range c.Studies {
		w.uid(s.UID)
		w.digest(s.Leaf)
		w.uint(s.Fetched)
		w.bool(s.Over)
	}
}

func (c *Claim) parse(r *reader) {
	c.Studies = make([]Claimed, r.count(MaxStudies, 36))
	for i := range c.Studies {
		c.Studies[i] = Claimed{r.uid(), r.digest(), r.uint(), r.bool()}
	}
}
