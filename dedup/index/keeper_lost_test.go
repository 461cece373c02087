package index_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/index"
	_ "modernc.org/sqlite"
)

// TestLost holds that a leaf that is gone is an alarm, in every process from then on, and never a smaller study that looks whole; and that it counts when it is back.
func TestLost(t *testing.T) {
	for _, cold := range []bool{false, true} {
		s := newSite(t)
		s.instance(1, 1, "one")
		two, o := s.instance(2, 1, "two")
		l := s.list(nil, s.record(3, 2, "three"))
		whole := s.look()
		for _, r := range []dedup.Ref{two, l} {
			if cold {
				s.restart()
			}
			back := s.remove(r)
			for _, when := range []string{"first", "again", "after a restart"} {
				h := s.look()
				s.broken(h, 0, 0, 1)
				if h.Leaf == whole.Leaf || h.Vanished[0].Path != r.In(s.uid) || h.Vanished[0].New != (when != "again") || h.Files != whole.Files-1 {
					t.Errorf("%s: %+v", when, h)
				}
				if when == "again" {
					s.restart()
				}
			}
			s.instance(4, 1, "four")
			s.broken(s.look(), 0, 0, 1)
			s.broken(s.lookAll(), 0, 0, 1)
			must(t, s.x.Refresh(t.Context(), s.fs, nil))
			s.restart()
			s.broken(s.look(), 0, 0, 1)
			back()
			s.whole(s.look(), 4, 2)
			must(t, os.Remove(s.path(dedup.Ref{Class: dedup.Instance, Name: "1.2.3.4"})))
			must(t, s.k.Forget(t.Context(), s.uid))
			s.whole(s.lookAll(), 3, 2)
			whole = s.look()
		}
		_ = o
	}
}

// TestCollected holds that files which lists account for may go: one by one, all at once, in the moment in which their list comes, and while nobody looked.
func TestCollected(t *testing.T) {
	type step func(s *site, one, two dedup.Ref, x, y dedup.Object)
	for name, do := range map[string]step{
		"one by one": func(s *site, one, two dedup.Ref, x, y dedup.Object) {
			s.list(nil, x, y)
			s.whole(s.look(), 2, 1)
			s.remove(one)
			s.whole(s.look(), 2, 1)
			s.remove(two)
		},
		"at once, while nobody looked": func(s *site, one, two dedup.Ref, x, y dedup.Object) {
			s.list(nil, x, y)
			s.whole(s.look(), 2, 1)
			s.remove(one)
			s.remove(two)
			s.restart()
		},
		"as their list comes": func(s *site, one, two dedup.Ref, x, y dedup.Object) {
			s.list(nil, x, y)
			s.remove(one)
			s.remove(two)
		},
		"a list with its files, as another comes": func(s *site, one, two dedup.Ref, x, y dedup.Object) {
			l := s.list(nil, x, y)
			s.remove(one)
			s.whole(s.look(), 2, 1)
			m := s.list([]dedup.Ref{l}, x, y, s.record(3, 1, "three"))
			s.remove(l)
			s.remove(two)
			s.whole(s.look(), 3, 1)
			s.list([]dedup.Ref{l, m}, x, y)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			one, x := s.instance(1, 1, "one")
			two, y := s.instance(2, 1, "two")
			s.look()
			do(s, one, two, x, y)
			h := s.look()
			s.whole(h, h.Instances, 1)
			if _, has, err := s.x.File(t.Context(), s.uid, one.In(s.uid)); has || err != nil {
				t.Errorf("a collected file is still entered: %v", err)
			}
		})
	}
}

// TestLostAndCollected holds that of files which vanish at one time those that a list accounts for are collected, and the others lost; also when the list goes with them.
func TestLostAndCollected(t *testing.T) {
	for _, withList := range []bool{false, true} {
		s := newSite(t)
		one, x := s.instance(1, 1, "one")
		two, _ := s.instance(2, 1, "two")
		l := s.list(nil, x)
		s.whole(s.look(), 2, 1)
		s.remove(one)
		s.remove(two)
		lost := 1
		if withList {
			s.remove(l)
			lost = 3 // the list accounts for the first one, and is not here
		}
		s.instance(3, 1, "three")
		s.broken(s.look(), 0, 0, lost)
		s.restart()
		s.broken(s.look(), 0, 0, lost)
	}
}

