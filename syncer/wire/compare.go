package wire

import (
	"encoding/binary"

	"github.com/dicomesh/dicomesh/dedup"
)

// Sum is a node of a site's digest tree: the sum mod 2^256 of its studies' keyed hashes (package index). Little-endian.
type Sum [32]byte

func (r *reader) sum() (s Sum) {
	copy(s[:], r.take(len(s)))
	return s
}

// Short is as much of a Sum as is sent while trees are compared: its first 16 bytes. Chance never makes two of them equal, and the whole root
// is compared in the end.
type Short [16]byte

// Prefix is a node's place in the digest tree: the first Nibbles hex digits of SHA-256(StudyInstanceUID), left-aligned in Bits.
// On the wire the digits are one number, right-aligned.
type Prefix struct {
	Nibbles uint8 // at most 16
	Bits    uint64
}

func (p Prefix) append(w *writer) {
	w.uint(uint64(p.Nibbles))
	w.uint(p.Bits >> (64 - 4*p.Nibbles))
}

// prefix reads a place.
func (r *reader) prefix() Prefix {
	n, digits := r.uint(), r.uint()
	if n > 16 || digits>>(4*n) != 0 {
		r.fail("place in the digest tree")
		return Prefix{}
	}
	return Prefix{uint8(n), digits << (64 - 4*n)}
}

// Node is one node of the sender's tree.
type Node struct {
	Prefix Prefix
	Sum    Short
}

// Compare asks how the receiver's tree differs from these nodes of the sender's.
type Compare struct{ Nodes []Node }

// Kind implements Message.
func (*Compare) Kind() Kind { return KindCompare }

func (c *Compare) append(w *writer) { appendNodes(w, c.Nodes) }
func (c *Compare) parse(r *reader)  { c.Nodes = parseNodes(r, MaxNodes) }

func appendNodes(w *writer, nodes []Node) {
	w.count(len(nodes))
	for _, n := range nodes {
		n.Prefix.append(w)
		w.raw(n.Sum[:])
	}
}

func parseNodes(r *reader, limit int) []Node {
	nodes := make([]Node, r.count(limit, 18))
	for i := range nodes {
		nodes[i].Prefix = r.prefix()
		copy(nodes[i].Sum[:], r.take(16))
	}
	return nodes
}

// Key is the first 12 bytes of SHA-256(StudyInstanceUID).
type Key [12]byte

// Item is a study in a Compared: its key, and 8 bytes of its keyed hash.
type Item struct {
	Key  Key
	Hash [8]byte
}

// Below is what the sender's tree has below a node that differs: the sums of the next level or, where few studies are left, the studies.
type Below struct {
	Prefix Prefix
	Nodes  []Node // 16 or 256, those that are empty left out; none where Items are
	Items  []Item
	Listed bool // Items are all that there is
}

// Compared answers a Compare: the nodes that differ, in several frames if need be. Nodes that are equal are left out.
type Compared struct {
	Below []Below
	More  bool // another frame follows
}

// MaxBelow is how many nodes or items may be below one node in an answer.
const MaxBelow = 4096

// Kind implements Message.
func (*Compared) Kind() Kind { return KindCompared }

func (c *Compared) append(w *writer) {
	w.bool(c.More)
	w.count(len(c.Below))
	for _, b := range c.Below {
		b.Prefix.append(w)
		w.bool(b.Listed)
		appendNodes(w, b.Nodes)
		w.count(len(b.Items))
		for _, i := range b.Items {
			w.raw(i.Key[:])
			w.raw(i.Hash[:])
		}
	}
}

func (c *Compared) parse(r *reader) {
	c.More = r.bool()
	c.Below = make([]Below, r.count(MaxNodes, 5))
	for i := range c.Below {
		b := &c.Below[i]
		b.Prefix, b.Listed = r.prefix(), r.bool()
		b.Nodes = parseNodes(r, MaxBelow)
		b.Items = make([]Item, r.count(MaxBelow, 20))
		for j := range b.Items {
			copy(b.Items[j].Key[:], r.take(12))
			copy(b.Items[j].Hash[:], r.take(8))
		}
	}
}

// Describe asks for the states of studies that are known by their keys. The answer is States.
type Describe struct{ Keys []Key }

// Kind implements Message.
func (*Describe) Kind() Kind { return KindDescribe }

func (d *Describe) append(w *writer) {
	w.count(len(d.Keys))
	for _, k := range d.Keys {
		w.raw(k[:])
	}
}

