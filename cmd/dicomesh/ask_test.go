package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
)

// TestFit holds that a UID is cut in its middle, to the width that there is, and never where it fits.
func TestFit(t *testing.T) {
	uid := "1.2.826.0.1.3680043.9.7433.3.82970457260936734119270346325882945"
	for columns := 9; columns < 70; columns++ {
		got := fit(uid, columns)
		if n := utf8.RuneCountInString(got); n != min(columns, len(uid)) {
			t.Errorf("%d columns: %s has %d", columns, got, n)
		}
		head, tail, cut := strings.Cut(got, "…")
		if !strings.HasPrefix(uid, head) || !strings.HasSuffix(uid, tail) || cut != (columns < len(uid)) {
			t.Errorf("%d columns: %s", columns, got)
		}
	}
}

// TestStatusLines holds that what people read fits 80 columns, at its worst.
func TestStatusLines(t *testing.T) {
	var out strings.Builder
	terminal := newTerminal(&out, &out, "")
	err := printStatus(terminal, admin.Status{Site: strings.Repeat("s", 20), Cluster: strings.Repeat("c", 20), State: "partial", Reason: "a -> c: no answer for 14 s", Agent: "stopping",
		Studies: admin.Studies{Total: 600_000, Settled: 100_000, Published: 100_000, Syncing: 100_000, Held: 1, Conflict: 2, Incomplete: 3},
		Inbox:   admin.Inbox{Waiting: 100_000, Stored: 100_000, Duplicate: 100_000, Conflict: 7, Refused: 8, Paused: "the disk is full; what is in the inbox stays there"},
		Disk:    admin.Disk{State: "full", Free: 1 << 30, Size: 1 << 40, Reason: "less than disk.floor (1 GiB) is free: nothing new is taken"}, HTTP: "127.0.0.1:8730",
		Sites: []admin.Site{{Name: strings.Repeat("s", 20), Role: "standby", State: "up", Lag: admin.Lag{Studies: 99_999, Bytes: 1 << 40}}, {Name: "b", Role: "full", State: "missing", LastSeen: 99_999}}})
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	for _, want := range []string{"is partial", "reason    a -> c", "agent     stopping", "1 held", "2 in conflict", "3 incomplete", "nothing is taken: the disk is full", "99999 studies"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %s:\n%s", want, out.String())
		}
	}
}
