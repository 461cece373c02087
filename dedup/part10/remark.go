package part10

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/dicomesh/dicomesh/dedup/part10/charset"
)

// maxRemarks is the most that is said about one file.
const maxRemarks = 8

// longest is how long PS3.5 table 6.2-1 lets one value be: characters, of PN those of one component group; 0: as long as may be.
// TM may have the 16 that it could have until 2013.
func (v VR) longest() int {
	switch v {
	case "AS":
		return 4
	case "DA":
		return 8
	case "IS":
		return 12
	case "AE", "CS", "DS", "SH", "TM":
		return 16
	case "DT":
		return 26
	case "LO", "PN", "UI":
		return 64
	case "ST":
		return 1024
	case "LT":
		return 10240
	}
	return 0
}

// remark notes where a value breaks the rules of its VR.
func (t *taker) remark(tok token, value []byte) {
	if len(t.remarks) == maxRemarks {
		return
	}
	f := tok.vr.facts()
	unit := max(int(f.size), int(f.swap), 1)
	switch {
	case len(value)%unit != 0:
		t.say("(%s) %s value of %d bytes is not made of units of %d", pretty(tok.tag), tok.vr, len(value), unit)
	case len(value)%2 == 1:
		t.say("(%s) %s value has an odd length of %d bytes", pretty(tok.tag), tok.vr, len(value))
	}
	if most := tok.vr.longest(); most > 0 && len(value) > most {
		t.remarkLong(tok, value, most)
	}
}

// remarkLong looks at the values of a text one by one. The one byte that makes the length even does not count.
func (t *taker) remarkLong(tok token, value []byte, most int) {
	f := tok.vr.facts()
	if n := len(value); value[n-1] == f.pad || value[n-1] == 0 {
		value = value[:n-1]
	}
	for more := f.form != formText; more; {
		var part []byte
		part, value, more = t.top().set.Cut(value, '\\', f.syntax())
		t.remarkOne(tok, part, most)
	}
	if f.form == formText {
		t.remarkOne(tok, value, most)
	}
}

// remarkOne looks at one value, of PN at each component group.
func (t *taker) remarkOne(tok token, value []byte, most int) {
	f, set := tok.vr.facts(), t.top().set
	for more := true; more && len(value) > most; {
		var part []byte
		if part, more = value, false; f.form == formNames {
			part, value, more = set.Cut(value, '=', charset.Names)
		}
		if len(part) <= most {
			continue
		}
		n, unit := len(part), "bytes"
		if f.charset {
			decoded, _ := set.Decode(nil, part, f.syntax())
			n, unit = utf8.RuneCount(decoded), "characters"
		}
		if n > most {
			t.say("(%s) %s value of %d %s is longer than %d", pretty(tok.tag), tok.vr, n, unit, most)
		}
	}
}

// say adds a remark that is not there yet.
func (t *taker) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if len(t.remarks) < maxRemarks && !slices.Contains(t.remarks, text) {
		t.remarks = append(t.remarks, text)
	}
}
