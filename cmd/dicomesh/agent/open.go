package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/audit"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/events"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/agent/mesh"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/agent/tend"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/config"
	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/dedup/ingest"
	"github.com/dicomesh/dicomesh/dedup/ingest/inbox"
	"github.com/dicomesh/dicomesh/dedup/ingest/stow"
	"github.com/dicomesh/dicomesh/dedup/verify"
	"github.com/dicomesh/dicomesh/gossip/reach"
	"github.com/dicomesh/dicomesh/gossip/roster"
	"github.com/dicomesh/dicomesh/regen"
	"github.com/dicomesh/dicomesh/regen/web"
	"github.com/dicomesh/dicomesh/settle"
	"github.com/dicomesh/dicomesh/syncer"
	"github.com/dicomesh/dicomesh/watch"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// site is one site's parts. Those that hold something open are closed by close, in the opposite order.
type site struct {
	config  Config
	log     *slog.Logger
	started time.Time
	mark    Mark
	closers []func() error

	tree, current Folder
	reading       *reading // the tree, for those who read it
	index         *index.Index
	events        *events.Log
	audit         *audit.Log
	entries       chan audit.Entry // that wait to be written
	archive       *ingest.Archive
	atStart       int // studies in the tree when it was opened

	keeper   *index.Keeper
	library  *syncer.Library // every look goes through it
	mesh     *mesh.Mesh      // nil: the site is alone
	reach    *reach.Runner   // nil as well, like what follows
	private  *durable.OS     // the state folder
	joining  *joining
	syncer   *syncer.Syncer
	missed   unlinked
	rivals   rivals
	blames   blames
	disowned disowned
	records  *records
	aside    *provisional
	shelf    *shelf
	memory   *regen.Memory
	loop     *settle.Loop
	tender   *tend.Tender // nil: nothing is combined
	watcher  Watcher
	inbox    Inbox
	room     *room
	doors    Doors
	address  string         // of the HTTP port
	tls      *admin.KeyPair // of the HTTP port; nil: it speaks in clear

	wide, own wide // studies to look at in full; studies in which this site has just stored something

	workCtx context.Context // of the parts that work; set before working is
	working atomic.Bool
	faults  atomic.Uint64 // files of the archive that were found corrupt or gone

	ending     atomic.Bool
	stateless  atomic.Bool // the state folder is not where it was
	mu         sync.Mutex  // guards all below
	state      string      // of the cluster, as it was seen last
	stateSince time.Time
	judged     string        // what was last said of the cluster
	twins      []string      // sites that are two machines
	largeRow   []byte        // the last row that fitted no packet
	heard      roster.Roster // that was judged last for what is odd about it; the zero Roster before the first
}

// open makes a site ready to run: its folders are there and its own, its parts are built and know each other. Nothing runs yet.
func open(ctx context.Context, c Config) (*site, error) {
	s := &site{config: c, log: c.Log, started: time.Now(), entries: make(chan audit.Entry, 1024)}
	for _, step := range []func(context.Context) error{s.openState, s.openTree, s.openMesh, s.openRest, s.build, s.openDoors} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	return s, nil
}

// close lets go of what is open.
func (s *site) close() error {
	var errs []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i]())
	}
	s.closers = nil
	return errors.Join(errs...)
}

func (s *site) closing(c func() error) { s.closers = append(s.closers, c) }

// openState takes the state folder: from here on no other process runs this site.
func (s *site) openState(ctx context.Context) error {
	x, err := index.Open(ctx, s.config.Paths.State)
	if errors.Is(err, durable.ErrLocked) {
		return refuse("see how it is: dicomesh status; or name another folder with --data DIR", "an agent runs on %s already", s.config.Paths.State)
	}
	if err != nil {
		return fmt.Errorf("open the state: %w", err)
	}
	s.index = x
	s.closing(x.Close)
	state, err := durable.OpenPrivate(s.config.Paths.State)
	if err != nil {
		return err
	}
	s.closing(state.Close)
	if s.audit, err = audit.Open(state, time.Now()); err != nil {
		return fmt.Errorf("open the audit log: %w", err)
	}
	return nil
}

// openTree decides whether tree and state belong together, and marks them where they are new.
func (s *site) openTree(ctx context.Context) error {
	state, err := durable.OpenPrivate(s.config.Paths.State)
	if err != nil {
		return err
	}
	defer state.Close()
	f, err := s.look(ctx, state)
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	p, err := named(f, s.config.Loss, freshMark(host), state)
	if err != nil {
		return err
	}
	if err := s.openFolder(&s.tree, s.config.Paths.Tree); err != nil {
		return err
	}
	s.reading = newReading(s.tree)
	if err := writeMarks(p, s.tree, state); err != nil {
		return err
	}
	s.mark = p.mark
	s.events, err = events.Open(filepath.Join(s.config.Paths.State, "events"), events.Config{Site: s.mark.Site, Log: s.log})
	if err != nil {
		return err
	}
	s.closing(s.events.Close)
	s.tell(p)
	s.shutState()
	return nil
}

