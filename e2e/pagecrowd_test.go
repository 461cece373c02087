package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/events"
	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/page"
)

// TestPageCrowd looks at the page of a cluster of twenty sites with names as long as names may be: one that is whole while the site that is looked at is in trouble itself, and one that is
// split. The answers are made here: twenty agents would be twenty processes.
func TestPageCrowd(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	for _, step := range []struct {
		look   string
		status admin.Status
		with   look
	}{
		{"crowd-trouble", trouble(crowd()), look{"state": "whole", "trouble": "bad", "down": 0}},
		{"crowd-split", parted(crowd()), look{"state": "split", "trouble": "none", "down": 37}},
	} {
		server := httptest.NewServer(telling(t, step.status))
		b.step("open", look{"url": server.URL + "/"})
		step.with["look"] = step.look
		b.step("crowd", step.with)
		b.step("leaves", look{})
		server.Close()
	}
	b.close()
}

// crowd is the status of a cluster of twenty sites.
func crowd() admin.Status {
	s := admin.Status{Cluster: "north", State: "whole", Since: time.Now().Add(-100 * time.Hour), Agent: admin.Running, Version: "test", Studies: admin.Studies{Total: 200, Settled: 200},
		Disk: admin.Disk{Free: 8e11, Size: 2e12, Watermark: 1e11, Floor: 1e9, State: admin.DiskOK}, Links: []admin.Line{}, Alarms: []admin.Alarm{}}
	for i := range 20 {
		name := fmt.Sprintf("%s-%d", [...]string{"university-hospital-of-the-northern-counties-radiology-east-wing", "st-mary.radiology.example", "a"}[i%3], i)
		role := "full"
		if i == 4 {
			role = "standby"
		}
		for _, x := range s.Sites {
			s.Links = append(s.Links, admin.Line{A: x.Name, B: name, There: admin.Way{State: "up"}, Back: admin.Way{State: "up"}})
		}
		s.Sites = append(s.Sites, admin.Site{Name: name, Role: role, State: "up", LastSeen: 1, Links: []admin.Link{{State: "up", Connections: 2, RTT: 0.0123, Loss: 0.004}}})
	}
	s.Site, s.Sites[2].State = s.Sites[0].Name, "acknowledged down until 2026-11-27 18:00:00 by university-hospital"
	return s
}

// parted is the cluster when nothing comes from two of its sites.
func parted(s admin.Status) admin.Status {
	s.State, s.Reason = "split", s.Sites[1].Name+" <-> "+s.Sites[3].Name+": nothing has come for 95 s"
	for i := range s.Links {
		l := &s.Links[i]
		for _, gone := range []string{s.Sites[3].Name, s.Sites[7].Name} {
			if l.A == gone || l.B == gone {
				l.There.State, l.Back.State, l.Reason = "down", "down", "nothing has come for 95 s"
			}
		}
	}
	return s
}

// trouble is the same of a site whose own tree is not there.
func trouble(s admin.Status) admin.Status {
	s.Watch.Unreachable = "the file system that holds the tree is probably not mounted"
	s.Inbox = admin.Inbox{Waiting: 3, Stuck: 2, StuckWhy: "stored, and may not be removed: permission denied", LeftAlone: 1}
	s.Studies = admin.Studies{Total: 200, Held: 200, Provisional: 3}
	return s
}

// telling answers as an agent does whose status is this.
func telling(t *testing.T, s admin.Status) http.Handler {
	t.Helper()
	status, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	happened, err := json.Marshal([]admin.Happened{{Event: events.Event{Seq: 1, Time: time.Now(), Kind: events.Alarm, Site: s.Site, Reason: "two machines run with one key"}}})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", page.Handler())
	answer := func(path string, text []byte) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(text) })
	}
	answer("/api/v1/session", []byte(`{"name":"","role":"operate","study_names":"short"}`))
	answer("/api/v1/status", status)
	answer("/api/v1/events", happened)
	answer("/api/v1/studies", []byte(`[]`))
	mux.HandleFunc("/api/v1/live", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "event: happened\ndata: %s\n\nevent: status\ndata: %s\n\n", happened, status)
		_ = http.NewResponseController(w).Flush() // the page has gone
		<-r.Context().Done()
	})
	return mux
}
