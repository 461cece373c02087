package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/events"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/page"
	"github.com/dicomesh/dicomesh/dedup"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// The most that one answer holds, and that one request may wait or bring.
const (
	largestPage  = 10_000
	longestWait  = time.Hour
	largestTouch = 16 << 20
)

// routes are those that both doors have.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", page.Handler())
	mux.Handle("GET /page/", page.Handler())
	mux.HandleFunc("GET /api/v1/session", s.session)
	mux.HandleFunc("GET /api/v1/live", s.live)
	mux.Handle("/dicomweb/", http.StripPrefix("/dicomweb", s.config.DICOMweb))
	mux.HandleFunc("GET /api/v1/status", func(w http.ResponseWriter, _ *http.Request) { answer(w, s.config.Source.Status()) })
	mux.HandleFunc("GET /api/v1/sites", func(w http.ResponseWriter, _ *http.Request) { answer(w, s.config.Source.Status().Sites) })
	mux.HandleFunc("GET /api/v1/studies", func(w http.ResponseWriter, r *http.Request) { s.studies(w, r, r.URL.Query().Get("state")) })
	mux.HandleFunc("GET /api/v1/conflicts", func(w http.ResponseWriter, r *http.Request) { s.studies(w, r, "conflict") })
	mux.HandleFunc("GET /api/v1/studies/{uid}", s.study)
	mux.HandleFunc("GET /api/v1/diff", s.diff)
	mux.HandleFunc("GET /api/v1/events", s.events)
	mux.HandleFunc("GET /api/v1/events/all", s.everywhere)
	mux.HandleFunc("GET /api/v1/wait", s.wait)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.config.Metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", s.ready)
	return mux
}

// answer sends JSON.
func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(value) // the client has gone
}

// ready answers whether the site does its work: it has started, and its tree is there.
func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	status := s.config.Source.Status()
	why := status.Watch.Unreachable
	if status.Agent != Running {
		why = "the agent is " + status.Agent
	}
	if why != "" {
		http.Error(w, why, http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (s *Server) studies(w http.ResponseWriter, r *http.Request, state string) {
	ask := r.URL.Query()
	after, limit, err := numbers(ask, 1000)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	q := Query{State: state, After: after, Limit: limit, Match: s.names.match(ask.Get("find"))}
	if text := ask.Get("before"); text != "" {
		if q.Before, err = strconv.ParseUint(text, 10, 64); err != nil || q.Before == 0 {
			http.Error(w, "before: "+strconv.Quote(text)+" is not a number above 0", http.StatusBadRequest)
			return
		}
	}
	rows, err := s.config.Source.Studies(r.Context(), q)
	if err != nil {
		s.failed(w, err)
		return
	}
	for i := range rows {
		rows[i].Name = s.names.of(rows[i].Study)
	}
	if rows == nil {
		rows = []Row{}
	}
	answer(w, rows)
}

// numbers are after and limit of a question for a part of a list.
func numbers(ask url.Values, limit int) (after uint64, n int, err error) {
	if text := ask.Get("after"); text != "" {
		if after, err = strconv.ParseUint(text, 10, 64); err != nil {
			return 0, 0, fmt.Errorf("after: %q is not a number", text)
		}
	}
	n = limit
	if text := ask.Get("limit"); text != "" {
		if n, err = strconv.Atoi(text); err != nil || n < 1 {
			return 0, 0, fmt.Errorf("limit: %q is not a number above 0", text)
		}
	}
	return after, min(n, largestPage), nil
}

func (s *Server) study(w http.ResponseWriter, r *http.Request) {
	uid, err := dedup.ParseUID(r.PathValue("uid"))
	if err != nil {
		http.Error(w, "this is no UID: it has digits and dots, at most 64 of them", http.StatusBadRequest)
		return
	}
	study, err := s.config.Source.Study(r.Context(), uid)
	if err != nil {
		s.failed(w, err)
		return
	}
	study.Name = s.names.of(study.Study)
	answer(w, study)
}

// failed answers an error of the Source. What the agent itself does not understand goes into its log, and not to whoever asks.
func (s *Server) failed(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, ErrUnknown):
		http.Error(w, "nothing is known of it", http.StatusNotFound)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		http.Error(w, "the agent is ending", http.StatusServiceUnavailable)
	default:
		s.config.Log.Error("a question could not be answered", "error", err)
		http.Error(w, "the agent could not find out; its log says why", http.StatusInternalServerError)
	}
}

