package web

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

const (
	explicit = "1.2.840.10008.1.2.1"
	baseline = "1.2.840.10008.1.2.4.50"
	jpegLS   = "1.2.840.10008.1.2.4.80"
)

// request asks with a query's accept parameter and an Accept header; "" is none.
func request(query, header string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/studies", nil)
	if query != "" {
		r.URL.RawQuery = "accept=" + url.QueryEscape(query)
	}
	for line := range strings.SplitSeq(header, "\n") {
		if line != "" {
			r.Header.Add("Accept", line)
		}
	}
	return r
}

// Frames in the syntax that they have, as parts or bare, or 406 (""): PS3.18 sections 8.7.3.5.2, 8.7.5, 8.7.7 and 8.7.8.1.
func TestNegotiatePixels(t *testing.T) {
	const parts, bare = "parts of ", ""
	octet, image := octets+"; transfer-syntax="+explicit, "image/jls; transfer-syntax="+jpegLS
	for _, c := range []struct{ syntax, query, header, want string }{
		{explicit, "", "", parts + octet},
		{explicit, "", "*/*", parts + octet},
		{explicit, "", "multipart/related", parts + octet},
		{explicit, "", "multipart/*", parts + octet},
		{explicit, "", `multipart/related; type="application/octet-stream"`, parts + octet},
		{explicit, "", "multipart/related; type=application/octet-stream; transfer-syntax=*", parts + octet}, // without the quotes: cornerstone's loader
		{explicit, "", `multipart/related; type="application/octet-stream; transfer-syntax=*"`, parts + octet},
		{explicit, "", `Multipart/Related; Type="Application/Octet-Stream"; Transfer-Syntax=` + explicit, parts + octet},
		{explicit, "", "application/octet-stream", bare + octet},
		{explicit, "", "application/*", bare + octet},
		{explicit, "", "application/octet-stream; transfer-syntax=" + explicit, bare + octet},
		{explicit, "", "application/octet-stream; transfer-syntax=" + jpegLS, ""},
		{explicit, "", `multipart/related; type="application/octet-stream"; transfer-syntax=` + baseline, ""},
		{explicit, "", `multipart/related; type="image/jpeg"`, ""},
		{explicit, "", "image/jpeg", ""},
		{explicit, "", "text/html, application/xhtml+xml", ""},
		{explicit, "", "application/octet-stream;q=0.1, */*", parts + octet},
		{explicit, "", "application/octet-stream, */*;q=0.8", bare + octet},
		{explicit, "", `multipart/related; type="application/octet-stream"; q=0.1, application/octet-stream; q=0.2`, bare + octet},
		{explicit, "", "application/octet-stream;q=0, */*", parts + octet},
		{explicit, "", "multipart/related;q=0, */*", bare + octet},
		{explicit, "", "*/*;q=0", ""},
		{explicit, "", "application/octet-stream;q=0", ""},
		{explicit, "", "application/octet-stream;q=NaN, image/jpeg", ""}, // what cannot be read is left out
		{explicit, "", "application/octet-stream;q=7, image/jpeg", ""},
		{explicit, "", "application/octet-stream; transfer-syntax=1; transfer-syntax=" + explicit, ""},
		{explicit, "", "nonsense, ;;, application/octet-stream", bare + octet},
		{explicit, "", "image/jpeg\napplication/octet-stream", bare + octet}, // two header fields
		{explicit, "", `multipart/related; type="a, b", application/octet-stream`, bare + octet},
		{jpegLS, "", "", parts + image},
		{jpegLS, "", "*/*", parts + image},
		{jpegLS, "", `multipart/related; type="image/jls"`, parts + image},
		{jpegLS, "", `multipart/related; type="image/jls"; transfer-syntax=` + jpegLS, parts + image},
		{jpegLS, "", `multipart/related; type="image/*"`, parts + image},
		{jpegLS, "", "image/jls", bare + image},
		{jpegLS, "", "image/*", bare + image},
		{jpegLS, "", "image/jpeg", ""},
		{jpegLS, "", "image/jls; transfer-syntax=1.2.840.10008.1.2.4.81", ""},
		{jpegLS, "", `multipart/related; type="application/octet-stream"`, ""}, // uncompressed bytes, which are not to be had
		{jpegLS, "", `multipart/related; type="application/octet-stream"; transfer-syntax=` + explicit, ""},
		{jpegLS, "", `multipart/related; type="application/octet-stream"; transfer-syntax=*`, parts + image},
		{jpegLS, "", "application/octet-stream; transfer-syntax=" + jpegLS, bare + image},
		{jpegLS, "", `multipart/related; type="application/octet-stream"; transfer-syntax=` + explicit + `, multipart/related; type="image/jls"; q=0.3`, parts + image},
		{explicit, "application/octet-stream", "*/*", bare + octet}, // the query's parameter counts first
		{explicit, "application/octet-stream", "", bare + octet},
		{explicit, "image/jpeg", "application/octet-stream", bare + octet}, // and the header where it finds nothing
		{explicit, "image/jpeg", "*/*", parts + octet},
		{explicit, "image/jpeg", "", ""},
		{explicit, "application/octet-stream;q=0.2, multipart/related;q=0.4", "*/*", parts + octet},
	} {
		p, ok := negotiate(request(c.query, c.header), pixelType(c.syntax), c.syntax)
		got := ""
		if ok && p.multipart {
			got = parts
		}
		if ok {
			got += p.mediaType
		}
		if got != c.want {
			t.Errorf("%s for %q and %q: %q, want %q", c.syntax, c.query, c.header, got, c.want)
		}
	}
}

