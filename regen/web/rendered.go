package web

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"io/fs"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/regen"
	"github.com/dicomesh/dicomesh/regen/thumbnail"
)

// painting is how a client wants a picture (PS3.18 section 8.3.5.1).
type painting struct {
	view    thumbnail.View
	quality int
	kind    string // image/jpeg or image/png
}

const (
	jpegType = "image/jpeg"
	pngType  = "image/png"
)

// defaultQuality is that of JPEGs whose client names none.
const defaultQuality = 90

// parsePainting reads the parameters of a rendered resource. What is not done here is refused: a picture without what was asked for may mislead.
func parsePainting(r *http.Request) (painting, error) {
	p := painting{quality: defaultQuality}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return p, problem{http.StatusBadRequest, "the query cannot be read"}
	}
	for name, given := range values {
		if len(given) != 1 {
			return p, problem{http.StatusBadRequest, "a parameter stands more than once"}
		}
		if err := p.parameter(name, given[0]); err != nil {
			return p, err
		}
	}
	var ok bool
	if p.kind, ok = accepts(r, jpegType, pngType); !ok {
		return p, problem{http.StatusNotAcceptable, "pictures are image/jpeg or image/png"}
	}
	return p, nil
}

func (p *painting) parameter(name, given string) error {
	switch name {
	case "accept", "charset":
		return nil
	case "quality":
		n, err := strconv.Atoi(given)
		if err != nil || n < 1 || n > 100 {
			return problem{http.StatusBadRequest, "quality is a number from 1 to 100"}
		}
		p.quality = n
		return nil
	case "window":
		return p.window(given)
	case "viewport":
		return p.viewport(given)
	case "iccprofile":
		if given == "no" {
			return nil
		}
		return problem{http.StatusBadRequest, "pictures have no ICC profile: leave iccprofile out, or say no"}
	}
	return problem{http.StatusBadRequest, "a picture takes window, viewport, quality and accept; annotations and presentation states are not drawn here"}
}

// window reads center,width,function (8.3.5.1.4). The standard wants all three; the function that most clients leave out is linear.
func (p *painting) window(given string) error {
	f := strings.Split(given, ",")
	bad := problem{http.StatusBadRequest, "window is center,width or center,width,function, where function is linear, linear-exact or sigmoid"}
	if len(f) != 2 && len(f) != 3 {
		return bad
	}
	var n [2]float64
	for i := range n {
		v, err := strconv.ParseFloat(f[i], 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return bad
		}
		n[i] = v
	}
	if n[1] <= 0 {
		return bad
	}
	p.view.Center, p.view.Width = n[0], n[1]
	if len(f) == 3 {
		p.view.Function = f[2]
	}
	return nil
}

// viewport reads vw,vh or vw,vh,sx,sy,sw,sh (8.3.5.1.3): into what the picture, or a region of it, is to fit.
func (p *painting) viewport(given string) error {
	f := strings.Split(given, ",")
	bad := problem{http.StatusBadRequest, "viewport is width,height or width,height,x,y,width,height in whole pixels: first of the picture, then of the region of the frame that it shows"}
	if len(f) != 2 && len(f) != 6 {
		return bad
	}
	var n [6]int
	for i, text := range f {
		v, err := strconv.Atoi(text)
		if err != nil || v < 0 || v > 1<<16 || v == 0 && i != 2 && i != 3 {
			return bad
		}
		n[i] = v
	}
	p.view.Size = image.Pt(n[0], n[1])
	if len(f) == 6 {
		p.view.Region = image.Rect(n[2], n[3], n[2]+n[4], n[3]+n[5])
	}
	return nil
}

const (
	tagRepresentative dedup.Tag = 0x00286010
	tagFloatPixels    dedup.Tag = 0x7FE00008
	tagDoublePixels   dedup.Tag = 0x7FE00009
)

// rendered answers a picture of an instance or of one of its frames (PS3.18 section 10.4.1.1.3). Of an instance of several frames it is the representative one, else the first.
func (h *Handler) rendered(w http.ResponseWriter, r *http.Request, t target) error {
	p, err := parsePainting(r)
	if err != nil {
		return err
	}
	return h.paint(w, r, t, p)
}

// album refuses pictures of all instances of a study or series at once, which PS3.18 section 10.4.1.1.3 has: how many there are, and which of them can be decoded, is known only when they
// are made. Its table 10.4.3-1 has this code for what is too large to be returned.
func (h *Handler) album(http.ResponseWriter, *http.Request, target) error {
	return problem{http.StatusRequestEntityTooLarge, "pictures are made instance by instance, or frame by frame: ask for instances/<UID>/rendered, or for one picture of all: thumbnail"}
}

