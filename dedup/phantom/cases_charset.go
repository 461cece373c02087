package phantom

import "strings"

// charsetCases are the Specific Character Sets, with bytes as PS3.5 annexes H to K print them. Named by what they decode to, where it is short.
func charsetCases() []Case {
	var cases []Case
	for _, set := range []struct{ name, terms, bytes string }{
		{"default", "", "Doe^John"},
		{"latin1", "ISO_IR 100", "Buc^J\xE9r\xF4me"},
		{"latin2", "ISO_IR 101", "Wa\xB3\xEAsa^Lech"},
		{"latin3", "ISO_IR 109", "\xA6a\xFE^Esperanto"},
		{"latin4", "ISO_IR 110", "\xA9ulc^J\xE2nis"},
		{"latin5", "ISO_IR 148", "\xC7avu\xFEo\xF0lu"},
		{"latin9", "ISO_IR 203", "C\x9Cur^\xA4uro"},
		{"cyrillic", "ISO_IR 144", "\xBB\xEE\xDAce\xDC\xD1yp\xD3"},
		{"arabic", "ISO_IR 127", "\xE2\xC8\xC7\xE6\xEA^\xE4\xE6\xD2\xC7\xD1"},
		{"greek", "ISO_IR 126", "\xC4\xE9\xEF\xED\xF5\xF3\xE9\xEF\xF2"},
		{"hebrew", "ISO_IR 138", "\xF9\xF8\xE5\xEF^\xE3\xE1\xE5\xF8\xE4"},
		{"thai", "ISO_IR 166", "\xCA\xC1\xAA\xD2\xC2"},
		{"katakana", "ISO_IR 13", "\xD4\xCF\xC0\xDE^\xC0\xDB\xB3"},
		{"japanese", `\ISO 2022 IR 87`, "Yamada^Tarou=\x1B$B;3ED\x1B(B^\x1B$BB@O:\x1B(B=\x1B$B$d$^$@\x1B(B^\x1B$B$?$m$&\x1B(B"},
		{"japanese-katakana", `ISO 2022 IR 13\ISO 2022 IR 87`, "\xD4\xCF\xC0\xDE^\xC0\xDB\xB3=\x1B$B;3ED\x1B(J^\x1B$BB@O:\x1B(J=\x1B$B$d$^$@\x1B(J^\x1B$B$?$m$&\x1B(J"},
		{"japanese-supplement", `\ISO 2022 IR 159`, "Name^\x1B$(D\x30\x21\x1B(B"},
		{"korean", `\ISO 2022 IR 149`, "Hong^Gildong=\x1B$)C\xFB\xF3^\x1B$)C\xD1\xCE\xD4\xD7=\x1B$)C\xC8\xAB^\x1B$)C\xB1\xE6\xB5\xBF"},
		{"chinese-58", `\ISO 2022 IR 58`, "Zhang^XiaoDong=\x1B$)A\xD5\xC5^\x1B$)A\xD0\xA1\xB6\xAB="},
		{"utf8", "ISO_IR 192", "Wang^XiaoDong=王^小東="},
		{"gb18030", "GB18030", "Wang^XiaoDong=\xCD\xF5^\xD0\xA1\xB6\xAB="},
		{"gbk", "GBK", "Wang^XiaoDong=\xCD\xF5^\xD0\xA1\xB6\xAB="},
		{"latin1-greek", `ISO 2022 IR 100\ISO 2022 IR 126`, "J\xE9r\xF4me=\x1B-F\xC4\xE9\xEF\xED\xF5\xF3\xE9\xEF\xF2"},
		{"unknown", "ISO_IR 999", "Doe^J\xE9r\xF4me"},
		{"misspelt", "ISO-IR 100", "Doe^J\xE9r\xF4me"},
		{"undecodable", "ISO_IR 192", "Doe^J\xE9r\xF4me"},
		{"high-without", "", "Doe^J\xE9r\xF4me"},
		{"gb18030-backslash", "GB18030", "Wang^\x95\x5C=\x81\x30\x84\x36"},
	} {
		e := []Element{Text(0x00080005, "CS", strings.Split(set.terms, `\`)...), Text(0x00100010, "PN", set.bytes), Text(0x00204000, "LT", set.bytes+"\r\n"+set.bytes),
			Text(0x00200010, "SH", "1")}
		cases = append(cases, plain("charset", set.name, "Specific Character Set "+set.terms, e...))
	}
	item := Sequence(0x00081140,
		Item{Elements: []Element{Text(0x00080005, "CS", "ISO_IR 144"), Text(0x00081155, "UI", "1.2"), Text(0x00100010, "PN", "\xBB\xEE\xDAce\xDC\xD1yp\xD3")}},
		Item{Elements: []Element{Text(0x00100010, "PN", "Buc^J\xE9r\xF4me"), Sequence(0x00081140, Item{Elements: []Element{Text(0x00100010, "PN", "\xE9")}})}})
	late := plain("charset", "late", "a Specific Character Set that stands after text, out of order")
	late.File.Elements = append(without(late.File.Elements, 0x00080005), Text(0x00204000, "LT", "\xE9"), Text(0x00080005, "CS", "ISO_IR 100"))
	return append(cases, plain("charset", "item", "an item with a Specific Character Set of its own, and one that inherits", item), late)
}
