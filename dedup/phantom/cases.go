package phantom

import (
	"fmt"
	"slices"
)

// Case is one good file of the catalogue: odd perhaps, but to be taken, kept and given back byte for byte.
type Case struct {
	Name   string // group/what, fit for a file name but for its slash
	Shows  string // what the file is about
	File   File
	Frames [][]byte // the frames that Pixel Data holds, uncompressed and little-endian; nil where it holds others or none, or a reader cannot find them
	Twin   string   // the case that is the same instance with the same content in another encoding, if there is one
	Rival  string   // the case that has the same SOP Instance UID and other content, if there is one
}

// Bytes is the Part 10 file.
func (c Case) Bytes() []byte { return c.File.Bytes() }

// Lossless reports whether a decoder gets exactly Frames from the streams, each of which is one frame.
func (c Case) Lossless() bool {
	switch c.File.Syntax.Codec {
	case Native, Uncapsulated, DeflateFrame, RLE, JPEGLossless:
		return c.Frames != nil
	case JPEGLS:
		return c.Frames != nil && c.File.Syntax.UID == jpegLS
	}
	return false
}

// Cases is the catalogue, in a fixed order; no name occurs twice. Cases of one group are one study, each of them a series of its own
// with its own SOP Instance UID, except twins and rivals, which share both.
func Cases() []Case {
	return slices.Concat(syntaxCases(), frameCases(), pixelCases(), structureCases(), sequenceCases(), privateCases(),
		valueCases(), charsetCases(), objectCases(), sameCases())
}

// The SOP classes that cases have.
const (
	secondaryCapture = "1.2.840.10008.5.1.4.1.1.7"
	ctImage          = "1.2.840.10008.5.1.4.1.1.2"
	enhancedCT       = "1.2.840.10008.5.1.4.1.1.2.1"
	mrImage          = "1.2.840.10008.5.1.4.1.1.4"
	usMultiFrame     = "1.2.840.10008.5.1.4.1.1.3.1"
	usImage          = "1.2.840.10008.5.1.4.1.1.6.1"
	videoEndoscopic  = "1.2.840.10008.5.1.4.1.1.77.1.1.1"
	segmentation     = "1.2.840.10008.5.1.4.1.1.66.4"
	parametricMap    = "1.2.840.10008.5.1.4.1.1.30"
	encapsulatedPDF  = "1.2.840.10008.5.1.4.1.1.104.1"
	comprehensiveSR  = "1.2.840.10008.5.1.4.1.1.88.33"
	ecgWaveform      = "1.2.840.10008.5.1.4.1.1.9.1.1"
	rtStructureSet   = "1.2.840.10008.5.1.4.1.1.481.3"
)

// header are the attributes that each case has: a patient, a study for the group, a series and an instance for the name.
func header(group, name, class string) []Element {
	return []Element{
		Text(0x00080005, "CS", "ISO_IR 100"),
		Text(0x00080016, "UI", class),
		Text(0x00080018, "UI", UID("case", group, name)),
		Text(0x00080020, "DA", "20240229"),
		Text(0x00080030, "TM", "101112.5"),
		Text(0x00080050, "SH", "ACC"+group),
		Text(0x00080060, "CS", "OT"),
		Text(0x00080070, "LO", "Phantom works"),
		Text(0x00080090, "PN"),
		Text(0x00081030, "LO", "Phantom cases "+group),
		Text(0x0008103E, "LO", name),
		Text(0x00100010, "PN", "Phantom^Case"),
		Text(0x00100020, "LO", "PHANTOM-CASES"),
		Text(0x00100030, "DA", "19700101"),
		Text(0x00100040, "CS", "O"),
		Text(0x0020000D, "UI", UID("case study", group)),
		Text(0x0020000E, "UI", UID("case series", group, name)),
		Text(0x00200010, "SH", "1"),
		Text(0x00200011, "IS", "1"),
		Text(0x00200013, "IS", "1"),
	}
}

// plain is a case without pixel data in Explicit VR Little Endian, with some elements put in their place.
func plain(group, name, shows string, extra ...Element) Case {
	return Case{Name: group + "/" + name, Shows: shows,
		File: File{Syntax: syntax(explicitLE), Elements: with(header(group, name, secondaryCapture), extra...)}}
}

// pictured is a case with pixel data as the syntax has it: one fragment a frame and an empty offset table if it is encapsulated.
func pictured(group, name, shows string, s Syntax, p picture) Case {
	c := plain(group, name, shows, p.elements()...)
	c.File.Syntax = s
	c.Frames = p.native()
	if s.Encapsulated() {
		c.File.Elements = with(c.File.Elements, Encapsulated(nil, streams(s, p, c.Frames)...))
	} else {
		c.File.Elements = with(c.File.Elements, p.nativeElement(c.Frames))
	}
	return c
}

// streams are the encoded frames, each padded to an even length.
func streams(s Syntax, p picture, frames [][]byte) [][]byte {
	var out [][]byte
	for _, f := range frames {
		stream := encodeFrame(s, p, f)
		if len(stream)%2 == 1 {
			stream = append(slices.Clone(stream), 0)
		}
		out = append(out, stream)
	}
	return out
}

// syntaxCases is one file in each transfer syntax.
func syntaxCases() []Case {
	var cases []Case
	for _, s := range Syntaxes() {
		p := gray16()
		if s.Codec == JPEG {
			p = gray8()
		}
		shows := fmt.Sprintf("transfer syntax %s, %s", s.UID, s.Name)
		name := s.UID[len("1.2.840.10008.1."):]
		switch s.Codec {
		case NoPixels:
			c := plain("ts", name, shows+"; its pixels are elsewhere", p.elements()...)
			c.File.Syntax = s
			c.File.Elements = with(c.File.Elements, Text(0x00287FE0, "UR", "https://pixels.example/phantom/1"))
			cases = append(cases, c)
		case Video:
			cases = append(cases, videoCase(name, shows, s))
		default:
			cases = append(cases, pictured("ts", name, shows, s, p))
		}
	}
	return cases
}

// videoCase is 25 frames as one stream; the fragmentable syntaxes have it in three fragments.
func videoCase(name, shows string, s Syntax) Case {
	p := rgb().of(25)
	p.photometric = "YBR_PARTIAL_420"
	c := plain("ts", name, shows, p.elements()...)
	stream := encodeFrame(s, p, []byte(name))
	fragments := [][]byte{stream}
	if s.Name[:4] == "Frag" {
		fragments = [][]byte{stream[:600], stream[600:1000], stream[1000:]}
	}
	c.File.Syntax = s
	c.File.Elements = with(c.File.Elements, Text(0x00080016, "UI", videoEndoscopic), Text(0x00080060, "CS", "ES"),
		Text(0x00180040, "IS", "25"), Encapsulated(nil, fragments...))
	return c
}
