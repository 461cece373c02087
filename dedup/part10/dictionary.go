package part10

import (
	"github.com/dicomesh/dicomesh/dedup"
	"github.com/suyashkumar/dicom/pkg/tag"
)

// dictionary gives the VR of elements whose file does not. It is PS3.6 as suyashkumar/dicom v1.1.0 has it, completed, and what a dataset
// itself decides of PS3.6's "US or SS".
type dictionary struct {
	// signed is whether Pixel Representation (0028,0103) of the dataset, or of the item, is 1. An item without the element
	// has it from the dataset around it. Whoever walks over items sets it.
	signed bool
}

func newDictionary() *dictionary { return &dictionary{} }

// resolve is the VR under which an element is kept: the one that is written, but for "", UN and VRs that the standard does not have
// what the dictionary says, UN if that is nothing.
func (d *dictionary) resolve(t dedup.Tag, written VR) VR {
	if written.known() && written != "UN" {
		return written
	}
	if vr, ok := d.lookup(t); ok {
		return vr
	}
	return "UN"
}

// lookup is the VR that the standard gives t; ok is false for an unknown public tag, and for a private one that is no creator.
//
// Where PS3.6 leaves a choice the rules of implicit VR make it (PS3.5 section A.1): OW for what may be OB or OW, or US or OW;
// US or SS by Pixel Representation. Explicit VR has made its choice itself. Group lengths (gggg,0000) are UL and
// private creators (gggg,0010-00FF) LO (PS3.5 sections 7.2 and 7.8.1).
func (d *dictionary) lookup(t dedup.Tag) (vr VR, ok bool) {
	switch element := t & 0xFFFF; {
	case t.Group() == 0xFFFE:
		return "", false
	case element == 0:
		return "UL", true
	case t.Private() && element >= 0x10 && element <= 0xFF:
		return "LO", true
	case t.Private():
		return "", false
	}
	if vr, ok := missing(t); ok {
		return vr, true
	}
	if vr, ok := d.standard(t); ok {
		return vr, true
	}
	if first := firstOf(t); first != t {
		return d.standard(first)
	}
	return "", false
}

// standard asks the library. A panic of it is an unknown tag.
func (d *dictionary) standard(t dedup.Tag) (vr VR, ok bool) {
	defer func() {
		if recover() != nil {
			vr, ok = "", false
		}
	}()
	info, err := tag.Find(tag.Tag{Group: t.Group(), Element: uint16(t)})
	if err != nil || len(info.VRs) == 0 {
		return "", false
	}
	vr = d.choose(info.VRs)
	return vr, vr.known()
}

// choose is lookup's rule for several VRs.
func (d *dictionary) choose(vrs []string) VR {
	if len(vrs) == 1 {
		return VR(vrs[0])
	}
	for _, vr := range vrs {
		if vr == "OW" {
			return "OW"
		}
	}
	if d.signed {
		return "SS"
	}
	return "US"
}

// firstOf is the tag under which the library has t, where t is one of a repeating group or element (PS3.5 section 7.6, PS3.6 section 6): 50xx
// curves, 60xx overlays, 7Fxx variable pixels, and the retired families (0020,31xx), (0028,04xx), (0028,08xx), (1000,xxxx), (1010,xxxx).
func firstOf(t dedup.Tag) dedup.Tag {
	switch group := t.Group(); {
	case group&0xFF00 == 0x5000, group&0xFF00 == 0x6000, group&0xFF00 == 0x7F00:
		return t &^ 0x00FF0000
	case group == 0x0020 && t&0xFF00 == 0x3100:
		return t &^ 0xFF
	case group == 0x0028 && (t&0xFF00 == 0x0400 || t&0xFF00 == 0x0800):
		return t &^ 0xF0
	case group == 0x1000:
		return t &^ 0xFFF0
	case group == 0x1010:
		return t &^ 0xFFFF
	}
	return t
}

// missing is what the library lacks of PS3.6: three retired elements, and four of (0028,040x), where it puts the family (0028,04x0) to
// (0028,04x3) of the cosine transform.
func missing(t dedup.Tag) (VR, bool) {
	switch t {
	case 0x00180061:
		return "DS", true
	case 0x00280400, 0x00280401, 0x00280403: // Transform Label, Transform Version Number, Sequence of Compressed Data
		return "LO", true
	case 0x00280402: // Number of Transform Steps
		return "US", true
	case 0x04000315:
		return "FL", true
	case 0x300A0782:
		return "US", true
	}
	return "", false
}
