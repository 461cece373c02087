package web

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/regen"
	"github.com/dicomesh/dicomesh/regen/thumbnail"
)

// album is the pictures of a study or series: one of each instance that has pixels, the one that is to be had at instances/<UID>/rendered. What they are made of is of one generation: the
// metadata is held open, and of each frame it is known which file it was.
type album struct {
	view   view
	frames []int // of one instance, that are wanted; none: of each the one that stands for it
	series []albumSeries
	left   bool // of some instances there is no picture
	dark   bool // of some that have pixels
}

type albumSeries struct {
	uid    dedup.UID
	file   durable.File // its metadata
	images []albumImage
}

// albumImage is an instance that has a picture.
type albumImage struct {
	sop   dedup.UID
	frame int
	tag   string // of the frame's file
}

// maxAlbum bounds the pictures of one answer.
const maxAlbum = 100_000

// album answers pictures of a study or series, as parts (PS3.18 section 10.4.1.1.3), made one after the other as they are sent. One part bare is not to be had, also where there is one picture
// (10.4.4). Where there are instances without one, as reports, the answer is 206 (table 10.4.3-1).
func (h *Handler) album(w http.ResponseWriter, r *http.Request, t target) error {
	p, err := parsePainting(r)
	if err != nil {
		return err
	}
	var ok bool
	if p.kind, ok = acceptsParts(r, jpegType, pngType); !ok {
		return errSeveral
	}
	return h.pictures(w, r, t, wish{p, nil})
}

var errSeveral = problem{http.StatusNotAcceptable, `these are several pictures: multipart/related; type="image/jpeg", or type="image/png". One alone is at instances/<UID>/rendered, or at frames/<number>/rendered`}

// wish is what a client wants to see.
type wish struct {
	painting
	frames []int // of the instance in the path; none: all of what the path names
}

// pictures answers several.
func (h *Handler) pictures(w http.ResponseWriter, r *http.Request, t target, p wish) error {
	a, err := h.openAlbum(r.Context(), t, p.frames)
	if err != nil {
		return err
	}
	defer a.close()
	w.Header().Add("Vary", "Accept")
	w.Header().Set("Cache-Control", forNow)
	tag := a.view.status.Leaves[:32] + "-" + a.view.status.Version + "-" + digest(p.kind+"?"+p.query)
	if fresh(w, r, `"`+tag+`"`) {
		return nil
	}
	t.view = a.view
	s := &albumSender{handler: h, w: w, r: r, t: t, wish: p, boundary: boundaryOf(tag), left: a.left}
	if r.Method == http.MethodHead {
		s.begin()
		return nil
	}
	return s.all(a)
}

// openAlbum looks what pictures there are.
func (h *Handler) openAlbum(ctx context.Context, t target, frames []int) (*album, error) {
	for range attempts {
		a, err := h.lookForAlbum(ctx, t, frames)
		if err == nil && !h.unchanged(t.study, t.view) {
			a.close()
			err = changing
		}
		if !errors.Is(err, changing) {
			return a, err
		}
		if t.view, err = h.view(t.study); err != nil {
			return nil, err
		}
	}
	return nil, changing
}

func (h *Handler) lookForAlbum(ctx context.Context, t target, frames []int) (*album, error) {
	a, wanted := &album{view: t.view, frames: frames}, t.view.status.Series
	if t.series != (dedup.UID{}) {
		one, ok := t.view.status.Of(t.series)
		if !ok {
			return nil, problem{http.StatusNotFound, t.nothing()}
		}
		wanted = []regen.SeriesStatus{one}
	}
	if len(wanted) > maxOpen {
		return nil, problem{http.StatusForbidden, "the study has too many series for one answer: ask series by series"}
	}
	images := 0
	for _, s := range wanted {
		err := ctx.Err()
		if err == nil {
			err = h.addSeries(a, t, s)
		}
		if err != nil {
			a.close()
			return nil, err
		}
		if images += len(a.series[len(a.series)-1].images); images > maxAlbum {
			a.close()
			return nil, problem{http.StatusRequestEntityTooLarge, "the study has too many images for one answer: ask series by series, or instance by instance"}
		}
	}
	switch {
	case images > 0:
		return a, nil
	case a.dark:
		a.close()
		return nil, errNoPicture
	}
	a.close()
	return nil, problem{http.StatusNotFound, t.nothing()}
}

// addSeries adds the pictures of a series.
func (h *Handler) addSeries(a *album, t target, s regen.SeriesStatus) error {
	file, err := h.openOf(t, s, "metadata.gz")
	if err != nil {
		return err
	}
	uid, err := dedup.ParseUID(s.Series)
	a.series = append(a.series, albumSeries{uid: uid, file: file})
	if err != nil {
		return err
	}
	m, err := h.unpacked.of(file)
	if err != nil {
		return err
	}
	sops := m.inOrder()
	if t.instance != (dedup.UID{}) {
		if sops = []string{t.instance.String()}; m.at[sops[0]] == [2]int{} {
			return problem{http.StatusNotFound, t.nothing()}
		}
	}
	t.series = uid
	for _, sop := range sops {
		if slices.Contains(t.view.status.Replacing, sop) {
			return changing
		}
		if t.instance, err = dedup.ParseUID(sop); err != nil {
			return err
		}
		if err := h.addImage(a, t, s, m); err != nil {
			return err
		}
	}
	return nil
}

