package web

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/export"
	"github.com/dicomesh/dicomesh/dedup/part10"
)

const dicomType = "application/dicom"

// files answers with Part 10 files (PS3.18 section 10.4.1.1.1): those that came in, byte for byte, in their own transfer syntaxes. They are made one after the other as they are sent.
func (h *Handler) files(w http.ResponseWriter, r *http.Request, t target) error {
	if h.config.Archive == nil {
		return problem{http.StatusNotAcceptable, "the archive is not at hand here: metadata, frames and bulkdata are"}
	}
	s, err := h.exported(&t)
	if err != nil {
		return err
	}
	if err = h.give(w, r, t, s); err != nil && h.config.Amiss != nil && !errors.As(err, new(problem)) && !left(err) {
		h.config.Amiss(t.study)
	}
	return err
}

// give answers with files of a study.
func (h *Handler) give(w http.ResponseWriter, r *http.Request, t target, s *export.Study) error {
	list, err := t.chosen(s)
	if err != nil {
		return err
	}
	syntaxes := make([]string, len(list))
	for n, i := range list {
		if syntaxes[n], err = s.Syntax(i); err != nil {
			return err
		}
	}
	multipart, ok := negotiateFiles(r, syntaxes)
	if !ok {
		return problem{http.StatusNotAcceptable, "files are sent as they came, several only as multipart/related; type=\"application/dicom\": ask for transfer-syntax=* or for that of each of them, as " + syntaxes[0]}
	}
	w.Header().Add("Vary", "Accept")
	w.Header().Set("Cache-Control", forNow)
	tag := t.view.status.Leaves[:32] + "-d"
	if !multipart {
		return h.sendOne(w, r, s, list[0], sentAs{tag, fileType(syntaxes[0])})
	}
	tag += "m"
	if fresh(w, r, `"`+tag+`"`) {
		return nil
	}
	return h.sendAll(w, r, s, exportList{t, list, syntaxes, tag})
}

// fileType is the media type of a file. One that came without File Meta Information does not say its transfer syntax.
func fileType(syntax string) string {
	if syntax == "" {
		return dicomType
	}
	return dicomType + "; transfer-syntax=" + syntax
}

// chosen are the instances that a path names.
func (t target) chosen(s *export.Study) ([]dedup.SOPInstance, error) {
	if t.instance != (dedup.UID{}) {
		i, err := s.Instance(t.instance)
		if err == nil && i.Series != t.series {
			err = problem{http.StatusNotFound, t.nothing()}
		}
		return []dedup.SOPInstance{i}, err
	}
	all := slices.DeleteFunc(s.Instances(), func(i dedup.SOPInstance) bool {
		return i.Series == (dedup.UID{}) || t.series != (dedup.UID{}) && i.Series != t.series
	})
	if len(all) == 0 {
		return nil, problem{http.StatusNotFound, t.nothing()}
	}
	slices.SortStableFunc(all, func(a, b dedup.SOPInstance) int { return a.Series.Compare(b.Series) })
	return all, nil
}

// exported is the study as its current files have it: what is in the archive may be newer, and not to be shown yet.
func (h *Handler) exported(t *target) (*export.Study, error) {
	for range attempts {
		if s := h.books.get(t.study, t.view.file); s != nil {
			return s, nil
		}
		s, err := h.readExported(*t)
		if err == nil {
			if t.view.status.Instances <= maxBook {
				h.books.put(t.study, t.view.file, s)
			}
			return s, nil
		}
		if !errors.Is(err, changing) {
			return nil, err
		}
		if t.view, err = h.view(t.study); err != nil {
			return nil, err
		}
	}
	return nil, changing
}

func (h *Handler) readExported(t target) (*export.Study, error) {
	objects, err := h.objectsOf(t.study, t.view.status, "deduplicated.gz")
	if err != nil {
		return nil, h.mixed(t, err)
	}
	s, err := h.config.Archive.Of(t.study, objects)
	if err != nil {
		return nil, err
	}
	if len(s.Instances()) == t.view.status.Instances+t.view.status.Placeless {
		return s, nil
	}
	// What a list removes without naming it needs the list. The archive has it, if it is what was published.
	if s, err = h.config.Archive.Open(t.study); err == nil && s.Leaf.String() != t.view.status.Leaves {
		err = changing
	}
	return s, err
}

