package agent

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/regen"
	"github.com/dicomesh/dicomesh/regen/web"
	"github.com/dicomesh/dicomesh/regen/web/search"
	"github.com/dicomesh/dicomesh/settle"
)

// records keeps what settle decided in the index, with the study's row (settle.Records). The index is a cache: what is lost with it is made again.
type records struct {
	index   *index.Index
	current durable.Reader
	aside   *provisional
	log     *slog.Logger
	rows    search.Table // of what readers are shown, for searches: what the index has of it, in memory

	mu     sync.Mutex
	hidden map[dedup.UID]bool // studies whose first files are being made: in the current tree there may be some, and nobody is to be shown them
}

// stored is a settle.Record as the index has it. Fields are only ever added; what cannot be read is no record, and its study is settled again.
type stored struct {
	State       settle.State `json:"state,omitempty"`
	Leaf        hexDigest    `json:"leaf,omitzero"`
	Published   hexDigest    `json:"published,omitzero"`
	Provisional hexDigest    `json:"provisional,omitzero"`
	Version     string       `json:"version,omitempty"`
	Due         time.Time    `json:"due,omitzero"`
	Reason      string       `json:"reason,omitempty"`
	Certificate *certificate `json:"certificate,omitempty"`
}

// certificate is a settle.Certificate of the study whose row it stands in.
type certificate struct {
	Leaf       hexDigest `json:"leaf"`
	Version    string    `json:"version"`
	Epoch      string    `json:"epoch,omitempty"`
	Nonce      string    `json:"nonce,omitempty"`
	Sites      []stand   `json:"sites"`
	Exceptions []string  `json:"exceptions,omitempty"`
}

type stand struct {
	Site        string    `json:"site"`
	Leaf        hexDigest `json:"leaf"`
	Complete    bool      `json:"complete"`
	Durable     bool      `json:"durable"`
	Number      uint64    `json:"number"`
	Incarnation string    `json:"incarnation,omitempty"`
}

// hexDigest is a digest that is written in hex.
type hexDigest dedup.Digest

// MarshalText implements encoding.TextMarshaler.
func (d hexDigest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *hexDigest) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(d)) {
		return errors.New("a digest has 64 hex digits")
	}
	_, err := hex.Decode(d[:], text)
	return err
}

// encodeRecord is a record as the text of a row.
func encodeRecord(r settle.Record) string {
	s := stored{State: r.State, Leaf: hexDigest(r.Leaf), Published: hexDigest(r.Published), Provisional: hexDigest(r.Provisional), Version: r.Version,
		Due: r.Due, Reason: r.Reason}
	if c := r.Certificate; c != nil {
		s.Certificate = &certificate{Leaf: hexDigest(c.Leaf), Version: c.Version, Epoch: c.Epoch, Nonce: c.Nonce, Exceptions: c.Exceptions}
		for _, site := range c.Sites {
			s.Certificate.Sites = append(s.Certificate.Sites, stand{site.Site, hexDigest(site.Leaf), site.Complete, site.Durable, site.Number, site.Incarnation})
		}
	}
	text, err := json.Marshal(s)
	if err != nil {
		panic("agent: " + err.Error()) // a year beyond 9999 is all that has no JSON form here
	}
	return string(text)
}

// decodeRecord reads the text of a study's row; the zero Record where there is none.
func decodeRecord(study dedup.UID, text string) (settle.Record, error) {
	if text == "" {
		return settle.Record{}, nil
	}
	var s stored
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return settle.Record{}, fmt.Errorf("record of a study: %w", err)
	}
	r := settle.Record{State: s.State, Leaf: dedup.Digest(s.Leaf), Published: dedup.Digest(s.Published), Provisional: dedup.Digest(s.Provisional), Version: s.Version,
		Due: s.Due, Reason: s.Reason}
	if c := s.Certificate; c != nil {
		r.Certificate = &settle.Certificate{Study: study, Leaf: dedup.Digest(c.Leaf), Version: c.Version, Epoch: c.Epoch, Nonce: c.Nonce, Exceptions: c.Exceptions}
		for _, site := range c.Sites {
			r.Certificate.Sites = append(r.Certificate.Sites,
				settle.Stand{Site: site.Site, Leaf: dedup.Digest(site.Leaf), Complete: site.Complete, Durable: site.Durable, Number: site.Number, Incarnation: site.Incarnation})
		}
	}
	return r, nil
}

func newRecords(x *index.Index, current durable.Reader, aside *provisional, log *slog.Logger) *records {
	return &records{index: x, current: current, aside: aside, log: log, hidden: map[dedup.UID]bool{}}
}

