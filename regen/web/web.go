// Package web serves the current tree to DICOMweb clients (PS3.18), at the cost of static files.
//
// A [Handler] reads the files that package regen has written. Besides them it has the rows that searches find (package search), which whoever publishes keeps, and, for Part 10 files, the
// archive; both may be left out. It writes nothing: what is posted goes to a door that it is given (package dedup/ingest/stow). It
// is mounted by whoever has the HTTP port, below a prefix of its choice that is taken off before:
//
//	mux.Handle("/dicomweb/", http.StripPrefix("/dicomweb", web.New(web.Config{Current: current})))
//
// What it promises:
//
//   - A path is built of parsed UIDs, hashes and numbers, never of a client's text, and the file system below follows no link.
//   - A study that no round has finished has no status (regen.Status) and is not there. One that is held and not published answers 503, and says why.
//   - An answer that is one file is that file, whole. One that is joined of several is of one generation: metadata is held to the digests of one status,
//     frames to a status that is the same before and after and replaces none of them; while a round changes the study the client is asked to come again.
//   - What turns out to be damaged on its way ends the connection, so that nobody takes a part for the whole.
//   - Every answer that is a file has an ETag that changes with its bytes, so clients keep what they have.
//
// One file is one concern: routes are here, what is asked for in target.go, studies and their statuses in study.go, answers that are a file in send.go, searches in query.go and instances.go
// with their rows in rows.go, metadata in join.go and unpacked.go, frames and values in frames.go, bulk.go and parts.go, Part 10 in files.go, pictures in painting.go, rendered.go, album.go and thumbnails.go, what a client accepts in
// accept.go, other origins in origin.go, slow clients in patient.go, refusals in problem.go.
package web

import (
	"context"
	"log/slog"
	"net/http"
	"path"
	"sync"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/export"
	"github.com/dicomesh/dicomesh/regen/web/search"
)

// Config says what a Handler serves.
type Config struct {
	Current durable.Reader // the root of the current tree
	// Archive makes Part 10 files; nil: they are not to be had here.
	Archive *export.Archive
	// Store takes what is posted to /studies and /studies/<UID> (STOW-RS); nil: nothing is.
	Store http.Handler
	// Origins are those whose pages may read the answers in a browser, "*" for all; none: pages of this server's own origin alone.
	Origins []string
	// Rows are the studies that searches find; whoever publishes keeps them. nil: the current tree is looked through for each search.
	Rows *search.Table
	// Published says whether a study may be shown now. nil: each one that has a status. It is asked besides that, not in place of it.
	Published func(study dedup.UID) bool
	// Held says whether a study that is not published is held back, and why, in words for an operator that name no patient. nil: none is.
	Held func(study dedup.UID) (reason string, held bool)
	// Generate makes the current files of a study that has none and is not held, when one asks for it; nil: that study is not there. An fs.ErrNotExist says that there is no such
	// study, a *regen.Incomplete that not all of it is here.
	Generate func(ctx context.Context, study dedup.UID) error
	// Used hears of each study that somebody asks for and gets; nil: nobody wants to know.
	Used func(study dedup.UID)
	// Amiss hears of a study that is published and of which the archive does not give a Part 10 file: something of it is gone, or damaged. nil: nobody wants to know.
	Amiss func(study dedup.UID)
	// RetryAfter is when a client that was told to come again should; 0 is 10 seconds.
	RetryAfter time.Duration
	Log        *slog.Logger // of what is wrong with files of the current tree; nil: nothing is logged
}

// Handler answers requests. It may be used by many goroutines.
type Handler struct {
	config   Config
	mux      *http.ServeMux
	statuses statusCache
	tags     tagCache
	unpacked unpackedCache
	books    bookCache
	zips     sync.Pool     // what compresses answers is dear to make
	painters chan struct{} // pictures that are being made
	own      *Follower     // for searches, where there are no Rows
}

// New makes a Handler and touches nothing.
func New(c Config) *Handler {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.RetryAfter == 0 {
		c.RetryAfter = 10 * time.Second
	}
	h := &Handler{config: c, mux: http.NewServeMux(), painters: make(chan struct{}, 2), own: &Follower{Current: c.Current, Table: new(search.Table)}}
	h.routes()
	return h
}

// ServeHTTP implements http.Handler. The path is that below the prefix: /studies/...
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	guard(w)
	if h.origin(w, r) {
		return
	}
	if p := r.URL.Path; path.Clean(p) != p {
		http.Error(w, "the path is not in its plain form", http.StatusBadRequest) // and not redirected: the prefix is not known here
		return
	}
	h.mux.ServeHTTP(w, r)
}

// routes are all that is answered, by the sections of PS3.18 that ask for it and by the static paths of the format. A pattern with GET answers HEAD too.
func (h *Handler) routes() {
	const study, series = "/studies/{study}", "/studies/{study}/series/{series}"
	const instance = series + "/instances/{instance}"
	for pattern, answer := range map[string]answer{
		"/studies":                            h.studies,     // 10.6
		study:                                 h.study,       // 10.4; or the study's row
		series:                                h.files,       // 10.4
		instance:                              h.files,       // 10.4
		"/series":                             h.allSeries,   // 10.6
		"/instances":                          h.instances,   // 10.6
		study + "/series":                     h.studySeries, // 10.6
		study + "/deduplicated":               h.jsonFile(target.studyFile, "deduplicated.gz"),
		study + "/metadata":                   h.studyMetadata,                              // 10.4
		study + "/instances":                  h.instances,                                  // 10.6
		study + "/bulkdata/{value...}":        h.bulkdata,                                   // 10.4
		series + "/metadata":                  h.jsonFile(target.seriesFile, "metadata.gz"), // 10.4
		series + "/instances":                 h.instances,                                  // 10.6
		instance + "/metadata":                h.instanceMetadata,                           // 10.4
		instance + "/frames":                  h.frames,                                     // what metadata refers to: all of them
		instance + "/frames/{list}":           h.frames,                                     // 10.4
		instance + "/pixeldata":               h.pixeldata,
		instance + "/rendered":                h.rendered,                       // 10.4.1.1.3
		study + "/rendered":                   h.album,                          // 10.4.1.1.3
		series + "/rendered":                  h.album,                          // 10.4.1.1.3
		instance + "/frames/{list}/rendered":  h.rendered,                       // 10.4.1.1.3
		study + "/thumbnail":                  h.studyThumbnail,                 // 10.4.1.1.4
		series + "/thumbnail":                 h.thumbnail(target.seriesFile),   // 10.4.1.1.4
		instance + "/thumbnail":               h.thumbnail(target.instanceFile), // 10.4.1.1.4
		instance + "/frames/{list}/thumbnail": h.frameThumbnail,                 // 10.4.1.1.4
	} {
		h.mux.Handle("GET "+pattern, h.answering(answer))
	}
	if h.config.Store != nil {
		h.mux.Handle("POST /studies", h.config.Store) // 10.5
		h.mux.Handle("POST "+study, h.config.Store)
	}
	h.mux.Handle("/", h.answering(func(_ http.ResponseWriter, r *http.Request, _ target) error {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			return problem{http.StatusMethodNotAllowed, "this is read with GET and HEAD; instances are posted to studies, or studies/<UID>, where this site takes any"}
		}
		return problem{http.StatusNotFound, "nothing is here: answers begin at studies, as in studies?limit=10 or studies/<UID>/series"}
	}))
}

// answer answers a request whose UIDs are well formed and whose study is published. An error is told to the client, if nothing was sent yet.
type answer func(w http.ResponseWriter, r *http.Request, t target) error
