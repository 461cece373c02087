package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"strings"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/regen"
	"github.com/dicomesh/dicomesh/regen/thumbnail"
)

const (
	tagRepresentative dedup.Tag = 0x00286010
	tagFloatPixels    dedup.Tag = 0x7FE00008
	tagDoublePixels   dedup.Tag = 0x7FE00009
)

// rendered answers a picture of an instance or of one of its frames, or of several frames as parts (PS3.18 section 10.4.1.1.3). Of an instance of several frames it is the representative one, else
// the first. One picture is a part too for those who accept nothing else.
func (h *Handler) rendered(w http.ResponseWriter, r *http.Request, t target) error {
	p, err := parsePainting(r)
	if err != nil {
		return err
	}
	frames, err := h.listed(t, r.PathValue("list"))
	if err != nil {
		return err
	}
	var single, several bool
	if len(frames) < 2 {
		p.kind, single = accepts(r, jpegType, pngType)
	}
	if !single {
		p.kind, several = acceptsParts(r, jpegType, pngType)
	}
	switch {
	case several:
		return h.pictures(w, r, t, wish{p, frames})
	case !single && len(frames) > 1:
		return errSeveral
	case !single:
		return problem{http.StatusNotAcceptable, "pictures are image/jpeg or image/png"}
	}
	return h.paint(w, r, t, p)
}

// listed are the numbers of frames in a path; none if there are none.
func (h *Handler) listed(t target, list string) (frames []int, err error) {
	if list == "" {
		return nil, nil
	}
	names, err := h.frameNames(t, list)
	for _, name := range names {
		n, _ := strconv.Atoi(strings.TrimPrefix(name, "frames/")) // frameNames has read it
		frames = append(frames, n)
	}
	return frames, err
}

// representative is the number of the frame that stands for an instance.
func representative(o dedup.Object) int {
	if n, err := strconv.Atoi(o.Text(tagRepresentative)); err == nil && n > 0 {
		return n
	}
	return 1
}

// paint answers a picture.
func (h *Handler) paint(w http.ResponseWriter, r *http.Request, t target, p painting) error {
	o, err := h.objectIn(&t)
	if err != nil {
		return err
	}
	var number int
	if list := r.PathValue("list"); list != "" {
		names, err := h.frameNames(t, list)
		if err != nil {
			return err
		}
		if len(names) != 1 {
			return problem{http.StatusBadRequest, "a thumbnail is of one frame"}
		}
		number, _ = strconv.Atoi(list) // frameNames has read it
	} else {
		number = representative(o)
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
	text, err := h.picture(r.Context(), shown{t, o, number, files[0]}, p)
	if err != nil {
		return err
	}
	p.warn(w)
	w.Header().Set("Content-Type", p.kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	if _, err := w.Write(text); err != nil {
		return sentError{err}
	}
	return nil
}

// shown is the frame of which a picture is made.
type shown struct {
	t      target // of its instance
	object dedup.Object
	number int
	frame
}

// picture decodes a frame and encodes what is seen of it. Few are made at the same time, because each needs the frame in memory several times; a client that is slow to read its picture holds up none.
func (h *Handler) picture(ctx context.Context, s shown, p painting) ([]byte, error) {
	if s.info.Size() > thumbnail.MaxFrame {
		return nil, errNoPicture
	}
	select {
	case h.painters <- struct{}{}:
		defer func() { <-h.painters }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	data, err := io.ReadAll(io.LimitReader(s.File, thumbnail.MaxFrame+1))
	if err != nil {
		return nil, err
	}
	series, _ := s.t.view.status.Of(s.t.series)
	d := thumbnail.Dataset{Object: s.object, Syntax: series.SyntaxOf(s.t.instance), Frame: s.number - 1, Bulk: func(uri string) ([]byte, error) { return h.value(s.t, uri) }}
	if _, is := s.object.Find(tagFloatPixels); is {
		d.Float = "OF"
	} else if _, is := s.object.Find(tagDoublePixels); is {
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
	return p.encode(seen)
}

func (p painting) encode(seen image.Image) ([]byte, error) {
	var out bytes.Buffer
	var err error
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
