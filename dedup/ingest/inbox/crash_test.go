package inbox

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/ingest"
)

// TestPowerCuts cuts the power of the archive's disk at many moments. Whatever was removed from the inbox is in the archive, and the next start takes the rest.
func TestPowerCuts(t *testing.T) {
	files := sound(4)
	for k := 0; ; k += 29 {
		p := newPlace(t)
		for n, file := range files {
			p.write(fmt.Sprint("file ", n), file)
		}
		p.tree.Hook = crashfs.CrashAt(k)
		if archive, err := ingest.Open(p.tree); err == nil {
			must(t, archive.Close())
			if p.tree.Ops() < k {
				p.run()
				p.wait("the cut, or the end", func() bool { return p.tree.Ops() > k || p.empty() })
				p.halt()
			}
		}
		done := p.tree.Ops() <= k
		p.tree = p.tree.Crash(rand.New(rand.NewPCG(uint64(k), 1)))
		left := len(p.list("inbox"))
		if there := p.instances(p.tree); there < len(files)-left {
			t.Fatalf("power cut at operation %d: %d of %d files are left in the inbox, and %d in the archive", k, left, len(files), there)
		}
		p.run()
		p.finish()
		if n := p.instances(p.tree); n != len(files) || len(p.list("quarantine")) != 0 {
			t.Fatalf("power cut at operation %d: the archive has %d instances in the end, the quarantine %q", k, n, p.list("quarantine"))
		}
		if done && k < 200 {
			t.Errorf("it took only %d operations", p.tree.Ops())
		}
		if done {
			return
		}
	}
}

// TestStoredNotRemoved holds that a file which a killed process had stored and not removed is a duplicate for the next one, and goes.
func TestStoredNotRemoved(t *testing.T) {
	p := newPlace(t)
	file := sound(1)[0]
	p.write("file", file)
	back := p.path(".back")
	must(t, os.WriteFile(back, file, 0o644))
	report := p.conf.Report
	p.conf.Report = func(r ingest.Result) { // The moment between the commit and the removal.
		if report(r); r.Status == ingest.Stored {
			if _, err := os.Lstat(p.path("file")); err != nil {
				t.Errorf("removed before it was told: %v", err)
			}
			must(t, os.Rename(back, p.path("file")))
		}
	}
	p.run()
	p.finish()
	if r := p.answers("file"); len(r) != 2 || r[0].Status != ingest.Stored || r[1].Status != ingest.Duplicate {
		t.Errorf("%+v", r)
	}
}

// TestLeaseIsHeld holds that from its reading to its removal nobody can write a file: who opens it meanwhile waits, and what he then writes is in no file of the inbox or the
// archive.
func TestLeaseIsHeld(t *testing.T) {
	p := newPlace(t)
	file := sound(1)[0]
	p.write("file", file)
	opened := make(chan error, 1)
	var waited atomic.Bool
	report := p.conf.Report
	p.conf.Report = func(r ingest.Result) {
		report(r)
		go func() {
			f, err := os.OpenFile(p.path("file"), os.O_WRONLY|os.O_APPEND, 0)
			if err == nil {
				err = f.Close()
			}
			opened <- err
		}()
		_, err := os.OpenFile(p.path("file"), os.O_WRONLY|syscall.O_NONBLOCK, 0)
		waited.Store(errors.Is(err, syscall.EWOULDBLOCK))
	}
	p.run()
	p.wait("the file", p.empty)
	if err := <-opened; err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if !waited.Load() {
		t.Error("the file could be opened for writing before it was removed")
	}
}

