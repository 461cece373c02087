// Package tend keeps the archive of a running site small: it combines the instance files and lists of studies that have come to rest, and collects what lists account for.
// What may be combined and collected, and how, is package combine's; here is only when.
//
//	settle: a study is settled ----Settled----> wait Config.After; is it still? -> combine -> Changed: settle looks at it, the other sites hear of the list
//	                                            and when it has settled again: nothing to combine -> collect what may go -> again when more may
//	at the start, and every hour -> studies that wait (combine.Waiting), and those that came to rest before this process did -> the same
//
// Every site does this by itself, and needs to tell nobody: of equal leaves each makes the same list, and a list that another site was quicker to make is received like any
// other, and accounts for the same. A study that is not settled is left alone, however long that lasts: what is superfluous in it may be what it is healed from. Nothing is combined
// while the cluster is not whole: the study would be held, because of a change that no one asked for.
//
// One study is worked on at a time, and after it the Tender rests as long as it worked: it is in nobody's way.
package tend

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/combine"
	"github.com/dicomesh/dicomesh/dedup/durable"
)

// Combiner does the work: see combine.Combiner.
type Combiner interface {
	Study(context.Context, dedup.UID) (combine.Combination, error)
	Collect(context.Context, dedup.UID) (combine.Collection, error)
	Waiting() ([]dedup.UID, error)
	Count() error
}

// Config makes a Tender. All but Did must be given.
type Config struct {
	Combiner Combiner
	After    time.Duration // how long a study has to have been settled before it is touched
	// Resting returns the studies that are settled now and have more than one list; it is asked once, at the start, and may take its time. An error
	// is of one study, or the last that comes. Idle says whether a study still is settled,
	// and may be worked on.
	Resting func(context.Context) iter.Seq2[dedup.UID, error]
	Idle    func(context.Context, dedup.UID) (Rest, error)
	// Changed is told of a study whose files have changed, before anything else is done.
	Changed func(dedup.UID)
	Did     func(Done) // nil, or told what was done
	Log     *slog.Logger
}

// Rest is how a study rests.
type Rest int

// The ways to rest.
const (
	Changing Rest = iota // it is not settled; when it is, Settled is called
	NotNow               // it is settled, and may not be worked on: the cluster is not whole, another site was not compared just now, the disk is full. It is asked again
	Idle                 // it may be worked on
)

// Done is what was done to a study: files combined into one list, or files removed.
type Done struct {
	Study     dedup.UID
	Combined  int // instance files and lists that went into a new list; 0: none was made
	Records   int // of that list
	Collected int // instance files and lists that were removed
}

// Status is what a Tender has done since it began, and what it has before it.
type Status struct {
	Combined  uint64 // lists that were made
	Inputs    uint64 // files that went into them
	Collected uint64 // files that were removed
	Failures  uint64 // each is tried again
	Waiting   int    // studies that will be looked at, most of them when time has passed
	Reason    string // the last failure, "" when all has gone well since
}

// Times that nobody needs to choose.
const (
	countEach  = 3 * time.Minute // running time counts in steps of at most an hour
	sweepEach  = time.Hour
	firstRetry = time.Minute // doubles,
	longRetry  = time.Hour   // to this
)

// Tender tends one tree. New makes it, Run runs it; Settled and Status may be called at any time.
type Tender struct {
	config Config
	nudged chan struct{}

	mu     sync.Mutex // guards what follows
	queue  queue
	status Status
}

// New makes a Tender and touches nothing.
func New(c Config) *Tender {
	if c.Did == nil {
		c.Did = func(Done) {}
	}
	return &Tender{config: c, nudged: make(chan struct{}, 1)}
}

// Settled says that a study has come to rest, now. It does not block.
func (t *Tender) Settled(uid dedup.UID) { t.look(uid, time.Now().Add(t.config.After)) }

// look has a study looked at then, and no earlier.
func (t *Tender) look(uid dedup.UID, at time.Time) {
	t.mu.Lock()
	first := t.queue.put(uid, at)
	t.mu.Unlock()
	if first {
		select {
		case t.nudged <- struct{}{}:
		default:
		}
	}
}

// Status is how it goes.
func (t *Tender) Status() Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.status
	s.Waiting = t.queue.Len()
	return s
}

