package agent

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"reflect"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/config"
	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/regen"
	"github.com/dicomesh/dicomesh/settle"
)

func uid(t *testing.T, text string) dedup.UID {
	t.Helper()
	u, err := dedup.ParseUID(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestRoom holds when a disk is low and full, and that neither flutters.
func TestRoom(t *testing.T) {
	c := config.Disk{Watermark: 1000, WatermarkPercent: 5, Floor: 100}
	for _, tt := range []struct {
		before     string
		free, size uint64
		want       string
	}{
		{admin.DiskOK, 1000, 2000, admin.DiskOK}, {admin.DiskOK, 999, 2000, admin.DiskLow}, {admin.DiskOK, 99, 2000, admin.DiskFull},
		{admin.DiskLow, 1100, 2000, admin.DiskLow}, {admin.DiskLow, 1125, 2000, admin.DiskOK},
		{admin.DiskFull, 110, 2000, admin.DiskFull}, {admin.DiskFull, 113, 2000, admin.DiskLow}, {admin.DiskFull, 2000, 2000, admin.DiskOK},
		{admin.DiskOK, 4999, 100_000, admin.DiskLow}, {admin.DiskOK, 5000, 100_000, admin.DiskOK},
	} {
		if got := judgeRoom(tt.before, space{free: tt.free, size: tt.size}, c); got.State != tt.want || (got.Reason == "") != (tt.want == admin.DiskOK) {
			t.Errorf("%s, %d of %d free: %+v, want %s", tt.before, tt.free, tt.size, got, tt.want)
		}
	}
	for free, want := range []string{admin.DiskFull, admin.DiskOK} {
		if got := judgeRoom(admin.DiskFull, space{free: uint64(free), size: 2000}, config.Disk{}); got.State != want {
			t.Errorf("%d free, and no limit: %+v, want %s", free, got, want)
		}
	}
}

// TestFloor holds that whoever takes new files meets a full disk below the floor, whichever folder's it is, and meets none when there is room again; each is told once.
func TestFloor(t *testing.T) {
	free := map[string]uint64{"tree": 500, "current": 500}
	var told []string
	r := newRoom(config.Disk{Watermark: 200, Floor: 100}, []string{"tree", "gone", "current"}, func(_, now admin.Disk) { told = append(told, now.State+" "+now.Path) })
	r.measure = func(path string) (uint64, uint64, error) {
		if path == "gone" {
			return 0, 0, syscall.ENOENT
		}
		return free[path], 1000, nil
	}
	for n, step := range []struct {
		path string
		free uint64
		full bool
	}{{"tree", 500, false}, {"current", 50, true}, {"current", 500, false}, {"tree", 99, true}, {"tree", 500, false}} {
		free[step.path] = step.free
		r.look()
		r.look()
		f := floored{FS: crashfs.New(), refusal: r.refusal}
		if err := durable.WriteFile(f, "x", nil); durable.IsFull(err) != step.full || err != nil && !step.full {
			t.Errorf("step %d, %s has %d: %v", n, step.path, step.free, err)
		}
	}
	if want := []string{"full current", "ok tree", "full tree", "ok tree"}; !reflect.DeepEqual(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
	away := "not mounted"
	r.away.Store(&away)
	if err := r.refusal(); !durable.IsFull(err) {
		t.Errorf("the tree is away: %v", err)
	}
}

// TestReadOnly holds that a file system which can only be read is said to be that, whatever room it has, that nothing is written meanwhile, and that it is over when it can be written again.
func TestReadOnly(t *testing.T) {
	var told []string
	r := newRoom(config.Disk{}, []string{"tree", "state"}, func(_, now admin.Disk) { told = append(told, now.State+" "+now.Path) })
	fixed := ""
	r.measure = func(path string) (uint64, uint64, error) {
		if path == fixed {
			return 500, 1000, &fs.PathError{Op: "statfs", Path: path, Err: syscall.EROFS}
		}
		return 500, 1000, nil
	}
	for _, fixed = range []string{"", "state", ""} {
		r.look()
		if err := durable.WriteFile(floored{FS: crashfs.New(), refusal: r.refusal}, "x", nil); errors.Is(err, syscall.EROFS) != (fixed != "") || err != nil && fixed == "" {
			t.Errorf("%q can only be read: %v", fixed, err)
		}
	}
	broken := syscall.EROFS
	r.probe = func(string) error { return broken }
	for range probing {
		r.look()
	}
	broken = 0
	for range probing {
		r.look()
	}
	if want := []string{"read-only state", "ok tree", "read-only tree", "ok tree"}; !reflect.DeepEqual(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
}

// TestMeasureReadOnly holds that a file system says that it can only be read, and how large it is all the same.
func TestMeasureReadOnly(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting a disk needs root")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_RDONLY, "size=1m"); err != nil {
		t.Skip("a disk cannot be mounted here: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	if free, size, err := measure(dir); !errors.Is(err, syscall.EROFS) || free == 0 || size != 1<<20 {
		t.Errorf("%d of %d bytes, %v", free, size, err)
	}
}

// TestGroup holds that parts live and end together, that nothing runs when wait returns, and whose error it is.
func TestGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, broken := newGroup(t.Context()), errors.New("broken")
		var running atomic.Int32
		for _, name := range []string{"a", "b"} {
			running.Add(1)
			g.run(name, func(ctx context.Context) error {
				<-ctx.Done()
				<-time.After(time.Second)
				running.Add(-1)
				return ctx.Err()
			})
		}
		g.run("early", func(context.Context) error { return nil })
		synctest.Wait()
		if g.ctx.Err() != nil {
			t.Error("the end of one that ended well ended the others")
		}
		g.run("bad", func(context.Context) error { return broken })
		if err := g.wait(); !errors.Is(err, broken) || err.Error() != "bad: broken" || running.Load() != 0 {
			t.Errorf("%v, %d running", err, running.Load())
		}
		g = newGroup(t.Context())
		g.run("a", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		g.stop()
		if err := g.wait(); err != nil {
			t.Errorf("told to stop: %v", err)
		}
	})
}

// TestPermitted holds that nothing that a reader sees changes without leave, and that work on the side goes on.
func TestPermitted(t *testing.T) {
	f, closed := crashfs.New(), error(nil)
	p := permitted{FS: f, permit: func() error { return closed }}
	for _, dir := range []string{".dicomesh", "studies"} {
		if err := p.Mkdir(dir); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{".dicomesh/a", ".dicomesh/b", "studies/a"} {
		if h, err := p.Create(name); err != nil || h.Close() != nil {
			t.Fatal(err)
		}
	}
	closed = settle.ErrClosed
	for what, err := range map[string]error{
		"replace": p.Replace(".dicomesh/a", "studies/a"), "rename": p.Rename(".dicomesh/a", "studies/b"),
		"link": p.Link(".dicomesh/a", "studies/b"), "remove": p.Remove("studies/a"),
	} {
		if !errors.Is(err, settle.ErrClosed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := p.Replace(".dicomesh/a", ".dicomesh/b"); err != nil {
		t.Error(err)
	}
	closed = nil
	if err := p.Replace(".dicomesh/b", "studies/a"); err != nil {
		t.Error(err)
	}
}

// TestRecords holds that what was decided of a study is read as it was saved, that it is nothing when its files are gone, and when a reader is shown a study.
func TestRecords(t *testing.T) {
	ctx, study := t.Context(), uid(t, "1.2.3")
	x, err := index.Open(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	current := crashfs.New()
	r := newRecords(x, current, new(provisional), slog.New(slog.DiscardHandler))
	leaf := dedup.Digest{1, 2, 3}
	instances := func(n int) {
		t.Helper()
		if _, err := x.Update(ctx, study, index.Change{Leaf: &leaf, Facts: &index.Facts{Instances: n}}); err != nil {
			t.Fatal(err)
		}
	}
	instances(1)
	if err := r.hide(ctx, study); err != nil || r.shown(study) {
		t.Errorf("the first files are shown before they are published: %v", err)
	}
	want := settle.Record{State: settle.Settled, Leaf: leaf, Published: leaf, Version: "1", Due: time.Date(2030, 1, 2, 3, 4, 5, 6, time.UTC), Reason: "r",
		Certificate: &settle.Certificate{Study: study, Leaf: leaf, Version: "1", Epoch: "e", Nonce: "n", Exceptions: []string{"c: joining"},
			Sites: []settle.Stand{{Site: "a", Leaf: leaf, Complete: true, Durable: true, Number: 1 << 60, Incarnation: "i"}}}}
	if err := r.Save(ctx, study, want); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Load(ctx, study); err != nil || !reflect.DeepEqual(got, settle.Record{}) {
		t.Errorf("its files are gone: loaded %+v, %v", got, err)
	}
	if got := all(t, r); !reflect.DeepEqual(got, []settle.Known{{Study: study, Leaf: leaf}}) {
		t.Errorf("its files are gone: %+v", got)
	}
	instances(0)
	if got, err := r.Load(ctx, study); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("every instance was deleted, so there are no files: loaded %+v, %v", got, err)
	}
	instances(1)
	if err := durable.MkdirAll(current, "studies/1.2.3"); err != nil {
		t.Fatal(err)
	}
	if err := durable.WriteFile(current, regen.StatusPath(study), nil); err != nil {
		t.Fatal(err)
	}
	if got := all(t, r); !reflect.DeepEqual(got, []settle.Known{{Study: study, Leaf: leaf, Record: want}}) {
		t.Errorf("its files are there: %+v", got)
	}
	if got, err := r.Load(ctx, study); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("saved %+v, loaded %+v, %v", want, got, err)
	}
	if err := r.hide(ctx, study); err != nil || !r.shown(study) {
		t.Errorf("a study that was published is hidden while its files are made true: %v", err)
	}
	if err := current.Remove(regen.StatusPath(study)); err != nil {
		t.Fatal(err)
	}
	if err := r.hide(ctx, study); err != nil || r.shown(study) {
		t.Errorf("a study whose files are gone is shown while they are made again: %v", err)
	}
	if got, err := r.Load(ctx, uid(t, "1.9")); err != nil || !reflect.DeepEqual(got, settle.Record{}) {
		t.Errorf("a study that is not known: %+v, %v", got, err)
	}
	for _, damaged := range []string{"{", `{"leaf":"12"}`, `{"leaf":"` + string(make([]byte, 64)) + `"}`} {
		if got, err := decodeRecord(study, damaged); err == nil {
			t.Errorf("%q reads as %+v", damaged, got)
		}
	}
}

func all(t *testing.T, r *records) []settle.Known {
	t.Helper()
	var list []settle.Known
	for k, err := range r.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, k)
	}
	return list
}
