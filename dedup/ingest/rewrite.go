package ingest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/zeebo/blake3"
)

// Rewrite writes damaged instance files of a study once more, each from a list of the study that has its record: was says, by their paths in the tree, what their
// content was. What is written is that, byte for byte, so nobody is taken at his word; a file whose record no list has in these bytes stays as it is. It returns how many
// were written, durably; the damaged ones are in quarantine then.
//
// Other sites do not have such a file any more, if they have collected what the list accounts for: without this the study could never be complete again.
func Rewrite(ctx context.Context, fsys durable.FS, study dedup.UID, was map[string]dedup.Digest) (n int, err error) {
	found, err := recorded(ctx, fsys, study, was)
	if err != nil || len(found) == 0 {
		return 0, err
	}
	staging, err := durable.OpenStaging(fsys, stagingFolder)
	if err != nil {
		return 0, err
	}
	defer staging.Close()
	batch, err := staging.OpenBatch()
	if err != nil {
		return 0, err
	}
	defer batch.Discard()
	for path, content := range found {
		temp, err := batch.Create()
		if err == nil {
			_, err = temp.Write(dedup.Compress(nil, content))
		}
		if err == nil {
			err = batch.Place(temp, path, int(dedup.Instance))
		}
		if err != nil {
			return 0, fmt.Errorf("rewrite %s: %w", path, err)
		}
	}
	if err := batch.Commit(Taken(fsys)); err != nil {
		return 0, err
	}
	return len(found), nil
}

// recorded are the contents of instance files, by path, as the records of the study's lists have them.
func recorded(ctx context.Context, fsys durable.FS, study dedup.UID, was map[string]dedup.Digest) (map[string][]byte, error) {
	paths := make(map[dedup.Digest]string, len(was))
	for path, digest := range was {
		paths[digest] = path
	}
	folder, err := dedup.NewTree(fsys).Study(study)
	if err != nil {
		return nil, err
	}
	heads, err := folder.Heads()
	if err != nil {
		return nil, err
	}
	found := make(map[string][]byte)
	for _, h := range heads {
		if h.Ref.Class != dedup.List || len(found) == len(paths) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		text, err := folder.Read(h, maxHead)
		if errors.Is(err, dedup.ErrDamaged) || errors.Is(err, dedup.ErrTooLarge) || errors.Is(err, durable.ErrNotRegular) || errors.Is(err, fs.ErrNotExist) {
			continue // another list may have it
		}
		if err != nil {
			return nil, err
		}
		for _, o := range dedup.ParseFile(h.Ref, text).Objects() {
			content := append(o.AppendJSON([]byte{'['}), ']')
			if path, wanted := paths[blake3.Sum256(content)]; wanted {
				found[path] = content
			}
		}
	}
	return found, nil
}
