package index

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/e2e/raced"
	"github.com/zeebo/blake3"
)

// role is set in a process that a test starts from its own binary.
const role = "DICOMESH_TEST_ROLE"

// TestPlay is what such a process runs. Here it does nothing.
func TestPlay(t *testing.T) {
	switch play, dir, _ := strings.Cut(os.Getenv(role), " "); play {
	case "update":
		t.Fatal(updateForEver(t, dir))
	case "append":
		t.Fatal(appendForEver(dir))
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func uid(n int) dedup.UID {
	u, err := dedup.ParseUID("1.2.826.0.1." + strconv.Itoa(n))
	if err != nil {
		panic(err)
	}
	return u
}

// commit is what an instance adds to a study: its file and a frame.
func commit(study dedup.UID, n int) []Entry {
	frame := fmt.Sprintf("%x", blake3.Sum256([]byte(strconv.Itoa(n))))
	return []Entry{
		entry(study, dedup.Ref{Class: dedup.Instance, Name: fmt.Sprintf("1.2.826.0.1.3680043.2.1125.1.%d", 73000000+n)}, n),
		entry(study, dedup.Ref{Class: dedup.Bulkdata, Name: frame, Ext: ".raw"}, n),
	}
}

func entry(study dedup.UID, r dedup.Ref, n int) Entry {
	e := Entry{Ref: r, Path: r.In(study), Disk: int64(n), Size: int64(n), Content: blake3.Sum256([]byte(r.Name))}
	e.Stored = e.Content
	if r.Class != dedup.Bulkdata {
		e.Size, e.Stored = 3*e.Size, blake3.Sum256([]byte(r.Name+" packed"))
	}
	return e
}

func open(t testing.TB, dir string) *Index {
	t.Helper()
	x, err := Open(t.Context(), dir)
	must(t, err)
	t.Cleanup(func() { x.Close() })
	return x
}

// TestManifest holds that the files of studies are those that were put and not taken, through folds and a new start.
func TestManifest(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	x := open(t, dir)
	want := map[dedup.UID]map[string]Entry{uid(1): {}, uid(2): {}}
	random := rand.New(rand.NewPCG(1, 2))
	last := uint64(0)
	for n := range 700 {
		study := uid(1 + random.IntN(2))
		c := Change{Put: commit(study, random.IntN(2000))}
		for path := range want[study] {
			if n%3 == 0 && path != c.Put[0].Path && path != c.Put[1].Path {
				c.Gone = append(c.Gone, path)
				delete(want[study], path)
			}
			break
		}
		for _, e := range c.Put {
			want[study][e.Path] = e
		}
		number, err := x.Update(t.Context(), study, c)
		must(t, err)
		if number <= last {
			t.Fatalf("change %d after change %d", number, last)
		}
		last = number
	}
	for range 2 {
		for study, files := range want {
			got, err := x.Manifest(t.Context(), study)
			must(t, err)
			if !maps.Equal(got, files) {
				t.Fatalf("%d files, want %d, or others", len(got), len(files))
			}
			for path, e := range files {
				got, has, err := x.File(t.Context(), study, path)
				if err != nil || !has || got != e {
					t.Fatalf("%s: %v %v %v", path, got, has, err)
				}
				break
			}
		}
		must(t, x.Close())
		x = open(t, dir)
		if x.SetAside != nil {
			t.Fatalf("a good index was begun anew: %v", x.SetAside)
		}
	}
	number, err := x.Update(t.Context(), uid(1), Change{State: "settled"})
	must(t, err)
	if number <= last {
		t.Errorf("after a new start change %d follows change %d", number, last)
	}
}

// TestForeignPlaces holds that a file which another writer keeps elsewhere, or calls otherwise, comes back with its Ref and its path.
func TestForeignPlaces(t *testing.T) {
	x := open(t, t.TempDir())
	study := uid(1)
	h := strings.Repeat("ab", 32)
	want := []Entry{
		{Ref: dedup.Ref{Class: dedup.List, Name: h}, Path: "deduplicated/" + study.String() + "/" + h + ".gz", Disk: 9, Size: 70},
		{Ref: dedup.Ref{Class: dedup.Instance, Name: "1.2.3"}, Path: "studies/" + study.String() + "/deduplicated/isntances/1.2.3.gz", Disk: 1, Size: 1},
		{Ref: dedup.Ref{Class: dedup.Other, Name: "series/1.2/instances/1.3/frames/1.mht"}, Path: "studies/abc/def/" + study.String() + "/series/1.2/instances/1.3/frames/1.mht"},
	}
	_, err := x.Update(t.Context(), study, Change{Put: want})
	must(t, err)
	got, err := x.Manifest(t.Context(), study)
	must(t, err)
	for _, e := range want {
		if got[e.Path] != e {
			t.Errorf("got %+v, want %+v", got[e.Path], e)
		}
	}
}

// TestFeed holds that studies come in the order of their changes, each once, and only those after a number.
func TestFeed(t *testing.T) {
	x := open(t, t.TempDir())
	var numbers []uint64
	for _, n := range []int{1, 2, 3, 1} {
		number, err := x.Update(t.Context(), uid(n), Change{State: "s" + strconv.Itoa(len(numbers)), Published: []byte(`{}`)})
		must(t, err)
		numbers = append(numbers, number)
	}
	var got []string
	for s, err := range x.Studies(t.Context(), numbers[1]) {
		must(t, err)
		got = append(got, s.UID.String()+s.State+string(s.Published))
	}
	if want := []string{uid(3).String() + "s2{}", uid(1).String() + "s3{}"}; strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("changes after the second: %v, want %v", got, want)
	}
	must(t, x.Remove(t.Context(), uid(3)))
	if _, has, err := x.Study(t.Context(), uid(3)); has || err != nil {
		t.Errorf("a removed study is there: %v", err)
	}
}

// TestOneOwner holds that a second owner is refused and a reader is not.
func TestOneOwner(t *testing.T) {
	dir := t.TempDir()
	x := open(t, dir)
	if _, err := Open(t.Context(), dir); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("a second owner: %v", err)
	}
	_, err := x.Update(t.Context(), uid(1), Change{Put: commit(uid(1), 1)})
	must(t, err)
	r, err := OpenReader(t.Context(), dir)
	must(t, err)
	defer r.Close()
	files, err := r.Manifest(t.Context(), uid(1))
	if len(files) != 2 || err != nil {
		t.Errorf("the reader sees %d files: %v", len(files), err)
	}
}

