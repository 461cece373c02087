package part10

import (
	"fmt"
	"strings"
	"testing"
)

// TestVRTable is the table as text, for eyes: size and swap in bytes, then what is true.
func TestVRTable(t *testing.T) {
	const want = `
AE 0 0 text
AS 0 0 text
AT 4 2
CS 0 0 text
DA 0 0 text
DS 0 0 text bulk
DT 0 0 text
FD 8 8 bulk
FL 4 4 bulk
IS 0 0 text bulk
LO 0 0 text charset
LT 0 0 text charset leading bulk
OB 0 0 binary long bulk
OD 0 8 binary long bulk
OF 0 4 binary long bulk
OL 0 4 binary long bulk
OV 0 8 binary long bulk
OW 0 2 binary long bulk
PN 0 0 text charset
SH 0 0 text charset
SL 4 4 bulk
SQ 0 0 long
SS 2 2 bulk
ST 0 0 text charset leading bulk
SV 8 8 long bulk
TM 0 0 text
UC 0 0 text long charset leading bulk
UI 0 0 text
UL 4 4 bulk
UN 0 0 binary long bulk
UR 0 0 text long leading
US 2 2 bulk
UT 0 0 text long charset leading bulk
UV 8 8 long bulk
`
	var got strings.Builder
	got.WriteByte('\n')
	for a := byte('A'); a <= 'Z'; a++ {
		for b := byte('A'); b <= 'Z'; b++ {
			vr := vrOf(a, b)
			if !vr.known() {
				continue
			}
			f := vr.facts()
			fmt.Fprintf(&got, "%s %d %d", vr, f.size, vr.swap())
			for _, fact := range []struct {
				name string
				is   bool
			}{{"text", vr.text()}, {"binary", vr.binary()}, {"long", vr.long()}, {"charset", f.charset}, {"leading", f.leading}, {"bulk", vr.bulk()}} {
				if fact.is {
					got.WriteString(" " + fact.name)
				}
			}
			got.WriteByte('\n')
		}
	}
	if got.String() != want {
		t.Errorf("got:%s", got.String())
	}
}

func TestPadding(t *testing.T) {
	for _, vr := range everyVR {
		want := byte(0)
		if vr.text() && vr != "UI" {
			want = ' '
		}
		if got := vr.facts().pad; got != want {
			t.Errorf("%s is padded with %q", vr, got)
		}
	}
}

func TestUnknownVR(t *testing.T) {
	for _, vr := range []VR{"", "A", "AA", "ZZ", "cs", "\x00\x00", "CSS"} {
		if vr.known() || vr.text() || !vr.binary() || !vr.long() || vr.swap() != 0 {
			t.Errorf("%q is not treated as UN", vr)
		}
	}
	if got := vrOf('Z', '?'); got != "Z?" {
		t.Errorf("%q", got)
	}
	if n := testing.AllocsPerRun(100, func() { vrOf('C', 'S') }); n != 0 {
		t.Errorf("%v allocations for a VR of the standard", n)
	}
}
