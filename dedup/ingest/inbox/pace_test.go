package inbox

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestPace holds how long files are left alone, in a clock of the test's own. A program that writes for a moment every two seconds, and goes on for an hour, is never met
// in between where it holds its file open; where nobody can tell, only after Patience.
func TestPace(t *testing.T) {
	p := pace{quiet: 300 * time.Millisecond, patience: time.Minute, brokenOff: 10 * time.Second}
	now := time.Unix(1_800_000_000, 0)
	ago := func(d time.Duration) int64 { return now.Add(-d).UnixNano() }
	for _, c := range []struct {
		name   string
		m      memo
		leases bool
		want   time.Duration
	}{
		{"just written", memo{stamp: stamp{change: ago(0)}, since: now}, true, 300 * time.Millisecond},
		{"written a moment ago", memo{stamp: stamp{change: ago(100 * time.Millisecond)}, since: now}, true, 200 * time.Millisecond},
		{"there for long when it is first seen", memo{stamp: stamp{change: ago(time.Hour)}, since: now}, true, 0},
		{"from the future", memo{stamp: stamp{change: ago(-time.Hour)}, since: now}, true, 300 * time.Millisecond},
		{"from the future, and seen for long", memo{stamp: stamp{change: ago(-time.Hour)}, since: now.Add(-time.Second)}, true, 0},
		{"nobody tells: old when it is first seen", memo{stamp: stamp{change: ago(time.Hour)}, since: now}, false, time.Minute},
		{"nobody tells: seen for two seconds", memo{stamp: stamp{change: ago(2 * time.Second)}, since: now.Add(-2 * time.Second)}, false, 58 * time.Second},
		{"nobody tells: seen for long", memo{stamp: stamp{change: ago(0)}, since: now.Add(-time.Minute)}, false, 0},
		{"ends too early", memo{stamp: stamp{change: ago(4 * time.Second)}, since: now, state: early}, true, 6 * time.Second},
		{"ended too early for long", memo{stamp: stamp{change: ago(10 * time.Second)}, since: now, state: early}, true, 0},
		{"ends too early, nobody tells", memo{stamp: stamp{change: ago(time.Hour)}, since: now.Add(-time.Second), state: early}, false, 59 * time.Second},
		{"held", memo{stamp: stamp{change: ago(time.Hour)}, since: now.Add(-time.Hour), state: held, tried: now.Add(-20 * time.Second)}, true, 40 * time.Second},
		{"held for long", memo{stamp: stamp{change: ago(time.Hour)}, since: now.Add(-time.Hour), state: held, tried: now.Add(-time.Hour)}, true, 0},
	} {
		if got := p.wait(c.m, now, c.leases); got != c.want {
			t.Errorf("%s: wait %v, want %v", c.name, got, c.want)
		}
	}
	if p.hopeless(memo{stamp: stamp{change: ago(9 * time.Second)}, since: now}, now, true) || !p.hopeless(memo{stamp: stamp{change: ago(11 * time.Second)}, since: now}, now, true) {
		t.Error("a file that ends too early is given up at the wrong time")
	}
}

// TestSlowWriterWithoutLeases plays a program that writes every two seconds for two minutes, closing its file each time, on a file system that tells nothing: it is its turn
// a minute after the last write, and not before.
func TestSlowWriterWithoutLeases(t *testing.T) {
	d := &door{Inbox: New(Config{}), memos: make(map[string]memo)}
	p := pace{quiet: DefaultQuiet, patience: DefaultPatience}
	start := time.Unix(1_800_000_000, 0)
	last := start.Add(2 * time.Minute)
	for at := start; ; at = at.Add(500 * time.Millisecond) {
		d.sweeps++
		written := at
		if written.After(last) {
			written = last
		}
		s := stamp{size: int64(written.Sub(start) / (2 * time.Second)), change: written.Truncate(2 * time.Second).UnixNano()}
		if p.wait(d.recall("file", s, at), at, false) == 0 {
			if got := at.Sub(last); got != DefaultPatience {
				t.Errorf("its turn comes %v after the last write", got)
			}
			return
		}
	}
}

// TestLease holds what the whole rule rests on, with real files: the kernel tells whether somebody has a file open for writing, and makes who wants to wait while the lease is
// held, which can be seen.
func TestLease(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	w, err := os.Create(name)
	must(t, err)
	read := func() *os.File {
		f, err := os.Open(name)
		must(t, err)
		return f
	}
	f := read()
	if got := lease(f); got != writing {
		t.Errorf("while somebody writes the answer is %d", got)
	}
	must(t, w.Close())
	if got := lease(f); got != nobody || !leased(f) {
		t.Fatalf("when nobody writes the answer is %d", got)
	}
	other := read()
	if got := lease(other); got != nobody {
		t.Errorf("a second reader's answer is %d", got)
	}
	must(t, other.Close())
	opened := make(chan error)
	go func() {
		w, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
		opened <- errors.Join(err, w.Close())
	}()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for leased(f) { // it is seen that somebody waits
		<-tick.C
	}
	select {
	case err := <-opened:
		t.Errorf("a writer did not wait: %v", err)
	default:
	}
	must(t, f.Close())
	must(t, <-opened)
}

// TestMemosAreBounded holds that any number of waiting files takes no more memory than a bounded number of them.
func TestMemosAreBounded(t *testing.T) {
	d := &door{Inbox: New(Config{}), memos: make(map[string]memo)}
	now := time.Now()
	for n := range 100_000 {
		m := d.recall(string(rune(n%1000))+string(rune(n/1000)), stamp{size: int64(n)}, now)
		if n%2 == 0 {
			d.remember(string(rune(n)), m, early)
		}
	}
	if n := len(d.memos); n > 2*maxMemos {
		t.Errorf("%d files are remembered", n)
	}
	d.sweeps++
	d.forget()
	if n := len(d.memos); n != 0 {
		t.Errorf("%d files are remembered that are not there", n)
	}
}