// TestReaderOfNothing holds that looking makes nothing.
func TestReaderOfNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "nowhere")
	r, err := OpenReader(t.Context(), dir)
	must(t, err)
	defer r.Close()
	if _, has, err := r.Study(t.Context(), uid(1)); has || err != nil || !r.Fresh {
		t.Errorf("a study of no index: %v %v", has, err)
	}
	if known, err := r.Digests.Study(uid(1)); len(known) != 0 || err != nil {
		t.Errorf("digests of no log: %v %v", known, err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Error("the folder was made")
	}
}

// TestSmallCommits holds the promise of the package comment. It counts what the process hands to write calls, the log and its checkpoints included.
func TestSmallCommits(t *testing.T) {
	commits := raced.Pick(t, 5000, 500)
	limit := int64(commits) * (50 << 20) / 5000
	x := open(t, t.TempDir())
	before := writtenBytes(t)
	for n := range commits {
		_, err := x.Update(t.Context(), uid(1), Change{Put: commit(uid(1), n), Leaf: &dedup.Digest{byte(n), byte(n >> 8)}})
		must(t, err)
	}
	must(t, x.Close())
	wrote := writtenBytes(t) - before
	t.Logf("%d commits of one instance each wrote %.1f MB", commits, float64(wrote)/1e6)
	if wrote > limit {
		t.Errorf("that is more than %d MB", limit>>20)
	}
}

