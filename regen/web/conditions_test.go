package web_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup/export"
	"github.com/dicomesh/dicomesh/dedup/phantom"
	"github.com/dicomesh/dicomesh/e2e/raced"
	"github.com/dicomesh/dicomesh/regen/web"
)

// resource is one kind of what is answered.
type resource struct {
	name, path, accept string
	changes            bool // it is made anew for each request: it has no ETag
	whole              bool // it is sent as a whole, whatever Range asks for
}

// resources are one of each kind, with values that are kept by themselves among them.
func resources(t *testing.T) (*site, []resource) {
	t.Helper()
	files, all := parts(t, small())
	for n, c := range phantom.Cases() {
		if strings.HasPrefix(c.Name, "values/") && n%2 == 0 || strings.Contains(c.Name, "large") {
			files = append(files, c.Bytes())
		}
	}
	s := newSite(t, web.Config{}, files...)
	s.thumbnails = true
	for _, uid := range s.uids("/studies", "0020000D") {
		must(t, s.current.Remove(".dicomesh/studies/"+uid+".gz"))
	}
	s.regenerate()
	s.handler = http.StripPrefix("/dicomweb", web.New(web.Config{Current: s.current, Archive: export.New(s.archive)}))
	study := "/studies/" + small().UID()
	series := study + "/series/" + all[0].SeriesInstanceUID()
	instance := series + "/instances/" + all[0].SOPInstanceUID()
	out := []resource{
		{"all studies", "/studies", "", true, true}, {"all series", "/series", "", true, true}, {"all instances", "/instances", "", true, true},
		{"studies, matched", "/studies?PatientID=*", "", true, true}, {"instances, matched", series + "/instances?Rows=16", "", true, true},
		{"a study", study, "", false, true}, {"series", study + "/series", "", false, true}, {"deduplicated", study + "/deduplicated", "", false, true}, {"instances", series + "/instances", "", false, true},
		{"instances of a study", study + "/instances", "", false, true},
		{"metadata of a study", study + "/metadata", "", false, true}, {"metadata of a series", series + "/metadata", "", false, true}, {"metadata", instance + "/metadata", "", false, true},
		{"a frame", instance + "/frames/1", "application/octet-stream", false, false}, {"a frame as a part", instance + "/frames/1", "*/*", false, true}, {"frames", instance + "/frames/1,1", "*/*", false, true},
		{"all frames", instance + "/frames", "*/*", false, true}, {"pixel data", instance + "/pixeldata", "application/octet-stream", false, false},
		{"thumbnail of a study", study + "/thumbnail", "*/*", false, false}, {"thumbnail of a series", series + "/thumbnail", "*/*", false, false}, {"thumbnail", instance + "/thumbnail", "*/*", false, false},
		{"thumbnail of a frame", instance + "/frames/1/thumbnail", "*/*", false, true}, {"a small thumbnail", instance + "/thumbnail?viewport=9,9", "*/*", false, true},
		{"a picture", instance + "/rendered", "*/*", false, true}, {"a picture of a frame", instance + "/frames/1/rendered?quality=5", "image/png", false, true}, {"pictures", study + "/rendered", "*/*", false, true}, {"pictures of a series", series + "/rendered", "*/*", false, true},
		{"a file", instance, bareFile, false, false}, {"a file as a part", instance, anyFile, false, true}, {"files of a series", series, anyFile, false, true}, {"files of a study", study, anyFile, false, true},
	}
	value := valueOf(t, s)
	return s, append(out, resource{"a value", value, "application/octet-stream", false, false}, resource{"a value as a part", value, "*/*", false, true})
}