// negotiateFiles chooses between parts and one bare file. Who names a transfer syntax gets files of that alone; who names none, or *, gets each as it came.
func negotiateFiles(r *http.Request, syntaxes []string) (multipart, ok bool) {
	takes := func(m mediaRange) fit {
		how := m.fits(dicomType)
		want, given := m.Params["transfer-syntax"]
		if given && want != "*" && slices.ContainsFunc(syntaxes, func(s string) bool { return s != want }) {
			return none
		}
		if how == named && given {
			how = exact
		}
		return how
	}
	form := choose(r, 2, func(form int, m mediaRange) fit {
		switch {
		case form == inParts:
			return m.parts(takes)
		case len(syntaxes) > 1:
			return none
		}
		return takes(m)
	})
	return form == inParts, form >= 0
}

// wantsFiles reports whether a client likes Part 10 files better than the study's answer to a query, which is what the URL of a study is for those who do not say.
func wantsFiles(r *http.Request) bool {
	const files = 1
	return choose(r, 2, func(form int, m mediaRange) fit {
		switch {
		case form != files:
			return max(m.fits("application/dicom+json"), m.fits("application/json"))
		case m.Multipart() && m.Name != "*/*":
			return named
		}
		return m.fits(dicomType)
	}) == files
}

// study answers the URL of a study: with its files, or with its answer to a query, the format's studies.gz.
func (h *Handler) study(w http.ResponseWriter, r *http.Request, t target) error {
	if wantsFiles(r) {
		return h.files(w, r, t)
	}
	return h.jsonFile(target.studyFile, "studies.gz")(w, r, t)
}

// exportList is what sendAll sends.
type exportList struct {
	t        target
	list     []dedup.SOPInstance
	syntaxes []string
	tag      string
}

// location is an instance's URL relative to that of the request.
func (e exportList) location(i dedup.SOPInstance) string {
	path := i.SOP.String()
	if e.t.instance == (dedup.UID{}) {
		path = i.Series.String() + "/instances/" + path
	}
	if e.t.series == (dedup.UID{}) {
		path = e.t.study.String() + "/series/" + path
	}
	return path
}

// sendAll sends files as parts. Their lengths are known one by one.
func (h *Handler) sendAll(w http.ResponseWriter, r *http.Request, s *export.Study, e exportList) error {
	boundary := boundaryOf(e.tag)
	w.Header().Set("Content-Type", relatedType(dicomType, boundary))
	if r.Method == http.MethodHead {
		return nil
	}
	for n, i := range e.list {
		f, err := h.rebuilt(s, i)
		if err != nil && n == 0 {
			return err // nothing was sent
		}
		if err == nil && r.Context().Err() != nil {
			err = r.Context().Err()
		}
		if err == nil {
			p := part{mediaType: fileType(e.syntaxes[n]), location: e.location(i), size: f.Size()}
			_, err = io.WriteString(w, p.head(boundary, n == 0))
		}
		if err == nil {
			_, err = f.WriteTo(w)
		}
		if err != nil {
			return sentError{err}
		}
	}
	if _, err := io.WriteString(w, "\r\n--"+boundary+"--\r\n"); err != nil {
		return sentError{err}
	}
	return nil
}

// rebuilt readies a file. One whose residue is lost goes out all the same, equal by attribute.
func (h *Handler) rebuilt(s *export.Study, i dedup.SOPInstance) (*part10.Rebuilt, error) {
	f, err := s.File(i)
	if errors.Is(err, part10.ErrNotExact) && f != nil {
		h.config.Log.Warn("a file goes out without its residue: equal by attribute, not by byte", "error", err)
		return f, nil
	}
	if err != nil {
		return nil, fmt.Errorf("rebuild: %w", err)
	}
	return f, nil
}

// sentAs is what is said of a body.
type sentAs struct{ tag, mediaType string }

