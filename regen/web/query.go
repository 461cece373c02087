package web

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/regen"
	"github.com/dicomesh/dicomesh/regen/web/search"
)

// What one answer to a search has at most. What is more is told (PS3.18 section 8.3.4.4.1), and can be asked for page by page.
const (
	maxAnswers = 100_000
	maxHeld    = 64 << 20  // bytes of answers that have to be held before the first is sent
	maxRead    = 256 << 20 // bytes of JSON that are read to find instances by their own attributes
)

// asked reads the query of a request.
func asked(r *http.Request, l search.Level) (search.Query, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return search.Query{}, problem{http.StatusBadRequest, "the query cannot be read"}
	}
	q, err := search.Parse(values, l)
	if refused := search.Refused(""); errors.As(err, &refused) {
		return search.Query{}, problem{http.StatusBadRequest, refused.Error()}
	}
	if q.Limit < 0 || q.Limit > maxAnswers {
		q.Limit = maxAnswers
	}
	return q, err
}

// plain reports whether a request asks for all of a resource, which is a file.
func plain(r *http.Request, l search.Level) bool {
	if r.URL.RawQuery == "" {
		return true
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return false
	}
	q, err := search.Parse(values, l)
	return err == nil && q.Plain()
}

// rows are what searches find.
func (h *Handler) rows(r *http.Request) *search.Table {
	if h.config.Rows != nil {
		return h.config.Rows
	}
	if err := h.own.Look(r.Context()); err != nil {
		h.config.Log.Warn("studies of the current tree cannot be read", "error", err)
	}
	return h.own.Table
}

// found are the published studies that a query means.
func (h *Handler) found(r *http.Request, q *search.Query) []search.Found {
	all := h.rows(r).Studies(q)
	if h.config.Published == nil {
		return all
	}
	shown := all[:0]
	for _, f := range all {
		if h.config.Published(f.Study) {
			shown = append(shown, f)
		}
	}
	return shown
}

// begin sets what answers to searches have in common, and says how many rows come behind those of this one.
func begin(w http.ResponseWriter, r *http.Request, q *search.Query, rest int) error {
	mediaType, err := jsonType(r)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", mediaType)
	w.Header().Add("Vary", "Accept, Accept-Encoding")
	w.Header().Set("Cache-Control", forNow)
	if q.Fuzzy {
		w.Header().Add("Warning", `299 dicomesh "The fuzzymatching parameter is not supported. Only literal matching has been performed."`)
	}
	if rest > 0 {
		w.Header().Add("Warning", fmt.Sprintf(`299 dicomesh "There are %d additional results that can be requested"`, rest))
	}
	return nil
}

// rest is how many of so many rows come behind a page.
func rest(q *search.Query, all int) int { return max(0, all-q.Offset-q.Limit) }

// studies answers the search for studies (PS3.18 section 10.6) from rows in memory, newest first.
func (h *Handler) studies(w http.ResponseWriter, r *http.Request, _ target) error {
	q, err := asked(r, search.Study)
	if err != nil {
		return err
	}
	page, all := h.rows(r).Page(&q, h.config.Published)
	if err := begin(w, r, &q, rest(&q, all)); err != nil {
		return err
	}
	out := h.newArray(w, r)
	for _, f := range page {
		row, err := f.Answer()
		if err == nil {
			err = out.object(row)
		}
		if err != nil {
			return out.failed(err)
		}
	}
	return out.end()
}

// allSeries answers the search for series of all studies (PS3.18 section 10.6): each has its study's attributes too.
func (h *Handler) allSeries(w http.ResponseWriter, r *http.Request, _ target) error {
	q, err := asked(r, search.Series)
	if err != nil {
		return err
	}
	all, total := h.found(r, &q), 0
	for _, f := range all {
		total += len(f.Series)
	}
	if err := begin(w, r, &q, rest(&q, total)); err != nil {
		return err
	}
	out := h.newArray(w, r)
	p := pager{skip: q.Offset, left: q.Limit}
	for _, f := range all {
		if p.left == 0 || r.Context().Err() != nil {
			break
		}
		if p.over(len(f.Series)) {
			continue
		}
		if err := h.seriesOf(r, f, &q, &p, out); err != nil {
			return out.failed(err)
		}
	}
	return out.end()
}

// pager lets a page of rows through.
type pager struct{ skip, left int }

// over reports whether so many rows stand before the page, all of them.
func (p *pager) over(n int) bool {
	if n > p.skip {
		return false
	}
	p.skip -= n
	return true
}

// next reports whether the next row is in the page.
func (p *pager) next() bool {
	if p.skip > 0 {
		p.skip--
		return false
	}
	if p.left == 0 {
		return false
	}
	p.left--
	return true
}

// seriesOf adds the series of one study to an answer about all.
func (h *Handler) seriesOf(r *http.Request, f search.Found, q *search.Query, p *pager, out *array) error {
	t := target{study: f.Study}
	o, err := h.openStudy(r, &t, q)
	if absent(err) {
		return nil // it was taken away meanwhile
	} else if err != nil {
		return err
	}
	defer o.close()
	study, err := objectOf(f)
	if err != nil {
		return err
	}
	for _, s := range o.series {
		if !p.next() {
			continue
		}
		if err := out.object(moved(joined(s.answer, study), f.Study, dedup.UID{})); err != nil {
			return err
		}
	}
	return nil
}

func objectOf(f search.Found) (dedup.Object, error) {
	text, err := f.Answer()
	if err != nil {
		return nil, err
	}
	return dedup.ParseObject(text)
}

