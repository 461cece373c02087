package web_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/ingest"
	"github.com/dicomesh/dicomesh/dedup/phantom"
	"github.com/dicomesh/dicomesh/e2e/raced"
	"github.com/dicomesh/dicomesh/regen"
	"github.com/dicomesh/dicomesh/regen/web"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// site is an archive, its current tree and what serves it.
type site struct {
	t                *testing.T
	archive, current durable.FS
	handler          http.Handler
	thumbnails       bool
}

func newSite(t *testing.T, c web.Config, files ...[]byte) *site {
	t.Helper()
	s := &site{t: t, archive: crashfs.New(), current: crashfs.New()}
	s.put(files...)
	c.Current = s.current
	s.handler = http.StripPrefix("/dicomweb", web.New(c))
	return s
}

// put ingests files and regenerates all studies.
func (s *site) put(files ...[]byte) {
	s.t.Helper()
	ingestInto(s.t, s.archive, files...)
	s.regenerate()
}

func (s *site) regenerate() {
	s.t.Helper()
	g := regen.New(regen.Config{Archive: s.archive, Current: s.current, NoThumbnails: !s.thumbnails})
	studies, err := g.Studies()
	must(s.t, err)
	for _, uid := range studies {
		_, err := g.Study(s.t.Context(), uid, time.Unix(1_700_000_000, 0))
		must(s.t, err)
	}
}

func ingestInto(t *testing.T, archive durable.FS, files ...[]byte) {
	t.Helper()
	a, err := ingest.Open(archive)
	must(t, err)
	defer a.Close()
	b, err := a.OpenBatch()
	must(t, err)
	for i, f := range files {
		b.Add(fmt.Sprint(i), bytes.NewReader(f), int64(len(f)))
	}
	for _, res := range b.Commit() {
		must(t, res.Err)
	}
}

// get asks for a path below /dicomweb; headers are name, value, name, value ...
func (s *site) get(path string, headers ...string) *http.Response {
	s.t.Helper()
	return s.ask(http.MethodGet, path, headers...)
}

func (s *site) ask(method, path string, headers ...string) *http.Response {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), method, "/dicomweb"+path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) []byte {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	must(t, err)
	return b
}

// objects reads an answer of JSON.
func (s *site) objects(path string) []map[string]json.RawMessage {
	s.t.Helper()
	r := s.get(path)
	text := body(s.t, r)
	if r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != "application/dicom+json" {
		s.t.Fatalf("%s: %s, %s: %.200s", path, r.Status, r.Header.Get("Content-Type"), text)
	}
	var out []map[string]json.RawMessage
	must(s.t, json.Unmarshal(text, &out))
	return out
}

// onDisk is a file of the current tree, decompressed.
func (s *site) onDisk(name string) []byte {
	s.t.Helper()
	f, err := s.current.Open(name)
	must(s.t, err)
	defer f.Close()
	if !strings.HasSuffix(name, ".gz") {
		b, err := io.ReadAll(f)
		must(s.t, err)
		return b
	}
	z, err := gzip.NewReader(f)
	must(s.t, err)
	b, err := io.ReadAll(z)
	must(s.t, err)
	return b
}

func small() phantom.Study { return phantom.Study{Number: 1, Series: 2, Instances: 3, Size: 16} }

func parts(t *testing.T, s phantom.Study) (files [][]byte, all []phantom.Instance) {
	t.Helper()
	for i := range s.All() {
		var b bytes.Buffer
		must(t, i.Write(&b))
		files, all = append(files, b.Bytes()), append(all, i)
	}
	return files, all
}