// Run works until ctx ends.
func (t *Tender) Run(ctx context.Context) error {
	var beginning sync.WaitGroup
	defer beginning.Wait()
	beginning.Go(func() { t.begin(ctx) })
	t.hear("count running time", t.config.Combiner.Count())
	t.sweep()
	count, sweep := time.NewTicker(countEach), time.NewTicker(sweepEach)
	defer count.Stop()
	defer sweep.Stop()
	for {
		uid, wait := t.next(time.Now())
		if wait == 0 {
			t.tend(ctx, uid)
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-t.nudged:
		case <-timer.C:
		case <-count.C:
			t.hear("count running time", t.config.Combiner.Count())
		case <-sweep.C:
			t.sweep()
		}
		timer.Stop()
	}
}

// begin enters the studies that came to rest before this process did.
func (t *Tender) begin(ctx context.Context) {
	for uid, err := range t.config.Resting(ctx) {
		if err != nil {
			t.hear("which studies are at rest", err)
			continue
		}
		t.mu.Lock()
		known := t.queue.has(uid)
		t.mu.Unlock()
		if !known {
			t.Settled(uid)
		}
	}
}

// sweep enters the studies in which something waits for its time.
func (t *Tender) sweep() {
	studies, err := t.config.Combiner.Waiting()
	t.hear("which studies wait", err)
	at := time.Now().Add(t.config.After)
	for _, uid := range studies {
		t.mu.Lock()
		known := t.queue.has(uid)
		t.mu.Unlock()
		if !known {
			t.look(uid, at)
		}
	}
}

// idleWait is how long nothing happens by itself where nothing waits.
const idleWait = time.Hour

// next is the study whose time has come, or how long none will be.
func (t *Tender) next(now time.Time) (uid dedup.UID, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.queue.Len() == 0 {
		return dedup.UID{}, idleWait
	}
	if wait = t.queue.first().at.Sub(now); wait > 0 {
		return dedup.UID{}, wait
	}
	return t.queue.take(), 0
}

// tend does what is to be done to one study, and rests.
func (t *Tender) tend(ctx context.Context, uid dedup.UID) {
	began := time.Now()
	again, err := t.work(ctx, uid)
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		t.hear("combine or collect", err)
		t.look(uid, time.Now().Add(t.retry(uid)))
	default:
		t.well(uid)
		if again > 0 {
			t.look(uid, time.Now().Add(again))
		}
	}
	timer := time.NewTimer(time.Since(began))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// work combines, or where there is nothing to combine collects. again is when there will be more to do though nobody says so; 0: never.
func (t *Tender) work(ctx context.Context, uid dedup.UID) (again time.Duration, err error) {
	rest, err := t.config.Idle(ctx, uid)
	switch {
	case err != nil || rest == Changing:
		return 0, err
	case rest == NotNow:
		return t.config.After, nil
	}
	combined, err := t.config.Combiner.Study(ctx, uid)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !errors.Is(err, durable.ErrNotStored):
		return 0, nil // there is nothing of it any more
	case err != nil:
		return 0, err
	}
	if combined.List != (dedup.FileID{}) {
		t.done(Done{Study: uid, Combined: len(combined.Inputs), Records: combined.Records})
		return 0, nil
	}
	collected, err := t.config.Combiner.Collect(ctx, uid)
	if n := len(collected.Remove); n > 0 {
		t.done(Done{Study: uid, Collected: n})
	}
	again = collected.Due()
	if again > 0 {
		again += time.Second // of running time, which is counted in another place than here
	}
	if collected.Used() {
		again = firstRetry
	}
	return again, err
}

// done enters what was done, and says it.
func (t *Tender) done(d Done) {
	t.config.Changed(d.Study)
	t.mu.Lock()
	if d.Combined > 0 {
		t.status.Combined++
	}
	t.status.Inputs += uint64(d.Combined)
	t.status.Collected += uint64(d.Collected)
	t.mu.Unlock()
	t.config.Did(d)
}

// hear takes in that something failed. The log names no study: what it is about is in the status of whoever asks.
func (t *Tender) hear(what string, err error) {
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	t.mu.Lock()
	t.status.Failures++
	t.status.Reason = what + ": " + err.Error()
	t.mu.Unlock()
	t.config.Log.Warn("lists were not combined or collected; it is tried again", "doing", what)
	t.config.Log.Debug("lists were not combined or collected", "error", err)
}

// retry is how long to wait after one more failure of a study.
func (t *Tender) retry(uid dedup.UID) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.queue.failed(uid)
}

// well forgets the failures of a study.
func (t *Tender) well(uid dedup.UID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.queue.well(uid) {
		t.status.Reason = ""
	}
}
