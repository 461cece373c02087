package web_test

import (
	"bytes"
	"errors"
	"image"
	"image/png"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/phantom"
	"github.com/dicomesh/dicomesh/regen/web"
)

// picturePart is a picture of an answer of several.
type picturePart struct {
	location string
	bytes    []byte
}

// pictures are the parts of an answer.
func (s *site) pictures(r *http.Response, kind string) (out []picturePart) {
	s.t.Helper()
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "multipart/related" || params["type"] != kind {
		s.t.Fatalf("%s, %q: %.200s", r.Status, r.Header.Get("Content-Type"), body(s.t, r))
	}
	for parts := multipart.NewReader(r.Body, params["boundary"]); ; {
		p, err := parts.NextPart()
		if err == io.EOF {
			return out
		}
		must(s.t, err)
		b, err := io.ReadAll(p)
		must(s.t, err)
		if p.Header.Get("Content-Type") != kind || p.Header.Get("Content-Length") == "" {
			s.t.Errorf("a part of %v", p.Header)
		}
		out = append(out, picturePart{p.Header.Get("Content-Location"), b})
	}
}

// The pictures of a study or series are those of its instances, each where it says that it is, as the client wants them.
func TestAlbum(t *testing.T) {
	files, all := parts(t, small())
	s := newSite(t, web.Config{}, files...)
	study := "/studies/" + small().UID()
	series := study + "/series/" + all[0].SeriesInstanceUID()
	for path, want := range map[string]int{study: 6, series: 3} {
		for _, c := range []struct{ query, accept, kind string }{
			{"", "*/*", "image/jpeg"}, {"", "multipart/related", "image/jpeg"}, {"", `multipart/related; type="image/png"`, "image/png"}, {"", `multipart/related; type="image/*"`, "image/jpeg"},
			{"?window=40,400&viewport=8,8", `multipart/related; type="image/png", image/jpeg`, "image/png"}, {"?accept=" + "multipart/related%3B%20type%3D%22image/png%22", "text/html, */*;q=0.1", "image/png"},
		} {
			r := s.get(path+"/rendered"+c.query, "Accept", c.accept)
			if r.StatusCode != http.StatusOK || r.Header.Get("Warning") != "" {
				t.Errorf("%s%s: %s, %q", path, c.query, r.Status, r.Header.Get("Warning"))
			}
			got := s.pictures(r, c.kind)
			for _, p := range got {
				base, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://x"+path+"/rendered", nil)
				must(t, err)
				u, err := base.URL.Parse(p.location)
				must(t, err)
				one := s.get(u.RequestURI(), "Accept", c.kind)
				if one.StatusCode != 200 || !bytes.Equal(body(t, one), p.bytes) {
					t.Errorf("%s%s: %s is %s, and another picture", path, c.query, p.location, one.Status)
				}
			}
			if places := slices.CompactFunc(slices.Clone(got), func(a, b picturePart) bool { return a.location == b.location }); len(got) != want || len(places) != want {
				t.Errorf("%s: %d pictures, want %d", path, len(got), want)
			}
			if again := s.get(path+"/rendered"+c.query, "Accept", c.accept, "If-None-Match", r.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
				t.Errorf("%s: again: %s", path, again.Status)
			}
			head := s.ask(http.MethodHead, path+"/rendered"+c.query, "Accept", c.accept)
			if head.StatusCode != 200 || head.Header.Get("Content-Type") != r.Header.Get("Content-Type") || len(body(t, head)) > 0 {
				t.Errorf("%s: HEAD: %s, %s", path, head.Status, head.Header.Get("Content-Type"))
			}
		}
		for query, c := range map[string]struct {
			accept string
			code   int
		}{"": {"image/jpeg", 406}, "?quality=1": {`multipart/related; type="image/gif"`, 406}, "?quality=2": {`multipart/related; type="application/dicom"`, 406}, "?quality=3": {"application/dicom+json", 406},
			"?quality=0": {"*/*", 400}, "?viewport=1": {"*/*", 400}, "?viewport=1,1,99,99,1,1": {"*/*", 400}, "?frame=1": {"*/*", 400}, "?annotation=name": {"*/*", 400}} {
			if r := s.get(path+"/rendered"+query, "Accept", c.accept); r.StatusCode != c.code || len(body(t, r)) == 0 {
				t.Errorf("%s%s as %s: %s, want %d", path, query, c.accept, r.Status, c.code)
			}
		}
	}
	if r := s.get(study + "/rendered?annotation=patient"); r.StatusCode != 200 || !strings.HasSuffix(r.Header.Get("Warning"), ` not supported: patient"`) {
		t.Errorf("annotations: %s, %q", r.Status, r.Header.Get("Warning"))
	}
	for path, code := range map[string]int{study + "/series/1.2.3/rendered": 404, "/studies/1.2.3/rendered": 404} {
		if r := s.get(path); r.StatusCode != code {
			t.Errorf("%s: %s", path, r.Status)
		}
	}
}

