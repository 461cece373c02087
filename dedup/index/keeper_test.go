package index_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/dedup/verify"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// site is a tree with one study, its index and a Keeper of both. What its Keeper does to the disk is counted.
type site struct {
	t     testing.TB
	dir   string
	state string
	fs    *counting
	x     *index.Index
	k     *index.Keeper
	uid   dedup.UID
	now   time.Time
	cache int64
}

// counting counts what is asked of a tree, and where.
type counting struct {
	durable.Reader
	opened, listed []string
}

func (c *counting) Open(name string) (durable.File, error) {
	c.opened = append(c.opened, name)
	return c.Reader.Open(name)
}

func (c *counting) ReadDir(name string) ([]os.DirEntry, error) {
	c.listed = append(c.listed, name)
	return c.Reader.ReadDir(name)
}

// take returns how many files were opened since it was called last.
func (c *counting) take() int {
	n := len(c.opened)
	c.opened, c.listed = nil, nil
	return n
}

func newSite(t testing.TB) *site {
	t.Helper()
	s := &site{t: t, dir: filepath.Join(t.TempDir(), "tree"), state: filepath.Join(t.TempDir(), "state"), now: time.Now().Add(time.Hour)}
	must(t, os.MkdirAll(filepath.Join(s.dir, ".dicomesh"), 0o755))
	fsys, err := durable.OpenOS(s.dir)
	must(t, err)
	t.Cleanup(func() { fsys.Close() })
	s.fs = &counting{Reader: fsys}
	s.uid, err = dedup.ParseUID("1.2.3")
	must(t, err)
	s.restart()
	t.Cleanup(func() { s.x.Close() })
	return s
}

// restart is what a new process knows: index and log, and nothing else.
func (s *site) restart() {
	s.t.Helper()
	if s.x != nil {
		must(s.t, s.x.Close())
	}
	var err error
	s.x, err = index.Open(s.t.Context(), s.state)
	must(s.t, err)
	s.k = s.keeper()
}

// keeper is one that knows nothing but what is in the index.
func (s *site) keeper() *index.Keeper {
	check := verify.New(verify.Config{Tree: s.fs, Deep: true}).File
	return index.NewKeeper(index.KeeperConfig{Tree: s.fs, Index: s.x, Check: check, Now: func() time.Time { return s.now }, Cache: s.cache})
}

func (s *site) path(r dedup.Ref) string { return filepath.Join(s.dir, r.In(s.uid)) }

func (s *site) write(r dedup.Ref, data []byte) {
	s.t.Helper()
	must(s.t, os.MkdirAll(filepath.Dir(s.path(r)), 0o755))
	must(s.t, os.WriteFile(s.path(r), data, 0o644))
}

// remove removes a file and returns what puts it back.
func (s *site) remove(r dedup.Ref) (back func()) {
	s.t.Helper()
	data, err := os.ReadFile(s.path(r))
	must(s.t, err)
	must(s.t, os.Remove(s.path(r)))
	return func() { s.write(r, data) }
}

// value is bulkdata of this text.
func (s *site) value(text string) dedup.Ref {
	r := dedup.Ref{Class: dedup.Bulkdata, Name: dedup.HashOf(sha256.Sum256([]byte(text))).String(), Ext: ".raw"}
	s.write(r, []byte(text))
	return r
}

// record is that of an instance with a text, in a series, with a value beside it.
func (s *site) record(sop, series int, text string) dedup.Object {
	s.t.Helper()
	v := s.value(text)
	o, err := dedup.ParseObject(fmt.Appendf(nil, `{"00080018":{"Value":["1.2.3.%d"],"vr":"UI"},"0020000E":{"Value":["1.2.3.9.%d"],"vr":"UI"},"00204000":{"Value":[%q],"vr":"LT"},
		"00291010":{"BulkDataURI":%q,"vr":"OB"}}`, sop, series, text, v.Path()))
	must(s.t, err)
	o, _, err = dedup.Seal(o, dedup.Dedup{Type: dedup.TypeInstance, Content: dedup.HashOf(sha256.Sum256([]byte("content of " + text)))})
	must(s.t, err)
	return o
}