// look finds what there is, without making anything.
func (s *site) look(ctx context.Context, state durable.Reader) (found, error) {
	var f found
	var err error
	if f.state, err = readMark(state, stateMark); err != nil {
		return f, err
	}
	for _, err := range s.index.Studies(ctx, 0) {
		f.known = err == nil
		break
	}
	tree, err := s.config.Machine.Folder(s.config.Paths.Tree)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return f, fmt.Errorf("open the tree: %w", err)
	}
	defer tree.Close()
	if f.tree, err = readMark(tree, treeMark); err != nil {
		return f, err
	}
	for _, root := range dedup.StudyRoots() {
		entries, err := tree.ReadDir(root)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return f, fmt.Errorf("look at the tree: %w", err)
		}
		f.archive = f.archive || len(entries) > 0
	}
	return f, nil
}

// tell says what is unusual about the start.
func (s *site) tell(p plan) {
	if p.said != "" {
		s.events.Add(events.Adopted, "", p.said)
		s.log.Warn(p.said, "site", s.mark.Site)
	}
	if err := s.index.SetAside; err != nil {
		s.events.Add(events.Index, "", "the index could not be used and is made again: "+err.Error())
		s.log.Warn("the index could not be used and is made again", "error", err)
	}
}

// openFolder opens a folder that others may read, making it.
func (s *site) openFolder(into *Folder, path string) error {
	if err := s.config.Machine.Make(path); err != nil {
		return err
	}
	fsys, err := s.config.Machine.Folder(path)
	if err != nil {
		return err
	}
	*into = fsys
	s.closing(fsys.Close)
	return nil
}

// openRest opens the other folders, and the door into the archive.
func (s *site) openRest(context.Context) error {
	if err := s.openFolder(&s.current, s.config.Paths.Current); err != nil {
		return err
	}
	if err := markCurrent(s.current, s.mark); err != nil {
		s.log.Warn("the current tree could not be marked as the site's", "error", err) // a disk that is full is no reason not to serve
	}
	// Here already, so that whoever waited for the agent finds a folder to put files into.
	if err := errors.Join(os.MkdirAll(s.config.Paths.Inbox, 0o755), os.MkdirAll(s.config.Paths.Quarantine, 0o700)); err != nil {
		return err
	}
	s.room = newRoom(s.config.Disk, []string{s.config.Paths.Tree, s.config.Paths.Current, s.config.Paths.State}, s.roomChanged)
	s.room.measure = s.config.Machine.Room
	// Before ingest sweeps what processes that died had staged.
	if err := durable.Salvage(s.tree, stagingFolder, savedFolder); err != nil {
		return fmt.Errorf("save what was being received: %w", err)
	}
	var err error
	if s.archive, err = ingest.Open(floored{FS: s.tree, refusal: s.room.refusal}); err != nil {
		return fmt.Errorf("open the archive: %w", err)
	}
	s.closing(s.archive.Close)
	studies, err := regen.New(regen.Config{Archive: s.tree}).Studies()
	s.atStart = len(studies)
	return err
}

// keeperCache is what parsed lists and instance files of the studies that had news last may take: those of a few thousand instances.
const keeperCache = 64 << 20

// writerQuiet is for how long nothing must have changed a list before it is read to see whether it is complete. Its end tells, so reading too early costs one read,
// and all sites wait for it.
const writerQuiet = 300 * time.Millisecond

// build makes the parts that run, and joins them.
func (s *site) build(ctx context.Context) error {
	c := s.config
	s.memory = new(regen.Memory)
	if err := s.openAside(ctx); err != nil {
		return err
	}
	s.records = newRecords(s.index, s.current, s.aside, s.log)
	s.shelf = newShelf(c.Current, siteShelf{s}, s.log)
	s.keeper = index.NewKeeper(index.KeeperConfig{Tree: s.reading, Index: s.index, Cache: keeperCache, Check: verify.New(verify.Config{Tree: s.reading, Index: s.index, Deep: true}).File})
	if err := s.openLibrary(ctx); err != nil {
		return err
	}
	s.openTender()
	s.watcher = c.Machine.Watch(watch.Config{Dir: c.Paths.Tree, Hot: c.Watch.Hot, Cycle: time.Duration(c.Watch.Rescan),
		Patience: time.Duration(c.Watch.Patience), Quiet: writerQuiet, Log: s.log,
		Touched: s.noticed})
	s.inbox = c.Machine.Inbox(inbox.Config{Dir: c.Paths.Inbox, Quarantine: c.Paths.Quarantine, Archive: s.archive, Ingest: ingest.Config{Workers: c.Inbox.Workers},
		Quiet: time.Duration(c.Inbox.Quiet), Patience: time.Duration(c.Inbox.Patience), Report: s.taken, Log: s.log})
	var err error
	s.loop, err = settle.New(settle.Config{Site: s.mark.Site, Incarnation: s.index.Incarnation, Version: regen.Version, Look: s.holding, Generate: s.generate, Busy: s.busy, Cluster: s.cluster(),
		Records: s.records, Workers: c.Regen.Workers, Event: s.studyEvent, Log: s.log, Wall: c.Machine.Wall,
		Policy: settle.Policy{Partial: c.Settle.WhenPartial == "settle", Split: c.Settle.WhenSplit == "provisional"},
		Timing: settle.Timing{Quiet: time.Duration(c.Settle.Quiet), Longest: time.Duration(c.Settle.QuietMax), Patience: time.Duration(c.Settle.Cap)}})
	return err
}

