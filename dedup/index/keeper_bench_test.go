package index_test

import (
	"fmt"
	"runtime"
	"testing"
)

// BenchmarkLook measures Looks at a study of 5,000 instances: with nothing new, with one more instance, and by a process that knows nothing yet.
func BenchmarkLook(b *testing.B) {
	s := newSite(b)
	const instances = 5000
	for n := range instances {
		s.instance(n, n%5, fmt.Sprint("of ", n))
	}
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			if err := s.k.Forget(b.Context(), s.uid); err != nil {
				b.Fatal(err)
			}
			s.look()
		}
	})
	b.Run("nothing new", func(b *testing.B) {
		for b.Loop() {
			s.look()
		}
	})
	b.Run("one more", func(b *testing.B) {
		n := instances
		for b.Loop() {
			s.instance(n, 1, fmt.Sprint("of ", n))
			s.look()
			n++
		}
	})
	b.Run("everything, nothing new", func(b *testing.B) {
		for b.Loop() {
			s.lookAll()
		}
	})
	b.Run("cold, nothing new", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			s.restart()
			b.StartTimer()
			s.look()
		}
	})
	b.Run("cold, one more", func(b *testing.B) {
		n := 2 * instances
		for b.Loop() {
			b.StopTimer()
			s.restart()
			s.instance(n, 1, fmt.Sprint("of ", n))
			b.StartTimer()
			s.look()
			n++
		}
	})
	s.restart()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	if _, _, err := s.k.Leaves(b.Context(), s.uid); err != nil {
		b.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.Logf("memory of the study: %.1f MB", float64(after.HeapAlloc-before.HeapAlloc)/1e6)
}
