package crashfs_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/durable/durabletest"
)

func TestConformance(t *testing.T) {
	durabletest.TestFS(t, func(*testing.T) durable.FS { return crashfs.New() })
}

// The twin does what the disk does, whatever the order of operations.
func TestTwin(t *testing.T) {
	names := []string{"a", "b", "d", "d/a", "d/b", "d/e", "d/e/a"}
	for seed := range uint64(60) {
		disk, err := durable.OpenOS(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		twin := crashfs.New()
		rng := rand.New(rand.NewPCG(seed, 0))
		for range 60 {
			op, a, b := rng.IntN(8), names[rng.IntN(len(names))], names[rng.IntN(len(names))]
			if got, want := apply(twin, op, a, b), apply(disk, op, a, b); got != want {
				t.Fatalf("seed %d: the disk says %s\n%s", seed, want, twin.Log())
			}
		}
		if got, want := tree(twin, "."), tree(disk, "."); got != want {
			t.Fatalf("seed %d: the disk holds\n%s the twin\n%s", seed, want, got)
		}
		disk.Close()
	}
}

// apply does one operation, and says what a caller can tell of how it ended.
func apply(f durable.FS, op int, a, b string) string {
	var err error
	info, missing := f.Lstat(a)
	folder := missing == nil && info.IsDir()
	switch {
	case op == 0:
		var h durable.File
		if h, err = f.Create(a); err == nil {
			_, err = h.Write([]byte(b))
			err = errors.Join(err, h.Close())
		}
	case op == 1:
		err = f.Mkdir(a)
	case op == 2:
		err = f.Remove(a)
	case op == 3:
		_, err = durabletest.Read(f, a)
	case op == 4:
		err = f.SyncDir(a)
	case folder: // the others are for files
	case op == 5:
		err = f.Rename(a, b)
	case op == 6:
		err = f.Link(a, b)
	case op == 7:
		err = f.Replace(a, b)
	}
	for _, kind := range []error{nil, fs.ErrExist, fs.ErrNotExist, durable.ErrNotRegular} {
		if errors.Is(err, kind) {
			return fmt.Sprint(kind)
		}
	}
	return err.Error()
}

// tree is all that f holds, as text.
func tree(f durable.Reader, dir string) string {
	entries, err := f.ReadDir(dir)
	if err != nil {
		return err.Error()
	}
	var s strings.Builder
	for _, e := range entries {
		name := strings.TrimPrefix(dir+"/"+e.Name(), "./")
		if e.IsDir() {
			s.WriteString(name + "/\n" + tree(f, name))
			continue
		}
		data, err := durabletest.Read(f, name)
		fmt.Fprintln(&s, name, string(data), err)
	}
	return s.String()
}

// outcomes does work and returns what 200 power cuts leave, sorted, each once, a line of words each.
func outcomes(t *testing.T, work func(t *testing.T, f *crashfs.FS)) string {
	t.Helper()
	f := crashfs.New()
	work(t, f)
	var all []string
	for seed := range uint64(200) {
		left := strings.ReplaceAll(tree(f.Crash(rand.New(rand.NewPCG(seed, 0))), "."), " <nil>\n", ";")
		all = append(all, strings.ReplaceAll(left, "\x00", "0"))
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), " | ")
}

