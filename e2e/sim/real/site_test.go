package real

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/agent"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/config"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
)

// site is one site: what its machine keeps, and its agent while it runs.
type site struct {
	world *world
	name  string
	dir   string // of its state folder and its inbox
	full  atomic.Bool

	trees, currents *crashfs.FS // what its disks keep
	power           *power
	tree, current   disk // the same, as this run has them

	hatch   *hatch
	doors   admin.Config
	stop    context.CancelFunc
	done    chan error
	over    <-chan struct{} // this run ends
	log     *tail
	since   time.Time // it runs; zero: it does not
	resumed time.Time // it last stood still until then
	boots   int
	ahead   atomic.Int64 // of its clock of running time, in nanoseconds
	wall    atomic.Int64 // how far its wall clock is off, likewise

	backup *backup
	judged *judged
}

// backup is all that a machine kept at some time.
type backup struct {
	dir             string // a copy of the state folder
	trees, currents *crashfs.FS
	judged          *judged
}

// tail keeps the last lines of a log.
type tail struct {
	mu    sync.Mutex
	lines []string
}

// Write implements io.Writer.
func (l *tail) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, strings.TrimSpace(string(b)))
	if len(l.lines) > 400 {
		l.lines = l.lines[200:]
	}
	return len(b), nil
}

func (l *tail) last(n int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines[max(0, len(l.lines)-n):]
}

func newSite(w *world, name string) *site {
	s := &site{world: w, name: name, dir: filepath.Join(w.dir, name), trees: crashfs.New(), currents: crashfs.New(), log: &tail{}, judged: newJudged()}
	if err := os.MkdirAll(s.state(), 0o700); err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (s *site) state() string   { return filepath.Join(s.dir, "state") }
func (s *site) address() string { return fmt.Sprintf("10.0.0.%d:8730", s.name[0]) }
func (s *site) running() bool   { return !s.since.IsZero() }

func (s *site) folder(path string) (agent.Folder, error) {
	switch filepath.Base(path) {
	case "tree":
		return s.tree, nil
	case "current":
		return s.current, nil
	}
	return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist) // provisional output, which nobody here wants
}

func (s *site) port(string) (net.PacketConn, error) { return s.world.net.Port(s.address()) }

// identity is the state folder, for what is done to it while no agent runs.
func (s *site) identity() *durable.OS {
	s.world.t.Helper()
	state, err := durable.OpenPrivate(s.state())
	if err != nil {
		s.world.t.Fatal(err)
	}
	return state
}

// config is how the site is run: as a LAN, with everything else as it comes.
func (s *site) config(opened chan<- opening) agent.Config {
	c := config.Defaults()
	c.Links.Profile = "lan"
	c.Paths = config.Paths{Tree: filepath.Join(s.dir, "tree"), Current: filepath.Join(s.dir, "current"), State: s.state(),
		Inbox: filepath.Join(s.dir, "inbox"), Quarantine: filepath.Join(s.dir, "quarantine")}
	return agent.Config{Config: c, Version: "simulated", Log: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Machine: s.machine(opened)}
}

// start runs the site.
func (s *site) start() {
	s.power = &power{blown: func() { s.world.dark(s.name) }}
	for _, fsys := range []*crashfs.FS{s.trees, s.currents} {
		fsys.Hook = s.power.hook
	}
	s.tree, s.current = disk{s.trees, s.power}, disk{s.currents, s.power}
	s.world.reconnect()
	ctx, stop := context.WithCancel(s.world.t.Context())
	s.stop, s.done, s.over, s.hatch = stop, make(chan error, 1), ctx.Done(), nil
	opened := make(chan opening, 1)
	c := s.config(opened)
	go func() { s.done <- agent.Run(ctx, c) }()
	s.since = time.Now()
	s.world.within(time.Minute, s.name+" runs", func() bool {
		select {
		case err := <-s.done:
			s.since = time.Time{}
			s.world.fail("site %s does not start: %v", s.name, err)
		case o := <-opened:
			s.hatch, s.doors = o.hatch, o.doors
		default:
		}
		return s.doors.Source != nil && s.doors.Source.Status().Agent == admin.Running
	})
}

// end ends the agent, as an operator does.
func (s *site) end() {
	s.resume()
	s.stop()
	if err := <-s.done; err != nil && !s.power.off.Load() {
		s.world.fail("site %s ended: %v", s.name, err)
	}
	s.since, s.doors = time.Time{}, admin.Config{}
}

