package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
)

var at = time.Date(2026, 5, 1, 12, 0, 0, 123456789, time.FixedZone("", 7200))

func entry(n int) Entry {
	return Entry{At: at.Add(time.Duration(n) * time.Second), Kind: Accepted, By: "STORESCU", About: fmt.Sprint("1.2.", n), Text: "3 files"}
}

func open(t *testing.T, fsys durable.FS) *Log {
	t.Helper()
	l, err := Open(fsys, at)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func verify(t *testing.T, fsys durable.Reader) Report {
	t.Helper()
	r, err := Verify(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func texts(t *testing.T, fsys durable.Reader) []string {
	t.Helper()
	var all []string
	for e, err := range Entries(fsys) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e.About)
	}
	return all
}

func TestAppend(t *testing.T) {
	fsys := crashfs.New()
	if r := verify(t, fsys); r.Entries != 0 || len(r.Faults) > 0 || r.Head != (Head{}) {
		t.Errorf("of no log: %+v", r)
	}
	l := open(t, fsys)
	for n := range 3 {
		if err := l.Append(entry(n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Append(entry(3), entry(4)); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(Entry{Kind: "Nonsense\n"}); err == nil {
		t.Error("a kind that is none")
	}
	l = open(t, fsys)
	if err := l.Append(Entry{At: at, Kind: Down, By: "a", About: "b", Text: "until\n\"tomorrow\" <ä>\xff" + strings.Repeat("ä", maxText)}); err != nil {
		t.Fatal(err)
	}
	r := verify(t, fsys)
	if r.Entries != 6 || len(r.Faults) > 0 || r.Head != l.Head() || r.Head.Number != 6 {
		t.Errorf("%+v, and the head is %+v", r, l.Head())
	}
	if got := fmt.Sprint(texts(t, fsys)); got != "[1.2.0 1.2.1 1.2.2 1.2.3 1.2.4 b]" {
		t.Error(got)
	}
	text, err := readFile(fsys, fileName(1))
	first, _, _ := strings.Cut(string(text), "\n")
	if want := `{"n":1,"prev":"` + strings.Repeat("0", 64) + `","at":"2026-05-01T10:00:00.123Z","kind":"accepted","by":"STORESCU","about":"1.2.0","text":"3 files"}`; err != nil || first != want {
		t.Error(first, err)
	}
}

// long makes a log of several files.
func long(t *testing.T, n int) *crashfs.FS {
	t.Helper()
	fsys := crashfs.New()
	l := open(t, fsys)
	for k := range n {
		e := entry(k)
		e.Text = strings.Repeat("x", maxText)
		if err := l.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	return fsys
}

func TestFiles(t *testing.T) {
	fsys := long(t, 80)
	if r := verify(t, fsys); r.Files != 3 || r.Entries != 80 || len(r.Faults) > 0 {
		t.Errorf("%d files, %d entries, %v", r.Files, r.Entries, r.Faults)
	}
	l := open(t, fsys)
	if err := l.Append(entry(80)); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, fsys); r.Entries != 81 || len(r.Faults) > 0 {
		t.Errorf("%+v", r)
	}
}

// put puts other bytes in the place of a file.
func put(t *testing.T, fsys durable.FS, name string, text []byte) {
	t.Helper()
	if err := durable.ReplaceFile(fsys, name, text); err != nil {
		t.Fatal(err)
	}
}

// TestTampering: every bit that is changed shows, that of the last entry and of the note of where the log ends too, and so does each line that is left out, put twice, or moved, whatever is cut off at the end, and each file that
// is gone. A log that goes on after that shows it for ever.
func TestTampering(t *testing.T) {
	fsys := crashfs.New()
	l := open(t, fsys)
	for n := range 4 {
		if err := l.Append(entry(n)); err != nil {
			t.Fatal(err)
		}
	}
	text, err := readFile(fsys, fileName(1))
	noted, err2 := readFile(fsys, noteFile)
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	shows := func(what string, changed []byte) {
		t.Helper()
		put(t, fsys, fileName(1), changed)
		if r := verify(t, fsys); len(r.Faults) == 0 {
			t.Errorf("%s, and nobody notices", what)
		}
		if l := open(t, fsys); l.Append(entry(9), entry(10)) != nil || len(verify(t, fsys).Faults) == 0 {
			t.Errorf("%s, and after the next start nobody notices", what)
		}
		if text, err := readFile(fsys, fileName(2)); err != nil || !bytes.Contains(text, []byte(`"kind":"broken"`)) {
			t.Errorf("%s, and the log does not say so: %s, %v", what, text, err)
		}
		if err := fsys.Remove(fileName(2)); err != nil {
			t.Fatal(err)
		}
		put(t, fsys, noteFile, noted)
	}
	for n := range text {
		changed := bytes.Clone(text)
		changed[n] ^= 1
		shows(fmt.Sprintf("byte %d is changed", n), changed)
		shows(fmt.Sprintf("cut at %d", n), text[:n])
	}
	put(t, fsys, fileName(1), text)
	for n := range noted {
		changed := bytes.Clone(noted)
		changed[n] ^= 1
		put(t, fsys, noteFile, changed)
		if r := verify(t, fsys); len(r.Faults) == 0 {
			t.Errorf("byte %d of the note is changed, and nobody notices: %s", n, changed)
		}
	}
	put(t, fsys, noteFile, noted)
	if r := verify(t, fsys); len(r.Faults) > 0 || r.Newer > 0 {
		t.Errorf("all is as it was: %+v", r)
	}
	one := bytes.SplitAfter(text, []byte("\n"))
	for what, order := range map[string][]int{"first left out": {1, 2, 3}, "left out": {0, 2, 3}, "twice": {0, 1, 1, 2, 3}, "moved": {0, 2, 1, 3}} {
		var changed []byte
		for _, n := range order {
			changed = append(changed, one[n]...)
		}
		put(t, fsys, fileName(1), changed)
		if r := verify(t, fsys); len(r.Faults) == 0 {
			t.Errorf("%s, and the chain does not show it", what)
		}
	}
	files := long(t, 80)
	if err := files.Remove(fileName(2)); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, files); len(r.Faults) == 0 || r.Faults[0] != (Fault{fileName(3), 1, "the file before it is not there"}) {
		t.Errorf("a file is gone: %v", r.Faults)
	}
}

// TestGone: a log that is gone with its folder is missed, and one that lost its note misses that.
func TestGone(t *testing.T) {
	fsys := crashfs.New()
	l := open(t, fsys)
	if err := l.Append(entry(0)); err != nil {
		t.Fatal(err)
	}
	if err := fsys.Remove(noteFile); err != nil {
		t.Fatal(err)
	}
	without := []Fault{{noteFile, 1, "where it ends was noted, and the note is not there"}}
	if r := verify(t, fsys); !slices.Equal(r.Faults, without) {
		t.Errorf("%v", r.Faults)
	}
	if err := open(t, fsys).Append(entry(1)); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(texts(t, fsys)); got != "[1.2.0 "+fileName(1)+" 1.2.1]" {
		t.Errorf("it goes on with %s", got)
	}
	for _, name := range []string{fileName(1), fileName(2), folder} {
		if err := fsys.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if r := verify(t, fsys); !slices.Equal(r.Faults, []Fault{{noteFile, 1, "it ended with entry 3, and entry 0 is the last that is there"}}) {
		t.Errorf("%v", r.Faults)
	}
	if err := open(t, fsys).Append(entry(2)); err != nil || len(verify(t, fsys).Faults) == 0 {
		t.Errorf("it begins anew, and nobody notices (%v)", err)
	}
}

// TestBetween loses power between the write of entries and that of the note: what is newer than the note is no fault, and is counted; the next start notes it. Nothing else is taken for that.
func TestBetween(t *testing.T) {
	for before := range 3 {
		fsys := crashfs.New()
		l := open(t, fsys)
		for n := range before {
			if err := l.Append(entry(n)); err != nil {
				t.Fatal(err)
			}
		}
		broken := errors.New("no power")
		fsys.Hook = func(op crashfs.Op) (bool, error) {
			if op.Kind == "replace" && op.To == noteFile {
				return false, broken
			}
			return true, nil
		}
		if err := l.Append(entry(before), entry(before+1)); err != nil {
			t.Fatal(err)
		}
		fsys.Hook = nil
		left := fsys.Crash(rand.New(rand.NewPCG(1, 2)))
		if r := verify(t, left); len(r.Faults) > 0 || r.Newer != 2 || int(r.Entries) != before+2 {
			t.Errorf("after %d entries: %+v", before, r)
		}
		open(t, left)
		if r := verify(t, left); len(r.Faults) > 0 || r.Newer != 0 {
			t.Errorf("after %d entries and a start: %+v", before, r)
		}
	}
}

// TestDamagedEnd: the log goes on, and the damage stays to be seen.
func TestDamagedEnd(t *testing.T) {
	for _, damage := range []func([]byte) []byte{
		func(b []byte) []byte { return b[:len(b)-7] },
		func(b []byte) []byte { b[len(b)/2] ^= 4; return b },
		func([]byte) []byte { return nil },
	} {
		fsys := long(t, 40)
		name := fileName(2)
		text, err := readFile(fsys, name)
		if err != nil {
			t.Fatal(err)
		}
		put(t, fsys, name, damage(text))
		before := len(verify(t, fsys).Faults)
		l := open(t, fsys)
		if err := l.Append(entry(1)); err != nil {
			t.Fatal(err)
		}
		r := verify(t, fsys)
		if len(r.Faults) != before || before == 0 || r.Files != 3 || r.Head != l.Head() {
			t.Errorf("%d faults before, then %v; %d files", before, r.Faults, r.Files)
		}
		if r.Faults[0].File != name {
			t.Errorf("%v", r.Faults[0])
		}
	}
}

// TestCrash loses power at every operation: what was acknowledged is there, in order, and the chain holds.
func TestCrash(t *testing.T) {
	for k := 0; ; k++ {
		for seed := range uint64(4) {
			fsys := crashfs.New()
			fsys.Hook = crashfs.CrashAt(k)
			acknowledged, err := work(fsys)
			left := fsys.Crash(rand.New(rand.NewPCG(uint64(k), seed)))
			r := verify(t, left)
			if got := texts(t, left); len(r.Faults) > 0 || len(got) < acknowledged || !inOrder(got) {
				t.Fatalf("operation %d, seed %d: %d acknowledged, %v is there, %v", k, seed, acknowledged, got, r.Faults)
			}
			if l := open(t, left); l.Append(entry(99)) != nil || len(verify(t, left).Faults) > 0 {
				t.Fatalf("operation %d, seed %d: it does not go on", k, seed)
			}
			if err == nil {
				t.Logf("%d operations", k)
				return
			}
		}
	}
}

// work appends up to 5 entries, over two files, and says how many are acknowledged.
func work(fsys durable.FS) (acknowledged int, err error) {
	l, err := Open(fsys, at)
	if err != nil {
		return 0, err
	}
	for n := range 5 {
		e := entry(n)
		if n == 2 { // as if the first file were full
			l.file, l.tail = 2, nil
		}
		if err := l.Append(e); err != nil {
			return n, err
		}
	}
	return 5, nil
}

func inOrder(got []string) bool {
	for n, about := range got {
		if about != fmt.Sprint("1.2.", n) {
			return false
		}
	}
	return true
}

// TestFailedWrite: whatever operation fails, in whichever way, what is acknowledged afterwards is a log without a fault.
func TestFailedWrite(t *testing.T) {
	broken := errors.New("no")
	for k := 0; ; k++ {
		for _, happens := range []bool{false, true} {
			fsys := crashfs.New()
			l := open(t, fsys)
			before := fsys.Ops()
			var want []string
			fails, failed := crashfs.FailAt(before+k, happens, broken), false
			fsys.Hook = func(op crashfs.Op) (bool, error) {
				happens, err := fails(op)
				failed = failed || err != nil
				return happens, err
			}
			for n := range 40 {
				e := entry(n)
				e.Text = strings.Repeat("x", maxText)
				if err := l.Append(e); err == nil {
					want = append(want, e.About)
				} else if !errors.Is(err, broken) {
					t.Fatal(err)
				}
			}
			fsys.Hook = nil
			r := verify(t, fsys)
			if got := texts(t, fsys); fmt.Sprint(got) != fmt.Sprint(want) || len(r.Faults) > 0 {
				t.Fatalf("operation %d: acknowledged %v, found %v, %v", k, want, got, r.Faults)
			}
			if !failed && happens {
				if k < 40 {
					t.Fatal("nothing failed")
				}
				return
			}
		}
		k += 12 // a few of the operations of each append, and all kinds over the many
	}
}

// TestTogether: entries that come at once are all there, each call's side by side.
func TestTogether(t *testing.T) {
	fsys := crashfs.New()
	l := open(t, fsys)
	var all sync.WaitGroup
	l.writing.Lock() // a write is under way, so all others wait for the next one
	for n := range 40 {
		all.Go(func() {
			if err := l.Append(entry(2*n), entry(2*n+1)); err != nil {
				t.Error(err)
			}
		})
	}
	waiting := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.next.entries)
	}
	for waiting() < 80 {
		runtime.Gosched()
	}
	before := fsys.Ops()
	l.writing.Unlock()
	all.Wait()
	if n := fsys.Ops() - before; n > 20 {
		t.Errorf("%d operations for 40 calls that waited together", n)
	}
	got := texts(t, fsys)
	if r := verify(t, fsys); r.Entries != 80 || len(r.Faults) > 0 {
		t.Errorf("%+v", r)
	}
	for n := 0; n < len(got); n += 2 {
		var a, b int
		fmt.Sscanf(got[n]+" "+got[n+1], "1.2.%d 1.2.%d", &a, &b)
		if b != a+1 {
			t.Errorf("%s before %s", got[n], got[n+1])
		}
	}
}

// TestStrangers: other names in the folder are nobody's log.
func TestStrangers(t *testing.T) {
	fsys := long(t, 2)
	for _, name := range []string{"notes.txt", "1.log", "00000001.log.new"} {
		put(t, fsys, folder+"/"+name, []byte("x"))
	}
	if r := verify(t, fsys); r.Files != 1 || len(r.Faults) > 0 {
		t.Errorf("%+v", r)
	}
	if _, err := fsys.Lstat(folder + "/notes.txt"); errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	good, err := entry(1).encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := parse(text)
		if err != nil {
			if !errors.Is(err, ErrForm) {
				t.Fatal(err)
			}
			return
		}
		if again, err := e.encode(); err != nil || !bytes.Equal(again, text) {
			t.Fatalf("%q was read, and written as %q (%v)", text, again, err)
		}
	})
}
