package index

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"

	"github.com/dicomesh/dicomesh/dedup"
)

// Study is what the index keeps of a study beside its files.
type Study struct {
	UID       dedup.UID
	Change    uint64       // the number of the last change: greater than that of every earlier change of any study
	Leaf      dedup.Digest // of its leaves (dedup.LeafDigest)
	Others    dedup.Digest // likewise of its files of class other; zero: it has none
	State     string       // a word of whoever settles studies; the index does not read it
	Published []byte       // the record that a query finds, JSON; nil if the study was never published
	Facts                  // as whoever keeps the index found them last; zero if nobody did

	id         int64
	generation int64 // which of two ranges the chunks are in
	sorted     int64 // bytes in chunks
	recent     int64 // bytes in rows of changes that are not folded into the chunks
	rows       int64 // of those
}

const columns = "id, uid, change, leaf, others, state, published, generation, sorted, recent, rows, instances, series, files, bytes, complete, wanting, conflict"

func (s *Study) scan(row interface{ Scan(...any) error }) error {
	var uid string
	var leaf, others []byte
	err := row.Scan(&s.id, &uid, &s.Change, &leaf, &others, &s.State, &s.Published, &s.generation, &s.sorted, &s.recent, &s.rows,
		&s.Instances, &s.Series, &s.Files, &s.Bytes, &s.Complete, &s.Wanting, &s.Conflict)
	if err != nil {
		return err
	}
	if s.UID, err = dedup.ParseUID(uid); err != nil || len(leaf) != len(s.Leaf) || len(others) != len(s.Others) {
		return fmt.Errorf("row of a study: %w", ErrDamaged)
	}
	s.Leaf, s.Others = dedup.Digest(leaf), dedup.Digest(others)
	return nil
}

// Study returns a study's row; false if the index has none.
func (x *Index) Study(ctx context.Context, uid dedup.UID) (Study, bool, error) {
	if x.read == nil {
		return Study{}, false, nil
	}
	return study(ctx, x.read, uid)
}

// querier is a database or a transaction.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func study(ctx context.Context, q querier, uid dedup.UID) (s Study, has bool, err error) {
	err = s.scan(q.QueryRowContext(ctx, "SELECT "+columns+" FROM study WHERE uid = ?", uid.String()))
	if errors.Is(err, sql.ErrNoRows) {
		return Study{UID: uid}, false, nil
	}
	return s, err == nil, known(err)
}

// Studies returns all studies in the order of their last changes, those with numbers above since. That is the feed by which others learn what
// is new; with 0 it is everything.
func (x *Index) Studies(ctx context.Context, since uint64) iter.Seq2[Study, error] {
	return x.rows(ctx, "SELECT "+columns+" FROM study WHERE change > ? ORDER BY change", int64(since))
}

// Newest returns all studies in the opposite order, those that changed last first, with numbers below before.
func (x *Index) Newest(ctx context.Context, before uint64) iter.Seq2[Study, error] {
	return x.rows(ctx, "SELECT "+columns+" FROM study WHERE change < ? ORDER BY change DESC", int64(min(before, math.MaxInt64)))
}

// Below returns the studies whose keys are below a place, in the order of their keys.
func (x *Index) Below(ctx context.Context, p Place) iter.Seq2[Study, error] {
	first, last := p.keys()
	return x.rows(ctx, "SELECT "+columns+" FROM study WHERE key >= ? AND key <= ? ORDER BY key", first[:], last[:])
}

// keys are the first and the last key that may be below a place.
func (p Place) keys() (first, last Key) {
	rest := ^uint64(0)
	if p.Digits > 0 {
		rest >>= 4 * p.Digits
	}
	binary.BigEndian.PutUint64(first[:], p.Bits)
	binary.BigEndian.PutUint64(last[:], p.Bits|rest)
	for i := 8; i < len(last); i++ {
		last[i] = 0xFF
	}
	return first, last
}

