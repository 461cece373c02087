package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/events"
)

// What keeps the page current, as server-sent events:
//
//	event: status   Status, when it has changed, and every few seconds: whoever hears nothing for longer knows that he looks at the past
//	event: happened []Happened, with the last number as the id, from which a browser goes on when it was away
const (
	liveGlance = time.Second     // how often the status is looked at
	livePulse  = 4 * time.Second // and sent although it is the same
	mostLive   = 100             // pages at the same time; the others ask again and again instead
	liveEvents = 60              // events that a page begins with
)

// Happened is an event with the name by which the page calls the study.
type Happened struct {
	events.Event
	Name string `json:"name,omitempty"`
}

// live sends what the page shows, until the client goes, the agent ends, or the caller may not look any more.
func (s *Server) live(w http.ResponseWriter, r *http.Request) {
	if s.watching.Add(1) > mostLive {
		s.watching.Add(-1)
		w.Header().Set("Retry-After", "5")
		http.Error(w, "too many pages are open: this one asks again and again instead", http.StatusServiceUnavailable)
		return
	}
	defer s.watching.Add(-1)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // nginx: pass it on at once
	stream := stream{w: w, control: http.NewResponseController(w)}
	after, err := strconv.ParseUint(r.Header.Get("Last-Event-ID"), 10, 64)
	list := s.config.Events.After(after, liveEvents)
	if err != nil || len(list) == liveEvents {
		list = s.config.Events.Last(liveEvents)
	}
	for s.door.stands(callerOf(r)) {
		if n := len(list); n > 0 {
			after = list[n-1].Seq
			stream.send("happened", strconv.FormatUint(after, 10), s.happened(list))
		}
		stream.status(s.config.Source.Status())
		if stream.err != nil {
			return
		}
		patience, cancel := context.WithTimeout(r.Context(), liveGlance)
		list, _ = s.config.Events.Next(patience, after, liveEvents) // its error is the end of the glance, or of the request
		cancel()
		if r.Context().Err() != nil {
			return
		}
	}
}

// happened gives the studies of events their names.
func (s *Server) happened(list []events.Event) []Happened {
	out := make([]Happened, len(list))
	for i, e := range list {
		out[i].Event = e
		if e.Study != "" {
			out[i].Name = s.names.of(e.Study)
		}
	}
	return out
}

// stream is one page's connection. After an error it sends nothing any more.
type stream struct {
	w       io.Writer
	control *http.ResponseController
	last    []byte    // the status that was sent last
	sent    time.Time // when
	err     error
}

// status sends a status that is another one than before, or that was sent a while ago.
func (x *stream) status(status Status) {
	text, err := json.Marshal(status)
	if err != nil || bytes.Equal(text, x.last) && time.Since(x.sent) < livePulse {
		return
	}
	x.last, x.sent = text, time.Now()
	x.send("status", "", json.RawMessage(text))
}

// send writes one event at once. JSON has no line feeds, so it is one line.
func (x *stream) send(kind, id string, value any) {
	text, err := json.Marshal(value)
	if err != nil || x.err != nil {
		return
	}
	if id != "" {
		id = "id: " + id + "\n"
	}
	if _, x.err = fmt.Fprintf(x.w, "event: %s\n%sdata: %s\n\n", kind, id, text); x.err == nil {
		x.err = x.control.Flush()
	}
}