// instance puts an instance into the tree.
func (s *site) instance(sop, series int, text string) (dedup.Ref, dedup.Object) {
	o := s.record(sop, series, text)
	r := dedup.Ref{Class: dedup.Instance, Name: fmt.Sprintf("1.2.3.%d", sop)}
	s.write(r, dedup.Compress(nil, append(o.AppendJSON([]byte{'['}), ']')))
	return r, o
}

// list puts a list of these records into the tree, which supersedes others.
func (s *site) list(over []dedup.Ref, records ...dedup.Object) dedup.Ref {
	var d dedup.Dedup
	for _, r := range over {
		d.ReplaceFiles = append(d.ReplaceFiles, r.Hash())
	}
	name, content := dedup.ComposeList(d, nil, records)
	r := dedup.Ref{Class: dedup.List, Name: name.String()}
	s.write(r, dedup.Compress(nil, content))
	return r
}

func (s *site) look() index.Holding {
	s.t.Helper()
	h, err := s.k.Look(s.t.Context(), s.uid)
	must(s.t, err)
	return h
}

func (s *site) lookAll() index.Holding {
	s.t.Helper()
	h, err := s.k.LookAll(s.t.Context(), s.uid)
	must(s.t, err)
	return h
}

// truth is what the study is for somebody who reads all of it and knows nothing else.
func (s *site) truth() (dedup.Digest, *dedup.State) {
	s.t.Helper()
	folder, err := dedup.NewTree(s.fs.Reader).Study(s.uid)
	must(s.t, err)
	held, _, err := folder.Files()
	must(s.t, err)
	state := index.Resolve(folder, held)
	return dedup.LeafDigest(state.Leaves), state
}

// whole holds that a Holding is that of a study where nothing is wrong.
func (s *site) whole(h index.Holding, instances, series int) {
	s.t.Helper()
	leaf, _ := s.truth()
	if !h.Complete || h.MissingCount+h.CorruptCount+h.VanishedCount != 0 || h.Retry != 0 {
		s.t.Errorf("not whole: %+v", h)
	}
	if h.Leaf != leaf || h.Instances != instances || h.Series != series {
		s.t.Errorf("%d instances in %d series, want %d in %d; the leaf digest is right: %v", h.Instances, h.Series, instances, series, h.Leaf == leaf)
	}
	row, has, err := s.x.Study(s.t.Context(), s.uid)
	if err != nil || !has || row.Leaf != h.Leaf || row.Facts != h.Facts || row.Change != h.Change {
		s.t.Errorf("the index has %+v: %v", row, err)
	}
}

// broken holds how a study is not whole.
func (s *site) broken(h index.Holding, missing, corrupt, vanished int) {
	s.t.Helper()
	if h.Complete || h.MissingCount != missing || h.CorruptCount != corrupt || h.VanishedCount != vanished {
		s.t.Errorf("complete %v, missing %v, corrupt %v, vanished %v; want %d, %d, %d", h.Complete, h.Missing, h.Corrupt, h.Vanished, missing, corrupt, vanished)
	}
}

// TestLook holds that a Look says what the study is, once, and that one with nothing new reads nothing, in this process and the next.
func TestLook(t *testing.T) {
	s := newSite(t)
	if h := s.look(); !h.Nothing() || h.Changed || h.Change != 0 {
		t.Errorf("of nothing: %+v", h)
	}
	s.instance(1, 1, "one")
	s.instance(2, 1, "two")
	_, three := s.instance(3, 2, "three")
	h := s.look()
	s.whole(h, 3, 2)
	if !h.Changed || h.Files != 6 || h.Incarnation != s.x.Incarnation || h.Nothing() {
		t.Errorf("first: %+v", h)
	}
	totals, err := s.x.Totals(t.Context())
	if must(t, err); totals.Studies != 1 || totals.Instances != 3 || totals.Series != 2 || totals.Files != 6 || totals.Bytes != h.Bytes || totals.Incomplete != 0 {
		t.Errorf("totals are %+v", totals)
	}
	for _, when := range []string{"again", "after a restart"} {
		s.fs.take()
		again := s.look()
		if n := s.fs.take(); n != 0 || again.Changed || again.Change != h.Change {
			t.Errorf("%s %d files were opened: %+v", when, n, again)
		}
		s.whole(again, 3, 2)
		s.restart()
	}
	s.list(nil, three)
	if h := s.look(); !h.Changed {
		t.Errorf("a list came and nothing changed")
	} else {
		s.whole(h, 3, 2)
	}
	ids, h, err := s.k.Leaves(t.Context(), s.uid)
	if must(t, err); len(ids) != 3 || dedup.LeafDigest(ids) != h.Leaf {
		t.Errorf("leaves %v", ids)
	}
	s.restart()
	if ids, h, err := s.k.Leaves(t.Context(), s.uid); err != nil || len(ids) != 3 || dedup.LeafDigest(ids) != h.Leaf {
		t.Errorf("leaves after a restart %v: %v", ids, err)
	}
}

