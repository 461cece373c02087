package verify

import (
	"context"
	"fmt"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/index"
)

// Keep is a Recorder that takes down in a state folder what is new: files in the index, and digests of those of which nobody could tell in the digest log,
// so that from then on somebody can. What index and log knew before stays, also where a file contradicts it or is gone: that is a fault, and recording what is
// there now would make everybody forget it.
type Keep struct{ Index *index.Index }

// Record implements Recorder.
func (k Keep) Record(ctx context.Context, study dedup.UID, r Reading) error {
	if err := k.Index.Digests.Append(study, r.Unknown); err != nil {
		return err
	}
	known, err := k.Index.Manifest(ctx, study)
	if err != nil {
		return fmt.Errorf("read index: %w", err)
	}
	s, has, err := k.Index.Study(ctx, study)
	if err != nil {
		return fmt.Errorf("read index: %w", err)
	}
	var c index.Change
	for _, e := range r.Files {
		if known[e.Path] != e {
			c.Put = append(c.Put, e)
		}
	}
	if len(c.Put) == 0 && (has && s.Leaf == r.Leaf || len(r.Files) == 0) {
		return nil
	}
	c.Leaf = &r.Leaf
	_, err = k.Index.Update(ctx, study, c)
	return err
}
