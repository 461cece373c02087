package part10

import (
	"bytes"
	"crypto/sha256"
	"testing"

	"github.com/dicomesh/dicomesh/dedup/phantom"
	"github.com/zeebo/blake3"
)

// slice is one CT slice of 512x512, and tiny one of 16x16: what is left then is the cost of attributes.
func slice(b *testing.B, size int) []byte {
	b.Helper()
	var out bytes.Buffer
	for i := range (phantom.Study{Number: 1, Series: 1, Instances: 1, Size: size}).All() {
		if err := i.Write(&out); err != nil {
			b.Fatal(err)
		}
	}
	return out.Bytes()
}

// BenchmarkTake is bounded by the two digests of the pixels: compare with BenchmarkSums.
func BenchmarkTake(b *testing.B)     { benchmarkTake(b, 512) }
func BenchmarkTakeTiny(b *testing.B) { benchmarkTake(b, 16) }

func benchmarkTake(b *testing.B, size int) {
	file := slice(b, size)
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	var scratch Scratch
	for b.Loop() {
		if _, err := scratch.Take(bytes.NewReader(file), int64(len(file)), newNothing()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSums is what the pixels cost by themselves: a SHA-256, which is their name, and a BLAKE3 of the file.
func BenchmarkSums(b *testing.B) {
	file := slice(b, 512)
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		sha256.Sum256(file)
		blake3.Sum256(file)
	}
}

func BenchmarkRebuild(b *testing.B)     { benchmarkRebuild(b, 512) }
func BenchmarkRebuildTiny(b *testing.B) { benchmarkRebuild(b, 16) }

func benchmarkRebuild(b *testing.B, size int) {
	file, m := slice(b, size), newMemory()
	p, err := Take(bytes.NewReader(file), int64(len(file)), m)
	if err != nil {
		b.Fatal(err)
	}
	object, d := m.merged(p)
	buffer := make([]byte, copyBuffer)
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		r, err := Rebuild(object, d, m)
		if err == nil {
			err = r.Compare(bytes.NewReader(file), int64(len(file)), buffer)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkIdentify is the first look at a file.
func BenchmarkIdentify(b *testing.B) {
	file := slice(b, 512)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Identify(bytes.NewReader(file), int64(len(file))); err != nil {
			b.Fatal(err)
		}
	}
}
