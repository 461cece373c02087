package phantom

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"testing"
)

// small are one study of each modality, and one of multi-frame images.
func small() []Study {
	return []Study{{1, 2, 2, 64, 0}, {2, 2, 2, 64, 0}, {3, 2, 1, 64, 0}, {1, 1, 1, 32, 5}, {3, 1, 1, 9, 3}}
}

// TestStudyBytes holds that sample studies are the same bytes on each machine and in each release: people compare what they measured on them.
// Who changes the phantoms on purpose writes the new sums here, and says so in CHANGELOG.md.
func TestStudyBytes(t *testing.T) {
	want := []string{"df23aa3e69ab2f38", "b5907e30bfc3fc9a", "3dcf41d435417915", "44d4ac20d21c0a09", "c6f94f690b170c74"}
	for n, s := range small() {
		sum := sha256.New()
		for i := range s.All() {
			if err := i.Write(sum); err != nil {
				t.Fatal(err)
			}
		}
		if got := fmt.Sprintf("%x", sum.Sum(nil))[:16]; got != want[n] {
			t.Errorf("study %+v has the sum %s, not %s", s, got, want[n])
		}
	}
}

// TestStudyInstances holds what the instances promise: sizes as reported, UIDs and paths of their own, metadata like a modality's.
func TestStudyInstances(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range small() {
		for i := range s.All() {
			var file bytes.Buffer
			if err := i.Write(&file); err != nil || i.Size() != int64(file.Len()) || i.Size()%2 != 0 {
				t.Errorf("%s: %d bytes promised, %d written, %v", i.Path(), i.Size(), file.Len(), err)
			}
			if key := s.UID() + i.Path(); seen[key] || seen[i.SOPInstanceUID()] {
				t.Errorf("%s of study %+v is not the only one", i.Path(), s)
			} else {
				seen[key], seen[i.SOPInstanceUID()] = true, true
			}
			if count := len(i.elements()); count < 75 {
				t.Errorf("%s: %d elements, fewer than a modality writes", i.Path(), count)
			}
		}
	}
}

// TestStudyChanges holds that there is something to see: neighbouring slices and moments differ in more than noise.
func TestStudyChanges(t *testing.T) {
	for _, m := range []modality{ct(), mr(), ultrasound()} {
		a, b := make([]byte, 64*64*m.pixelSize), make([]byte, 64*64*m.pixelSize)
		m.paint(view{size: 64, body: 1, series: 1, z: -300, noise: 1}, a)
		m.paint(view{size: 64, body: 1, series: 1, z: 200, noise: 1}, b)
		differ := 0
		for i := range a {
			if a[i] != b[i] {
				differ++
			}
		}
		if differ < len(a)/50 {
			t.Errorf("%s: %d of %d bytes differ between two places", m.name, differ, len(a))
		}
	}
}

func TestStudyCheck(t *testing.T) {
	for _, s := range []Study{{0, 1, 1, 64, 0}, {1, 0, 1, 64, 0}, {1, 1, 0, 64, 0}, {1, 1, 1, 4, 0}, {1, 1, 1, 64, -1}} {
		if s.Check() == nil {
			t.Errorf("study %+v passes", s)
		}
	}
	if err := (Study{1, 1, 1, 512, 8192}).Check(); !errors.Is(err, ErrTooLarge) {
		t.Errorf("4 GiB of frames: %v", err)
	}
	if err := (Study{1, 1, 1, 512, 6000}).Check(); err != nil {
		t.Errorf("3 GB of frames: %v", err)
	}
}

// BenchmarkWrite is a CT slice of the usual size.
func BenchmarkWrite(b *testing.B) {
	for n := 1; n <= 3; n++ {
		s := Study{n, 1, 1, 512, 1}
		b.Run(s.Modality(), func(b *testing.B) {
			for b.Loop() {
				for i := range s.All() {
					if err := i.Write(io.Discard); err != nil {
						b.Fatal(err)
					}
					b.SetBytes(i.Size())
				}
			}
		})
	}
}
