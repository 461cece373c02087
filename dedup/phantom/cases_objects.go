package phantom

import (
	"fmt"
	"slices"
	"strings"
)

// objectCases are kinds of objects other than an image, and images with more than pixels.
func objectCases() []Case {
	return slices.Concat(documentCases(), extraImageCases(), enhancedCases())
}

// object is a plain case of a SOP class and a modality.
func object(name, shows, class, modality string, extra ...Element) Case {
	return plain("objects", name, shows, append([]Element{Text(0x00080016, "UI", class), Text(0x00080060, "CS", modality)}, extra...)...)
}

// coded is a code sequence.
func code(tag uint32, value, meaning string) Element {
	return Sequence(tag, Item{Elements: []Element{Text(0x00080100, "SH", value), Text(0x00080102, "SH", "DCM"), Text(0x00080104, "LO", meaning)}})
}

func documentCases() []Case {
	pdf := []byte("%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\n" + strings.Repeat("% a phantom page\n", 90) + "trailer<</Root 1 0 R>>\n%%EOF")
	text := func(n int) Item {
		return Item{Elements: []Element{Text(0x0040A010, "CS", "CONTAINS"), Text(0x0040A040, "CS", "TEXT"), code(0x0040A043, "121071", "Finding"),
			Text(0x0040A160, "UT", fmt.Sprintf("Finding %d: an ellipse of no clinical meaning.", n))}}
	}
	container := Item{Elements: []Element{Text(0x0040A010, "CS", "CONTAINS"), Text(0x0040A040, "CS", "CONTAINER"), code(0x0040A043, "121070", "Findings"),
		Sequence(0x0040A730, text(1), open(text(2)), text(3))}}
	var samples []int16
	for i := range 2400 {
		samples = append(samples, int16(1000*((i%40)-20)))
	}
	wave := Item{Elements: []Element{Numbers(0x003A0005, "US", uint16(2)), Numbers(0x003A0010, "UL", uint32(1200)), Text(0x003A001A, "DS", "500"),
		Numbers(0x54001004, "US", uint16(16)), Text(0x54001006, "CS", "SS"), Numbers(0x54001010, "OW", samples...)}}
	var contour []string
	for i := range 6000 {
		contour = append(contour, fmt.Sprintf("%d.%02d", i%400-200, i%100))
	}
	roi := Item{Elements: []Element{Text(0x30060042, "CS", "CLOSED_PLANAR"), Text(0x30060046, "IS", "2000"), Text(0x30060050, "DS", contour...)}}
	if len(pdf)%2 == 0 {
		pdf = append(pdf, '\n')
	}
	cases := []Case{
		object("pdf", "an encapsulated PDF of odd length", encapsulatedPDF, "DOC", Raw(0x00420011, "OB", append(slices.Clone(pdf), 0)),
			Text(0x00420012, "LO", "application/pdf"), Numbers(0x00420015, "UL", uint32(len(pdf)))),
		object("pdf-odd", "an encapsulated PDF that is not padded", encapsulatedPDF, "DOC", Raw(0x00420011, "OB", pdf), Text(0x00420012, "LO", "application/pdf")),
		object("sr", "a structured report, no pixels", comprehensiveSR, "SR", Text(0x0040A040, "CS", "CONTAINER"), code(0x0040A043, "126000", "Imaging Report"),
			Text(0x0040A491, "CS", "COMPLETE"), Text(0x0040A493, "CS", "UNVERIFIED"), Delimited(0x0040A730, container, text(4))),
		object("waveform", "two channels of an ECG in OW", ecgWaveform, "ECG", Sequence(0x54000100, wave)),
		object("contours", "a structure set whose contour is a DS above 16 KiB", rtStructureSet, "RTSTRUCT",
			Sequence(0x30060039, Item{Elements: []Element{Text(0x3006002A, "IS", "255", "0", "0"), Delimited(0x30060040, roi, roi)}})),
	}
	implicit := cases[3]
	implicit.Name, implicit.Shows = "objects/waveform-implicit", "a waveform in an implicit file, where OB or OW is not said"
	implicit.File.Syntax = syntax(implicitLE)
	implicit.File.Elements = with(implicit.File.Elements, Text(0x00080018, "UI", UID("case", "objects", "waveform-implicit")))
	return append(cases, implicit)
}

