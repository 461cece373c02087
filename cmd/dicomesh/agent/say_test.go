package agent

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/audit"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/events"
	"github.com/dicomesh/dicomesh/syncer"
	"github.com/dicomesh/dicomesh/syncer/link"
)

// TestDisowned holds that a site which others refuse as a stranger says so, not while it may have just joined, and no longer than it is so.
func TestDisowned(t *testing.T) {
	var d disowned
	start := time.Now()
	stranger := func(name string) link.Event {
		return link.Event{Kind: link.Failed, Site: name, Reason: link.NotInRoster}
	}
	d.note(stranger("b"), start)
	d.note(stranger("c"), start)
	d.note(link.Event{Kind: link.Failed, Site: "d", Reason: "no answer"}, start)
	if got := d.alarm(start.Add(settling - time.Second)); got != "" {
		t.Errorf("it may have just joined: %q", got)
	}
	d.note(stranger("b"), start.Add(settling))
	d.note(link.Event{Kind: link.Refused, Site: "b"}, start.Add(settling))
	if got := d.alarm(start.Add(settling)); !strings.HasPrefix(got, "it is refused as a stranger by b, c: it was removed") {
		t.Errorf("%q", got)
	}
	d.note(link.Event{Kind: link.Up, Site: "b"}, start.Add(settling))
	d.note(link.Event{Kind: link.Failed, Site: "c", Reason: "no answer"}, start.Add(settling))
	if got := d.alarm(start.Add(time.Hour)); got != "" {
		t.Errorf("it is over: %q", got)
	}
}

// TestWhoIsMarked holds that a site is marked for what it sent itself, and that what was passed on in another's name, of which nobody can tell whose lie it is, is an event and a decision alone.
func TestWhoIsMarked(t *testing.T) {
	list, err := events.Open(t.TempDir(), events.Config{Site: "a"})
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close()
	s := &site{log: slog.New(slog.DiscardHandler), events: list, entries: make(chan audit.Entry, 8)}
	s.linkEvent(link.Event{Kind: link.Forged, Site: "b", Address: "192.0.2.1:8730", Reason: "what it passed on"})
	s.syncEvent(syncer.Event{Kind: syncer.Failed, Site: "c", Reason: "the disk here is full"})
	s.syncEvent(syncer.Event{Kind: syncer.Blamed, Site: "d", Reason: "other bytes"})
	for name, marked := range map[string]bool{"b": false, "c": false, "d": true} {
		if m := s.blames.mark(name, false, time.Now()); (m != nil) != marked {
			t.Errorf("%s is marked: %+v", name, m)
		}
	}
	var told []string
	for _, e := range list.Last(10) {
		told = append(told, string(e.Kind)+" "+e.Reason)
	}
	if all := strings.Join(told, "; "); len(told) != 3 || strings.Count(all, "neighbour ") != 3 || !strings.Contains(told[0], "b forged (192.0.2.1:8730): what it passed on") {
		t.Errorf("told: %s", all)
	}
	if n := len(s.entries); n != 1 {
		t.Errorf("%d decisions, of what was refused from a relay there is one", n)
	}
}
