package syncer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// want is a file that is to be fetched.
type want struct {
	ref    dedup.Ref
	digest dedup.Digest // of a head; zero for bulkdata
	// content is the digest of bulkdata whose name says nothing (nameless), as its source has it recorded, once that has said so; else zero.
	content dedup.Digest
}

// taker is given each file that came, checked by nobody yet, as what it is stored at the source. An error that is a fault ends the fetch.
type taker interface {
	// take may not keep stored, whose memory is used for the next file.
	take(w want, ref dedup.Ref, stored []byte) error
	// without is told of a file that the source does not have, and beyond of one that is too large to come with others.
	without(w want)
	beyond(w want, size uint64)
}

// The shape of requests.
const (
	wholeFile   = 4 << 20 // larger files are fetched in ranges
	firstGuess  = 16 << 10
	mostStreams = atATime
	zstdBelow   = 25e6 // bytes a second: faster links carry more than zstd compresses
	slowest     = 256  // an answer may come so many times slower than the link was measured to be
)

// fetching is the files of one call that have not come yet, shared by the streams that fetch them.
type fetching struct {
	*transfer
	into taker

	mu     sync.Mutex // guards what follows
	queue  []want
	came   int // files
	volume int // and their bytes: together they tell how many files a request should name
	failed error
}

// fetchAll fetches files, many to a request, as many requests at a time as the link bears.
func (t *transfer) fetchAll(ctx context.Context, wants []want, into taker) error {
	f := &fetching{transfer: t, into: into}
	for _, w := range wants {
		if t.here(w, into) {
			continue
		}
		f.queue = append(f.queue, w)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var streams sync.WaitGroup
	for range min(mostStreams, (len(f.queue)+3)/4) {
		streams.Go(func() {
			if err := f.stream(ctx); err != nil {
				f.fail(err)
				cancel()
			}
		})
	}
	streams.Wait()
	return f.failed
}

// here takes a file that came before: in a pull that was cut, or in a process that died, of whose bytes nothing is known.
func (t *transfer) here(w want, into taker) bool {
	if stored := t.tent.find(w); stored != nil && into.take(w, w.ref, stored) == nil {
		return true
	}
	if nameless(w.ref) { // a beginning of it cannot be told from the whole
		return false
	}
	stored := t.saved.read(t.study, w.ref, wholeFile)
	if stored == nil || into.take(w, w.ref, stored) != nil { // or it is the beginning of a large file, which goes on from there
		return false
	}
	t.saved.drop(t.study, w.ref)
	return true
}

// fail keeps the first error, but prefers one that says more than that others were ended by it.
func (f *fetching) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed == nil || errors.Is(f.failed, context.Canceled) {
		f.failed = err
	}
}

// stream makes requests until nothing is left to ask for.
func (f *fetching) stream(ctx context.Context) error {
	for {
		f.mu.Lock()
		left, guess := len(f.queue), f.guess()
		f.mu.Unlock()
		if left == 0 {
			return nil
		}
		urgency := Lane(f.lane.Load())
		budget, err := f.lanes.acquire(ctx, f.site, urgency, int64(guess))
		if err != nil {
			return err
		}
		came := int64(0)
		if wants := f.cut(budget); len(wants) > 0 {
			came, err = f.request(ctx, wants, budget)
		}
		f.lanes.release(f.site, urgency, budget, came)
		if err != nil {
			return err
		}
	}
}

// cut takes so many files off the queue as a budget will do for, by what files were like so far.
func (f *fetching) cut(budget int64) []want {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := min(len(f.queue), wire.MaxFiles, max(1, int(budget)/f.guess()))
	wants := slices.Clone(f.queue[:n])
	f.queue = f.queue[n:]
	return wants
}

// guess is how large the next file is, by those that came. The caller holds the lock.
func (f *fetching) guess() int {
	if f.came == 0 {
		return firstGuess
	}
	return max(1, f.volume/f.came)
}

// request makes one request and takes its answer. Files that were put off go back into the queue.
func (f *fetching) request(ctx context.Context, wants []want, budget int64) (came int64, err error) {
	s, err := f.open(ctx, f.site, Fetch)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	d := f.desks.take()
	defer f.desks.give(d)
	k := d.talk(ctx, s)
	defer k.done()
	k.patience, k.until = f.patience, time.Now().Add(f.enough(budget))
	m := &wire.Fetch{Study: f.study, Budget: uint64(budget), Whole: wholeFile}
	if rate := f.lanes.rate(f.site); rate > 0 && rate < zstdBelow {
		m.Zstd = true
	}
	for _, w := range wants {
		m.Files = append(m.Files, wire.Want{Ref: w.ref, Digest: w.digest})
	}
	if err := k.say(m); err != nil {
		return 0, blameStall(ctx, err)
	}
	came, err = f.answer(&incoming{talk: k, desk: d, packer: f.packer, left: uint64(budget)}, wants)
	return came, blameStall(ctx, err)
}

