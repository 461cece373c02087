package index

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/dicomesh/dicomesh/dedup"
)

// Change is what became of a study. What is left zero stays as it was.
type Change struct {
	Put       []Entry  // files that are there now, new or again
	Gone      []string // paths of files that are there no more
	All       bool     // Put is every file of the study
	Leaf      *dedup.Digest
	State     string
	Published []byte
	Facts     *Facts
}

// Update enters a change and returns its number, greater than every number before. Files are entered when they are durable, and taken
// out before they are removed, so that the index never says more than the disk.
//
// A process that is killed leaves the change entered or not; a power cut may take back the last ones.
func (x *Index) Update(ctx context.Context, uid dedup.UID, c Change) (uint64, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.next >= x.reserved {
		if err := x.reserve(ctx); err != nil {
			return 0, err
		}
	}
	err := x.transact(ctx, func(tx *sql.Tx) error { return x.update(ctx, tx, uid, c) })
	if err != nil {
		return 0, fmt.Errorf("update of a study: %w", err)
	}
	x.next++
	return x.next - 1, nil
}

// transact does something wholly or not at all.
func (x *Index) transact(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := x.write.BeginTx(ctx, nil)
	if err != nil {
		return known(err)
	}
	defer tx.Rollback()
	if err := do(tx); err != nil {
		return err
	}
	return known(tx.Commit())
}

func (x *Index) update(ctx context.Context, tx *sql.Tx, uid dedup.UID, c Change) error {
	s, has, err := study(ctx, tx, uid)
	if err != nil {
		return err
	}
	if !has {
		if s.id, err = insertStudy(ctx, tx, uid, x.next); err != nil {
			return err
		}
	}
	s.Change = x.next
	if c.Leaf != nil {
		s.Leaf = *c.Leaf
	}
	if c.State != "" {
		s.State = c.State
	}
	if c.Facts != nil {
		s.Facts = *c.Facts
	}
	if err := s.enter(ctx, tx, c); err != nil {
		return err
	}
	if c.All || c.has(dedup.Other) {
		if s.Others, err = s.others(ctx, tx); err != nil {
			return err
		}
	}
	if err := s.save(ctx, tx); err != nil {
		return err
	}
	if c.Published != nil {
		_, err = tx.ExecContext(ctx, "UPDATE study SET published = ? WHERE id = ?", c.Published, s.id)
	}
	return known(err)
}

// has reports whether a file of the class may be among what changed.
func (c Change) has(class dedup.Class) bool {
	return slices.ContainsFunc(c.Put, func(e Entry) bool { return e.Ref.Class == class }) || slices.ContainsFunc(c.Gone, func(path string) bool {
		return !strings.Contains(path, "/bulkdata/") // which class a path was of, the manifest alone knows
	})
}

// others is the digest of the study's files of class other, zero if there are none.
func (s *Study) others(ctx context.Context, tx *sql.Tx) (dedup.Digest, error) {
	var ids []dedup.FileID
	for c, err := range manifest(ctx, tx, *s) {
		if err != nil {
			return dedup.Digest{}, err
		}
		if c.Ref.Class == dedup.Other && !c.Lost {
			ids = append(ids, dedup.FileID{Ref: c.Ref, Digest: c.Content})
		}
	}
	if len(ids) == 0 {
		return dedup.Digest{}, nil
	}
	return dedup.LeafDigest(ids), nil
}

// save writes the row, but for what was published.
func (s *Study) save(ctx context.Context, tx *sql.Tx) error {
	const set = `UPDATE study SET change = ?, leaf = ?, others = ?, state = ?, generation = ?, sorted = ?, recent = ?, rows = ?,
		instances = ?, series = ?, files = ?, bytes = ?, complete = ?, wanting = ?, conflict = ? WHERE id = ?`
	_, err := tx.ExecContext(ctx, set, int64(s.Change), s.Leaf[:], s.Others[:], s.State, s.generation, s.sorted, s.recent, s.rows,
		s.Instances, s.Series, s.Files, s.Bytes, s.Complete, s.Wanting, s.Conflict, s.id)
	return known(err)
}

