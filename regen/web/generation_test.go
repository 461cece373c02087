package web_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/phantom"
	"github.com/dicomesh/dicomesh/e2e/raced"
	"github.com/dicomesh/dicomesh/regen"
	"github.com/dicomesh/dicomesh/regen/web"
)

// Whatever moment of a round a client meets, an answer is wholly of the old generation or wholly of the new, or asks to come again; and so it is after a power cut.
func TestOneGeneration(t *testing.T) {
	shape := phantom.Study{Number: 1, Series: 3, Instances: 2, Size: 8}
	files, all := parts(t, shape)
	study := "/studies/" + shape.UID()
	paths := []string{study + "/metadata", study + "/instances", study + "/series", study,
		study + "/series/" + all[0].SeriesInstanceUID() + "/instances/" + all[0].SOPInstanceUID() + "/metadata"}
	old, young := newSite(t, web.Config{}, files[0], files[2], files[4]), newSite(t, web.Config{}, files...)
	before, after := answers(old, paths), answers(young, paths)
	uid, err := dedup.ParseUID(shape.UID())
	must(t, err)
	met := map[string]int{}
	for k := 0; ; k++ {
		if k < 60 || raced.On(t) {
			k += 5 // so far it only stages, or the detector makes it slow
		}
		current := crashfs.New()
		_, err := regen.New(regen.Config{Archive: old.archive, Current: current, NoThumbnails: true}).Study(t.Context(), uid, time.Unix(1, 0))
		must(t, err)
		current.Hook = crashfs.CrashAt(current.Ops() + k)
		_, err = regen.New(regen.Config{Archive: young.archive, Current: current, NoThumbnails: true}).Study(t.Context(), uid, time.Unix(1, 0))
		left := current.Crash(rand.New(rand.NewPCG(uint64(k), 2)))
		s := &site{t: t, current: left, handler: http.StripPrefix("/dicomweb", web.New(web.Config{Current: left}))}
		for n, got := range answers(s, paths) {
			switch {
			case got == before[n]:
				met["old"]++
			case got == after[n]:
				met["new"]++
			case got == "503" && (n < 2 || n == 4):
				met["later"]++
			default:
				t.Errorf("crash at %d: %s is of no generation: %.100s", k, paths[n], got)
			}
		}
		if err == nil {
			break
		}
	}
	if met["old"] == 0 || met["new"] == 0 || met["later"] == 0 {
		t.Errorf("met only %v", met)
	}
}

// answers are the bodies of what is asked for; the code of a 503.
func answers(s *site, paths []string) (out []string) {
	for _, path := range paths {
		r := s.get(path)
		if text := string(body(s.t, r)); r.StatusCode == http.StatusOK {
			out = append(out, text)
		} else {
			out = append(out, r.Status[:3])
		}
	}
	return out
}

// While the frames of an instance are being replaced nobody gets one of them with the other's neighbours or syntax; the status says so before the first is.
func TestFramesBeingReplaced(t *testing.T) {
	files, all := parts(t, small())
	s := newSite(t, web.Config{}, files...)
	uid, err := dedup.ParseUID(small().UID())
	must(t, err)
	instance := "/studies/" + small().UID() + "/series/" + all[0].SeriesInstanceUID() + "/instances/" + all[0].SOPInstanceUID()
	frame := instance[1:] + "/frames/1"
	right, wrong := s.onDisk(frame), []byte("what stood there before")
	told := 0
	for k := 0; ; k++ {
		current := crashfs.New()
		_, err := regen.New(regen.Config{Archive: s.archive, Current: current, NoThumbnails: true}).Study(t.Context(), uid, time.Unix(1, 0))
		must(t, err)
		must(t, durable.ReplaceFile(current, frame, wrong)) // and the record knows another size
		current.Hook = crashfs.CrashAt(current.Ops() + k)
		_, err = regen.New(regen.Config{Archive: s.archive, Current: current, NoThumbnails: true}).Study(t.Context(), uid, time.Unix(1, 0))
		left := current.Crash(rand.New(rand.NewPCG(uint64(k), 3)))
		status, failed := regen.ReadStatus(left, uid)
		must(t, failed)
		at := &site{t: t, current: left, handler: http.StripPrefix("/dicomweb", web.New(web.Config{Current: left}))}
		r := at.get(instance+"/frames/1", "Accept", "application/octet-stream")
		told += len(status.Replacing)
		if slices.Contains(status.Replacing, all[0].SOPInstanceUID()) != (r.StatusCode == http.StatusServiceUnavailable) || len(status.Replacing) > 1 {
			t.Errorf("crash at %d: replacing %v, and the frame is answered with %s", k, status.Replacing, r.Status)
		}
		if err == nil {
			if !bytes.Equal(body(t, r), right) {
				t.Errorf("at the end, %d, the frame is not the archive's: %s, %.60q; %d bytes", k, r.Status, at.onDisk(frame), len(right))
			}
			break
		}
		if len(status.Replacing) == 0 && !bytes.Equal(at.onDisk(frame), wrong) && k < 5 {
			t.Errorf("crash at %d: the frame changes and the status does not say so", k)
		}
	}
	if told == 0 {
		t.Error("no status ever said that frames are replaced")
	}
}

// A status that is another's, or no status at all, is not believed.
func TestDamagedStatus(t *testing.T) {
	files, _ := parts(t, small())
	s := newSite(t, web.Config{}, files...)
	study := "/studies/" + small().UID()
	for _, text := range []string{"", "{", `{"study":"1.2.3"}`, `[]`} {
		must(t, durable.ReplaceFile(s.current, study[1:]+"/status.gz", dedup.Compress(nil, []byte(text))))
		if r := s.get(study + "/series"); r.StatusCode != http.StatusInternalServerError {
			t.Errorf("with a status of %q: %s", text, r.Status)
		}
		if r := s.get("/studies"); r.StatusCode != http.StatusNoContent {
			t.Errorf("with a status of %q it is listed: %s", text, r.Status)
		}
	}
	must(t, s.current.Remove(".dicomesh/studies/"+small().UID()+".gz"))
	s.regenerate()
	if r := s.get(study + "/series"); r.StatusCode != http.StatusOK || !json.Valid(body(t, r)) {
		t.Errorf("after the next round: %s", r.Status)
	}
}
