package inbox

import (
	"bytes"
	"context"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/ingest"
	"github.com/dicomesh/dicomesh/dedup/phantom"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// place is an inbox with its folders and its archive, which runs or not.
type place struct {
	t    testing.TB
	dir  string // with inbox and quarantine
	tree *crashfs.FS
	conf Config
	door *Inbox
	stop func()

	mu    sync.Mutex
	heard []ingest.Result
}

func newPlace(t testing.TB) *place {
	t.Helper()
	p := &place{t: t, dir: t.TempDir(), tree: crashfs.New()}
	must(t, os.Mkdir(filepath.Join(p.dir, "inbox"), 0o755))
	p.conf = Config{Dir: filepath.Join(p.dir, "inbox"), Quarantine: filepath.Join(p.dir, "quarantine"), Quiet: 20 * time.Millisecond, Log: slog.New(slog.DiscardHandler)}
	p.conf.Report = func(r ingest.Result) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.heard = append(p.heard, r)
	}
	t.Cleanup(func() { p.halt() })
	return p
}

// run opens the archive and runs the inbox, until halt or the end of the test.
func (p *place) run(change ...func(*Inbox)) {
	p.t.Helper()
	archive, err := ingest.Open(p.tree)
	must(p.t, err)
	p.conf.Archive = archive
	p.door = New(p.conf)
	for _, c := range change {
		c(p.door)
	}
	ctx, cancel := context.WithCancel(p.t.Context())
	done := make(chan error, 1)
	go func() { done <- p.door.Run(ctx) }()
	p.stop = func() {
		cancel()
		if err := <-done; err != nil {
			p.t.Error(err)
		}
		_ = archive.Close() // of a tree that crashed, not without an error
	}
}

func (p *place) halt() {
	if p.stop != nil {
		p.stop()
		p.stop = nil
	}
}

func (p *place) path(name string) string { return filepath.Join(p.dir, "inbox", name) }

func (p *place) write(name string, data []byte) {
	p.t.Helper()
	must(p.t, os.MkdirAll(filepath.Dir(p.path(name)), 0o755))
	must(p.t, os.WriteFile(p.path(name), data, 0o644))
}

// wait waits until something is so.
func (p *place) wait(what string, is func() bool) {
	p.t.Helper()
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(2 * time.Minute)
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			p.t.Fatalf("waited in vain: %s; status %+v, in the inbox %q", what, p.door.Status(), p.list("inbox"))
		}
	}
}

// finish waits until the inbox is empty and ends it: what is reported after a file has gone has then been reported too.
func (p *place) finish() {
	p.t.Helper()
	p.wait("all gone", p.empty)
	p.halt()
}

// answers is what was reported of a file.
func (p *place) answers(name string) (out []ingest.Result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.heard {
		if r.Path == name {
			out = append(out, r)
		}
	}
	return out
}

func (p *place) answered(n int) func() bool {
	return func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.heard) >= n
	}
}

// list is what is in a folder, folders too, with a slash.
func (p *place) list(folder string) (names []string) {
	root := filepath.Join(p.dir, folder)
	_ = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && path != root {
			rel, _ := filepath.Rel(root, path)
			if e.IsDir() {
				rel += "/"
			}
			names = append(names, rel)
		}
		return nil
	})
	return names
}

func (p *place) empty() bool { return len(p.list("inbox")) == 0 }

// swept returns when the inbox has looked at everything n times since it was called: each time a file comes that is not DICOM, and it is seen to go.
func (p *place) swept(n int) {
	p.t.Helper()
	for i := range n {
		name := "marker" + string(rune('a'+i))
		before := len(p.answers(name))
		p.write(name, bytes.Repeat([]byte("not DICOM"), 40))
		p.wait("a sweep", func() bool { return len(p.answers(name)) > before })
	}
}

// instances is how many instance files the tree has.
func (p *place) instances(tree durable.Reader) (n int) {
	p.t.Helper()
	studies, _, err := dedup.NewTree(tree).Studies()
	must(p.t, err)
	for _, u := range studies {
		folder, err := dedup.NewTree(tree).Study(u)
		must(p.t, err)
		heads, err := folder.Heads()
		must(p.t, err)
		n += len(heads)
	}
	return n
}

// sound are small DICOM files of different instances.
func sound(n int) (files [][]byte) {
	for _, c := range phantom.Cases() {
		if len(files) < n && strings.HasPrefix(c.Name, "ts/") {
			files = append(files, c.Bytes())
		}
	}
	return files
}
