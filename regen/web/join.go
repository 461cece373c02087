package web

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/regen"
	"github.com/klauspost/compress/gzip"
)

// array is an answer of JSON that is joined of the arrays of several files, sent as it is made.
type array struct {
	w    http.ResponseWriter
	r    *http.Request
	out  *bufio.Writer
	zip  *gzip.Writer // nil when the client does not take gzip
	rows bool         // something was written
	zips *sync.Pool   // where zip goes
}

// newArray begins an answer. Headers may be set until the first row.
func (h *Handler) newArray(w http.ResponseWriter, r *http.Request) *array {
	a := &array{w: w, r: r, zips: &h.zips}
	var to io.Writer = w
	if gzips(r) {
		w.Header().Set("Content-Encoding", "gzip")
		if kept, ok := h.zips.Get().(*gzip.Writer); ok {
			kept.Reset(w)
			a.zip = kept
		} else {
			a.zip = gzip.NewWriter(w)
		}
		to = a.zip
	}
	a.out = bufio.NewWriterSize(to, 64<<10)
	return a
}

// add adds the objects of a file, which is an array.
func (a *array) add(text []byte) error {
	text = bytes.TrimSpace(text)
	if len(text) < 2 || text[0] != '[' || text[len(text)-1] != ']' {
		return dedup.ErrDamaged
	}
	if text = text[1 : len(text)-1]; len(text) == 0 {
		return nil
	}
	return a.object(text) // or several, with commas between them
}

// object adds one object.
func (a *array) object(text []byte) error {
	first := byte('[')
	if a.rows {
		first = ','
	}
	a.rows = true
	_ = a.out.WriteByte(first) // the next write tells
	_, err := a.out.Write(text)
	return err
}

