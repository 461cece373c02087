package phantom

import (
	"slices"
	"strings"
)

// structureCases are about what stands around the dataset, and about order, lengths and padding in it.
func structureCases() []Case {
	return slices.Concat(prologueCases(), metaCases(), orderCases(), lengthCases())
}

// altered is a plain case whose file is changed as a whole.
func altered(group, name, shows string, change func(f *File)) Case {
	c := plain(group, name, shows)
	change(&c.File)
	return c
}

func prologueCases() []Case {
	bare := func(name, shows string, s Syntax) Case {
		return altered("structure", name, shows, func(f *File) { f.Syntax, f.NoPreamble, f.NoMeta = s, true, true })
	}
	tiff := append([]byte("II*\x00\x08\x00\x00\x00"), fill("tiff", 120)...)
	return []Case{
		bare("bare-explicit", "a dataset and nothing before it, Explicit VR Little Endian", syntax(explicitLE)),
		bare("bare-implicit", "a dataset and nothing before it, Implicit VR Little Endian", syntax(implicitLE)),
		bare("bare-big-endian", "a dataset and nothing before it, Explicit VR Big Endian", syntax(explicitBE)),
		altered("structure", "preamble-tiff", "a preamble that is a TIFF header", func(f *File) { f.Preamble = tiff }),
		altered("structure", "preamble-dicm", "a preamble that says DICM as well", func(f *File) {
			f.Preamble = []byte(strings.Repeat("DICM", 32))
		}),
		altered("structure", "preamble-only", "preamble and DICM, then the dataset, no meta group", func(f *File) { f.NoMeta = true }),
		altered("structure", "meta-only", "a meta group, but neither preamble nor DICM before it", func(f *File) { f.NoPreamble = true }),
	}
}

func metaCases() []Case {
	meta := func(name, shows string, change func(meta []Element) []Element) Case {
		return altered("structure", name, shows, func(f *File) { f.Meta = change(f.StandardMeta()) })
	}
	length := func(meta []Element, n uint32) []Element { return with(meta, Numbers(0x00020000, "UL", n)) }
	return []Case{
		meta("meta-no-length", "a meta group without its length", func(m []Element) []Element { return m[1:] }),
		meta("meta-length-wrong", "a meta group length that is too small", func(m []Element) []Element { return length(m, 12) }),
		meta("meta-length-zero", "a meta group length of zero", func(m []Element) []Element { return length(m, 0) }),
		meta("meta-no-class", "a meta group of nothing but the transfer syntax", func(m []Element) []Element {
			return without(m, 0x00020000, 0x00020001, 0x00020002, 0x00020003, 0x00020012, 0x00020013)
		}),
		meta("meta-other-sop", "a Media Storage SOP Instance UID that is not the dataset's", func(m []Element) []Element {
			return withGroupLengths(with(m, Text(0x00020003, "UI", UID("another")))[1:], Syntax{})
		}),
		meta("meta-space-padding", "a transfer syntax padded with a space", func(m []Element) []Element {
			return with(m, Raw(0x00020010, "UI", []byte(explicitLE+" ")))
		}),
		meta("meta-odd", "a transfer syntax without padding, of odd length", func(m []Element) []Element {
			return withGroupLengths(with(m, Raw(0x00020010, "UI", []byte(explicitLE)))[1:], Syntax{})
		}),
		meta("meta-private", "private information, sending and receiving AE, a presentation address", func(m []Element) []Element {
			more := with(m, Text(0x00020016, "AE", "PHANTOM"), Text(0x00020017, "AE", "SENDER"), Text(0x00020018, "AE", "RECEIVER"),
				Text(0x00020026, "UR", "https://example/"), Text(0x00020100, "UI", UID("creator")), Raw(0x00020102, "OB", fill("private information", 64)))
			return withGroupLengths(more[1:], Syntax{})
		}),
		meta("meta-order", "a meta group whose elements are not in order", func(m []Element) []Element {
			m = slices.Clone(m)
			slices.Reverse(m[1:])
			return m
		}),
		altered("structure", "syntax-private", "a transfer syntax that nobody here knows, coded as Explicit VR Little Endian", func(f *File) {
			f.Syntax.UID = "1.3.46.670589.33.1.4.1"
		}),
		altered("structure", "deflated-garbage", "a deflated dataset with a few bytes after the end of the stream", func(f *File) {
			f.Syntax, f.Tail = syntax(deflatedLE), []byte{0, 0, 0, 0}
		}),
	}
}

