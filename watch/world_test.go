package watch

import (
	"bytes"
	"errors"
	"hash/maphash"
	"io/fs"
	"log/slog"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"

	"github.com/dicomesh/dicomesh/dedup"
)

// world is a tree in memory, the kernel's notifications of it, and a watcher in virtual time. Work on it takes time, as on a disk.
type world struct {
	t    *testing.T
	seed maphash.Seed
	told *told
	w    *Watcher
	log  bytes.Buffer

	mu      sync.Mutex
	studies map[dedup.UID]map[string]*thing // by path
	hints   map[dedup.UID]uint64
	inode   int64
	lost    error         // what looking at the root gives
	empty   bool          // the folder of studies is another one, empty
	fails   error         // what looking at a study gives
	perLook time.Duration // what a look at a study costs
	perHint time.Duration
	worked  time.Duration // all of it so far

	watched map[string]bool
	granted int // watches that the kernel grants
	refuse  error
	events  chan fsnotify.Event
	errors  chan error
	deaf    bool // notifications are lost, and nobody is told
}

// thing is a file in the world.
type thing struct {
	inode, size int64
	modified    time.Time
	whole       bool
}

func newWorld(t *testing.T, change func(*Config)) *world {
	w := &world{t: t, seed: maphash.MakeSeed(), told: newTold(), studies: make(map[dedup.UID]map[string]*thing), hints: make(map[dedup.UID]uint64),
		perLook: 150 * time.Microsecond, perHint: 50 * time.Microsecond, granted: 1 << 30}
	c := Config{Dir: "/tree", Touched: w.told.touched, Log: slog.New(slog.NewTextHandler(&w.log, nil))}
	if change != nil {
		change(&c)
	}
	w.w = New(c)
	w.w.disk = w
	w.w.ears.open = w.open
	return w
}

// run calls f while the watcher runs. It is called in a bubble, where time passes when everybody waits.
func (w *world) run(f func()) {
	done := make(chan error)
	stop := make(chan struct{})
	ctx := ended{w.t.Context(), stop}
	go func() { done <- w.w.Run(ctx) }()
	w.pass(time.Second) // it has begun: what comes now is news
	f()
	close(stop)
	w.w.ears.rouse()
	if err := <-done; err != nil {
		w.t.Error(err)
	}
}

// pass lets time go by.
func (w *world) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// take uses up time as work on a disk does.
func (w *world) take(d time.Duration) {
	w.mu.Lock()
	w.worked += d
	w.mu.Unlock()
	<-time.After(d)
}

// write makes a file, or writes some more of it; whole says that this is its end.
func (w *world) write(study dedup.UID, name string, wholeNow bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	files := w.studies[study]
	if files == nil {
		files = make(map[string]*thing)
		w.studies[study] = files
		w.say("studies/"+study.String(), fsnotify.Create)
	}
	p := "studies/" + study.String() + "/deduplicated/" + name
	f := files[p]
	op := fsnotify.Write
	if f == nil {
		w.inode++
		f = &thing{inode: w.inode}
		files[p] = f
		w.hints[study]++
		op = fsnotify.Create
	}
	f.size++
	f.modified, f.whole = time.Now(), wholeNow
	w.say(p, op)
}

// replace puts a whole file in the place of one.
func (w *world) replace(study dedup.UID, name string) {
	w.remove(study, name)
	w.write(study, name, true)
}

func (w *world) remove(study dedup.UID, name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := "studies/" + study.String() + "/deduplicated/" + name
	if w.studies[study][p] != nil {
		delete(w.studies[study], p)
		w.hints[study]++
		w.say(p, fsnotify.Remove)
	}
}

func (w *world) removeStudy(study dedup.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.studies[study] != nil {
		delete(w.studies, study)
		w.hints[study]++
		delete(w.watched, "/tree/studies/"+study.String())
		delete(w.watched, "/tree/studies/"+study.String()+"/deduplicated")
		w.say("studies/"+study.String(), fsnotify.Remove)
	}
}