// answer takes the answer to a request.
func (f *fetching) answer(in *incoming, wants []want) (came int64, err error) {
	asked := time.Now()
	for i, w := range wants {
		h, err := in.head(uint64(i), w)
		if err != nil {
			return came, err
		}
		if i == 0 {
			f.lanes.heard(f.site, time.Since(asked))
		}
		if err := in.fits(h); err != nil {
			return came, err
		}
		if err := f.file(in, h, w); err != nil {
			return came, err
		}
		came += int64(h.Length)
	}
	return came, nil
}

// enough is how long the answer to a request of so many bytes may take. A neighbour that sends a byte now and then would else hold a study for ever, which others could send.
func (t *transfer) enough(bytes int64) time.Duration {
	rate := max(minimumRate, t.lanes.rate(t.site)/slowest)
	return t.patience + time.Duration(float64(bytes)/rate*float64(time.Second))
}

// file takes one file of an answer.
func (f *fetching) file(in *incoming, h *wire.FileHeader, w want) error {
	w.content = h.Content
	switch h.Status {
	case wire.Here:
		stored, err := in.body(h)
		if err != nil {
			return err
		}
		ref := w.ref
		if h.Ref != (dedup.Ref{}) {
			ref = h.Ref
		}
		f.count(len(stored), h.Length)
		return f.into.take(w, ref, stored)
	case wire.Large:
		f.into.beyond(w, h.Size)
	case wire.Later:
		f.mu.Lock()
		f.queue = append(f.queue, want{ref: w.ref, digest: w.digest})
		f.mu.Unlock()
	default:
		f.into.without(w)
	}
	return nil
}

// count keeps what is known of the files, and tells how far the pull is.
func (f *fetching) count(size int, travelled uint64) {
	f.mu.Lock()
	f.came++
	f.volume += size
	f.mu.Unlock()
	f.report(travelled)
}

// report tells how far the pull is, for every so many bytes.
func (t *transfer) report(bytes uint64) {
	const each = 256 << 10
	if now := t.bytes.Add(bytes); now/each != (now-bytes)/each {
		t.progress(fetched{t.study, now})
	}
}

// incoming reads the answer to one Fetch.
type incoming struct {
	*desk
	talk   *talk
	packer *packer
	left   uint64 // of what was asked for
	began  bool   // one file has come, which may be larger than that
}

// fits reports whether a file may come whole, and beside those that came before it: the asker says how much it can take, and memory is taken for no more.
func (in *incoming) fits(h *wire.FileHeader) error {
	switch {
	case h.Status == wire.Later && !in.began:
		return fault("all that was asked for is put off")
	case h.Status != wire.Here:
		return nil
	case h.Size > wholeFile || h.Length > wholeFile+wholeFile/8:
		return fault("a file of %d bytes that was not to come whole", h.Size)
	case h.Coding == wire.Stored && h.Length != h.Size:
		return fault("%d bytes of a file of %d", h.Length, h.Size)
	case in.began && h.Size > in.left:
		return fault("more bytes than were asked for")
	}
	in.began = true
	in.left -= min(in.left, h.Size)
	return nil
}

// head reads the header of the i-th file.
func (in *incoming) head(i uint64, w want) (*wire.FileHeader, error) {
	h, err := answer[*wire.FileHeader](in.talk)
	switch {
	case err != nil:
		return nil, err
	case h.Index != i:
		return nil, fault("file %d in the place of file %d", h.Index, i)
	case h.Ref != (dedup.Ref{}) && !slices.Contains(w.ref.Spellings(), h.Ref):
		return nil, fault("another file than was asked for")
	case h.Length > 0 && h.Status != wire.Here:
		return nil, fault("bytes of a file that is %s", h.Status)
	}
	return h, nil
}

// body reads the bytes that a header announces, as they are stored at the source. The caller has bounded them. They may lie in the desk's buffer.
func (in *incoming) body(h *wire.FileHeader) ([]byte, error) {
	travelled, err := in.read(h.Length)
	if err != nil || h.Coding == wire.Stored {
		return travelled, err
	}
	if h.Coding != wire.Zstd {
		return nil, fault("a coding that is not known")
	}
	plain, err := in.packer.expand(travelled)
	if err == nil && uint64(len(plain)) != h.Size {
		return nil, fault("%d bytes of a file of %d", len(plain), h.Size)
	}
	return plain, err
}

// read takes memory as bytes arrive.
func (in *incoming) read(n uint64) ([]byte, error) {
	const step = 256 << 10
	b := in.buffer[:0]
	for uint64(len(b)) < n {
		part := int(min(n-uint64(len(b)), step))
		b = slices.Grow(b, part)[:len(b)+part]
		in.talk.wait()
		if _, err := io.ReadFull(in.talk.in, b[len(b)-part:]); err != nil {
			return nil, early(err)
		}
		in.buffer = b
	}
	return b, nil
}

// early says of the end of a stream within a file that the neighbour ended it: a link that is lost says something else.
func early(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fault("a file that ends too early")
	}
	return fmt.Errorf("read a file: %w", err)
}