// Each static path is answered with the file that is there, gzipped as it is or unpacked, with an ETag that is honoured.
func TestStaticPaths(t *testing.T) {
	files, all := parts(t, small())
	s := newSite(t, web.Config{}, files...)
	s.thumbnails = true
	s.regenerate()
	study := "/studies/" + small().UID()
	series := study + "/series/" + all[0].SeriesInstanceUID()
	for path, name := range map[string]string{
		study: study + "/studies.gz", study + "/series": study + "/series.gz", study + "/deduplicated": study + "/deduplicated.gz",
		series + "/metadata": series + "/metadata.gz", series + "/instances": series + "/instances.gz",
	} {
		want := s.onDisk(name[1:])
		plain, zipped := s.get(path), s.get(path, "Accept-Encoding", "br, gzip;q=0.5")
		if got := body(t, plain); !bytes.Equal(got, want) || plain.StatusCode != 200 || plain.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s: %s: %d bytes, want %d", path, plain.Status, len(got), len(want))
		}
		z, err := gzip.NewReader(zipped.Body)
		must(t, err)
		got, err := io.ReadAll(z)
		if must(t, err); !bytes.Equal(got, want) || zipped.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("%s: gzipped: %s: %d bytes, want %d", path, zipped.Status, len(got), len(want))
		}
		if info, err := s.current.Lstat(name[1:]); err != nil || zipped.Header.Get("Content-Length") != fmt.Sprint(info.Size()) {
			t.Errorf("%s: gzipped, of %q bytes: %v", path, zipped.Header.Get("Content-Length"), err)
		}
		if plain.Header.Get("ETag") == zipped.Header.Get("ETag") || len(plain.Header.Get("ETag")) < 34 {
			t.Errorf("%s: ETags %s and %s", path, plain.Header.Get("ETag"), zipped.Header.Get("ETag"))
		}
		for _, r := range []*http.Response{s.get(path, "If-None-Match", plain.Header.Get("ETag")),
			s.get(path, "If-None-Match", zipped.Header.Get("ETag"), "Accept-Encoding", "gzip")} {
			if r.StatusCode != http.StatusNotModified || len(body(t, r)) > 0 {
				t.Errorf("%s: asked for what the client has: %s", path, r.Status)
			}
		}
		if r := s.ask(http.MethodHead, path); r.StatusCode != 200 || len(body(t, r)) > 0 {
			t.Errorf("HEAD %s: %s", path, r.Status)
		}
	}
	for _, path := range []string{series + "/thumbnail", series + "/instances/" + all[0].SOPInstanceUID() + "/thumbnail"} {
		if r := s.get(path); !bytes.Equal(body(t, r), s.onDisk(path[1:])) || r.Header.Get("Content-Type") != "image/jpeg" {
			t.Errorf("%s: %s, %s", path, r.Status, r.Header.Get("Content-Type"))
		}
	}
}

// Every reference in an answer is answered, relative to the URL of that answer.
func TestReferencesAreAnswered(t *testing.T) {
	var files [][]byte
	for n, c := range phantom.Cases() {
		if !strings.HasPrefix(c.Name, "same/") && (!raced.On(t) || n%4 == 0) {
			files = append(files, c.Bytes())
		}
	}
	s := newSite(t, web.Config{}, files...)
	checked := map[string]int{}
	for _, study := range s.objects("/studies") {
		uid := text(t, study["0020000D"])
		s.references("/studies", study, checked)
		paths := []string{"/studies/" + uid + "/metadata", "/studies/" + uid + "/instances", "/studies/" + uid + "/series"}
		for n, series := range s.objects("/studies/" + uid + "/series") {
			base := "/studies/" + uid + "/series/" + text(t, series["0020000E"])
			paths = append(paths, base+"/metadata", base+"/instances")
			if n == 0 {
				paths = append(paths, base+"/instances/"+text(t, s.objects(base + "/instances")[0]["00080018"])+"/metadata")
			}
		}
		for _, path := range paths {
			for _, o := range s.objects(path) {
				s.references(path, o, checked)
			}
		}
	}
	if raced.On(t) {
		return // only some of the cases
	}
	if checked["frames"] < 50 || checked["bulkdata"] < 10 || checked["pixeldata"] < 1 || checked["retrieve"] < 50 {
		t.Errorf("checked only %v", checked)
	}
}

func text(t *testing.T, raw json.RawMessage) string {
	t.Helper()
	var a struct{ Value []string }
	must(t, json.Unmarshal(raw, &a))
	return a.Value[0]
}

