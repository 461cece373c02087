package combine

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/ingest"
	"github.com/dicomesh/dicomesh/dedup/phantom"
	"github.com/dicomesh/dicomesh/e2e/raced"
)

// ingested is a study of 20 instances, as ingest stores it, to which two corrections were written: one instance deleted, one deleted and restored; with the older list combined once already.
func ingested(t *testing.T) (*crashfs.FS, dedup.UID) {
	t.Helper()
	fsys := crashfs.New()
	archive, err := ingest.Open(fsys)
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	batch, err := archive.OpenBatch()
	if err != nil {
		t.Fatal(err)
	}
	s := phantom.Study{Number: 1, Series: 2, Instances: 10, Size: 16}
	for i := range s.All() {
		var b bytes.Buffer
		if err := i.Write(&b); err != nil {
			t.Fatal(err)
		}
		batch.Add(i.Path(), bytes.NewReader(b.Bytes()), int64(b.Len()))
	}
	results := batch.Commit()
	study := results[0].Study
	first := state(t, fsys, study.String()).Instances
	remove := func(i dedup.SOPInstance) (dedup.Object, dedup.Hash) {
		d := i.Records[0].Dedup
		return seal(object("00080018", i.SOP.String()), dedup.Dedup{Type: dedup.TypeInstance, Delete: true, Replace: []dedup.Hash{d.Hash, d.Content}})
	}
	gone, _ := remove(first[0])
	gone2, goneHash := remove(first[1])
	content, d := dedup.Split(first[1].Records[0].Object)
	d.Replace = []dedup.Hash{goneHash, d.Hash}
	restored, _ := seal(content, d)
	store(t, fsys, study, listFile(dedup.Dedup{}, nil, gone, gone2))
	if c, err := New(Config{Tree: fsys}).Study(t.Context(), study); err != nil || len(c.Inputs) != 19 { // the removals account for two files
		t.Fatalf("%d inputs, %v", len(c.Inputs), err)
	}
	store(t, fsys, study, listFile(dedup.Dedup{}, nil, restored))
	return fsys, study
}

// store writes a list durably.
func store(t *testing.T, fsys durable.FS, study dedup.UID, f dedup.File) {
	t.Helper()
	name := f.ID.Ref.In(study)
	if err := durable.MkdirAll(fsys, path.Dir(name)); err != nil {
		t.Fatal(err)
	}
	if err := durable.WriteFile(fsys, name, dedup.Compress(nil, content(f))); err != nil {
		t.Fatal(err)
	}
}

// collectAll combines, and collects until two days have passed. clock goes on.
func collectAll(t *testing.T, fsys durable.FS, study dedup.UID, clock *clockAt) error {
	c := New(Config{Tree: fsys, Clock: clock.read})
	if _, err := c.Study(t.Context(), study); err != nil {
		return err
	}
	for range 4 {
		if _, err := c.Collect(t.Context(), study); err != nil {
			return err
		}
		clock.pass(time.Hour) // of which 24 would be needed: the sweep shortens the day instead
		c.config.Keep = 2 * time.Hour
	}
	return nil
}