// TestNameIsNoProof holds that a list which names another one and has not its records does not make up for it.
func TestNameIsNoProof(t *testing.T) {
	s := newSite(t)
	l := s.list(nil, s.record(1, 1, "one"), s.record(2, 1, "two"))
	s.look()
	s.list([]dedup.Ref{l}, s.record(1, 1, "one"))
	s.remove(l)
	s.broken(s.look(), 0, 0, 1)
}

// TestLostIsMadeUpFor holds that what is lost is missed no longer when a list accounts for it, as far as somebody remembers what was in it.
func TestLostIsMadeUpFor(t *testing.T) {
	s := newSite(t)
	s.instance(1, 1, "one")
	two, y := s.instance(2, 1, "two")
	s.look()
	s.remove(two)
	s.broken(s.look(), 0, 0, 1)
	s.list(nil, y)
	s.whole(s.look(), 2, 1)
	s.restart()
	s.whole(s.look(), 2, 1)
}

// TestAbsent holds that a tree which is not mounted teaches nothing, and one that is there and has lost a study does.
func TestAbsent(t *testing.T) {
	s := newSite(t)
	s.instance(1, 1, "one")
	want := s.look()
	away := s.dir + " unmounted"
	for _, cold := range []bool{false, true} {
		for _, all := range []bool{false, true} {
			must(t, os.Mkdir(away, 0o755))
			for _, name := range []string{"studies", ".dicomesh"} {
				must(t, os.Rename(filepath.Join(s.dir, name), filepath.Join(away, name)))
			}
			if cold {
				s.restart()
			}
			look := s.k.Look
			if all {
				look = s.k.LookAll
			}
			if h, err := look(t.Context(), s.uid); !errors.Is(err, index.ErrAbsent) {
				t.Errorf("cold %v, all %v: %+v, %v", cold, all, h, err)
			}
			for _, name := range []string{"studies", ".dicomesh"} {
				must(t, os.Rename(filepath.Join(away, name), filepath.Join(s.dir, name)))
			}
			must(t, os.Remove(away))
			if h := s.look(); h.Change != want.Change || h.Leaf != want.Leaf || !h.Complete {
				t.Errorf("mounted again: %+v", h)
			}
		}
	}
	must(t, os.RemoveAll(filepath.Join(s.dir, "studies")))
	s.broken(s.look(), 0, 0, 1)
	s.uid, _ = dedup.ParseUID("1.2.4")
	s.write(dedup.Ref{Class: dedup.Other, Name: "notes/alone"}, []byte("a note"))
	s.lookAll()
	must(t, os.RemoveAll(filepath.Join(s.dir, "studies")))
	must(t, os.Remove(filepath.Join(s.dir, ".dicomesh")))
	if h, err := s.k.LookAll(t.Context(), s.uid); !errors.Is(err, index.ErrAbsent) {
		t.Errorf("%+v, %v", h, err)
	}
}