// openDoors opens the socket and the port.
func (s *site) openDoors(ctx context.Context) error {
	c, err := s.doorsConfig(ctx)
	if err != nil {
		return err
	}
	s.doors, s.address, err = s.config.Machine.Doors(c)
	if errors.Is(err, syscall.EADDRINUSE) {
		return refuse("name another address with --http, or http.address in config.yaml; port 0 takes a free one", "%s is taken by another program", c.Address)
	}
	return err
}

// doorsConfig is what the doors are made of.
func (s *site) doorsConfig(ctx context.Context) (c admin.Config, err error) {
	http := s.config.HTTP
	entry := admin.Access{Required: http.Access == config.Required, Operators: http.TLS.Operators}
	if http.TLS.Certificate != "" {
		if entry.TLS, err = admin.OpenKeyPair(http.TLS.Certificate, http.TLS.Key, http.TLS.Clients); err != nil {
			return c, err
		}
		s.tls = entry.TLS
	}
	state, err := durable.OpenPrivate(s.config.Paths.State)
	if err != nil {
		return c, err
	}
	s.closing(state.Close)
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return admin.Config{State: s.config.Paths.State, Address: http.Address, Access: entry, Tokens: state, Hosts: http.Hosts, StudyNames: http.StudyNames, NameKey: s.nameKey(),
		Source: s, Empty: s.inbox.Empty, Diff: s.diff, Everywhere: s.happenedEverywhere, AckDown: s.ackDown, Remove: s.remove, Events: s.events, DICOMweb: s.viewers(ctx), Metrics: metrics, Log: s.log}, nil
}

// nameKey is what studies' short names are made with: the key that founded the cluster, so that a study has one name at all its sites.
func (s *site) nameKey() []byte {
	if s.mesh == nil {
		return []byte(s.mark.ID)
	}
	_, root := s.mesh.Roster().Cluster()
	return root[:]
}

// page is where people look at the site.
func (s *site) page() string {
	if s.config.HTTP.TLS.Certificate != "" {
		return "https://" + s.address + "/"
	}
	return "http://" + s.address + "/"
}

// held says whether a study that has no files for readers is held back, and why. What was published, and has lost its files or was cleaned, may be made again while the gate is open.
func (s *site) held(ctx context.Context, study dedup.UID) (reason string, held bool) {
	v, err := s.loop.Allow(ctx, study)
	if err != nil || v.State == "" {
		return "", false
	}
	if v.Generate && (v.Published || v.State == settle.Settled || v.State == settle.Published || v.State == settle.Conflict) {
		return "", false
	}
	return string(v.State) + ": " + v.Reason, true
}

// patience is how long a reader waits for files that are made again before he is asked to come again himself.
const patience = 5 * time.Second

// again has the files of a study made that was published and has none any more: they were removed to make room, or by somebody. The loop makes them, so the gate holds; fs.ErrNotExist for a study that never was published.
func (s *site) again(ctx context.Context, study dedup.UID) error {
	row, found, err := s.index.Study(ctx, study)
	if err != nil {
		return err
	}
	if !found || s.records.read(row).Published == (dedup.Digest{}) {
		return fs.ErrNotExist
	}
	if err := regen.Wanted(s.current, study); err != nil {
		return err
	}
	s.loop.Touch(study)
	ctx, done := context.WithTimeout(ctx, patience)
	defer done()
	for tick := time.NewTicker(patience / 100); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return web.ErrChanging
		case <-tick.C:
		}
		if _, err := s.current.Lstat(regen.StatusPath(study)); err == nil && s.records.shown(study) {
			tick.Stop()
			return nil
		}
	}
}

// receivingFolder is where instances are received that are posted, without names.
const receivingFolder = ".dicomesh/receiving"

// posted is the door of STOW-RS.
func (s *site) posted() http.Handler {
	return stow.New(stow.Config{Archive: s.archive, Spool: filepath.Join(s.config.Paths.Tree, receivingFolder), Refusal: s.room.refusal, Report: s.taken, Log: s.log})
}
