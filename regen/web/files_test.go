package web_test

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup/export"
	"github.com/dicomesh/dicomesh/dedup/phantom"
	"github.com/dicomesh/dicomesh/e2e/raced"
	"github.com/dicomesh/dicomesh/regen/web"
)

const (
	anyFile  = `multipart/related; type="application/dicom"; transfer-syntax=*`
	bareFile = "application/dicom; transfer-syntax=*"
)

// withFiles is a site that gives Part 10 files.
func withFiles(t *testing.T, files ...[]byte) *site {
	t.Helper()
	s := newSite(t, web.Config{}, files...)
	s.handler = http.StripPrefix("/dicomweb", web.New(web.Config{Current: s.current, Archive: export.New(s.archive)}))
	return s
}

// files are the parts of an answer, by where each says that it is.
func (s *site) files(r *http.Response) map[string][]byte {
	s.t.Helper()
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	must(s.t, err)
	if r.StatusCode != http.StatusOK || params["type"] != "application/dicom" {
		s.t.Fatalf("%s, %s", r.Status, r.Header.Get("Content-Type"))
	}
	out := map[string][]byte{}
	for parts := multipart.NewReader(r.Body, params["boundary"]); ; {
		p, err := parts.NextPart()
		if err == io.EOF {
			return out
		}
		must(s.t, err)
		b, err := io.ReadAll(p)
		must(s.t, err)
		if m := p.Header.Get("Content-Type"); m != "application/dicom" && !strings.HasPrefix(m, "application/dicom; transfer-syntax=1.") {
			s.t.Errorf("a part is %s", p.Header.Get("Content-Type"))
		}
		out[p.Header.Get("Content-Location")] = b
	}
}

// What went in comes out, byte for byte: as a study, a series, an instance, as parts and bare, every case of the catalogue.
func TestFilesComeBack(t *testing.T) {
	var in [][]byte
	for n, c := range phantom.Cases() {
		if !strings.HasPrefix(c.Name, "same/") && (!raced.On(t) || n%12 == 0) {
			in = append(in, c.Bytes())
		}
	}
	s := withFiles(t, in...)
	out := 0
	for _, study := range s.uids("/studies", "0020000D") {
		whole := s.files(s.get("/studies/"+study, "Accept", anyFile))
		for _, series := range s.uids("/studies/"+study+"/series", "0020000E") {
			base := "/studies/" + study + "/series/" + series
			some := s.files(s.get(base, "Accept", anyFile))
			for _, sop := range s.uids(base+"/instances", "00080018") {
				one := s.files(s.get(base + "/instances/" + sop))
				bare := s.get(base+"/instances/"+sop, "Accept", bareFile)
				file := body(t, bare)
				if !bytes.Equal(whole[study+"/series/"+series+"/instances/"+sop], file) || !bytes.Equal(some[series+"/instances/"+sop], file) || !bytes.Equal(one[sop], file) {
					t.Errorf("%s is not the same as a part of its study, series and by itself", sop)
				}
				if !slices.ContainsFunc(in, func(b []byte) bool { return bytes.Equal(b, file) }) {
					t.Errorf("%s is not what came in: %s, %d bytes", sop, bare.Status, len(file))
				}
				out++
			}
		}
	}
	if out < len(in)*9/10 {
		t.Errorf("%d of %d files", out, len(in))
	}
}

