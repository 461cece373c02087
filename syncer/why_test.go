package syncer

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/syncer/wire"
)

// TestWhy holds every sentence that says what keeps two sites from holding the same of a study, and whether it is the other one that lacks something.
func TestWhy(t *testing.T) {
	uid := study(1)
	state := func(leaf byte, flags wire.Flags) wire.StudyState {
		return wire.StudyState{UID: uid, Leaf: dedup.Digest{leaf}, Flags: flags}
	}
	none := wire.StudyState{UID: uid}
	has := func(site string, theirs, mine wire.StudyState) event {
		return holds{site, []held{{theirs: theirs, mine: mine}}, true}
	}
	whole, part := state(1, wire.Complete), state(2, 0)
	claim := claimed{"x", []wire.Claimed{{UID: uid, Leaf: whole.Leaf, Fetched: 1}}}
	full := said{"x", wire.Summary{Incarnation: "x", Low: true}}
	ended := func(e end, err error) event { return pulled{study: uid, end: e, why: err.Error()} }
	why := errors.New("the reason")
	for _, tt := range []struct {
		says   string
		lacks  bool
		events []event
	}{
		{"on its way: it is being fetched from there", false, []event{has("x", whole, none)}},
		{"on its way: it is being fetched from y", true, []event{has("x", none, part), linkUp{"y"}, said{"y", wire.Summary{Incarnation: "y"}}, compared{site: "y"}, has("y", whole, part)}},
		{"no link: what is known of that site is from before", false, []event{has("x", whole, none), linkDown{"x"}, ended(linkLost, why)}},
		{"no link: what is known of that site is from before", true, []event{has("x", none, whole), linkDown{"x"}}},
		{"refused, 1 times in a row: the reason", false, []event{has("x", whole, none), ended(atFault, why)}},
		{"it could not be stored here, and is tried again: the reason", false, []event{has("x", whole, none), ended(notHere, why)}},
		{"the link broke while it came: it is tried again", false, []event{has("x", whole, none), ended(linkLost, why)}},
		{"held back: the disk here is below its watermark", false, []event{room{Room{Low: true}}, has("x", whole, none)}},
		{"on its way: it is being fetched by that site", true, []event{has("x", none, whole), claim}},
		{"held back: the disk there is below its watermark", true, []event{full, has("x", none, whole)}},
		{"no source: none of the sites that are reached has all of it", true, []event{has("x", none, part)}},
		{"on its way: y has all of it", true, []event{has("x", none, part), linkUp{"y"}, said{"y", wire.Summary{Incarnation: "y"}}, compared{site: "y"}, has("y", whole, part), ended(linkLost, why)}},
		{"that site is to fetch it, or says there why not: dicomesh diff", true, []event{has("x", none, whole)}},
		{"that site is to fetch it, or says there why not: dicomesh diff", true, []event{has("x", part, none), local{study: whole}, pulled{study: uid, end: through}}},
		{"the reason", true, []event{has("x", part, none), local{study: whole}, ended(through, why)}}, // files of it were not taken
	} {
		now := time.Unix(1000, 0)
		c := newCore("b", DefaultRules(), func(s wire.StudyState) (h [32]byte) { return s.Leaf })
		for _, e := range append([]event{linkUp{"x"}, said{"x", wire.Summary{Incarnation: "x"}}, compared{site: "x"}}, tt.events...) {
			c.handle(e, now)
		}
		d, differs := c.difference(uid, "x", now)
		if !differs || d.Why != tt.says || d.Lacks != tt.lacks {
			t.Errorf("%v: %q, lacks %v; want %q, %v", differs, d.Why, d.Lacks, tt.says, tt.lacks)
		}
		if strings.Contains(d.Why, uid.String()) {
			t.Errorf("%q names the study", d.Why)
		}
	}
}
