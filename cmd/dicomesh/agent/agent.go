// Package agent runs one site: it opens the site's folders, builds the parts, joins them by function values, and runs them until it is told to stop. It is the only
// package that sees all the others, and nothing is decided here that one of them could decide.
//
//	inbox, watch --touch--> settle --look-----> index.Keeper: what is the study now?
//	                               --generate-> regen: its current files
//	                               --records--> index: what was published
//	                               --settled--> tend: instance files become a list, what lists account for goes
//	admin <--status, studies, events-- all of them
//
// A site starts only when its tree and its state belong together (Mark). It stops in order: nothing new is taken, what is being committed is finished, then the doors
// close. A process that is killed instead loses nothing: each part finds out by itself where it was.
package agent

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/events"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/config"
)

// Config is how a site is run.
type Config struct {
	config.Config        // checked, its paths absolute
	Version       string // of this program
	Loss          Loss   // what the operator gave up
	Log           *slog.Logger
	Machine       *Machine // nil: this one
}

// Run runs a site until ctx ends, and returns nil then. An ErrRefused says what the operator has to do before it can start.
func Run(ctx context.Context, c Config) error {
	if c.Machine == nil {
		c.Machine = thisMachine()
	}
	if c.Machine.Wall == nil {
		c.Machine.Wall = time.Now
	}
	for {
		s, err := openWithin(ctx, c)
		if err != nil {
			return err
		}
		err = errors.Join(s.run(ctx), s.close())
		if !errors.Is(err, errMounted) {
			return err
		}
		c.Loss = NoLoss
		c.Log.Warn("starting over on the file system that holds the tree now")
	}
}

// run runs the parts. What answers outlives what works, so that a site can be asked while it stops.
func (s *site) run(ctx context.Context) error {
	around := newGroup(context.WithoutCancel(ctx))
	around.run("doors", s.doors.Run)
	around.run("room", s.room.Run)
	around.run("audit", s.writeAudit)
	around.run("watchdog", func(ctx context.Context) error { return watchdog(ctx, s.alive) })

	work := newGroup(ctx)
	defer context.AfterFunc(work.ctx, s.stopping)()
	s.runCluster(work.ctx, work)
	work.run("settle", s.loop.Run)
	work.run("watch", s.watcher.Run)
	work.run("inbox", s.inbox.Run)
	work.run("shelf", s.shelf.Run)
	work.run("provisional output", s.aside.Run)
	s.runTender(work)
	work.run("survey", s.survey)
	work.run("mount", s.mounted)
	work.run("reserve", s.keepReserve)
	work.run("observe", s.observe)
	work.run("around", around.done)

	s.log.Info("the site runs", "site", s.mark.Site, "cluster", s.mark.Cluster, "http", s.address, "version", s.config.Version)
	s.events.Add(events.Started, "", s.config.Version)
	notify(daemon.SdNotifyReady)
	err := work.wait()
	around.stop()
	return errors.Join(err, around.wait())
}

// stopping says that the end has begun.
func (s *site) stopping() {
	s.ending.Store(true)
	notify(daemon.SdNotifyStopping)
	s.log.Info("the site stops")
	s.events.Add(events.Stopping, "", "")
}