// TestOnePlaceIsBad holds that a file whose place in the archive is bad stays, is told in nobody's quarantine, and does not keep the others out.
func TestOnePlaceIsBad(t *testing.T) {
	p := newPlace(t)
	files := sound(6)
	for n, file := range files {
		p.write(fmt.Sprint("file ", n), file)
	}
	bad := ""
	p.tree.Hook = func(op crashfs.Op) (bool, error) {
		if op.Kind == "rename" && strings.Contains(op.String(), "instances/") && (bad == "" || strings.Contains(op.String(), bad)) {
			if bad == "" {
				fields := strings.Fields(op.String())
				bad = filepath.Base(fields[len(fields)-1])
			}
			return false, syscall.EIO
		}
		return true, nil
	}
	p.run()
	p.wait("the others", func() bool { return len(p.list("inbox")) == 1 })
	p.halt()
	if s := p.door.Status(); s.Stored != int64(len(files)-1) || s.Refused != 0 || len(p.list("quarantine")) != 0 {
		t.Errorf("status %+v, quarantine %q", s, p.list("quarantine"))
	}
}

// TestWhoseFault holds that a file goes to the quarantine only for a fault that is known to be its own, or when nobody understands the refusal for long.
func TestWhoseFault(t *testing.T) {
	for _, c := range []struct {
		err   error
		moves bool
	}{{syscall.EIO, false}, {syscall.EROFS, false}, {errors.New("nobody knows"), true}} {
		p := newPlace(t)
		p.conf.Patience = 10 * time.Millisecond
		p.write("file", sound(1)[0])
		tries := make(chan struct{}, 1000)
		p.tree.Hook = func(op crashfs.Op) (bool, error) {
			if op.Kind != "create" || strings.Contains(op.Name, "lock") {
				return true, nil
			}
			tries <- struct{}{}
			return false, c.err
		}
		p.run(func(b *Inbox) { b.pause = 10 * time.Millisecond })
		if !c.moves {
			<-tries
			<-tries
			p.wait("a pause", func() bool { return p.door.Status().Paused != "" })
		} else {
			p.finish()
			p.reason("file", "nobody knows")
		}
		p.halt()
		if n := len(p.list("quarantine")); (n > 0) != c.moves || p.empty() != c.moves {
			t.Errorf("%v: %d files in the quarantine, %q in the inbox", c.err, n, p.list("inbox"))
		}
	}
}

// TestChangedWhileRead holds that a file which is written while it is read is not stored as a mixture, where no lease keeps writers out: it is taken when it is whole.
func TestChangedWhileRead(t *testing.T) {
	p := newPlace(t)
	p.conf.Patience = 20 * time.Millisecond
	file := wide(t)
	cut := bytes.LastIndex(file, []byte{0xe0, 0x7f, 0x10, 0x00})
	p.write("file", file[:cut])
	var rest sync.Once
	p.tree.Hook = func(op crashfs.Op) (bool, error) {
		if op.Kind == "write" && op.Bytes > 0 {
			rest.Do(func() {
				f, err := os.OpenFile(p.path("file"), os.O_APPEND|os.O_WRONLY, 0)
				must(t, err)
				_, err = f.Write(file[cut:])
				must(t, errors.Join(err, f.Close()))
			})
		}
		return true, nil
	}
	p.run(func(b *Inbox) { b.probe = func(*os.Root) (bool, error) { return false, nil } })
	p.finish()
	if r := p.answers("file"); len(r) != 1 || r[0].Status != ingest.Stored || r[0].Size != int64(len(file)) {
		t.Errorf("%+v", r)
	}
	if n := p.instances(p.tree); n != 1 {
		t.Errorf("the tree has %d instances", n)
	}
}

// TestOtherFileSystem holds that the quarantine may lie on another file system.
func TestOtherFileSystem(t *testing.T) {
	p := newPlace(t)
	var here syscall.Stat_t
	must(t, syscall.Stat(p.dir, &here))
	others := slices.DeleteFunc([]string{"/dev/shm", os.Getenv("DICOMESH_TEST_DISK")}, func(folder string) bool { // e2e/test names the disk where it moves tests into memory
		var there syscall.Stat_t
		return syscall.Stat(folder, &there) != nil || there.Dev == here.Dev
	})
	if len(others) == 0 {
		t.Skip("there is no second file system")
	}
	dir, err := os.MkdirTemp(others[0], "quarantine")
	must(t, err)
	defer os.RemoveAll(dir)
	p.conf.Quarantine = dir
	junk := bytes.Repeat([]byte("junk"), 100)
	p.write("in/junk", junk)
	p.conf.Patience = 50 * time.Millisecond
	p.run()
	p.finish()
	if data, err := os.ReadFile(filepath.Join(dir, "in/junk")); err != nil || !bytes.Equal(data, junk) {
		t.Error(err)
	}
}

