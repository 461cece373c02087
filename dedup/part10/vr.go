package part10

// VR is a value representation, two letters of PS3.5 section 6.2 such as "CS"; "" where a file gives none. Which VR an element has says
// scanner.resolve; what follows from it says vrTable.
type VR string

// form is how a VR's value looks in a file, and so in JSON.
type form uint8

const (
	formUnknown  form = iota // no VR of the standard: handled as UN
	formOctets               // OB and its kin: InlineBinary
	formNumbers              // binary numbers of one size
	formTags                 // AT
	formValues               // text: values divided by backslashes
	formDecimals             // DS and IS: such text, a JSON number where it is printed as RFC 8785 prints numbers
	formNames                // PN: such text, each value in three component groups
	formText                 // one text, in which a backslash is a character
	formItems                // SQ
)

// vrFacts is what the standard says about a VR.
type vrFacts struct {
	name    VR // a constant, so that a VR read from a file need not be allocated
	form    form
	size    int8 // bytes of one number, for numbers and tags; else 0
	swap    int8 // bytes whose order differs between the byte orders (PS3.5 section 7.3); 0: none
	long    bool // explicit VR has two reserved bytes and a length of four (PS3.5 section 7.1.2)
	charset bool // Specific Character Set applies (PS3.5 section 6.1.2.3)
	leading bool // leading spaces are part of the value (PS3.5 table 6.2-1)
	bulk    bool // PS3.18 section F.2.2 lets a BulkDataURI stand for the value
	pad     byte // what makes the length even
}

// vrOf is the VR that two bytes of a file spell, without allocating for one that the standard has.
func vrOf(a, b byte) VR {
	if f := factsOf(a, b); f.form != formUnknown {
		return f.name
	}
	return VR([]byte{a, b})
}

// facts is v's row of the table, for a VR that the standard does not have UN's with form formUnknown.
func (v VR) facts() *vrFacts {
	if len(v) != 2 {
		return &vrTable[0]
	}
	return factsOf(v[0], v[1])
}

func factsOf(a, b byte) *vrFacts {
	if a-'A' >= 26 || b-'A' >= 26 {
		return &vrTable[0]
	}
	return &vrTable[int(a-'A')*26+int(b-'A')]
}

// known reports whether the standard has v.
func (v VR) known() bool { return v.facts().form != formUnknown }

// long reports whether v's header in explicit VR has a length of four bytes. Unknown ones: as all new VRs will.
func (v VR) long() bool { return v.facts().long }

// text reports whether v's value is text, padded with what counts for nothing.
func (v VR) text() bool {
	f := v.facts().form
	return f == formValues || f == formDecimals || f == formNames || f == formText
}

// binary reports whether JSON has v's value as InlineBinary.
func (v VR) binary() bool {
	f := v.facts().form
	return f == formOctets || f == formUnknown
}

// swap is how many bytes of v's value change places as one between the byte orders; 0 where none do.
func (v VR) swap() int { return int(v.facts().swap) }

// bulk reports whether PS3.18 lets a BulkDataURI stand for v's value.
func (v VR) bulk() bool { return v.facts().bulk }

// vrTable is PS3.5 table 6.2-1 with sections 6.1.2.3, 7.1.2 and 7.3, and PS3.18 section F.2, by the two letters. AA, row 0, is no VR.
var vrTable = func() (table [26 * 26]vrFacts) {
	for i := range table {
		table[i] = vrFacts{name: "UN", form: formUnknown, long: true, bulk: true}
	}
	set := func(facts vrFacts, vrs ...VR) {
		for _, v := range vrs {
			facts.name = v
			table[int(v[0]-'A')*26+int(v[1]-'A')] = facts
		}
	}
	set(vrFacts{form: formValues, pad: ' '}, "AE", "AS", "CS", "DA", "DT", "TM")
	set(vrFacts{form: formValues, pad: ' ', charset: true}, "LO", "SH")
	set(vrFacts{form: formValues, pad: ' ', charset: true, leading: true, long: true, bulk: true}, "UC")
	set(vrFacts{form: formValues}, "UI")
	set(vrFacts{form: formDecimals, pad: ' ', bulk: true}, "DS", "IS")
	set(vrFacts{form: formNames, pad: ' ', charset: true}, "PN")
	set(vrFacts{form: formText, pad: ' ', charset: true, leading: true, bulk: true}, "LT", "ST")
	set(vrFacts{form: formText, pad: ' ', charset: true, leading: true, long: true, bulk: true}, "UT")
	set(vrFacts{form: formText, pad: ' ', leading: true, long: true}, "UR")
	set(vrFacts{form: formTags, size: 4, swap: 2}, "AT")
	set(vrFacts{form: formNumbers, size: 2, swap: 2, bulk: true}, "SS", "US")
	set(vrFacts{form: formNumbers, size: 4, swap: 4, bulk: true}, "FL", "SL", "UL")
	set(vrFacts{form: formNumbers, size: 8, swap: 8, bulk: true}, "FD")
	set(vrFacts{form: formNumbers, size: 8, swap: 8, long: true, bulk: true}, "SV", "UV")
	set(vrFacts{form: formOctets, long: true, bulk: true}, "OB", "UN")
	set(vrFacts{form: formOctets, swap: 2, long: true, bulk: true}, "OW")
	set(vrFacts{form: formOctets, swap: 4, long: true, bulk: true}, "OF", "OL")
	set(vrFacts{form: formOctets, swap: 8, long: true, bulk: true}, "OD", "OV")
	set(vrFacts{form: formItems, long: true}, "SQ")
	return table
}()
