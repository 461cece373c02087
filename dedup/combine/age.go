package combine

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"golang.org/x/sys/unix"
)

// Reading is what a clock shows that nobody can set: how long the machine has run since it was started, and which start that was. Between two readings of one start their difference has
// passed; between readings of two starts nobody knows how much, and nothing is counted.
type Reading struct {
	Boot string // "" if it cannot be told: then nothing is counted
	At   time.Duration
}

// SystemClock reads the machine's monotonic clock, which stands still while the machine is suspended.
func SystemClock() Reading {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	var now unix.Timespec
	if err != nil || unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) != nil {
		return Reading{}
	}
	return Reading{strings.TrimSpace(string(boot)), time.Duration(now.Nano())}
}

// What is persisted of running time lies in the tree, because commands without a state folder collect as well: the clock, and for each study in which something waits, since when it does.
const (
	agingFolder = ".dicomesh/aging"
	clockFile   = agingFolder + "/clock"
	clockLock   = agingFolder + "/lock"
)

// mostStep is the most that counts between two readings: a clock that leaps, as those of virtual machines do, adds no more. Whoever collects less often than that waits longer.
const mostStep = time.Hour

// writeEach is how much running time may go unwritten. A crash then costs no more; readings go on from what was written, so between them nothing is lost.
const writeEach = time.Minute

// clock is the persisted clock: Elapsed is the running time counted up to the reading.
type clock struct {
	Reading
	Elapsed time.Duration
}

// next is the clock at a later reading, and whether that is to be written.
func (c clock) next(r Reading) (clock, bool) {
	if r.Boot == "" {
		return c, false
	}
	step := r.At - c.At
	if r.Boot != c.Boot || step < 0 {
		return clock{r, c.Elapsed}, true
	}
	return clock{r, c.Elapsed + min(step, mostStep)}, step >= writeEach
}

// waiting is since when, by the persisted clock, things of a study are as they are.
type waiting struct {
	Leaves string                   `json:"leaves"` // their digest
	Since  time.Duration            `json:"since"`  // they are these
	Lists  map[string]time.Duration `json:"lists"`  // they are accounted for
}

// next is what is to be remembered of a study that is like that now. Times that lie ahead are of another clock, which was lost: they begin now.
func (w waiting) next(s *dedup.State, now time.Duration) waiting {
	n := waiting{Leaves: dedup.LeafDigest(s.Leaves).String(), Since: now, Lists: make(map[string]time.Duration)}
	if w.Leaves == n.Leaves {
		n.Since = min(w.Since, now)
	}
	for _, id := range s.Dominated {
		if id.Ref.Class != dedup.List {
			continue
		}
		n.Lists[listKey(id)] = now
		if since, has := w.Lists[listKey(id)]; has {
			n.Lists[listKey(id)] = min(since, now)
		}
	}
	return n
}

func listKey(id dedup.FileID) string { return id.Ref.Name + "." + id.Digest.String() }

func (w waiting) same(o waiting) bool {
	return w.Leaves == o.Leaves && w.Since == o.Since && maps.Equal(w.Lists, o.Lists)
}

// Count counts running time up to now. Of the time between two calls of Count or Collect at most an hour counts, so whoever runs for long calls it every few minutes.
func (c *Combiner) Count() error {
	_, err := c.now()
	return err
}

// Waiting are the studies in which something waits until it is old enough to be collected, in order. They are known across restarts.
func (c *Combiner) Waiting() (studies []dedup.UID, err error) {
	entries, err := c.config.Tree.ReadDir(agingFolder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if uid, notUID := dedup.ParseUID(e.Name()); notUID == nil {
			studies = append(studies, uid)
		}
	}
	slices.SortFunc(studies, dedup.UID.Compare)
	return studies, err
}

// now counts running time up to now and returns what has been counted in all.
func (c *Combiner) now() (time.Duration, error) {
	fsys := c.config.Tree
	if err := durable.MkdirAll(fsys, agingFolder); err != nil {
		return 0, err
	}
	lock, err := fsys.Lock(clockLock)
	if err != nil {
		return 0, err
	}
	defer lock.Close()
	next, write := c.counted()
	if write {
		err = persist(fsys, clockFile, next)
	}
	return next.Elapsed, err
}

// peek is now without writing anything.
func (c *Combiner) peek() time.Duration {
	next, _ := c.counted()
	return next.Elapsed
}

func (c *Combiner) counted() (next clock, write bool) {
	var was clock
	recall(c.config.Tree, clockFile, &was)
	return was.next(c.config.Clock())
}

func agesOf(study dedup.UID) string { return path.Join(agingFolder, study.String()) }

// remember writes what waits in a study, if that has changed. The zero waiting is forgotten.
func (c *Combiner) remember(study dedup.UID, was, now waiting) error {
	fsys, name := c.config.Tree, agesOf(study)
	switch {
	case was.same(now):
		return nil
	case now.Leaves != "":
		return persist(fsys, name, now)
	}
	if err := fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget what waits: %w", err)
	}
	return nil
}

// persist replaces a small file.
func persist(fsys durable.FS, name string, v any) error {
	text, err := json.Marshal(v)
	if err == nil {
		err = durable.ReplaceFile(fsys, name, text)
	}
	if err != nil {
		return fmt.Errorf("count running time: %w", err)
	}
	return nil
}

// recall reads what persist wrote. What is lost or damaged is as if it had never been: time then begins anew, and files stay longer.
func recall(fsys durable.Reader, name string, v any) {
	f, err := fsys.Open(name)
	if err != nil {
		return
	}
	text, err := io.ReadAll(io.LimitReader(f, 64<<20))
	if cmp.Or(err, f.Close()) == nil {
		_ = json.Unmarshal(text, v) // likewise
	}
}
