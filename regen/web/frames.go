package web

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/dicomesh/dicomesh/dedup/durable"
)

// frame is an open frame, or value, and where it is.
type frame struct {
	durable.File
	info fs.FileInfo
	path string // relative to the URL of the request
}

// frames answers frames by their numbers, or all of them, in the syntax in which they are stored (PS3.18 sections 10.4.1.1.1 and 8.7.3.3).
func (h *Handler) frames(w http.ResponseWriter, r *http.Request, t target) error {
	t.listed = r.PathValue("list") != ""
	names, err := h.frameNames(t, r.PathValue("list"))
	if err != nil {
		return err
	}
	return h.pixels(w, r, t, names)
}

// pixeldata answers all pixels of an instance, which are its bulkdata (PS3.18 section 8.7.3.3): the stream of a video, or all frames.
func (h *Handler) pixeldata(w http.ResponseWriter, r *http.Request, t target) error {
	names := []string{"pixeldata"}
	_, err := h.config.Current.Lstat(t.instanceFile() + "/pixeldata")
	if errors.Is(err, fs.ErrNotExist) {
		names, err = h.allFrames(t)
	}
	if err != nil {
		return err
	}
	return h.pixels(w, r, t, names)
}

// pixels answers files of one instance, all of one generation: as parts, or one alone bare.
func (h *Handler) pixels(w http.ResponseWriter, r *http.Request, t target, names []string) error {
	files, err := h.still(&t, names)
	if err != nil {
		return err
	}
	defer func() {
		for _, f := range files {
			_ = f.Close() // they were only read
		}
	}()
	series, ok := t.view.status.Of(t.series)
	if !ok {
		return problem{http.StatusNotFound, t.nothing()}
	}
	syntax := series.SyntaxOf(t.instance)
	p, ok := negotiate(r, pixelType(syntax), syntax)
	if !ok || !p.multipart && len(files) > 1 {
		return problem{http.StatusNotAcceptable, "frames are sent as they are stored, several only as multipart/related: " + pixelType(syntax) + "; transfer-syntax=" + syntax}
	}
	w.Header().Add("Vary", "Accept")
	w.Header().Set("Cache-Control", forNow)
	return send(w, r, p, files)
}

// maxFrames is the most frames that one request may name or get.
const maxFrames = 4096

// frameNames are the files of the frames that are asked for: 1, or 1,2,3, or "" for all.
func (h *Handler) frameNames(t target, list string) ([]string, error) {
	if list == "" {
		return h.allFrames(t)
	}
	var names []string
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil || n == 0 || strconv.FormatUint(n, 10) != text {
			return nil, problem{http.StatusBadRequest, "frames are asked for by their numbers, from 1: frames/1 or frames/1,2,3"}
		}
		if names = append(names, "frames/"+text); len(names) > maxFrames {
			return nil, problem{http.StatusBadRequest, "too many frames for one request: at most 4096"}
		}
	}
	return names, nil
}

func (h *Handler) allFrames(t target) ([]string, error) {
	entries, err := h.config.Current.ReadDir(t.instanceFile() + "/frames")
	if err != nil {
		return nil, err
	}
	if len(entries) > maxFrames {
		return nil, problem{http.StatusBadRequest, "too many frames for one answer: ask for them by number, at most 4096 at once"}
	}
	var numbers []int
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil && n > 0 && e.Type().IsRegular() {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	names := make([]string, len(numbers))
	for i, n := range numbers {
		names[i] = "frames/" + strconv.Itoa(n)
	}
	return names, nil
}

// still opens files of an instance that no round replaces: the status is the same before and after, and does not speak of the instance.
func (h *Handler) still(t *target, names []string) ([]frame, error) {
	for range attempts {
		if slices.Contains(t.view.status.Replacing, t.instance.String()) {
			return nil, changing
		}
		files, err := h.openFrames(*t, names)
		if h.unchanged(t.study, t.view) {
			return files, err
		}
		for _, f := range files {
			_ = f.Close() // they were only looked at
		}
		if t.view, err = h.view(t.study); err != nil {
			return nil, err
		}
	}
	return nil, changing
}

func (h *Handler) openFrames(t target, names []string) ([]frame, error) {
	var files []frame
	for _, name := range names {
		f, info, err := h.open(t.instanceFile() + "/" + name)
		if err != nil {
			for _, f := range files {
				_ = f.Close() // they were only looked at
			}
			return nil, err
		}
		location := name
		if t.listed { // the URL ends in the numbers of frames
			location = strings.TrimPrefix(name, "frames/")
		}
		files = append(files, frame{f, info, location})
	}
	if len(files) == 0 {
		return nil, fs.ErrNotExist
	}
	return files, nil
}

// send sends files in the form that was negotiated.
func send(w http.ResponseWriter, r *http.Request, p payload, files []frame) error {
	tag := tagOf(files[0].info)
	for _, f := range files[1:] {
		tag += "." + tagOf(f.info)
	}
	if len(files) > 1 {
		tag = digest(tag)
	}
	if !p.multipart {
		w.Header().Set("Content-Type", p.mediaType)
		w.Header().Set("ETag", `"`+tag+`"`)
		return sendFile(w, r, files[0], files[0].info.Size())
	}
	if fresh(w, r, `"`+tag+`-m"`) {
		return nil
	}
	parts := make([]part, len(files))
	for n, f := range files {
		parts[n] = part{mediaType: p.mediaType, location: f.path, size: f.info.Size(), send: func(to io.Writer) error {
			sent, err := io.Copy(to, io.LimitReader(f.File, f.info.Size()))
			if err == nil && sent < f.info.Size() {
				err = io.ErrUnexpectedEOF
			}
			return err
		}}
	}
	return sendParts(w, r, parts, tag)
}
