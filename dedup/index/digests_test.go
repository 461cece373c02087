package index

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
)

// foreign is n files of a study whose names say nothing.
func foreign(study dedup.UID, from, n int) (out []Entry) {
	for i := from; i < from+n; i++ {
		out = append(out, entry(study, dedup.Ref{Class: dedup.Other, Name: fmt.Sprintf("series/1.2.3/instances/1.2.3.%d/frames/1.mht", i)}, i))
	}
	return out
}

func openLog(t testing.TB, dir string) *Digests {
	t.Helper()
	state, err := durable.OpenPrivate(dir)
	must(t, err)
	defer state.Close()
	d, err := openDigests(dir, state)
	must(t, err)
	t.Cleanup(func() { d.Close() })
	return d
}

// TestDigests holds that what was recorded comes back, after a new start too, in frames that are bounded.
func TestDigests(t *testing.T) {
	dir := t.TempDir()
	d := openLog(t, dir)
	want := map[dedup.UID]map[string]Entry{}
	for n := range 50 {
		study := uid(n % 7)
		entries := foreign(study, 100*n, 1+40*(n%5)*(n%5))
		must(t, d.Append(study, entries))
		must(t, d.Append(study, entries[:1])) // known already
		if want[study] == nil {
			want[study] = map[string]Entry{}
		}
		for _, e := range entries {
			want[study][e.Path] = e
		}
	}
	size := d.end
	for range 2 {
		studies := 0
		for study, err := range d.Studies() {
			must(t, err)
			got, err := d.Study(study)
			must(t, err)
			if !maps.Equal(got, want[study]) {
				t.Fatalf("study %s: %d files, want %d, or others", study, len(got), len(want[study]))
			}
			studies++
		}
		if studies != len(want) || d.Cut != 0 || len(d.Damage) != 0 || d.end != size {
			t.Fatalf("%d studies, cut %d, damage %v", studies, d.Cut, d.Damage)
		}
		must(t, d.Close())
		d = openLog(t, dir)
	}
}

// TestFirstSeenCounts holds that a later, different digest replaces nothing and names its file, and that another gzip envelope is no difference.
func TestFirstSeenCounts(t *testing.T) {
	dir := t.TempDir()
	d := openLog(t, dir)
	old := foreign(uid(1), 0, 3)
	must(t, d.Append(uid(1), old))
	other, packed := old[1], old[2]
	other.Content[0]++
	packed.Stored[0]++
	fresh := foreign(uid(1), 3, 1)[0]
	err := d.Append(uid(1), []Entry{other, packed, fresh})
	if !errors.Is(err, ErrDiffers) || !strings.Contains(err.Error(), other.Path) || strings.Contains(err.Error(), packed.Path) {
		t.Errorf("a different file under a recorded name: %v", err)
	}
	must(t, d.Close())
	got, err := openLog(t, dir).Study(uid(1))
	must(t, err)
	for _, e := range []Entry{old[0], old[1], packed, fresh} {
		if got[e.Path] != e {
			t.Errorf("recorded is %+v, want %+v", got[e.Path], e)
		}
	}
}

// TestTornTail cuts the log at every byte: what was recorded before the last append is there, and the log goes on.
func TestTornTail(t *testing.T) {
	dir := t.TempDir()
	d := openLog(t, dir)
	first, second := foreign(uid(1), 0, 2), foreign(uid(1), 2, 2)
	must(t, d.Append(uid(1), first))
	kept := d.end
	must(t, d.Append(uid(1), second))
	must(t, d.Close())
	whole, err := os.ReadFile(filepath.Join(dir, digestsFile))
	must(t, err)
	for cut := 0; cut < len(whole); cut++ {
		torn := t.TempDir()
		tail := append(append([]byte{}, whole[:cut]...), make([]byte, cut%3*700)...) // a crash may leave zeros as well
		must(t, os.WriteFile(filepath.Join(torn, digestsFile), tail, 0o600))
		d := openLog(t, torn)
		got, err := d.Study(uid(1))
		must(t, err)
		end := int64(0)
		if int64(cut) >= kept {
			end = kept
		}
		if len(got) != 2*int(end/max(kept, 1)) || d.end != end || d.Cut != int64(len(tail))-end || len(d.Damage) > 0 {
			t.Fatalf("cut at %d: %d files, ends at %d, cut %d, damage %v", cut, len(got), d.end, d.Cut, d.Damage)
		}
		must(t, d.Append(uid(1), second))
		must(t, d.Close())
		if d = openLog(t, torn); d.Cut != 0 || len(d.Damage) != 0 {
			t.Fatalf("cut at %d: after an append %d bytes are cut, damage %v", cut, d.Cut, d.Damage)
		}
		must(t, d.Close())
	}
}

