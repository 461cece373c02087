package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestProgressLines holds what a log gets of a long task: nothing in the first ten seconds, then a line now and then and ever less often, none that says the same again, and none after the end.
func TestProgressLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out, errs bytes.Buffer
		const step = 100 * time.Millisecond
		p := newTerminal(&out, &errs, "").progress("ingesting", int64(time.Hour/step)*1_000_000)
		var at []time.Duration
		for began := time.Now(); time.Since(began) < time.Hour; {
			<-time.After(step) // of the bubble's time, which costs none
			before := errs.Len()
			if p.add(1_000_000); errs.Len() > before {
				at = append(at, time.Since(began))
			}
		}
		p.finish()
		p.add(1)
		lines := strings.Split(strings.TrimSuffix(errs.String(), "\n"), "\n")
		if len(lines) != len(at) || len(at) < 60 || len(at) > 80 || at[0] != pause {
			t.Fatalf("%d lines, the first after %v", len(lines), at[0])
		}
		for i := 1; i < len(at); i++ {
			if d := at[i] - at[i-1]; d < pause || d > time.Minute+step {
				t.Errorf("%v after the line before", d)
			}
		}
		if lines[0] != "ingesting: 100.0 MB of 36.0 GB, 0 %, for 10 s, some 60 min left" {
			t.Errorf("the first line is %q", lines[0])
		}
		if out.Len() > 0 {
			t.Errorf("among the results: %q", out.String())
		}
	})
}

// TestProgressEverywhere holds that every command that may take long says away from a terminal how far it is, in plain lines that fit, and nothing of that where JSON is asked for.
func TestProgressEverywhere(t *testing.T) {
	t.Chdir(t.TempDir())
	say(t, 0, "sample", "--out", "samples", "--instances", "2", "--size", "16")
	say(t, 0, "ingest", "--tree", "archive", "samples")
	for _, c := range []struct{ typed, line string }{
		{"sample --out others --instances 2 --size 16", `^writing: \S+ k?B of \S+ kB, \d+ %, for \d+ s`},
		{"ingest --tree archive samples", `^ingesting: \S+ kB of \S+ kB, \d+ %, for \d+ s`},
		{"verify --tree archive --deep", `^verifying: \S+ k?B of \S+ kB, \d+ %, for \d+ s`},
		{"export --tree archive --out out", `^exporting: study 2 of 3, \S+ kB, for \d+ s`},
		{"regen --tree archive --current current", `^regenerating: study 3 of 3, \S+ kB, for \d+ s`},
		{"combine --tree archive", `^combining: study 1 of 3, \S+ k?B, for \d+ s`},
		{"gc --tree archive", `^collecting: study 3 of 3, \S+ k?B, for \d+ s`},
		{"import --tree taken --static-wado archive", `^importing: \S+ k?B, for \d+ s`},
	} {
		if errs := hurried(t, c.typed); !regexp.MustCompile("(?m)"+c.line).MatchString(errs) || longest(errs) > usual || strings.ContainsAny(errs, "\r\x1b") {
			t.Errorf("%s says\n%s", c.typed, errs)
		}
		if strings.HasPrefix(c.typed, "export") { // it has no --json
			continue
		}
		if errs := hurried(t, c.typed+" --json"); errs != "" {
			t.Errorf("%s --json says\n%s", c.typed, errs)
		}
	}
}

// hurried runs a command that has to succeed and says how far it is as often as it can, and returns what it says to people.
func hurried(t *testing.T, typed string) string {
	t.Helper()
	var out, errs bytes.Buffer
	var all commands
	parser, err := newParser(t.Context(), &all, &out, &errs)
	if err != nil {
		t.Fatal(err)
	}
	selected, err := parser.Parse(strings.Fields(typed))
	if err != nil {
		t.Fatal(err)
	}
	to := newTerminal(&out, &errs, "")
	to.json, to.pause = asksJSON(selected), 0
	if err := selected.Run(to); err != nil {
		t.Fatalf("%s: %v\n%s%s", typed, err, out.String(), errs.String())
	}
	return errs.String()
}

// longest is how many columns the longest line of a text has.
func longest(text string) (columns int) {
	for line := range strings.Lines(text) {
		columns = max(columns, len(strings.TrimSuffix(line, "\n")))
	}
	return columns
}
