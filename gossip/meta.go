package gossip

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Meta is what a site says of itself with every sign of life: at most 512 bytes, so nothing of studies.
type Meta struct {
	Version string   // of its program
	Root    [32]byte // digest of all that it holds
	Count   uint64   // of the studies under it
	Change  uint64   // number of its last change
	Roster  [32]byte // epoch of its roster
	Leaving bool     // it is about to stop, as planned
}

// errMeta says that bytes are no Meta.
var errMeta = errors.New("malformed meta")

const metaForm = 1

// encode writes: a byte for the form, the root, the roster, count, change, flags (1: leaving) as uvarints, and the version with its length. What comes after is of newer
// programs and passed over.
func (m Meta) encode() ([]byte, error) {
	if len(m.Version) > MaxVersion {
		return nil, fmt.Errorf("version %.80q has more than %d bytes", m.Version, MaxVersion)
	}
	flags := uint64(0)
	if m.Leaving {
		flags |= 1
	}
	b := append([]byte{metaForm}, m.Root[:]...)
	b = append(b, m.Roster[:]...)
	for _, n := range []uint64{m.Count, m.Change, flags, uint64(len(m.Version))} {
		b = binary.AppendUvarint(b, n)
	}
	return append(b, m.Version...), nil
}

func decodeMeta(b []byte) (Meta, error) {
	var m Meta
	if len(b) < 65 || b[0] != metaForm {
		return m, errMeta
	}
	copy(m.Root[:], b[1:])
	copy(m.Roster[:], b[33:])
	b = b[65:]
	var flags, length uint64
	for _, to := range []*uint64{&m.Count, &m.Change, &flags, &length} {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return Meta{}, errMeta
		}
		*to, b = v, b[n:]
	}
	if length > MaxVersion || length > uint64(len(b)) {
		return Meta{}, errMeta
	}
	m.Version, m.Leaving = string(b[:length]), flags&1 != 0
	return m, nil
}
