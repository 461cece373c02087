package combine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"pgregory.net/rapid"
)

// facts are those of a study in which everything is old and nothing is in use.
func facts() Facts {
	return Facts{Age: func(dedup.FileID) time.Duration { return Day }, Settled: Day, Keep: Day, Grace: time.Minute, InUse: func(dedup.Ref) bool { return false }}
}

func TestPlanCollect(t *testing.T) {
	a, ah := record("1.1", "a", dedup.Dedup{})
	a2, _ := record("1.1", "a2", dedup.Dedup{})
	b, _ := record("1.2", "b", dedup.Dedup{})
	gone, goneHash := record("1.1", "", dedup.Dedup{Delete: true, Replace: []dedup.Hash{ah}})
	back, _ := record("1.1", "back", dedup.Dedup{Replace: []dedup.Hash{goneHash}})
	lacking, _ := record("1.4", "lacks", dedup.Dedup{Refs: []dedup.Hash{hashOf("not here")}})
	list := func(names []dedup.File, records ...dedup.Object) dedup.File {
		var info dedup.Dedup
		for _, f := range names {
			info.ReplaceFiles = append(info.ReplaceFiles, f.ID.Ref.Hash())
		}
		return listFile(info, nil, records...)
	}
	files := func(f ...dedup.File) []dedup.File { return f }
	old := list(nil, a)
	older := list(nil, gone)
	young := facts()
	young.Age = func(dedup.FileID) time.Duration { return Day - 1 }
	fresh := facts()
	fresh.Settled = 0
	used := facts()
	used.InUse = func(r dedup.Ref) bool { return r.Class == dedup.Instance }
	for _, test := range []struct {
		name    string
		files   []dedup.File
		facts   Facts
		removed int
		kept    []string
		reason  string
	}{
		{"nothing is accounted for", files(instanceFile(a), old), facts(), 1, nil, ""},
		{"a leaf stays, whatever has its name", files(instanceFile(a2), old), facts(), 0, nil, ""},
		{"a list that names and has all", files(old, list(files(old), a, b)), facts(), 1, nil, ""},
		{"it is young", files(old, list(files(old), a, b)), young, 0, []string{keptYoung}, ""},
		{"it is named, and not accounted for", files(old, list(files(old), b)), facts(), 0, nil, ""},
		{"it accounts for the file of an instance that was deleted, and the leaf does not", files(older, list(files(older), back)), facts(), 0, []string{keptNeeded}, ""},
		{"likewise, and that file is here", files(instanceFile(a), older, list(files(older), back)), facts(), 0, []string{keptIndirect, keptNeeded}, ""},
		{"instance files have a time of grace", files(instanceFile(a), old), fresh, 0, []string{keptGrace}, ""},
		{"in use", files(instanceFile(a), old), used, 0, []string{keptUse}, ""},
		{"variants go together", files(instanceFile(a), instanceFile(a2), list(nil, a, a2)), facts(), 2, nil, ""},
		{"or not at all", files(instanceFile(a), instanceFile(a2), old), facts(), 0, []string{keptVariant}, ""},
		{"nothing goes of a study that is not complete", files(instanceFile(a), old, instanceFile(lacking)), facts(), 0, nil, reasonIncomplete},
		{"a list that lacks something is no evidence", files(instanceFile(a), list(nil, a, lacking)), facts(), 0, nil, ""},
		{"two lists, one by one", files(old, list(files(old), a, b), list(files(old, list(files(old), a, b)), a, b, a2)), facts(), 2, nil, ""},
		{"without closure the one in the middle is needed", files(old, list(files(old), a, b), list(files(list(files(old), a, b)), a, b, a2)), facts(), 0, []string{keptIndirect, keptNeeded}, ""},
	} {
		slices.Sort(test.kept)
		c := PlanCollect(Input{Files: test.files, Bulk: noBulk{}}, test.facts)
		if len(c.Remove) != test.removed || !slices.Equal(reasons(c.Kept), test.kept) || c.Reason != test.reason {
			t.Errorf("%s: %d go, %q stay, %q", test.name, len(c.Remove), reasons(c.Kept), c.Reason)
		}
	}
	elsewhere := map[dedup.FileID]bool{instanceFile(a).ID: true}
	if c := PlanCollect(Input{Files: files(instanceFile(a), old), Bulk: noBulk{}, Elsewhere: elsewhere}, facts()); !slices.Equal(reasons(c.Kept), []string{keptElsewhere}) {
		t.Errorf("a file that another writer keeps: %+v", c)
	}
}

// dominated are the files of a world that a study accounts for whether it has them or not: Dom of PROTOCOL.md section 2, over all that there is.
func dominated(study, world []dedup.File) map[dedup.FileID]bool {
	out := make(map[dedup.FileID]bool)
	for _, f := range world {
		if slices.Contains(dedup.Resolve(append(slices.Clip(study), f), noBulk{}).Dominated, f.ID) {
			out[f.ID] = true
		}
	}
	return out
}