// sound holds a tree against what it showed before: everything that is visible is right, and nothing is shown otherwise (I1, I2, I4).
func sound(t *testing.T, fsys durable.FS, study dedup.UID, want *dedup.State) error {
	t.Helper()
	s, err := New(Config{Tree: fsys}).load(t.Context(), study)
	if err != nil {
		return err
	}
	got := dedup.Resolve(s.Files, s.Bulk)
	if !got.Complete() || !Same(got, want) {
		return fmt.Errorf("complete %v, %d instances", got.Complete(), len(got.Instances))
	}
	for _, f := range s.Files {
		if f.Fault != nil {
			return f.Fault
		}
	}
	for _, i := range got.Instances {
		for _, r := range i.Records {
			for _, ref := range got.Closure(r) {
				if err := right(s, ref); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// right reports whether bulkdata is what its name says.
func right(s *study, ref dedup.Ref) error {
	held, _, err := s.folder.Find(ref)
	if err != nil {
		return err
	}
	text, err := s.folder.Read(held, 1<<20)
	if err != nil {
		return err
	}
	name := dedup.HashOf(sha256.Sum256(text))
	if ref.Ext == ".json.gz" {
		o, err := dedup.ParseObject(text)
		if err != nil || dedup.Verify(o) != dedup.Right {
			return fmt.Errorf("%s is torn: %w", ref, errors.Join(err, dedup.ErrDamaged))
		}
		return nil
	}
	if name.String() != ref.Name {
		return fmt.Errorf("%s is torn", ref)
	}
	return nil
}

// archived is all of the archive in a tree, without what is dicomesh's own.
func archived(t *testing.T, fsys durable.Reader) map[string]string {
	t.Helper()
	out := map[string]string{}
	if err := all(fsys, "studies", out); err != nil {
		t.Fatal(err)
	}
	return out
}

// The power goes at every operation of combining and collecting that changes something; what is left is as bad as a file system may leave it. It reads the same, and a second run comes to the same bytes as a run
// without a crash.
func TestPowerCutAtEveryOperation(t *testing.T) {
	begin, study := ingested(t)
	want := state(t, begin, study.String())
	clean := begin.Crash(rand.New(rand.NewPCG(1, 1)))
	if err := collectAll(t, clean, study, newClock()); err != nil {
		t.Fatal(err)
	}
	final := archived(t, clean)
	if n := len(heads(t, clean, study.String())); n != 1 {
		t.Fatalf("%d lists and instance files are left", n)
	}
	if err := sound(t, clean, study, want); err != nil {
		t.Fatal(err)
	}
	changes := changing(t, begin, study)
	t.Logf("%d operations, %d of which change something", clean.Ops(), len(changes))
	const shards = 4
	for shard := range shards {
		t.Run(fmt.Sprint(shard), func(t *testing.T) {
			t.Parallel()
			for n := shard * raced.Pick(t, 1, 6); n < len(changes); n += shards * raced.Pick(t, 1, 6) {
				cut(t, begin, study, want, final, changes[n])
			}
		})
	}
}

// changing are the numbers of the operations that change something or make it durable. Whether the power goes before or after one that only looks makes no difference to what is left.
func changing(t *testing.T, begin *crashfs.FS, study dedup.UID) (numbers []int) {
	t.Helper()
	fsys := begin.Crash(rand.New(rand.NewPCG(1, 1)))
	fsys.Hook = func(op crashfs.Op) (bool, error) {
		if !slices.Contains([]string{"open", "read", "readat", "lstat", "readdir", "close", "unlock"}, op.Kind) {
			numbers = append(numbers, op.N)
		}
		return true, nil
	}
	if err := collectAll(t, fsys, study, newClock()); err != nil {
		t.Fatal(err)
	}
	return numbers
}

func cut(t *testing.T, begin *crashfs.FS, study dedup.UID, want *dedup.State, final map[string]string, k int) {
	t.Helper()
	fsys, clock := begin.Crash(rand.New(rand.NewPCG(1, 1))), newClock()
	fsys.Hook = crashfs.CrashAt(k)
	_ = collectAll(t, fsys, study, clock)
	for seed := range uint64(2) {
		left := fsys.Crash(rand.New(rand.NewPCG(uint64(k), seed)))
		if err := sound(t, left, study, want); err != nil {
			t.Fatalf("power cut at operation %d, seed %d: %v", k, seed, err)
		}
		if seed > 0 || k%3 > 0 {
			continue
		}
		clock.Boot = "after"
		if err := collectAll(t, left, study, clock); err != nil {
			t.Fatalf("power cut at operation %d, second run: %v", k, err)
		}
		if got := archived(t, left); !equal(got, final) {
			t.Fatalf("power cut at operation %d: a second run comes to something else: %d files, not %d", k, len(got), len(final))
		}
		if err := sound(t, left.Crash(rand.New(rand.NewPCG(seed, 9))), study, want); err != nil {
			t.Fatalf("power cut at operation %d, after the second run: %v", k, err)
		}
	}
}

func equal(a, b map[string]string) bool {
	for name, text := range a {
		if b[name] != text {
			return false
		}
	}
	return len(a) == len(b)
}

// Every operation that changes something, or makes it durable, fails once, and may have happened all the same. Then the power goes.
func TestEveryOperationFails(t *testing.T) {
	t.Parallel()
	begin, study := ingested(t)
	want := state(t, begin, study.String())
	for n, k := range changing(t, begin, study) {
		if n%raced.Pick(t, 1, 9) != 0 {
			continue
		}
		for _, happens := range []bool{false, true} {
			fsys, clock := begin.Crash(rand.New(rand.NewPCG(1, 1))), newClock()
			fsys.Hook = crashfs.FailAt(k, happens, syscall.EIO)
			_ = collectAll(t, fsys, study, clock)
			fsys.Hook = nil
			if err := sound(t, fsys.Crash(rand.New(rand.NewPCG(uint64(k), 3))), study, want); err != nil {
				t.Fatalf("operation %d fails (happens: %v): %v", k, happens, err)
			}
			if err := collectAll(t, fsys, study, clock); err != nil {
				t.Fatalf("operation %d failed: afterwards %v", k, err)
			}
			if n := len(heads(t, fsys, study.String())); n != 1 {
				t.Fatalf("operation %d failed: afterwards %d files are left", k, n)
			}
		}
	}
}

// A list that can be seen is not yet durable: its writer was killed before its last sync. It is made so before anything is removed for its sake.
func TestLeafIsMadeDurable(t *testing.T) {
	begin, study := ingested(t)
	want := state(t, begin, study.String())
	for seed := range uint64(10) {
		fsys := begin.Crash(rand.New(rand.NewPCG(1, 1)))
		plan, err := New(Config{Tree: fsys}).Combination(t.Context(), study)
		if err != nil {
			t.Fatal(err)
		}
		f, err := fsys.Create(plan.List.Ref.In(study))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(dedup.Compress(nil, plan.Content)); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		c := New(Config{Tree: fsys, Clock: newClock().read})
		removed := false
		fsys.Hook = func(op crashfs.Op) (bool, error) { // some files go, and then the power does
			if removed && op.Kind != "remove" {
				return false, crashfs.ErrCrashed
			}
			removed = removed || op.Kind == "remove" && strings.HasPrefix(op.Name, "studies/")
			return true, nil
		}
		if _, err := c.Collect(t.Context(), study); !errors.Is(err, crashfs.ErrCrashed) {
			t.Fatalf("collected: %v", err)
		}
		if err := sound(t, fsys.Crash(rand.New(rand.NewPCG(seed, 5))), study, want); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// A commit that failed takes back what it had shown; what was read of it is then not relied on.
func TestWithdrawnMeanwhile(t *testing.T) {
	begin, study := ingested(t)
	taken := func(k string) func(crashfs.Op) (bool, error) {
		return func(op crashfs.Op) (bool, error) {
			if op.Kind == "lstat" && strings.HasSuffix(op.Name, k) {
				return false, &fs.PathError{Op: "lstat", Path: op.Name, Err: fs.ErrNotExist}
			}
			return true, nil
		}
	}
	s := state(t, begin, study.String())
	last := s.Leaves[len(s.Leaves)-1]
	fsys := begin.Crash(rand.New(rand.NewPCG(1, 1)))
	fsys.Hook = taken(last.Ref.Path())
	if _, err := New(Config{Tree: fsys}).Study(t.Context(), study); !errors.Is(err, durable.ErrNotStored) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("combined with a list that is gone: %v", err)
	}
	fsys = begin.Crash(rand.New(rand.NewPCG(1, 1)))
	plan, err := New(Config{Tree: fsys}).Study(t.Context(), study)
	if err != nil {
		t.Fatal(err)
	}
	fsys.Hook = taken(plan.List.Ref.Path())
	before := len(heads(t, fsys, study.String()))
	if _, err := New(Config{Tree: fsys, Clock: newClock().read}).Collect(t.Context(), study); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("collected for the sake of a list that is gone: %v", err)
	}
	fsys.Hook = nil
	if after := len(heads(t, fsys, study.String())); after != before {
		t.Errorf("%d files, before %d", after, before)
	}
}
