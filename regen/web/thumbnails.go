package web

import (
	"bytes"
	"errors"
	"image"
	"image/jpeg"
	"io"
	"net/http"
	"strconv"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/regen/thumbnail"
)

// thumbnail answers the small picture that is kept of an instance or a series (PS3.18 section 10.4.1.1.4): the file as it is, or made of that what the client asks for.
func (h *Handler) thumbnail(folder func(target) string) answer {
	return func(w http.ResponseWriter, r *http.Request, t target) error {
		p, err := parseThumbnail(r)
		if err != nil {
			return err
		}
		f, info, err := h.open(folder(t) + "/thumbnail")
		if err != nil {
			return err
		}
		defer f.Close()
		w.Header().Add("Vary", "Accept")
		w.Header().Set("Content-Type", p.kind)
		w.Header().Set("Cache-Control", forNow)
		tag := tagOf(info)
		if p.kind == jpegType && p.view.Size == (image.Point{}) {
			w.Header().Set("ETag", `"`+tag+`"`)
			return sendFile(w, r, f, info.Size())
		}
		if fresh(w, r, `"`+digest(tag+p.kind+p.view.Size.String())+`"`) {
			return nil
		}
		return sendFitted(w, f, p)
	}
}

// maxThumbnail bounds the file of a thumbnail, which has a few ten thousand bytes.
const maxThumbnail = 1 << 20

// sendFitted sends a thumbnail in another size, or as PNG.
func sendFitted(w http.ResponseWriter, f durable.File, p painting) error {
	text, err := io.ReadAll(io.LimitReader(f, maxThumbnail))
	if err != nil {
		return err
	}
	kept, err := jpeg.Decode(bytes.NewReader(text))
	if err != nil {
		return err
	}
	seen, err := thumbnail.Fit(kept, p.view.Size)
	if errors.Is(err, thumbnail.ErrView) {
		return problem{http.StatusBadRequest, err.Error()}
	} else if err != nil {
		return err
	}
	if text, err = p.encode(seen); err != nil {
		return err
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	if _, err := w.Write(text); err != nil {
		return sentError{err}
	}
	return nil
}

// frameThumbnail answers a small picture of a frame (PS3.18 section 10.4.1.1.4).
func (h *Handler) frameThumbnail(w http.ResponseWriter, r *http.Request, t target) error {
	p, err := parseThumbnail(r)
	if err != nil {
		return err
	}
	if p.view.Size == (image.Point{}) {
		p.view.Size = image.Pt(thumbnail.Size, thumbnail.Size)
	}
	return h.paint(w, r, t, p)
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
