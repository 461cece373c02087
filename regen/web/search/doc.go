// Package search answers the matching half of QIDO-RS (PS3.18 sections 8.3.4 and 10.6): which studies, series and instances a query means.
//
// It reads no file. Whoever publishes a study makes a [Row] of its answers, once ([MakeRow]), keeps the text with the study, and enters it into a [Table]; from then on a query costs memory
// alone. A Table keeps, for each study and series, the values of the attributes that can be searched, folded as matching wants them, and the study's own answer, compressed: some kilobyte
// a study of three series. Studies are in order of their dates, newest first, so the query that every viewer begins with, some days of all studies, touches those days only; others
// pass over all studies, 100,000 in some milliseconds.
//
// What a query may ask is a closed list ([Parse]). A parameter that is not in it is refused and not left out, because leaving it out would answer with other patients' studies.
//
// Matching is that of PS3.4 section C.2.2.2: single values, lists of UIDs, wildcards, ranges of dates and times, a date with its time as one range (C.2.2.2.5), names of persons
// without regard to case, sequences by their items. Nothing is matched fuzzily.
package search

import (
	"sync"

	"github.com/dicomesh/dicomesh/dedup"
)

// Level is what a query looks for.
type Level int

// The levels, from the top.
const (
	Study Level = iota
	Series
	Instance
	levels = 3
)

// kind is how values of an attribute are compared.
type kind int

const (
	text  kind = iota // by PS3.4 C.2.2.2.1 and C.2.2.2.4
	name              // the same without regard to case, and for each of a name's representations
	code              // the same; a list may be asked for, as of UIDs
	uid               // C.2.2.2.2
	date              // C.2.2.2.5
	hour              // likewise
	whole             // a number: by value
)

// key is an attribute that can be searched.
type key struct {
	tag     dedup.Tag
	in      dedup.Tag // the sequence that it stands in, 0: none
	keyword string    // PS3.6
	level   Level
	kind    kind
	at      int // among the keys of its level
}

// keys are all of them, made once: those that PS3.18 section 10.6.1.2.3 requires, and what people ask for besides.
var keys = sync.OnceValue(func() []key {
	all := []key{
		{tag: 0x00080020, keyword: "StudyDate", kind: date},
		{tag: 0x00080030, keyword: "StudyTime", kind: hour},
		{tag: 0x00080050, keyword: "AccessionNumber"},
		{tag: 0x00080061, keyword: "ModalitiesInStudy", kind: code},
		{tag: 0x00080062, keyword: "SOPClassesInStudy", kind: uid},
		{tag: 0x00080090, keyword: "ReferringPhysicianName", kind: name},
		{tag: 0x00081030, keyword: "StudyDescription"},
		{tag: 0x00100010, keyword: "PatientName", kind: name},
		{tag: 0x00100020, keyword: "PatientID"},
		{tag: 0x00100021, keyword: "IssuerOfPatientID"},
		{tag: 0x00100030, keyword: "PatientBirthDate", kind: date},
		{tag: 0x00100040, keyword: "PatientSex", kind: code},
		{tag: 0x0020000D, keyword: "StudyInstanceUID", kind: uid},
		{tag: 0x00200010, keyword: "StudyID"},

		{tag: 0x00080021, keyword: "SeriesDate", level: Series, kind: date},
		{tag: 0x00080031, keyword: "SeriesTime", level: Series, kind: hour},
		{tag: 0x00080060, keyword: "Modality", level: Series, kind: code},
		{tag: 0x00080070, keyword: "Manufacturer", level: Series},
		{tag: 0x00080080, keyword: "InstitutionName", level: Series},
		{tag: 0x00081010, keyword: "StationName", level: Series},
		{tag: 0x0008103E, keyword: "SeriesDescription", level: Series},
		{tag: 0x00180015, keyword: "BodyPartExamined", level: Series, kind: code},
		{tag: 0x00181030, keyword: "ProtocolName", level: Series},
		{tag: 0x0020000E, keyword: "SeriesInstanceUID", level: Series, kind: uid},
		{tag: 0x00200011, keyword: "SeriesNumber", level: Series, kind: whole},
		{tag: 0x00201209, keyword: "NumberOfSeriesRelatedInstances", level: Series, kind: whole},
		{tag: 0x00400244, keyword: "PerformedProcedureStepStartDate", level: Series, kind: date},
		{tag: 0x00400245, keyword: "PerformedProcedureStepStartTime", level: Series, kind: hour},
		{tag: 0x00400009, in: 0x00400275, keyword: "ScheduledProcedureStepID", level: Series},
		{tag: 0x00401001, in: 0x00400275, keyword: "RequestedProcedureID", level: Series},

		{tag: 0x00080008, keyword: "ImageType", level: Instance, kind: code},
		{tag: 0x00080016, keyword: "SOPClassUID", level: Instance, kind: uid},
		{tag: 0x00080018, keyword: "SOPInstanceUID", level: Instance, kind: uid},
		{tag: 0x00080022, keyword: "AcquisitionDate", level: Instance, kind: date},
		{tag: 0x00080023, keyword: "ContentDate", level: Instance, kind: date},
		{tag: 0x00080032, keyword: "AcquisitionTime", level: Instance, kind: hour},
		{tag: 0x00080033, keyword: "ContentTime", level: Instance, kind: hour},
		{tag: 0x00083002, keyword: "AvailableTransferSyntaxUID", level: Instance, kind: uid},
		{tag: 0x00200012, keyword: "AcquisitionNumber", level: Instance, kind: whole},
		{tag: 0x00200013, keyword: "InstanceNumber", level: Instance, kind: whole},
		{tag: 0x00280008, keyword: "NumberOfFrames", level: Instance, kind: whole},
		{tag: 0x00280010, keyword: "Rows", level: Instance, kind: whole},
		{tag: 0x00280011, keyword: "Columns", level: Instance, kind: whole},
		{tag: 0x00280100, keyword: "BitsAllocated", level: Instance, kind: whole},
	}
	var next [levels]int
	for n := range all {
		all[n].at = next[all[n].level]
		next[all[n].level]++
	}
	return all
})

// requestAttributes is the one sequence that is searched into.
const requestAttributes = "RequestAttributesSequence"

// names are the ways in which a query may spell the attribute (PS3.18 section 8.3.4.1): by tag or keyword, with its sequence before a dot.
func (k key) names() []string {
	if k.in == 0 {
		return []string{k.keyword, k.tag.String()}
	}
	return []string{requestAttributes + "." + k.keyword, k.in.String() + "." + k.tag.String(), k.in.String() + "." + k.keyword, requestAttributes + "." + k.tag.String()}
}

// most is the greatest number of keys at one level.
const most = 16
