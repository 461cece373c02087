package agent

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/audit"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
)

// TestRecord holds that decisions are written in order, also those that wait when the site ends, and that the chain bears them out.
func TestRecord(t *testing.T) {
	state := crashfs.New()
	log, err := audit.Open(state, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s := &site{log: slog.New(slog.DiscardHandler), audit: log, entries: make(chan audit.Entry, 8)}
	ctx, end := context.WithCancel(t.Context())
	s.record(audit.Down, "b", "first")
	s.record(audit.Removed, "c", "second")
	end()
	if err := s.writeAudit(ctx); err != nil {
		t.Fatal(err)
	}
	report, err := audit.Verify(state)
	if err != nil || len(report.Faults) > 0 || report.Entries != 2 {
		t.Fatalf("%+v, %v", report, err)
	}
	var about []string
	for e, err := range audit.Entries(state) {
		if err != nil {
			t.Fatal(err)
		}
		about = append(about, e.About)
	}
	if len(about) != 2 || about[0] != "b" || about[1] != "c" {
		t.Errorf("written about %v", about)
	}
}
