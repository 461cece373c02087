package agent

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"strings"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/export"
	"github.com/dicomesh/dicomesh/regen/web"
)

// viewers is the DICOMweb view of what is published, and, where there is any, of provisional output.
func (s *site) viewers(ctx context.Context) http.Handler {
	published := web.Config{Current: s.current, Archive: export.New(s.reading), Store: s.posted(), Origins: s.config.HTTP.Origins, Log: s.log, Rows: &s.records.rows, Published: s.records.shown,
		Used: s.shelf.used, Amiss: s.amiss, Generate: s.again, Held: func(study dedup.UID) (string, bool) { return s.held(ctx, study) }}
	found := published
	found.Current = shownReader{s.current, s.aside}
	found.Published = func(study dedup.UID) bool { return s.aside.shown(study) || s.records.shown(study) }
	apart := web.Config{Current: asideReader{s.aside}, Archive: published.Archive, Origins: published.Origins, Amiss: s.amiss, Log: s.log}
	return &view{aside: s.aside, published: web.New(published), found: web.New(found), apart: web.New(apart)}
}

// provisionalHeader marks an answer that is, or may hold, provisional output.
const provisionalHeader = "Dicomesh-Provisional"

// view shows a study as it is published, or its provisional output while it has some. Every answer with such output is marked: clients that know nothing of the header are warned as HTTP has it.
type view struct {
	aside                   *provisional
	published, found, apart http.Handler // found is for searches of all studies
}

// ServeHTTP implements http.Handler.
func (v *view) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	segments := strings.Split(r.URL.Path, "/")
	switch study, err := dedup.ParseUID(segment(segments, 2)); {
	case r.Method != http.MethodGet && r.Method != http.MethodHead, len(segments) < 2:
		v.published.ServeHTTP(w, r)
	case segments[1] == "studies" && err == nil && v.aside.shown(study):
		mark(w, "made while sites of the cluster could not be reached: they may hold more of this study, or something else")
		v.apart.ServeHTTP(w, r)
	case r.URL.Path == "/studies", r.URL.Path == "/series", r.URL.Path == "/instances":
		if n := v.aside.count(); n > 0 {
			mark(w, fmt.Sprintf("%d of the studies at this site are shown as they are here: other sites could not be reached, and may hold more of them", n))
		}
		v.found.ServeHTTP(w, r)
	default:
		v.published.ServeHTTP(w, r)
	}
}

func segment(of []string, n int) string {
	if n < len(of) {
		return of[n]
	}
	return ""
}

// mark marks an answer as provisional, with a sentence.
func mark(w http.ResponseWriter, why string) {
	w.Header().Set(provisionalHeader, why)
	w.Header().Add("Warning", `299 dicomesh "`+why+`"`)
}

// shownReader reads of each study what viewers are shown: its provisional output while it has some, else what is published.
type shownReader struct {
	published durable.Reader
	aside     *provisional
}

// of is the tree in which a file lies: studies/<UID>/..., or the same below the tree's own folder.
func (s shownReader) of(name string) durable.Reader {
	_, below, _ := strings.Cut(name, "studies/")
	text, _, _ := strings.Cut(below, "/")
	if study, err := dedup.ParseUID(text); err == nil && s.aside.shown(study) {
		return asideReader{s.aside}
	}
	return s.published
}

// Open implements durable.Reader.
func (s shownReader) Open(name string) (durable.File, error) { return s.of(name).Open(name) }

// ReadDir implements durable.Reader.
func (s shownReader) ReadDir(name string) ([]fs.DirEntry, error) { return s.of(name).ReadDir(name) }

// Lstat implements durable.Reader.
func (s shownReader) Lstat(name string) (fs.FileInfo, error) { return s.of(name).Lstat(name) }

// asideReader reads the tree of provisional output, which may not be there yet.
type asideReader struct{ *provisional }

// Open implements durable.Reader.
func (a asideReader) Open(name string) (durable.File, error) {
	tree, err := a.folder()
	if err != nil {
		return nil, err
	}
	return tree.Open(name)
}

// ReadDir implements durable.Reader.
func (a asideReader) ReadDir(name string) ([]fs.DirEntry, error) {
	tree, err := a.folder()
	if err != nil {
		return nil, err
	}
	return tree.ReadDir(name)
}

// Lstat implements durable.Reader.
func (a asideReader) Lstat(name string) (fs.FileInfo, error) {
	tree, err := a.folder()
	if err != nil {
		return nil, err
	}
	return tree.Lstat(name)
}
