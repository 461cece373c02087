package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"sync"
	"syscall"

	"github.com/dicomesh/dicomesh/dedup/durable"
)

// Config bounds a Run. The zero value is replaced by Defaults, field by field.
type Config struct {
	Workers int   // files that are taken apart at the same time
	Files   int   // that become durable together
	Bytes   int64 // likewise; a batch ends with the file that reaches it
	SHA256  bool  // take the SHA-256 of each file as well
}

// Defaults are for a machine that does something else besides.
func Defaults() Config { return Config{Workers: 2, Files: 1000, Bytes: 64 << 20} }

func (c Config) orDefaults() Config {
	d := Defaults()
	if c.Workers <= 0 {
		c.Workers = d.Workers
	}
	if c.Files <= 0 {
		c.Files = d.Files
	}
	if c.Bytes <= 0 {
		c.Bytes = d.Bytes
	}
	return c
}

// Run puts the files at paths into the archive, in batches: while one becomes durable the next is taken apart, and may have to wait for it. report is called once for each
// file, from one goroutine, when its answer is final; the order is that of paths, as far as batches go. Run returns when all
// are answered, or when ctx ends: files of unfinished batches are then not reported, and not stored.
func (a *Archive) Run(ctx context.Context, c Config, paths iter.Seq[string], report func(Result)) error {
	r := &run{archive: a, config: c.orDefaults(), report: report, taken: make(chan struct{}, commitsAhead), last: make(chan struct{})}
	close(r.last)
	next, stop := iter.Pull(paths)
	defer stop()
	in := &intake{next: next}
	for !in.dry && ctx.Err() == nil {
		if err := r.batch(ctx, in); err != nil {
			r.wait()
			return err
		}
	}
	r.wait()
	return ctx.Err()
}

// run is one Run.
type run struct {
	archive *Archive
	config  Config
	report  func(Result)
	taken   chan struct{} // has one for each batch that is taken apart and not yet reported
	last    chan struct{} // closed when the last of them is
}

// commitsAhead is how many batches may be ready: one that commits and one that waits for it. So a commit that takes longer than to take a batch apart,
// as some do when the disk writes back, keeps no worker from work.
const commitsAhead = 2

// wait returns when the last commit is over.
func (r *run) wait() { <-r.last }

// intake hands paths to the workers.
type intake struct {
	mu   sync.Mutex // guards what follows
	next func() (string, bool)
	left int  // paths that this batch may still have
	dry  bool // next has no more
}

func (in *intake) take() (string, bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.dry || in.left == 0 {
		return "", false
	}
	path, ok := in.next()
	in.left, in.dry = in.left-1, !ok
	return path, ok
}

// batch takes files until there are enough of them, and hands them to a commit that runs beside the next batch.
func (r *run) batch(ctx context.Context, in *intake) error {
	b, err := r.archive.OpenBatch()
	if err != nil {
		return err
	}
	b.sums = r.config.SHA256
	in.left = r.config.Files
	answers := make([][]Result, r.config.Workers)
	var workers sync.WaitGroup
	for w := range r.config.Workers {
		workers.Go(func() {
			for b.Bytes() < r.config.Bytes && ctx.Err() == nil {
				path, ok := in.take()
				if !ok {
					return
				}
				if res, done := b.addFile(path); done {
					answers[w] = append(answers[w], res)
				}
			}
		})
	}
	workers.Wait()
	if ctx.Err() != nil {
		b.Discard()
		return nil
	}
	r.commit(b, answers)
	return nil
}

// commit makes a batch durable and reports, after those before it, while the next batch goes on.
func (r *run) commit(b *Batch, answers [][]Result) {
	r.taken <- struct{}{}
	before, done := r.last, make(chan struct{})
	r.last = done
	go func() {
		defer close(done)
		defer func() { <-r.taken }()
		<-before
		for _, res := range append(slices.Concat(answers...), r.settle(b)...) {
			r.report(res)
		}
	}()
}

// settle commits a batch. One that failed, and not for want of room, may have failed for one file's place alone: then each file has a batch of its own.
func (r *run) settle(b *Batch) []Result {
	results := b.Commit()
	if b.failure == nil || durable.IsFull(b.failure) || len(results) < 2 {
		return results
	}
	for i, res := range results {
		alone, err := r.archive.OpenBatch()
		if err != nil {
			return results
		}
		alone.sums = b.sums
		again, done := alone.addFile(res.Path)
		if committed := alone.Commit(); !done && len(committed) == 1 {
			again = committed[0]
		}
		results[i] = again
	}
	return results
}

// addFile adds the file at a path. Whatever is wrong with opening it is the file's refusal.
func (b *Batch) addFile(path string) (Result, bool) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a fifo would wait for its writer
	if err != nil {
		return refused(Result{Path: path}, err), true
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("it is no regular file")
	}
	if err != nil {
		return refused(Result{Path: path}, err), true
	}
	sum := ""
	if b.sums { // of the descriptor that Add reads: another file may have the name by the time of the answer
		if sum, err = sha256Of(f, info.Size()); err != nil {
			return refused(Result{Path: path}, err), true
		}
	}
	return b.add(Result{Path: path, Size: info.Size(), SHA256: sum}, f)
}

func sha256Of(f io.ReaderAt, size int64) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, size)); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
