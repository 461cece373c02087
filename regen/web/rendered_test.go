package web_test

import (
	"bytes"
	"image"
	"image/color"
	_ "image/jpeg"
	"image/png"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/ingest"
	"github.com/dicomesh/dicomesh/dedup/ingest/stow"
	"github.com/dicomesh/dicomesh/dedup/phantom"
	"github.com/dicomesh/dicomesh/regen/web"
)

// Pictures of an instance and of a frame, as JPEG and PNG, as large and as bright as they are asked for; what is not done is refused.
func TestRendered(t *testing.T) {
	files, all := parts(t, phantom.Study{Number: 1, Series: 1, Instances: 1, Size: 64})
	s := newSite(t, web.Config{}, files...)
	one := "/studies/" + phantom.Study{Number: 1, Series: 1, Instances: 1, Size: 64}.UID() + "/series/" + all[0].SeriesInstanceUID() + "/instances/" + all[0].SOPInstanceUID()
	picture := func(path, accept, want string) image.Image {
		t.Helper()
		r := s.get(one+path, "Accept", accept)
		text := body(t, r)
		p, kind, err := image.Decode(bytes.NewReader(text))
		if r.StatusCode != 200 || err != nil || r.Header.Get("Content-Type") != "image/"+want || kind != want {
			t.Fatalf("%s: %s, %s, %v: %.100s", path, r.Status, r.Header.Get("Content-Type"), err, text)
		}
		if again := s.get(one+path, "Accept", accept, "If-None-Match", r.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
			t.Errorf("%s again: %s", path, again.Status)
		}
		return p
	}
	whole := picture("/rendered", "image/png", "png")
	if whole.Bounds().Size() != image.Pt(64, 64) {
		t.Errorf("%v", whole.Bounds())
	}
	for _, path := range []string{"/rendered", "/frames/1/rendered", "/rendered?quality=10", "/frames/1/rendered?viewport=64,64", "/rendered?accept=image/jpeg"} {
		if p := picture(path, "*/*", "jpeg"); p.Bounds().Size() != image.Pt(64, 64) {
			t.Errorf("%s: %v", path, p.Bounds())
		}
	}
	if p := picture("/rendered?viewport=32,100", "image/png", "png"); p.Bounds().Size() != image.Pt(32, 32) {
		t.Errorf("fit into 32 by 100: %v", p.Bounds())
	}
	part := picture("/rendered?viewport=16,8,10,20,16,8", "image/png", "png")
	for y := range 8 {
		for x := range 16 {
			if part.At(x, y) != whole.At(10+x, 20+y) {
				t.Fatalf("a region is not that of the whole at %d, %d", x, y)
			}
		}
	}
	if p := picture("/frames/1/thumbnail", "image/jpeg", "jpeg"); p.Bounds().Dx() != 256 {
		t.Errorf("thumbnail of a frame: %v", p.Bounds())
	}
	bright, dark := picture("/rendered?window=-2000,1", "image/png", "png"), picture("/rendered?window=30000,10,linear-exact", "image/png", "png")
	if bright.At(30, 30) != (color.Gray{Y: 255}) || dark.At(30, 30) != (color.Gray{}) {
		t.Errorf("windows: %v, %v", bright.At(30, 30), dark.At(30, 30))
	}
	for path, code := range map[string]int{"?window=1": 400, "?window=a,b": 400, "?window=1,0": 400, "?window=1,2,cubic": 400, "?window=NaN,1": 400, "?quality=0": 400, "?quality=x": 400, "?viewport=1": 400, "?viewport=0,1": 400,
		"?viewport=9999999,1": 400, "?viewport=8,8,60,60,8,8": 400, "?iccprofile=yes": 400, "?iccprofile=no": 200, "?quality=1&quality=2": 400, "?viewport=60000,60000": 400} {
		if r := s.get(one + "/rendered" + path); r.StatusCode != code {
			t.Errorf("%s: %s, want %d", path, r.Status, code)
		}
	}
	for path, code := range map[string]int{"/frames/2/rendered": 404, "/frames/1,1/rendered": 200, "/frames/1,2/rendered": 404, "/frames/1,0/rendered": 400, "/frames/1,1/thumbnail": 400, "/frames/0/rendered": 400} {
		if r := s.get(one + path); r.StatusCode != code {
			t.Errorf("%s: %s, want %d", path, r.Status, code)
		}
	}
	for _, accept := range []string{"image/gif", "video/mp4", "application/dicom"} {
		if r := s.get(one+"/rendered", "Accept", accept); r.StatusCode != http.StatusNotAcceptable {
			t.Errorf("as %s: %s", accept, r.Status)
		}
	}
}

