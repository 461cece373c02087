package dedup

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// world makes studies out of few parts, so that they collide: records of few instances, some of which replace others, lists that name few others,
// of both writers.
type world struct {
	*rapid.T
	t       *testing.T
	plain   bool // nothing replaces or deletes anything
	foreign bool // static-wado writes too
	pool    []Object
	hashes  []Hash
	lists   []Hash
}

func (w *world) fill() {
	for n := range w.draw("records", 1, 6) {
		d, sop := Dedup{}, w.draw("sop", 1, 3)
		if w.draw("content", 0, 2) == 0 {
			d.Content = testHash(10*sop + w.draw("which content", 1, 2))
		}
		if !w.plain {
			for range w.draw("replaces", 0, 2) {
				d.Replace = append(d.Replace, w.hash())
			}
			d.Delete = w.draw("delete", 0, 4) == 0
		}
		o, h := record(w.t, fmt.Sprintf("1.%d", sop), fmt.Sprint(n), d)
		if w.foreign && w.draw("writer", 0, 1) == 0 {
			kind := TypeInstance
			if !w.plain && w.draw("deleted", 0, 3) == 0 {
				kind = TypeDeleted
			}
			o, h = foreign(w.t, fmt.Sprintf("1.%d", sop), fmt.Sprint(w.draw("value", 1, 2)), nil, kind)
		}
		w.pool, w.hashes = append(w.pool, o), append(w.hashes, h)
	}
}

func (w *world) draw(label string, low, high int) int {
	return rapid.IntRange(low, high).Draw(w.T, label)
}

func (w *world) hash() Hash {
	if len(w.hashes) == 0 || w.draw("by content", 0, 5) == 0 {
		return testHash(10*w.draw("sop", 1, 3) + w.draw("which", 1, 2))
	}
	return rapid.SampledFrom(w.hashes).Draw(w.T, "hash")
}

func (w *world) file() File {
	if w.draw("kind of file", 0, 2) == 0 {
		return instanceFile(w.t, rapid.SampledFrom(w.pool).Draw(w.T, "record"))
	}
	records := rapid.SliceOfN(rapid.SampledFrom(w.pool), 0, 4).Draw(w.T, "of list")
	var refs []Hash
	for range w.draw("names", 0, 3) {
		if len(w.lists) > 0 {
			refs = append(refs, rapid.SampledFrom(w.lists).Draw(w.T, "name"))
		}
		if !w.plain {
			refs = append(refs, w.hash())
		}
	}
	var f File
	if w.foreign && w.draw("list's writer", 0, 1) == 0 {
		f = foreignList(w.t, refs, nil, records)
	} else {
		f = listFile(w.t, Dedup{ReplaceFiles: refs, Refs: refs}, nil, records)
	}
	w.lists = append(w.lists, f.ID.Ref.Hash())
	return f
}

func study(t *testing.T, rt *rapid.T, plain, foreign bool) []File {
	w := world{T: rt, t: t, plain: plain, foreign: foreign}
	w.fill()
	var files []File
	for range w.draw("files", 0, 6) {
		files = append(files, w.file())
	}
	return files
}

// instances is what a state shows, without how many files it needs.
func instances(s *State) string {
	text := show(s)
	return text[:strings.LastIndex(text, ";")+1]
}

// live is what a state shows, without the instances that it only knows to be deleted.
func live(s *State) string {
	parts := strings.Split(instances(s)+" ", "; ")
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return strings.HasSuffix(p, ": deleted") }), "; ")
}

func TestResolveIsOrderFree(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		files := study(t, rt, false, true)
		s := Resolve(files, newBulk())
		again := Resolve(rapid.Permutation(slices.Concat(files, files[:len(files)/2])).Draw(rt, "order"), newBulk())
		if show(again) != show(s) || LeafDigest(again.Leaves) != LeafDigest(s.Leaves) || !slices.Equal(again.Dominated, s.Dominated) {
			rt.Fatalf("%s\nthen %s", show(s), show(again))
		}
	})
}

