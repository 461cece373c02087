package part10

import (
	"bytes"
	"errors"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/phantom"
)

// TestPhantoms takes each of our own odd files apart and puts it together again.
func TestPhantoms(t *testing.T) {
	for _, c := range phantom.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			thereAndBack(t, c.Bytes())
		})
	}
}

// TestBadPhantoms refuses each of our own broken files. Those without a place in the archive are sound files, and so is a sequence of known length
// that has no items: the file can be read to its end, and the value is kept as bytes, with a remark.
func TestBadPhantoms(t *testing.T) {
	for _, c := range phantom.BadCases() {
		t.Run(c.Name, func(t *testing.T) {
			m := newMemory()
			p, err := Take(bytes.NewReader(c.Data), int64(len(c.Data)), m)
			if c.Fault == phantom.NoPlace {
				if err == nil && p.Study != (dedup.UID{}) && p.Series != (dedup.UID{}) && p.SOP != (dedup.UID{}) {
					t.Error("it has a place")
				}
				return
			}
			if c.Name == "wrong-item" {
				if err != nil || len(p.Remarks) != 1 {
					t.Errorf("%v, remarks %q", err, p.Remarks)
				}
				return
			}
			if !errors.Is(err, ErrFormat) {
				t.Errorf("%s: %v", c.Shows, err)
			}
			if early := errors.Is(err, ErrTruncated); c.Fault == phantom.Truncated && !early || c.Fault == phantom.NotDICOM && early && len(c.Data) > 132 {
				t.Errorf("%s: said to end too early: %v: %v", c.Shows, early, err)
			}
			if m.open != 0 {
				t.Errorf("left %d open", m.open)
			}
		})
	}
}