// What power cuts leave, as text: all the ways, and no other.
func TestOutcomes(t *testing.T) {
	for _, test := range []struct {
		what string
		work func(*testing.T, *crashfs.FS)
		want string
	}{
		{"a file that was not synced: no name, or any part of it", func(t *testing.T, f *crashfs.FS) {
			durabletest.Write(t, f, "a", "xy")
		}, " | a 00; | a ; | a x0; | a x; | a xy;"},
		{"a file whose bytes were synced, not its name", func(t *testing.T, f *crashfs.FS) {
			write(t, f, "a", "xy")
		}, " | a xy;"},
		{"a file whose name was synced, not its bytes", func(t *testing.T, f *crashfs.FS) {
			durabletest.Write(t, f, "a", "x")
			must(t, f.SyncDir("."))
		}, "a 0; | a ; | a x;"},
		{"a folder that was not synced, though what is in it was", func(t *testing.T, f *crashfs.FS) {
			must(t, f.Mkdir("d"))
			write(t, f, "d/a", "x")
			must(t, f.SyncDir("d"))
		}, " | d/\nd/a x;"},
		{"a rename of a durable file: one name or both", func(t *testing.T, f *crashfs.FS) {
			durablyWrite(t, f, "a", "x")
			must(t, f.Rename("a", "b"))
		}, "a x; | a x;b x; | b x;"},
		{"a rename whose old folder was synced takes the new name along", func(t *testing.T, f *crashfs.FS) {
			must(t, f.Mkdir("d"))
			durablyWrite(t, f, "a", "x")
			must(t, f.Rename("a", "d/a"))
			must(t, f.SyncDir("."))
		}, "d/\nd/a x;"},
		{"a rename that another file follows in the old place", func(t *testing.T, f *crashfs.FS) {
			durablyWrite(t, f, "a", "x")
			must(t, f.Rename("a", "b"))
			write(t, f, "a", "y")
		}, "a x; | a x;b x; | a y;b x; | b x;"},
		{"a replacement: the old or the new", func(t *testing.T, f *crashfs.FS) {
			durablyWrite(t, f, "a", "x")
			durablyWrite(t, f, "b", "y")
			must(t, f.Replace("b", "a"))
		}, "a x;b y; | a y; | a y;b y;"},
		{"a removal", func(t *testing.T, f *crashfs.FS) {
			durablyWrite(t, f, "a", "x")
			must(t, f.Remove("a"))
		}, " | a x;"},
		{"all synced", func(t *testing.T, f *crashfs.FS) {
			durabletest.Write(t, f, "a", "x")
			must(t, syncAll(t, f))
		}, "a x;"},
	} {
		if got := outcomes(t, test.work); got != test.want {
			t.Errorf("%s: %q; want %q", test.what, got, test.want)
		}
	}
}

// After a failed sync everything looks well and later syncs succeed, until the power goes.
func TestFailedSyncDrops(t *testing.T) {
	for _, kind := range []string{"sync", "syncall", "background"} {
		f := crashfs.New()
		h, err := f.Create("a")
		must(t, err)
		barrier, err := f.Barrier()
		must(t, err)
		must(t, syncAll(t, f))
		_, err = h.Write([]byte("x"))
		must(t, err)
		switch kind {
		case "background":
			f.Lose(syscall.EIO)
			wantEIO(t, h.Sync())
		case "sync":
			f.Hook = crashfs.FailAt(f.Ops(), false, syscall.EIO)
			wantEIO(t, h.Sync())
			wantEIO(t, barrier.SyncAll()) // which did not fail itself
		case "syncall":
			f.Hook = crashfs.FailAt(f.Ops(), false, syscall.EIO)
			wantEIO(t, barrier.SyncAll())
			wantEIO(t, h.Sync())
		}
		must(t, h.Sync())
		must(t, syncAll(t, f))
		if data, err := durabletest.Read(f, "a"); string(data) != "x" {
			t.Errorf("before the power cut: %q, %v", data, err)
		}
		for seed := range uint64(20) {
			left := f.Crash(rand.New(rand.NewPCG(seed, 0)))
			if data, _ := durabletest.Read(left, "a"); string(data) == "x" {
				t.Fatalf("the power cut left bytes whose %s failed", kind)
			}
		}
	}
}

func TestFull(t *testing.T) {
	f := crashfs.New()
	f.Resize(3)
	h, err := f.Create("a")
	must(t, err)
	if n, err := h.Write([]byte("four")); n != 3 || !durable.IsFull(err) {
		t.Errorf("4 bytes on a disk of 3: %d, %v", n, err)
	}
	if err := f.Mkdir("d"); !durable.IsFull(err) {
		t.Errorf("mkdir on a full disk: %v", err)
	}
	must(t, f.Remove("a"))
	must(t, f.Mkdir("d"))
}

func TestFailedButHappened(t *testing.T) {
	f := crashfs.New()
	durablyWrite(t, f, "a", "x")
	f.Hook = crashfs.FailAt(f.Ops(), true, syscall.EIO)
	wantEIO(t, f.Rename("a", "b"))
	if got := tree(f, "."); got != "b x <nil>\n" {
		t.Error(got)
	}
}

func durablyWrite(t *testing.T, f *crashfs.FS, name, data string) {
	t.Helper()
	write(t, f, name, data)
	must(t, syncAll(t, f))
}

// write makes a file whose bytes are durable, its name not.
func write(t *testing.T, f *crashfs.FS, name, data string) {
	t.Helper()
	h, err := f.Create(name)
	must(t, err)
	_, err = h.Write([]byte(data))
	must(t, err)
	must(t, h.Sync())
	must(t, h.Close())
}

func syncAll(t *testing.T, f *crashfs.FS) error {
	t.Helper()
	barrier, err := f.Barrier()
	must(t, err)
	defer barrier.Close()
	return barrier.SyncAll()
}

func wantEIO(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, syscall.EIO) {
		t.Errorf("%v; want EIO", err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