// TestLookCost holds that one more instance costs the reading of its own files, and bulkdata folders are not listed.
func TestLookCost(t *testing.T) {
	s := newSite(t)
	for n := range 50 {
		s.instance(n, 1, fmt.Sprint("of ", n))
	}
	s.look()
	s.fs.take()
	s.instance(50, 1, "of 50")
	h := s.look()
	s.whole(h, 51, 1)
	for _, dir := range s.fs.listed {
		if strings.Contains(dir, "bulkdata") {
			t.Errorf("%s was listed", dir)
		}
	}
	paths := slices.Compact(slices.Sorted(slices.Values(s.fs.opened)))
	if len(paths) != 2 {
		t.Errorf("opened were %v", paths)
	}
}

// TestTorn holds that a torn list or instance file, whoever's, is not counted, makes the study incomplete, is told once, stays where it is, and counts when it is right.
func TestTorn(t *testing.T) {
	for _, cut := range []int{0, 1, 10, 100} {
		s := newSite(t)
		s.instance(1, 1, "one")
		before := s.look()
		two, o := s.instance(2, 1, "two")
		whole, err := os.ReadFile(s.path(two))
		must(t, err)
		l := s.list(nil, o)
		for _, r := range []dedup.Ref{two, l} {
			data, err := os.ReadFile(s.path(r))
			must(t, err)
			s.write(r, data[:min(cut, len(data)-1)])
		}
		h := s.look()
		s.broken(h, 0, 2, 0)
		if h.Leaf != before.Leaf || h.Instances != 1 || !h.Changed || !h.Corrupt[0].New || h.Corrupt[0].Reason == "" {
			t.Errorf("torn: %+v", h)
		}
		again := s.look()
		if s.broken(again, 0, 2, 0); again.Corrupt[0].New || again.Changed {
			t.Errorf("told twice: %+v", again)
		}
		if entries, _, err := s.x.File(t.Context(), s.uid, two.In(s.uid)); err != nil || entries.Disk != 0 {
			t.Errorf("a torn file is entered: %v", err)
		}
		s.restart()
		s.broken(s.look(), 0, 2, 0)
		must(t, os.Remove(s.path(l)))
		s.write(two, whole)
		s.whole(s.look(), 2, 1)
	}
}

// TestLateBulkdata holds that a study waits for what its records refer to, and is complete when it comes, without a walk over bulkdata.
func TestLateBulkdata(t *testing.T) {
	s := newSite(t)
	s.instance(1, 1, "one")
	v := s.value("two")
	s.instance(2, 1, "two")
	back := s.remove(v)
	for _, when := range []string{"first", "again", "after a restart"} {
		h := s.look()
		if s.broken(h, 1, 0, 0); h.Missing[0] != v || h.Changed != (when == "first") {
			t.Errorf("%s: %+v", when, h)
		}
		if when == "again" {
			s.restart()
		}
	}
	s.write(v, []byte("not what the name says"))
	h := s.look()
	s.broken(h, 1, 1, 0)
	must(t, os.Remove(s.path(v)))
	s.fs.take()
	back()
	h = s.look()
	if s.whole(h, 2, 1); !h.Changed {
		t.Error("it came and nothing changed")
	}
	if slices.ContainsFunc(s.fs.listed, func(dir string) bool { return strings.Contains(dir, "bulkdata") }) {
		t.Errorf("listed were %v", s.fs.listed)
	}
	if _, has, err := s.x.File(t.Context(), s.uid, v.In(s.uid)); !has || err != nil {
		t.Errorf("it is not entered: %v", err)
	}
	s.instance(3, 1, "three")
	back = s.remove(s.value("three"))
	s.broken(s.look(), 1, 0, 0)
	back()
	s.whole(s.look(), 3, 1)
}