// Several frames of an instance are parts as well, in the order of the list; one alone is one for those who accept nothing else.
func TestAlbumOfFrames(t *testing.T) {
	shape := phantom.Study{Number: 1, Series: 1, Instances: 1, Size: 16, Frames: 4}
	files, all := parts(t, shape)
	s := newSite(t, web.Config{}, files...)
	one := "/studies/" + shape.UID() + "/series/" + all[0].SeriesInstanceUID() + "/instances/" + all[0].SOPInstanceUID()
	for _, c := range []struct {
		path, accept string
		want         []string
	}{
		{"/frames/3,1,4/rendered", "*/*", []string{"/frames/3", "/frames/1", "/frames/4"}}, {"/frames/2,2/rendered?viewport=4,4", "multipart/related", []string{"/frames/2", "/frames/2"}},
		{"/frames/2/rendered", `multipart/related; type="image/jpeg"`, []string{"/frames/2"}}, {"/rendered", `multipart/related; type="image/jpeg"`, []string{""}},
	} {
		_, query, _ := strings.Cut(c.path, "?")
		got := s.pictures(s.get(one+c.path, "Accept", c.accept), "image/jpeg")
		if len(got) != len(c.want) {
			t.Errorf("%s: %d pictures", c.path, len(got))
			continue
		}
		for n, p := range got {
			base, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://x"+one+c.path, nil)
			must(t, err)
			u, err := base.URL.Parse(p.location)
			must(t, err)
			if want := one + c.want[n] + "/rendered"; u.Path != want || u.RawQuery != strings.ReplaceAll(query, ",", "%2C") || !bytes.Equal(body(t, s.get(want+"?"+query, "Accept", "image/jpeg")), p.bytes) {
				t.Errorf("%s: part %d is at %s, want %s", c.path, n, u, want)
			}
		}
	}
	for path, code := range map[string]int{"/frames/1,9/rendered": 404, "/frames/1,x/rendered": 400, "/frames/1,/rendered": 400} {
		if r := s.get(one + path); r.StatusCode != code {
			t.Errorf("%s: %s, want %d", path, r.Status, code)
		}
	}
	if r := s.get(one+"/frames/1,2/rendered", "Accept", "image/jpeg"); r.StatusCode != http.StatusNotAcceptable || len(body(t, r)) < 20 {
		t.Errorf("several pictures as one: %s", r.Status)
	}
}

// What has no picture is left out and the answer says so (PS3.18 table 10.4.3-1); where there is none at all it is an error. Every study of the catalogue is answered.
func TestAlbumOfSome(t *testing.T) {
	var files [][]byte
	for n, c := range phantom.Cases() {
		if !strings.HasPrefix(c.Name, "same/") && n%3 == 0 {
			files = append(files, c.Bytes())
		}
	}
	s := newSite(t, web.Config{}, files...)
	codes := map[int]int{}
	for _, study := range s.uids("/studies", "0020000D") {
		path := "/studies/" + study
		want := 0
		for _, o := range s.objects(path + "/instances") {
			if s.get("/studies/"+study+"/"+text(t, o["00081190"])+"/rendered", "Accept", "image/png").StatusCode == 200 {
				want++
			}
		}
		all := len(s.objects(path + "/instances"))
		r := s.get(path+"/rendered", "Accept", `multipart/related; type="image/png"`)
		codes[r.StatusCode]++
		switch {
		case want == 0 && (r.StatusCode == 404 || r.StatusCode == 406):
			continue
		case want == all && r.StatusCode == 200, want < all && want > 0 && r.StatusCode == 206 && strings.HasPrefix(r.Header.Get("Warning"), "299 "):
			if got := len(s.pictures(r, "image/png")); got != want {
				t.Errorf("%d pictures, want %d", got, want)
			}
		default:
			t.Errorf("%d of %d instances have a picture: %s", want, all, r.Status)
		}
	}
	if codes[200]+codes[206] == 0 || codes[404] == 0 || codes[406] == 0 {
		t.Errorf("met only %v", codes)
	}
}

