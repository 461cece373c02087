package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// badSite is one published study behind dicomesh serve, and something beside it that nobody may see.
type badSite struct {
	*server
	tree, current            string
	address                  string
	study, series, instances string // paths below the port
	instance                 string
}

// secret is what nobody may see.
const secret = "TOPSECRET"

// newBadSite publishes a study of two series.
func newBadSite(t *testing.T, size string) *badSite {
	t.Helper()
	dir := t.TempDir()
	s := &badSite{tree: filepath.Join(dir, "tree"), current: filepath.Join(dir, "current")}
	for _, args := range [][]string{{"ingest", "--tree", s.tree, sampled(t, "--studies", "1", "--series", "2", "--instances", "2", "--size", size)}, {"regen", "--tree", s.tree, "--current", s.current}} {
		if out, code := dicomesh(t, args...); code != 0 {
			t.Fatal(out)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte(secret), 0o644); err != nil {
		t.Fatal(err)
	}
	s.server = startServer(t, "--current", s.current, "--tree", s.tree)
	s.address = strings.TrimSuffix(strings.TrimPrefix(s.url, "http://"), "/dicomweb/studies")
	var rows []object
	_, _, text := fetched(t, s.url)
	(&agentSite{t: t}).decode(string(text), &rows)
	_, _, text = fetched(t, s.url+"/"+rows[0].text("0020000D")+"/instances")
	(&agentSite{t: t}).decode(string(text), &rows)
	s.study = "/dicomweb/studies/" + rows[0].text("0020000D")
	s.series = s.study + "/series/" + rows[0].text("0020000E")
	s.instances = s.series + "/instances"
	s.instance = s.instances + "/" + rows[0].text("00080018")
	return s
}

// raw sends bytes as they are, and returns the code of the answer, 0 when the connection is closed without one, and all of the answer.
func raw(t *testing.T, address, request string) (code int, answer []byte) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute)) // an answer that does not come is one of code 0
	_, _ = io.WriteString(c, request)              // it may be closed before all of it is sent
	answer, _ = io.ReadAll(c)
	_, _ = fmt.Sscanf(string(answer), "HTTP/1.1 %d", &code)
	return code, answer
}

// get is a request for a path as it stands.
func getting(path string, headers ...string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + strings.Join(append(headers, ""), "\r\n") + "\r\n"
}