// rows returns the studies that a query finds.
func (x *Index) rows(ctx context.Context, query string, args ...any) iter.Seq2[Study, error] {
	return func(yield func(Study, error) bool) {
		if x.read == nil {
			return
		}
		rows, err := x.read.QueryContext(ctx, query, args...)
		if err != nil {
			yield(Study{}, known(err))
			return
		}
		defer rows.Close()
		for rows.Next() {
			var s Study
			err := s.scan(rows)
			if !yield(s, known(err)) || err != nil {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(Study{}, known(err))
		}
	}
}

// Files returns the files of a study in the order of their paths. A chunk that is not what was written ends it with ErrDamaged.
func (x *Index) Files(ctx context.Context, uid dedup.UID) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if x.read == nil {
			return
		}
		tx, err := x.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}) // one state of row, chunks and recent changes
		if err != nil {
			yield(Entry{}, known(err))
			return
		}
		defer tx.Rollback()
		s, has, err := study(ctx, tx, uid)
		if err != nil || !has {
			if err != nil {
				yield(Entry{}, err)
			}
			return
		}
		for c, err := range manifest(ctx, tx, s) {
			if !yield(c.Entry, err) || err != nil {
				return
			}
		}
	}
}

// Manifest is Files as a map by path.
func (x *Index) Manifest(ctx context.Context, uid dedup.UID) (map[string]Entry, error) {
	out := make(map[string]Entry)
	for e, err := range x.Files(ctx, uid) {
		if err != nil {
			return nil, err
		}
		out[e.Path] = e
	}
	return out, nil
}

// File returns one file of a study; false if the index does not have it.
func (x *Index) File(ctx context.Context, uid dedup.UID, path string) (Entry, bool, error) {
	if x.read == nil {
		return Entry{}, false, nil
	}
	tx, err := x.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return Entry{}, false, known(err)
	}
	defer tx.Rollback()
	s, has, err := study(ctx, tx, uid)
	if err != nil || !has {
		return Entry{}, false, err
	}
	recent, err := recentChanges(ctx, tx, s)
	if err != nil {
		return Entry{}, false, err
	}
	for _, c := range recent {
		if c.Path == path {
			return c.Entry, !c.gone, nil
		}
	}
	return sortedFile(ctx, tx, s, path)
}

// sortedFile looks for a file in the one chunk where it can be.
func sortedFile(ctx context.Context, q querier, s Study, path string) (Entry, bool, error) {
	from, to := s.chunkRange()
	var data []byte
	err := q.QueryRowContext(ctx, "SELECT data FROM chunk WHERE id BETWEEN ? AND ? AND first <= ? ORDER BY id DESC LIMIT 1", from, to, key(s.UID, path)).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return Entry{}, false, nil
	} else if err != nil {
		return Entry{}, false, known(err)
	}
	changes, err := readChunk(s.UID, data)
	if err != nil {
		return Entry{}, false, err
	}
	for _, c := range changes {
		if c.Path == path {
			return c.Entry, true, nil
		}
	}
	return Entry{}, false, nil
}

// chunkRange is where a study's chunks are: the study's number above 33 bits, the generation, and the chunk's place. A new generation
// is written beside the old one, so that folding needs no memory for all of it.
func (s Study) chunkRange() (from, to int64) {
	from = s.id<<33 | s.generation<<32
	return from, from | (1<<32 - 1)
}

// recentRange is where the changes of a study are that are not folded yet, in their order.
func (s Study) recentRange() (from, to int64) { return s.id << 32, s.id<<32 | (1<<32 - 1) }

// recentChanges is what is not folded, in the order of the manifest.
func recentChanges(ctx context.Context, q querier, s Study) ([]change, error) {
	from, to := s.recentRange()
	rows, err := q.QueryContext(ctx, "SELECT data FROM recent WHERE id BETWEEN ? AND ? ORDER BY id", from, to)
	if err != nil {
		return nil, known(err)
	}
	defer rows.Close()
	var out []change
	n := int64(0)
	for ; rows.Next(); n++ {
		var data sql.RawBytes
		if err := rows.Scan(&data); err != nil {
			return nil, known(err)
		}
		changes, err := readChunk(s.UID, data)
		if err != nil {
			return nil, err
		}
		out = append(out, changes...)
	}
	if err := rows.Err(); err != nil {
		return nil, known(err)
	}
	if n != s.rows {
		return nil, fmt.Errorf("%d changes where there were %d: %w", n, s.rows, ErrDamaged)
	}
	return sorted(s.UID, out), nil
}