// TestForeign holds that a file whose name and content say nothing counts when it was left alone for a while, is in the digest log before it counts, and is
// corrupt when it changes.
func TestForeign(t *testing.T) {
	s := newSite(t)
	frame := dedup.Ref{Class: dedup.Other, Name: "series/1.2.3.9.1/instances/1.2.3.1/frames/1.jpg"}
	value := dedup.Ref{Class: dedup.Bulkdata, Name: strings.Repeat("z9", 15), Ext: ".raw"}
	o, err := dedup.ParseObject(fmt.Appendf(nil, `{"00080018":{"Value":["1.2.3.1"],"vr":"UI"},"0020000E":{"Value":["1.2.3.9.1"],"vr":"UI"},"00291010":{"BulkDataURI":%q,"vr":"OB"}}`, value.Path()))
	must(t, err)
	s.write(dedup.Ref{Class: dedup.Instance, Name: "1.2.3.1"}, dedup.Compress(nil, append(o.AppendJSON([]byte{'['}), ']')))
	s.write(frame, []byte("half"))
	s.write(value, []byte("half"))
	s.now = time.Now()
	h := s.lookAll()
	s.broken(h, 1, 2, 0)
	if h.Retry == 0 || h.Retry > index.DefaultPatience {
		t.Errorf("look again in %v", h.Retry)
	}
	if logged, err := s.x.Digests.Study(s.uid); err != nil || len(logged) != 1 {
		t.Errorf("the log has %d files: %v", len(logged), err)
	}
	s.write(frame, []byte("all of it"))
	s.write(value, []byte("all of it"))
	s.now = s.now.Add(h.Retry + time.Second)
	if h = s.look(); h.MissingCount != 0 {
		t.Errorf("left alone: %+v", h)
	}
	s.whole(s.lookAll(), 1, 1)
	logged, err := s.x.Digests.Study(s.uid)
	if must(t, err); len(logged) != 3 || logged[frame.In(s.uid)].Size != 9 {
		t.Errorf("the log has %+v", logged)
	}
	s.write(value, []byte("something else"))
	must(t, s.k.Forget(t.Context(), s.uid))
	s.now = s.now.Add(time.Hour)
	s.broken(s.look(), 1, 1, 0)
	s.write(value, []byte("all of it"))
	s.look()
	s.whole(s.lookAll(), 1, 1)
}

// TestLookAll holds what only a look at everything sees: files to which nothing refers, files that vanished, sizes, strays.
func TestLookAll(t *testing.T) {
	s := newSite(t)
	s.instance(1, 1, "one")
	note := dedup.Ref{Class: dedup.Other, Name: "notes/a.txt"}
	s.write(note, []byte("a note"))
	orphan := s.value("nobody's")
	must(t, os.Symlink("/", filepath.Join(s.dir, "studies/1.2.3/link")))
	h := s.look()
	s.whole(h, 1, 1)
	if h = s.lookAll(); h.Files != 4 || h.StrayCount != 1 || !h.Strays[0].New || !h.Changed {
		t.Errorf("all is %+v", h)
	}
	s.fs.take()
	if h = s.lookAll(); h.Changed || h.Strays[0].New || s.fs.take() != 0 {
		t.Errorf("again: %+v", h)
	}
	s.whole(h, 1, 1)
	s.restart()
	s.fs.take()
	if h = s.lookAll(); h.Files != 4 || s.fs.take() != 0 {
		t.Errorf("after a restart: %+v", h)
	}
	back := s.remove(note)
	if h = s.lookAll(); !h.Complete || h.VanishedCount != 1 || h.Files != 3 {
		t.Errorf("an attachment is gone: %+v", h)
	}
	back()
	s.whole(s.lookAll(), 1, 1)
	s.remove(orphan)
	if h = s.lookAll(); !h.Complete || h.VanishedCount != 1 || h.Files != 3 {
		t.Errorf("a value of nobody's is gone: %+v", h)
	}
	v := s.value("one")
	back = s.remove(v)
	s.whole(s.look(), 1, 1) // it does not look there
	h = s.lookAll()
	s.broken(h, 1, 0, 1)
	s.restart()
	s.broken(s.look(), 1, 0, 0)
	back()
	s.whole(s.look(), 1, 1)
	s.write(v, []byte("longer than it was"))
	s.broken(s.lookAll(), 1, 1, 0)
	s.broken(s.look(), 1, 1, 0)
	back()
	s.whole(s.look(), 1, 1)
	one := dedup.Ref{Class: dedup.Instance, Name: "1.2.3.1"}
	back = s.remove(one)
	s.instance(1, 1, "one, and it is another one")
	h = s.lookAll()
	s.broken(h, 0, 1, 0)
	s.restart()
	s.broken(s.look(), 0, 1, 0)
	back()
	s.whole(s.look(), 1, 1)
}