// touch hears of studies in which a command has written something.
func (s *Server) touch(w http.ResponseWriter, r *http.Request) {
	var names []string
	if err := json.NewDecoder(io.LimitReader(r.Body, largestTouch)).Decode(&names); err != nil {
		http.Error(w, "a list of study UIDs is wanted", http.StatusBadRequest)
		return
	}
	uids := make([]dedup.UID, 0, len(names))
	for _, name := range names {
		uid, err := dedup.ParseUID(name)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		uids = append(uids, uid)
	}
	s.config.Source.Touch(uids)
	w.WriteHeader(http.StatusNoContent)
}

// events answers the last events, those after a number, or all from now on.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	ask := r.URL.Query()
	after, limit, err := numbers(ask, 100)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	list := s.config.Events.Last(limit)
	if ask.Has("after") {
		list = s.config.Events.After(after, limit)
	}
	if ask.Get("follow") != "true" {
		answer(w, s.happened(list))
		return
	}
	s.follow(w, r, list, after)
}

// everywhere answers the last events of all sites.
func (s *Server) everywhere(w http.ResponseWriter, r *http.Request) {
	_, limit, err := numbers(r.URL.Query(), 100)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer(w, s.config.Everywhere(r.Context(), limit))
}

// pulse is how often somebody who follows gets a sign of life.
const pulse = 15 * time.Second

// follow sends events as lines, for ever. An empty line says that the agent lives.
func (s *Server) follow(w http.ResponseWriter, r *http.Request, list []events.Event, after uint64) {
	w.Header().Set("Content-Type", "application/jsonl")
	w.Header().Set("Cache-Control", "no-store")
	lines, control := json.NewEncoder(w), http.NewResponseController(w)
	for {
		for _, e := range list {
			if lines.Encode(e) != nil {
				return
			}
			after = e.Seq
		}
		if len(list) == 0 {
			if _, err := io.WriteString(w, "\n"); err != nil {
				return
			}
		}
		if control.Flush() != nil {
			return
		}
		patience, cancel := context.WithTimeout(r.Context(), pulse)
		var err error
		list, err = s.config.Events.Next(patience, after, math.MaxInt)
		cancel()
		if err != nil && r.Context().Err() != nil {
			return
		}
	}
}

func (s *Server) diff(w http.ResponseWriter, r *http.Request) {
	_, limit, err := numbers(r.URL.Query(), 100)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	d, err := s.config.Diff(r.Context(), r.URL.Query().Get("site"), limit)
	if err != nil {
		s.failed(w, err)
		return
	}
	for i := range d.Studies {
		d.Studies[i].Name = s.names.of(d.Studies[i].Study)
	}
	answer(w, d)
}

// ackDown takes an operator's word that a site is down.
func (s *Server) ackDown(w http.ResponseWriter, r *http.Request) {
	var until time.Time
	if text := r.URL.Query().Get("until"); text != "" {
		var err error
		if until, err = time.Parse(time.RFC3339, text); err != nil {
			http.Error(w, "until: "+strconv.Quote(text)+" is not a time (RFC 3339)", http.StatusBadRequest)
			return
		}
	}
	o, err := order(r)
	if err == nil {
		o.Until = until
		err = s.config.AckDown(r.Context(), o)
	}
	s.operated(w, err)
}

func (s *Server) remove(w http.ResponseWriter, r *http.Request) {
	o, err := order(r)
	if err == nil {
		err = s.config.Remove(r.Context(), o)
	}
	s.operated(w, err)
}

// order reads an order. A recovery key is the body, so that it is in no address and no log.
func order(r *http.Request) (Order, error) {
	key, err := io.ReadAll(io.LimitReader(r.Body, 1<<10))
	return Order{Site: r.URL.Query().Get("site"), Recovery: string(key)}, err
}

// operated answers what became of an operator's word. The reason is for him.
func (s *Server) operated(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, ErrUnknown):
		s.failed(w, err)
	case err != nil:
		http.Error(w, err.Error(), http.StatusConflict)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}