// Whatever a study is made of, and whatever others hold: after a collection it shows the same and accounts for the same files, those that it does not have among them.
func TestCollectProperties(t *testing.T) {
	lists, instances, needed := 0, 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		w := drawStudy(rt)
		held := slices.DeleteFunc(slices.Clone(w.files), func(dedup.File) bool { return w.draw("held elsewhere", 0, 3) == 0 })
		if c := PlanCombine(Input{Files: held, Bulk: noBulk{}}); c.List != (dedup.FileID{}) {
			held = append(held, dedup.ParseFile(c.List.Ref, c.Content))
		}
		in := Input{Files: held, Bulk: noBulk{}}
		c := PlanCollect(in, facts())
		if slices.Contains(reasons(c.Kept), keptCautious) {
			rt.Fatalf("a plan was wrong, and not foreseen to be: %+v", c.Kept)
		}
		gone := make(map[dedup.FileID]bool)
		for _, r := range c.Remove {
			gone[r.File] = true
			if r.File.Ref.Class == dedup.List {
				lists++
			} else {
				instances++
			}
		}
		for _, k := range c.Kept {
			if k.Reason == keptNeeded {
				needed++
			}
		}
		rest := slices.DeleteFunc(slices.Clone(held), func(f dedup.File) bool { return gone[f.ID] })
		if !Same(dedup.Resolve(held, noBulk{}), dedup.Resolve(rest, noBulk{})) {
			rt.Fatalf("the study is another one")
		}
		after := dominated(rest, append(w.files, held...))
		for id := range dominated(held, append(w.files, held...)) {
			if !after[id] {
				rt.Fatalf("%v is not accounted for any more", id)
			}
		}
	})
	if lists < 10 || instances < 10 || needed < 1 {
		t.Errorf("%d lists and %d instance files collected, %d lists needed", lists, instances, needed)
	}
}

// combined is a tree of two instance files, combined, and a Combiner of it.
func combined(t *testing.T, c Config) (*crashfs.FS, *Combiner, *clockAt) {
	t.Helper()
	a, ah := record("1.1", "a", dedup.Dedup{})
	b, _ := record("1.2", "b", dedup.Dedup{})
	fixed, _ := record("1.1", "fixed", dedup.Dedup{Replace: []dedup.Hash{ah}})
	fsys, clock := memory(t, instanceFile(a), instanceFile(b), listFile(dedup.Dedup{}, nil, fixed, a)), newClock()
	c.Tree, c.Clock = fsys, clock.read
	combiner := New(c)
	plan, err := combiner.Study(t.Context(), uid(theStudy))
	if err != nil || plan.List == (dedup.FileID{}) {
		t.Fatalf("%+v, %v", plan, err)
	}
	return fsys, combiner, clock
}

