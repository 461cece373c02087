package phantom

import (
	"math"
	"slices"
)

// valueCases are about values: of each VR, none, one, several, and such as JSON loses.
func valueCases() []Case {
	return slices.Concat(vrCases(), numberCases(), textCases(), sizeCases())
}

// everyVR has an element for each VR of PS3.5, with one or several values.
func everyVR() []Element {
	return []Element{
		Text(0x00080054, "AE", "PHANTOM", "OTHER"), Text(0x00101010, "AS", "047Y"), Tags(0x00209165, 0x00189074, 0x7FE00010),
		Text(0x00080008, "CS", "ORIGINAL", "PRIMARY", "AXIAL"), Text(0x00080021, "DA", "20240229"), Text(0x00280030, "DS", "0.5", "0.25"),
		Text(0x0008002A, "DT", "20240229101112.123456+0100"), Numbers(0x00189073, "FD", 1.5, -0.1, 1e300), Numbers(0x00189352, "FL", float32(0.1), -2, 3),
		Text(0x00081160, "IS", "1", "-2", "3"), Text(0x00080080, "LO", "Phantom works"), Text(0x001021B0, "LT", " a long text\r\n of two lines"),
		Raw(0x00420011, "OB", []byte{1, 2, 3, 4}), Numbers(0x7FE00009, "OD", 1.5, 2.5), Numbers(0x00660016, "OF", float32(1), 2, 3),
		Numbers(0x00660040, "OL", uint32(1), 2, 3), Numbers(0x7FE00001, "OV", uint64(0), 8), Numbers(0x00281201, "OW", uint16(1), 2, 3),
		Text(0x00081048, "PN", "Doe^Jane^^Dr", "Roe^Richard"), Text(0x00081010, "SH", "STATION"), Numbers(0x00186020, "SL", int32(-5), 7),
		Sequence(0x00081140, entry(1)), Numbers(0x00280106, "SS", int16(-7)), Text(0x00081081, "ST", "A street "),
		{Tag: 0x00720082, VR: "SV", Value: []byte{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, Unit: 8}, Text(0x00080031, "TM", "101112.123456"),
		Text(0x00080119, "UC", "unlimited", "characters"), Text(0x00081155, "UI", UID("one"), UID("two")), Numbers(0x00186018, "UL", uint32(1), 4294967295),
		Raw(0x00091001, "UN", []byte{9, 9, 9, 9}), Text(0x00081190, "UR", "https://example/studies/1"), Numbers(0x00189810, "US", uint16(65535)),
		Text(0x0040A160, "UT", "unlimited text"), Numbers(0x00720083, "UV", uint64(1)),
	}
}

func vrCases() []Case {
	var empty []Element
	for _, e := range everyVR() {
		if e.VR == "SQ" {
			e = Sequence(e.Tag)
		}
		empty = append(empty, Element{Tag: e.Tag, VR: e.VR, Items: e.Items})
	}
	var cases []Case
	for _, uid := range []string{explicitLE, implicitLE, explicitBE, deflatedLE} {
		s := syntax(uid)
		full := plain("values", "every-vr-"+uid, "every VR, in "+s.Name, everyVR()...)
		none := plain("values", "every-vr-empty-"+uid, "every VR without a value, in "+s.Name, empty...)
		full.File.Syntax, none.File.Syntax = s, s
		cases = append(cases, full, none)
	}
	return cases
}

func numberCases() []Case {
	one := func(name, shows string, extra ...Element) Case { return plain("values", name, shows, extra...) }
	return []Case{
		one("decimal-strings", "DS that are not what a number prints as", Text(0x00280030, "DS", "1.70", "+007", "1.0E+01", "-0.0", " 5 ", "1e5", ".5", "5.", "0012", "1.7"),
			Text(0x00200032, "DS", "1.234567890123456789", "", "100000000000000000000000"), Text(0x00201041, "DS", "NaN"), Text(0x00180050, "DS", "five")),
		one("integer-strings", "IS that are not what a number prints as", Text(0x00081160, "IS", "+1", "007", " 3", "-0", "2147483648", ""),
			Text(0x00200012, "IS", "1.5"), Text(0x00280008, "IS", "one")),
		one("floats", "not-a-number with payloads, infinities, minus zero, the smallest and the largest", Numbers(0x00189073, "FD", math.NaN(), math.Inf(1), math.Inf(-1),
			math.Copysign(0, -1), math.SmallestNonzeroFloat64, math.MaxFloat64, math.Float64frombits(0xFFF8000000001234)),
			Numbers(0x00189352, "FL", math.Float32frombits(0x7FC00001), math.Float32frombits(0xFF800000), math.Float32frombits(0x80000000), 1e-45, 3.4028235e38, 16777217)),
		one("wide-integers", "64-bit integers beyond 2^53", Numbers(0x00720082, "SV", int64(math.MinInt64), 1<<53+1, -1), Numbers(0x00720083, "UV", uint64(math.MaxUint64), 1<<53)),
		one("lengths-off", "numbers whose value is not a whole number of them", Raw(0x00186018, "UL", []byte{1, 2, 3, 4, 5, 6}), Raw(0x00189810, "US", []byte{1, 2, 3}),
			Raw(0x00189073, "FD", []byte{1, 2, 3, 4}), Raw(0x00209165, "AT", []byte{8, 0})),
		one("frames-1A", "a Number of Frames that is no number, without Pixel Data", Text(0x00280008, "IS", "1A")),
	}
}

func textCases() []Case {
	one := func(name, shows string, extra ...Element) Case { return plain("values", name, shows, extra...) }
	return []Case{
		one("padding", "values padded otherwise than the standard says", Raw(0x00080008, "CS", []byte("NUL\x00")), Raw(0x00181020, "UI", []byte("1.2.3.4 ")),
			Raw(0x00080080, "LO", []byte("many spaces     ")), Raw(0x00081010, "SH", []byte("\x00\x00")), Raw(0x00081030, "LO", []byte("    ")),
			Raw(0x001021B0, "LT", []byte("  leading and trailing  ")), Raw(0x00081048, "PN", []byte(" Doe ^ Jane \x00\x00")), Raw(0x00080022, "DA", []byte("20240229  "))),
		one("components", "empty values among several, and nothing but backslashes", Text(0x00080008, "CS", "", "A", "", "B", ""), Text(0x00181020, "LO", "", ""),
			Text(0x00081048, "PN", "", "Doe^Jane", "")),
		one("names", "person names of every shape", Text(0x00081048, "PN", "^^^^", "A^B^C^D^E^F", "==", "Alphabetic=", "=Ideographic", "==Phonetic", "A=B=C=D", "^Given")),
		one("backslash-text", "backslashes in VRs that have one value", Text(0x001021B0, "LT", `C:\phantom\1`), Text(0x00081081, "ST", `a\b`), Text(0x0040A160, "UT", `\\`),
			Text(0x00081190, "UR", `https://example/\`)),
		one("control", "control characters, quotes and what JSON escapes", Text(0x001021B0, "LT", "tab\t feed\f bell\a nul\x00 quote\" slash/ del\x7f"),
			Text(0x00080080, "LO", "<script>&\"'"), Text(0x00081010, "SH", "\x01\x02")),
		one("dates", "dates and times of older and looser forms", Text(0x00080022, "DA", "2024.02.29"), Text(0x00080023, "DA", "20240101-20241231"), Text(0x00080032, "TM", "10:11:12"),
			Text(0x00080033, "TM", "1011"), Text(0x0008002A, "DT", "2024"), Text(0x00101010, "AS", "47")),
		one("identifiers", "UIDs with leading zeros, letters, spaces and beyond 64 characters, where no path needs them", Text(0x00081155, "UI", "1.02.003"),
			Text(0x00200052, "UI", "not.a.uid"), Raw(0x00080014, "UI", repeat("1.2", 30)), Raw(0x00181002, "UI", []byte(" 1.2.3"))),
		one("enumerations", "lower case and forbidden characters in CS, AE too long", Text(0x00080008, "CS", "lower case", "\xDCnder"), Text(0x00080054, "AE", "FAR TOO LONG AN APPLICATION TITLE")),
	}
}

// sizeCases stand at the borders between what stays inline and what becomes bulkdata.
func sizeCases() []Case {
	one := func(name, shows string, extra ...Element) Case { return plain("values", name, shows, extra...) }
	return []Case{
		one("inline-limit", "OB of 1,024, 1,025 and 1,026 bytes", Raw(0x00420011, "OB", fill("a", 1024)), Raw(0x00420012, "OB", fill("b", 1025)), Raw(0x00420013, "OB", fill("c", 1026))),
		one("text-64k", "text of 65,536 and of 65,538 bytes", Raw(0x0040A160, "UT", repeat("ab", 32768)), Raw(0x00080119, "UC", repeat("cd", 32769))),
		one("words", "large OW, OF, OD, OL and OV", Element{Tag: 0x00281201, VR: "OW", Value: fill("ow", 2048), Unit: 2}, Element{Tag: 0x00660016, VR: "OF", Value: fill("of", 2048), Unit: 4},
			Element{Tag: 0x00660040, VR: "OL", Value: fill("ol", 2048), Unit: 4}, Element{Tag: 0x00701A00, VR: "OD", Value: fill("od", 2048), Unit: 8},
			Element{Tag: 0x00720081, VR: "OV", Value: fill("ov", 2048), Unit: 8}),
		bigWords(),
		one("same-bulk", "the same large value twice in one instance and once in an item", Raw(0x00420011, "OB", fill("same", 4000)), Raw(0x00420013, "OB", fill("same", 4000)),
			Sequence(0x00081140, Item{Elements: []Element{Raw(0x00420011, "OB", fill("same", 4000))}})),
	}
}

// bigWords is large OW, OF and OD in a big-endian file: stored little-endian.
func bigWords() Case {
	c := plain("values", "words-big-endian", "large OW, OF and OD in a big-endian file", Element{Tag: 0x00281201, VR: "OW", Value: fill("ow", 2048), Unit: 2},
		Element{Tag: 0x00660016, VR: "OF", Value: fill("of", 2048), Unit: 4}, Element{Tag: 0x00701A00, VR: "OD", Value: fill("od", 2048), Unit: 8})
	c.File.Syntax = syntax(explicitBE)
	return c
}