// valueOf is the URL of a value that is kept by itself.
func valueOf(t *testing.T, s *site) string {
	t.Helper()
	for _, uid := range s.uids("/studies", "0020000D") {
		for _, o := range s.objects("/studies/" + uid + "/metadata") {
			for _, raw := range o {
				var a struct{ BulkDataURI string }
				must(t, json.Unmarshal(raw, &a))
				if strings.HasPrefix(a.BulkDataURI, "bulkdata/") && !strings.HasSuffix(a.BulkDataURI, ".json") {
					return "/studies/" + uid + "/" + a.BulkDataURI
				}
			}
		}
	}
	t.Fatal("no value is kept by itself")
	return ""
}

func (r resource) headers(more ...string) []string {
	if r.accept != "" {
		return append(more, "Accept", r.accept)
	}
	return more
}

// Each kind of resource heeds conditions as RFC 9110 section 13 says, and HEAD is GET without the body.
func TestConditions(t *testing.T) {
	s, all := resources(t)
	for _, res := range all {
		for _, zip := range []string{"identity", "gzip"} {
			if zip == "gzip" && raced.On(t) {
				continue
			}
			r := s.get(res.path, res.headers("Accept-Encoding", zip)...)
			tag, want := r.Header.Get("ETag"), body(t, r)
			if r.StatusCode != http.StatusOK || len(want) == 0 || (tag == "") != res.changes || strings.HasPrefix(tag, "W/") {
				t.Errorf("%s: %s, ETag %q, %d bytes: %.100s", res.name, r.Status, tag, len(want), want)
				continue
			}
			s.head(res, zip, r, len(want))
			if res.changes {
				continue
			}
			for _, c := range []struct {
				header, value string
				code          int
			}{
				{"If-None-Match", tag, 304}, {"If-None-Match", "W/" + tag, 304}, {"If-None-Match", "*", 304}, {"If-None-Match", `"a" , ` + tag, 304}, {"If-None-Match", `"a", W/"b"`, 200}, {"If-None-Match", strings.Trim(tag, `"`), 200},
				{"If-Match", tag, 200}, {"If-Match", "*", 200}, {"If-Match", `"a", ` + tag, 200}, {"If-Match", `"a"`, 412}, {"If-Match", "W/" + tag, 412},
				{"If-Modified-Since", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat), 200}, {"If-Unmodified-Since", time.Unix(1, 0).UTC().Format(http.TimeFormat), 200},
			} {
				got := s.get(res.path, res.headers("Accept-Encoding", zip, c.header, c.value)...)
				text := body(t, got)
				if got.StatusCode != c.code || c.code == 200 && !bytes.Equal(text, want) || c.code != 200 && len(text) > 0 {
					t.Errorf("%s: %s: %s: %s, %d bytes, want %d", res.name, c.header, c.value, got.Status, len(text), c.code)
				}
				if c.code == 304 && (got.Header.Get("ETag") != tag || got.Header.Get("Cache-Control") != r.Header.Get("Cache-Control") || !slices.Equal(got.Header["Vary"], r.Header["Vary"])) {
					t.Errorf("%s: 304 without what a cache keeps: %v", res.name, got.Header) // RFC 9110 section 15.4.5
				}
			}
		}
	}
}

// head holds HEAD to what GET has answered.
func (s *site) head(res resource, zip string, get *http.Response, size int) {
	s.t.Helper()
	head := s.ask(http.MethodHead, res.path, res.headers("Accept-Encoding", zip)...)
	if head.StatusCode != http.StatusOK {
		s.t.Errorf("%s: HEAD: %s", res.name, head.Status)
	}
	for _, name := range []string{"Content-Type", "ETag", "Cache-Control", "Vary", "Content-Encoding", "Accept-Ranges", "X-Content-Type-Options"} {
		if !slices.Equal(head.Header[name], get.Header[name]) {
			s.t.Errorf("%s: %s is %q with HEAD, %q with GET", res.name, name, head.Header[name], get.Header[name])
		}
	}
	if said := head.Header.Get("Content-Length"); said != "" && said != fmt.Sprint(size) {
		s.t.Errorf("%s: HEAD says %s bytes, GET has %d", res.name, said, size)
	}
}

