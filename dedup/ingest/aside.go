package ingest

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/zeebo/blake3"
)

// SetAside moves damaged lists of a study into the tree's quarantine, where they are kept: was says, by their paths in the tree, what their content was. One that has that content after all stays
// where it is. It returns how many were moved, durably, also when others could not be. That nothing is lost with them, and that no other site can bring them back, is for the caller to know.
func SetAside(fsys durable.FS, study dedup.UID, was map[string]dedup.Digest) (n int, err error) {
	a := Archive{fs: fsys, tree: dedup.NewTree(fsys)}
	folder, err := a.tree.Study(study)
	if err != nil {
		return 0, err
	}
	commits, err := durable.LockCommits(fsys, stagingFolder) // one may be about to put the right file there
	if err != nil {
		return 0, err
	}
	defer commits.Close()
	barrier, err := fsys.Barrier()
	if err != nil {
		return 0, err
	}
	defer barrier.Close()
	for path, content := range was {
		damaged, wrong := differs(folder, path, content)
		if wrong == nil && damaged {
			if wrong = a.quarantine(path); wrong == nil {
				n++
			}
		}
		if wrong != nil {
			err = errors.Join(err, fmt.Errorf("set %s aside: %w", path, wrong))
		}
	}
	if wrong := barrier.SyncAll(); wrong != nil {
		return 0, errors.Join(err, wrong)
	}
	return n, err
}

// differs reports whether a list is there and has not the content that it had.
func differs(folder dedup.Folder, path string, content dedup.Digest) (bool, error) {
	text, err := folder.Read(dedup.Held{Ref: dedup.Ref{Class: dedup.List}, Path: path}, maxHead)
	switch err = unreadable(err); {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case errors.Is(err, dedup.ErrDamaged), errors.Is(err, dedup.ErrTooLarge), errors.Is(err, durable.ErrNotRegular):
		return true, nil
	}
	return blake3.Sum256(text) != content, err
}
