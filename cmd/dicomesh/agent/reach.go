package agent

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/audit"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/events"
	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/gossip"
	"github.com/dicomesh/dicomesh/gossip/reach"
	"github.com/dicomesh/dicomesh/settle"
	"github.com/dicomesh/dicomesh/syncer"
	"github.com/dicomesh/dicomesh/syncer/link"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// beat is how often links are measured.
func (s *site) beat() time.Duration {
	if s.config.Links.Profile == "lan" {
		return reach.LAN
	}
	return reach.WAN
}

// reachTopic is the rows' name in gossip.
const reachTopic = "reach"

// topics are what gossip carries for others than itself.
func (s *site) topics() map[string]gossip.Topic {
	return map[string]gossip.Topic{reachTopic: {State: func() []byte { return s.reach.State() }, Merge: func(message []byte) bool { return s.reach.Merge(message) }}}
}

// openReach makes what judges the cluster.
func (s *site) openReach() (err error) {
	s.hearRoster(s.mesh.Roster())
	s.reach, err = reach.New(reach.Config{Self: s.mesh.Self(s.beat()), Roster: s.mesh.Roster(), Links: s.beats, Send: s.sendRow,
		Level: s.caughtUp, Changed: s.wholenessChanged, Ask: s.ask, Incarnation: func() string { return s.index.Incarnation }, Log: s.log, Wall: s.config.Machine.Wall})
	return err
}

// sendRow sends a row to a site, as a packet of its own: what waits in the queue of gossip is old when it comes. One that fits no packet, in a cluster of more than some 30
// sites, goes to all at once, so it is sent once. What is lost comes again.
func (s *site) sendRow(to string, row []byte) {
	if len(row) <= link.MaxPacket {
		_ = s.mesh.Send(to, link.Control, row)
		return
	}
	s.mu.Lock()
	again := bytes.Equal(row, s.largeRow)
	s.largeRow = row
	s.mu.Unlock()
	if !again {
		s.mesh.Spread(reachTopic, row)
	}
}

// packet takes the packets of the links that are not gossip's: rows.
func (s *site) packet(_ string, kind link.Kind, packet []byte, _ time.Time) {
	if kind == link.Control {
		s.reach.Merge(packet)
	}
}

// beats are what the links tell.
func (s *site) beats() []reach.Heard {
	var all []reach.Heard
	for _, x := range s.mesh.Sites() {
		if !x.Self {
			all = append(all, reach.Heard{Site: x.Row.Name, Heard: x.Link.Heard, Echoed: x.Link.Echoed})
		}
	}
	return all
}

// caughtUp is what this site says of itself in its row: see joining.
func (s *site) caughtUp() bool {
	own, err := s.mesh.Roster().Site(s.mark.Site)
	return s.joining.level(err == nil && own.Counts(s.config.Machine.Wall()), s.level)
}

// level reports whether this site lacks nothing that the others have, as far as it knows: with each site that is waited for, and that it owes a link, it has compared all, and
// nothing that any offers is missing. Without those links it knows nothing.
func (s *site) level() bool {
	known := s.syncer.Status().Sites
	for _, x := range s.mesh.Sites() {
		other := known[x.Row.Name]
		switch {
		case x.Self || !x.Row.Counts(s.config.Machine.Wall()):
		case x.Owed && !other.Up:
			return false
		case other.Up && (other.Said == nil || !other.Compared || other.Behind > other.Lacking):
			return false
		}
	}
	return true
}

// wholenessChanged hears of each change of the judgement.
func (s *site) wholenessChanged(w reach.Wholeness) {
	s.mu.Lock()
	was := s.judged
	s.judged = string(w.State) + ": " + w.Cause
	news := was != s.judged
	s.mu.Unlock()
	if news {
		reason := w.Reason
		if reason != "" {
			reason = ": " + reason
		}
		s.events.Add(events.Cluster, "", "the cluster is "+string(w.State)+reason)
	}
	s.sayTwins(w)
	s.loop.GateChanged()
	s.loop.SiteChanged("") // one that begins or ends to join changes nothing of the gate
}

