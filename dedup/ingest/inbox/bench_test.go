package inbox

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/ingest"
	"github.com/dicomesh/dicomesh/dedup/phantom"
)

// BenchmarkInbox measures CT slices of 512 x 512 from a folder to the archive, on a real disk: 200 that are there, as a command ingests them and through the inbox; and one that is
// written now, from its last byte to its answer, with the default Quiet.
func BenchmarkInbox(b *testing.B) {
	slices := func(b *testing.B, dir string, n int) {
		for i := range (phantom.Study{Number: 1, Series: 1, Instances: n, Size: 512}).All() {
			var data bytes.Buffer
			must(b, i.Write(&data))
			must(b, os.WriteFile(filepath.Join(dir, i.SOPInstanceUID()), data.Bytes(), 0o644))
		}
	}
	open := func(b *testing.B) (dir string, archive *ingest.Archive) {
		dir = b.TempDir()
		for _, name := range []string{"tree", "inbox"} {
			must(b, os.Mkdir(filepath.Join(dir, name), 0o755))
		}
		fsys, err := durable.OpenOS(filepath.Join(dir, "tree"))
		must(b, err)
		b.Cleanup(func() { fsys.Close() })
		archive, err = ingest.Open(fsys)
		must(b, err)
		b.Cleanup(func() { archive.Close() })
		return dir, archive
	}
	run := func(b *testing.B, dir string, c Config, n int, start func()) {
		ctx, cancel := context.WithCancel(b.Context())
		answered := 0
		c.Dir, c.Quarantine, c.Log = filepath.Join(dir, "inbox"), filepath.Join(dir, "quarantine"), slog.New(slog.DiscardHandler)
		c.Report = func(r ingest.Result) {
			if r.Status != ingest.Stored {
				b.Errorf("%s: %s", r.Status, r.Reason)
			}
			if answered++; answered == n {
				cancel()
			}
		}
		go start()
		must(b, New(c).Run(ctx))
	}
	const n = 200
	b.Run("200, as a command", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			dir, archive := open(b)
			slices(b, filepath.Join(dir, "inbox"), n)
			paths, err := filepath.Glob(filepath.Join(dir, "inbox", "*"))
			must(b, err)
			b.StartTimer()
			must(b, archive.Run(b.Context(), ingest.Config{}, func(yield func(string) bool) {
				for _, p := range paths {
					if !yield(p) {
						return
					}
				}
			}, func(ingest.Result) {}))
		}
	})
	b.Run("200, through the inbox", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			dir, archive := open(b)
			slices(b, filepath.Join(dir, "inbox"), n)
			b.StartTimer()
			run(b, dir, Config{Archive: archive, Quiet: 1}, n, func() {})
		}
	})
	b.Run("one that comes", func(b *testing.B) {
		dir, archive := open(b)
		slices(b, dir, b.N+20)
		files, err := filepath.Glob(filepath.Join(dir, "[0-9]*"))
		must(b, err)
		b.ResetTimer()
		for i := range b.N {
			run(b, dir, Config{Archive: archive}, 1, func() { must(b, os.Rename(files[i], filepath.Join(dir, "inbox", fmt.Sprint(i)))) })
		}
	})
}