// mixedStudy is one of three CT images, of which change alters the second.
func mixedStudy(t *testing.T, s *site, change func(frame string)) string {
	t.Helper()
	base := "/studies/" + small().UID()
	for n, o := range s.objects(base + "/instances") {
		if n == 1 {
			change((base + "/" + text(t, o["00081190"]) + "/frames/1")[1:])
		}
	}
	return base
}

// One image without its pixels costs its picture and no other: 206. One that only turns out to be none on its way ends the connection, so that nobody takes a part for the whole, and so does one that was
// replaced since the answer began.
func TestAlbumCutShort(t *testing.T) {
	files, _ := parts(t, small())
	s := newSite(t, web.Config{}, files...)
	base := mixedStudy(t, s, func(frame string) { must(t, s.current.Remove(frame)) })
	r := s.get(base+"/rendered", "Accept", "*/*")
	if got := len(s.pictures(r, "image/jpeg")); r.StatusCode != http.StatusPartialContent || got != 5 {
		t.Errorf("one without its frame: %s, %d pictures", r.Status, got)
	}
	for name, change := range map[string]func(*site, string){
		"damaged":  func(s *site, frame string) { must(t, durable.ReplaceFile(s.current, frame, []byte("short"))) },
		"replaced": func(s *site, frame string) {},
	} {
		s := newSite(t, web.Config{}, files...)
		base := mixedStudy(t, s, func(frame string) {
			change(s, frame)
			if name == "replaced" {
				changed := false
				s.handler = http.StripPrefix("/dicomweb", web.New(web.Config{Current: opening{s.current, func(path string) {
					if strings.Contains(path, "/frames/") && path != frame && !changed {
						changed = true
						must(t, durable.ReplaceFile(s.current, frame, make([]byte, 2*16*16+2)))
					}
				}}}))
			}
		})
		if got, err := s.cutShort(base + "/rendered"); err == nil || got > 2 {
			t.Errorf("%s: %v, %d pictures", name, err, got)
		}
	}
}

// cutShort asks for pictures, and returns how many came, and whether the connection was ended.
func (s *site) cutShort(path string) (pictures int, err error) {
	w := httptest.NewRecorder()
	func() {
		defer func() { err, _ = recover().(error) }()
		s.handler.ServeHTTP(w, httptest.NewRequestWithContext(s.t.Context(), http.MethodGet, "/dicomweb"+path, nil))
	}()
	if err != nil && !errors.Is(err, http.ErrAbortHandler) {
		s.t.Errorf("%v", err)
	}
	return bytes.Count(w.Body.Bytes(), []byte("Content-Location: ")), err
}

// opening tells which files are opened.
type opening struct {
	durable.Reader
	opened func(path string)
}

func (o opening) Open(path string) (durable.File, error) {
	o.opened(path)
	return o.Reader.Open(path)
}

// Pictures are made as they are sent: when the first ones have been written the last have not even been read. So an answer needs the memory of one picture, however many it has.
func TestAlbumIsStreamed(t *testing.T) {
	files, _ := parts(t, small())
	s := newSite(t, web.Config{}, files...)
	read := 0
	h := web.New(web.Config{Current: opening{s.current, func(path string) {
		if strings.Contains(path, "/frames/") {
			read++
		}
	}}})
	w := &watching{header: http.Header{}, read: &read}
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/studies/"+small().UID()+"/rendered", nil))
	if w.most != 1 || w.heads != 6 {
		t.Errorf("%d frames were read ahead of what was sent, of %d", w.most, w.heads)
	}
}

// watching is a client that sees how far the server is ahead of it.
type watching struct {
	header            http.Header
	read              *int
	heads, sent, most int
}

func (w *watching) Header() http.Header { return w.header }
func (w *watching) WriteHeader(int)     {}

func (w *watching) Write(b []byte) (int, error) {
	w.most = max(w.most, *w.read-w.sent)
	if bytes.Contains(b, []byte("Content-Location: ")) {
		w.heads++
	} else {
		w.sent = w.heads
	}
	return len(b), nil
}