// comeBack keeps whether this site has caught up, and ends its acknowledgement as down, when it is there again and level.
func (s *site) comeBack(ctx context.Context) error {
	over := overdue{}
	over.look(s.mesh.Roster().Sites(), s.config.Machine.Wall()) // said by an earlier run
	return regularly(ctx, func() error {
		s.sayOverdue(over)
		if err := s.joining.keep(s.private, s.index.Incarnation); err != nil {
			s.log.Warn("it is tried again", "error", err)
		}
		for _, x := range s.reach.Current().Sites {
			if x.Name != s.mark.Site || !x.Back {
				continue
			}
			if err := s.mesh.AckDown(x.Name, time.Time{}, ""); err != nil {
				s.log.Warn("this site is level again, and could not say so", "error", err)
				continue
			}
			s.record(audit.Returned, s.mark.Site, "level with the others again")
			s.events.Add(events.Operator, "", "this site is level with the others again, and counts")
		}
		return nil
	})
}

// gate says whether the cluster is whole. The reason is the one without times: it stays as it is until something happens.
func (s *site) gate() settle.Gate {
	w := s.reach.Current()
	return settle.Gate{State: settle.Wholeness(w.State), Reason: w.Cause, Epoch: w.Epoch.String(), Sites: w.Others, Without: w.Without}
}

// others are what the other active sites say of a study.
func (s *site) others(uid dedup.UID) []settle.SiteReport {
	w := s.reach.Current()
	mine, err := s.library.State(s.workCtx, uid)
	joining := map[string]bool{}
	for _, x := range w.Sites {
		joining[x.Name] = x.Joining
	}
	var all []settle.SiteReport
	for _, name := range w.Others {
		x := settle.SiteReport{Site: name, Lacking: -1}
		if r, known := s.syncer.Report(name, mine); known && err == nil {
			x = reported(name, r, mine)
		}
		x.Joining = joining[name]
		all = append(all, x)
	}
	return all
}

// reported is what a site is known to hold of a study, beside what is held here. Files of class other are a part of the study: who holds others than this site is not level, though the leaves are
// the same.
func reported(name string, r syncer.Report, mine wire.StudyState) settle.SiteReport {
	complete := r.State.Flags&wire.Complete != 0 // a site says so of what is durable alone
	x := settle.SiteReport{Site: name, Leaf: r.State.Leaf, Complete: complete, Durable: complete, Full: r.Low && !r.Away, Away: r.Away, Number: r.State.Change, Incarnation: r.Incarnation}
	if r.State.Others != mine.Others {
		x.Leaf = dedup.Digest{}
	}
	if r.Offers {
		x.Lacking = 1
	}
	return x
}

// echo asks all other active sites for an answer that is newer than the question.
func (s *site) echo(ctx context.Context) (settle.Proof, error) {
	if reason := s.absent(); reason != "" {
		return settle.Proof{}, fmt.Errorf("the archive of this site is not there: %s", reason)
	}
	p, err := s.reach.Echo(ctx)
	if err != nil {
		return settle.Proof{}, err
	}
	out := settle.Proof{Nonce: p.Nonce.String(), Epoch: p.Epoch.String(), Incarnations: make(map[string]string, len(p.Answers))}
	for _, a := range p.Answers {
		out.Sites = append(out.Sites, a.Site)
		out.Incarnations[a.Site] = a.Incarnation
	}
	return out, nil
}

// mostEcho is the largest question or answer of an echo.
const mostEcho = 4 << 10

// ask sends a question of an echo to a site and returns the answer.
func (s *site) ask(ctx context.Context, site string, question []byte) ([]byte, error) {
	stream, err := s.mesh.Open(ctx, site, kindEcho)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	stop := context.AfterFunc(ctx, func() { _ = stream.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := writePiece(stream, question); err != nil {
		return nil, err
	}
	return readPiece(stream)
}

// answerEcho answers one.
func (s *site) answerEcho(ctx context.Context, stream *link.Stream) {
	_ = stream.SetDeadline(time.Now().Add(30 * time.Second)) // a stream that is over says so when it is read
	question, err := readPiece(stream)
	if err == nil {
		question, err = s.reach.Answer(ctx, stream.Site(), question)
	}
	if err == nil {
		err = writePiece(stream, question)
	}
	if err != nil {
		s.log.Debug("an echo was not answered", "site", stream.Site(), "error", err)
	}
}

// writePiece and readPiece frame a question or an answer: two bytes of length, then the bytes.
func writePiece(w io.Writer, b []byte) error {
	if len(b) > mostEcho {
		return fmt.Errorf("a piece of %d bytes", len(b))
	}
	_, err := w.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
	return err
}

func readPiece(r io.Reader) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint16(head[:])
	if n > mostEcho {
		return nil, fmt.Errorf("a piece of %d bytes", n)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}