func (s *site) references(from string, o map[string]json.RawMessage, checked map[string]int) {
	s.t.Helper()
	base, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://x"+from, nil)
	must(s.t, err)
	for tag, raw := range o {
		var a struct {
			VR, BulkDataURI string
			Value           []json.RawMessage
		}
		must(s.t, json.Unmarshal(raw, &a))
		if a.BulkDataURI != "" {
			u, err := base.URL.Parse(a.BulkDataURI)
			must(s.t, err)
			if r := s.get(u.Path); r.StatusCode != 200 || !strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/related") {
				s.t.Errorf("%s %s: %s: %s", from, tag, a.BulkDataURI, r.Status)
			}
			for _, kind := range []string{"frames", "pixeldata", "bulkdata"} {
				if strings.Contains(u.Path, "/"+kind) {
					checked[kind]++
				}
			}
		}
		if tag == "00081190" && !strings.HasSuffix(from, "/metadata") { // there it is the file's own
			u, err := base.URL.Parse(text(s.t, raw))
			must(s.t, err)
			if r := s.get(u.Path + "/metadata"); r.StatusCode != 200 {
				s.t.Errorf("%s: RetrieveURL %s: %s", from, u.Path, r.Status)
			}
			checked["retrieve"]++
		}
		for _, v := range a.Value {
			var item map[string]json.RawMessage
			if a.VR == "SQ" && json.Unmarshal(v, &item) == nil {
				s.references(from, item, checked)
			}
		}
	}
}

// Frames come as parts or bare, as the client asks, and with their own media type; what would have to be transcoded is refused.
func TestFrames(t *testing.T) {
	cases := map[string]phantom.Case{}
	var files [][]byte
	for _, c := range phantom.Cases() {
		if c.Frames != nil && !strings.HasPrefix(c.Name, "same/") && (!raced.On(t) || len(cases) < 10) {
			cases[c.Name] = c
			files = append(files, c.Bytes())
		}
	}
	s := newSite(t, web.Config{}, files...)
	seen := map[string]bool{}
	for _, study := range s.objects("/studies") {
		for _, o := range s.objects("/studies/" + text(t, study["0020000D"]) + "/instances") {
			syntax := text(t, o["00083002"])
			if seen[syntax] {
				continue
			}
			seen[syntax] = true
			base := "/studies/" + text(t, o["0020000D"]) + "/series/" + text(t, o["0020000E"]) + "/instances/" + text(t, o["00080018"])
			s.frames(base, syntax)
		}
	}
	if len(seen) < 8 && !raced.On(t) {
		t.Errorf("only %v", slices.Sorted(maps.Keys(seen)))
	}
}

func (s *site) frames(base, syntax string) {
	t := s.t
	if _, err := s.current.Lstat(base[1:] + "/frames/1"); errors.Is(err, fs.ErrNotExist) {
		return // a video
	}
	want := s.onDisk(base[1:] + "/frames/1")
	for _, accept := range []string{"*/*", "multipart/related", `multipart/related; type="application/octet-stream"; transfer-syntax=*`, "text/html, multipart/related;q=0.5, image/png;q=0.9"} {
		r := s.get(base+"/frames/1", "Accept", accept)
		kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil || r.StatusCode != 200 || kind != "multipart/related" {
			t.Errorf("%s as %s: %s, %s", syntax, accept, r.Status, r.Header.Get("Content-Type"))
			continue
		}
		parts := multipart.NewReader(r.Body, params["boundary"])
		p, err := parts.NextPart()
		must(t, err)
		got, err := io.ReadAll(p)
		if must(t, err); !bytes.Equal(got, want) || !strings.HasSuffix(p.Header.Get("Content-Type"), "; transfer-syntax="+syntax) {
			t.Errorf("%s as %s: a part of %s with %d bytes, want %d", syntax, accept, p.Header.Get("Content-Type"), len(got), len(want))
		}
		if _, err := parts.NextPart(); err != io.EOF {
			t.Errorf("%s: more parts: %v", syntax, err)
		}
	}
	bare := s.get(base+"/frames/1", "Accept", "application/octet-stream; transfer-syntax=*, image/*, video/*")
	if got := body(t, bare); !bytes.Equal(got, want) || strings.HasPrefix(bare.Header.Get("Content-Type"), "multipart/") {
		t.Errorf("%s bare: %s, %s", syntax, bare.Status, bare.Header.Get("Content-Type"))
	}
	if r := s.get(base+"/frames/1", "Accept", "application/octet-stream; transfer-syntax=*, image/*", "Range", "bytes=1-2"); r.StatusCode != 206 || !bytes.Equal(body(t, r), want[1:3]) {
		t.Errorf("%s: a range: %s", syntax, r.Status)
	}
	if all, pixels := s.get(base+"/frames"), s.get(base+"/pixeldata"); pixels.StatusCode != 200 || !bytes.Equal(body(t, all), body(t, pixels)) {
		t.Errorf("%s: pixeldata: %s", syntax, pixels.Status)
	}
	if syntax != "1.2.840.10008.1.2.1" {
		if r := s.get(base+"/frames/1", "Accept", `multipart/related; type="application/octet-stream"`); r.StatusCode != 406 && strings.HasPrefix(mediaOf(bare), "image/") {
			t.Errorf("%s wanted uncompressed: %s", syntax, r.Status)
		}
	}
	for path, code := range map[string]int{"/frames/0": 400, "/frames/01": 400, "/frames/x": 400, "/frames/1,": 400, "/frames/-1": 400, "/frames/9999": 404, "/frames/1,9999": 404} {
		if r := s.get(base + path); r.StatusCode != code {
			t.Errorf("%s: %s, want %d", path, r.Status, code)
		}
	}
}