// end ends the answer: without rows that is 204 (PS3.18 table 10.6.3-1).
func (a *array) end() error {
	if !a.rows {
		a.w.Header().Del("Content-Encoding")
		a.w.Header().Del("Content-Type")
		a.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	_ = a.out.WriteByte(']') // Flush tells
	err := a.out.Flush()
	if a.zip != nil {
		err = errors.Join(err, a.zip.Close())
		a.zips.Put(a.zip)
	}
	return a.failed(err)
}

// failed is an error when something may have been sent.
func (a *array) failed(err error) error {
	if err == nil || !a.rows {
		return err
	}
	return sentError{err}
}

// studyMetadata answers the metadata of all instances of a study (PS3.18 section 10.4.1.1.2).
func (h *Handler) studyMetadata(w http.ResponseWriter, r *http.Request, t target) error {
	return h.join(w, r, t, "metadata.gz", func(text []byte, series string) []byte {
		text = bytes.ReplaceAll(text, []byte(`"BulkDataURI":"../../bulkdata/`), []byte(`"BulkDataURI":"bulkdata/`))
		return bytes.ReplaceAll(text, []byte(`"BulkDataURI":"instances/`), []byte(`"BulkDataURI":"series/`+series+`/instances/`))
	})
}

// join answers with the files of that name of all series, which are of the generation that the study's status names. moved makes what they refer to relative
// to the study; in canonical JSON a key in quotes stands nowhere but where it is one.
func (h *Handler) join(w http.ResponseWriter, r *http.Request, t target, name string, moved func(text []byte, series string) []byte) error {
	mediaType, err := jsonType(r)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", mediaType)
	w.Header().Add("Vary", "Accept, Accept-Encoding")
	w.Header().Set("Cache-Control", forNow)
	files, err := h.generation(&t, name)
	if err != nil {
		return err
	}
	defer closeAll(files)
	tag := `"` + t.view.status.Leaves[:32] + "-" + t.view.status.Version
	if gzips(r) {
		tag += "-z" // another compressor's than that of stored files
	}
	if fresh(w, r, tag+`"`) {
		return nil
	}
	out := h.newArray(w, r)
	for n, f := range files {
		text, err := unzip(f)
		if err == nil {
			err = out.add(moved(text, t.view.status.Series[n].Series))
		}
		if err != nil {
			return out.failed(err)
		}
	}
	return out.end()
}

// attempts is how often files are opened again when a round has replaced some in between. A round replaces the files of a study in some hundredths of a second, so who still
// meets a mixture then meets a long round or what a crash has left.
const attempts = 5

// maxOpen bounds the files that one answer holds open.
const maxOpen = 4096

// generation opens a file of each series, all of one generation. t's view becomes that of it.
func (h *Handler) generation(t *target, name string) ([]durable.File, error) {
	for range attempts {
		if len(t.view.status.Series) > maxOpen {
			return nil, problem{http.StatusForbidden, "the study has too many series for one answer: ask series by series"}
		}
		files, err := h.openAll(*t, name)
		if err == nil {
			return files, nil
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

// openAll is changing when a file is not of the status.
func (h *Handler) openAll(t target, name string) (files []durable.File, err error) {
	for _, s := range t.view.status.Series {
		f, err := h.openOf(t, s, name)
		if err != nil {
			closeAll(files)
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

func (h *Handler) openOf(t target, s regen.SeriesStatus, name string) (durable.File, error) {
	series, err := dedup.ParseUID(s.Series)
	if err != nil {
		return nil, err
	}
	t.series = series
	f, _, err := h.open(t.seriesFile() + "/" + name)
	if err != nil {
		if !h.unchanged(t.study, t.view) {
			return nil, changing
		}
		return nil, err
	}
	if !isOf(f, s.Digest, t.view.status.Version) {
		_ = f.Close() // it was only read
		return nil, changing
	}
	return f, nil
}

func closeAll(files []durable.File) {
	for _, f := range files {
		_ = f.Close() // they were only read
	}
}

// maxFile bounds a file of JSON that is read as a whole.
const maxFile = 1 << 30

func unzip(f durable.File) ([]byte, error) {
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(io.NewSectionReader(f, 0, size))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(z, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = dedup.ErrTooLarge
	}
	return text, err
}

// instanceMetadata answers the metadata of one instance (PS3.18 section 10.4.1.1.2).
func (h *Handler) instanceMetadata(w http.ResponseWriter, r *http.Request, t target) error {
	mediaType, err := jsonType(r)
	if err != nil {
		return err
	}
	o, err := h.objectIn(&t)
	if err != nil {
		return err
	}
	series, _ := t.view.status.Of(t.series) // objectIn has found it
	tag := series.Digest[:min(32, len(series.Digest))] + "-" + t.view.status.Version
	w.Header().Set("Content-Type", mediaType)
	w.Header().Add("Vary", "Accept, Accept-Encoding")
	w.Header().Set("Cache-Control", forNow)
	if gzips(r) {
		tag += "-z"
	}
	if fresh(w, r, `"`+tag+`"`) {
		return nil
	}
	out := h.newArray(w, r)
	if err := out.object(t.ofInstance(o)); err != nil {
		return out.failed(err)
	}
	return out.end()
}

// objectIn is an instance in the metadata of its series, of the generation of t's view, which becomes the newest if need be.
func (h *Handler) objectIn(t *target) (dedup.Object, error) {
	for range attempts {
		o, err := h.objectOf(*t)
		if !errors.Is(err, changing) {
			return o, err
		}
		if t.view, err = h.view(t.study); err != nil {
			return nil, err
		}
	}
	return nil, changing
}

func (h *Handler) objectOf(t target) (dedup.Object, error) {
	series, ok := t.view.status.Of(t.series)
	if !ok {
		return nil, problem{http.StatusNotFound, t.nothing()}
	}
	f, err := h.openOf(t, series, "metadata.gz")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := h.unpacked.of(f)
	if err != nil {
		return nil, err
	}
	at, ok := m.at[t.instance.String()]
	if !ok {
		return nil, problem{http.StatusNotFound, t.nothing()}
	}
	return dedup.ParseObject(m.text[at[0]:at[1]])
}

// ofInstance makes what an object of the series' metadata refers to relative to the instance.
func (t target) ofInstance(o dedup.Object) []byte {
	text := o.AppendJSON(nil)
	text = bytes.ReplaceAll(text, []byte(`"BulkDataURI":"../../bulkdata/`), []byte(`"BulkDataURI":"../../../../bulkdata/`))
	return bytes.ReplaceAll(text, []byte(`"BulkDataURI":"instances/`+t.instance.String()+`/`), []byte(`"BulkDataURI":"`))
}