// TestBadPaths asks the real binary for what is not there in every spelling of leading out of the tree: each is refused, with a sentence, and nothing of what lies beside it is seen.
func TestBadPaths(t *testing.T) {
	t.Parallel()
	s := newBadSite(t, "16")
	up := strings.Repeat("/..", 12)
	for path, code := range map[string]int{
		// out of the tree
		s.study + "/../../../secret": 400, "/dicomweb/studies/../../secret": 400, "/dicomweb/../secret": 400, "/dicomweb" + up + "/etc/passwd": 400, "/../secret": 404, "/etc/passwd": 404, "//etc/passwd": 404,
		s.study + "/%2e%2e/%2e%2e/%2e%2e/secret": 400, s.study + "/..%2f..%2f..%2fsecret": 400, s.study + "/%2E%2E%2F%2E%2E%2Fsecret": 400, s.study + "/.%2e/secret": 400, "/dicomweb/studies/%2e%2e%2f%2e%2e%2fsecret": 400,
		s.study + "/%252e%252e/%252e%252e/secret": 404, "/dicomweb/studies/..%252f..%252fsecret": 400, "/dicomweb/studies/%25%32%65%25%32%65": 400, // encoded twice
		s.study + `/..\..\..\secret`: 404, s.study + "/..%5c..%5csecret": 404, `/dicomweb/studies/..\..\secret`: 400, "/dicomweb/studies/%5c%5cserver%5cshare": 400, "/dicomweb/studies/C:%5csecret": 400,
		"/dicomweb/studies/%00": 400, s.study + "%00": 400, s.study + "/series%00/": 400, s.study + "/metadata%00.gz": 404, s.instance + "/frames/1%00": 400,
		"/dicomweb//etc/passwd": 400, "/dicomweb/studies//etc/passwd": 400, "/dicomweb/studies/%2fetc%2fpasswd": 400, s.study + "//metadata": 400, "/dicomweb//studies": 400,
		s.study + "/": 400, s.study + ".": 400, s.study + "..": 400, s.study + "/.": 400, s.study + "/..": 400, s.study + "/...": 404, s.study + "/metadata.": 404, s.study + "/metadata/": 400, s.series + ".": 400, s.instance + "./metadata": 400,
		s.study + "/%c0%ae%c0%ae/secret": 404, s.study + "/%ef%bc%8e%ef%bc%8e/secret": 404, s.study + "/%e0%80%ae%e0%80%ae/": 400, s.study + "/..;/..;/secret": 404, s.study + "/~/secret": 404, s.study + "/%ff%fe": 404,
		s.study + "/bulkdata/../../../secret": 400, s.study + "/bulkdata/..%2f..%2f..%2f..%2fsecret": 400, s.study + "/bulkdata/%2e%2e": 400, s.study + "/bulkdata/abc/de/../../../status.gz": 400, s.study + "/bulkdata/secret": 400, s.study + "/bulkdata/": 400,
		s.instance + "/frames/..%2f..%2fmetadata.gz": 400, s.instance + "/frames/1/../../../metadata.gz": 400, s.instance + "/frames/1%2f..%2f1": 400, s.instance + "/frames/%2e%2e": 400, s.instance + "/frames/1,..": 400, s.instance + "/frames/1e0": 400, s.instance + "/frames/-1": 400,
		s.instance + "/frames/99999999999999999999": 400, s.instance + "/frames/" + strings.Repeat("1,", 5000) + "1": 400,
		// what is in the tree, and nobody's to ask for
		s.study + "/status.gz": 404, s.study + "/studies.gz": 404, s.study + "/status": 404, s.series + "/metadata.gz": 404, "/dicomweb/.dicomesh": 404, "/dicomweb/studies/.dicomesh": 400, s.study + "/.dicomesh/x": 404,
		// no UIDs
		"/dicomweb/studies/" + strings.Repeat("1", 65): 400, "/dicomweb/studies/" + strings.Repeat("1.", 20_000) + "1": 400, "/dicomweb/studies/1..2": 400, "/dicomweb/studies/.1": 400, "/dicomweb/studies/1.2.3%20": 400, "/dicomweb/studies/%201.2": 400,
		"/dicomweb/studies/-1": 400, "/dicomweb/studies/1.2.3/metadata": 404, s.study + "/series/x/metadata": 400, s.series + "/instances/x/metadata": 400, s.study + "/series/1.2.3/metadata": 404, s.instances + "/1.2.3/metadata": 404,
		// queries
		"/dicomweb/studies?%zz": 400, "/dicomweb/studies?limit=99999999999999999999": 400, "/dicomweb/studies?PatientName=" + strings.Repeat("*a", 15_000): 400, "/dicomweb/studies?" + strings.Repeat("PatientID=1&", 5_000): 400, s.study + "/series?a;b": 400,
		"/dicomweb/studies?StudyInstanceUID=../x": 400, "/dicomweb/studies?includefield=../x": 400, s.instance + "/rendered?viewport=../x": 400,
	} {
		got, answer := raw(t, s.address, getting(path, "Accept: */*"))
		if got != code || bytes.Contains(answer, []byte(secret)) || bytes.Contains(answer, []byte("root:")) {
			t.Errorf("%.120s: %d, want %d: %.300q", path, got, code, answer)
		}
	}
	s.serves()
	s.stop()
}

// serves holds that the server is well.
func (s *badSite) serves() {
	s.t.Helper()
	if code, answer := raw(s.t, s.address, getting(s.study+"/metadata")); code != http.StatusOK || len(answer) < 1000 {
		s.t.Errorf("the server is not well: %d, %d bytes", code, len(answer))
	}
}

