package phantom

import "fmt"

// privateCases are about private blocks, above all in group 0009, where the archive puts its own.
func privateCases() []Case {
	ge := []Element{Text(0x00090010, "LO", "GEMS_IDEN_01"), Text(0x00091001, "LO", "GE_GENESIS_FF "), Text(0x00091002, "SH", "MR01"),
		Numbers(0x00091027, "SL", int32(862399669)), Text(0x00091030, "SH", "")}
	foreign := []Element{Text(0x00090011, "LO", "dedupped"), Text(0x00091110, "LO", "not a hash"), Text(0x00091112, "LO", "instance"), Text(0x00091199, "LT", "ours")}
	var full []Element
	for block := uint32(0x10); block <= 0xFF; block++ {
		full = append(full, Text(0x00090000+block, "LO", fmt.Sprintf("PHANTOM BLOCK %02X", block)))
	}
	one := func(name, shows string, extra ...Element) Case { return plain("private", name, shows, extra...) }
	cases := []Case{
		one("ge", "GE's block in group 0009", ge...),
		one("dedupped", "a source file's own creator dedupped at (0009,0011), GE's before it", append(ge, foreign...)...),
		one("dedupped-last", "a source file's own creator dedupped in the last block, above which none is free", Text(0x000900FF, "LO", "dedupped"),
			Text(0x0009FF12, "LO", "instance")),
		one("dedupped-twice", "the creator dedupped in two blocks", Text(0x00090010, "LO", "dedupped"), Text(0x00090020, "LO", "dedupped"),
			Text(0x00091011, "LO", "a"), Text(0x00092011, "LO", "b")),
		one("full", "all 240 blocks of group 0009 taken", full...),
		one("no-creator", "private elements without a creator", Text(0x00191001, "LO", "nobody's"), Numbers(0x00191002, "US", uint16(7))),
		one("creator-late", "a creator after its elements, and one without elements", Text(0x00290011, "LO", "EMPTY"), Text(0x00291001, "LO", "early")),
		one("creator-odd", "creators with spaces around, empty, not LO", Raw(0x00290010, "LO", []byte("  SPACES  ")), Text(0x00290011, "LO", ""),
			Raw(0x00290012, "UN", []byte("UNKNOWN CREATOR ")), Raw(0x00290013, "SH", []byte("SHORT "))),
		one("large", "private values of 1,024, 1,025, 2,000 and 70,000 bytes, text and binary", Text(0x00290010, "LO", "PHANTOM LARGE "),
			Raw(0x00291000, "OB", fill("1024", 1024)), Raw(0x00291001, "OB", fill("1025", 1025)), Raw(0x00291002, "UN", fill("2000", 2000)),
			Raw(0x00291003, "OB", fill("70000", 70000)), Raw(0x00291004, "UT", repeat("private text ", 200)), Numbers(0x00291005, "FL", make([]float32, 400)...)),
		one("groups", "odd groups that are no private groups, and a private group of many kinds", Raw(0x00030010, "LO", []byte("low ")),
			Text(0x7FE10010, "LO", "AFTER PIXELS"), Text(0x7FE11001, "LO", "after the pixels"), Text(0xFFFF0010, "LO", "HIGHEST ")),
		one("item", "private blocks inside items, numbered otherwise than at the root", Text(0x00090010, "LO", "ROOT"), Text(0x00091001, "LO", "root"),
			Sequence(0x00081140, Item{Elements: []Element{Text(0x00090010, "LO", "ITEM"), Text(0x00090011, "LO", "dedupped"), Text(0x00091112, "LO", "series")}})),
	}
	for _, uid := range []string{implicitLE, explicitBE} {
		c := one("ge-"+uid, "GE's block in "+syntax(uid).Name, ge...)
		c.File.Syntax = syntax(uid)
		cases = append(cases, c)
	}
	return cases
}

// repeat is s over and over, n times.
func repeat(s string, n int) []byte {
	var out []byte
	for range n {
		out = append(out, s...)
	}
	return out
}
