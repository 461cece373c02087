package ingest_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/ingest"
	"github.com/dicomesh/dicomesh/dedup/part10"
	"github.com/dicomesh/dicomesh/dedup/phantom"
	"github.com/dicomesh/dicomesh/e2e/raced"
)

// twenty is a study of 20 small instances.
func twenty(t testing.TB) []file {
	t.Helper()
	var out []file
	s := phantom.Study{Number: 1, Series: 2, Instances: 10, Size: 16}
	for i := range s.All() {
		var b bytes.Buffer
		if err := i.Write(&b); err != nil {
			t.Fatal(err)
		}
		out = append(out, file{i.Path(), b.Bytes()})
	}
	if len(out) != 20 {
		t.Fatalf("%d instances", len(out))
	}
	return out
}

// inBatches ingests files in batches of n, until one is refused, and returns those that were acknowledged.
func inBatches(fsys durable.FS, n int, files []file) (acknowledged []file, err error) {
	for ; len(files) > 0; files = files[n:] {
		out, err := add(fsys, files[:n]...)
		for _, f := range files[:n] {
			if r := out[f.name]; r.Status == ingest.Refused {
				err = errors.Join(err, r.Err)
			} else if r.Status != "" {
				acknowledged = append(acknowledged, f)
			}
		}
		if err != nil {
			return acknowledged, err
		}
	}
	return acknowledged, nil
}

// sound checks what is left of a tree from outside: nothing torn, nothing that is visible lacks what it refers to, and everything that was
// acknowledged is given back byte for byte.
func sound(fsys durable.FS, acknowledged []file) error {
	want := map[dedup.UID]file{}
	for _, f := range acknowledged {
		id, err := part10.Identify(bytes.NewReader(f.data), int64(len(f.data)))
		if err != nil {
			return err
		}
		want[id.SOP] = f
	}
	studies, _, err := dedup.NewTree(fsys).Studies()
	if err != nil {
		return err
	}
	for _, uid := range studies {
		state, source, err := study(fsys, uid)
		if err != nil {
			return err
		}
		if len(state.Faults) > 0 || !state.Complete() || state.Conflict() {
			return fmt.Errorf("study is not sound: %d faults, complete %v, conflict %v", len(state.Faults), state.Complete(), state.Conflict())
		}
		if err := untorn(fsys, uid); err != nil {
			return err
		}
		for _, i := range state.Instances {
			rebuilt, err := part10.Rebuild(state.Merge(i.Records[0]), i.Records[0].Dedup, source)
			if err != nil {
				return fmt.Errorf("a visible instance: %w", err)
			}
			var b bytes.Buffer
			if _, err := rebuilt.WriteTo(&b); err != nil {
				return fmt.Errorf("a visible instance: %w", err)
			}
			if f, ok := want[i.SOP]; ok && !bytes.Equal(b.Bytes(), f.data) {
				return fmt.Errorf("%s: other bytes", f.name)
			}
			delete(want, i.SOP)
		}
	}
	for _, f := range want {
		return fmt.Errorf("%s was acknowledged and is not there", f.name)
	}
	return nil
}

// untorn checks that every bulkdata file of a study is what its name says, also one that nothing refers to yet.
func untorn(fsys durable.FS, uid dedup.UID) error {
	folder, err := dedup.NewTree(fsys).Study(uid)
	if err != nil {
		return err
	}
	held, _, err := folder.Files()
	if err != nil {
		return err
	}
	for _, h := range held {
		if h.Ref.Class != dedup.Bulkdata {
			continue
		}
		text, err := folder.Read(h, 1<<20)
		if err != nil {
			return fmt.Errorf("%s: %w", h.Path, err)
		}
		name := dedup.HashOf(sha256.Sum256(text))
		if h.Ref.Ext == ".json.gz" {
			o, err := dedup.ParseObject(text)
			if err != nil || dedup.Verify(o) != dedup.Right {
				return fmt.Errorf("%s is torn: %v", h.Path, err)
			}
			_, d := dedup.Split(o)
			name = d.Hash
		}
		if name.String() != h.Ref.Name {
			return fmt.Errorf("%s is torn", h.Path)
		}
	}
	return nil
}

// The power goes at every operation, and what is left is as bad as a file system may leave it.
func TestPowerCutAtEveryOperation(t *testing.T) {
	files := twenty(t)
	clean := crashfs.New()
	if got, err := inBatches(clean, 5, files); len(got) != len(files) {
		t.Fatalf("%d of %d stored without a crash: %v", len(got), len(files), err)
	}
	t.Logf("%d operations, every %d.", clean.Ops(), raced.Pick(t, 1, 47))
	const shards = 4
	for shard := range shards {
		t.Run(fmt.Sprint(shard), func(t *testing.T) {
			t.Parallel()
			for k := shard * raced.Pick(t, 1, 47); k < clean.Ops(); k += shards * raced.Pick(t, 1, 47) {
				powerCut(t, k, files)
			}
		})
	}
}

