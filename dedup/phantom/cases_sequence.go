package phantom

import (
	"fmt"
	"slices"
)

// sequenceCases are about sequences: their lengths, their depth, and those that do not say that they are one.
func sequenceCases() []Case {
	return slices.Concat(formCases(), hiddenCases(), deepCases())
}

// entry is an item with some content that tells one from the next.
func entry(n int) Item {
	return Item{Elements: []Element{Text(0x00080100, "SH", fmt.Sprintf("C-%04d", n)), Text(0x00080102, "SH", "99PHANTOM"), Text(0x00080104, "LO", "an entry")}}
}

func open(i Item) Item {
	i.Undefined = true
	return i
}

func formCases() []Case {
	const tag = 0x00400260
	mixed := Sequence(tag, entry(1), open(entry(2)), Item{}, open(Item{}), entry(5))
	openSequence, openItems := Sequence(tag, entry(1), entry(2)), Sequence(tag, open(entry(1)), open(entry(2)))
	openSequence.Undefined = true
	empty := Sequence(tag)
	empty.Undefined = true
	one := func(name, shows string, e Element) Case { return plain("sequence", name, shows, e) }
	cases := []Case{
		one("defined", "defined lengths of sequence and items", Sequence(tag, entry(1), entry(2))),
		one("delimited", "undefined lengths of sequence and items", Delimited(tag, entry(1), entry(2))),
		one("open-sequence", "an undefined length of the sequence, defined ones of its items", openSequence),
		one("open-items", "undefined lengths of items, a defined one of the sequence", openItems),
		one("mixed", "items of every form in one sequence, empty ones too", mixed),
		one("empty-defined", "a sequence of length zero", Sequence(tag)),
		one("empty-delimited", "a sequence of undefined length without an item", empty),
		one("empty-item", "a sequence with one empty item", Sequence(tag, Item{})),
		one("large", "a sequence above 16 KiB, with one above 16 KiB inside", Sequence(tag, entry(0), Item{Elements: []Element{Delimited(0x00081140, entries(200)...)}})),
		one("not-items", "a sequence of defined length that holds no items: its end is known all the same", Raw(tag, "SQ", encodeElements(entry(1).Elements, Syntax{}))),
		one("large-private", "a private sequence above 16 KiB", Sequence(tag)),
	}
	last := &cases[len(cases)-1].File
	last.Elements = with(without(last.Elements, tag), Text(0x00210010, "LO", "PHANTOM SEQUENCES "), Delimited(0x00211001, entries(300)...))
	for _, uid := range []string{implicitLE, explicitBE, deflatedLE} {
		c := one("mixed-"+uid, "items of every form in "+syntax(uid).Name, mixed)
		c.File.Syntax = syntax(uid)
		cases = append(cases, c)
	}
	return cases
}

func entries(n int) []Item {
	var items []Item
	for i := range n {
		items = append(items, entry(i))
	}
	return items
}

// hiddenCases are sequences with VR UN.
func hiddenCases() []Case {
	private := Text(0x00310010, "LO", "PHANTOM HIDDEN")
	unknown := func(tag uint32, e Element) Element {
		e.Tag, e.VR = tag, "UN"
		return e
	}
	nested := func(form func(uint32, ...Item) Element) Element {
		return form(0, entry(1), Item{Elements: []Element{form(0x00081140, entry(2))}})
	}
	explicit := encodeElements([]Element{Sequence(0x00311001, entry(1))}, Syntax{})[12:]
	big := func(c Case) Case {
		c.File.Syntax = syntax(explicitBE)
		return c
	}
	return []Case{
		plain("sequence", "un-delimited", "UN of undefined length: its items are implicit little-endian", private, unknown(0x00311001, nested(Delimited))),
		plain("sequence", "un-defined", "UN of defined length that is a run of implicit items", private, unknown(0x00311001, nested(Sequence))),
		big(plain("sequence", "un-big-endian", "UN of undefined length in a big-endian file: its items are little-endian all the same", private,
			unknown(0x00311001, nested(Delimited)))),
		plain("sequence", "un-public", "a public sequence written as UN", unknown(0x00081140, nested(Sequence))),
		plain("sequence", "un-explicit", "UN whose items are explicit, as some writers have it", private, Raw(0x00311001, "UN", explicit)),
		plain("sequence", "un-alike", "UN that begins like an item and is none", private, Raw(0x00311001, "UN", []byte("\xFE\xFF\x00\xE0\x40\x00\x00\x00not items at all"))),
		plain("sequence", "un-text", "a public text attribute written as UN", Raw(0x00081080, "UN", []byte("broken toe"))),
	}
}

// deepCases nest; readers that call themselves for each level run out of stack on some of them.
func deepCases() []Case {
	nest := func(levels int, form func(uint32, ...Item) Element) Element {
		e := Text(0x00204000, "LT", "the bottom")
		for range levels {
			e = form(0x00081140, Item{Elements: []Element{e}})
		}
		return e
	}
	implicit := func(c Case) Case {
		c.File.Syntax = syntax(implicitLE)
		return c
	}
	unknown := nest(40, Delimited)
	unknown.VR = "UN"
	return []Case{
		plain("sequence", "deep-64", "64 levels, as many as are taken apart", nest(64, Delimited)),
		plain("sequence", "deep-65", "65 levels, one more", nest(65, Sequence)),
		plain("sequence", "deep-5000-delimited", "5,000 levels of undefined length", nest(5000, Delimited)),
		plain("sequence", "deep-5000-defined", "5,000 levels of defined length", nest(5000, Sequence)),
		implicit(plain("sequence", "deep-5000-implicit", "5,000 levels, implicit", nest(5000, Delimited))),
		plain("sequence", "deep-un", "40 levels under UN of undefined length", unknown),
	}
}