func insertStudy(ctx context.Context, tx *sql.Tx, uid dedup.UID, number uint64) (int64, error) {
	const insert = `INSERT INTO study (uid, key, change, leaf, others, state, generation, sorted, recent, rows, instances, series, files, bytes, complete, conflict)
		VALUES (?, ?, ?, ?, ?, '', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)`
	key := KeyOf(uid)
	r, err := tx.ExecContext(ctx, insert, uid.String(), key[:], int64(number), make([]byte, len(dedup.Digest{})), make([]byte, len(dedup.Digest{})))
	if err != nil {
		return 0, known(err)
	}
	return r.LastInsertId()
}

// Changes wait in rows of their own until they come to a half of what is sorted, within these limits.
const (
	foldAbove  = 64 << 10
	foldAlways = 4 << 20
)

// enter takes over a change of the files.
func (s *Study) enter(ctx context.Context, tx *sql.Tx, c Change) error {
	changes := make([]change, 0, len(c.Put)+len(c.Gone))
	for _, path := range c.Gone {
		changes = append(changes, change{Entry: Entry{Path: path}, gone: true})
	}
	for _, e := range c.Put {
		if e.Ref.Path() == "" {
			return fmt.Errorf("entry without a well-formed name: %w", dedup.ErrName)
		}
		changes = append(changes, change{Entry: e})
	}
	if c.All {
		if err := s.forget(ctx, tx); err != nil {
			return err
		}
	}
	for _, chunk := range appendChunks(s.UID, sorted(s.UID, changes)) {
		from, _ := s.recentRange()
		if _, err := tx.ExecContext(ctx, "INSERT INTO recent VALUES (?, ?)", from+s.rows, chunk); err != nil {
			return known(err)
		}
		s.recent, s.rows = s.recent+int64(len(chunk)), s.rows+1
	}
	if s.recent > foldAlways || s.recent > foldAbove && s.recent > s.sorted/2 {
		return s.fold(ctx, tx)
	}
	return nil
}

// forget empties the manifest.
func (s *Study) forget(ctx context.Context, tx *sql.Tx) error {
	if err := s.dropRecent(ctx, tx); err != nil {
		return err
	}
	s.sorted = 0
	return s.dropChunks(ctx, tx)
}

func (s *Study) dropRecent(ctx context.Context, tx *sql.Tx) error {
	from, to := s.recentRange()
	_, err := tx.ExecContext(ctx, "DELETE FROM recent WHERE id BETWEEN ? AND ?", from, to)
	s.recent, s.rows = 0, 0
	return known(err)
}

func (s *Study) dropChunks(ctx context.Context, tx *sql.Tx) error {
	from, to := s.chunkRange()
	_, err := tx.ExecContext(ctx, "DELETE FROM chunk WHERE id BETWEEN ? AND ?", from, to)
	return known(err)
}

// fold writes the manifest anew, as the other generation, with all changes in it.
func (s *Study) fold(ctx context.Context, tx *sql.Tx) error {
	next := *s
	next.generation, next.sorted = 1-s.generation, 0
	at, _ := next.chunkRange()
	w := chunkWriter{study: s.UID}
	flush := func() error {
		first := w.first
		chunk := w.take()
		if chunk == nil {
			return nil
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO chunk VALUES (?, ?, ?)", at, first, chunk)
		at, next.sorted = at+1, next.sorted+int64(len(chunk))
		return known(err)
	}
	for c, err := range manifest(ctx, tx, *s) {
		if err != nil {
			return err
		}
		if !w.add(c) {
			if err := flush(); err != nil {
				return err
			}
			w.add(c)
		}
	}
	if err := flush(); err != nil {
		return err
	}
	if err := s.dropChunks(ctx, tx); err != nil {
		return err
	}
	if err := next.dropRecent(ctx, tx); err != nil {
		return err
	}
	*s = next
	return nil
}

// Remove forgets a study that the tree no longer has.
func (x *Index) Remove(ctx context.Context, uid dedup.UID) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.transact(ctx, func(tx *sql.Tx) error {
		s, has, err := study(ctx, tx, uid)
		if err != nil || !has {
			return err
		}
		if err := s.forget(ctx, tx); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM study WHERE id = ?", s.id)
		return known(err)
	})
}
