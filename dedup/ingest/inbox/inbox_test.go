package inbox

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup/ingest"
	"github.com/dicomesh/dicomesh/dedup/phantom"
)

// TestTakes holds that files are taken whatever their names and folders, whether they were there or come, copied or moved; that they and then their folders go; and that a file
// that the archive has already is a duplicate.
func TestTakes(t *testing.T) {
	p := newPlace(t)
	p.conf.Patience = 100 * time.Millisecond
	files := sound(8)
	names := []string{"there", "in/folders/there", "copied", "in/folders/later/copied", "moved", "not UTF-8 \xff\xfe", strings.Repeat("n", 255), "in/folders/ü ö"}
	p.write(names[0], files[0])
	p.write(names[1], files[1])
	p.run()
	p.wait("the first two", p.answered(2))
	for n := 2; n < len(names); n++ {
		if names[n] == "moved" {
			must(t, os.WriteFile(filepath.Join(p.dir, "outside"), files[n], 0o644))
			must(t, os.Rename(filepath.Join(p.dir, "outside"), p.path("moved")))
			continue
		}
		p.write(names[n], files[n])
	}
	p.wait("all gone, with their folders", p.empty)
	for n, name := range names {
		if r := p.answers(name); len(r) != 1 || r[0].Status != ingest.Stored || r[0].Size != int64(len(files[n])) {
			t.Errorf("%q: %+v", name, r)
		}
	}
	if n := p.instances(p.tree); n != len(files) {
		t.Errorf("the tree has %d instances", n)
	}
	p.write("again", files[0])
	p.wait("the duplicate", p.empty)
	p.halt()
	s := p.door.Status()
	if s.Stored != 8 || s.Duplicates != 1 || s.Refused != 0 || s.Waiting != 0 || s.Last.IsZero() || !s.Leases || s.Paused != "" {
		t.Errorf("status %+v", s)
	}
	if len(p.list("quarantine")) != 0 {
		t.Errorf("in the quarantine: %q", p.list("quarantine"))
	}
}

// TestSlowWriter holds that a file which somebody has open for writing is never taken, however long he pauses, and though what there is of it would be a sound file.
func TestSlowWriter(t *testing.T) {
	p := newPlace(t)
	file := wide(t)
	cut := bytes.LastIndex(file, []byte{0xe0, 0x7f, 0x10, 0x00}) // before Pixel Data
	f, err := os.Create(p.path("slow"))
	must(t, err)
	defer f.Close()
	_, err = f.Write(file[:cut])
	must(t, err)
	p.run()
	for range 3 {
		p.swept(1)
		if s := p.door.Status(); len(p.answers("slow")) > 0 || s.Writing == 0 && s.Waiting == 0 {
			t.Fatalf("%+v, status %+v", p.answers("slow"), s)
		}
		_, err = f.Write(file[cut : cut+1])
		must(t, err)
		cut++
	}
	_, err = f.Write(file[cut:])
	must(t, err)
	must(t, f.Close())
	p.wait("the whole file", func() bool { return len(p.answers("slow")) == 1 })
	if r := p.answers("slow")[0]; r.Status != ingest.Stored || r.Size != int64(len(file)) {
		t.Errorf("%+v", r)
	}
}

// wide is a file in an uncompressed syntax, which is sound without its Pixel Data.
func wide(t *testing.T) []byte {
	t.Helper()
	for _, c := range phantom.Cases() {
		if c.Name == "ts/2.1" {
			file := c.Bytes()
			cut := bytes.LastIndex(file, []byte{0xe0, 0x7f, 0x10, 0x00})
			p := newPlace(t)
			archive, err := ingest.Open(p.tree)
			must(t, err)
			b, err := archive.OpenBatch()
			must(t, err)
			if r, done := b.Add("cut", bytes.NewReader(file[:cut]), int64(cut)); done {
				t.Fatalf("the cut file is not sound: %+v", r)
			}
			b.Discard()
			must(t, archive.Close())
			return file
		}
	}
	t.Fatal("no such case")
	return nil
}