func extraImageCases() []Case {
	image := func(name, shows string, extra ...Element) Case {
		c := pictured("objects", name, shows, syntax(explicitLE), gray16())
		c.File.Elements = with(c.File.Elements, extra...)
		return c
	}
	icon := gray8()
	native := Item{Elements: with(icon.elements(), icon.nativeElement(icon.native()))}
	packed := Item{Elements: with(icon.elements(), Encapsulated(nil, rle(icon, icon.native()[0])))}
	large := picture{rows: 64, columns: 64, frames: 1, samples: 1, allocated: 8, stored: 8, photometric: "MONOCHROME2"}
	overlay := func(group uint32) []Element {
		g := group << 16
		return []Element{Numbers(g|0x10, "US", uint16(16)), Numbers(g|0x11, "US", uint16(12)), Text(g|0x40, "CS", "G"), Numbers(g|0x50, "SS", int16(1), 1),
			Numbers(g|0x100, "US", uint16(1)), Numbers(g|0x102, "US", uint16(0)), {Tag: g | 0x3000, VR: "OW", Value: fill("overlay", 24), Unit: 2}}
	}
	c := image("icon-encapsulated", "an icon in fragments, inside an item")
	c.File.Syntax = syntax(rleLossless)
	frame := c.Frames[0]
	c.File.Elements = with(c.File.Elements, Delimited(0x00880200, packed), Encapsulated(nil, rle(gray16(), frame)))
	return []Case{
		image("icon", "a native icon", Sequence(0x00880200, native)),
		image("icon-large", "an icon above 1,024 bytes", Sequence(0x00880200, Item{Elements: with(large.elements(), large.nativeElement(large.native()))})),
		c,
		image("overlay", "two overlay groups, one above 1,024 bytes", append(overlay(0x6000), with(overlay(0x601E), Raw(0x601E3000, "OB", fill("big overlay", 2000)))...)...),
		image("curve", "a retired curve group", Numbers(0x50000005, "US", uint16(2)), Numbers(0x50000010, "US", uint16(4)), Text(0x50000020, "CS", "POLY"),
			Numbers(0x50003000, "OW", uint16(1), 2, 3, 4, 5, 6, 7, 8)),
		image("many-attributes", "an ultrasound image with regions", Text(0x00080016, "UI", usImage), Sequence(0x00186011, Item{Elements: []Element{
			Numbers(0x00186018, "UL", uint32(0)), Numbers(0x0018601A, "UL", uint32(9)), Numbers(0x0018602C, "FD", 0.01), Numbers(0x00186024, "US", uint16(3))}})),
	}
}

// enhancedCases have functional groups: a sequence item for each frame.
func enhancedCases() []Case {
	enhanced := func(name string, s Syntax, class, modality string) Case {
		p := gray16().of(8)
		c := pictured("objects", name, "an enhanced multi-frame image: shared and per-frame functional groups, "+s.Name, s, p)
		var groups []Item
		for f := range p.frames {
			position := Sequence(0x00209113, Item{Elements: []Element{Text(0x00200032, "DS", "-100.0", "-100.0", fmt.Sprintf("%d.50", 5*f))}})
			content := Sequence(0x00209111, Item{Elements: []Element{Numbers(0x00209157, "UL", uint32(1), uint32(f+1)), Text(0x00209056, "SH", "1")}})
			groups = append(groups, Item{Elements: []Element{content, position}})
		}
		shared := Item{Elements: []Element{Sequence(0x00289110, Item{Elements: []Element{Text(0x00180050, "DS", "5.0"), Text(0x00280030, "DS", "0.5", "0.5")}})}}
		c.File.Elements = with(c.File.Elements, Text(0x00080016, "UI", class), Text(0x00080060, "CS", modality), Sequence(0x52009229, shared), Delimited(0x52009230, groups...))
		return c
	}
	cine := pictured("objects", "cine", "a colour cine with frame times", syntax(explicitLE), rgb().of(6))
	cine.File.Elements = with(cine.File.Elements, Text(0x00080016, "UI", usMultiFrame), Text(0x00080060, "CS", "US"), Text(0x00181063, "DS", "33.3"), Tags(0x00280009, 0x00181063))
	return []Case{enhanced("enhanced", syntax(explicitLE), enhancedCT, "CT"), enhanced("enhanced-rle", syntax(rleLossless), enhancedCT, "CT"),
		enhanced("enhanced-implicit", syntax(implicitLE), enhancedCT, "MR"), cine}
}
