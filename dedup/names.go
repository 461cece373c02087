package dedup

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// ErrName says that a text is not a well-formed UID, hash or file name. It never reaches a path.
var ErrName = errors.New("not a well-formed name")

// UID is a DICOM unique identifier that is safe in a path: digits and dots, 1 to 64 characters, no empty component (PS3.5 section 9.1).
// Leading zeros, which the standard forbids, are let through: real files have them. The zero UID is no UID.
type UID struct{ text string }

// ParseUID returns the UID that s spells, without trailing padding, or an error that satisfies errors.Is(err, ErrName).
// The error does not quote s: what stands where a UID should may be anything.
func ParseUID(s string) (UID, error) {
	s = strings.TrimRight(s, " \x00")
	if len(s) == 0 || len(s) > 64 {
		return UID{}, fmt.Errorf("UID of %d characters: %w", len(s), ErrName)
	}
	previous := byte('.')
	for i := 0; i < len(s); i++ {
		if c := s[i]; c != '.' && (c < '0' || c > '9') || c == '.' && previous == '.' {
			return UID{}, fmt.Errorf("UID with a wrong character at %d: %w", i, ErrName)
		}
		previous = s[i]
	}
	if previous == '.' {
		return UID{}, fmt.Errorf("UID that ends in a dot: %w", ErrName)
	}
	return UID{s}, nil
}

// String is the UID's text, "" for the zero UID.
func (u UID) String() string { return u.text }

// Compare orders UIDs by text.
func (u UID) Compare(v UID) int { return strings.Compare(u.text, v.text) }

// Hash is the opaque name of an object, a value or a list: 64 lower-case hex characters where dicomesh wrote it (SHA-256); other writers'
// are 40 hex or 24 to 32 characters of [0-9a-z]. The zero Hash is none.
type Hash struct{ text string }

// What a character may be a digit of.
const (
	ofHex    = 1 << iota // lower case
	ofBase36             // lower case
)

// digitOf is by character: some names are read several times each, and branches on noise are dear.
var digitOf = [256]uint8{
	'0': ofHex | ofBase36, '1': ofHex | ofBase36, '2': ofHex | ofBase36, '3': ofHex | ofBase36, '4': ofHex | ofBase36,
	'5': ofHex | ofBase36, '6': ofHex | ofBase36, '7': ofHex | ofBase36, '8': ofHex | ofBase36, '9': ofHex | ofBase36,
	'a': ofHex | ofBase36, 'b': ofHex | ofBase36, 'c': ofHex | ofBase36, 'd': ofHex | ofBase36, 'e': ofHex | ofBase36,
	'f': ofHex | ofBase36, 'g': ofBase36, 'h': ofBase36, 'i': ofBase36, 'j': ofBase36, 'k': ofBase36, 'l': ofBase36,
	'm': ofBase36, 'n': ofBase36, 'o': ofBase36, 'p': ofBase36, 'q': ofBase36, 'r': ofBase36, 's': ofBase36, 't': ofBase36,
	'u': ofBase36, 'v': ofBase36, 'w': ofBase36, 'x': ofBase36, 'y': ofBase36, 'z': ofBase36,
}

// ParseHash returns the hash that s spells, or an error that satisfies errors.Is(err, ErrName).
func ParseHash(s string) (Hash, error) {
	kinds := uint8(ofHex | ofBase36)
	for i := range len(s) {
		kinds &= digitOf[s[i]]
	}
	switch n := len(s); {
	case kinds&ofHex != 0 && (n == 64 || n == 40), kinds&ofBase36 != 0 && n >= 24 && n <= 32:
		return Hash{s}, nil
	}
	return Hash{}, fmt.Errorf("hash of %d characters: %w", len(s), ErrName)
}

// HashOf is the Hash of a SHA-256 sum.
func HashOf(sum [32]byte) Hash { return Hash{hex.EncodeToString(sum[:])} }

// String is the hash's text.
func (h Hash) String() string { return h.text }

// Compare orders hashes by text.
func (h Hash) Compare(g Hash) int { return strings.Compare(h.text, g.text) }

// IsZero reports whether h names nothing.
func (h Hash) IsZero() bool { return h.text == "" }

// Class says what kind of archive file a Ref names.
type Class uint8

// The classes, in the order in which files of one commit become visible.
const (
	Bulkdata Class = iota + 1 // bulkdata/
	Instance                  // deduplicated/instances/
	List                      // deduplicated/
	Other                     // anything else that other writers keep in a study
)

// String is the class's word in paths, tables and logs.
func (c Class) String() string {
	switch c {
	case Bulkdata:
		return "bulkdata"
	case Instance:
		return "instances"
	case List:
		return "lists"
	case Other:
		return "other"
	}
	return "none"
}
