package verify

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/index"
)

// references looks for everything that live records refer to.
func (l *look) references() {
	needed := make(map[dedup.Ref]int) // missing files, and how many instances need them
	first := make(map[dedup.Ref]dedup.UID)
	for _, i := range l.state.Instances {
		for _, r := range i.Missing {
			if needed[r]++; needed[r] == 1 {
				first[r] = i.SOP
			}
		}
	}
	for r, n := range needed {
		l.missing(r, first[r], n)
	}
}

// missing reports a bulkdata file that n instances need.
func (l *look) missing(r dedup.Ref, sop dedup.UID, n int) {
	who := "instance " + sop.String()
	if n > 1 {
		who += fmt.Sprintf(" and %d more", n-1)
	}
	h, held := l.bulk.Find(r)
	switch {
	case held && l.faulty(h.Path):
		// It is there and cannot be read, and was said to be corrupt.
	case held:
		l.find(Corrupt, h.Path, "it does not hold the object that "+who+" needs")
	default:
		l.find(Missing, l.whereIs(r), who+" needs it")
	}
}

func (l *look) faulty(path string) bool {
	_, has := l.reported[path]
	return has
}

// whereIs is the path of a file that is not there: the one that index or log remember, else where dicomesh would keep it.
func (l *look) whereIs(r dedup.Ref) string {
	for _, spelled := range r.Spellings() {
		at := spelled.In(l.study)
		_, indexed := l.indexed[at]
		_, logged := l.logged[at]
		if indexed || logged || l.faulty(at) {
			return at
		}
	}
	return r.In(l.study)
}

// The attributes that hold pixels.
var pixelTags = [...]dedup.Tag{0x7FE00008, 0x7FE00009, 0x7FE00010}

// foreignFrames looks for the frames of other writers' records. Where a list is corrupt or missing nobody can tell which records it had replaced, and an import
// replaces records whose frames it does not keep as they were: then the list is the fault, and frames are not missed before it is mended.
func (l *look) foreignFrames() {
	for _, f := range l.findings {
		r, err := dedup.ParseRef(strings.TrimPrefix(f.Path, "studies/"+l.study.String()+"/"))
		if err == nil && r.Class == dedup.List && f.Kind.Fault() {
			return
		}
	}
	for _, i := range l.state.Instances {
		for _, r := range i.Records {
			if r.Dedup.Version == "" {
				l.framesOf(i, r)
			}
		}
	}
}

// framesOf looks for the frames of another writer's record. They are no bulkdata: its URI, relative to the series, names a folder that holds them as 1, 2, 3...,
// with an extension that says how they are wrapped; or for video a folder that holds the stream. They are primary data, which nothing can make again.
func (l *look) framesOf(i dedup.SOPInstance, r dedup.Record) {
	for _, tag := range pixelTags {
		e, has := r.Object.Find(tag)
		if !has {
			continue
		}
		a, err := e.Attribute()
		if err != nil || len(a.Fragments) > 0 || a.BulkDataURI == "" {
			continue
		}
		if folder, video := frameFolder(a.BulkDataURI, i.Series); folder != "" {
			l.frames(folder, video, r)
		}
	}
}

// frameFolder is the folder in the study that a URI of frames names, "" if it is no such URI. It is built from parsed parts, and never the URI itself.
func frameFolder(uri string, series dedup.UID) (folder string, video bool) {
	uri, _, _ = strings.Cut(uri, "?")
	parts := strings.Split(uri, "/")
	n := len(parts)
	if n < 3 || parts[n-3] != "instances" {
		return "", false
	}
	leaf := parts[n-1]
	sop, err := dedup.ParseUID(parts[n-2])
	if err != nil || leaf != "frames" && leaf != "rendered" && leaf != "pixeldata" {
		return "", false
	}
	if n >= 5 && parts[n-5] == "series" {
		if s, err := dedup.ParseUID(parts[n-4]); err == nil {
			series = s
		}
	}
	if series == (dedup.UID{}) {
		return "", false
	}
	return "series/" + series.String() + "/instances/" + sop.String() + "/" + leaf, leaf != "frames"
}

// frames says which frames of a folder are not there.
func (l *look) frames(folder string, video bool, r dedup.Record) {
	present := l.framesIn(folder)
	at := "studies/" + l.study.String() + "/" + folder
	switch {
	case len(present) == 0 && l.faultIn(at):
		return // they were named one by one
	case len(present) == 0:
		l.find(Missing, at, fmt.Sprintf("no frames are there, and instance %s needs them", r.SOP))
		return
	case video:
		return
	}
	want, ok := dedup.Whole(l.state.Merge(r).Text(0x00280008))
	if !ok || want < 1 {
		want = 1
	}
	for n := 1; int64(n) <= want; n++ {
		if !present[n] {
			l.find(Missing, l.frameAt(at+"/"+strconv.Itoa(n)), fmt.Sprintf("instance %s has %d frames and needs it", r.SOP, want))
		}
	}
}

// faultIn reports whether something in a folder has been named.
func (l *look) faultIn(folder string) bool {
	for p := range l.reported {
		if path.Dir(p) == folder {
			return true
		}
	}
	return false
}

// frameAt is the path of a frame that is not there, with its extension if somebody remembers it or something else is in its place.
func (l *look) frameAt(frame string) string {
	match := func(p string) bool { return strings.HasPrefix(p, frame+".") }
	for p := range l.reported {
		if match(p) {
			return p
		}
	}
	for _, known := range []map[string]index.Entry{l.indexed, l.logged} {
		for p := range known {
			if match(p) {
				return p
			}
		}
	}
	return frame
}

// framesIn are the numbers of the frames in a folder; 0 is a file without a number.
func (l *look) framesIn(folder string) map[int]bool {
	present := make(map[int]bool)
	at, _ := slices.BinarySearchFunc(l.held, dedup.Ref{Class: dedup.Other, Name: folder + "/"}, func(h dedup.Held, r dedup.Ref) int { return h.Ref.Compare(r) })
	for _, h := range l.held[at:] {
		name, ok := strings.CutPrefix(h.Ref.Name, folder+"/")
		if !ok || h.Ref.Class != dedup.Other {
			break
		}
		number, _, _ := strings.Cut(name, ".")
		n, err := strconv.Atoi(number)
		if err != nil {
			n = 0
		}
		present[n] = true
	}
	return present
}

// vanished names files that index or log know and that are not there. Lists and instance files may have been combined into others since they were
// logged; the index hears of that.
func (l *look) vanished() {
	have := make(map[string]bool, len(l.held))
	for i, h := range l.held {
		have[h.Path] = !l.verdicts[i].gone
	}
	if n := len(l.indexed); n > 0 && len(l.held) == 0 && len(l.findings) == 0 {
		l.find(Missing, "studies/"+l.study.String(), fmt.Sprintf("the whole study is gone: it had %d files (the index alone can tell)", n))
		return
	}
	for p := range l.indexed {
		if !have[p] {
			l.find(Missing, p, "it was there when it was indexed (the index alone can tell)")
		}
	}
	for p, e := range l.logged {
		if !have[p] && (e.Ref.Class == dedup.Other || e.Ref.Class == dedup.Bulkdata) {
			l.find(Missing, p, "it was there when it was first seen")
		}
	}
}
