package verify_test

import (
	"bytes"
	"testing"

	"github.com/dicomesh/dicomesh/dedup/ingest"
	"github.com/dicomesh/dicomesh/dedup/phantom"
	"github.com/dicomesh/dicomesh/dedup/verify"
)

// slicesArchive is an archive of CT slices of 512 x 512.
func slicesArchive(b *testing.B, instances int) (tree, int64) {
	b.Helper()
	a := newTree(b)
	archive, err := ingest.Open(a.fs)
	must(b, err)
	defer archive.Close()
	batch, err := archive.OpenBatch()
	must(b, err)
	defer batch.Discard()
	study := phantom.Study{Number: 1, Series: 1, Instances: instances, Size: 512}
	for i := range study.All() {
		var file bytes.Buffer
		must(b, i.Write(&file))
		batch.Add(i.Path(), bytes.NewReader(file.Bytes()), int64(file.Len()))
	}
	for _, r := range batch.Commit() {
		if r.Status != ingest.Stored {
			b.Fatal(r.Reason)
		}
	}
	_, _, s := a.verify(verify.Config{})
	return a, s.Bytes
}

// BenchmarkVerify reads an archive of images, and one of small files.
func BenchmarkVerify(b *testing.B) {
	for name, c := range map[string]verify.Config{"deep": {Deep: true}, "names": {}} {
		b.Run(name, func(b *testing.B) {
			a, size := slicesArchive(b, 200)
			b.SetBytes(size)
			for b.Loop() {
				if faults, _, _ := a.verify(c); len(faults) > 0 {
					b.Fatal(lines(faults))
				}
			}
		})
	}
	b.Run("small files deep", func(b *testing.B) {
		a, _ := ownArchive(b)
		_, _, s := a.verify(verify.Config{})
		b.SetBytes(s.Bytes)
		for b.Loop() {
			a.verify(verify.Config{Deep: true})
		}
		b.ReportMetric(float64(s.Files)*float64(b.N)/b.Elapsed().Seconds(), "files/s")
	})
}

// BenchmarkRebuild reads an archive of images into an index.
func BenchmarkRebuild(b *testing.B) {
	a, size := slicesArchive(b, 200)
	x := a.state()
	b.SetBytes(size)
	for b.Loop() {
		must(b, x.Rebuild(b.Context(), a.fs, nil))
	}
}
