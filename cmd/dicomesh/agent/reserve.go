package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/dicomesh/dicomesh/dedup/durable"
)

// A site needs a little room to start: it counts its starts, and SQLite its readers. On a disk that others have filled to the last byte it would not start, and while it is down the
// cluster is split for all. So a file in the state keeps some room, which a start may have; it is made again when there is room again.
const (
	reserveFile = "reserve"
	reserved    = 4 << 20
	// least is what is free on a disk on which a start may have failed for want of room.
	least = 1 << 20
	// ample is how many times as much as is reserved has to be free before it is.
	ample = 16
)

// openWithin is open on a disk that may be full: then with the room that is reserved.
func openWithin(ctx context.Context, c Config) (*site, error) {
	s, err := open(ctx, c)
	if err == nil || errors.Is(err, ErrRefused) || !crowded(c) {
		return s, err
	}
	if given := giveReserve(c.Paths.State); given != nil {
		c.Log.Debug("no room is reserved", "error", given)
	} else if s, err = open(ctx, c); err == nil {
		c.Log.Warn("the disk is full: the site has started with the room that was reserved for that", "state", c.Paths.State)
		return s, nil
	}
	c.Log.Debug("the site could not start", "error", err)
	return nil, refuse("make room on that disk, some 10 MB, and start again: nothing is lost", "the disk of %s is full, and a start needs a little room", c.Paths.State)
}

// crowded reports whether the disk of the state has next to no room.
func crowded(c Config) bool {
	free, _, err := c.Machine.Room(c.Paths.State)
	return err == nil && free < least
}

// giveReserve lets the reserved room go.
func giveReserve(dir string) error {
	state, err := durable.OpenPrivate(dir)
	if err != nil {
		return err
	}
	defer state.Close()
	return errors.Join(state.Remove(reserveFile), state.SyncDir("."))
}

// reserving is how long after a start, and how often from then on, it is looked whether room is reserved: there is no hurry.
const reserving = time.Minute

// keepReserve reserves room whenever there is some, until ctx ends. It does not begin at once (regularly): a start has enough to do.
func (s *site) keepReserve(ctx context.Context) error {
	tick := time.NewTicker(reserving)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if info, err := s.private.Lstat(reserveFile); err == nil && info.Size() >= reserved || s.room.refusal() != nil {
			continue
		}
		if free, _, err := s.config.Machine.Room(s.config.Paths.State); err != nil || free < ample*reserved {
			continue
		}
		if err := takeReserve(s.private); err != nil {
			s.log.Debug("no room could be reserved, it is tried again", "error", err)
		}
	}
}

// takeReserve writes what no file system can make smaller.
func takeReserve(state durable.FS) error {
	if err := state.Remove(reserveFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := state.Create(reserveFile)
	if err != nil {
		return fmt.Errorf("reserve room: %w", err)
	}
	noise := make([]byte, reserved)
	_, _ = rand.Read(noise) // it never fails
	_, err = file.Write(noise)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(fmt.Errorf("reserve room: %w", err), state.Remove(reserveFile))
	}
	return nil
}