// What a client accepts is what it gets, or 406.
func TestFilesAccept(t *testing.T) {
	rle := slices.IndexFunc(phantom.Cases(), func(c phantom.Case) bool { return strings.Contains(c.Name, "rle") })
	files, all := parts(t, small())
	s := withFiles(t, append(files, phantom.Cases()[rle].Bytes())...)
	study := "/studies/" + small().UID()
	one := study + "/series/" + all[0].SeriesInstanceUID() + "/instances/" + all[0].SOPInstanceUID()
	var packed string
	for _, u := range s.uids("/studies", "0020000D") {
		if u != small().UID() {
			packed = "/studies/" + u
		}
	}
	for _, c := range []struct {
		path, accept, want string // the beginning of a media type; "": 406
	}{
		{one, "*/*", "multipart/related"}, {one, "application/dicom", "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"},
		{one, `multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.1`, "multipart/related"}, {one, "application/dicom;transfer-syntax=1.2.840.10008.1.2.4.50", ""},
		{one, "image/jpeg", ""}, {one, `multipart/related; type="image/jpeg"`, ""}, {one, "text/html, application/dicom;q=0.1", "application/dicom"},
		{study, "application/dicom", ""}, {study, "", "application/dicom+json"}, {study, "*/*", "application/dicom+json"}, {study, "application/dicom+json", "application/dicom+json"},
		{study, anyFile, "multipart/related"}, {study, `multipart/related; type="application/dicom"`, "multipart/related"}, {packed, `multipart/related; type="application/dicom"`, "multipart/related"},
		{packed, `multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.1`, ""}, {packed, `multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.5`, "multipart/related"},
	} {
		var headers []string
		if c.accept != "" {
			headers = []string{"Accept", c.accept}
		}
		r := s.get(c.path, headers...)
		if c.want == "" && r.StatusCode != http.StatusNotAcceptable || c.want != "" && (r.StatusCode != 200 || !strings.HasPrefix(r.Header.Get("Content-Type"), c.want)) {
			t.Errorf("%s as %q: %s, %s, want %q", c.path, c.accept, r.Status, r.Header.Get("Content-Type"), c.want)
		}
	}
	for path, code := range map[string]int{study + "/series/1.2.3": 404, study + "/series/" + all[0].SeriesInstanceUID() + "/instances/1.2.3": 404, study + "/series/1.2.3/instances/" + all[0].SOPInstanceUID(): 404} {
		if r := s.get(path, "Accept", anyFile); r.StatusCode != code {
			t.Errorf("%s: %s, want %d", path, r.Status, code)
		}
	}
	without := newSite(t, web.Config{}, files...)
	if r := without.get(one); r.StatusCode != http.StatusNotAcceptable {
		t.Errorf("without an archive: %s", r.Status)
	}
}

// A file that is asked for again is not sent again, and a download goes on where it ended.
func TestFilesInPieces(t *testing.T) {
	files, all := parts(t, small())
	s := withFiles(t, files...)
	one := "/studies/" + small().UID() + "/series/" + all[0].SeriesInstanceUID() + "/instances/" + all[0].SOPInstanceUID()
	whole := s.get(one, "Accept", bareFile)
	tag, want := whole.Header.Get("ETag"), body(t, whole)
	if r := s.get(one, "Accept", bareFile, "If-None-Match", tag); r.StatusCode != http.StatusNotModified {
		t.Errorf("what the client has: %s", r.Status)
	}
	if r := s.ask(http.MethodHead, one, "Accept", bareFile); r.StatusCode != 200 || len(body(t, r)) > 0 || r.Header.Get("Content-Length") == "" {
		t.Errorf("HEAD: %s", r.Status)
	}
	n := len(want)
	for text, c := range map[string]struct{ from, to, code int }{
		"bytes=0-0": {0, 1, 206}, "bytes=100-": {100, n, 206}, "bytes=-7": {n - 7, n, 206}, "bytes=128-131": {128, 132, 206}, "bytes=5-999999999": {5, n, 206},
		"bytes=0-1,4-5": {0, n, 200}, "bytes=x-": {0, n, 200}, "bytes=9-3": {0, n, 200}, "lines=1-2": {0, n, 200},
	} {
		if r := s.get(one, "Accept", bareFile, "Range", text); r.StatusCode != c.code || !bytes.Equal(body(t, r), want[c.from:c.to]) {
			t.Errorf("%s: %s", text, r.Status)
		}
	}
	if r := s.get(one, "Accept", bareFile, "Range", "bytes=1-2", "If-Range", `"other"`); r.StatusCode != 200 {
		t.Errorf("a range of something else: %s", r.Status)
	}
}

// What has come and is not published is not shown: files are those of the current tree's generation, whatever the archive holds by now.
func TestFilesOfOneGeneration(t *testing.T) {
	files, all := parts(t, small())
	s := withFiles(t, files[:4]...)
	study := "/studies/" + small().UID()
	if got := len(s.files(s.get(study, "Accept", anyFile))); got != 4 {
		t.Errorf("%d files", got)
	}
	ingestInto(t, s.archive, files[4:]...)
	if got := len(s.files(s.get(study, "Accept", anyFile))); got != 4 {
		t.Errorf("%d files while two are not published", got)
	}
	last := all[len(all)-1]
	one := study + "/series/" + last.SeriesInstanceUID() + "/instances/" + last.SOPInstanceUID()
	if r := s.get(one, "Accept", bareFile); r.StatusCode != http.StatusNotFound {
		t.Errorf("one that is not published: %s", r.Status)
	}
	s.regenerate()
	if got := len(s.files(s.get(study, "Accept", anyFile))); got != 6 {
		t.Errorf("%d files when all are published", got)
	}
	if r := s.get(one, "Accept", bareFile); !bytes.Equal(body(t, r), files[5]) {
		t.Errorf("one that is: %s", r.Status)
	}
}
