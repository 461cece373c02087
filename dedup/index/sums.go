package index

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"sync"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/zeebo/blake3"
)

// Sums is the digest tree of a site: all that it holds, summed up so that two sites find what differs between them at a cost of what differs
// (PROTOCOL.md section 3).
//
// A study has a place, its Key, and a hash: BLAKE3, keyed by the cluster, over its UID, digests and flags. A node stands for all studies whose Keys begin
// with its digits, and is the sum of their hashes mod 2^256 (a sum, because two changes cancel under XOR; keyed, because whoever sends us images chooses
// UIDs, and could else find two sets with one sum). So a change costs one addition and one subtraction a level, whatever else there is, and the order
// of changes leaves no trace.
//
// Memory is 36 bytes a node: 150 kB up to 65,536 studies, 2.5 MB up to a million, 40 MB up to 16 million. Below its deepest level the tree does
// not remember; whoever asks for studies there reads them from the index. Its methods may be called from several goroutines.
type Sums struct {
	key   [32]byte
	depth int

	mu     sync.RWMutex
	levels [][]sumNode // levels[d] has 16^d nodes; guarded by mu
}

// sumNode is a little-endian sum and how many studies are in it.
type sumNode struct {
	sum   [32]byte
	count uint32
}

// Sum is one study as sites compare it.
type Sum struct {
	UID    dedup.UID
	Leaf   dedup.Digest
	Others dedup.Digest // of its files of class other; zero: none
	Flags  uint64       // as sites tell them to each other
}

// Key is a study's place among all: the first 12 bytes of SHA-256 of its UID.
type Key [12]byte

// KeyOf is a study's place.
func KeyOf(uid dedup.UID) Key {
	sum := sha256.Sum256([]byte(uid.String()))
	return Key(sum[:len(Key{})])
}

// Place is a node's: the first Digits hex digits of the keys below it, left-aligned in Bits. The root has no digits.
type Place struct {
	Digits int
	Bits   uint64
}

// Below is the place of the n-th child, 0 to 15.
func (p Place) Below(n int) Place {
	return Place{p.Digits + 1, p.Bits | uint64(n)<<(60-4*p.Digits)}
}

// Has reports whether a key is below the place.
func (p Place) Has(k Key) bool {
	return p.Digits == 0 || (binary.BigEndian.Uint64(k[:])^p.Bits)>>(64-4*p.Digits) == 0
}

// The depth of a tree: at its deepest level a node stands for 16 studies on average, or fewer.
const (
	leastDepth    = 3
	mostDepth     = 5
	studiesToNode = 16
)

// NewSums makes the tree of a site without studies, keyed by its cluster, deep enough for so many studies. With more it still tells right, but leaves
// more to read.
func NewSums(key [32]byte, expected int) *Sums {
	s := &Sums{key: key, depth: leastDepth}
	for s.depth < mostDepth && expected > studiesToNode<<(4*s.depth) {
		s.depth++
	}
	for d := range s.depth + 1 {
		s.levels = append(s.levels, make([]sumNode, 1<<(4*d)))
	}
	return s
}

// Depth is how many digits the deepest nodes have.
func (s *Sums) Depth() int { return s.depth }

// Hash is a study's hash, little-endian.
func (s *Sums) Hash(x Sum) (h [32]byte) {
	text := make([]byte, 0, 160)
	text = append(append(text, byte(len(x.UID.String()))), x.UID.String()...)
	text = append(append(text, x.Leaf[:]...), x.Others[:]...)
	text = binary.LittleEndian.AppendUint64(text, x.Flags)
	keyed, err := blake3.NewKeyed(s.key[:])
	if err != nil {
		panic(err) // The key has its one length.
	}
	_, _ = keyed.Write(text)
	copy(h[:], keyed.Sum(text[:0]))
	return h
}

// Replace takes out what was entered of a study, and enters what it is now. nil stands for a study that is not held. The caller says truly what was
// entered: a lie stays in the sums until they are made anew.
func (s *Sums) Replace(was, now *Sum) {
	if was != nil && now != nil && *was == *now {
		return
	}
	if was != nil {
		s.add(*was, -1)
	}
	if now != nil {
		s.add(*now, 1)
	}
}

// add enters a study (by 1) or takes it out (by -1).
func (s *Sums) add(x Sum, by int) {
	key, h := KeyOf(x.UID), s.Hash(x)
	if by < 0 {
		h = Minus([32]byte{}, h)
	}
	at := binary.BigEndian.Uint64(key[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	for d, level := range s.levels {
		n := &level[index(at, d)]
		n.sum = Plus(n.sum, h)
		n.count += uint32(by)
	}
}

// index is where the node of so many digits is in its level.
func index(bits uint64, digits int) uint64 {
	if digits == 0 {
		return 0
	}
	return bits >> (64 - 4*digits)
}

// Root is the sum of everything, and the number of studies.
func (s *Sums) Root() (sum [32]byte, studies int) {
	return s.Node(Place{})
}

// Node is the sum of the studies below a place, and their number. Of places deeper than Depth it knows nothing: ok is then for the caller to
// have checked.
func (s *Sums) Node(p Place) (sum [32]byte, studies int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	n := s.levels[p.Digits][index(p.Bits, p.Digits)]
	return n.sum, int(n.count)
}

// SumOf adds up studies that were read elsewhere, as a node below Depth would.
func (s *Sums) SumOf(studies []Sum) (sum [32]byte) {
	for _, x := range studies {
		sum = Plus(sum, s.Hash(x))
	}
	return sum
}

// Equal reports whether two trees with one key stand for the same studies: for whoever makes one anew and compares.
func (s *Sums) Equal(other *Sums) bool {
	a, n := s.Root()
	b, m := other.Root()
	return a == b && n == m
}

// plus is a + b mod 2^256, little-endian.
func Plus(a, b [32]byte) (sum [32]byte) {
	var carry uint64
	for i := 0; i < 32; i += 8 {
		var word uint64
		word, carry = bits.Add64(binary.LittleEndian.Uint64(a[i:]), binary.LittleEndian.Uint64(b[i:]), carry)
		binary.LittleEndian.PutUint64(sum[i:], word)
	}
	return sum
}

// Minus is a - b mod 2^256, little-endian.
func Minus(a, b [32]byte) [32]byte {
	for i := range b {
		b[i] = ^b[i]
	}
	return Plus(Plus(a, b), [32]byte{1})
}