// frameThumbnail answers a small picture of a frame (PS3.18 section 10.4.1.1.4).
func (h *Handler) frameThumbnail(w http.ResponseWriter, r *http.Request, t target) error {
	if _, ok := accepts(r, jpegType); !ok {
		return problem{http.StatusNotAcceptable, "this is image/jpeg"}
	}
	return h.paint(w, r, t, painting{view: thumbnail.View{Size: image.Pt(thumbnail.Size, thumbnail.Size)}, quality: 85, kind: jpegType})
}

// paint makes a picture. Few are made at the same time, because each needs the frame in memory several times.
func (h *Handler) paint(w http.ResponseWriter, r *http.Request, t target, p painting) error {
	o, err := h.objectIn(&t)
	if err != nil {
		return err
	}
	number := 1
	if list := r.PathValue("list"); list != "" {
		names, err := h.frameNames(t, list)
		if err != nil {
			return err
		}
		if len(names) != 1 {
			return problem{http.StatusBadRequest, "pictures are asked for frame by frame"}
		}
		number, _ = strconv.Atoi(list) // frameNames has read it
	} else if n, err := strconv.Atoi(o.Text(tagRepresentative)); err == nil && n > 0 {
		number = n
	}
	files, err := h.still(&t, []string{"frames/" + strconv.Itoa(number)})
	if err != nil {
		return err
	}
	defer files[0].Close()
	w.Header().Add("Vary", "Accept")
	w.Header().Set("Cache-Control", forNow)
	series, _ := t.view.status.Of(t.series)
	if fresh(w, r, `"`+digest(fmt.Sprint("rendered 1 ", tagOf(files[0].info), series.Digest, p))+`"`) {
		return nil
	}
	select {
	case h.painters <- struct{}{}:
		defer func() { <-h.painters }()
	case <-r.Context().Done():
		return r.Context().Err()
	}
	text, err := h.picture(t, o, number, files[0], p)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", p.kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	if _, err := w.Write(text); err != nil {
		return sentError{err}
	}
	return nil
}

// picture decodes a frame and encodes what is seen of it.
func (h *Handler) picture(t target, o dedup.Object, number int, f frame, p painting) ([]byte, error) {
	if f.info.Size() > thumbnail.MaxFrame {
		return nil, errNoPicture
	}
	data, err := io.ReadAll(io.LimitReader(f, thumbnail.MaxFrame+1))
	if err != nil {
		return nil, err
	}
	series, _ := t.view.status.Of(t.series)
	d := thumbnail.Dataset{Object: o, Syntax: series.SyntaxOf(t.instance), Frame: number - 1, Bulk: func(uri string) ([]byte, error) { return h.value(t, uri) }}
	if _, is := o.Find(tagFloatPixels); is {
		d.Float = "OF"
	} else if _, is := o.Find(tagDoublePixels); is {
		d.Float = "OD"
	}
	seen, err := thumbnail.Render(d, data, p.view)
	switch {
	case errors.Is(err, thumbnail.ErrView):
		return nil, problem{http.StatusBadRequest, err.Error()}
	case errors.Is(err, thumbnail.ErrNoPicture):
		h.config.Log.Debug("no picture of a frame", "error", err)
		return nil, errNoPicture
	case err != nil:
		return nil, err
	}
	var out bytes.Buffer
	if p.kind == pngType {
		err = png.Encode(&out, seen)
	} else {
		err = jpeg.Encode(&out, seen, &jpeg.Options{Quality: p.quality})
	}
	return out.Bytes(), err
}

var errNoPicture = problem{http.StatusNotAcceptable, "no picture can be made of this frame here: its transfer syntax is not decoded, or it is too large. The frame itself is at frames"}

// maxTable is the largest value that is read to show a frame: tables have at most 65,536 entries of 16 bits.
const maxTable = 1 << 20

// value reads a value that the metadata of a series refers to.
func (h *Handler) value(t target, uri string) ([]byte, error) {
	ref, err := dedup.ParseBulkURI(strings.TrimPrefix(uri, "../../"))
	if err != nil || ref.Class != dedup.Bulkdata {
		return nil, fs.ErrNotExist
	}
	f, _, err := h.open(t.studyFile() + "/" + regen.BulkPath(ref))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxTable))
}

// studyThumbnail answers the thumbnail of a study's first series that has one (PS3.18 section 10.4.1.1.4).
func (h *Handler) studyThumbnail(w http.ResponseWriter, r *http.Request, t target) error {
	for _, s := range t.view.status.Series {
		uid, err := dedup.ParseUID(s.Series)
		if err != nil {
			return err
		}
		t.series = uid
		if _, err := h.config.Current.Lstat(t.seriesFile() + "/thumbnail"); err == nil {
			return h.thumbnail(target.seriesFile)(w, r, t)
		}
	}
	t.series = dedup.UID{}
	return problem{http.StatusNotFound, t.nothing()}
}
