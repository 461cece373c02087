package regen

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
)

// Status is a study's last file, written when all others are in their places: a study without one was never finished. It says of what the files are, so that an answer
// that is joined of several can be held to one generation, and what a server has to say about frames, which say nothing themselves.
// It is equal at all sites that have the same leaves.
type Status struct {
	Study     string         `json:"study"`
	Leaves    string         `json:"leaves"`  // the leaf digest, which the files about the study carry
	Version   string         `json:"version"` // of the generator
	Instances int            `json:"instances"`
	Conflict  bool           `json:"conflict,omitempty"`  // the study waits for a human
	Placeless int            `json:"placeless,omitempty"` // instances that are not published because nothing tells their series
	Series    []SeriesStatus `json:"series"`              // in order
	// Replacing are the instances of which a round that is under way, or died, replaces frames: until it ends, which of a frame's two contents is
	// there cannot be told. It is empty in the status that ends a round.
	Replacing []string `json:"replacing,omitempty"`
}

// SeriesStatus is what is said of one series.
type SeriesStatus struct {
	Series    string `json:"series"`
	Digest    string `json:"digest"` // which metadata and instances carry
	Instances int    `json:"instances"`
	// Syntax is the transfer syntax of the frames of its first instance that has some, Others that of those (by SOP Instance UID) in which it is another.
	Syntax string            `json:"syntax,omitempty"`
	Others map[string]string `json:"others,omitempty"`
}

const (
	statusName = "status.gz"
	maxStatus  = 64 << 20
)

// StatusPath is where a study's status is in a current tree.
func StatusPath(study dedup.UID) string { return "studies/" + study.String() + "/" + statusName }

// ReadStatus reads the status of a study; fs.ErrNotExist when it has none. An error of another kind is one of the disk, or of a file that is not what a round wrote.
func ReadStatus(current durable.Reader, study dedup.UID) (Status, error) {
	text, err := readGzip(current, StatusPath(study), maxStatus)
	if err != nil {
		return Status{}, fmt.Errorf("status: %w", err)
	}
	var s Status
	if err := json.Unmarshal(text, &s); err != nil {
		return Status{}, fmt.Errorf("status: %w: %w", dedup.ErrDamaged, err)
	}
	if s.Study != study.String() {
		return Status{}, fmt.Errorf("status: it is another study's: %w", dedup.ErrDamaged)
	}
	return s, nil
}

// Of is what is said of a series, false when the study has none of that UID.
func (s Status) Of(series dedup.UID) (SeriesStatus, bool) {
	n, ok := slices.BinarySearchFunc(s.Series, series.String(), func(e SeriesStatus, uid string) int {
		switch {
		case e.Series < uid:
			return -1
		case e.Series > uid:
			return 1
		}
		return 0
	})
	if !ok {
		return SeriesStatus{}, false
	}
	return s.Series[n], true
}

// SyntaxOf is the transfer syntax of an instance's frames.
func (s SeriesStatus) SyntaxOf(instance dedup.UID) string {
	if other, ok := s.Others[instance.String()]; ok {
		return other
	}
	return s.Syntax
}

// status is the study's, as it is when this round has ended.
func (s *study) status() ([]byte, error) {
	out := Status{Study: s.uid.String(), Leaves: s.leaves.String(), Version: Version, Instances: len(s.all), Conflict: s.state.Conflict(), Placeless: s.placeless}
	for _, instances := range s.series() {
		out.Series = append(out.Series, s.seriesStatus(instances))
	}
	return json.Marshal(out)
}

func (s *study) seriesStatus(instances []*instance) SeriesStatus {
	uid := instances[0].series
	out := SeriesStatus{Series: uid.String(), Digest: s.digests[uid].String(), Instances: len(instances)}
	for _, i := range instances {
		switch {
		case i.pixels == nil || i.syntax == out.Syntax:
		case out.Syntax == "":
			out.Syntax = i.syntax
		default:
			if out.Others == nil {
				out.Others = make(map[string]string)
			}
			out.Others[i.sop.String()] = i.syntax
		}
	}
	return out
}

// warn stages the present status with the instances of which frames are about to be replaced, if there are any and somebody reads it.
func (p *place) warn(study dedup.UID) error {
	if len(p.replacing) == 0 {
		return nil
	}
	s, err := ReadStatus(p.fs, study)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil { // whatever it is, nobody can read it
		return nil // the round writes a new one
	}
	s.Replacing = append(s.Replacing, p.replacing...)
	slices.Sort(s.Replacing)
	s.Replacing = slices.Compact(s.Replacing)
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := p.stageOwn(ofWarning, StatusPath(study), text); err != nil || len(p.staged[ofStatus]) > 0 {
		return err
	}
	s.Replacing = nil // of the same leaves as before: only the frames were not what they should be
	if text, err = json.Marshal(s); err != nil {
		return err
	}
	return p.stageOwn(ofStatus, StatusPath(study), text)
}