// The instance files go at once, the list after a day of running time: counted in steps of at most an hour, across restarts, and not while nobody knows how long the machine was off.
func TestCollectAfterADay(t *testing.T) {
	fsys, c, clock := combined(t, Config{})
	collect := func() Collection {
		t.Helper()
		got, err := New(c.config).Collect(t.Context(), uid(theStudy)) // a Combiner remembers nothing
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := collect(); len(got.Remove) != 2 || !slices.Equal(reasons(got.Kept), []string{keptYoung}) || got.Due() != Day || len(heads(t, fsys, theStudy)) != 2 {
		t.Fatalf("%+v, %q", got, heads(t, fsys, theStudy))
	}
	if waiting, err := c.Waiting(); err != nil || !slices.Equal(waiting, []dedup.UID{uid(theStudy)}) {
		t.Errorf("waiting: %v, %v", waiting, err)
	}
	clock.pass(1000 * time.Hour) // a leap counts for an hour
	if got := collect(); len(got.Remove) != 0 || got.Due() != Day-time.Hour {
		t.Fatalf("after a leap %+v", got)
	}
	clock.Boot, clock.At = "another", 2000*time.Hour // nobody knows how long it was off
	if got := collect(); len(got.Remove) != 0 || got.Due() != Day-time.Hour {
		t.Fatalf("after a restart %+v", got)
	}
	clock.pass(-time.Hour) // no such clock goes back; if it does, nothing has passed
	if got := collect(); got.Due() != Day-time.Hour {
		t.Fatalf("after a clock that went back %+v", got)
	}
	for i := range 46 {
		clock.pass(20 * time.Minute)
		if err := c.Count(); err != nil {
			t.Fatal(err)
		}
		clock.pass(10 * time.Minute)
		if got := collect(); (len(got.Remove) == 1) != (i == 45) {
			t.Fatalf("after %v: %+v", time.Hour+time.Duration(i+1)*30*time.Minute, got)
		}
	}
	if got := heads(t, fsys, theStudy); len(got) != 1 {
		t.Errorf("left: %q", got)
	}
	var aging []string
	entries, _ := fsys.ReadDir(agingFolder)
	for _, e := range entries {
		aging = append(aging, e.Name())
	}
	if waiting, err := c.Waiting(); err != nil || len(waiting) > 0 || !slices.Equal(aging, []string{"clock", "lock"}) {
		t.Errorf("remembered of a study in which nothing waits: %q", aging)
	}
}

// Where what was counted is lost or damaged, time begins anew.
func TestCountIsLost(t *testing.T) {
	for _, name := range []string{clockFile, agesOf(uid(theStudy))} {
		fsys, c, clock := combined(t, Config{})
		for range 20 {
			if _, err := c.Collect(t.Context(), uid(theStudy)); err != nil {
				t.Fatal(err)
			}
			clock.pass(time.Hour)
		}
		if err := fsys.Remove(name); err != nil {
			t.Fatal(err)
		}
		if f, err := fsys.Create(name); err != nil {
			t.Fatal(err)
		} else if _, err := f.Write([]byte("{")); err != nil {
			t.Fatal(err)
		}
		if got, err := c.Collect(t.Context(), uid(theStudy)); err != nil || got.Due() != Day {
			t.Errorf("without %s due in %v, %v", name, got.Due(), err)
		}
	}
}

// A longer time can be asked for, a shorter one not. A dry run changes nothing.
func TestKeepAndGrace(t *testing.T) {
	_, c, _ := combined(t, Config{Keep: time.Minute})
	if c.config.Keep != Day {
		t.Errorf("lists are kept for %v", c.config.Keep)
	}
	fsys, c, clock := combined(t, Config{Keep: 30 * Day, Grace: 10 * time.Minute})
	before := map[string]string{}
	if err := all(fsys, ".", before); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Collection(t.Context(), uid(theStudy)); err != nil || len(got.Kept) != 3 || got.Due() != 10*time.Minute {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := c.Combination(t.Context(), uid(theStudy)); err != nil {
		t.Error(err)
	}
	after := map[string]string{}
	if err := all(fsys, ".", after); err != nil || fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("a plan changed the tree: %v", err)
	}
	for _, want := range []int{0, 0, 2, 0} {
		got, err := c.Collect(t.Context(), uid(theStudy))
		if err != nil || len(got.Remove) != want {
			t.Errorf("%d go, want %d: %v", len(got.Remove), want, err)
		}
		clock.pass(5 * time.Minute)
	}
}

// What somebody has begun to read when the plan is made already stays; the index hears of all others before they go, and if it cannot, nothing goes.
func TestInUseAndIndex(t *testing.T) {
	asked, told := 0, []string{}
	fsys, c, _ := combined(t, Config{
		InUse: func(_ dedup.UID, r dedup.Ref) bool {
			asked++
			return r.Name == "1.1" && asked > 2 // after the plan
		}})
	c.config.Gone = func(_ context.Context, study dedup.UID, paths []string) error {
		for _, p := range paths {
			if _, err := fsys.Lstat(p); err != nil {
				t.Errorf("%s went before the index heard of it", p)
			}
		}
		told = append(told, paths...)
		return nil
	}
	got, err := c.Collect(t.Context(), uid(theStudy))
	if err != nil || len(got.Remove) != 1 || got.Remove[0].File.Ref.Name != "1.2" || !slices.Equal(reasons(got.Kept), []string{keptYoung, keptUse}) {
		t.Errorf("%+v, %v", got, err)
	}
	if len(told) != 1 || !strings.HasSuffix(told[0], "/1.2.gz") {
		t.Errorf("the index heard of %q", told)
	}
	broken := errors.New("no index")
	c.config.InUse = func(dedup.UID, dedup.Ref) bool { return false }
	c.config.Gone = func(context.Context, dedup.UID, []string) error { return broken }
	if got, err := c.Collect(t.Context(), uid(theStudy)); !errors.Is(err, broken) || len(got.Remove) != 0 || len(heads(t, fsys, theStudy)) != 3 {
		t.Errorf("%+v, %v", got, err)
	}
}

// Variants go with the canonical path last: at every moment it stands for one of those that are there.
func TestVariantsGoInOrder(t *testing.T) {
	a, _ := record("1.1", "a", dedup.Dedup{})
	a2, _ := record("1.1", "a2", dedup.Dedup{})
	fsys := memory(t, instanceFile(a), instanceFile(a2))
	if n := len(heads(t, fsys, theStudy)); n != 3 {
		t.Fatalf("%d files", n)
	}
	c := New(Config{Tree: fsys, Clock: newClock().read})
	if plan, err := c.Study(t.Context(), uid(theStudy)); err != nil || len(plan.Inputs) != 2 || plan.Records != 2 {
		t.Fatalf("%+v, %v", plan, err)
	}
	before := state(t, fsys, theStudy)
	if !before.Conflict() {
		t.Error("the conflict is gone")
	}
	var removed []string
	fsys.Hook = func(op crashfs.Op) (bool, error) {
		if op.Kind == "remove" && strings.Contains(op.Name, "instances/") {
			removed = append(removed, op.Name)
		}
		return true, nil
	}
	if got, err := c.Collect(t.Context(), uid(theStudy)); err != nil || len(got.Remove) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	fsys.Hook = nil
	if len(removed) != 3 || !strings.Contains(removed[2], "/deduplicated/instances/") {
		t.Errorf("removed %q", removed)
	}
	if after := state(t, fsys, theStudy); !Same(before, after) || len(after.Variants) > 0 {
		t.Error("the study is another one")
	}
}
