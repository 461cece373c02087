package phantom

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// elements are all attributes of an instance but Pixel Data, in order.
func (i Instance) elements() []Element {
	m := i.study.modality()
	e := with(nil, i.general()...)
	e = with(e, i.image()...)
	e = with(e, m.describe(i)...)
	if i.frames() > 1 && !m.time {
		e = with(e, i.functionalGroups()...)
	}
	return e
}

// class is the SOP class: that of multi-frame images if there are several frames.
func (i Instance) class() string {
	if i.frames() > 1 {
		return i.study.modality().enhanced
	}
	return i.study.modality().class
}

// general are patient, study, series and equipment.
func (i Instance) general() []Element {
	s := i.study
	second := 30*i.series + i.number
	clock := fmt.Sprintf("09%02d%02d.%03d000", second/60%60, second%60, i.number*37%1000)
	day := fmt.Sprintf("202405%02d", 1+s.Number%28)
	return []Element{
		Text(0x00080005, "CS", "ISO_IR 100"), Text(0x00080008, "CS", "ORIGINAL", "PRIMARY", "AXIAL"), Text(0x00080012, "DA", day), Text(0x00080013, "TM", clock),
		Text(0x00080016, "UI", i.class()), Text(0x00080018, "UI", i.SOPInstanceUID()), Text(0x00080020, "DA", day), Text(0x00080021, "DA", day),
		Text(0x00080022, "DA", day), Text(0x00080023, "DA", day), Text(0x00080030, "TM", "090000.000000"), Text(0x00080031, "TM", fmt.Sprintf("09%02d00.000000", i.series%60)),
		Text(0x00080032, "TM", clock), Text(0x00080033, "TM", clock), Text(0x00080050, "SH", fmt.Sprintf("PHA%05d", s.Number)), Text(0x00080060, "CS", s.Modality()),
		Text(0x00080070, "LO", "Phantom works"), Text(0x00080080, "LO", "Hospital of Nowhere"), Text(0x00080081, "ST", "1 Null Street, Nowhere"),
		Text(0x00080090, "PN", "Referrer^Nobody^^Dr"), Text(0x00081010, "SH", "PHANTOM"+s.Modality()+"1"), Text(0x00081030, "LO", s.title()),
		Text(0x00081040, "LO", "Radiology"), Text(0x00081050, "PN", "Performer^Nobody"), Text(0x00081070, "PN", "Operator^Nobody"),
		code(0x00081032, "PH-"+s.Modality(), s.title()), Delimited(0x00081111, Item{Elements: []Element{Text(0x00081150, "UI", "1.2.840.10008.3.1.2.3.3"),
			Text(0x00081155, "UI", UID(s.UID(), "procedure step"))}}),
		Text(0x00100010, "PN", s.Patient()), Text(0x00100020, "LO", fmt.Sprintf("PHANTOM-%04d", s.Number)), Text(0x00100030, "DA", fmt.Sprintf("19%02d0101", 40+s.Number%60)),
		Text(0x00100040, "CS", []string{"F", "M"}[s.Number%2]), Text(0x00101010, "AS", fmt.Sprintf("%03dY", 84-s.Number%60)), Text(0x00101020, "DS", "1.75"),
		Text(0x00101030, "DS", "72.5"), Text(0x001021B0, "LT", "A phantom: no patient stands behind this image."),
		Text(0x00181000, "LO", "00000"), Text(0x00181020, "LO", "phantom 1.0"),
		Text(0x0020000D, "UI", s.UID()), Text(0x0020000E, "UI", i.SeriesInstanceUID()), Text(0x00200010, "SH", strconv.Itoa(s.Number)),
		Text(0x00200011, "IS", strconv.Itoa(i.series)), Text(0x00200013, "IS", strconv.Itoa(i.number)), Text(0x00204000, "LT", "Synthetic"),
		Text(0x00321060, "LO", s.title()), Text(0x00400244, "DA", day), Text(0x00400245, "TM", "090000"), Text(0x00400253, "SH", fmt.Sprintf("PPS%05d", s.Number)),
		Text(0x00400254, "LO", s.title()),
	}
}

// title is the study's description.
func (s Study) title() string {
	return map[string]string{"CT": "CT Thorax Abdomen", "MR": "MR Head", "US": "Echocardiography"}[s.Modality()]
}

// image are the Image Pixel and Image Plane modules; modalities put their own in place of some.
func (i Instance) image() []Element {
	size := uint16(i.study.Size)
	e := []Element{
		Numbers(0x00280002, "US", uint16(1)), Text(0x00280004, "CS", "MONOCHROME2"), Numbers(0x00280010, "US", size), Numbers(0x00280011, "US", size),
		Numbers(0x00280100, "US", uint16(8)), Numbers(0x00280101, "US", uint16(8)), Numbers(0x00280102, "US", uint16(7)), Numbers(0x00280103, "US", uint16(0)),
	}
	if i.frames() > 1 {
		e = with(e, Text(0x00280008, "IS", strconv.Itoa(i.frames())))
	}
	if i.study.modality().pixelSize != 2 {
		return e
	}
	spacing := fmt.Sprintf("%d.%06d", 400/i.study.Size, 400*1_000_000/i.study.Size%1_000_000)
	return with(e, Numbers(0x00280100, "US", uint16(16)), Numbers(0x00280101, "US", uint16(12)), Numbers(0x00280102, "US", uint16(11)),
		Text(0x00280030, "DS", spacing, spacing), Text(0x00200032, "DS", "-200.0", "-200.0", i.position()), Text(0x00200037, "DS", "1", "0", "0", "0", "1", "0"),
		Text(0x00200052, "UI", UID(i.study.UID(), "frame of reference")), Text(0x00201040, "LO", "SN"))
}

// position is the slice's place in millimetres, five apart, as a DS that JSON numbers would shorten ("12.50").
func (i Instance) position() string { return millimetres(500 * i.number) }

// millimetres prints hundredths.
func millimetres(hundredths int) string {
	return strings.TrimSpace(fmt.Sprintf("%d.%02d", hundredths/100, hundredths%100))
}

// functionalGroups are what all frames of an enhanced image share, and what each has for itself. The latter are encoded one by one:
// as items, those of hundreds of thousands of frames would take a gigabyte of memory.
func (i Instance) functionalGroups() []Element {
	e := encoder{order: binary.LittleEndian}
	for f := range i.frames() {
		place := Sequence(0x00209113, Item{Elements: []Element{Text(0x00200032, "DS", "-200.0", "-200.0", millimetres(500*((i.number-1)*i.frames()+f)))}})
		content := Sequence(0x00209111, Item{Elements: []Element{Text(0x00209056, "SH", "1"), Numbers(0x00209057, "UL", uint32(f+1)), Numbers(0x00209157, "UL", uint32(1), uint32(f+1))}})
		e.item(Item{Elements: []Element{content, place}})
	}
	shared := Item{Elements: []Element{Sequence(0x00289110, Item{Elements: []Element{Text(0x00180050, "DS", "5.0"), Text(0x00280030, "DS", "0.78125", "0.78125")}})}}
	return []Element{Sequence(0x52009229, shared), Raw(0x52009230, "SQ", e.out)}
}