// TestVariants holds that all files of a name count, and that which of them stands at the canonical path is no question of damage.
func TestVariants(t *testing.T) {
	s := newSite(t)
	one, _ := s.instance(1, 1, "one")
	first, err := os.ReadFile(s.path(one))
	must(t, err)
	s.look()
	s.instance(1, 1, "another content")
	second, err := os.ReadFile(s.path(one))
	must(t, err)
	s.write(one, first)
	for _, data := range [][]byte{first, second} {
		v := one
		f := s.file(one, data)
		v.Variant = f.ID.Digest.String()
		s.write(v, data)
	}
	h := s.look()
	if s.whole(h, 1, 1); !h.Conflict || h.Files != 5 {
		t.Errorf("%+v", h)
	}
	s.write(one, second)
	s.restart()
	for range 2 {
		_, h, err = s.k.Leaves(t.Context(), s.uid)
		must(t, err)
		s.whole(h, 1, 1)
		if h = s.lookAll(); !h.Conflict {
			t.Errorf("%+v", h)
		}
		s.whole(h, 1, 1)
		s.restart()
	}
	must(t, os.Remove(s.path(dedup.Ref{Class: one.Class, Name: one.Name, Variant: s.file(one, first).ID.Digest.String()})))
	s.broken(s.look(), 0, 0, 1)
}

// TestVariantTakesThePlace holds that when variants come and another of them takes the canonical path at once, the index has the one that is there; also where nobody has read the study
// since the start.
func TestVariantTakesThePlace(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		s := newSite(t)
		one, _ := s.instance(1, 1, "one")
		first, err := os.ReadFile(s.path(one))
		must(t, err)
		s.look()
		if restarted {
			s.k = s.keeper()
		}
		s.instance(1, 1, "another content")
		second, err := os.ReadFile(s.path(one))
		must(t, err)
		for _, data := range [][]byte{first, second} {
			v := one
			v.Variant = s.file(one, data).ID.Digest.String()
			s.write(v, data)
		}
		h := s.look()
		if s.whole(h, 1, 1); !h.Conflict {
			t.Errorf("%+v", h)
		}
		if e, has, err := s.x.File(t.Context(), s.uid, one.In(s.uid)); !has || err != nil || e.Content != s.file(one, second).ID.Digest {
			t.Errorf("the index has another file there: %+v, %v", e, err)
		}
	}
}

func (s *site) file(r dedup.Ref, zipped []byte) dedup.File {
	s.t.Helper()
	s.write(dedup.Ref{Class: dedup.Other, Name: "scratch.gz"}, zipped)
	folder, err := dedup.NewTree(s.fs.Reader).Study(s.uid)
	must(s.t, err)
	text, err := folder.Read(dedup.Held{Path: "studies/1.2.3/scratch.gz"}, 1<<20)
	must(s.t, err)
	must(s.t, os.Remove(filepath.Join(s.dir, "studies/1.2.3/scratch.gz")))
	return dedup.ParseFile(r, text)
}

// TestInterrupted holds that what was found right before the caller had no more time is entered, and is not read again.
func TestInterrupted(t *testing.T) {
	s := newSite(t)
	for n := range 10 {
		s.instance(n, 1, fmt.Sprint("of ", n))
	}
	ctx, cancel := context.WithCancel(t.Context())
	check := 0
	k := index.NewKeeper(index.KeeperConfig{Tree: s.fs, Index: s.x, Check: func(f dedup.Folder, h dedup.Held) index.Checked {
		if check++; check == 5 {
			cancel()
		}
		m, err := index.Measure(s.fs, h, nil)
		must(t, err)
		text, err := f.Read(h, 1<<20)
		must(t, err)
		file := dedup.ParseFile(h.Ref, text)
		return index.Checked{Entry: m.Entry, Answer: dedup.Right, File: &file}
	}})
	if _, err := k.Look(ctx, s.uid); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	files, err := s.x.Manifest(t.Context(), s.uid)
	if must(t, err); len(files) != 5 {
		t.Errorf("%d files are entered", len(files))
	}
	if row, _, err := s.x.Study(t.Context(), s.uid); err != nil || row.Complete {
		t.Errorf("an unfinished look says %+v: %v", row, err)
	}
	s.whole(s.look(), 10, 1)
}

