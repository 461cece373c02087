package events

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func open(t *testing.T, dir string, c Config) *Log {
	t.Helper()
	l, err := Open(dir, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// TestRestart holds that numbers and events go on where the last run ended.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir, Config{Site: "north"})
	first.Add(Started, "", "")
	first.Add(Settled, "1.2.3", "")
	before := first.Last(10)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := open(t, dir, Config{Site: "north"})
	if got := second.Last(10); !reflect.DeepEqual(got, before) {
		t.Errorf("after a restart %v, want %v", got, before)
	}
	second.Add(Stopping, "", "")
	if got := second.After(2, 10); len(got) != 1 || got[0].Seq != 3 || got[0].Kind != Stopping || got[0].Site != "north" {
		t.Errorf("after number 2: %v", got)
	}
}

// TestTorn holds that a line which a crash cut short costs itself alone.
func TestTorn(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Config{})
	for range 3 {
		l.Add(Refused, "", "not DICOM")
	}
	_ = l.Close()
	name := filepath.Join(dir, "events.jsonl")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, append(text[:len(text)-5], []byte("\n"+strings.Repeat("x", 3*longestLine)+"\n{\"seq\":2")...), 0o600); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir, Config{})
	again.Add(Settled, "", "")
	_ = again.Close()
	got := open(t, dir, Config{}).Last(10)
	if len(got) != 3 || got[1].Seq != 2 || got[2].Seq != 3 || got[2].Kind != Settled {
		t.Errorf("%v", got)
	}
}

// TestBounded holds that neither memory nor disk grows beyond what was said.
func TestBounded(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Config{Memory: 10, FileBytes: 1000, Files: 3})
	for n := range 500 {
		l.Add(Held, fmt.Sprint("1.2.", n), "split")
	}
	if n := len(l.recent); n > 20 {
		t.Errorf("%d events in memory", n)
	}
	for _, got := range [][]Event{l.After(0, 1000), l.Last(1000)} {
		if len(got) != 10 || got[0].Seq != 491 || got[9].Seq != 500 {
			t.Errorf("%v", got)
		}
	}
	if got := l.After(495, 2); len(got) != 2 || got[0].Seq != 496 {
		t.Errorf("two after 495: %v", got)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 3 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Size() > 1200 || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f.Name(), info, err)
		}
	}
	if got := open(t, dir, Config{Memory: 10}).Last(1); len(got) != 1 || got[0].Seq != 500 {
		t.Errorf("after a restart: %v", got)
	}
}

// TestNext holds that whoever waits hears of the next event, and of the end of its patience.
func TestNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, t.TempDir(), Config{})
		l.Add(Started, "", "")
		var wg sync.WaitGroup
		wg.Go(func() {
			got, err := l.Next(t.Context(), 1, 10)
			if err != nil || len(got) != 1 || got[0].Kind != Settled {
				t.Errorf("%v, %v", got, err)
			}
		})
		synctest.Wait()
		l.Add(Settled, "1.2", "")
		wg.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if got, err := l.Next(ctx, 2, 10); len(got) != 0 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, %v", got, err)
		}
	})
}

// TestFullDisk holds that events go on in memory when the disk takes none, and that the disk is tried again.
func TestFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	l := open(t, dir, Config{})
	good := l.file
	l.file = full
	l.Add(DiskFull, "", "")
	_ = full.Close()
	l.file = good
	l.Add(DiskRoom, "", "")
	if got := l.Last(5); len(got) != 2 {
		t.Errorf("in memory: %v", got)
	}
	_ = l.Close()
	l.Add(Stopping, "", "after the end")
	if got := open(t, dir, Config{}).Last(5); len(got) != 1 || got[0].Kind != DiskRoom {
		t.Errorf("on disk: %v", got)
	}
}