// absent reports whether an error says that a study is not there to be shown.
func absent(err error) bool {
	var p problem
	return errors.As(err, &p) && p.code == http.StatusNotFound || errors.Is(err, fs.ErrNotExist)
}

// joined is an object with the attributes that it lacks and those above it have. Private ones say things of the object that they stand in, and stay there.
func joined(o dedup.Object, above ...dedup.Object) dedup.Object {
	for _, a := range above {
		out := make(dedup.Object, 0, len(o)+len(a))
		for len(o) > 0 || len(a) > 0 {
			switch {
			case len(a) == 0 || len(o) > 0 && o[0].Tag < a[0].Tag:
				out, o = append(out, o[0]), o[1:]
			case len(o) > 0 && o[0].Tag == a[0].Tag || a[0].Tag.Private():
				a = a[1:]
			default:
				out, a = append(out, a[0]), a[1:]
			}
		}
		o = out
	}
	return o
}

// moved is the text of an answer of a series (of whose instances, if series is one), with its references made relative to the service's URL. In canonical JSON a key in quotes stands
// nowhere but where it is one.
func moved(o dedup.Object, study, series dedup.UID) []byte {
	folder := "studies/" + study.String() + "/"
	text := o.AppendJSON(nil)
	text = bytes.ReplaceAll(text, []byte(`"BulkDataURI":"../../bulkdata/`), []byte(`"BulkDataURI":"`+folder+`bulkdata/`))
	text = bytes.ReplaceAll(text, []byte(`"BulkDataURI":"bulkdata/`), []byte(`"BulkDataURI":"`+folder+`bulkdata/`))
	text = bytes.ReplaceAll(text, []byte(`"00081190":{"Value":["series/`), []byte(`"00081190":{"Value":["`+folder+`series/`))
	return bytes.ReplaceAll(text, []byte(`"00081190":{"Value":["instances/`), []byte(`"00081190":{"Value":["`+folder+`series/`+series.String()+`/instances/`))
}

// studySeries answers the search for the series of a study (PS3.18 section 10.6).
func (h *Handler) studySeries(w http.ResponseWriter, r *http.Request, t target) error {
	if plain(r, search.Series) {
		return h.jsonFile(target.studyFile, "series.gz")(w, r, t)
	}
	q, err := asked(r, search.Series)
	if err != nil {
		return err
	}
	o, err := h.openStudy(r, &t, &q)
	if err != nil {
		return err
	}
	defer o.close()
	if err := begin(w, r, &q, rest(&q, len(o.series))); err != nil {
		return err
	}
	out := h.newArray(w, r)
	for _, s := range o.series[min(q.Offset, len(o.series)):min(q.Offset+q.Limit, len(o.series))] {
		if err := out.object(s.answer.AppendJSON(nil)); err != nil {
			return out.failed(err)
		}
	}
	return out.end()
}

// opened is a study, open at one generation.
type opened struct {
	series []openSeries
}

// openSeries is a series of it that a query means.
type openSeries struct {
	answer dedup.Object
	status regen.SeriesStatus
	uid    dedup.UID
	file   durable.File // of its instances' answers, if the query looks for instances
}

func (o *opened) close() {
	for _, s := range o.series {
		if s.file != nil {
			_ = s.file.Close() // it was only read
		}
	}
}

// openStudy opens what a query wants of a study, or of one series of it if t names one, all of one generation: t's view becomes that of it.
func (h *Handler) openStudy(r *http.Request, t *target, q *search.Query) (o opened, err error) {
	if t.view, err = h.find(r.Context(), t.study); err != nil {
		return opened{}, err
	}
	for range attempts {
		if o, err = h.openView(*t, q); !errors.Is(err, changing) {
			return o, err
		}
		if t.view, err = h.view(t.study); err != nil {
			return opened{}, err
		}
	}
	return opened{}, changing
}

func (h *Handler) openView(t target, q *search.Query) (o opened, err error) {
	if len(t.view.status.Series) > maxOpen {
		return o, problem{http.StatusForbidden, "the study has too many series for one answer: ask series by series"}
	}
	if q.Narrows(search.Study) {
		own, err := h.objectsOf(t.study, t.view.status, "studies.gz")
		if err != nil || len(own) != 1 || !q.Match(search.Study, own[0]) {
			return o, h.mixed(t, err)
		}
	}
	all, err := h.objectsOf(t.study, t.view.status, "series.gz")
	if err != nil {
		return o, h.mixed(t, err)
	}
	for _, answer := range all {
		uid, err := dedup.ParseUID(answer.Text(tagSeriesUID))
		if err != nil || t.series != (dedup.UID{}) && t.series != uid || !q.Match(search.Series, answer) {
			continue
		}
		s := openSeries{answer: answer, uid: uid}
		s.status, _ = t.view.status.Of(uid) // both are of one generation
		if q.Level == search.Instance {
			if s.file, err = h.openOf(t, s.status, "instances.gz"); err != nil {
				o.close()
				return opened{}, err
			}
		}
		o.series = append(o.series, s)
	}
	if t.series != (dedup.UID{}) && !t.hasSeries() {
		return o, problem{http.StatusNotFound, t.nothing()}
	}
	return o, nil
}

// mixed is an error of a file about a study, or that it is of another generation by now.
func (h *Handler) mixed(t target, err error) error {
	if err != nil && !errors.Is(err, changing) && !h.unchanged(t.study, t.view) {
		return changing
	}
	return err
}

const tagSeriesUID dedup.Tag = 0x0020000E