func writtenBytes(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/io")
	must(t, err)
	for line := range strings.Lines(string(text)) {
		if n, ok := strings.CutPrefix(line, "wchar: "); ok {
			v, err := strconv.ParseInt(strings.TrimSpace(n), 10, 64)
			must(t, err)
			return v
		}
	}
	t.Fatal("no wchar in /proc/self/io")
	return 0
}

// TestSetAside holds that what cannot be used as an index is said, kept beside, and replaced by an empty one; and that damage which shows only later
// ends a reading and is not passed off as content.
func TestSetAside(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, x *Index)
	}{
		{"not a database", func(t *testing.T, x *Index) {
			must(t, os.WriteFile(x.path(), []byte("no database at all, but long enough to be one"), 0o600))
		}},
		{"first page", func(t *testing.T, x *Index) { flip(t, x.path(), 100) }},
		{"cut short", func(t *testing.T, x *Index) { must(t, os.Truncate(x.path(), 3000)) }},
		{"schema", func(t *testing.T, x *Index) {
			db := database(x.path(), writing)
			defer db.Close()
			_, err := db.Exec("UPDATE fact SET value = '0' WHERE name = 'schema'")
			must(t, err)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			x := open(t, dir)
			_, err := x.Update(t.Context(), uid(1), Change{Put: commit(uid(1), 1)})
			must(t, err)
			incarnation := x.Incarnation
			must(t, x.Close())
			c.spoil(t, x)
			r, err := OpenReader(t.Context(), dir)
			must(t, err)
			if r.SetAside == nil {
				t.Error("a reader believes it")
			}
			must(t, r.Close())
			x = open(t, dir)
			if x.SetAside == nil || x.Incarnation == incarnation {
				t.Fatalf("it was used: %v", x.SetAside)
			}
			if _, err := os.Stat(filepath.Join(dir, asideFile)); err != nil {
				t.Error(err)
			}
			_, err = x.Update(t.Context(), uid(1), Change{Put: commit(uid(1), 1)})
			must(t, err)
		})
	}
}

// TestRowDamaged holds that a row that holds what none of ours can is damage, and not a fault of whoever reads it.
func TestRowDamaged(t *testing.T) {
	x := open(t, t.TempDir())
	_, err := x.Update(t.Context(), uid(1), Change{Put: commit(uid(1), 1)})
	must(t, err)
	_, err = x.write.Exec("UPDATE study SET change = 'much'")
	must(t, err)
	if _, _, err := x.Study(t.Context(), uid(1)); !errors.Is(err, ErrDamaged) {
		t.Errorf("a number that is none: %v", err)
	}
	for _, err := range x.Studies(t.Context(), 0) {
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("in a list: %v", err)
		}
	}
	must(t, x.Close())
}

// TestRenew holds that an index of the release before is used, with what it says: it is not begun anew, for which every file of the archive would be read.
func TestRenew(t *testing.T) {
	dir := t.TempDir()
	x := open(t, dir)
	_, err := x.Update(t.Context(), uid(1), Change{Put: commit(uid(1), 1), Facts: &Facts{Instances: 1}})
	must(t, err)
	incarnation := x.Incarnation
	must(t, x.Close())
	func() {
		db := database(x.path(), writing)
		defer db.Close()
		for _, back := range []string{"ALTER TABLE study DROP COLUMN wanting", "UPDATE fact SET value = '3' WHERE name = 'schema'"} {
			_, err := db.Exec(back)
			must(t, err)
		}
	}()
	for range 2 {
		x = open(t, dir)
		if s, has, err := x.Study(t.Context(), uid(1)); x.SetAside != nil || x.Incarnation != incarnation || err != nil || !has || s.Instances != 1 || s.Wanting != 0 {
			t.Fatalf("%v; %+v, %v, %v", x.SetAside, s, has, err)
		}
		must(t, x.Close())
	}
	x = open(t, dir)
	_, err = x.Update(t.Context(), uid(1), Change{Facts: &Facts{Wanting: 1<<32 - 1}})
	must(t, err)
	if s, _, err := x.Study(t.Context(), uid(1)); err != nil || s.Wanting != 1<<32-1 {
		t.Errorf("it wants %d, %v", s.Wanting, err)
	}
	must(t, x.Close())
}