// say notifies of an event if its folder is watched.
func (w *world) say(name string, op fsnotify.Op) {
	if w.deaf || !w.watched[path.Join("/tree", path.Dir(name))] {
		return
	}
	select {
	case w.events <- fsnotify.Event{Name: filepath.Join("/tree", name), Op: op}:
	default:
		w.overflow()
	}
}

func (w *world) overflow() {
	select {
	case w.errors <- fsnotify.ErrEventOverflow:
	default:
	}
}

// holds are the files of a study that are whole.
func (w *world) holds(study dedup.UID) map[string]thing {
	w.mu.Lock()
	defer w.mu.Unlock()
	held := make(map[string]thing)
	for p, f := range w.studies[study] {
		if f.whole {
			held[p] = *f
		}
	}
	return held
}

// open, Add, Remove and Close are the notifier.
func (w *world) open() (opened, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuse != nil {
		return opened{}, w.refuse
	}
	w.watched = make(map[string]bool)
	w.events, w.errors = make(chan fsnotify.Event, 256), make(chan error, 1)
	return opened{w, w.events, w.errors}, nil
}

func (w *world) Add(dir string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.watched) >= w.granted {
		return unix.ENOSPC
	}
	study := dedup.StudiesAt(strings.TrimPrefix(dir, "/tree/"))
	if len(study) > 0 && w.studies[study[0]] == nil || strings.Contains(dir, "instances") || dir == "/tree/deduplicated" {
		return fs.ErrNotExist
	}
	w.watched[dir] = true
	return nil
}

func (w *world) Remove(dir string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.watched, dir)
	return nil
}

func (w *world) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watched = nil
	close(w.events)
	close(w.errors)
	return nil
}

// The rest is tree.

func (w *world) probe() root {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := root{err: w.lost, marker: true}
	r.places[0].identity = 1
	r.places[1] = place{identity: 2, filled: len(w.studies) > 0 && !w.empty}
	return r
}

func (w *world) list() ([]dedup.UID, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lost != nil || w.empty {
		return nil, w.lost
	}
	return slices.SortedFunc(maps.Keys(w.studies), dedup.UID.Compare), nil
}

func (w *world) glance(studies []dedup.UID) []uint64 {
	w.take(time.Duration(len(studies)) * w.perHint)
	w.mu.Lock()
	defer w.mu.Unlock()
	hints := make([]uint64, len(studies))
	for i, study := range studies {
		if w.lost == nil && !w.empty {
			hints[i] = w.hints[study]
		}
	}
	return hints
}

func (w *world) look(study dedup.UID, deep bool, visit func(dir string)) (l look) {
	w.mu.Lock()
	files, ok := w.studies[study]
	l = look{deep: deep, err: errors.Join(w.lost, w.fails), missing: !ok || w.empty, hint: w.hints[study]}
	w.mu.Unlock()
	if !l.missing && l.err == nil {
		visit("studies/" + study.String())
		visit("studies/" + study.String() + "/deduplicated")
		w.mu.Lock()
		for p, f := range files {
			l.files = append(l.files, file{dedup.Held{Path: p}, head{maphash.String(w.seed, p), maphash.Comparable(w.seed, *f)}, f.modified})
		}
		w.mu.Unlock()
	}
	w.take(w.perLook)
	l.took = w.perLook
	l.root = w.probe()
	return l
}

func (w *world) read(study dedup.UID, files []file) []verdict {
	w.take(time.Duration(len(files)) * w.perLook)
	w.mu.Lock()
	defer w.mu.Unlock()
	verdicts := make([]verdict, len(files))
	for i, f := range files {
		switch now := w.studies[study][f.held.Path]; {
		case now == nil || maphash.Comparable(w.seed, *now) != f.state:
			verdicts[i] = changed
		case now.whole:
			verdicts[i] = complete
		}
	}
	return verdicts
}