// Part 10 files as they came: bare, as parts, or 406.
func TestNegotiateFiles(t *testing.T) {
	one, two := []string{explicit}, []string{explicit, jpegLS}
	for _, c := range []struct {
		syntaxes     []string
		header, want string
	}{
		{one, "", "parts"}, {one, "*/*", "parts"}, {one, "application/dicom", "bare"}, {one, "application/dicom; transfer-syntax=*", "bare"},
		{one, "application/dicom; transfer-syntax=" + explicit, "bare"}, {one, "application/dicom; transfer-syntax=" + jpegLS, ""},
		{one, `multipart/related; type="application/dicom"`, "parts"}, {one, "multipart/related; type=application/dicom", "parts"},
		{one, `multipart/related; type="application/dicom"; transfer-syntax=` + baseline, ""},
		{one, `multipart/related; type="application/dicom"; transfer-syntax=` + baseline + `;q=1, multipart/related; type="application/dicom"; transfer-syntax=` + explicit + ";q=0.5", "parts"},
		{one, `multipart/related; type="application/octet-stream"`, ""}, {one, "application/dicom+json", ""}, {one, "image/jpeg", ""},
		{one, `application/dicom;q=0.9, multipart/related; type="application/dicom";q=0.8`, "bare"},
		{two, "application/dicom", ""}, {two, "", "parts"}, {two, "application/dicom, multipart/related;q=0.1", "parts"},
		{two, `multipart/related; type="application/dicom"; transfer-syntax=` + explicit, ""}, {two, `multipart/related; type="application/dicom"; transfer-syntax=*`, "parts"},
	} {
		multipart, ok := negotiateFiles(request("", c.header), c.syntaxes)
		got := ""
		if ok {
			got = map[bool]string{true: "parts", false: "bare"}[multipart]
		}
		if got != c.want {
			t.Errorf("%d files as %q: %q, want %q", len(c.syntaxes), c.header, got, c.want)
		}
	}
}

// The URL of a study is its answer to a query, or its files, as the client likes.
func TestWantsFiles(t *testing.T) {
	for header, want := range map[string]bool{"": false, "*/*": false, "application/dicom+json": false, "application/json": false, "application/*": false, "text/html, */*;q=0.8": false,
		"application/dicom": true, "multipart/related": true, `multipart/related; type="application/dicom"`: true, "multipart/*": true, "multipart/related; type=application/dicom; transfer-syntax=*, */*;q=0.1": true,
		"application/dicom;q=0.5, application/dicom+json": false, "application/dicom;q=0, */*": false, "text/html": false} {
		if got := wantsFiles(request("", header)); got != want {
			t.Errorf("%q: %v", header, got)
		}
	}
}

// The media type of JSON and of pictures, and content codings.
func TestAccepts(t *testing.T) {
	for header, want := range map[string]string{"": "application/dicom+json", "*/*": "application/dicom+json", "application/json": "application/json", "application/dicom+json;q=0.1, application/json": "application/json",
		"application/dicom+json; charset=utf-8": "application/dicom+json", "application/dicom+xml": "", `multipart/related; type="application/dicom+xml", application/dicom+json;q=0.1`: "application/dicom+json",
		"application/dicom+json;q=0, application/*": "application/json", "text/*": ""} {
		if got, ok := accepts(request("", header), "application/dicom+json", "application/json"); got != want || ok != (want != "") {
			t.Errorf("%q: %q, want %q", header, got, want)
		}
	}
	for header, want := range map[string]bool{"": false, "gzip": true, "GZip": true, "x-gzip": true, "br, gzip;q=0.5": true, "gzip;q=0": false, "gzip; q=0.0": false, "*": true, "*;q=0": false, "*, gzip;q=0": false, "deflate, br": false, "identity": false, "gzip;q=x": false} {
		r := request("", "")
		r.Header.Set("Accept-Encoding", header)
		if got := gzips(r); got != want {
			t.Errorf("Accept-Encoding %q: %v", header, got)
		}
	}
}