// TestBrokenOff holds that a file that ends too early waits for the rest, and goes to the quarantine when that does not come.
func TestBrokenOff(t *testing.T) {
	p := newPlace(t)
	p.conf.BrokenOff = time.Hour
	file := sound(1)[0]
	p.write("half", file[:len(file)-3])
	p.run()
	p.swept(3)
	if r := p.answers("half"); len(r) != 0 {
		t.Fatalf("%+v", r)
	}
	f, err := os.OpenFile(p.path("half"), os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = f.Write(file[len(file)-3:])
	must(t, errors.Join(err, f.Close()))
	p.wait("the rest", func() bool { return len(p.answers("half")) == 1 })
	if r := p.answers("half")[0]; r.Status != ingest.Stored {
		t.Errorf("%+v", r)
	}
	p.halt()
	p.conf.BrokenOff = 100 * time.Millisecond
	p.write("never", file[:len(file)-3])
	p.run()
	p.finish()
	if r := p.answers("never"); len(r) != 1 || r[0].Status != ingest.Refused {
		t.Errorf("%+v", r)
	}
	p.reason("never", "are left")
}

// reason holds that a file is in the quarantine with a reason that says something.
func (p *place) reason(name, says string) {
	p.t.Helper()
	if _, err := os.Lstat(filepath.Join(p.dir, "quarantine", name)); err != nil {
		p.t.Error(err)
	}
	text, err := os.ReadFile(filepath.Join(p.dir, "quarantine", name+reasonTail))
	if err != nil || !strings.Contains(string(text), says) {
		p.t.Errorf("the reason of %s is %q: %v", name, text, err)
	}
}

// TestRefused holds that what is not DICOM, or no file at all, goes to the quarantine with its relative name and the reason, and replaces nothing there.
func TestRefused(t *testing.T) {
	p := newPlace(t)
	p.conf.BrokenOff, p.conf.Patience = 50*time.Millisecond, 50*time.Millisecond
	bad := 0
	for _, c := range phantom.BadCases() {
		if c.Fault != phantom.NoPlace && c.Name != "wrong-item" {
			p.write("bad/"+c.Name, c.Data)
			bad++
		}
	}
	secret := filepath.Join(p.dir, "secret")
	must(t, os.WriteFile(secret, sound(1)[0], 0o600))
	must(t, os.Symlink(secret, p.path("link")))
	must(t, os.Symlink(p.dir, p.path("folder link")))
	must(t, syscall.Mkfifo(p.path("fifo"), 0o600))
	must(t, os.MkdirAll(p.path(strings.Repeat("d/", maxDepth+2)), 0o755))
	p.write(strings.Repeat("n", 255), bytes.Repeat([]byte("no"), 100))
	p.run()
	p.finish()
	p.reason("link", "symbolic link")
	p.reason("link", "move the file back into the inbox")
	p.reason("folder link", "symbolic link")
	p.reason("fifo", "not a regular file")
	p.reason(strings.Repeat("d/", maxDepth)+"d", "too deep")
	p.reason("bad/html", "this is not DICOM")
	if s := p.door.Status(); s.Refused != int64(bad+5) || s.Stored != 0 {
		t.Errorf("of %d bad ones: %+v", bad, s)
	}
	if data, err := os.ReadFile(secret); err != nil || !bytes.Equal(data, sound(1)[0]) {
		t.Errorf("what a link points to was touched: %v", err)
	}
	long := 0
	for _, name := range p.list("quarantine") {
		if strings.HasPrefix(name, "nnn") {
			long++
		}
	}
	if long != 2 {
		t.Errorf("a long name makes %d files", long)
	}
}

// TestStuck holds that a file which is stored and may not be removed is said to stay, with what to do, is not taken again and again meanwhile, and goes when its folder lets it.
func TestStuck(t *testing.T) {
	p := newPlace(t)
	p.conf.Patience = 50 * time.Millisecond
	var theirs atomic.Bool
	theirs.Store(true)
	p.write("cd/a", sound(1)[0])
	p.run(func(b *Inbox) {
		b.unlink = func(from *os.Root, rel string) error {
			if theirs.Load() && path.Dir(rel) == "cd" {
				return &fs.PathError{Op: "unlinkat", Path: rel, Err: syscall.EACCES}
			}
			return from.Remove(rel)
		}
		b.yields = func(_ *os.Root, dir string) bool { return !theirs.Load() || dir != "cd" }
	})
	stuck := func(n int64) func() bool { return func() bool { return p.door.Status().Stuck == n } }
	p.wait("it stays, and is said to", stuck(1))
	if s := p.door.Status(); s.Waiting != 1 || !strings.Contains(s.StuckWhy, "may not be removed: permission denied. Give what is in the inbox to the user") {
		t.Errorf("%+v", s)
	}
	p.swept(6)
	if !stuck(1)() || len(p.answers("cd/a")) != 1 {
		t.Fatalf("%d answers: %+v", len(p.answers("cd/a")), p.door.Status())
	}
	theirs.Store(false)
	p.swept(1)
	p.wait("it went", func() bool { return len(p.answers("cd/a")) == 2 && stuck(0)() })
	if s := p.door.Status(); s.StuckWhy != "" || s.Stored != 1 || slices.Contains(p.list("inbox"), "cd/a") {
		t.Errorf("%+v, %q", s, p.list("inbox"))
	}
}

// TestQuarantineNames holds that files of one name all stay, a file with the name of a reason too, and that what a crash left is taken over.
func TestQuarantineNames(t *testing.T) {
	p := newPlace(t)
	junk := func(n int) []byte { return bytes.Repeat([]byte{'a' + byte(n)}, 200) }
	must(t, os.MkdirAll(filepath.Join(p.dir, "quarantine"), 0o700))
	must(t, os.WriteFile(filepath.Join(p.dir, "quarantine", "x"+reasonTail), []byte("of a crash"), 0o600))
	p.run()
	for n, name := range []string{"x", "x", "x" + reasonTail, "x", "y/x", "y/x", "z" + reasonTail, "z"} {
		before := len(p.answers(name))
		p.write(name, junk(n))
		p.wait(name, func() bool { return len(p.answers(name)) > before })
	}
	p.write("x.3/below a file's name", junk(8))
	p.write("y/x.1/below a file's name", junk(9))
	p.wait("all", p.answered(10))
	found := map[string]bool{}
	for _, name := range p.list("quarantine") {
		data, _ := os.ReadFile(filepath.Join(p.dir, "quarantine", name))
		if len(data) == 200 && bytes.Count(data, data[:1]) == 200 {
			found[string(data[:1])] = true
			p.reason(name, "this is not DICOM")
		}
	}
	if len(found) != 10 {
		t.Errorf("%d of 10 are there: %q", len(found), p.list("quarantine"))
	}
}

// TestLeftAlone holds that files with the name of an unfinished one are not touched until they are renamed.
func TestLeftAlone(t *testing.T) {
	p := newPlace(t)
	names := []string{".hidden", "tempFile-17", "a.tmp", "b.part", "c.PARTIAL", "d.filepart", ".folder/file"}
	for _, name := range names {
		p.write(name, sound(1)[0])
	}
	p.run()
	p.swept(2)
	for _, name := range names {
		if _, err := os.Lstat(p.path(name)); err != nil {
			t.Error(err)
		}
	}
	if s := p.door.Status(); s.Stored != 0 || s.Ignored != int64(len(names)) {
		t.Errorf("status %+v", s)
	}
	must(t, os.Rename(p.path("b.part"), p.path("b")))
	p.wait("the renamed file", func() bool { return len(p.answers("b")) == 1 })
}

// TestFullDisk holds that a full disk refuses nobody: files stay, the status says why, and work goes on by itself when there is room.
func TestFullDisk(t *testing.T) {
	p := newPlace(t)
	p.tree.Resize(8_000)
	files := sound(12)
	for n, file := range files {
		p.write(fmt.Sprint("file ", n), file)
	}
	p.run()
	p.wait("a pause", func() bool { return p.door.Status().Paused != "" })
	s := p.door.Status()
	if !strings.Contains(s.Paused, "disk is full") || s.PausedSince.IsZero() || s.Refused != 0 || len(p.list("quarantine")) > 0 {
		t.Errorf("status %+v, quarantine %q", s, p.list("quarantine"))
	}
	if len(p.list("inbox"))+p.instances(p.tree) < len(files) {
		t.Errorf("of %d files %d are in the inbox and %d in the tree", len(files), len(p.list("inbox")), p.instances(p.tree))
	}
	p.tree.Resize(0)
	p.finish()
	if s := p.door.Status(); s.Paused != "" || !s.PausedSince.IsZero() || s.Stored != int64(len(files)) {
		t.Errorf("status %+v", s)
	}
	if n := p.instances(p.tree); n != len(files) {
		t.Errorf("the tree has %d instances", n)
	}
}

// TestWithoutLeases holds that where the kernel tells nothing a file is taken when it was seen unchanged for long enough, whatever its times say.
func TestWithoutLeases(t *testing.T) {
	p := newPlace(t)
	p.conf.Patience = 300 * time.Millisecond
	p.write("file", sound(1)[0])
	old := time.Now().Add(-time.Hour)
	must(t, os.Chtimes(p.path("file"), old, old))
	start := time.Now()
	p.run(func(b *Inbox) { b.probe = func(*os.Root) (bool, error) { return false, nil } })
	p.wait("the file", p.empty)
	if took := time.Since(start); took < p.conf.Patience {
		t.Errorf("taken after %v", took)
	}
	if s := p.door.Status(); s.Leases || s.Stored != 1 {
		t.Errorf("status %+v", s)
	}
}

// TestManyWriters holds that of many files, written in pieces by many at a time while the inbox runs, each is taken once, and whole.
func TestManyWriters(t *testing.T) {
	p := newPlace(t)
	p.conf.Quiet = time.Millisecond
	p.conf.Ingest.Files = 7
	p.run()
	files := sound(30)
	done := make(chan error)
	for w := range 3 {
		go func() {
			var errs []error
			for n := w; n < len(files); n += 3 {
				errs = append(errs, pieces(p.path(fmt.Sprint("file ", n)), files[n]))
			}
			done <- errors.Join(errs...)
		}()
	}
	for range 3 {
		must(t, <-done)
	}
	p.wait("all", p.empty)
	for n, file := range files {
		r := p.answers(fmt.Sprint("file ", n))
		if len(r) != 1 || r[0].Status != ingest.Stored || r[0].Size != int64(len(file)) {
			t.Errorf("file %d of %d bytes: %+v", n, len(file), r)
		}
	}
}

func pieces(name string, data []byte) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	for piece := range slices.Chunk(data, len(data)/20+1) {
		if _, err := f.Write(piece); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
	}
	return f.Close()
}
