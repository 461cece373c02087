package web

import (
	"bytes"
	"net/http"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/regen/web/search"
)

// instances answers the search for instances of a series, a study or all (PS3.18 section 10.6). Each answer has the attributes of the levels that the URL leaves open. Of a study all rows are
// of one generation.
func (h *Handler) instances(w http.ResponseWriter, r *http.Request, t target) error {
	if t.series != (dedup.UID{}) && plain(r, search.Instance) {
		return h.jsonFile(target.seriesFile, "instances.gz")(w, r, t)
	}
	q, err := asked(r, search.Instance)
	if err != nil {
		return err
	}
	a := &instanceSearch{handler: h, request: r, query: &q, page: pager{skip: q.Offset, left: q.Limit}}
	if t.study != (dedup.UID{}) {
		return a.ofStudy(w, t)
	}
	return a.ofAll(w, h.found(r, &q))
}

// instanceSearch is one search for instances.
type instanceSearch struct {
	handler *Handler
	request *http.Request
	query   *search.Query
	page    pager

	out  *array   // rows are sent as they are found; nil: they are held, because how many there are is to be said before
	held [][]byte // rows
	size int      // of those
	read int      // bytes of JSON
	all  int      // rows that match
}

// errBroad says that instances would have to be looked for in too much (PS3.18 table 10.6.3-1).
var errBroad = problem{http.StatusRequestEntityTooLarge, "instances would have to be looked for in too many series: name the study or the series too, or something else that few studies have"}

// ofStudy answers from one study.
func (a *instanceSearch) ofStudy(w http.ResponseWriter, t target) error {
	o, err := a.handler.openStudy(a.request, &t, a.query)
	if err != nil {
		return err
	}
	defer o.close()
	if a.query.Narrows(search.Instance) {
		if err := a.rows(o, t, nil); err != nil {
			return err
		}
		return a.send(w)
	}
	total := 0
	for _, s := range o.series {
		total += s.status.Instances
	}
	if err := begin(w, a.request, a.query, rest(a.query, total)); err != nil {
		return err
	}
	tag := `"` + t.view.status.Leaves[:32] + "-" + t.view.status.Version
	if a.request.URL.RawQuery != "" {
		tag += "-" + digest(a.request.URL.RawQuery)
	}
	if gzips(a.request) {
		tag += "-z"
	}
	if fresh(w, a.request, tag+`"`) {
		return nil
	}
	a.out = a.handler.newArray(w, a.request)
	if err := a.rows(o, t, nil); err != nil {
		return a.out.failed(err)
	}
	return a.out.end()
}

// ofAll answers from all studies.
func (a *instanceSearch) ofAll(w http.ResponseWriter, all []search.Found) error {
	narrow := a.query.Narrows(search.Instance)
	if !narrow {
		total := 0
		for _, f := range all {
			total += f.Instances
		}
		if err := begin(w, a.request, a.query, rest(a.query, total)); err != nil {
			return err
		}
		a.out = a.handler.newArray(w, a.request)
	}
	for _, f := range all {
		if err := a.request.Context().Err(); err != nil {
			return a.failed(err)
		}
		if !narrow && a.page.left == 0 {
			break
		}
		if !narrow && a.page.over(f.Instances) {
			continue
		}
		if err := a.one(f); err != nil {
			return a.failed(err)
		}
	}
	if !narrow {
		return a.out.end()
	}
	return a.send(w)
}

func (a *instanceSearch) failed(err error) error {
	if a.out == nil {
		return err
	}
	return a.out.failed(err)
}

// one adds the rows of one of all studies.
func (a *instanceSearch) one(f search.Found) error {
	t := target{study: f.Study}
	o, err := a.handler.openStudy(a.request, &t, a.query)
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
	return a.rows(o, t, study)
}

// rows adds the instances of an open study. study is its answer, if the search is one of all studies.
func (a *instanceSearch) rows(o opened, t target, study dedup.Object) error {
	narrow := a.query.Narrows(search.Instance)
	for _, s := range o.series {
		if !narrow && (a.page.left == 0 || a.page.over(s.status.Instances)) {
			continue
		}
		text, err := unzip(s.file)
		if err != nil {
			return err
		}
		if a.read += len(text); narrow && a.read > maxRead {
			return errBroad
		}
		found, err := dedup.ParseList(text)
		if err != nil {
			return err
		}
		for _, i := range found {
			if !a.query.Match(search.Instance, i) {
				continue
			}
			a.all++
			if !a.page.next() {
				continue
			}
			if err := a.row(placed(i, t, s, study)); err != nil {
				return err
			}
		}
	}
	return nil
}

// placed is an instance's answer as the URL of the search wants it.
func placed(i dedup.Object, t target, s openSeries, study dedup.Object) []byte {
	switch {
	case study != nil:
		return moved(joined(i, s.answer, study), t.study, s.uid)
	case t.series == dedup.UID{}:
		text := joined(i, s.answer).AppendJSON(nil)
		text = bytes.ReplaceAll(text, []byte(`"BulkDataURI":"../../bulkdata/`), []byte(`"BulkDataURI":"bulkdata/`))
		return bytes.ReplaceAll(text, []byte(`"00081190":{"Value":["instances/`), []byte(`"00081190":{"Value":["series/`+s.uid.String()+`/instances/`))
	}
	return i.AppendJSON(nil)
}

// row sends or holds a row. When too much is held the page ends there.
func (a *instanceSearch) row(text []byte) error {
	if a.out != nil {
		return a.out.object(text)
	}
	a.held = append(a.held, text)
	if a.size += len(text); a.size > maxHeld {
		a.page.left = 0
	}
	return nil
}

// send sends what was held.
func (a *instanceSearch) send(w http.ResponseWriter) error {
	if err := begin(w, a.request, a.query, max(0, a.all-a.query.Offset-len(a.held))); err != nil {
		return err
	}
	a.out = a.handler.newArray(w, a.request)
	for _, text := range a.held {
		if err := a.out.object(text); err != nil {
			return a.out.failed(err)
		}
	}
	return a.out.end()
}
