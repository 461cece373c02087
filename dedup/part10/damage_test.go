package part10

import (
	"bytes"
	"errors"
	"testing"

	"github.com/dicomesh/dicomesh/dedup/phantom"
)

// A residue that cannot be had costs exactness and nothing else; a damaged frame or value is never written, with the residue or without.
func TestDamageIsNeverWritten(t *testing.T) {
	tried := 0
	for _, c := range phantom.Cases() {
		data := c.Bytes()
		m := newMemory()
		parts, err := Take(bytes.NewReader(data), int64(len(data)), m)
		if err != nil || parts.Residue == 0 {
			continue
		}
		merged, d := m.merged(parts)
		for ref, whole := range m.files {
			if ref.Ext == residueExt || ref.Ext == residueExt+".gz" || len(whole) == 0 {
				continue
			}
			tried++
			for _, damaged := range [][]byte{nil, whole[:len(whole)/2], flipped(whole)} {
				m.files[ref] = damaged
				for residue, ops := range m.files {
					if residue.Ext == residueExt+".gz" {
						delete(m.files, residue)
						r, err := Rebuild(merged, d, m)
						if err == nil || errors.Is(err, ErrNotExact) || r != nil {
							t.Errorf("%s: %s of %d bytes, no residue: %v", c.Name, ref, len(damaged), err)
						}
						m.files[residue] = ops
					}
				}
				r, err := Rebuild(merged, d, m)
				if errors.Is(err, ErrNotExact) {
					t.Errorf("%s: %s of %d bytes passes for a missing residue: %v", c.Name, ref, len(damaged), err)
				}
				if err == nil {
					var out bytes.Buffer // a deflated file comes from its residue, which is whole
					if _, err := r.WriteTo(&out); err == nil && !bytes.Equal(out.Bytes(), data) {
						t.Errorf("%s: %s of %d bytes was written", c.Name, ref, len(damaged))
					}
				}
			}
			m.files[ref] = whole
		}
	}
	if tried < 20 {
		t.Errorf("only %d files were damaged", tried)
	}
}

func flipped(b []byte) []byte {
	out := bytes.Clone(b)
	out[len(out)/2] ^= 1
	return out
}