// sendOne sends one file bare, or a range of it. Its last bytes are held back until all of it is known to be what came in.
func (h *Handler) sendOne(w http.ResponseWriter, r *http.Request, s *export.Study, i dedup.SOPInstance, as sentAs) error {
	tag := `"` + as.tag + `"`
	if fresh(w, r, tag) {
		return nil
	}
	f, err := h.rebuilt(s, i)
	if err != nil {
		return err
	}
	size := f.Size()
	from, to := int64(0), size
	code := http.StatusOK
	if size >= 0 {
		from, to, code = oneRange(r, tag, size)
	}
	if code == http.StatusRequestedRangeNotSatisfiable {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", size))
		return problem{code, "the file is not that long"}
	}
	w.Header().Set("Content-Type", as.mediaType)
	if size >= 0 {
		w.Header().Set("Accept-Ranges", "bytes")
		w.Header().Set("Content-Length", strconv.FormatInt(to-from, 10))
	}
	if code == http.StatusPartialContent {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to-1, size))
	}
	w.WriteHeader(code)
	if r.Method == http.MethodHead {
		return nil
	}
	c := &cut{w: w, skip: from, left: to - from}
	if size < 0 {
		c.left = 1 << 62
	}
	_, err = f.WriteTo(c)
	if err == nil || errors.Is(err, errCut) {
		err = c.flush()
	}
	if err != nil {
		return sentError{err}
	}
	return nil
}

// cut lets a range through, and holds back what came last.
type cut struct {
	w          io.Writer
	skip, left int64
	last       []byte
}

// errCut says that all of the range was written.
var errCut = errors.New("the rest is not wanted")

// Write implements io.Writer.
func (c *cut) Write(b []byte) (int, error) {
	all := len(b)
	n := min(c.skip, int64(len(b)))
	c.skip, b = c.skip-n, b[n:]
	if len(b) == 0 {
		return all, nil
	}
	if err := c.flush(); err != nil {
		return 0, err
	}
	over := int64(len(b)) > c.left
	b = b[:min(c.left, int64(len(b)))]
	c.left -= int64(len(b))
	c.last = append(c.last[:0], b...)
	if over {
		return 0, errCut
	}
	return all, nil
}

func (c *cut) flush() error {
	_, err := c.w.Write(c.last)
	c.last = c.last[:0]
	return err
}

// oneRange reads a Range of one stretch, which is what clients that go on with a download send, and says with which code it is answered. Others, and what is no Range, may be left out of account
// (RFC 9110 section 14.2), and the whole is sent. HEAD has no ranges.
func oneRange(r *http.Request, tag string, size int64) (from, to int64, code int) {
	text, is := strings.CutPrefix(r.Header.Get("Range"), "bytes=")
	condition := r.Header.Get("If-Range")
	first, last, dash := strings.Cut(strings.TrimSpace(text), "-")
	if !is || !dash || r.Method == http.MethodHead || condition != "" && condition != tag || strings.Trim(first+last, "0123456789") != "" || first+last == "" {
		return 0, size, http.StatusOK
	}
	from, to = 0, size
	if n := number(last); first == "" {
		from = max(0, size-n)
	} else if from = number(first); last != "" {
		if n < from {
			return 0, size, http.StatusOK // that is no Range
		}
		to = min(size, n+1)
	}
	if from >= to {
		return 0, size, http.StatusRequestedRangeNotSatisfiable
	}
	return from, to, http.StatusPartialContent
}

// number reads digits; more of them than a number has are a large one.
func number(digits string) int64 {
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return math.MaxInt64 - 1
	}
	return n
}

// bookCache remembers the studies of which files were asked for last: a client that takes a study instance by instance asks for one a thousand times.
type bookCache struct {
	mu    sync.Mutex
	books []book // the newest last
}

// book is a study, ready to be exported, as a status has it.
type book struct {
	study dedup.UID
	file  identity
	open  *export.Study
}

// What is remembered: so many studies, of at most so many instances, some ten kilobytes each.
const (
	maxBooks = 4
	maxBook  = 2000
)

func (c *bookCache) get(study dedup.UID, id identity) *export.Study {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := slices.IndexFunc(c.books, func(b book) bool { return b.study == study && b.file == id && id != (identity{}) })
	if n < 0 {
		return nil
	}
	b := c.books[n]
	c.books = append(slices.Delete(c.books, n, n+1), b)
	return b.open
}

func (c *bookCache) put(study dedup.UID, id identity, s *export.Study) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.books = append(slices.DeleteFunc(c.books, func(b book) bool { return b.study == study }), book{study, id, s})
	if len(c.books) > maxBooks {
		c.books = slices.Delete(c.books, 0, 1)
	}
}