// TestDamagedLog flips each byte of the frame in the middle, and of the last one, which nobody may take for what a crash leaves: the damage is named by its place, all other records are good, and nothing is cut off.
func TestDamagedLog(t *testing.T) {
	dir := t.TempDir()
	d := openLog(t, dir)
	var ends []int64
	for n := range 3 {
		must(t, d.Append(uid(n), foreign(uid(n), n, 2)))
		ends = append(ends, d.end)
	}
	must(t, d.Close())
	whole, err := os.ReadFile(filepath.Join(dir, digestsFile))
	must(t, err)
	for at := ends[0]; at < ends[2]; at++ {
		from, to, want := ends[0], ends[1], []int{2, 0, 2}
		if at >= to {
			from, to, want = ends[1], ends[2], []int{2, 2, 0}
		}
		spoilt := append([]byte{}, whole...)
		spoilt[at] ^= 1 << rand.IntN(8)
		must(t, os.WriteFile(filepath.Join(dir, digestsFile), spoilt, 0o600))
		d := openLog(t, dir)
		if len(d.Damage) != 1 || d.Damage[0] != (Damage{from, to}) || d.Cut != 0 {
			t.Fatalf("flip at %d: damage %v, cut %d", at, d.Damage, d.Cut)
		}
		for n, want := range want {
			if got, err := d.Study(uid(n)); len(got) != want || err != nil {
				t.Fatalf("flip at %d: study %d has %d files: %v", at, n, len(got), err)
			}
		}
		must(t, d.Append(uid(3), foreign(uid(3), 3, 1)))
		must(t, d.Close())
		d = openLog(t, dir)
		if got, err := d.Study(uid(3)); len(got) != 1 || err != nil || len(d.Damage) != 1 {
			t.Fatalf("flip at %d: the log does not go on: %d files, damage %v: %v", at, len(got), d.Damage, err)
		}
		must(t, d.Close())
	}
}

// TestLaterRelease holds that a log with records of a version that is not known here is neither cut nor written to.
func TestLaterRelease(t *testing.T) {
	dir := t.TempDir()
	d := openLog(t, dir)
	must(t, d.Append(uid(1), foreign(uid(1), 0, 1)))
	end := d.end
	must(t, d.Close())
	name := filepath.Join(dir, digestsFile)
	whole, err := os.ReadFile(name)
	must(t, err)
	later := appendFrame(nil, end, uid(2), []byte("something new"))
	later[4] = frameVersion + 1
	copy(later[12:], frameSum(end, later[4:12], later[frameHead:]))
	must(t, os.WriteFile(name, append(whole, later...), 0o600))
	state, err := durable.OpenPrivate(dir)
	must(t, err)
	defer state.Close()
	if _, err := openDigests(dir, state); !errors.Is(err, errLater) {
		t.Errorf("opened: %v", err)
	}
}

// weak is a log file whose writes or syncs fail.
type weak struct {
	logFile
	write, sync error
}

func (w weak) WriteAt(b []byte, at int64) (int, error) {
	if w.write != nil {
		_, _ = w.logFile.WriteAt(b[:len(b)/2], at)
		return len(b) / 2, w.write
	}
	return w.logFile.WriteAt(b, at)
}

func (w weak) Sync() error { return errors.Join(w.sync, w.logFile.Sync()) }

// TestFailedAppend holds that after a failed write or sync nothing counts as recorded, and nothing more is taken: a second sync that succeeds would prove nothing.
func TestFailedAppend(t *testing.T) {
	disk := errors.New("the disk is gone")
	for _, w := range []weak{{write: disk}, {sync: disk}} {
		dir := t.TempDir()
		d := openLog(t, dir)
		must(t, d.Append(uid(1), foreign(uid(1), 0, 1)))
		w.logFile = d.file
		d.file = w
		if err := d.Append(uid(1), foreign(uid(1), 1, 1)); !errors.Is(err, disk) {
			t.Errorf("append: %v", err)
		}
		d.file = w.logFile
		if err := d.Append(uid(1), foreign(uid(1), 2, 1)); !errors.Is(err, disk) {
			t.Errorf("append after a failure: %v", err)
		}
		must(t, d.Close())
		again := openLog(t, dir)
		got, err := again.Study(uid(1))
		if len(got) != 1 || err != nil || len(again.Damage) != 0 {
			t.Errorf("%d files, damage %v: %v", len(got), again.Damage, err)
		}
	}
}

// TestAppendWithoutRoom holds that a disk which is full, or can only be read, stops the log for no longer than that, and that nothing of the write that failed counts.
func TestAppendWithoutRoom(t *testing.T) {
	for _, no := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS} {
		dir := t.TempDir()
		d := openLog(t, dir)
		must(t, d.Append(uid(1), foreign(uid(1), 0, 1)))
		file := d.file
		d.file = weak{logFile: file, write: &fs.PathError{Op: "write", Path: digestsFile, Err: no}}
		if err := d.Append(uid(1), foreign(uid(1), 1, 5)); !errors.Is(err, no) {
			t.Errorf("append: %v, want %v", err, no)
		}
		d.file = file
		must(t, d.Append(uid(1), foreign(uid(1), 6, 1)))
		must(t, d.Close())
		again := openLog(t, dir)
		got, err := again.Study(uid(1))
		if len(got) != 2 || err != nil || len(again.Damage) != 0 || again.Cut != 0 {
			t.Errorf("after %v: %d files, damage %v, %d bytes cut off: %v", no, len(got), again.Damage, again.Cut, err)
		}
	}
}

// TestKilledAppender kills a process in the middle of appends: what it told of is there.
func TestKilledAppender(t *testing.T) {
	dir := t.TempDir()
	for round := range 8 {
		told := killAfter(t, "append", dir, 5+10*round)
		d := openLog(t, dir)
		got, err := d.Study(uid(1))
		must(t, err)
		if len(got)%3 != 0 || len(got) < 3*(told+1) || len(d.Damage) != 0 {
			t.Errorf("%d files after append %d, damage %v", len(got), told, d.Damage)
		}
		must(t, d.Close())
	}
}

func appendForEver(dir string) error {
	state, err := durable.OpenPrivate(dir)
	if err != nil {
		return err
	}
	d, err := openDigests(dir, state)
	if err != nil {
		return err
	}
	known, err := d.Study(uid(1))
	if err != nil {
		return err
	}
	for n := len(known) / 3; ; n++ {
		if err := d.Append(uid(1), foreign(uid(1), 3*n, 3)); err != nil {
			return err
		}
		fmt.Println(n)
	}
}