// Thumbnails are to be had of a study, a series, an instance and a frame, in the size that is asked for.
func TestThumbnails(t *testing.T) {
	files, all := parts(t, phantom.Study{Number: 1, Series: 1, Instances: 1, Size: 64})
	s := newSite(t, web.Config{}, files...)
	s.thumbnails = true
	must(t, s.current.Remove(".dicomesh/studies/"+phantom.Study{Number: 1, Series: 1, Instances: 1, Size: 64}.UID()+".gz"))
	s.regenerate()
	study := "/studies/" + phantom.Study{Number: 1, Series: 1, Instances: 1, Size: 64}.UID()
	series := study + "/series/" + all[0].SeriesInstanceUID()
	instance := series + "/instances/" + all[0].SOPInstanceUID()
	for _, path := range []string{study, series, instance, instance + "/frames/1"} {
		path += "/thumbnail"
		for query, side := range map[string]int{"?viewport=40,90": 40, "?viewport=300,200": 200, "": 256} {
			for accept, kind := range map[string]string{"*/*": "jpeg", "image/png": "png", "image/*": "jpeg"} {
				r := s.get(path+query, "Accept", accept)
				p, got, err := image.Decode(r.Body)
				if err != nil || got != kind || r.Header.Get("Content-Type") != "image/"+kind || query != "" && p.Bounds().Dx() != side || p.Bounds().Dx() != p.Bounds().Dy() {
					t.Errorf("%s%s as %s: %s, %s, %v", path, query, accept, r.Status, got, err)
				}
				if again := s.get(path+query, "Accept", accept, "If-None-Match", r.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
					t.Errorf("%s%s again: %s", path, query, again.Status)
				}
			}
		}
		for query, code := range map[string]int{"?viewport=8,8,1,1,2,2": 400, "?viewport=0,8": 400, "?viewport=8": 400, "?window=1,2": 400, "?quality=9": 400, "?viewport=60000,60000": 400, "?accept=image/gif": 406} {
			if r := s.get(path + query); r.StatusCode != code {
				t.Errorf("%s%s: %s, want %d", path, query, r.Status, code)
			}
		}
		if r := s.get(path, "Accept", "image/gif"); r.StatusCode != http.StatusNotAcceptable {
			t.Errorf("%s as GIF: %s", path, r.Status)
		}
	}
}

// A viewport crops, flips and fits, in each of the spellings of PS3.18 8.3.5.1.3; what is none is refused with words.
func TestViewport(t *testing.T) {
	shape := phantom.Study{Number: 1, Series: 1, Instances: 1, Size: 64}
	files, all := parts(t, shape)
	s := newSite(t, web.Config{}, files...)
	path := "/studies/" + shape.UID() + "/series/" + all[0].SeriesInstanceUID() + "/instances/" + all[0].SOPInstanceUID() + "/rendered"
	seen := func(query string) image.Image {
		t.Helper()
		r := s.get(path+query, "Accept", "image/png")
		p, err := png.Decode(r.Body)
		if err != nil {
			t.Fatalf("%s: %s, %v", query, r.Status, err)
		}
		return p
	}
	whole := seen("")
	for query, c := range map[string]struct {
		from       image.Rectangle // of the frame, which the picture shows pixel for pixel
		flipX, flY bool
	}{
		"64,64": {image.Rect(0, 0, 64, 64), false, false}, "64,64,0,0,64,64": {image.Rect(0, 0, 64, 64), false, false},
		"16,8,10,20,16,8": {image.Rect(10, 20, 26, 28), false, false}, "16,8,10,20,-16,8": {image.Rect(10, 20, 26, 28), true, false},
		"16,8,10,20,16,-8": {image.Rect(10, 20, 26, 28), false, true}, "16,8,-10,-20,-16,-8": {image.Rect(10, 20, 26, 28), true, true},
		"54,64,10": {image.Rect(10, 0, 64, 64), false, false}, "64,44,,20": {image.Rect(0, 20, 64, 64), false, false}, "16,64,,,16": {image.Rect(0, 0, 16, 64), false, false},
		"64,8,,,,-8": {image.Rect(0, 0, 64, 8), false, true}, "16,8,,,16,8": {image.Rect(0, 0, 16, 8), false, false}, "16,8,9.6,20.4,16.2,7.9": {image.Rect(10, 20, 26, 28), false, false},
		"64,64,,,-64": {image.Rect(0, 0, 64, 64), true, false},
	} {
		p := seen("?viewport=" + query)
		if p.Bounds().Size() != c.from.Size() {
			t.Errorf("%s: %v", query, p.Bounds())
			continue
		}
		for y := range c.from.Dy() {
			for x := range c.from.Dx() {
				fx, fy := x, y
				if c.flipX {
					fx = c.from.Dx() - 1 - x
				}
				if c.flY {
					fy = c.from.Dy() - 1 - y
				}
				if p.At(x, y) != whole.At(c.from.Min.X+fx, c.from.Min.Y+fy) {
					t.Fatalf("%s: another picture at %d, %d", query, x, y)
				}
			}
		}
	}
	half := seen("?viewport=32,32,,,-64,64")
	if same := seen("?viewport=32,32"); half.Bounds() != same.Bounds() || half.At(3, 9) != same.At(28, 9) {
		t.Errorf("a smaller picture is not flipped: %v", half.Bounds())
	}
	for _, query := range []string{"", "64", "64,", ",64", "64,64,", "64,64,1,", "64,64,,,", "64,64,1,1,2,", "-64,64", "64,-64", "64.5,64", "+64,64", "0,64", "64,64,60,60,8,8", "64,64,64", "64,64,,64", "64,64,0,0,0,8", "64,64,0,0,8,0",
		"64,64,0,0,0.2,8", "64,64,x,0,8,8", "64,64,NaN,0,8,8", "64,64,Inf,0,8,8", "64,64,0x1,0,8,8", "64,64,1e99,0,8,8", "64,64,0,0,65,64", "64,64,0,0,8,8,1", "999999,1", "60000,60000", "64,64,1 ,1,2,2"} {
		r := s.get(path + "?viewport=" + strings.ReplaceAll(query, " ", "%20"))
		if said := body(t, r); r.StatusCode != http.StatusBadRequest || len(said) < 20 {
			t.Errorf("%s: %s: %s", query, r.Status, said)
		}
	}
}

