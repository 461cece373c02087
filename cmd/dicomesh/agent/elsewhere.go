package agent

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/events"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/agent/mesh"
	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/syncer/link"
)

// What sites tell each other of what happened at them: the question is how many of the last events, two bytes; the answer is a list of them in JSON, and ends with the stream.
const (
	mostEvents   = 1000
	mostOfEvents = 1 << 20 // bytes of an answer
	eventsWait   = 5 * time.Second
)

// happenedEverywhere are the last events of all sites of the cluster, by time, and the sites that could not be asked.
func (s *site) happenedEverywhere(ctx context.Context, most int) admin.Everywhere {
	out := admin.Everywhere{Events: s.events.Last(most), Silent: []admin.Silent{}}
	if s.mesh == nil {
		return out
	}
	ctx, done := context.WithTimeout(ctx, eventsWait)
	defer done()
	var all sync.WaitGroup
	var mu sync.Mutex // guards out
	for _, x := range s.mesh.Sites() {
		if x.Self {
			continue
		}
		all.Go(func() {
			found, err := s.happenedAt(ctx, x, most)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				out.Silent = append(out.Silent, admin.Silent{Site: x.Row.Name, Reason: err.Error()})
			}
			out.Events = append(out.Events, found...)
		})
	}
	all.Wait()
	slices.SortStableFunc(out.Events, func(a, b events.Event) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Site, b.Site), cmp.Compare(a.Seq, b.Seq))
	})
	slices.SortFunc(out.Silent, func(a, b admin.Silent) int { return cmp.Compare(a.Site, b.Site) })
	out.Events = out.Events[max(0, len(out.Events)-most):]
	return out
}

// happenedAt asks another site.
func (s *site) happenedAt(ctx context.Context, x mesh.Site, most int) ([]events.Event, error) {
	if !s.hears(x) {
		return nil, errors.New("no link")
	}
	stream, err := s.mesh.Open(ctx, x.Row.Name, kindEvents)
	if err != nil {
		return nil, errors.New("no link")
	}
	defer stream.Close()
	stop := context.AfterFunc(ctx, func() { _ = stream.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := stream.Write(binary.BigEndian.AppendUint16(nil, uint16(min(most, mostEvents)))); err != nil {
		return nil, errors.New("the link broke")
	}
	text, err := io.ReadAll(io.LimitReader(stream, mostOfEvents+1))
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, fmt.Errorf("it did not answer within %v", eventsWait)
	case err != nil:
		return nil, errors.New("it did not answer: its release may be older")
	}
	return readEvents(text, x.Row.Name)
}

// readEvents reads another site's answer. It speaks for itself alone, and of studies by their UIDs; what it says goes to a terminal, so control characters are left out.
func readEvents(text []byte, from string) ([]events.Event, error) {
	var list []events.Event
	if err := json.Unmarshal(text, &list); err != nil || len(text) > mostOfEvents || len(list) > mostEvents {
		return nil, errors.New("its answer cannot be understood")
	}
	for i := range list {
		e := &list[i]
		if _, err := dedup.ParseUID(e.Study); err != nil {
			e.Study = ""
		}
		e.Site, e.Kind, e.Reason = from, events.Kind(plain(string(e.Kind))), plain(e.Reason)
	}
	return list, nil
}

// plain is a text without what a terminal obeys.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
}

// answerEvents answers another site.
func (s *site) answerEvents(_ context.Context, stream *link.Stream) {
	_ = stream.SetDeadline(time.Now().Add(30 * time.Second)) // as for an echo
	var most [2]byte
	_, err := io.ReadFull(stream, most[:])
	if err == nil {
		_, err = stream.Write(writeEvents(s.events.Last(min(int(binary.BigEndian.Uint16(most[:])), mostEvents))))
	}
	if err != nil {
		s.log.Debug("a question for events was not answered", "site", stream.Site(), "error", err)
	}
}

// writeEvents is an answer: as many of the last ones as it may hold.
func writeEvents(list []events.Event) []byte {
	for {
		text, err := json.Marshal(list)
		if err != nil {
			panic(fmt.Sprint("agent: ", err)) // strings, a number and a time always have a JSON form
		}
		if len(text) <= mostOfEvents {
			return text
		}
		list = list[(len(list)+1)/2:]
	}
}