// TestInside holds that a quarantine inside the inbox is refused.
func TestInside(t *testing.T) {
	for _, dir := range []string{"x", "x/y", "x/../x"} {
		c := Config{Dir: filepath.Join(t.TempDir(), "x")}
		c.Quarantine = filepath.Join(filepath.Dir(c.Dir), dir)
		if err := New(c).Run(t.Context()); err == nil {
			t.Errorf("%s in x is taken", dir)
		}
	}
	if err := apart("/a/inbox", "/a/inbox quarantine"); err != nil {
		t.Error(err)
	}
}

// role is set in a process that a test starts from its own binary.
const role = "DICOMESH_INBOX_TEST"

// TestPlay is what such a process runs: an inbox over a real folder, until it is killed. Here it does nothing.
func TestPlay(t *testing.T) {
	dir := os.Getenv(role)
	if dir == "" {
		return
	}
	fsys, err := durable.OpenOS(filepath.Join(dir, "tree"))
	must(t, err)
	p := newPlace(t)
	archive, err := ingest.Open(fsys)
	must(t, err)
	p.conf.Dir, p.conf.Quarantine, p.conf.Archive, p.conf.Ingest.Files = filepath.Join(dir, "inbox"), filepath.Join(dir, "quarantine"), archive, 3
	// The lines are so long that a pipe holds two: however slow its reader is, this process is no more than a few files ahead of the kill.
	p.conf.Report = func(r ingest.Result) { fmt.Println("answered", r.Path, r.Status, strings.Repeat(".", 30_000)) }
	t.Fatal(New(p.conf).Run(t.Context()))
}

// TestKilled kills the process again and again while it takes files. In the end all are in the archive, and nothing is in the inbox or the quarantine.
func TestKilled(t *testing.T) {
	p := newPlace(t)
	must(t, os.Mkdir(filepath.Join(p.dir, "tree"), 0o755))
	files := sound(24)
	for n, file := range files {
		p.write(fmt.Sprintf("file %02d", n), file)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	kills := 0
	for !p.empty() {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPlay$")
		child.Env = append(os.Environ(), role+"="+p.dir, "TMPDIR="+p.dir) // what it leaves behind goes with this test's
		out, err := child.StdoutPipe()
		must(t, err)
		must(t, child.Start())
		answers := bufio.NewScanner(out)
		came := p.afterLines(answers, 1+rng.IntN(6)) // in the midst of the removals, or of the next batch
		must(t, child.Process.Kill())
		for <-came; answers.Scan(); { // to its end
		}
		_ = child.Wait()
		if kills++; kills > 100 {
			t.Fatalf("left in the inbox: %q", p.list("inbox"))
		}
	}
	fsys, err := durable.OpenOS(filepath.Join(p.dir, "tree"))
	must(t, err)
	defer fsys.Close()
	if n := p.instances(fsys); n != len(files) || len(p.list("quarantine")) != 0 || kills < 3 {
		t.Errorf("after %d kills the archive has %d instances, the quarantine %q", kills, n, p.list("quarantine"))
	}
}

// afterLines returns when so many lines came, or the inbox is empty; came is closed when nobody reads lines any more.
func (p *place) afterLines(lines *bufio.Scanner, n int) (came chan struct{}) {
	came = make(chan struct{})
	go func() {
		defer close(came)
		for n > 0 && lines.Scan() {
			n--
		}
	}()
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-came:
			return came
		case <-tick.C:
			if p.empty() {
				return came
			}
		}
	}
}