// Ranges of what may be large and is one file: one, the end, several, and what is not there (RFC 9110 section 14). What is made of several files is sent as a whole.
func TestRanges(t *testing.T) {
	s, all := resources(t)
	ranged := 0
	for _, res := range all {
		whole := s.get(res.path, res.headers()...)
		want, tag := body(t, whole), whole.Header.Get("ETag")
		if res.whole {
			if r := s.get(res.path, res.headers("Range", "bytes=0-0")...); r.StatusCode != http.StatusOK || !bytes.Equal(body(t, r), want) {
				t.Errorf("%s: a range: %s", res.name, r.Status)
			}
			continue
		}
		ranged++
		n := len(want)
		for _, c := range []struct {
			value    string
			from, to int
			code     int
		}{
			{"bytes=0-0", 0, 1, 206}, {"bytes=7-", 7, n, 206}, {"bytes=-5", n - 5, n, 206}, {"bytes=3-6", 3, 7, 206}, {fmt.Sprint("bytes=2-", n+99), 2, n, 206}, {fmt.Sprint("bytes=-", n+99), 0, n, 206},
			{fmt.Sprint("bytes=", n, "-"), 0, 0, 416}, {fmt.Sprint("bytes=", n+9, "-", n+10), 0, 0, 416}, {"bytes=-0", 0, 0, 416},
			{"lines=1-2", 0, n, -1}, {"bytes=5-2", 0, n, -1}, {"bytes=x-1", 0, n, -1}, {"bytes=1", 0, n, -1},
		} {
			r := s.get(res.path, res.headers("Range", c.value)...)
			got := body(t, r)
			switch c.code {
			case 206:
				if r.StatusCode != 206 || !bytes.Equal(got, want[c.from:c.to]) || r.Header.Get("Content-Range") != fmt.Sprintf("bytes %d-%d/%d", c.from, c.to-1, n) || r.Header.Get("ETag") != tag {
					t.Errorf("%s: %s: %s, %d bytes, %s", res.name, c.value, r.Status, len(got), r.Header.Get("Content-Range"))
				}
			case 416:
				if r.StatusCode != 416 || r.Header.Get("Content-Range") != fmt.Sprintf("bytes */%d", n) {
					t.Errorf("%s: %s: %s, %q", res.name, c.value, r.Status, r.Header.Get("Content-Range"))
				}
			default: // no range at all: refused, or left out of account
				if r.StatusCode != 416 && (r.StatusCode != 200 || !bytes.Equal(got, want)) {
					t.Errorf("%s: %s: %s, %d bytes", res.name, c.value, r.Status, len(got))
				}
			}
		}
		if r := s.get(res.path, res.headers("Range", "bytes=0-1,4-5")...); r.StatusCode != 200 && (r.StatusCode != 206 || !strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/byteranges")) {
			t.Errorf("%s: two ranges: %s, %s", res.name, r.Status, r.Header.Get("Content-Type"))
		}
		for condition, code := range map[string]int{tag: 206, `"other"`: 200, "W/" + tag: 200, time.Now().UTC().Format(http.TimeFormat): 200} {
			if r := s.get(res.path, res.headers("Range", "bytes=0-1", "If-Range", condition)...); r.StatusCode != code {
				t.Errorf("%s: a range if it is %s: %s, want %d", res.name, condition, r.Status, code)
			}
		}
		if r := s.ask(http.MethodHead, res.path, res.headers("Range", "bytes=0-1")...); r.StatusCode != 200 && r.StatusCode != 206 || len(body(t, r)) > 0 {
			t.Errorf("%s: HEAD with a range: %s", res.name, r.Status)
		}
	}
	if ranged < 7 {
		t.Errorf("only %d kinds have ranges", ranged)
	}
}

