package web

import (
	"net/http"

	"github.com/dicomesh/dicomesh/dedup"
)

// target is what a request's path names. The study's status is that of the moment when the request came.
type target struct {
	study, series, instance dedup.UID // zero where the path has none
	view                    view
	listed                  bool // the path names frames by their numbers
}

// parseTarget reads the UIDs of a path.
func parseTarget(r *http.Request) (target, error) {
	var t target
	for _, part := range [...]struct {
		name string
		uid  *dedup.UID
	}{{"study", &t.study}, {"series", &t.series}, {"instance", &t.instance}} {
		text := r.PathValue(part.name)
		if text == "" {
			continue
		}
		uid, err := dedup.ParseUID(text)
		if err != nil || uid.String() != text {
			return target{}, problem{http.StatusBadRequest, "the " + part.name + " in the path is no UID: digits and dots, at most 64"}
		}
		*part.uid = uid
	}
	return t, nil
}

func (t target) studyFile() string    { return "studies/" + t.study.String() }
func (t target) seriesFile() string   { return t.studyFile() + "/series/" + t.series.String() }
func (t target) instanceFile() string { return t.seriesFile() + "/instances/" + t.instance.String() }
