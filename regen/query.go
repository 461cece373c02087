package regen

import (
	"slices"
	"strconv"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/part10"
)

// The attributes that only answers to queries have (PS3.18 tables 10.6.3-3 to -5).
const (
	tagCharacterSet    dedup.Tag = 0x00080005
	tagAvailability    dedup.Tag = 0x00080056
	tagModalities      dedup.Tag = 0x00080061
	tagClasses         dedup.Tag = 0x00080062
	tagRetrieveURL     dedup.Tag = 0x00081190
	tagTimezone        dedup.Tag = 0x00080201
	tagStudySeries     dedup.Tag = 0x00201206
	tagStudyInstances  dedup.Tag = 0x00201208
	tagSeriesInstances dedup.Tag = 0x00201209
)

// required are the attributes that an answer has even when they are empty or absent, with their VRs.
func required(level dedup.Type) map[dedup.Tag]string {
	switch level {
	case dedup.TypeStudy:
		return map[dedup.Tag]string{0x00080020: "DA", 0x00080030: "TM", 0x00080050: "SH", 0x00080090: "PN",
			0x00100010: "PN", 0x00100020: "LO", 0x00100030: "DA", 0x00100040: "CS", 0x00200010: "SH"}
	case dedup.TypeSeries:
		return map[dedup.Tag]string{tagModality: "CS", 0x00200011: "IS"}
	}
	return map[dedup.Tag]string{tagSOPClass: "UI", tagInstance: "IS"}
}

// row is an answer to a query that is being made.
type row map[dedup.Tag][]byte

func (r row) texts(tag dedup.Tag, vr string, texts ...string) {
	a := dedup.Attribute{VR: vr}
	for _, s := range texts {
		a.Value = append(a.Value, dedup.Quote(s))
	}
	r[tag] = a.AppendJSON(nil)
}

func (r row) number(tag dedup.Tag, n int) {
	r[tag] = dedup.Attribute{VR: "IS", Value: []dedup.Token{strconv.AppendInt(nil, int64(n), 10)}}.AppendJSON(nil)
}

// common are the attributes of every answer. JSON is UTF-8, whatever the files were.
func (r row) common(url string) {
	r.texts(tagCharacterSet, "CS", "ISO_IR 192")
	r.texts(tagAvailability, "CS", "ONLINE")
	r.texts(tagRetrieveURL, "UR", url)
}

// object is the answer, with what its level requires.
func (r row) object(level dedup.Type) dedup.Object {
	for tag, vr := range required(level) {
		if _, has := r[tag]; !has {
			r[tag] = dedup.Attribute{VR: vr}.AppendJSON(nil)
		}
	}
	o := make(dedup.Object, 0, len(r))
	for tag, json := range r {
		o = append(o, dedup.Element{Tag: tag, JSON: json})
	}
	slices.SortFunc(o, func(a, b dedup.Element) int { return int(int64(a.Tag) - int64(b.Tag)) })
	return o
}

// take fills in the attributes of some levels: those of the first instance, and what it lacks, or has empty, from the next one that has it. Instances are in order
// of their UIDs, so the same instances give the same answer.
func (r row) take(p publisher, instances []*instance, levels ...dedup.Type) error {
	for _, i := range instances {
		for _, e := range i.merged {
			// The time zone is what an instance says of its times, and stands in the answers of all levels.
			if e.Tag.Private() || e.Tag != tagTimezone && !slices.Contains(levels, part10.LevelOf(e.Tag)) {
				continue
			}
			if have, ok := r[e.Tag]; ok && (!empty(have) || empty(e.JSON)) {
				continue
			}
			published, err := p.element(e, 0)
			if err != nil {
				return err
			}
			r[e.Tag] = published.JSON
		}
	}
	return nil
}

// empty reports whether an attribute is nothing but its VR.
func empty(json []byte) bool { return len(json) <= len(`{"vr":"XX"}`) }

// studyRow answers the study query.
func (s *study) studyRow() (dedup.Object, error) {
	r, url := row{}, "studies/"+s.uid.String()
	if err := r.take(publisher{s, url + "/"}, s.all, dedup.TypePatient, dedup.TypeStudy); err != nil {
		return nil, err
	}
	r.common(url)
	r.texts(tagStudyUID, "UI", s.uid.String())
	r.texts(tagModalities, "CS", s.distinct(tagModality)...)
	r.texts(tagClasses, "UI", s.distinct(tagSOPClass)...)
	r.number(tagStudySeries, len(s.series()))
	r.number(tagStudyInstances, len(s.all))
	return r.object(dedup.TypeStudy), nil
}

// distinct are the values of an attribute in all instances, in order.
func (s *study) distinct(tag dedup.Tag) []string {
	var out []string
	for _, i := range s.all {
		if v := i.merged.Text(tag); v != "" && !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	slices.Sort(out)
	return out
}

// seriesRow answers the series query for one series.
func (s *study) seriesRow(instances []*instance) (dedup.Object, error) {
	r, uid := row{}, instances[0].series.String()
	if err := r.take(publisher{s, ""}, instances, dedup.TypeSeries); err != nil {
		return nil, err
	}
	r.common("series/" + uid)
	r.texts(tagStudyUID, "UI", s.uid.String())
	r.texts(tagSeriesUID, "UI", uid)
	r.number(tagSeriesInstances, len(instances))
	return r.object(dedup.TypeSeries), nil
}

// instanceRow answers the instances query for one instance: all its attributes but those of higher levels and the pixels.
func (s *study) instanceRow(i *instance, published dedup.Object) dedup.Object {
	r := row{}
	for _, e := range published {
		if part10.LevelOf(e.Tag) == dedup.TypeInstance && e.Tag.Group() != 0x7FE0 {
			r[e.Tag] = e.JSON
		}
	}
	r.common("instances/" + i.sop.String())
	r.texts(tagAvailable, "UI", i.syntax)
	r.texts(tagStudyUID, "UI", s.uid.String())
	r.texts(tagSeriesUID, "UI", i.series.String())
	r.texts(tagSOPUID, "UI", i.sop.String())
	return r.object(dedup.TypeInstance)
}