// TestBadLinks puts what is served, and what that is made of, elsewhere, with a link in its place: no answer goes through one, neither where the name ends nor on the way.
func TestBadLinks(t *testing.T) {
	t.Parallel()
	s := newBadSite(t, "16")
	in := func(path string) string { return filepath.Join(s.current, strings.TrimPrefix(path, "/dicomweb/")) }
	for _, c := range []struct{ linked, ask, accept string }{
		{s.instance + "/frames/1", s.instance + "/frames/1", "application/octet-stream"}, {s.instance + "/frames", s.instance + "/frames/1", "application/octet-stream"}, {s.instance, s.instance + "/frames/1", "application/octet-stream"},
		{s.instances, s.instance + "/frames", "*/*"}, {s.instance + "/frames", s.instance + "/rendered", "*/*"}, {s.instance + "/thumbnail", s.instance + "/thumbnail", "*/*"}, {s.instance, s.instance + "/thumbnail", "*/*"},
		{s.series + "/metadata.gz", s.series + "/metadata", "*/*"}, {s.series, s.series + "/metadata", "*/*"}, {s.series, s.study + "/metadata", "*/*"}, {s.series + "/instances.gz", s.series + "/instances", "*/*"}, {s.study + "/series", s.series + "/metadata", "*/*"},
		{s.study + "/deduplicated.gz", s.study + "/deduplicated", "*/*"}, {s.study + "/series.gz", s.study + "/series", "*/*"}, {s.study + "/studies.gz", s.study, "*/*"},
	} {
		if code, answer := raw(t, s.address, getting(c.ask, "Accept: "+c.accept)); code != http.StatusOK {
			t.Errorf("%s before: %d: %.300q", c.ask, code, answer)
		}
		back := linked(t, in(c.linked))
		code, answer := raw(t, s.address, getting(c.ask, "Accept: "+c.accept))
		if code < 400 || bytes.Contains(answer, []byte("root:")) {
			t.Errorf("%s is a link: %d: %.300q", c.linked, code, answer)
		}
		back()
	}
	s.serves()
	for path := range regular(t, s.tree) { // and in the archive, of which Part 10 files are made
		if strings.Contains(path, "bulkdata") {
			linked(t, path)
		}
	}
	for _, path := range []string{s.study, s.series, s.instance} {
		code, answer := raw(t, s.address, getting(path, `Accept: multipart/related; type="application/dicom"; transfer-syntax=*`))
		if code == http.StatusOK && bytes.Contains(answer, []byte("\r\n0\r\n\r\n")) {
			t.Errorf("%s is made through links: %d: %.300q", path, code, answer)
		}
	}
	s.stop()
}

