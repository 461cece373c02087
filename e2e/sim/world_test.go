package sim

import (
	"cmp"
	"container/heap"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
)

// world is a cluster and all that happens to it. Whatever it does follows from its seed: there is one goroutine, one source of chance, and nothing is done in the order of a map.
type world struct {
	testing.TB
	seed   uint64
	steps  int
	rng    *rand.Rand
	now    time.Duration
	queue  happenings
	serial int
	end    bool // nothing happens any more
	mended bool // no fault begins any more

	beat    time.Duration
	sites   []*site
	links   []*link
	cut     map[[2]*site]bool // from, to
	studies []dedup.UID
	values  map[dedup.Ref]string        // bulkdata, which is named by what it is
	files   map[dedup.FileID]dedup.File // every list and instance file that there ever was
	shown   map[view]dedup.Digest       // what readers see of a study with such leaves, wherever
	nonces  map[string]*echo            // every echo
	packer  dedup.Compressor
	packs   map[dedup.FileID][]byte // files as they are stored: many are written at each site
	parsed  map[string]dedup.File   // files by reference and stored bytes: they are read again and again
	proved  map[string]bool         // signatures that were verified
	dead    map[*link]time.Duration // since when an expected link has not worked
	trace   []string
	seen    map[string]int // what happened: a run in which something never does has proved nothing
	failure string
}

// view is a study with its leaves.
type view struct {
	study dedup.UID
	leaf  dedup.Digest
}

// happening is something that is to be done.
type happening struct {
	at     time.Duration
	serial int
	do     func()
}

type happenings []happening

func (h happenings) Len() int { return len(h) }
func (h happenings) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(h[i].at, h[j].at), cmp.Compare(h[i].serial, h[j].serial)) < 0
}
func (h happenings) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *happenings) Push(x any)   { *h = append(*h, x.(happening)) }
func (h *happenings) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// after has something done in that time.
func (w *world) after(d time.Duration, do func()) {
	w.serial++
	heap.Push(&w.queue, happening{w.now + d, w.serial, do})
}

// run lets so much time pass, or less if something fails.
func (w *world) run(d time.Duration) {
	end := w.now + d
	for len(w.queue) > 0 && w.queue[0].at <= end && w.failure == "" {
		h := heap.Pop(&w.queue).(happening)
		w.now = h.at
		h.do()
	}
	w.now = end
}

// between is a time by chance.
func (w *world) between(least, most time.Duration) time.Duration {
	return least + time.Duration(w.rng.Int64N(int64(most-least)+1))
}

// one reports whether a chance of one in n comes true.
func (w *world) one(n int) bool { return w.rng.IntN(n) == 0 }

// pick is one of several, by chance.
func pick[T any](w *world, from []T) T { return from[w.rng.IntN(len(from))] }

// say notes what happens, for whoever reads the trace of a failure.
func (w *world) say(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf("%10.3f  ", w.now.Seconds())+fmt.Sprintf(format, args...))
}

// fail says that something is not as it must be. The first such thing ends the run.
func (w *world) fail(format string, args ...any) {
	if w.failure == "" {
		w.failure = fmt.Sprintf(format, args...)
		w.say("FAIL %s", w.failure)
	}
}

// verdict ends the test if something failed, with what it takes to see it again.
func (w *world) verdict() {
	w.Helper()
	if w.failure == "" {
		return
	}
	const last = 150
	trace := strings.Join(w.trace[max(0, len(w.trace)-last):], "\n")
	w.Fatalf("%s\n%s\n%s\nreplay with: go test ./e2e/sim -run TestPure -seed %d -steps %d", w.failure, trace, w.failure, w.seed, w.steps) // a log that is cut keeps its last line
}

// worker is work of a process that takes time: a coroutine, which the scheduler goes on with.
type worker struct {
	life  *life
	next  func() (time.Duration, bool)
	stop  func()
	yield func(time.Duration) bool
}

// begin begins work of this process.
func (l *life) begin(do func(*worker)) {
	k := &worker{life: l}
	k.next, k.stop = iter.Pull(func(yield func(time.Duration) bool) {
		k.yield = yield
		do(k)
	})
	l.workers = append(l.workers, k)
	l.after(0, k.resume)
}

func (k *worker) resume() {
	l, before := k.life, k.life.working
	l.working = k
	d, more := k.next()
	l.working = before
	if more {
		l.after(d, k.resume)
		return
	}
	l.workers = slices.DeleteFunc(l.workers, func(o *worker) bool { return o == k })
}

// sleep lets time pass. It reports whether the process still lives: if not, the work has to end, and nothing that it does counts.
func (k *worker) sleep(d time.Duration) bool { return !k.life.over && k.yield(d) && !k.life.over }

// after has something done by this process in that time: not if it has died by then, and not before it goes on if it is stopped.
func (l *life) after(d time.Duration, do func()) {
	l.world.after(d, func() { l.happen(do) })
}

func (l *life) happen(do func()) {
	switch {
	case l.over:
	case l.paused:
		l.frozen = append(l.frozen, do)
	default:
		l.notice()
		do()
		l.turn()
	}
}