// powerCut cuts at operation k of an ingest in batches, looks at two of the trees that may be left, and now and then goes on with one.
func powerCut(t *testing.T, k int, files []file) {
	t.Helper()
	fsys := crashfs.New()
	fsys.Hook = crashfs.CrashAt(k)
	acknowledged, _ := inBatches(fsys, 5, files)
	for seed := range uint64(2) {
		left := fsys.Crash(rand.New(rand.NewPCG(uint64(k), seed)))
		if err := sound(left, acknowledged); err != nil {
			t.Fatalf("power cut at operation %d, seed %d: %v", k, seed, err)
		}
		if seed > 0 || k%7 > 0 {
			continue
		}
		if got, err := inBatches(left, 20, files); len(got) != len(files) {
			t.Fatalf("power cut at operation %d: the second time %d of %d are stored: %v", k, len(got), len(files), err)
		}
		if err := sound(left.Crash(rand.New(rand.NewPCG(seed, 1))), files); err != nil {
			t.Fatalf("power cut at operation %d, second time: %v", k, err)
		}
	}
}

// Every operation fails once, and may have happened all the same. Then the power goes.
func TestEveryOperationFails(t *testing.T) {
	files := twenty(t)[:4]
	clean := crashfs.New()
	if _, err := inBatches(clean, 2, files); err != nil {
		t.Fatal(err)
	}
	for k := 0; k < clean.Ops(); k += raced.Pick(t, 1, 47) {
		for _, happens := range []bool{false, true} {
			fsys := crashfs.New()
			fsys.Hook = crashfs.FailAt(k, happens, syscall.EIO)
			acknowledged, _ := inBatches(fsys, 2, files)
			fsys.Hook = nil
			left := fsys.Crash(rand.New(rand.NewPCG(uint64(k), 3)))
			if err := sound(left, acknowledged); err != nil {
				t.Fatalf("operation %d fails (happens: %v): %v", k, happens, err)
			}
			if got, err := inBatches(left, 4, files); len(got) != len(files) {
				t.Fatalf("operation %d failed: afterwards %d of %d are stored: %v", k, len(got), len(files), err)
			}
		}
	}
}

// A disk that fills up refuses, keeps what it has, and takes the same files when there is room.
func TestFullDisk(t *testing.T) {
	files := twenty(t)
	for _, room := range []int64{0, 1 << 10, 10 << 10, 40 << 10} {
		fsys := crashfs.New()
		fsys.Resize(room + 1)
		acknowledged, err := inBatches(fsys, 5, files)
		if !durable.IsFull(err) {
			t.Fatalf("room for %d bytes, %d files stored: %v", room, len(acknowledged), err)
		}
		fsys.Resize(0)
		if err := sound(fsys.Crash(rand.New(rand.NewPCG(1, 1))), acknowledged); err != nil {
			t.Errorf("room for %d bytes: %v", room, err)
		}
		if got, err := inBatches(fsys, 5, files); len(got) != len(files) {
			t.Errorf("with room again %d of %d: %v", len(got), len(files), err)
		}
	}
}

// Two processes ingest into one tree: the same files, and files with one SOP Instance UID and different content.
func TestTwoAtOnce(t *testing.T) {
	original, rival, twin := pick(t, "same/original"), pick(t, "same/other-value"), pick(t, "same/rle")
	sides := [][]file{append(twenty(t), original, twin), append(twenty(t), rival, twin)}
	for range 5 {
		fsys := crashfs.New()
		var both sync.WaitGroup
		for _, files := range sides {
			both.Go(func() {
				for _, f := range files {
					if _, err := add(fsys, f); err != nil {
						t.Error(err)
					}
				}
			})
		}
		both.Wait()
		got := exported(t, fsys)
		for _, f := range append(sides[0], rival) {
			if got[string(f.data)] != 1 {
				t.Errorf("%s is given back %d times", f.name, got[string(f.data)])
			}
		}
	}
}

// The order of file operations of one commit, for a reviewer to read.
func TestBulkdataComesFirst(t *testing.T) {
	fsys := crashfs.New()
	seen := false
	fsys.Hook = func(op crashfs.Op) (bool, error) {
		if op.Kind == "rename" {
			_, ref, err := split(op.To)
			if err != nil {
				t.Error(err)
			}
			if ref.Class == dedup.Bulkdata && seen {
				t.Errorf("%s after an instance file", op)
			}
			seen = seen || ref.Class == dedup.Instance
		}
		return true, nil
	}
	mustAdd(t, fsys, twenty(t)...)
	if !seen {
		t.Error("no instance file was made")
	}
}

func split(name string) (uid dedup.UID, ref dedup.Ref, err error) {
	var study string
	if _, err := fmt.Sscanf(name, "studies/%s", &study); err != nil {
		return uid, ref, fs.ErrInvalid
	}
	for i := range study {
		if study[i] == '/' {
			ref, err = dedup.ParseRef(study[i+1:])
			return uid, ref, err
		}
	}
	return uid, ref, fs.ErrInvalid
}
