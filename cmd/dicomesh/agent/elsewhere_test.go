package agent

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/events"
)

// TestEventsElsewhere holds what a site believes of another one's word about what happened there: that it is about that site, and nothing that a terminal would obey.
func TestEventsElsewhere(t *testing.T) {
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	said := []events.Event{{Seq: 1, Time: at, Kind: events.Held, Site: "a", Study: "1.2.3", Reason: "the cluster is split: ä \x1b[2J\r\nb"}, {Seq: 2, Time: at, Kind: "x\x07", Study: "../1"}}
	got, err := readEvents(writeEvents(said), "b")
	want := []events.Event{{Seq: 1, Time: at, Kind: events.Held, Site: "b", Study: "1.2.3", Reason: "the cluster is split: ä [2Jb"}, {Seq: 2, Time: at, Kind: "x", Site: "b"}}
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := readEvents(writeEvents(nil), "b"); err != nil || len(got) != 0 {
		t.Errorf("nothing happened: %v, %v", got, err)
	}
	many := make([]events.Event, mostEvents+1)
	for _, bad := range [][]byte{nil, []byte("{}"), []byte(`[{"seq":-1}]`), writeEvents(many), []byte(`[]` + strings.Repeat(" ", mostOfEvents))} {
		if got, err := readEvents(bad, "b"); err == nil {
			t.Errorf("%.20q reads as %v", bad, got)
		}
	}
	large := make([]events.Event, 100)
	for n := range large {
		large[n] = events.Event{Seq: uint64(n), Reason: strings.Repeat("x", 30_000)}
	}
	if got, err := readEvents(writeEvents(large), "b"); err != nil || len(got) < 20 || got[len(got)-1].Seq != 99 {
		t.Errorf("of what is too much the last ones are sent: %d, %v", len(got), err)
	}
}