// manifest is all entries of a study: its chunks, and over them what is not folded.
func manifest(ctx context.Context, q querier, s Study) iter.Seq2[change, error] {
	return func(yield func(change, error) bool) {
		recent, err := recentChanges(ctx, q, s)
		if err != nil {
			yield(change{}, err)
			return
		}
		compare := compareKeys(s.UID)
		for c, err := range chunked(ctx, q, s) {
			if err != nil {
				yield(c, err)
				return
			}
			for len(recent) > 0 && compare(recent[0], c) < 0 {
				if !recent[0].gone && !yield(recent[0], nil) {
					return
				}
				recent = recent[1:]
			}
			if len(recent) > 0 && compare(recent[0], c) == 0 {
				continue // the change counts
			}
			if !yield(c, nil) {
				return
			}
		}
		for _, c := range recent {
			if !c.gone && !yield(c, nil) {
				return
			}
		}
	}
}

// chunked is the entries of a study's chunks.
func chunked(ctx context.Context, q querier, s Study) iter.Seq2[change, error] {
	return func(yield func(change, error) bool) {
		from, to := s.chunkRange()
		rows, err := q.QueryContext(ctx, "SELECT data FROM chunk WHERE id BETWEEN ? AND ? ORDER BY id", from, to)
		if err != nil {
			yield(change{}, known(err))
			return
		}
		defer rows.Close()
		size := int64(0)
		for rows.Next() {
			var data sql.RawBytes
			if err := rows.Scan(&data); err != nil {
				yield(change{}, known(err))
				return
			}
			size += int64(len(data))
			changes, err := readChunk(s.UID, data)
			if err != nil {
				yield(change{}, err)
				return
			}
			for _, c := range changes {
				if !yield(c, nil) {
					return
				}
			}
		}
		if err := rows.Err(); err != nil {
			yield(change{}, known(err))
		} else if size != s.sorted {
			yield(change{}, fmt.Errorf("chunks of %d bytes where there were %d: %w", size, s.sorted, ErrDamaged))
		}
	}
}

// Totals are sums over the studies of an index.
type Totals struct {
	Studies    int
	Incomplete int // that are not Complete
	Conflicts  int
	Instances  int64
	Series     int64
	Files      int64
	Bytes      int64          // on disk
	States     map[string]int // studies by their State
}

// Totals sums up what the rows of all studies say.
func (x *Index) Totals(ctx context.Context) (Totals, error) {
	t := Totals{States: make(map[string]int)}
	if x.read == nil {
		return t, nil
	}
	const sums = `SELECT state, COUNT(*), SUM(complete = 0), SUM(conflict), SUM(instances), SUM(series), SUM(files), SUM(bytes) FROM study
		WHERE NOT (complete AND leaf = ? AND others = ?) GROUP BY state` // Study.Nothing
	none := dedup.LeafDigest(nil)
	rows, err := x.read.QueryContext(ctx, sums, none[:], make([]byte, len(none)))
	if err != nil {
		return t, known(err)
	}
	defer rows.Close()
	for rows.Next() {
		var state string
		var of Totals
		if err := rows.Scan(&state, &of.Studies, &of.Incomplete, &of.Conflicts, &of.Instances, &of.Series, &of.Files, &of.Bytes); err != nil {
			return t, known(err)
		}
		t.States[state] = of.Studies
		t.Studies, t.Incomplete, t.Conflicts = t.Studies+of.Studies, t.Incomplete+of.Incomplete, t.Conflicts+of.Conflicts
		t.Instances, t.Series, t.Files, t.Bytes = t.Instances+of.Instances, t.Series+of.Series, t.Files+of.Files, t.Bytes+of.Bytes
	}
	return t, known(rows.Err())
}