func orderCases() []Case {
	comment := func(s string) Element { return Text(0x00204000, "LT", s) }
	appended := func(name, shows string, more ...Element) Case {
		return altered("structure", name, shows, func(f *File) { f.Elements = append(f.Elements, more...) })
	}
	return []Case{
		appended("duplicate", "one tag three times, with different values", comment("first "), comment("second"), comment("third ")),
		appended("duplicate-large", "one tag twice with values above 1,024 bytes",
			Raw(0x00420011, "OB", fill("one", 1500)), Raw(0x00420011, "OB", fill("two", 2500))),
		appended("duplicate-equal", "one tag twice with the same value", comment("same"), comment("same")),
		appended("out-of-order", "tags that go down", comment("before"), Text(0x00180015, "CS", "HEAD"), Text(0x00100010, "PN", "Second^Name "),
			Text(0x00080081, "ST", "Somewhere ")),
		altered("structure", "reversed", "all tags in descending order", func(f *File) { slices.Reverse(f.Elements) }),
		appended("duplicate-sequence", "one sequence twice", Sequence(0x00400275, Item{Elements: []Element{comment("a ")}}),
			Delimited(0x00400275, Item{Elements: []Element{comment("b ")}})),
		appended("group-mixed", "elements with a group of 0019 and of FFFC after the pixels' group", Raw(0x7FE00020, "OB", []byte{1, 2}), Text(0x00190010, "LO", "LATE")),
	}
}

func lengthCases() []Case {
	padding := Raw(0xFFFCFFFC, "OB", make([]byte, 300))
	lengths := func(name, shows string, s Syntax) Case {
		c := pictured("structure", name, shows, s, gray8())
		c.File.GroupLengths = true
		return c
	}
	return []Case{
		lengths("group-lengths", "a group length before each group", syntax(explicitLE)),
		lengths("group-lengths-implicit", "a group length before each group, implicit", syntax(implicitLE)),
		lengths("group-lengths-big-endian", "a group length before each group, big-endian", syntax(explicitBE)),
		plain("structure", "group-length-wrong", "a group length that is not true, another group without one", Numbers(0x00080000, "UL", uint32(77))),
		plain("structure", "group-length-item", "a group length inside an item", Sequence(0x00081140, Item{Elements: []Element{
			Numbers(0x00080000, "UL", uint32(20)), Text(0x00081150, "UI", "1.2.840.1")}})),
		plain("structure", "trailing-padding", "Data Set Trailing Padding", padding),
		plain("structure", "trailing-padding-item", "Data Set Trailing Padding inside an item and at the end", padding,
			Delimited(0x00081140, Item{Elements: []Element{Text(0x00081150, "UI", "1.2.840.1"), padding}})),
		plain("structure", "odd-lengths", "values of odd length", Raw(0x00080080, "LO", []byte("odd")), Raw(0x00420011, "OB", []byte{1, 2, 3}),
			Raw(0x00081190, "UR", []byte("x:y")), Raw(0x00181020, "UI", []byte("1.2"))),
		plain("structure", "longest-short", "a 16-bit length at its end", Raw(0x00204000, "LT", slices.Repeat([]byte("ab"), 32767))),
		plain("structure", "future-vr", "a VR of the future: its length has 32 bits as PS3.5 promises", Raw(0x00420020, "ZZ", []byte("from the future "))),
		plain("structure", "uid-leading-zeros", "a SOP Instance UID with leading zeros, which the standard forbids and real files have",
			Text(0x00080018, "UI", "2.25.007.0"+UID("leading zeros")[5:])),
		plain("structure", "uid-spaces", "a SOP Instance UID padded with spaces", Raw(0x00080018, "UI", []byte(UID("spaces")+"   "))),
		plain("structure", "unknown-tag", "public tags that no dictionary has", Raw(0x00289FFE, "UN", []byte{1, 2, 3, 4}), Text(0x0008FFF0, "LO", "unknown ")),
	}
}
