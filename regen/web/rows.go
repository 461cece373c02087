package web

import (
	"context"
	"errors"
	"io/fs"
	"sync"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/regen"
	"github.com/dicomesh/dicomesh/regen/web/search"
)

// ReadRow makes the row by which a study is found (search.MakeRow) of its current files, which have to be those of its status. fs.ErrNotExist when no round has
// finished the study; ErrChanging when a round is changing it.
func ReadRow(current durable.Reader, study dedup.UID) ([]byte, error) {
	status, err := regen.ReadStatus(current, study)
	if err != nil {
		return nil, err
	}
	h := Handler{config: Config{Current: current}}
	own, err := h.objectsOf(study, status, "studies.gz")
	if err != nil {
		return nil, err
	}
	series, err := h.objectsOf(study, status, "series.gz")
	if err != nil {
		return nil, err
	}
	if len(own) != 1 {
		return nil, dedup.ErrDamaged
	}
	return search.MakeRow(own[0], series), nil
}

// ErrChanging says that a round is changing the study: come again.
var ErrChanging error = changing

// objectsOf are the objects of a file about a study, which is of that status.
func (h *Handler) objectsOf(study dedup.UID, status regen.Status, name string) ([]dedup.Object, error) {
	f, _, err := h.open("studies/" + study.String() + "/" + name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if !isOf(f, status.Leaves, status.Version) {
		return nil, changing
	}
	text, err := unzip(f)
	if err != nil {
		return nil, err
	}
	return dedup.ParseList(text)
}

// Follower keeps a Table as a current tree is, for whoever does not know what is published, and when. Its methods may be called from several goroutines.
type Follower struct {
	Current durable.Reader
	Table   *search.Table

	mu   sync.Mutex // one look at a time; guards seen
	seen map[dedup.UID]identity
}

// Look looks at the status of each study, and reads what has changed since the look before. Studies that cannot be read are not in the table, and are told when all others are.
func (f *Follower) Look(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen == nil {
		f.seen = map[dedup.UID]identity{}
	}
	studies, err := folders(f.Current)
	if err != nil {
		return err
	}
	here := make(map[dedup.UID]bool, len(studies))
	var first error
	for _, uid := range studies {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		here[uid] = true
		if err := f.study(uid); err != nil && first == nil {
			first = err
		}
	}
	for uid := range f.seen {
		if !here[uid] {
			f.forget(uid)
		}
	}
	return first
}

// Study looks at one study.
func (f *Follower) Study(uid dedup.UID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen == nil {
		f.seen = map[dedup.UID]identity{}
	}
	return f.study(uid)
}

func (f *Follower) study(uid dedup.UID) error {
	info, err := f.Current.Lstat(regen.StatusPath(uid))
	if errors.Is(err, fs.ErrNotExist) {
		f.forget(uid)
		return nil
	}
	if err != nil {
		return err
	}
	id := identityOf(info)
	if was, ok := f.seen[uid]; ok && was == id && id != (identity{}) {
		return nil
	}
	row, err := ReadRow(f.Current, uid)
	switch {
	case errors.Is(err, changing):
		return nil // what is in the table stays until the next look
	case errors.Is(err, fs.ErrNotExist):
		f.forget(uid)
		return nil
	case err != nil:
		f.forget(uid)
		return err
	}
	if err := f.Table.Put(uid, row); err != nil {
		return err
	}
	f.seen[uid] = id
	return nil
}

func (f *Follower) forget(uid dedup.UID) {
	delete(f.seen, uid)
	f.Table.Remove(uid)
}

// folders are the studies of a current tree, whether they are published or not.
func folders(current durable.Reader) ([]dedup.UID, error) {
	entries, err := current.ReadDir("studies")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var out []dedup.UID
	for _, e := range entries {
		if uid, err := dedup.ParseUID(e.Name()); err == nil && e.IsDir() && uid.String() == e.Name() {
			out = append(out, uid)
		}
	}
	return out, nil
}
