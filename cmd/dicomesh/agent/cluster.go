package agent

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"slices"
	"syscall"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/agent/mesh"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/config"
	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/index"
	"github.com/dicomesh/dicomesh/dedup/ingest"
	"github.com/dicomesh/dicomesh/gossip/identity"
	"github.com/dicomesh/dicomesh/gossip/reach"
	"github.com/dicomesh/dicomesh/gossip/roster"
	"github.com/dicomesh/dicomesh/regen"
	"github.com/dicomesh/dicomesh/settle"
	"github.com/dicomesh/dicomesh/syncer"
	"github.com/dicomesh/dicomesh/syncer/link"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// The streams of a link that are the syncer's. Control rides on connection 0, where there is only room for small things.
const (
	kindQuery  = link.Data
	kindFetch  = link.Data + 1
	kindEcho   = link.Data + 2
	kindEvents = link.Data + 3
)

// Where what is being received lies: staged beside what is ingested, because one commit runs in a tree at a time, and saved from a process that died.
const (
	stagingFolder = ".dicomesh/tmp"
	savedFolder   = ".dicomesh/saved"
)

// openMesh reads who this site is among others. A site that was never set up is alone, and opens no port.
func (s *site) openMesh(context.Context) error {
	state, err := durable.OpenPrivate(s.config.Paths.State)
	if err != nil {
		return err
	}
	s.closing(state.Close)
	s.private, s.joining = state, openJoining(state, s.index.Incarnation)
	serve := func(use syncer.Use) func(context.Context, *link.Stream) {
		return func(ctx context.Context, stream *link.Stream) {
			if err := s.syncer.Serve(ctx, stream.Site(), use, stream); err != nil {
				stream.Abort() // that it went wrong is to be seen at the other end, which may have more to say
				s.log.Debug("a stream ended", "site", stream.Site(), "error", err)
			}
		}
	}
	s.mesh, err = mesh.Open(mesh.Config{State: state, Version: s.config.Version, Listen: s.listen, Log: s.log, Linked: s.linked, Rival: s.rival, Changed: s.rosterChanged,
		LinkTiming: link.Timing{Beat: s.beat()}, Topics: s.topics(), Packet: s.packet, Pace: newPacer(s.config.Links.Limit),
		Streams: map[link.Kind]link.Service{
			link.Control: {Serve: serve(syncer.Control), Limit: 4},
			link.Ask:     {Serve: serve(syncer.Query), Limit: 8},
			kindQuery:    {Serve: serve(syncer.Query), Limit: 32},
			kindFetch:    {Serve: serve(syncer.Fetch), Limit: 96},
			kindEcho:     {Serve: s.answerEcho, Limit: 16},
			kindEvents:   {Serve: s.answerEvents, Limit: 4},
		}})
	if errors.Is(err, identity.ErrNone) {
		s.mesh = nil
		return nil
	}
	if err != nil {
		return fmt.Errorf("read who this site is: %w", err)
	}
	return s.openReach()
}

// listen opens the UDP port: where the site was set up to listen, unless the configuration or a flag says otherwise.
func (s *site) listen(address string) (net.PacketConn, error) {
	if address == "" || s.config.Listen != config.Defaults().Listen {
		address = s.config.Listen
	}
	port, err := s.config.Machine.Port(address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, refuse("stop that program, or name another address with --listen, or listen in config.yaml; other sites have to know it",
			"UDP %s is taken by another program", address)
	}
	return port, err
}

// digestKey keys the cluster's digest trees. It is no secret among its sites, and another one in each cluster.
func (s *site) digestKey() [32]byte {
	if s.mesh == nil {
		return sha256.Sum256([]byte("dicomesh digest tree of " + s.mark.ID))
	}
	name, root := s.mesh.Roster().Cluster()
	return sha256.Sum256(append([]byte("dicomesh digest tree of "+name+"\x00"), root[:]...))
}

// openLibrary makes the site's archive known to itself and to others.
func (s *site) openLibrary(ctx context.Context) (err error) {
	s.library, err = syncer.OpenLibrary(ctx, syncer.LibraryConfig{Tree: s.reading, Index: s.index, Keeper: s.keeper, Key: s.digestKey(), Looked: s.looked, Amiss: s.amiss})
	if err != nil || s.mesh == nil {
		return err
	}
	fsys := floored{FS: s.tree, refusal: s.room.refusal}
	staging, err := durable.OpenStaging(fsys, stagingFolder)
	if err != nil {
		return fmt.Errorf("open the staging of what is received: %w", err)
	}
	s.closing(staging.Close)
	s.syncer = syncer.New(syncer.Config{Self: s.mark.Site, Generator: regen.Version, Open: s.openStream, Catalog: s.library, Archive: touching{s.library, s},
		Tree: fsys, Staging: staging, Saved: savedFolder, Taken: ingest.Taken(fsys), Event: s.syncEvent, Log: s.log,
		Heard: func(uid dedup.UID) { s.loop.Touch(uid) }, Revised: func(uid dedup.UID) { s.loop.Reported(uid) }, Standing: func(site string) { s.loop.SiteChanged(site) },
		Arrange: func(study dedup.UID, ref dedup.Ref) error { return ingest.Arrange(fsys, study, ref) }})
	return nil
}

