package watch

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// fill puts so many studies of one list each into the tree. The lists are names of one file: they come in as fast as folders can be made.
func (s *site) fill(studies int) {
	s.t.Helper()
	file := s.path(marker + "/file")
	s.must(os.WriteFile(file, whole, 0o644))
	old := time.Now().Add(-time.Hour)
	s.must(os.Chtimes(file, old, old))
	for i := range studies {
		if i%50_000 == 49_999 { // a file can have only so many names
			s.must(os.Remove(file))
			s.must(os.WriteFile(file, whole, 0o644))
			s.must(os.Chtimes(file, old, old))
		}
		dir := s.path(fmt.Sprintf("studies/1.2.840.113619.2.55.3.%d/deduplicated", i))
		s.must(os.Mkdir(dir[:len(dir)-len("/deduplicated")], 0o755))
		s.must(os.Mkdir(dir, 0o755))
		s.must(os.Link(file, dir+"/"+listName(i)))
	}
}

// TestBoundedWatches: of 2,000 studies 100 are watched, and what appears in the others is found by the cycle.
func TestBoundedWatches(t *testing.T) {
	t.Parallel()
	const studies, hot = 2000, 100
	s := newSite(t, func(c *Config) { c.Hot, c.Deep = hot, 1<<30 })
	s.fill(studies)
	s.run()
	s.until("all studies are looked at", func() bool { return s.count(First) == studies })
	s.idle()
	now := s.Status()
	if now.Hot != hot || now.Cold != studies-hot || now.Watches != 2+2*hot {
		t.Errorf("%+v", now)
	}
	var cold []string
	for i := 399; i < studies; i += 400 { // behind the first ones, which are hot
		study := fmt.Sprintf("1.2.840.113619.2.55.3.%d", i)
		s.put("studies/" + study + "/deduplicated/" + listName(studies+i))
		cold = append(cold, study)
	}
	for _, study := range cold {
		s.untilTouched(study, Appeared)
	}
	if now := s.Status(); now.Hot != hot || now.Watches > 2+4*hot || now.Overflows > 0 {
		t.Errorf("%+v", now)
	}
}

// manyStudies is how many studies BenchmarkManyStudies makes: as many as the environment says, else so few that a smoke run ends soon.
func manyStudies(b *testing.B) int {
	text := os.Getenv("DICOMESH_BENCH_STUDIES")
	if text == "" {
		return 1000
	}
	studies, err := strconv.Atoi(text)
	if err != nil || studies < 1 {
		b.Fatalf("DICOMESH_BENCH_STUDIES is %q: it should be a number of studies, e.g. 100000", text)
	}
	return studies
}

// BenchmarkManyStudies is many studies on this machine's disk: what they cost in watches, memory and processor time, and how soon a list in one that is not
// watched is found. Settings are those of an agent but for the length of the cycle, which is as short as the rests let it be: a minute for 100,000 studies.
// With DICOMESH_BENCH_STUDIES=100000 it takes a quarter of an hour.
func BenchmarkManyStudies(b *testing.B) {
	studies := manyStudies(b)
	cycle := max(time.Second, time.Minute*time.Duration(studies)/100_000)
	for range b.N {
		s := newSite(b, func(c *Config) { *c = Config{Dir: c.Dir, Touched: c.Touched, Log: c.Log, Cycle: cycle} })
		began := time.Now()
		s.fill(studies)
		b.Logf("%d studies made in %v", studies, time.Since(began).Round(time.Second))
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		began = time.Now()
		used := processor()
		s.run()
		s.patiently("all studies are looked at", func() bool { return s.Status().Touches >= uint64(studies) })
		b.Logf("first scan: %v, %v of a processor", time.Since(began).Round(time.Second), processor()-used)
		cycles := s.Status().Cycles
		s.patiently("a cycle is over", func() bool { return s.Status().Cycles > cycles })
		used, cycles = processor(), s.Status().Cycles
		s.patiently("another cycle is over", func() bool { return s.Status().Cycles > cycles })
		now := s.Status()
		b.Logf("cycle: %v, %v of a processor", now.CycleTook.Round(time.Second), processor()-used)
		s.forget()
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.Logf("watches: %d; memory: %d MiB", now.Watches, (int64(after.HeapAlloc)-int64(before.HeapAlloc))>>20)
		cold := fmt.Sprintf("1.2.840.113619.2.55.3.%d", studies*6/10)
		began = time.Now()
		s.put("studies/" + cold + "/deduplicated/" + listName(studies))
		s.patiently("the list is found", func() bool { return slices.Contains(s.of(cold), Appeared) })
		b.Logf("a list in a cold study: found after %v", time.Since(began).Round(time.Second))
		b.ReportMetric(float64(now.Watches), "watches")
		b.ReportMetric(float64(int64(after.HeapAlloc)-int64(before.HeapAlloc))/float64(studies), "B/study")
	}
}

// patiently is until without an end: a benchmark takes what it takes.
func (s *site) patiently(what string, holds func() bool) {
	s.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for over := time.After(20 * time.Minute); !holds(); {
		select {
		case <-tick.C:
		case <-over:
			s.t.Fatalf("waited in vain until %s; status %+v", what, s.Status())
		}
	}
}

// processor is the processor time that this process has used.
func processor() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Round(time.Millisecond)
}