// All implements settle.Records. A study whose last file, its status, is not in the current tree has nothing published, whatever the index says.
func (r *records) All(ctx context.Context) iter.Seq2[settle.Known, error] {
	return func(yield func(settle.Known, error) bool) {
		for row, err := range r.index.Studies(ctx, 0) {
			if err != nil {
				yield(settle.Known{}, err)
				return
			}
			known := settle.Known{Study: row.UID, Leaf: row.Leaf, Record: r.there(row)}
			switch {
			case isProvisional(known.Record):
				r.enterAside(row.UID)
			case known.Record.Published != (dedup.Digest{}):
				r.enter(ctx, row)
			}
			if !yield(known, nil) {
				return
			}
		}
	}
}

// there is the record of a row; the zero Record where it says that something is published, and the files are lost: they will be made again. Those that were removed to make room are not lost.
// Provisional output that is not there, or not wanted any more, is none.
func (r *records) there(row index.Study) settle.Record {
	record := r.read(row)
	if !r.aside.shown(row.UID) {
		record.Provisional = dedup.Digest{}
	}
	if record.Published == (dedup.Digest{}) || row.Instances == 0 { // a study of which every instance was deleted has no files
		return record
	}
	if _, err := r.current.Lstat(regen.StatusPath(row.UID)); errors.Is(err, fs.ErrNotExist) && !regen.Cleaned(r.current, row.UID) {
		return settle.Record{}
	}
	return record
}

// Load implements settle.Records.
func (r *records) Load(ctx context.Context, study dedup.UID) (settle.Record, error) {
	row, found, err := r.index.Study(ctx, study)
	if err != nil || !found {
		return settle.Record{}, err
	}
	return r.there(row), nil
}

// read is the record of a row. One that cannot be read is none: the study is settled again.
func (r *records) read(row index.Study) settle.Record {
	record, err := decodeRecord(row.UID, row.State)
	if err != nil {
		r.log.Warn("a record in the index cannot be read, its study is settled again", "error", err)
	}
	return record
}

// enter makes a study that was published before findable. A row of another release is made again.
func (r *records) enter(ctx context.Context, row index.Study) {
	if len(row.Published) > 0 && r.rows.Put(row.UID, row.Published) == nil {
		return
	}
	text, err := web.ReadRow(r.current, row.UID)
	if err == nil {
		if err = r.rows.Put(row.UID, text); err == nil {
			_, err = r.index.Update(ctx, row.UID, index.Change{Published: text})
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.log.Warn("a published study is not found by searches until it changes", "error", err)
	}
}

// row is what searches find of a study when record is saved: nil, what they find already; empty, nothing.
func (r *records) row(ctx context.Context, study dedup.UID, record settle.Record) ([]byte, error) {
	if record.Published == (dedup.Digest{}) {
		return []byte{}, nil
	}
	was, found, err := r.index.Study(ctx, study)
	if err != nil {
		return nil, err
	}
	if before := r.read(was); found && len(was.Published) > 0 && before.Published == record.Published && before.Version == record.Version {
		return nil, nil
	}
	text, err := web.ReadRow(r.current, study)
	if errors.Is(err, fs.ErrNotExist) { // every instance was deleted
		return []byte{}, nil
	}
	return text, err
}

// enterAside makes a study findable of which there is provisional output.
func (r *records) enterAside(study dedup.UID) {
	text, err := web.ReadRow(asideReader{r.aside}, study)
	if err == nil {
		err = r.rows.Put(study, text)
	}
	if err != nil {
		r.log.Warn("a study with provisional output is not found by searches", "error", err)
	}
}

// find lets searches find what record says that readers are shown; row is what they found of what is published: nil, as before.
func (r *records) find(ctx context.Context, study dedup.UID, record settle.Record, row []byte) error {
	if isProvisional(record) {
		r.enterAside(study)
		return nil
	}
	if row == nil && r.aside.shown(study) { // what is published comes back
		was, _, err := r.index.Study(ctx, study)
		if err != nil {
			return err
		}
		row = was.Published
	}
	if len(row) > 0 {
		return r.rows.Put(study, row)
	}
	if row != nil {
		r.rows.Remove(study)
	}
	return nil
}

// Save implements settle.Records.
func (r *records) Save(ctx context.Context, study dedup.UID, record settle.Record) error {
	row, err := r.row(ctx, study, record)
	if err != nil {
		return err
	}
	if _, err := r.index.Update(ctx, study, index.Change{State: encodeRecord(record), Published: row}); err != nil {
		return err
	}
	if err := r.find(ctx, study, record, row); err != nil {
		return err
	}
	r.aside.saved(study, record)
	if record.Published != (dedup.Digest{}) {
		r.mu.Lock()
		delete(r.hidden, study)
		r.mu.Unlock()
	}
	return nil
}

// hide says that the first files of a study may be about to appear: readers are not shown it before a record says that it is published.
func (r *records) hide(ctx context.Context, study dedup.UID) error {
	record, err := r.Load(ctx, study)
	if err != nil || record.Published != (dedup.Digest{}) {
		return err
	}
	r.mu.Lock()
	r.hidden[study] = true
	r.mu.Unlock()
	return nil
}

// shown reports whether readers may be shown what is in the current tree of a study.
func (r *records) shown(study dedup.UID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.hidden[study]
}
