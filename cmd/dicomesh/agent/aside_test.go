package agent

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/events"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/config"
	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/dedup/verify"
	"github.com/dicomesh/dicomesh/syncer"
)

// lone is a site alone with a tree, of which nothing runs.
type lone struct {
	*site
	t    *testing.T
	tree string
}

type unwatched struct{ Watcher }

func (unwatched) Expect(dedup.UID) {}
func (unwatched) Enough(dedup.UID) {}

func newLone(t *testing.T) lone {
	t.Helper()
	s := lone{site: &site{log: slog.New(slog.DiscardHandler), watcher: unwatched{}, room: newRoom(config.Disk{}, nil, nil)}, t: t, tree: t.TempDir()}
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	tree, err := durable.OpenOS(s.tree)
	must(err)
	s.site.tree = tree
	s.index, err = index.Open(t.Context(), t.TempDir())
	must(err)
	s.events, err = events.Open(filepath.Join(t.TempDir(), "events"), events.Config{Site: "a"})
	must(err)
	check := verify.New(verify.Config{Tree: tree, Index: s.index, Deep: true}).File
	later := func() time.Time { return time.Now().Add(time.Hour) } // what was written lies still
	s.keeper = index.NewKeeper(index.KeeperConfig{Tree: tree, Index: s.index, Check: check, Now: later})
	s.library, err = syncer.OpenLibrary(t.Context(), syncer.LibraryConfig{Tree: tree, Index: s.index, Keeper: s.keeper})
	must(err)
	t.Cleanup(func() { must(s.events.Close()); must(s.index.Close()); must(tree.Close()) })
	return s
}

// list writes a list of so many records that supersedes others, and returns its path in the tree.
func (s lone) list(study dedup.UID, records int, over ...dedup.Hash) (path string, name dedup.Hash) {
	s.t.Helper()
	var all []dedup.Object
	for n := range records {
		o, err := dedup.ParseObject(fmt.Appendf(nil, `{"00080018":{"Value":["1.2.3.%d"],"vr":"UI"},"0020000E":{"Value":["1.2.9"],"vr":"UI"}}`, n))
		if err == nil {
			o, _, err = dedup.Seal(o, dedup.Dedup{Type: dedup.TypeInstance})
		}
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, o)
	}
	name, content := dedup.ComposeList(dedup.Dedup{ReplaceFiles: over}, nil, all)
	path = dedup.Ref{Class: dedup.List, Name: name.String()}.In(study)
	s.write(path, dedup.Compress(nil, content))
	return path, name
}

func (s lone) write(path string, data []byte) {
	s.t.Helper()
	at := filepath.Join(s.tree, path)
	_ = os.Remove(at)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(at, data, 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// TestDamagedListAlone holds that a damaged list of which no site could have another copy leaves the study when other lists account for it, into quarantine, and with a word to the operator; and that one which counts stays where it is,
// and the study incomplete.
func TestDamagedListAlone(t *testing.T) {
	for _, counts := range []bool{false, true} {
		s, study := newLone(t), uid(t, "1.2.3")
		spoilt, name := s.list(study, 1)
		if !counts {
			s.list(study, 2, name)
		}
		look := func() bool {
			t.Helper()
			s.wide.add(study)
			h, err := s.holding(t.Context(), study)
			if err != nil {
				t.Fatal(err)
			}
			return h.Complete
		}
		if !look() {
			t.Fatal("the study is not complete to begin with")
		}
		s.write(spoilt, []byte("torn"))
		if complete := look(); complete == counts {
			t.Errorf("counts %v: the study is complete: %v", counts, complete)
		}
		_, err := os.Lstat(filepath.Join(s.tree, spoilt))
		kept, _ := filepath.Glob(filepath.Join(s.tree, ".dicomesh/quarantine/*"))
		if there := err == nil; there != counts || len(kept) == 1 == counts {
			t.Errorf("counts %v: the file is there: %v, in quarantine: %v", counts, there, kept)
		}
		said := false
		for _, e := range s.events.Last(10) {
			said = said || e.Kind == events.Fault && strings.Contains(e.Reason, "quarantine")
		}
		if said == counts {
			t.Errorf("counts %v: it was said: %v", counts, said)
		}
	}
}
