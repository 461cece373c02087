package part10

import (
	"bytes"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/phantom"
)

// The proof takes the layout that Take has made only for the very objects that it was made of: another value, a missing element or another encoding object
// is seen, though the layout at hand would give the file.
func TestProofSeesOtherObjects(t *testing.T) {
	tried := 0
	for _, c := range phantom.Cases() {
		data := c.Bytes()
		parts, m := taken(t, data)
		merged, d := m.merged(parts)
		prove := func(o dedup.Object, d dedup.Dedup) error {
			r, err := parts.Rebuild(o, d, m)
			if err != nil {
				return err
			}
			return r.Compare(bytes.NewReader(data), int64(len(data)), nil)
		}
		if err := prove(merged, d); err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
		if parts.base == nil || len(merged) < 2 {
			continue
		}
		tried++
		if err := prove(merged[1:], d); err == nil {
			t.Errorf("%s: without its first element the file is proven", c.Name)
		}
		other := append(dedup.Object(nil), merged...)
		other[0].JSON = []byte(`{"Value":["other"],"vr":"LO"}`)
		if err := prove(other, d); err == nil {
			t.Errorf("%s: with another first element the file is proven", c.Name)
		}
		delete(m.objects, d.Encoding[0])
		if err := prove(merged, d); err == nil {
			t.Errorf("%s: without its encoding object the file is proven", c.Name)
		}
	}
	if tried < 100 {
		t.Errorf("only %d cases have a layout to share", tried)
	}
}
