package web

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/regen"
)

// problem is a refusal: a status code, and a sentence for whoever reads it. The sentence quotes nothing that the client sent.
type problem struct {
	code int
	text string
}

func (p problem) Error() string { return p.text }

// changing says that a round changes what was asked for.
var changing = problem{http.StatusServiceUnavailable, "the study is being regenerated: come again"}

// answering is the door that every request goes through: UIDs are parsed, the study is looked at, errors are told.
func (h *Handler) answering(next answer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t, err := parseTarget(r)
		if err == nil && t.study != (dedup.UID{}) {
			t.view, err = h.find(r.Context(), t.study)
		}
		if err == nil {
			err = next(w, r, t)
		}
		if err != nil {
			h.refuse(w, r, t, err)
		}
	})
}

// refuse answers with what is wrong. After the first byte of an answer nothing can be told any more: the connection is ended.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, t target, err error) {
	var sent sentError
	var p problem
	var incomplete *regen.Incomplete
	switch {
	case errors.Is(err, context.Canceled): // the client has gone, or this site ends
		panic(http.ErrAbortHandler)
	case errors.As(err, &sent):
		level := slog.LevelWarn
		if left(sent.err) {
			level = slog.LevelDebug
		}
		h.config.Log.Log(context.WithoutCancel(r.Context()), level, "answer cut short", "error", sent.err)
		panic(http.ErrAbortHandler)
	case errors.As(err, &p):
	case errors.As(err, &incomplete):
		p = problem{http.StatusServiceUnavailable, "not all of the study is at this site yet: come again"}
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, durable.ErrNotRegular):
		p = problem{http.StatusNotFound, t.nothing()}
	default:
		h.config.Log.Error("current tree cannot be read", "error", err)
		p = problem{http.StatusInternalServerError, "the file cannot be read: see the log of this site"}
	}
	if p.code == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", h.allowed(r.URL.Path))
	}
	if p.code == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int(h.config.RetryAfter/time.Second))))
	}
	for _, name := range [...]string{"ETag", "Content-Encoding", "Content-Length", "Cache-Control"} {
		w.Header().Del(name)
	}
	http.Error(w, p.text, p.code)
}

// allowed are the methods of a resource (RFC 9110 section 10.2.1): instances are posted to all studies, or to one.
func (h *Handler) allowed(path string) string {
	if h.config.Store != nil && (path == "/studies" || strings.HasPrefix(path, "/studies/") && strings.Count(path, "/") == 2) {
		return "GET, HEAD, POST"
	}
	return "GET, HEAD"
}

// sentError is an error that came after the first byte of an answer.
type sentError struct{ err error }

func (e sentError) Error() string { return e.err.Error() }

// left reports whether a client went away, or took nothing for too long. Viewers do that with every picture that is scrolled past.
func left(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

// nothing says what of the path is there.
func (t target) nothing() string {
	switch {
	case t.series == dedup.UID{}:
		return "the study is here, this is not: it has series, metadata, instances, deduplicated and bulkdata/..."
	case !t.hasSeries():
		return "the study is here and has no such series: see its series"
	case t.instance == dedup.UID{}:
		return "the series is here, this is not: it has metadata, instances and, if it has pixels, thumbnail"
	}
	return "the series is here; it has no such instance, or the instance has no pixels or not that many frames: see the instances of the series"
}

func (t target) hasSeries() bool {
	_, ok := t.view.status.Of(t.series)
	return ok
}
