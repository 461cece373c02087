package settle

import (
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
)

const manyStudies = 100_000

// longUIDs are as long as UIDs of real studies.
func longUIDs(tb testing.TB, n int) []dedup.UID {
	all := make([]dedup.UID, n)
	for i := range all {
		all[i] = uid(tb, fmt.Sprintf("1.2.826.0.1.3680043.8.498.4547588131.%010d.2026", i))
	}
	return all
}

// restingLoop is a Loop that has read the records of so many settled studies.
func restingLoop(tb testing.TB, n int) *Loop {
	l, err := New(Config{Site: "a", Version: "v1", Cluster: Alone(), Records: newArchive(nil), Log: slog.New(slog.DiscardHandler), Look: newArchive(nil).look, Generate: newArchive(nil).round,
		Busy: func(dedup.UID) bool { return false }})
	if err != nil {
		tb.Fatal(err)
	}
	for i := range n {
		u := uid(tb, fmt.Sprintf("1.2.826.0.1.3680043.8.498.4547588131.%010d.2026", i))
		l.enter(Known{u, leaf("a"), Record{State: Settled, Leaf: leaf("a"), Published: leaf("a"), Version: "v1"}})
	}
	return l
}

// TestMemoryAtRest holds what a site pays for studies that nothing happens to, and for as many that wait all at once.
func TestMemoryAtRest(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	l := restingLoop(t, manyStudies)
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := float64(int64(after.HeapAlloc)-int64(before.HeapAlloc)) / manyStudies
	t.Logf("%.1f bytes for a study at rest", each)
	if each > 64 {
		t.Errorf("a study at rest costs %.0f bytes", each)
	}
	for _, u := range longUIDs(t, manyStudies) {
		l.Touch(u)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each = float64(int64(after.HeapAlloc)-int64(before.HeapAlloc)) / manyStudies
	t.Logf("%.1f bytes for a study that waits", each)
	if each > 1600 {
		t.Errorf("a study that waits costs %.0f bytes", each)
	}
	if s := l.Status(); s.Totals != (Totals{Total: manyStudies, Syncing: manyStudies}) || s.Waiting != manyStudies {
		t.Errorf("%+v", s)
	}
}

func BenchmarkTouchAtRest(b *testing.B) {
	l := restingLoop(b, manyStudies)
	all := longUIDs(b, manyStudies)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		l.Touch(all[i%len(all)])
	}
}

func BenchmarkTouchAgain(b *testing.B) {
	l := restingLoop(b, manyStudies)
	u := longUIDs(b, 1)[0]
	b.ReportAllocs()
	for b.Loop() {
		l.Touch(u)
	}
}

func BenchmarkNext(b *testing.B) {
	r := rules{version: "v1", timing: Timing{}.set()}
	s := facts{leaf: leaf("a"), complete: true, known: true, last: time.Hour}
	e := event{kind: woke, view: view{gate: Gate{State: Whole}}}
	b.ReportAllocs()
	for b.Loop() {
		r.next(dedup.UID{}, s, e, time.Hour)
	}
}
