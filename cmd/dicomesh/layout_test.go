package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin"
)

// The longest that there may be of what is shown.
var (
	longName   = strings.Repeat("n", 63)
	longUID    = "1.2.826.0.1.3680043.9.7433.3.82970457260936734119270346325882945"
	longReason = "the cluster is split: " + longName + " <-> " + strings.Repeat("m", 63) + ": no answer for 99999 s; " + strings.Repeat("o", 63) + " -> " + longName + ": no answer yet"
)

// shown is what a function prints for people, which fits 80 columns, and of which no word is lost.
func shown(t *testing.T, print func(*terminal), words ...string) string {
	t.Helper()
	var out strings.Builder
	print(newTerminal(&out, &out, ""))
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > usual {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	letters := func(s string) string { return strings.Join(strings.Fields(s), "") }
	for _, w := range words {
		if !strings.Contains(letters(out.String()), letters(w)) {
			t.Errorf("it does not say %q:\n%s", w, out.String())
		}
	}
	return out.String()
}

// TestStatusLines holds that status fits, at its worst.
func TestStatusLines(t *testing.T) {
	mark := &admin.Mark{Times: 12, Seconds: 90, Until: time.Unix(1_800_000_000, 0), Reason: longReason}
	out := shown(t, func(to *terminal) {
		err := printStatus(to, admin.Status{Site: longName, Cluster: strings.Repeat("c", 63), State: "partial", Reason: longReason, Agent: "stopping",
			Studies:     admin.Studies{Total: 600_000, Settled: 100_000, Published: 100_000, Syncing: 100_000, Held: 1, Conflict: 2, Incomplete: 3, Provisional: 99_999},
			Certificate: "the certificate of the HTTP port ends on 2026-01-31: renew the files that http.tls names; they are read again by themselves",
			Inbox:       admin.Inbox{Waiting: 100_000, LeftAlone: 100_000, Stuck: 100_000, StuckWhy: "stored, and may not be removed: permission denied. Give what is in the inbox to the user that the agent runs as (chown -R), or let that user read and write there", Stored: 100_000, Duplicate: 100_000, Conflict: 7, Refused: 8, Paused: "the disk is full; what is in the inbox stays there"},
			Disk:        admin.Disk{State: "full", Free: 1 << 30, Size: 1 << 40, Reason: "less than disk.floor (1 GiB) is free: nothing new is taken"}, HTTP: "127.0.0.1:8730",
			Combining: admin.Combining{On: true, Reason: strings.Repeat("a reason and ", 9)}, Watch: admin.Watch{Unreachable: longReason, Limited: longReason},
			Alarms:  []admin.Alarm{{Site: longName, Reason: "a second machine (key 0123456789abcdef) claims the name of key 0123456789abcdef: remove one of them"}},
			Removed: []string{longName, strings.Repeat("r", 63)},
			Sites: []admin.Site{{Name: longName, Role: "standby", State: "up"},
				{Name: strings.Repeat("m", 63), Role: "standby", State: "acknowledged down until 2026-01-31 18:00:00 by " + longName, LastSeen: 99_999_999, Lag: admin.Lag{Studies: 99_999, Bytes: 1 << 40, Seconds: 99_999_999}},
				{Name: "b", Role: "full", State: "up", LastSeen: 4, Lag: admin.Lag{Studies: 1, Bytes: 1000, Seconds: 14}}, {Name: "d", Role: "full", State: "up", LastSeen: 4, Mark: mark}}})
		if err != nil {
			t.Error(err)
		}
	}, longReason, longName+" is partial", "stopping", "marked    d: what it sent was refused, 12 times, the last time 90 s ago: "+longReason, "1 held", "2 in conflict", "3 incomplete", "provisional output is shown of 99999", "nothing is taken: the disk is full", strings.Repeat("r", 63))
	for _, want := range []string{`(?m)^reason    the cluster is split:$`, `(?m)^b +full +up +4 s ago +1 study, 1\.0 kB, for\n +14 s$`, `this site +nothing`, `(?m)at least 99999$`, `studies, 1\.1 TB`, `(?m) 1157 days$`} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
}

// TestSitesLines holds that the list of sites fits: what each lacks in studies, bytes and time, and the age of each link's last word.
func TestSitesLines(t *testing.T) {
	sites := []admin.Site{{Name: "b", Role: "full", State: "up"}, {Name: longName, Role: "standby", State: "acknowledged down until 2026-01-31 18:00:00 by " + longName},
		{Name: "c", Role: "full", State: "up, through others", LastSeen: 86_400, Lag: admin.Lag{Studies: 12, Bytes: 12_000_000, Seconds: 7000},
			Mark: &admin.Mark{Times: 1, Seconds: 3, Until: time.Unix(1_800_000_000, 0), Reason: "a file that ends too early", AskedLast: true}}}
	out := shown(t, func(to *terminal) {
		printSites(to, "b", sites)
		printMarks(to, sites)
		printLines(to, []admin.Line{{A: longName, B: strings.Repeat("q", 63), There: admin.Way{State: "unknown", Silent: -1}, Back: admin.Way{State: "up", Silent: 12345.67}}})
	}, "this site nothing", "never not known", "24 h ago at least 12 studies,", "for 117 min", "none yet", "3 h ago", "others, marked",
		"c: what it sent was refused, once, the last time 3 s ago: a file that ends too early; it is asked after all others until a study comes from it; the mark ends "+time.Unix(1_800_000_000, 0).Local().Format(time.DateTime))
	if n := strings.Count(out, "q"); n != 2*63 {
		t.Errorf("of a long name %d letters are shown:\n%s", n, out)
	}
}

// TestLacks holds that of a site which cannot be asked, or has not been compared, nobody says that it lacks nothing.
func TestLacks(t *testing.T) {
	one := admin.Lag{Studies: 1, Bytes: 1000, Seconds: 9}
	for want, s := range map[string]admin.Site{
		"nothing":                       {Name: "a", State: "up"},
		"1 study, 1.0 kB, for 9 s":      {Name: "b", State: "up", LastSeen: 1, NotLevel: "it differs", Lag: one},
		"at least " + "1 study, 1.0 kB": {Name: "b", State: "down", LastSeen: 60, Lag: one},
		"not known":                     {Name: "b", State: "down", LastSeen: 60},
	} {
		if got := lacksWords("a", s); !strings.HasPrefix(got, want) {
			t.Errorf("%+v: %q", s, got)
		}
	}
	for _, s := range []admin.Site{{Name: "b", State: "up", LastSeen: 1, NotLevel: "it has not said yet what it holds"}, {Name: "b", State: "up, through others", LastSeen: 1}, {Name: "b", State: "up"}} {
		if got := lacksWords("a", s); got != "not known" {
			t.Errorf("%+v: %q", s, got)
		}
	}
	if got := lacksWords("a", admin.Site{Name: "b", State: "up", LastSeen: 1}); got != "nothing" {
		t.Errorf("one that is level: %q", got)
	}
}

// TestStudyLines holds that what is said of a study fits, with a sentence for each site that answers whether it is safe there.
func TestStudyLines(t *testing.T) {
	s := admin.Study{Row: admin.Row{Study: longUID, State: "held", Reason: longReason, Leaf: strings.Repeat("a", 64), Instances: 99_999, Series: 99, Bytes: 1 << 40}, Provisional: true, MissingCount: 3,
		Missing: []string{"studies/" + longUID + "/bulkdata/abc/de/" + strings.Repeat("f", 59) + ".gz"}, Faults: []admin.Fault{{Path: "studies/" + longUID, Reason: longReason}},
		Holders: []admin.Holder{{Site: "a", Level: true, Complete: true, Durable: true}, {Site: "b", Level: true, Complete: true, Durable: true},
			{Site: "c", Why: "no link: it was last heard 14 s ago"}, {Site: "d", Waived: true, Why: "acknowledged down until 2026-01-31 18:00:00 by a"}, {Site: longName, Complete: true, Durable: true, Why: longReason}, {Site: "e", Complete: true}}}
	out := shown(t, func(to *terminal) { printStudy(to, s) }, longUID, longReason, strings.Repeat("a", 64), "and 2 more", "held, with provisional output: the cluster is split")
	for _, want := range []string{"at        a: level, complete, durable (this site)\n", "at        b: safe: it holds the same as this site, all of it, durably\n", "at        c: not safe yet: no link: it was last heard 14 s ago\n",
		"at        d: not known to be safe: acknowledged down until 2026-01-31 18:00:00\n          by a\n", "at        e: not safe yet: not level, complete, not durable\n", "safe      at b; not known to be at c, d,\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	for want, others := range map[string][]admin.Holder{"at no other site: this one is alone": nil, "at no other site yet: b may not hold all of it": {{Site: "b", Level: true}},
		"at every other site: b, c": {{Site: "b", Level: true, Complete: true, Durable: true}, {Site: "c", Level: true, Complete: true, Durable: true}}} {
		if got := elsewhere(admin.Study{Holders: append([]admin.Holder{{Site: "a"}}, others...)}); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestStudiesLines holds that a list of studies fits a terminal of 80 columns, each UID and each reason whole, and that it is one line a study where there is room.
func TestStudiesLines(t *testing.T) {
	row := admin.Row{Study: longUID, State: "incomplete", Series: 999_999, Instances: 999_999_999, Bytes: 999_900_000_000, Reason: longReason}
	shown(t, func(to *terminal) {
		for _, state := range []string{"held", "incomplete", "conflict"} {
			fmt.Fprint(to.out, rowText(row, usual, state))
		}
	}, longUID, longReason)
	if text := rowText(row, usual, ""); strings.Contains(text, "split") {
		t.Errorf("a reason that nobody asked for: %s", text)
	}
	row.Study = "1.2.3"
	if text := rowText(row, usual, ""); strings.Count(text, "\n") != 1 {
		t.Errorf("there is room for all of it: %q", text)
	}
	row.Study = longUID
	if text := rowText(row, 1<<20, ""); strings.Count(text, "\n") != 1 {
		t.Errorf("there is room for all of it: %q", text)
	}
}

// TestDiffLines holds that a difference fits: which study, who lacks it, since when, and why.
func TestDiffLines(t *testing.T) {
	d := admin.Diff{Site: longName, Linked: true, Compared: true, Dated: time.Unix(1, 0), Total: 5, Studies: []admin.Difference{
		{Study: longUID, Here: "incomplete", There: "incomplete", Lacks: true, Seconds: 99_999_999, Why: longReason}, {Study: "1.2", Here: "nothing", There: "complete", Seconds: 14, Why: "held back: the disk here is below its watermark"},
		{Study: "1.3", Here: "complete", There: "complete", Seconds: 7000, Why: "refused, 3 times in a row: no such file"}}}
	out := shown(t, func(to *terminal) { printDiff(to, d) }, longUID, longReason, longName+"  5 studies differ", "and 2 more: --limit shows them")
	for _, want := range []string{"\n1.2\n    missing here for 14 s: nothing here, complete there\n    held back: the disk here is below its watermark\n",
		"\n    missing there for 1157 days: incomplete here, incomplete there\n", "\n1.3\n    differs for 117 min: complete here, complete there\n    refused, 3 times in a row: no such file\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	for want, d := range map[string]admin.Diff{"level: it holds the same of every study": {Linked: true, Level: true}, "no link: what is known is from before": {Level: true}, "1 study differs": {Linked: true, Total: 1}} {
		shown(t, func(to *terminal) { printDiff(to, d) }, want)
	}
}