// TestDamagedManifest holds that an index which is damaged where a study's files are costs the reading of that study.
func TestDamagedManifest(t *testing.T) {
	s := newSite(t)
	s.instance(1, 1, "one")
	s.look()
	must(t, s.x.Close())
	s.x = nil
	db, err := sql.Open("sqlite", filepath.Join(s.state, "index.db"))
	must(t, err)
	_, err = db.Exec("UPDATE recent SET data = x'00'")
	must(t, err)
	must(t, db.Close())
	s.restart()
	s.whole(s.look(), 1, 1)
}

// TestCacheIsBounded holds that a Keeper forgets what it used longest ago, but never the study that it used last, and says the same afterwards.
func TestCacheIsBounded(t *testing.T) {
	s := newSite(t)
	s.cache = 1
	s.restart()
	var uids []dedup.UID
	for n := range 5 {
		s.uid, _ = dedup.ParseUID(fmt.Sprint("1.2.3.", n))
		s.instance(n, 1, fmt.Sprint("of ", n))
		s.whole(s.look(), 1, 1)
		uids = append(uids, s.uid)
	}
	for round := range 2 {
		for n, uid := range uids {
			s.uid = uid
			s.fs.take()
			s.instance(10+round, 1, fmt.Sprint("more of ", n, round))
			s.look()
			if cold := s.fs.take(); n < 4 && cold < 3 {
				t.Errorf("a study that was to be forgotten was not: %d files were opened", cold)
			}
			_, _, err := s.k.Leaves(t.Context(), s.uid)
			must(t, err)
			if again := s.fs.take(); again != 0 {
				t.Errorf("the study that was used last was forgotten: %d files were opened", again)
			}
		}
	}
}

// TestRescan holds that all studies of tree and index are looked at, strays are told, and the index is complete then.
func TestRescan(t *testing.T) {
	s := newSite(t)
	gone, _ := dedup.ParseUID("1.2.9")
	if _, err := s.x.Update(t.Context(), gone, index.Change{Put: []index.Entry{{Ref: dedup.Ref{Class: dedup.Instance, Name: "1.1"}, Path: "studies/1.2.9/deduplicated/instances/1.1.gz"}}}); err != nil {
		t.Fatal(err)
	}
	s.instance(1, 1, "one")
	must(t, os.Mkdir(filepath.Join(s.dir, "studies/no study"), 0o755))
	var heard []index.Holding
	must(t, s.k.Rescan(t.Context(), func(h index.Holding, err error) {
		must(t, err)
		heard = append(heard, h)
	}))
	if len(heard) != 3 || heard[0].StrayCount != 1 || heard[2].VanishedCount != 1 || s.x.Fresh {
		t.Errorf("heard %+v", heard)
	}
	s.whole(heard[1], 1, 1)
}

// TestBareBulkdata holds that values which no list and no instance file names are nothing, to settle, to other sites and in totals: what a power cut in the middle of
// an ingest leaves would otherwise keep the study from ever coming to rest. A file of class other is something.
func TestBareBulkdata(t *testing.T) {
	s := newSite(t)
	s.value("what an ingest had written when the power went")
	for _, h := range []index.Holding{s.look(), s.lookAll()} {
		if !h.Nothing() {
			t.Errorf("values alone are something: %+v", h)
		}
	}
	row, _, err := s.x.Study(t.Context(), s.uid)
	totals, err2 := s.x.Totals(t.Context())
	if err != nil || err2 != nil || !row.Nothing() || totals.Studies != 0 {
		t.Errorf("the row is %+v, totals %+v: %v %v", row, totals, err, err2)
	}
	note := dedup.Ref{Class: dedup.Other, Name: "notes/a.txt"}
	s.write(note, []byte("a note"))
	for range 2 { // as it is found, and as it is known
		if h := s.lookAll(); h.Nothing() {
			t.Errorf("a file of class other is nothing: %+v", h)
		}
	}
	s.instance(1, 1, "one")
	if h := s.look(); h.Nothing() {
		t.Errorf("an instance is nothing: %+v", h)
	}
	if totals, err := s.x.Totals(t.Context()); err != nil || totals.Studies != 1 {
		t.Errorf("with an instance: %+v %v", totals, err)
	}
}