func mediaOf(r *http.Response) string { return r.Header.Get("Content-Type") }

// What a client sends never becomes a path, and what should not be seen is not.
func TestHostileRequests(t *testing.T) {
	files, all := parts(t, small())
	s := newSite(t, web.Config{}, files...)
	must(t, durable.WriteFile(s.current, "secret", []byte("secret")))
	study := "/studies/" + small().UID()
	series := study + "/series/" + all[0].SeriesInstanceUID()
	for _, path := range []string{
		"/../secret", "/studies/../secret", "/studies/..%2fsecret", "/studies/%2e%2e/%2e%2e/secret", "/studies/..", "/studies/.", "/studies//", "/studies/1.2.3/..",
		study + "/bulkdata/../../../secret", study + "/bulkdata/..%2f..%2f..%2fsecret", study + "/bulkdata/abc/de/../../../../secret", study + "/bulkdata/%00", study + "/bulkdata/",
		study + "/status.gz", study + "/status", study + "/studies.gz", study + "/.dicomesh", "/.dicomesh/studies/" + small().UID() + ".gz", "/.dicomesh",
		series + "/instances/..%2f..%2f/thumbnail", series + "/instances/" + all[0].SOPInstanceUID() + "/frames/..%2f..%2f..%2fmetadata.gz", series + "/metadata.gz", series + "/metadata/",
		"/studies/" + strings.Repeat("1", 65), "/studies/1.2.3%00", "/studies/1..2", "/studies/1.2.3%20", "/studies/" + strings.Repeat("9.", 4000),
		"/studies/1.2.3/series/%ff/metadata", "/", "",
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			r := httptest.NewRequestWithContext(t.Context(), method, "/dicomweb/x", nil)
			u, err := r.URL.Parse("http://x/dicomweb" + path)
			if err != nil {
				continue
			}
			u.Path = strings.Clone(u.Path)
			r.URL = u
			w := httptest.NewRecorder()
			s.handler.ServeHTTP(w, r)
			if w.Code < 400 || w.Code > 405 || strings.Contains(w.Body.String(), "secret\n") {
				t.Errorf("%s %s: %d %.80q", method, path, w.Code, w.Body)
			}
		}
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions, "BREW"} {
		if r := s.ask(method, study+"/series"); r.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s: %s", method, r.Status)
		}
	}
}