// Every case with pixels is rendered, or refused because it cannot be; and nothing else happens.
func TestRenderedCatalogue(t *testing.T) {
	var files [][]byte
	for n, c := range phantom.Cases() {
		if c.Frames != nil && !strings.HasPrefix(c.Name, "same/") && n%2 == 0 {
			files = append(files, c.Bytes())
		}
	}
	s := newSite(t, web.Config{}, files...)
	made := 0
	for _, o := range s.objects("/instances") {
		path := text(t, o["00081190"]) + "/rendered"
		switch r := s.get("/"+path, "Accept", "image/png"); r.StatusCode {
		case 200:
			if _, err := png.Decode(r.Body); err != nil {
				t.Error(err)
			}
			made++
		case 404, 406: // a video, or a syntax that is not decoded
		default:
			t.Errorf("%s: %s", path, r.Status)
		}
	}
	if made < 10 {
		t.Errorf("%d pictures", made)
	}
}

// Pages of other origins read answers only when the operator has named them.
func TestOrigins(t *testing.T) {
	files, _ := parts(t, small())
	for _, c := range []struct {
		origins []string
		from    string
		allowed string
	}{{nil, "https://viewer.example", ""}, {[]string{"https://viewer.example"}, "https://viewer.example", "https://viewer.example"}, {[]string{"https://viewer.example"}, "https://evil.example", ""},
		{[]string{"*"}, "https://any.example", "*"}, {[]string{"https://viewer.example"}, "", ""}} {
		s := newSite(t, web.Config{}, files...)
		s.handler = http.StripPrefix("/dicomweb", web.New(web.Config{Current: s.current, Origins: c.origins}))
		headers := []string{"Access-Control-Request-Method", "GET"}
		if c.from != "" {
			headers = append(headers, "Origin", c.from)
		}
		r := s.get("/studies", headers...)
		if got := r.Header.Get("Access-Control-Allow-Origin"); got != c.allowed || r.StatusCode != 200 {
			t.Errorf("%v from %s: %q, %s", c.origins, c.from, got, r.Status)
		}
		if c.origins != nil && !slices.Contains(r.Header.Values("Vary"), "Origin") {
			t.Error("a cache would give one origin's answer to another")
		}
		want := http.StatusMethodNotAllowed
		if c.allowed != "" {
			want = http.StatusNoContent
		}
		if r := s.ask(http.MethodOptions, "/studies", headers...); r.StatusCode != want || (r.Header.Get("Access-Control-Allow-Methods") != "") != (c.allowed != "") {
			t.Errorf("%v from %s: asked before: %s", c.origins, c.from, r.Status)
		}
	}
}

// What is posted goes to the door of STOW-RS, and comes back when it is published.
func TestStored(t *testing.T) {
	files, _ := parts(t, small())
	s := newSite(t, web.Config{})
	s.archive = crashfs.New()
	a, err := ingest.Open(s.archive)
	must(t, err)
	defer a.Close()
	s.handler = http.StripPrefix("/dicomweb", web.New(web.Config{Current: s.current, Store: stow.New(stow.Config{Archive: a, Spool: t.TempDir()})}))
	for _, path := range []string{"/studies", "/studies/" + small().UID()} {
		for _, f := range files[:3] {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://x/dicomweb"+path, bytes.NewReader(f))
			must(t, err)
			r.Header.Set("Content-Type", "application/dicom")
			w := &recorder{header: http.Header{}}
			s.handler.ServeHTTP(w, r)
			if w.code != http.StatusOK {
				t.Errorf("%s: %d: %s", path, w.code, w.Bytes())
			}
		}
	}
	s.regenerate()
	if got := len(s.uids("/instances", "00080018")); got != 3 {
		t.Errorf("%d instances", got)
	}
	for _, path := range []string{"/series", "/studies/" + small().UID() + "/series"} {
		if r := s.ask(http.MethodPost, path); r.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %s", path, r.Status)
		}
	}
	for path, want := range map[string]string{"/studies": "GET, HEAD, POST", "/studies/" + small().UID(): "GET, HEAD, POST", "/studies/" + small().UID() + "/series": "GET, HEAD", "/instances": "GET, HEAD"} {
		if r := s.ask(http.MethodDelete, path); r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != want {
			t.Errorf("DELETE %s: %s, which allows %q, want %q", path, r.Status, r.Header.Get("Allow"), want)
		}
	}
}

type recorder struct {
	bytes.Buffer
	header http.Header
	code   int
}

func (r *recorder) Header() http.Header  { return r.header }
func (r *recorder) WriteHeader(code int) { r.code = code }