// crash takes the power away after so many operations of its disks, or at the latest after a while; what they kept is what the draw says.
func (s *site) crash(after int64, rng *rand.Rand) {
	s.power.fuse.Store(after)
	s.world.passes(5*time.Second, func() bool { return s.power.off.Load() })
	if !s.power.off.Swap(true) {
		s.world.dark(s.name)
	}
	s.end()
	s.world.answers() // what it said before holds
	s.world.pending = slices.DeleteFunc(s.world.pending, func(d *delivery) bool { return d.site == s })
	s.trees, s.currents, s.boots = s.trees.Crash(rng), s.currents.Crash(rng), s.boots+1
	s.judged = s.judged.clone()
	for _, h := range s.judged.studies {
		clear(h.dominated) // what it saw may not have been durable
	}
	s.read()
	s.accountable()
	s.deep()
}

// suspend makes the machine stand still, as far as the world can see.
func (s *site) suspend() {
	c := make(chan struct{})
	s.power.stopped.Store(&c)
	s.world.reconnect()
}

func (s *site) suspended() bool { return s.running() && s.power.stopped.Load() != nil }

// resume lets it go on.
func (s *site) resume() {
	if c := s.power.stopped.Swap(nil); c != nil {
		s.resumed = time.Now()
		close(*c)
		s.world.reconnect()
	}
}

// save makes a backup of all that the machine keeps. The site does not run.
func (s *site) save() {
	dir, err := os.MkdirTemp(s.dir, "backup")
	if err == nil {
		err = copyState(s.state(), dir)
	}
	if err != nil {
		s.world.t.Fatal(err)
	}
	s.backup = &backup{dir: dir, trees: copyOf(s.trees), currents: copyOf(s.currents), judged: s.judged.clone()}
}

// restore puts the backup in the place of what the machine kept.
func (s *site) restore() {
	b := s.backup
	if err := errors.Join(os.RemoveAll(s.state()), os.Mkdir(s.state(), 0o700), copyState(b.dir, s.state())); err != nil {
		s.world.t.Fatal(err)
	}
	s.trees, s.currents, s.judged = copyOf(b.trees), copyOf(b.currents), b.judged.clone()
}

// copyState copies a state folder.
func copyState(from, to string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		rel, relErr := filepath.Rel(from, path)
		if err := errors.Join(err, relErr); err != nil || rel == "." {
			return err
		}
		info, err := e.Info()
		switch {
		case err != nil:
			return err
		case e.IsDir():
			return os.Mkdir(filepath.Join(to, rel), info.Mode().Perm())
		}
		text, err := os.ReadFile(path)
		return errors.Join(err, os.WriteFile(filepath.Join(to, rel), text, info.Mode().Perm()))
	})
}

// used is how many bytes a disk's files have.
func used(s *site, f *crashfs.FS) (bytes int64) {
	s.peek(func() { bytes = usedIn(f, ".") })
	return bytes
}

func usedIn(f *crashfs.FS, dir string) (bytes int64) {
	entries, err := f.ReadDir(dir)
	if err != nil {
		panic(err)
	}
	for _, e := range entries {
		name := strings.TrimPrefix(dir+"/"+e.Name(), "./")
		info, err := e.Info()
		switch {
		case e.IsDir():
			bytes += usedIn(f, name)
		case err == nil:
			bytes += info.Size()
		}
	}
	return bytes
}

// copyOf is a disk with the same files, all durable.
func copyOf(from *crashfs.FS) *crashfs.FS {
	from.Hook = nil
	to := crashfs.New()
	if err := copyFolder(from, to, "."); err != nil {
		panic(err)
	}
	return synced(to)
}

// synced is a disk on which all is durable.
func synced(f *crashfs.FS) *crashfs.FS {
	b, err := f.Barrier()
	if err == nil {
		err = errors.Join(b.SyncAll(), b.Close())
	}
	if err != nil {
		panic(err)
	}
	return f
}

func copyFolder(from, to *crashfs.FS, dir string) error {
	entries, err := from.ReadDir(dir)
	for _, e := range entries {
		name := strings.TrimPrefix(dir+"/"+e.Name(), "./")
		if e.IsDir() {
			err = errors.Join(err, to.Mkdir(name), copyFolder(from, to, name))
			continue
		}
		text, readErr := readAll(from, name)
		err = errors.Join(err, readErr, durable.WriteFile(to, name, text))
	}
	return err
}

// readAll is a file's bytes as they lie there.
func readAll(from durable.Reader, name string) ([]byte, error) {
	f, err := from.Open(name)
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	text := make([]byte, size)
	if err == nil && size > 0 {
		_, err = f.ReadAt(text, 0)
	}
	return text, errors.Join(err, f.Close())
}