// A study that was never finished is not there; a held one says why; one that is made on request is.
func TestNotPublished(t *testing.T) {
	files, _ := parts(t, small())
	study := "/studies/" + small().UID()
	s := newSite(t, web.Config{Held: func(dedup.UID) (string, bool) { return "split: west is not reached", true }, RetryAfter: 7 * time.Second}, files...)
	must(t, s.current.Remove("studies/"+small().UID()+"/status.gz"))
	if r := s.get("/studies"); r.StatusCode != http.StatusNoContent || len(body(t, r)) > 0 {
		t.Errorf("studies: %s", r.Status)
	}
	for _, path := range []string{study, study + "/series", study + "/metadata", study + "/deduplicated", study + "/bulkdata/abc/de/0123456789012345678901234567890123456.raw"} {
		r := s.get(path)
		if text := string(body(t, r)); r.StatusCode != 503 || r.Header.Get("Retry-After") != "7" || !strings.Contains(text, "west is not reached") {
			t.Errorf("%s of a held study: %s, %q, %s", path, r.Status, r.Header.Get("Retry-After"), text)
		}
	}
	s.handler = http.StripPrefix("/dicomweb", web.New(web.Config{Current: s.current}))
	if r := s.get(study + "/series"); r.StatusCode != 404 {
		t.Errorf("a study without a status: %s", r.Status)
	}
	s.regenerate()
	hidden := web.New(web.Config{Current: s.current, Published: func(dedup.UID) bool { return false }})
	s.handler = http.StripPrefix("/dicomweb", hidden)
	if r := s.get(study + "/series"); r.StatusCode != 404 {
		t.Errorf("a study that may not be shown: %s", r.Status)
	}
	empty, made := crashfs.New(), 0
	g := regen.New(regen.Config{Archive: s.archive, Current: empty})
	s.current = empty
	s.handler = http.StripPrefix("/dicomweb", web.New(web.Config{Current: empty, Generate: func(ctx context.Context, uid dedup.UID) error {
		made++
		_, err := g.Study(ctx, uid, time.Unix(1, 0))
		return err
	}}))
	for range 2 {
		if len(s.objects(study+"/series")) != 2 || made != 1 {
			t.Errorf("made %d times", made)
		}
	}
	if r := s.get("/studies/1.2.3/series"); r.StatusCode != 404 {
		t.Errorf("a study that is not in the archive: %s", r.Status)
	}
}

// Searches: by UID, page by page; what is not known is refused.
func TestSearch(t *testing.T) {
	var files [][]byte
	for n := range 5 {
		more, _ := parts(t, phantom.Study{Number: n + 1, Series: 1, Instances: 1, Size: 8})
		files = append(files, more...)
	}
	s := newSite(t, web.Config{}, files...)
	all := s.objects("/studies")
	if len(all) != 5 {
		t.Fatalf("%d studies", len(all))
	}
	var paged []string
	for offset := range 5 {
		for _, o := range s.objects(fmt.Sprintf("/studies?limit=1&offset=%d&includefield=all", offset)) {
			paged = append(paged, text(t, o["0020000D"]))
		}
	}
	if slices.Sort(paged); len(paged) != 5 || len(slices.Compact(slices.Clone(paged))) != 5 {
		t.Errorf("page by page: %v", paged)
	}
	for _, query := range []string{"StudyInstanceUID=" + paged[1] + "," + paged[3], "0020000D=" + paged[1] + "&0020000D=" + paged[3]} {
		if two := s.objects("/studies?" + query); len(two) != 2 || text(t, two[0]["0020000D"]) != paged[1] && text(t, two[1]["0020000D"]) != paged[1] {
			t.Errorf("%s: %d", query, len(two))
		}
	}
	for query, code := range map[string]int{"PatientName=x": 204, "PatientNames=x": 400, "Modality=CT": 400, "limit=x": 400, "limit=-1": 400, "StudyInstanceUID=../x": 400, "fuzzymatching=true": 200,
		"fuzzymatching=false": 200, "limit=0": 204, "offset=9": 204, "StudyInstanceUID=1.2.3": 204} {
		if r := s.get("/studies?" + query); r.StatusCode != code {
			t.Errorf("%s: %s, want %d", query, r.Status, code)
		}
	}
	if r := s.get("/studies", "Accept", "application/dicom+xml"); r.StatusCode != 406 {
		t.Errorf("XML: %s", r.Status)
	}
	if r := s.get("/studies", "Accept", "application/json"); mediaOf(r) != "application/json" {
		t.Errorf("plain JSON: %s", mediaOf(r))
	}
}