// What a study shows is a function of its leaves (I8): whatever dominated files are there or not, as long as the leaves are the same.
func TestLeavesSayAll(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		files := study(t, rt, false, true)
		s := Resolve(files, newBulk())
		fewer := slices.DeleteFunc(slices.Clone(files), func(f File) bool {
			return slices.Contains(s.Dominated, f.ID) && rapid.Bool().Draw(rt, "drop")
		})
		after := Resolve(fewer, newBulk())
		if LeafDigest(after.Leaves) == LeafDigest(s.Leaves) && instances(after) != instances(s) {
			rt.Fatalf("%s\nthen %s", show(s), show(after))
		}
		only := slices.DeleteFunc(slices.Clone(files), func(f File) bool { return slices.Contains(s.Dominated, f.ID) })
		if alone := Resolve(only, newBulk()); instances(alone) != instances(s) || len(alone.Dominated) > 0 {
			rt.Fatalf("%s\nthe leaves alone %s", show(s), show(alone))
		}
	})
}

// Where nothing replaces or deletes, every record of every file is live, whatever lists name whatever.
func TestNamesLoseNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		files := study(t, rt, true, true)
		want := map[Digest]bool{}
		for _, f := range files {
			for _, r := range f.records {
				want[r.id] = true
			}
		}
		s := Resolve(files, newBulk())
		for _, i := range s.Instances {
			for _, r := range i.Records {
				delete(want, r.id)
			}
		}
		if len(want) > 0 {
			rt.Fatalf("%d records are lost: %s", len(want), show(s))
		}
	})
}

// No file brings back what others account for (I3, I4): Dom only grows. Lists of static-wado can name each other in circles and are
// left out.
func TestDominatedStays(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		files := study(t, rt, false, false)
		for n := range files {
			before, after := Resolve(files[:n], newBulk()), Resolve(files[:n+1], newBulk())
			for _, id := range before.Dominated {
				if !slices.Contains(after.Dominated, id) {
					rt.Fatalf("%v was dominated: %s then %s", id, show(before), show(after))
				}
			}
		}
	})
}

// Judge says beforehand what Resolve will say, also from the lists and the instance's own files alone.
func TestJudgeIsResolve(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		files := study(t, rt, false, false)
		w := world{T: rt, t: t}
		sop := w.draw("sop", 1, 3)
		o, _ := record(t, fmt.Sprintf("1.%d", sop), fmt.Sprint(w.draw("value", 0, 6)), Dedup{Content: testHash(10*sop + w.draw("content", 1, 3))})
		if len(files) > 0 && w.draw("a record that is there", 0, 1) == 0 {
			f := rapid.SampledFrom(files).Draw(rt, "file")
			if len(f.records) > 0 && len(f.records[0].Dedup.Replace) == 0 && !f.records[0].removes() {
				o = f.records[0].Object
			}
		}
		s := Resolve(files, newBulk())
		judged := s.Judge(o)
		after := Resolve(append(files, instanceFile(t, o)), newBulk())
		unchanged := live(s) == live(after)
		if unchanged != (judged == Same || judged == Removed) {
			rt.Fatalf("%s is judged %s: %s\nthen %s", o.AppendJSON(nil), judged, show(s), show(after))
		}
		lists := Resolve(slices.DeleteFunc(slices.Clone(files), func(f File) bool { return f.ID.Ref.Class != List }), newBulk())
		held := slices.DeleteFunc(slices.Clone(files), func(f File) bool {
			return f.ID.Ref.Class != Instance || f.records[0].SOP != o.uid(tagSOPInstanceUID)
		})
		if replacing := slices.ContainsFunc(files, func(f File) bool { return f.ID.Ref.Class == Instance && len(f.records[0].Dedup.Replace) > 0 }); !replacing {
			if from := lists.Judge(o, held...); from != judged {
				rt.Fatalf("judged %s, from lists and its own files %s", judged, from)
			}
		}
	})
}

// Two sites that compose the same records make the same bytes.
func TestComposeIsOrderFree(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := world{T: rt, t: t, foreign: true}
		w.fill()
		info := Dedup{Refs: []Hash{testHash(1), testHash(2), testHash(1)}, ReplaceFiles: []Hash{testHash(2), testHash(1)}}
		name, content := ComposeList(info, nil, w.pool)
		slices.Reverse(info.Refs)
		slices.Reverse(info.ReplaceFiles)
		again, content2 := ComposeList(info, nil, rapid.Permutation(slices.Concat(w.pool, w.pool)).Draw(rt, "order"))
		f := ParseFile(Ref{Class: List, Name: name.text}, content)
		if name != again || string(content) != string(content2) || f.Fault != nil || f.Verify() == Corrupt || len(f.info.Refs) != 2 {
			rt.Fatalf("%s, %s: %v", name, again, f.Fault)
		}
	})
}