func (d *Describe) parse(r *reader) {
	d.Keys = make([]Key, r.count(MaxNodes, 12))
	for i := range d.Keys {
		copy(d.Keys[i][:], r.take(12))
	}
}

// Feed asks for the studies that have changed since a number of the receiver's. The answer is States.
type Feed struct {
	Incarnation string // that gave the number: with another one, Since says nothing and the answer is empty
	Since       uint64
	Most        uint64 // studies to answer with
}

// Kind implements Message.
func (*Feed) Kind() Kind { return KindFeed }

func (f *Feed) append(w *writer) {
	w.text(f.Incarnation)
	w.uint(f.Since)
	w.uint(f.Most)
}

func (f *Feed) parse(r *reader) { f.Incarnation, f.Since, f.Most = r.text(), r.uint(), r.uint() }

// States answers Describe and Feed, in several frames if need be.
type States struct {
	Incarnation string
	Studies     []StudyState
	Next        uint64 // of a Feed: what to ask for next
	More        bool   // another frame follows
}

// Kind implements Message.
func (*States) Kind() Kind { return KindStates }

func (s *States) append(w *writer) {
	w.text(s.Incarnation)
	appendStates(w, s.Studies)
	w.uint(s.Next)
	w.bool(s.More)
}

func (s *States) parse(r *reader) {
	s.Incarnation, s.Studies, s.Next, s.More = r.text(), parseStates(r), r.uint(), r.bool()
}

// Buckets are what an asker has of a study's heads, summed up in 256 parts: the sum mod 2^64 of the first 8 bytes (little-endian) of the digests of all heads whose
// digest begins with a byte. One more instance then costs the heads of one part, not all of them.
type Buckets [256]uint64

// Add enters a head.
func (b *Buckets) Add(d dedup.Digest) { b[d[0]] += binary.LittleEndian.Uint64(d[:]) }

// Heads asks for the heads of a study: its leaves, every list that explains why others are none (PROTOCOL.md section 2), and its files of class other.
type Heads struct {
	Study dedup.UID
	Have  *Buckets // only those in parts that differ are asked for; nil: all
	From  uint64   // the first part that is asked for
	Most  uint64   // heads to answer with: whole parts, until there are so many; 0: all
}

// Kind implements Message.
func (*Heads) Kind() Kind { return KindHeads }

func (h *Heads) append(w *writer) {
	w.uid(h.Study)
	w.bool(h.Have != nil)
	if h.Have != nil {
		for _, sum := range h.Have {
			w.raw(binary.LittleEndian.AppendUint64(nil, sum))
		}
	}
	w.uint(h.From)
	w.uint(h.Most)
}

func (h *Heads) parse(r *reader) {
	h.Study = r.uid()
	if r.bool() {
		h.Have = new(Buckets)
		for i := range h.Have {
			if b := r.take(8); len(b) == 8 {
				h.Have[i] = binary.LittleEndian.Uint64(b)
			}
		}
	}
	h.From, h.Most = r.uint(), r.uint()
}

// Head is a list, an instance file, or a file of class other.
type Head struct {
	Ref    dedup.Ref
	Digest dedup.Digest // of its content: which of several variants is meant, and what a file whose name says nothing has to be
	Disk   uint64       // bytes as stored
	Leaf   bool         // not there to explain alone
}

// HeadsOf answers Heads, in several frames if need be; the state is that of all of them, and stands in each.
type HeadsOf struct {
	State StudyState
	Heads []Head
	More  bool   // another frame follows
	Next  uint64 // the first part that was not answered any more; 0: all were
}

// Kind implements Message.
func (*HeadsOf) Kind() Kind { return KindHeadsOf }

func (h *HeadsOf) append(w *writer) {
	h.State.append(w)
	w.bool(h.More)
	w.count(len(h.Heads))
	for _, x := range h.Heads {
		w.text(x.Ref.Path())
		w.digest(x.Digest)
		w.uint(x.Disk)
		w.bool(x.Leaf)
	}
	w.uint(h.Next)
}

func (h *HeadsOf) parse(r *reader) {
	h.State.parse(r)
	h.More = r.bool()
	h.Heads = make([]Head, r.count(MaxHeads, 36))
	for i := range h.Heads {
		h.Heads[i] = Head{r.ref(), r.digest(), r.uint(), r.bool()}
	}
	h.Next = r.uint()
}
