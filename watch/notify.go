package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"

	"github.com/dicomesh/dicomesh/dedup"
)

// notifier is the kernel's notifications of some folders, each by itself. Events and Errors are closed by Close.
type notifier interface {
	Add(dir string) error
	Remove(dir string) error
	Close() error
}

// opened is a notifier and what it says.
type opened struct {
	notifier
	events <-chan fsnotify.Event
	errors <-chan error
}

func openNotifier() (opened, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return opened{}, err
	}
	return opened{w, w.Events, w.Errors}, nil
}

// refused says what the kernel's refusal means to an operator. err stays what it is.
func refused(err error) error {
	switch {
	case errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("the user's limit of watches is reached (sysctl fs.inotify.max_user_watches): %w", err)
	case errors.Is(err, unix.EMFILE):
		return fmt.Errorf("the limit of notification queues or of open files is reached (sysctl fs.inotify.max_user_instances, ulimit -n): %w", err)
	}
	return fmt.Errorf("notifications are refused: %w", err)
}

// ears are the folders that are watched, and what was heard of them since it was last asked for. What was heard is kept as studies, not as events: there is a
// bound to it, and the kernel's queue is emptied while the disk is slow.
type ears struct {
	dir  string
	open func() (opened, error)
	wake chan<- struct{} // told, if it is not full, when there is something to notice

	notifier opened
	pumped   chan struct{} // closed when nothing reads the notifier any more

	mu      sync.Mutex
	studies map[dedup.UID][]string // the folders that are watched of each study
	watched map[string]bool        // all folders that are watched
	heard   marks
}

// arm asks for notifications anew, of the folders that hold studies.
func (e *ears) arm() error {
	e.close()
	n, err := e.open()
	if err != nil {
		return refused(err)
	}
	e.mu.Lock()
	e.studies, e.watched = make(map[dedup.UID][]string), make(map[string]bool)
	e.mu.Unlock()
	e.notifier, e.pumped = n, make(chan struct{})
	go e.pump(n, e.pumped)
	for i, dir := range append([]string{"."}, dedup.StudyRoots()...) {
		if err := e.add(dir); err != nil && (i == 0 || !errors.Is(err, fs.ErrNotExist)) {
			e.close()
			return refused(err)
		}
	}
	return nil
}

// add watches a folder: before it is listed, so that what comes later is heard of.
func (e *ears) add(dir string) error {
	e.mu.Lock()
	had := e.watched[dir]
	e.watched[dir] = true
	e.mu.Unlock()
	if had {
		return nil
	}
	err := e.notifier.Add(filepath.Join(e.dir, dir))
	if err != nil {
		e.mu.Lock()
		delete(e.watched, dir)
		e.mu.Unlock()
	}
	return err
}

// watch watches a folder of a study. One that has vanished is no error.
func (e *ears) watch(uid dedup.UID, dir string) error {
	if e.notifier.notifier == nil {
		return nil
	}
	err := e.add(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return refused(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !slices.Contains(e.studies[uid], dir) {
		e.studies[uid] = append(e.studies[uid], dir)
	}
	return nil
}

// cool watches the folders of a study no more.
func (e *ears) cool(uid dedup.UID) {
	e.mu.Lock()
	dirs := e.studies[uid]
	delete(e.studies, uid)
	for _, dir := range dirs {
		delete(e.watched, dir)
	}
	e.mu.Unlock()
	for _, dir := range dirs {
		_ = e.notifier.Remove(filepath.Join(e.dir, dir)) // the kernel may have taken it away with the folder
	}
}

// count is how many folders are watched.
func (e *ears) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.watched)
}

// close ends notifications and waits for what reads them.
func (e *ears) close() {
	if e.notifier.notifier == nil {
		return
	}
	_ = e.notifier.Close() // nothing is lost that the next rescan does not find
	<-e.pumped
	e.notifier = opened{}
	e.mu.Lock()
	e.studies, e.watched = nil, nil
	e.mu.Unlock()
}

// take is what was heard since the last time.
func (e *ears) take() marks {
	e.mu.Lock()
	defer e.mu.Unlock()
	heard := e.heard
	e.heard = marks{}
	return heard
}

// pump reads a notifier to its end.
func (e *ears) pump(n opened, done chan<- struct{}) {
	defer close(done)
	for n.events != nil || n.errors != nil {
		select {
		case event, ok := <-n.events:
			if !ok {
				n.events = nil
			} else if e.hear(event) {
				e.rouse()
			}
		case err, ok := <-n.errors:
			if !ok {
				n.errors = nil
			} else if err != nil {
				e.lose()
			}
		}
	}
}

func (e *ears) rouse() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// lose takes in that notifications were lost, or cannot be read: no matter why, something may have been missed.
func (e *ears) lose() {
	e.mu.Lock()
	e.heard.overflows++
	e.mu.Unlock()
	e.rouse()
}

// hear takes in an event, and reports whether it is of interest. Times and rights that change are not, nor are files of other writers that will
// have another name when they are done.
func (e *ears) hear(event fsnotify.Event) bool {
	name, err := filepath.Rel(e.dir, event.Name)
	if err != nil || event.Op&^fsnotify.Chmod == 0 || dedup.Temporary(path.Base(name)) {
		return false
	}
	moved := event.Has(fsnotify.Create | fsnotify.Remove | fsnotify.Rename)
	e.mu.Lock()
	defer e.mu.Unlock()
	switch depth := strings.Count(name, "/"); {
	case name == "." || depth == 0:
		return e.hearRoot(name, moved)
	case depth <= 2 && len(path.Base(name)) == 3 && moved:
		e.heard.levels = true
		e.heard.folders = e.heard.folders || !event.Has(fsnotify.Create)
	}
	for _, uid := range dedup.StudiesAt(name) {
		if e.heard.studies == nil {
			e.heard.studies = make(map[dedup.UID]bool)
		}
		e.heard.studies[uid] = e.heard.studies[uid] || moved && e.watched[name]
	}
	return true
}

// hearRoot takes in that something happened to a folder that holds studies, or to what marks the tree.
func (e *ears) hearRoot(name string, moved bool) bool {
	if !moved || name != "." && name != marker && !slices.Contains(dedup.StudyRoots(), name) {
		return false
	}
	e.heard.folders = true
	return true
}
