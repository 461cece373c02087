package stow

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/ingest"
	"github.com/dicomesh/dicomesh/dedup/mediatype"
)

// Config says where instances go.
type Config struct {
	Archive *ingest.Archive
	Spool   string              // a folder of the machine in which what is being received has room. It is made when it is needed; nothing in it has a name for longer than a moment
	Refusal func() error        // why nothing may be taken now, asked again and again; nil: there is nothing against it
	Report  func(ingest.Result) // what became of each instance, when that is final; nil: nobody wants to know
	Bounds  ingest.Config       // of a batch: Files and Bytes; zero: ingest.Defaults
	Senders int                 // requests whose instances are taken apart and kept in a batch at the same time; others wait, while they are received. 0 is 4
	Log     *slog.Logger        // nil: nothing is logged
}

// Door takes what clients post. It may be used by many goroutines.
type Door struct {
	config  Config
	turns   chan struct{}
	waiting atomic.Int32 // requests that want a turn
}

// New makes a Door and touches nothing.
func New(c Config) *Door {
	d := ingest.Defaults()
	if c.Bounds.Files <= 0 {
		c.Bounds.Files = d.Files
	}
	if c.Bounds.Bytes <= 0 {
		c.Bounds.Bytes = d.Bytes
	}
	if c.Senders <= 0 {
		c.Senders = 4
	}
	if c.Report == nil {
		c.Report = func(ingest.Result) {}
	}
	if c.Refusal == nil {
		c.Refusal = func() error { return nil }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Door{config: c, turns: make(chan struct{}, c.Senders)}
}

// problem is a request that is refused as a whole: nothing that is not answered otherwise is stored.
type problem struct {
	code int
	text string
}

func (p problem) Error() string { return p.text }

// ServeHTTP implements http.Handler. The path is that below the prefix of the service: /studies, or /studies/<UID> when all instances have to be of one study (10.5.1.1).
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, err := d.store(r)
	var p problem
	switch {
	case errors.As(err, &p):
	case durable.IsFull(err):
		p = problem{http.StatusInsufficientStorage, "there is no room for new instances: nothing of this is stored, send it again later"}
	case errors.Is(err, syscall.EROFS):
		p = problem{http.StatusInsufficientStorage, "the file system of the archive can only be read: nothing of this is stored, send it again later"}
	case err != nil:
		d.config.Log.Warn("a request could not be stored", "error", err)
		p = problem{http.StatusInternalServerError, "the archive cannot store anything now: see the log of this site"}
	default:
		a.send(w)
		return
	}
	if p.code == http.StatusUnsupportedMediaType {
		w.Header().Set("Accept-Post", `multipart/related; type="application/dicom"`)
	}
	w.Header().Set("Connection", "close") // there may be much more of the body, which nobody wants
	http.Error(w, p.text, p.code)
}

// store takes a request in.
func (d *Door) store(r *http.Request) (*answers, error) {
	study, err := studyOf(r.URL.Path)
	if err != nil {
		return nil, err
	}
	if !takesJSON(r) {
		return nil, problem{http.StatusNotAcceptable, "the answer is application/dicom+json"}
	}
	t := &taking{door: d, ctx: r.Context(), study: study, answers: &answers{study: study}}
	next, err := partsOf(r, sending{r.Body, t})
	if err != nil {
		return nil, err
	}
	if err := d.config.Refusal(); err != nil {
		return nil, err
	}
	if err := t.all(next); err != nil {
		return nil, err
	}
	return t.answers, nil
}

// studyOf is the study that a path names, zero if it names none.
func studyOf(path string) (dedup.UID, error) {
	if path == "/studies" {
		return dedup.UID{}, nil
	}
	text, ok := strings.CutPrefix(path, "/studies/")
	uid, err := dedup.ParseUID(text)
	if !ok || err != nil || uid.String() != text {
		return dedup.UID{}, problem{http.StatusBadRequest, "instances are posted to studies, or to studies/<UID>: digits and dots, at most 64"}
	}
	return uid, nil
}

// takesJSON reports whether a client reads the answer. It is asked before anything is stored.
func takesJSON(r *http.Request) bool {
	given := strings.Join(r.Header.Values("Accept"), ",")
	if strings.TrimSpace(given) == "" {
		return true
	}
	for part := range strings.SplitSeq(given, ",") {
		kind, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(part)), ";")
		switch strings.TrimSpace(kind) {
		case "application/dicom+json", "application/json", "application/*", "*/*":
			return true
		}
	}
	return false
}

// part is one instance on its way.
type part struct {
	io.Reader
	length string // as its head says it; "" if it does not
	fault  string // why it is none, before it is read
}

// partsOf are the instances of a body: the parts of one that is multipart/related (8.6.1.2), or the one that it is. The function ends with io.EOF.
func partsOf(r *http.Request, sent io.Reader) (func() (*part, error), error) {
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, problem{http.StatusUnsupportedMediaType, "the body is encoded: instances are posted as they are"} // RFC 9110 section 15.5.16
	}
	body, err := mediatype.Parse(r.Header.Get("Content-Type"))
	wrong := problem{http.StatusUnsupportedMediaType, `instances are posted as multipart/related; type="application/dicom"; boundary=..., or one as application/dicom`}
	switch {
	case err != nil:
		return nil, wrong
	case body.Name == dicomType:
		return single(sent), nil
	case body.Name != "multipart/related" || body.Params["type"] != "" && body.Part().Name != dicomType:
		return nil, wrong
	case body.Params["boundary"] == "" || len(body.Params["boundary"]) > maxBoundary:
		return nil, problem{http.StatusBadRequest, "the Content-Type names no boundary, or one that is too long"}
	}
	return several(sent, body.Params["boundary"]), nil
}

const dicomType = "application/dicom"

// maxBoundary is more than the 70 characters of RFC 2046 section 5.1.1: Orthanc's DICOMweb plugin sends 73.
const maxBoundary = 200

// single is a body that is one instance.
func single(body io.Reader) func() (*part, error) {
	done := false
	return func() (*part, error) {
		if done {
			return nil, io.EOF
		}
		done = true
		return &part{Reader: body}, nil
	}
}
