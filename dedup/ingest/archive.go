package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sync"
	"syscall"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/export"
	"github.com/dicomesh/dicomesh/dedup/part10"
	"github.com/klauspost/compress/gzip"
	"github.com/zeebo/blake3"
)

// stagingFolder is where parts of files wait for their commit.
const (
	stagingFolder    = ".dicomesh/tmp"
	quarantineFolder = ".dicomesh/quarantine"
)

// Archive is a tree that files are put into. Its methods may be called from several goroutines.
type Archive struct {
	fs      durable.FS
	tree    dedup.Tree
	staging *durable.Staging

	mu      sync.Mutex // guards what follows
	studies map[dedup.UID]*study
	tools   []*tools // that nobody uses now: as many as were ever used at once
}

// Open readies the tree in fsys for ingest, after removing what processes that died have left staged. Close it when no Batch is left.
func Open(fsys durable.FS) (*Archive, error) {
	if _, err := durable.Sweep(fsys, stagingFolder); err != nil {
		return nil, err
	}
	staging, err := durable.OpenStaging(fsys, stagingFolder)
	if err != nil {
		return nil, err
	}
	return &Archive{fs: fsys, tree: dedup.NewTree(fsys), staging: staging, studies: map[dedup.UID]*study{}}, nil
}

// borrow takes tools for one file.
func (a *Archive) borrow() *tools {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := len(a.tools)
	if n == 0 {
		return &tools{buf: make([]byte, 256<<10)}
	}
	t := a.tools[n-1]
	a.tools = a.tools[:n-1]
	return t
}

func (a *Archive) giveBack(t *tools) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tools = append(a.tools, t)
}

// Close lets the staging folder go.
func (a *Archive) Close() error { return a.staging.Close() }

// study is what is known of one study. What is known of all studies together is bounded: it is forgotten when it is much.
func (a *Archive) study(uid dedup.UID) *study {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.studies[uid]
	if s == nil {
		if len(a.studies) >= maxStudies {
			clear(a.studies)
		}
		s = &study{uid: uid, objects: map[dedup.Hash]bool{}, values: map[dedup.Ref]bool{}}
		a.studies[uid] = s
	}
	return s
}

const maxStudies = 64

// OpenBatch begins a batch. End it with Commit or Discard.
func (a *Archive) OpenBatch() (*Batch, error) {
	b, err := a.staging.OpenBatch()
	if err != nil {
		return nil, err
	}
	return &Batch{archive: a, durable: b, staged: staged{objects: map[objectKey]bool{}, values: map[valueKey]*durable.Temp{}}}, nil
}

func instanceRef(sop dedup.UID) dedup.Ref {
	return dedup.Ref{Class: dedup.Instance, Name: sop.String()}
}

// duplicate finds out whether the tree can give back this very file; nil if it cannot. Then batch relies on what was read, so that it is durable
// when the batch is. Damage makes it nil as well: the file is then taken as a new one, and mends.
func (a *Archive) duplicate(batch *durable.Batch, t *tools, v *view, f io.ReaderAt, size int64) (*pending, error) {
	source := export.NewSource(a.fs, v.folder)
	for _, h := range v.heads {
		for _, r := range h.records {
			if !gives(source, r, t, f, size) {
				continue
			}
			p := &pending{study: v.study, id: h.file.ID, found: true, variant: len(v.heads) > 1}
			p.result = Result{Study: v.study.uid, Series: v.id.Series, SOP: v.id.SOP}
			batch.Rely(h.ref.In(v.study.uid))
			if err := a.judge(p, r, v); err != nil {
				return nil, err
			}
			if p.result.Status == Conflict {
				p.result.Reason = "" // it was told when it came
			}
			p.result.Status, p.result.Encoding = Duplicate, ""
			return p, nil
		}
		v.study.forget() // what this record needs may be damaged
	}
	return nil, nil
}

// gives reports whether a record of the tree makes exactly this file.
func gives(source export.Source, record dedup.Object, t *tools, f io.ReaderAt, size int64) bool {
	merged, d, err := mergeRecord(record, source)
	if err != nil || d.FileSize != size {
		return false
	}
	rebuilt, err := part10.Rebuild(merged, d, source)
	if err != nil {
		return false
	}
	return rebuilt.Compare(f, size, t.buf) == nil
}

// same reports whether two files of the tree have the same content, decompressed where they are gzipped.
func (a *Archive) same(x, y string) (bool, error) {
	f, err := a.fs.Open(x)
	if err != nil {
		return false, err
	}
	defer f.Close()
	g, err := a.fs.Open(y)
	if err != nil {
		return false, err
	}
	defer g.Close()
	if equal, err := sameBytes(f, g); equal || err != nil || path.Ext(y) != ".gz" {
		return equal, err
	}
	return a.sameContent(x, y)
}

// unreadable makes damage of a sector that cannot be read: the file is lost, and makes way as any damaged one does.
func unreadable(err error) error {
	if errors.Is(err, syscall.EIO) {
		return fmt.Errorf("%w: %w", dedup.ErrDamaged, err)
	}
	return err
}

// sameBytes compares two open files from start to end.
func sameBytes(f, g durable.File) (bool, error) {
	n, err := f.Size()
	if err != nil {
		return false, err
	}
	m, err := g.Size()
	if err != nil || n != m {
		return false, err
	}
	p, q := make([]byte, min(n, 64<<10)), make([]byte, min(n, 64<<10))
	for at := int64(0); at < n; {
		k := min(int64(len(p)), n-at)
		if _, err := f.ReadAt(p[:k], at); err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		if _, err := g.ReadAt(q[:k], at); err != nil && !errors.Is(err, io.EOF) {
			return false, unreadable(err)
		}
		if !bytes.Equal(p[:k], q[:k]) {
			return false, nil
		}
		at += k
	}
	return true, nil
}

// sameContent compares two gzipped files decompressed.
func (a *Archive) sameContent(x, y string) (bool, error) {
	var sums [2]dedup.Digest
	for i, name := range []string{x, y} {
		f, err := a.fs.Open(name)
		if err != nil {
			return false, err
		}
		text, err := gunzip(f)
		if i == 1 {
			err = unreadable(err)
		}
		if err2 := f.Close(); err == nil {
			err = err2
		}
		if err != nil {
			return false, err
		}
		sums[i] = blake3.Sum256(text)
	}
	return sums[0] == sums[1], nil
}

// gunzip is the content of a gzipped file, of at most maxHead bytes.
func gunzip(f io.Reader) ([]byte, error) {
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", dedup.ErrDamaged, err)
	}
	text, err := io.ReadAll(io.LimitReader(z, maxHead+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", dedup.ErrDamaged, err)
	case len(text) > maxHead:
		return nil, dedup.ErrTooLarge
	}
	return text, nil
}

// quarantine moves a damaged file out of the way. It is kept, for whoever wants to look.
func (a *Archive) quarantine(name string) error {
	if err := durable.MkdirAll(a.fs, quarantineFolder); err != nil {
		return err
	}
	for n := 0; ; n++ {
		to := fmt.Sprintf("%s/%s.%d", quarantineFolder, path.Base(name), n)
		if err := a.fs.Rename(name, to); !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
}