// The other parameters of PS3.18 8.3.5.1: bounds, words, and what is left out with a warning.
func TestPaintingParameters(t *testing.T) {
	files, all := parts(t, small())
	s := newSite(t, web.Config{}, files...)
	path := "/studies/" + small().UID() + "/series/" + all[0].SeriesInstanceUID() + "/instances/" + all[0].SOPInstanceUID()
	for query, c := range map[string]struct {
		code    int
		warning string // its end
	}{
		"quality=1": {200, ""}, "quality=100": {200, ""}, "quality=0": {400, ""}, "quality=101": {400, ""}, "quality=-1": {400, ""}, "quality=": {400, ""}, "quality=9.5": {400, ""}, "quality=x": {400, ""}, "quality=1&quality=2": {400, ""},
		"window=40,400,linear": {200, ""}, "window=40,400,linear-exact": {200, ""}, "window=40,400,sigmoid": {200, ""}, "window=40,400": {200, ""}, "window=-40.5,1e3,linear": {200, ""},
		"window=40": {400, ""}, "window=": {400, ""}, "window=,400,linear": {400, ""}, "window=40,,linear": {400, ""}, "window=40,400,": {400, ""}, "window=40,400,cubic": {400, ""}, "window=40,400,linear,1": {400, ""},
		"window=40,0,linear": {400, ""}, "window=40,-1,linear": {400, ""}, "window=40,0.5,linear": {400, ""}, "window=40,0.5,linear-exact": {200, ""}, "window=NaN,400,linear": {400, ""}, "window=40,Inf,linear": {400, ""}, "window=0x10,400,linear": {400, ""},
		"annotation=patient": {200, `: patient"`}, "annotation=technique": {200, `: technique"`}, "annotation=patient,technique": {200, `: patient,technique"`}, "annotation=patient,patient": {200, `: patient"`},
		"annotation=": {400, ""}, "annotation=Patient": {400, ""}, "annotation=patient,": {400, ""}, "annotation=patient,name": {400, ""}, "annotation": {400, ""},
		"iccprofile=no": {200, ""}, "iccprofile=yes": {400, ""}, "iccprofile=srgb": {400, ""}, "iccprofile=": {400, ""}, "presentationUID=1.2": {400, ""}, "charset=utf-8": {200, ""}, "quality=%zz": {400, ""}, "a;b": {400, ""},
	} {
		for _, resource := range []string{"/rendered", "/frames/1/rendered"} {
			r := s.get(path + resource + "?" + query)
			said := body(t, r)
			if warning := r.Header.Get("Warning"); r.StatusCode != c.code || !strings.HasSuffix(warning, c.warning) || (warning != "") != (c.warning != "") {
				t.Errorf("%s?%s: %s, %q, want %d", resource, query, r.Status, warning, c.code)
			}
			if c.code == 400 && (len(said) < 20 || bytes.Contains(said, []byte("cubic"))) {
				t.Errorf("%s?%s is refused with %q", resource, query, said)
			}
		}
	}
}