// openStream opens a stream of the syncer's. Questions to a site without a link go by way of another one.
func (s *site) openStream(ctx context.Context, to string, use syncer.Use) (syncer.Stream, error) {
	kind := map[syncer.Use]link.Kind{syncer.Control: link.Control, syncer.Query: kindQuery, syncer.Fetch: kindFetch}[use]
	if use == syncer.Query && !s.mesh.Linked(to) {
		kind = link.Ask
	}
	return s.mesh.Open(ctx, to, kind)
}

// tellBeyond tells the syncer which sites without a link can be reached by way of a neighbour, and notes which have none and what they miss.
func (s *site) tellBeyond(ctx context.Context) error {
	return regularly(ctx, func() error {
		beyond, known := s.mesh.Beyond(), s.syncer.Status().Sites
		for _, x := range s.mesh.Sites() {
			if x.Self {
				continue
			}
			s.syncer.Beyond(ctx, x.Row.Name, slices.Contains(beyond, x.Row.Name))
			switch {
			case !s.hears(x) && !x.Link.Heard.IsZero():
				s.missed.gone(x.Row.Name, x.Link.Heard)
			case known[x.Row.Name].Compared:
				s.missed.back(x.Row.Name)
			}
		}
		return nil
	})
}

// hears reports whether there is a link with a site, and something came over it lately.
func (s *site) hears(x mesh.Site) bool {
	return x.Link.Up && time.Since(x.Link.Heard) <= reach.Silence(s.beat())
}

// partSilent closes links that are judged to go one way only. The connections would find out much later, and who does not hear the other end last of all: meanwhile pulls would wait for it.
func (s *site) partSilent(ctx context.Context) error {
	return regularly(ctx, func() error {
		s.mesh.Part(s.reach.Current().Links, reach.Silence(s.beat()))
		return nil
	})
}

// touching is the archive of which settle hears when something was received.
type touching struct {
	*syncer.Library
	site *site
}

// Take implements syncer.Archive.
func (t touching) Take(ctx context.Context, uid dedup.UID, a syncer.Arrival) error {
	t.site.own.add(uid)
	err := t.Library.Take(ctx, uid, a)
	t.site.loop.Touch(uid)
	t.site.watcher.Heat(uid)
	return err
}

// looked hears of every study whose state has changed here.
func (s *site) looked(_ index.Holding, state wire.StudyState) {
	if s.mesh == nil || !s.working.Load() {
		return
	}
	s.syncer.Local(s.workCtx, state)
	s.missed.changed(state.UID, time.Now())
	x := s.library.Summary()
	s.mesh.Tell([32]byte(x.Root), x.Count, x.Change)
}

// linked hears what happens to links.
func (s *site) linked(e link.Event) {
	s.linkEvent(e)
	if e.Kind == link.Up || e.Kind == link.Down {
		s.syncer.Link(s.workCtx, e.Site, e.Kind == link.Up)
	}
}

// rosterChanged hears of each new roster.
func (s *site) rosterChanged(r roster.Roster) {
	s.hearRoster(r)
	s.reach.SetRoster(r)
	s.loop.GateChanged()
}

// runCluster runs what only a site among others has.
func (s *site) runCluster(ctx context.Context, work *group) {
	s.workCtx = ctx
	s.working.Store(true)
	if s.mesh == nil {
		return
	}
	work.run("syncer", s.syncer.Run)
	work.run("mesh", s.mesh.Run)
	work.run("reach", s.reach.Run)
	work.run("return", s.comeBack)
	work.run("disk room for others", s.tellRoom)
	work.run("sites beyond neighbours", s.tellBeyond)
	work.run("silent links", s.partSilent)
}

// tellRoom tells the syncer, and through it all sites, whether there is room, and whether the tree is there.
func (s *site) tellRoom(ctx context.Context) error {
	var was syncer.Room
	return regularly(ctx, func() error {
		is := syncer.Room{Low: s.room.now.Load().State != admin.DiskOK || s.room.away.Load() != nil, Away: s.absent() != ""}
		if is != was {
			s.library.Room(is)
			s.syncer.Room(ctx, is)
			s.loop.GateChanged()
			was = is
		}
		return nil
	})
}

// cluster is what settle knows of the others.
func (s *site) cluster() settle.Cluster {
	if s.mesh == nil {
		return settle.Alone()
	}
	return settle.Cluster{Gate: s.gate, Others: s.others, Echo: s.echo}
}