func flip(t testing.TB, name string, at int64) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	b := make([]byte, 1)
	_, err = f.ReadAt(b, at)
	must(t, err)
	b[0] ^= 0xFF
	_, err = f.WriteAt(b, at)
	must(t, err)
}

// TestFlippedIndex flips a byte anywhere in an index: what is read afterwards is what was written, or nothing, or an error.
func TestFlippedIndex(t *testing.T) {
	dir := t.TempDir()
	x := open(t, dir)
	want := map[string]Entry{}
	for n := range 400 {
		put := commit(uid(1), n)
		_, err := x.Update(t.Context(), uid(1), Change{Put: put})
		must(t, err)
		for _, e := range put {
			want[e.Path] = e
		}
	}
	must(t, x.Close())
	good, err := os.ReadFile(x.path())
	must(t, err)
	random := rand.New(rand.NewPCG(3, 4))
	seen := 0
	for range 60 {
		spoilt := filepath.Join(t.TempDir(), "state")
		must(t, os.Mkdir(spoilt, 0o700))
		must(t, os.WriteFile(filepath.Join(spoilt, databaseFile), good, 0o600))
		flip(t, filepath.Join(spoilt, databaseFile), random.Int64N(int64(len(good))))
		r, err := OpenReader(t.Context(), spoilt)
		if err != nil || r.SetAside != nil {
			seen++
			continue
		}
		got, err := r.Manifest(t.Context(), uid(1))
		if err != nil {
			seen++
		} else if len(got) > 0 && !maps.Equal(got, want) {
			t.Error("a flipped byte made other files of the study")
		}
		must(t, r.Close())
	}
	t.Logf("%d of 60 flips were seen; the others hit pages that are not used", seen)
}

// TestKilledUpdater kills a process in the middle of updates, over and over: the index opens again and has whole changes, all that were told of.
func TestKilledUpdater(t *testing.T) {
	dir := t.TempDir()
	for round := range 8 {
		told := killAfter(t, "update", dir, 20+30*round)
		x := open(t, dir)
		if x.SetAside != nil {
			t.Fatal(x.SetAside)
		}
		files, err := x.Manifest(t.Context(), uid(1))
		must(t, err)
		if len(files)%2 != 0 || len(files) < 2*(told+1) {
			t.Errorf("%d files after change %d", len(files), told)
		}
		must(t, x.Close())
	}
}

// killAfter starts a process that prints a number for each thing done, kills it after so many lines, and returns the last number that it printed.
func killAfter(t *testing.T, play, dir string, lines int) (last int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestPlay$")
	cmd.Env = append(os.Environ(), role+"="+play+" "+dir)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	in := bufio.NewScanner(out)
	for n := 0; in.Scan(); n++ {
		if last, err = strconv.Atoi(in.Text()); err != nil {
			t.Fatal(in.Text())
		}
		if n == lines {
			must(t, cmd.Process.Kill())
		}
	}
	_ = cmd.Wait()
	return last
}

// updateForEver adds instances to one study from where the index is, telling of each.
func updateForEver(t *testing.T, dir string) error {
	ctx := t.Context()
	x, err := Open(ctx, dir)
	if err != nil {
		return err
	}
	files, err := x.Manifest(ctx, uid(1))
	if err != nil {
		return err
	}
	for n := len(files) / 2; ; n++ {
		if _, err := x.Update(ctx, uid(1), Change{Put: commit(uid(1), n)}); err != nil {
			return err
		}
		fmt.Println(n)
	}
}
