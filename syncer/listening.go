package syncer

import (
	"cmp"
	"context"
	"io"
	"time"

	"github.com/dicomesh/dicomesh/syncer/wire"
)

// listen takes what a site says on its control stream, a message when the one before has been worked off: who says more than can be is made to wait, and takes neither
// memory here nor the place of others.
func (s *Syncer) listen(ctx context.Context, site string, t *talk) error {
	g := s.guards.of(site)
	incarnation := ""
	for {
		// A control stream is silent while nothing changes: the link itself tells when the other end is gone.
		_ = t.SetDeadline(time.Time{}) // a stream that is over says so when it is read
		m, err := wire.Read(t.in, wire.MaxFrame)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		of := cmp.Or(incarnationOf(m), incarnation)
		if incarnation != "" && of != incarnation {
			return fault("another index on one control stream")
		}
		incarnation = of
		began := time.Now()
		if err := s.heard(ctx, site, m); err != nil {
			return err
		}
		cost := time.Since(began)
		if err := s.passed(ctx); err != nil {
			return err
		}
		if g.hold(ctx, cost) {
			s.config.Event(Event{Kind: Blamed, Site: site, Reason: "it says more than any site has to say, and is made to wait"})
		}
	}
}

// incarnationOf is whose index a message tells of; "" if it tells of none.
func incarnationOf(m wire.Message) string {
	switch m := m.(type) {
	case *wire.Hello:
		return m.Summary.Incarnation
	case *wire.Changed:
		return m.Summary.Incarnation
	}
	return ""
}

// passed returns when the loop has taken the events that were sent before.
func (s *Syncer) passed(ctx context.Context) error {
	f := fence{make(chan struct{})}
	s.send(ctx, f)
	select {
	case <-f.passed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Syncer) heard(ctx context.Context, site string, m wire.Message) error {
	switch m := m.(type) {
	case *wire.Hello:
		s.send(ctx, said{site, m.Summary})
	case *wire.Changed:
		both, err := beside(ctx, s.config.Catalog, m.Studies)
		if err != nil {
			return err
		}
		s.send(ctx, holds{site, both, true})
		s.send(ctx, said{site, m.Summary})
	case *wire.Claim:
		s.send(ctx, claimed{site, m.Studies})
	}
	return nil
}
