package ingest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/ingest"
)

// Beside a batch that takes its time to commit another waits and a third is taken apart, no more; answers come in the order of batches.
func TestCommitsAhead(t *testing.T) {
	dir := t.TempDir()
	var paths []string
	for i, f := range twenty(t)[:6] {
		paths = append(paths, filepath.Join(dir, fmt.Sprint(i)))
		if err := os.WriteFile(paths[i], f.data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		a, err := ingest.Open(crashfs.New())
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		asked, third := 0, make(chan struct{})
		each := func(yield func(string) bool) {
			for _, p := range paths {
				if asked++; asked == 3 {
					close(third)
				}
				if !yield(p) {
					return
				}
			}
		}
		var answers []string
		err = a.Run(t.Context(), ingest.Config{Workers: 1, Files: 1}, each, func(r ingest.Result) {
			if answers = append(answers, r.Path); len(answers) > 1 || r.Status != ingest.Stored {
				return
			}
			<-third // the bubble is a deadlock if it is not taken up before this batch is done
			synctest.Wait()
			if asked != 3 {
				t.Errorf("%d files are taken up while the first batch commits", asked)
			}
		})
		if err != nil || !slices.Equal(answers, paths) {
			t.Errorf("answers for %q: %v", answers, err)
		}
	})
}
