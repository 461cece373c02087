package real

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/settle"
)

// calm ends all faults, and holds what then must come: all level, all settled, nothing written any more (I9), and equal current trees (I8).
func (w *world) calm() {
	for _, s := range w.sites {
		s.full.Store(false)
		for _, o := range w.sites {
			if o != s {
				w.heal(s.name, o.name)
			}
		}
	}
	w.say("all faults have ended")
	if !w.passes(5*time.Minute, w.level) {
		w.fail("I9: not level and settled in 5 minutes:\n%s", w.words())
	}
	w.say("all level and settled")
	w.pass(16 * time.Minute) // the sites combine and collect by themselves, and what nothing refers to any more leaves the current trees
	if !w.passes(time.Minute, w.level) {
		w.fail("I9: not settled any more:\n%s", w.words())
	}
	writes := w.writes()
	w.pass(3 * time.Minute)
	if now := w.writes(); !slices.Equal(writes, now) {
		w.fail("I9: something is written though nothing happens: %d, then %d changes of names", writes, now)
	}
	w.inspect()
	w.everywhere()
	for _, s := range w.sites {
		s.deep()
		s.clean()
		if c, d := s.currentTree(), w.sites[0].currentTree(); !maps.Equal(c, d) {
			w.fail("I8: the current trees of %s and a differ:\n%s", s.name, strings.Join(differ(c, d), "\n"))
		}
	}
}

// level reports whether all sites hold the same of all studies, and say that it is settled, or waits for a human.
func (w *world) level() bool {
	rows := map[string]string{}
	for _, s := range w.sites {
		all, err := s.doors.Source.Studies(w.t.Context(), admin.Query{Limit: 1000})
		if err != nil {
			w.fail("studies of %s: %v", s.name, err)
		}
		status := s.doors.Source.Status()
		if s != w.sites[0] && len(all) != len(rows) || status.State != "whole" {
			return false
		}
		for _, r := range all {
			conflict := s.judged.studies[mustUID(r.Study)].state.Conflict() || len(s.judged.studies[mustUID(r.Study)].state.Variants) > 0
			if r.State != string(settle.Settled) && !(r.State == string(settle.Conflict) && conflict) {
				return false
			}
			if was, has := rows[r.Study]; has && was != r.Leaf || !has && s != w.sites[0] {
				return false
			}
			rows[r.Study] = r.Leaf
		}
	}
	return true
}

// words are what all sites say.
func (w *world) words() string {
	var b strings.Builder
	for _, s := range w.sites {
		status := s.doors.Source.Status()
		fmt.Fprintf(&b, "%s: %s %s\n", s.name, status.State, status.Reason)
		rows, err := s.doors.Source.Studies(w.t.Context(), admin.Query{Limit: 1000})
		for _, r := range rows {
			known, _ := s.doors.Source.Study(w.t.Context(), mustUID(r.Study))
			fmt.Fprintf(&b, "    %.12s %s %.8s %s missing %v faults %v holders %v\n", r.Study[max(0, len(r.Study)-12):], r.State, r.Leaf, r.Reason, known.Missing, known.Faults, known.Holders)
		}
		fmt.Fprintln(&b, "   ", len(rows), err)
	}
	return b.String()
}

func (w *world) writes() (n []int64) {
	for _, s := range w.sites {
		n = append(n, s.power.writes.Load())
	}
	return n
}

// everywhere holds that what any site acknowledged is accounted for at every one (I2), and that all hold the same (I9).
func (w *world) everywhere() {
	must := maps.Clone(w.must)
	for _, s := range w.sites {
		maps.Copy(must, s.judged.acked)
	}
	for _, s := range w.sites {
		for f := range must {
			if !s.judged.studies[f.uid].accounts(f.id, w) {
				w.fail("I2: %s of study %s was acknowledged, and %s does not account for it", f.id.Ref, f.uid, s.name)
			}
		}
		for uid, h := range s.judged.studies {
			other := w.sites[0].judged.studies[uid]
			if other == nil {
				other = &holding{}
			}
			if len(h.files)+len(other.files) > 0 && h.leaf != other.leaf { // values that nothing names, which a power cut can leave, are no study
				w.fail("I9: a and %s hold different leaves of study %s: %d and %d files", s.name, uid, len(other.files), len(h.files))
			}
		}
	}
	w.seen["acknowledged"] += len(must)
}

// clean holds that nothing is left staged (I12).
func (s *site) clean() {
	s.peek(func() {
		for _, folder := range []string{".dicomesh/tmp", ".dicomesh/saved"} {
			for name := range filesIn(s.world, s.trees, folder) {
				if !strings.HasSuffix(name, ".lock") {
					s.world.fail("I12: %s is left staged at %s", name, s.name)
				}
			}
		}
	})
}

// currentTree is every file that a reader is served, by name, with a sum of its content; each can be read to its end (I15).
func (s *site) currentTree() (files map[string]string) {
	s.peek(func() { files = filesIn(s.world, s.currents, "studies") })
	return files
}

// filesIn are the files below a folder, with sums of their contents.
func filesIn(w *world, fsys *crashfs.FS, dir string) map[string]string {
	files := map[string]string{}
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return files
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if e.IsDir() {
			maps.Copy(files, filesIn(w, fsys, name))
			continue
		}
		text, err := readAll(fsys, name)
		if err == nil && strings.HasSuffix(name, ".gz") {
			text, err = unpacked(text)
		}
		if err != nil {
			w.fail("I15: %s: %v", name, err)
		}
		files[name] = sum(text)
	}
	return files
}

func unpacked(text []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// differ are the names of files that two trees do not have alike.
func differ(a, b map[string]string) (names []string) {
	for name, sum := range a {
		if b[name] != sum {
			names = append(names, fmt.Sprintf("%s: %.8s, %.8s", name, sum, b[name]))
		}
	}
	for name, sum := range b {
		if _, has := a[name]; !has {
			names = append(names, fmt.Sprintf("%s: none, %.8s", name, sum))
		}
	}
	slices.Sort(names)
	return names
}