// addImage adds the pictures of an instance, if it has any.
func (h *Handler) addImage(a *album, t target, s regen.SeriesStatus, m *unpacked) error {
	frames := a.frames
	if len(frames) == 0 {
		frames = []int{1}
		if text := m.object(t.instance); bytes.Contains(text, []byte(`"`+tagRepresentative.String()+`"`)) {
			o, err := dedup.ParseObject(text)
			if err != nil {
				return err
			}
			frames[0] = representative(o)
		}
	}
	last := &a.series[len(a.series)-1]
	for _, n := range frames {
		info, err := h.config.Current.Lstat(t.instanceFile() + "/frames/" + strconv.Itoa(n))
		switch {
		case errors.Is(err, fs.ErrNotExist) && len(a.frames) == 0:
			a.left = true
		case err != nil:
			return err
		case !thumbnail.Decodes(s.SyntaxOf(t.instance)) || info.Size() > thumbnail.MaxFrame:
			a.left, a.dark = true, true
		default:
			last.images = append(last.images, albumImage{t.instance, n, tagOf(info)})
		}
	}
	return nil
}

func (a *album) close() {
	for _, s := range a.series {
		_ = s.file.Close() // it was only read
	}
}

// albumSender sends pictures. The first is made before anything is said; one that fails later ends the connection, unless it was said that not all would come.
type albumSender struct {
	handler  *Handler
	w        http.ResponseWriter
	r        *http.Request
	t        target
	wish     wish
	boundary string
	left     bool // not all come
	begun    bool
}

// begin says what comes.
func (s *albumSender) begin() {
	s.begun = true
	s.w.Header().Set("Content-Type", relatedType(s.wish.kind, s.boundary))
	s.wish.warn(s.w)
	code := http.StatusOK
	if s.left {
		s.w.Header().Add("Warning", `299 dicomesh "Some instances have no picture here: they are left out."`)
		code = http.StatusPartialContent
	}
	s.w.WriteHeader(code)
}

func (s *albumSender) all(a *album) error {
	for _, one := range a.series {
		if err := s.series(one); err != nil {
			return s.failed(err)
		}
	}
	if !s.begun {
		return errNoPicture
	}
	_, err := io.WriteString(s.w, "\r\n--"+s.boundary+"--\r\n")
	return s.failed(err)
}

func (s *albumSender) failed(err error) error {
	if err == nil || !s.begun {
		return err
	}
	return sentError{err}
}

func (s *albumSender) series(one albumSeries) error {
	if len(one.images) == 0 {
		return nil
	}
	m, err := s.handler.unpacked.of(one.file)
	if err != nil {
		return err
	}
	t := s.t
	t.series = one.uid
	for _, i := range one.images {
		t.instance = i.sop
		picture, err := s.picture(t, i, m)
		if errors.Is(err, errNoPicture) && (s.left || !s.begun) {
			s.left = true
			continue
		}
		if err == nil {
			err = s.part(t, i.frame, picture)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// picture makes one. Its frame has to be the file that was there when the metadata was opened.
func (s *albumSender) picture(t target, i albumImage, m *unpacked) ([]byte, error) {
	o, err := dedup.ParseObject(m.object(i.sop))
	if err != nil {
		return nil, err
	}
	name := t.instanceFile() + "/frames/" + strconv.Itoa(i.frame)
	f, info, err := s.handler.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if tagOf(info) != i.tag {
		return nil, changing
	}
	return s.handler.picture(s.r.Context(), shown{t, o, i.frame, frame{File: f, info: info}}, s.wish.painting)
}

// location is where a picture is, relative to the URL of the request.
func (s *albumSender) location(t target, frame int) string {
	switch {
	case len(s.wish.frames) > 0:
		return "../" + strconv.Itoa(frame) + "/rendered"
	case s.t.instance != dedup.UID{}:
		return "rendered"
	case s.t.series != dedup.UID{}:
		return "instances/" + t.instance.String() + "/rendered"
	}
	return "series/" + t.series.String() + "/instances/" + t.instance.String() + "/rendered"
}

// part sends one.
func (s *albumSender) part(t target, number int, picture []byte) error {
	location := s.location(t, number)
	if s.wish.query != "" {
		location += "?" + s.wish.query
	}
	first := !s.begun
	if first {
		s.begin()
	}
	p := part{mediaType: s.wish.kind, location: location, size: int64(len(picture))}
	if _, err := io.WriteString(s.w, p.head(s.boundary, first)); err != nil {
		return err
	}
	_, err := s.w.Write(picture)
	return err
}

// acceptsParts returns the one of offers that the client likes best as the media type of several parts.
func acceptsParts(r *http.Request, offers ...string) (string, bool) {
	n := choose(r, len(offers), func(form int, m mediaRange) fit {
		return m.parts(func(part mediaRange) fit { return part.fits(offers[form]) })
	})
	if n < 0 {
		return "", false
	}
	return offers[n], true
}

// inOrder are the instances as they stand in the file.
func (m *unpacked) inOrder() []string {
	out := make([]string, 0, len(m.at))
	for sop := range m.at {
		out = append(out, sop)
	}
	slices.SortFunc(out, func(a, b string) int {
		return cmp.Or(cmp.Compare(m.at[a][0], m.at[b][0]), strings.Compare(a, b))
	})
	return out
}

// object is the text of an instance.
func (m *unpacked) object(sop dedup.UID) []byte {
	at := m.at[sop.String()]
	return m.text[at[0]:at[1]]
}
