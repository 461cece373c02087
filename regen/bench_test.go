package regen_test

import (
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/phantom"
	"github.com/dicomesh/dicomesh/regen"
)

// openDisk opens a new folder.
func openDisk(t testing.TB) *durable.OS {
	t.Helper()
	fsys, err := durable.OpenOS(t.TempDir())
	must(t, err)
	t.Cleanup(func() { fsys.Close() })
	return fsys
}

// onDisk is a generator that shares files.
func onDisk(archive, current *durable.OS, thumbnails bool) *regen.Generator {
	return regen.New(regen.Config{Archive: archive, Current: current, NoThumbnails: !thumbnails,
		Share: func(from, to string) error { return durable.Share(archive, from, current, to) }})
}

// slices500 is the archive of a study of 500 slices, and one file more.
func slices500(b *testing.B) (archive *durable.OS, uid dedup.UID, more []byte) {
	s := phantom.Study{Number: 1, Series: 2, Instances: 250, Size: 64}
	archive = openDisk(b)
	files := parts(b, s)
	put(b, archive, files[:499]...)
	return archive, uidOf(b, s.UID()), files[499]
}

// BenchmarkRegen500 measures rounds of a study of 500 slices in two series, without thumbnails.
func BenchmarkRegen500(b *testing.B) {
	archive, uid, more := slices500(b)
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			g := onDisk(archive, openDisk(b), false)
			b.StartTimer()
			round(b, g, uid, noon())
		}
	})
	g := onDisk(archive, openDisk(b), false)
	round(b, g, uid, noon())
	b.Run("nothing", func(b *testing.B) {
		for b.Loop() {
			round(b, g, uid, noon())
		}
	})
	put(b, archive, more)
	start := time.Now()
	res := round(b, g, uid, noon())
	b.Logf("one more instance: %d files in %v", res.Wrote, time.Since(start).Round(time.Millisecond))
}

// BenchmarkThumbnail measures one thumbnail of a frame of 512 by 512, with the rest of a round of that one instance.
func BenchmarkThumbnail(b *testing.B) {
	s := phantom.Study{Number: 1, Series: 1, Instances: 20, Size: 512}
	archive := openDisk(b)
	put(b, archive, parts(b, s)...)
	for b.Loop() {
		b.StopTimer()
		current := openDisk(b)
		round(b, onDisk(archive, current, false), uidOf(b, s.UID()), noon())
		b.StartTimer()
		round(b, onDisk(archive, current, true), uidOf(b, s.UID()), noon())
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/20/float64(b.N), "us/thumbnail")
}