// linked puts a file or folder elsewhere and a link in its place, until back is called.
func linked(t *testing.T, path string) (back func()) {
	t.Helper()
	away := filepath.Join(t.TempDir(), "away")
	for _, err := range []error{os.Rename(path, away), os.Symlink(away, path)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		for _, err := range []error{os.Remove(path), os.Rename(away, path)} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestBadHTTP sends what is hardly HTTP: it is refused, or the connection is closed, and the server goes on.
func TestBadHTTP(t *testing.T) {
	t.Parallel()
	s := newBadSite(t, "16")
	const host = "Host: localhost\r\nConnection: close\r\n"
	for name, c := range map[string]struct {
		request string
		codes   []int // 0: closed without an answer
	}{
		"a huge header":         {"GET /dicomweb/studies HTTP/1.1\r\n" + host + "X: " + strings.Repeat("x", 1<<20) + "\r\n\r\n", []int{431, 0}},
		"many headers":          {"GET /dicomweb/studies HTTP/1.1\r\n" + host + strings.Repeat("X: y\r\n", 100_000) + "\r\n", []int{431, 0}},
		"a huge path":           {"GET /dicomweb/studies/" + strings.Repeat("9", 1<<20) + " HTTP/1.1\r\n" + host + "\r\n", []int{431, 414, 400, 0}},
		"a header without end":  {"GET /dicomweb/studies HTTP/1.1\r\n" + host + strings.Repeat("x", 1<<20), []int{431, 400, 0}},
		"a huge Accept":         {getting("/dicomweb/studies", "Accept: "+strings.Repeat("a/b,", 15_000)), []int{406}},
		"a huge Range":          {getting(s.instance+"/frames/1", "Accept: application/octet-stream", "Range: bytes="+strings.Repeat("0-0,", 10_000)+"1-1"), []int{200, 206, 416}},
		"a huge condition":      {getting(s.series+"/metadata", "If-None-Match: "+strings.Repeat(`"x",`, 15_000)+`"y"`), []int{200}},
		"no Host":               {"GET /dicomweb/studies HTTP/1.1\r\nConnection: close\r\n\r\n", []int{400}},
		"two Hosts":             {"GET /dicomweb/studies HTTP/1.1\r\nHost: localhost\r\n" + host + "\r\n", []int{400}},
		"another's Host":        {"GET /dicomweb/studies HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", []int{421}},
		"another's URL":         {"GET http://evil.example/dicomweb/studies HTTP/1.1\r\n" + host + "\r\n", []int{421}},
		"another version":       {"GET /dicomweb/studies HTTP/9.9\r\n" + host + "\r\n", []int{505, 400}},
		"no version":            {"GET /dicomweb/studies\r\n\r\n", []int{400}},
		"a strange method":      {"BREW /dicomweb/studies HTTP/1.1\r\n" + host + "\r\n", []int{405}},
		"no method":             {"G\x00T /dicomweb/studies HTTP/1.1\r\n" + host + "\r\n", []int{400}},
		"TRACE":                 {"TRACE /dicomweb/studies HTTP/1.1\r\n" + host + "\r\n", []int{405}},
		"CONNECT":               {"CONNECT localhost:22 HTTP/1.1\r\n" + host + "\r\n", []int{400, 404, 405}},
		"DELETE":                {"DELETE " + s.study + " HTTP/1.1\r\n" + host + "\r\n", []int{405}},
		"PUT":                   {"PUT " + s.instance + " HTTP/1.1\r\n" + host + "Content-Length: 1\r\n\r\nx", []int{405}},
		"a NUL in a header":     {getting("/dicomweb/studies", "X: a\x00b"), []int{400}},
		"a name of blanks":      {getting("/dicomweb/studies", "X Y: z"), []int{400}},
		"TLS":                   {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", []int{400, 0}},
		"two lengths":           {"POST /dicomweb/studies HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 9\r\n\r\nx", []int{400}},
		"a length of words":     {"POST /dicomweb/studies HTTP/1.1\r\n" + host + "Content-Length: x\r\n\r\n", []int{400}},
		"a negative length":     {"POST /dicomweb/studies HTTP/1.1\r\n" + host + "Content-Length: -1\r\n\r\n", []int{400}},
		"a strange coding":      {"POST /dicomweb/studies HTTP/1.1\r\n" + host + "Transfer-Encoding: rot13\r\n\r\n", []int{501, 400}},
		"chunks that are none":  {"POST /dicomweb/studies HTTP/1.1\r\n" + host + "Content-Type: application/dicom\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", []int{400, 409}},
		"a huge chunk":          {"POST /dicomweb/studies HTTP/1.1\r\n" + host + "Content-Type: application/dicom\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n", []int{400, 409}},
		"expects something":     {"POST /dicomweb/studies HTTP/1.1\r\n" + host + "Expect: a miracle\r\nContent-Length: 0\r\n\r\n", []int{417}},
		"a body with a GET":     {"GET /dicomweb/studies HTTP/1.1\r\n" + host + "Content-Length: 3\r\n\r\nxyz", []int{200}},
		"no boundary":           {posting("multipart/related; type=\"application/dicom\"", "x"), []int{400}},
		"a boundary of another": {posting("multipart/related; type=\"application/dicom\"; boundary=a", "--b\r\n\r\nx\r\n--b--\r\n"), []int{400}},
		"a part that lies":      {posting("multipart/related; type=\"application/dicom\"; boundary=a", "--a\r\nContent-Length: 99\r\n\r\nx\r\n--a--\r\n"), []int{409}},
		"another type":          {posting("text/html", "x"), []int{415}},
	} {
		code, answer := raw(t, s.address, c.request)
		if !slices.Contains(c.codes, code) {
			t.Errorf("%s: %d, want one of %v: %.300q", name, code, c.codes, answer)
		}
	}
	s.serves()
	if n := len(export(t, s.tree)); n != 4 {
		t.Errorf("the archive gives back %d files, there were 4", n)
	}
	s.stop()
}

// posting is a request that stores a body.
func posting(contentType, body string) string {
	return fmt.Sprintf("POST /dicomweb/studies HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", contentType, len(body), body)
}
