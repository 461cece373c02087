package web

import (
	"image"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/dicomesh/dicomesh/regen/thumbnail"
)

// painting is how a client wants a picture (PS3.18 section 8.3.5.1).
type painting struct {
	view    thumbnail.View
	quality int
	kind    string   // image/jpeg or image/png
	ignored []string // annotations that are not drawn
	query   string   // what was asked, in one spelling
}

const (
	jpegType = "image/jpeg"
	pngType  = "image/png"
)

// defaultQuality is that of JPEGs whose client names none.
const defaultQuality = 90

// parsePainting reads the parameters of a rendered resource, all but kind. What is not done here is refused, for a picture without what was asked for may mislead; but for annotations, of which the
// standard wants a warning instead.
func parsePainting(r *http.Request) (painting, error) {
	p := painting{quality: defaultQuality}
	err := p.parameters(r, func(name, given string) error {
		switch name {
		case "quality":
			return p.jpegQuality(given)
		case "window":
			return p.window(given)
		case "viewport":
			return p.viewport(given)
		case "annotation":
			return p.annotation(given)
		case "iccprofile":
			if given == "no" {
				return nil
			}
			return problem{http.StatusBadRequest, "pictures have no ICC profile: leave iccprofile out, or say no"}
		}
		return problem{http.StatusBadRequest, "a picture takes window, viewport, quality, annotation, iccprofile and accept; presentation states are not applied here"}
	})
	return p, err
}

// parseThumbnail reads those of a thumbnail (8.3.5.2).
func parseThumbnail(r *http.Request) (painting, error) {
	p := painting{quality: thumbnailQuality}
	err := p.parameters(r, func(name, given string) error {
		if name != "viewport" {
			return problem{http.StatusBadRequest, "a thumbnail takes viewport and accept"}
		}
		if strings.Count(given, ",") != 1 {
			return problem{http.StatusBadRequest, "the viewport of a thumbnail is width,height: it shows all of its frame"}
		}
		return p.viewport(given)
	})
	if err != nil {
		return p, err
	}
	var ok bool
	if p.kind, ok = accepts(r, jpegType, pngType); !ok {
		return p, problem{http.StatusNotAcceptable, "thumbnails are image/jpeg or image/png"}
	}
	return p, nil
}

// thumbnailQuality is that of the thumbnails that are kept.
const thumbnailQuality = 85

// parameters reads a query, each parameter of which stands once.
func (p *painting) parameters(r *http.Request, read func(name, given string) error) error {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return problem{http.StatusBadRequest, "the query cannot be read"}
	}
	for name, given := range values {
		if len(given) != 1 {
			return problem{http.StatusBadRequest, "a parameter stands more than once"}
		}
		if name == "accept" || name == "charset" {
			continue // 8.3.3
		}
		if err := read(name, given[0]); err != nil {
			return err
		}
	}
	p.query = values.Encode()
	return nil
}

// jpegQuality reads quality (8.3.5.1.2), which PNG takes no notice of.
func (p *painting) jpegQuality(given string) error {
	n, err := strconv.Atoi(given)
	if err != nil || n < 1 || n > 100 {
		return problem{http.StatusBadRequest, "quality is a number from 1 to 100"}
	}
	p.quality = n
	return nil
}

// annotation reads what should be drawn into the picture, all of which is left out, with a warning; what is no keyword is refused (8.3.5.1.1).
func (p *painting) annotation(given string) error {
	for word := range strings.SplitSeq(given, ",") {
		if word != "patient" && word != "technique" {
			return problem{http.StatusBadRequest, "annotation is patient or technique, or both: patient,technique"}
		}
		if !slices.Contains(p.ignored, word) {
			p.ignored = append(p.ignored, word)
		}
	}
	return nil
}

// warn says what of the wish is not fulfilled.
func (p *painting) warn(w http.ResponseWriter) {
	if len(p.ignored) > 0 {
		w.Header().Add("Warning", `299 dicomesh "The following annotation values are not supported: `+strings.Join(p.ignored, ",")+`"`)
	}
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
		v, ok := decimal(f[i])
		if !ok {
			return bad
		}
		n[i] = v
	}
	if n[1] <= 0 {
		return bad
	}
	p.view.Center, p.view.Width = n[0], n[1]
	if len(f) == 3 {
		if p.view.Function = f[2]; f[2] == "" {
			return bad // what is another word package thumbnail says
		}
	}
	return nil
}

// decimal reads a number as people write it: no infinity, no hexadecimal digits.
func decimal(text string) (float64, bool) {
	v, err := strconv.ParseFloat(text, 64)
	return v, err == nil && !math.IsInf(v, 0) && strings.Trim(text, "0123456789+-.eE") == ""
}

// viewport reads vw,vh or vw,vh,sx,sy,sw,sh (8.3.5.1.3): into what the picture, or a region of it, is to fit. Of the last four each may be empty, which is the frame's edge, and the commas behind the
// last one are left out. Their absolute values count, in whole pixels; a negative sw or sh mirrors the picture.
func (p *painting) viewport(given string) error {
	f := strings.Split(given, ",")
	bad := problem{http.StatusBadRequest, "viewport is width,height or width,height,x,y,width,height: first of the picture, in whole pixels, then of the region of the frame that it shows"}
	if len(f) < 2 || len(f) > 6 || f[len(f)-1] == "" {
		return bad
	}
	var n [6]int
	for i, text := range f {
		v, ok := decimal(text)
		if i < 2 && (strings.Trim(text, "0123456789") != "" || v < 1) || math.Abs(v) > 1<<16 {
			return bad
		}
		if n[i] = int(math.Round(math.Abs(v))); text != "" && (!ok || i > 3 && n[i] == 0) {
			return bad
		}
		p.view.Mirrored = p.view.Mirrored || i == 4 && v < 0
		p.view.Inverted = p.view.Inverted || i == 5 && v < 0
	}
	p.view.Size = image.Pt(n[0], n[1])
	p.view.Region.Min = image.Pt(n[2], n[3])
	if n[4] > 0 {
		p.view.Region.Max.X = n[2] + n[4]
	}
	if n[5] > 0 {
		p.view.Region.Max.Y = n[3] + n[5]
	}
	return nil
}