// No answer, good or bad, is guessed at by a browser, runs in one, or is put into a page of another origin; all are private.
func TestGuards(t *testing.T) {
	s, all := resources(t)
	all = append(all, resource{name: "nothing", path: "/nothing"}, resource{name: "no such study", path: "/studies/1.2.3"}, resource{name: "no UID", path: "/studies/x"}, resource{name: "not accepted", path: "/studies", accept: "text/html"})
	for _, res := range all {
		for _, r := range []*http.Response{s.get(res.path, res.headers()...), s.ask(http.MethodHead, res.path, res.headers()...), s.ask(http.MethodDelete, res.path), s.get(res.path, res.headers("If-None-Match", "*")...)} {
			for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox", "Cross-Origin-Resource-Policy": "same-origin", "Access-Control-Allow-Origin": ""} {
				if got := r.Header.Get(name); got != want {
					t.Errorf("%s: %s: %s is %q", res.name, r.Status, name, got)
				}
			}
			if r.StatusCode < 300 && !strings.HasPrefix(r.Header.Get("Cache-Control"), "private, ") {
				t.Errorf("%s: Cache-Control is %q", res.name, r.Header.Get("Cache-Control"))
			}
		}
	}
}

// What pages of other origins may do, as the operator wants it: what browsers ask before, and what they look at afterwards.
func TestPreflight(t *testing.T) {
	const viewer = "https://viewer.example"
	s, all := resources(t)
	for _, c := range []struct {
		origins       []string
		from, allowed string
	}{
		{nil, viewer, ""}, {[]string{viewer}, viewer, viewer}, {[]string{viewer}, "https://viewer.example.evil", ""}, {[]string{viewer}, "http://viewer.example", ""}, {[]string{viewer}, "https://viewer.example:8443", ""},
		{[]string{viewer}, "null", ""}, {[]string{"https://a.example", viewer}, viewer, viewer}, {[]string{"*"}, viewer, "*"},
	} {
		s.handler = http.StripPrefix("/dicomweb", web.New(web.Config{Current: s.current, Archive: export.New(s.archive), Origins: c.origins}))
		for n, res := range all {
			if n%4 != len(c.from)%4 && raced.On(t) {
				continue
			}
			asked := s.ask(http.MethodOptions, res.path, "Origin", c.from, "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "authorization, range")
			r := s.get(res.path, res.headers("Origin", c.from)...)
			resource := "same-origin"
			if c.allowed != "" {
				resource = "cross-origin"
			}
			if r.Header.Get("Access-Control-Allow-Origin") != c.allowed || r.Header.Get("Access-Control-Allow-Credentials") != "" || r.Header.Get("Cross-Origin-Resource-Policy") != resource || r.StatusCode != 200 {
				t.Errorf("%v: %s from %s: %s, %v", c.origins, res.name, c.from, r.Status, r.Header)
			}
			if varies := slices.Contains(r.Header.Values("Vary"), "Origin"); varies != (c.origins != nil) {
				t.Errorf("%v: %s: Vary is %q", c.origins, res.name, r.Header.Values("Vary"))
			}
			if c.allowed == "" {
				if asked.StatusCode != http.StatusMethodNotAllowed || asked.Header.Get("Access-Control-Allow-Methods") != "" {
					t.Errorf("%v: %s may be asked from %s: %s", c.origins, res.name, c.from, asked.Status)
				}
				continue
			}
			may := strings.ToLower(asked.Header.Get("Access-Control-Allow-Headers"))
			if asked.StatusCode != http.StatusNoContent || !strings.Contains(asked.Header.Get("Access-Control-Allow-Methods"), "POST") || !strings.Contains(may, "authorization") || !strings.Contains(may, "range") || asked.Header.Get("Access-Control-Max-Age") == "" {
				t.Errorf("%v: %s is asked before from %s: %s, %v", c.origins, res.name, c.from, asked.Status, asked.Header)
			}
			for _, name := range []string{"ETag", "Content-Range", "Warning", "Retry-After"} {
				if !strings.Contains(r.Header.Get("Access-Control-Expose-Headers"), name) {
					t.Errorf("%s: %s is not to be read", res.name, name)
				}
			}
		}
	}
}
