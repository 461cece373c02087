package e2e

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// escapes are what moves a terminal's cursor or gives it a colour, and colours those alone.
var (
	escapes = regexp.MustCompile(`\x1b\[[0-9;?]*[a-zA-Z]|\r[^\n]`)
	colours = regexp.MustCompile(`\x1b\[[0-9;]*m`)
)

// TestTerminal types commands at a terminal and elsewhere: colours are for a terminal that shows them and for people who want them, bars for a terminal alone, and what is read by programs or
// kept in a file is plain lines.
func TestTerminal(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("script"); err != nil {
		missing(t, "script")
	}
	dir := t.TempDir()
	spoken(t, dir, false, "dicomesh sample --out samples --size 128 --studies 1 --series 1 --instances 24")
	const ingest, wrong = "rm -rf archive; dicomesh ingest --tree archive samples", "dicomesh verify --tree nowhere"

	if out := spoken(t, dir, false, ingest); escapes.MatchString(out) || !strings.HasSuffix(out, " 0 refused\n") {
		t.Errorf("not at a terminal: %q", out)
	}
	if out := spoken(t, dir, true, ingest); !escapes.MatchString(out) || !strings.Contains(out, "ingesting") || !strings.Contains(out, " 0 refused") {
		t.Errorf("at a terminal there is no bar: %q", out)
	}
	if out := spoken(t, dir, true, "export TERM=dumb; "+ingest); escapes.MatchString(out) || !strings.Contains(out, " 0 refused") {
		t.Errorf("at a terminal that shows nothing but letters: %q", out)
	}
	for _, c := range []struct {
		set      string
		terminal bool
		coloured bool
	}{{"", true, true}, {"export NO_COLOR=1;", true, false}, {"export TERM=dumb;", true, false}, {"", false, false}} {
		if out := spoken(t, dir, c.terminal, c.set+wrong); colours.MatchString(out) != c.coloured || !strings.Contains(out, "nowhere is not there") {
			t.Errorf("%q, at a terminal: %v: %q", c.set, c.terminal, out)
		}
	}
}

// TestTerminalBars holds that every command that may take long shows at a terminal how far it is, and not where JSON is asked for.
func TestTerminalBars(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("script"); err != nil {
		missing(t, "script")
	}
	dir := t.TempDir()
	for _, c := range []struct{ typed, title string }{
		{"sample --out samples --size 64 --instances 4", "writing"}, {"ingest --tree archive samples", "ingesting"}, {"verify --tree archive --deep", "verifying"},
		{"export --tree archive --out out", "exporting study 1 of 3"}, {"regen --tree archive --current current", "regenerating study 1 of 3"},
		{"combine --tree archive -n", "combining study 1 of 3"}, {"gc --tree archive -n", "collecting study 1 of 3"}, {"import --tree other --static-wado archive -n", "importing"},
	} {
		if !strings.HasPrefix(c.typed, "export") { // which has no --json
			if out := spoken(t, dir, true, "dicomesh "+c.typed+" --json"); escapes.MatchString(out) || strings.Contains(out, c.title) {
				t.Errorf("dicomesh %s --json, at a terminal: %q", c.typed, out)
			}
		}
		if out := spoken(t, dir, true, "rm -rf current; dicomesh "+c.typed); !strings.Contains(out, c.title) || !escapes.MatchString(out) {
			t.Errorf("dicomesh %s, at a terminal: %q", c.typed, out)
		}
	}
}

// TestProgressPiped has somebody read the results of a command slowly, so that it takes long: it says into its log how far it is, in lines, every ten seconds at most, and with --json it does not.
func TestProgressPiped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	long := filepath.Join(strings.Repeat("a", 250), strings.Repeat("b", 250), strings.Repeat("c", 250)) // so that lines are
	spoken(t, dir, false, "dicomesh sample --out "+long+" --size 16 --studies 1 --series 1 --instances 400")
	for _, flag := range []string{"--verbose", "--json"} {
		t.Run(flag, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			said := unhurried(t, dir, "ingest", "--tree", "archive"+flag, flag, long)
			lines := regexp.MustCompile(`(?m)^ingesting: \S+ \S+ of \S+ \S+, \d+ %, for \d+ s(, some \d+ s left)?\n`).FindAllString(said, -1)
			switch most := int(time.Since(began).Seconds()) / 10; {
			case flag == "--json" && said != "":
				t.Errorf("it says %q", said)
			case flag != "--json" && (len(lines) == 0 || len(lines) > most || strings.Join(lines, "") != said):
				t.Errorf("it says %q, and at most %d lines may be said", said, most)
			}
		})
	}
}

// unhurried runs dicomesh, reads most of its results only when twelve seconds are over, and returns what it says to people.
func unhurried(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(binDir(), "dicomesh"), args...)
	cmd.Dir = dir
	var said strings.Builder
	cmd.Stderr = &said
	results, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	later := time.After(12 * time.Second)
	if _, err := io.ReadFull(results, make([]byte, 1000)); err != nil { // it has begun, and soon waits for whoever reads the rest
		t.Fatal(err, said.String())
	}
	<-later
	if _, err := io.Copy(io.Discard, results); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err, said.String())
	}
	return said.String()
}

// TestTerminalWatch looks at a running site: states have colours at a terminal, --watch begins with an empty screen there, and elsewhere says the same again and again.
func TestTerminalWatch(t *testing.T) {
	t.Parallel()
	s := newSite(t, quick)
	s.start()
	const whole = "\x1b[32mwhole\x1b[0m"
	status := "dicomesh status --data " + s.dir
	if out := spoken(t, s.dir, true, status); !strings.Contains(out, whole) {
		t.Errorf("at a terminal: %q", out)
	}
	if out := spoken(t, s.dir, true, "export NO_COLOR=1;"+status); escapes.MatchString(out) || !strings.Contains(out, " is whole since ") {
		t.Errorf("without colours: %q", out)
	}
	if out := spoken(t, s.dir, true, "timeout -s INT 5 "+status+" --watch"); !strings.Contains(out, "\x1b[2J") || !strings.Contains(out, whole) {
		t.Errorf("watched: %q", out)
	}
	if out := spoken(t, s.dir, false, status+" --watch | grep -m 3 -o ' is whole since '"); escapes.MatchString(out) || strings.Count(out, "whole") != 3 {
		t.Errorf("watched by a program: %q", out)
	}
	s.stop()
}

// spoken types a command at a terminal of 80 columns, or where there is none, and returns all that is said. How it ends is not looked at.
func spoken(t *testing.T, dir string, terminal bool, command string) string {
	t.Helper()
	c := exec.Command("bash", "-c", command)
	if terminal {
		c = exec.Command("script", "-qec", "stty cols 80; "+command, filepath.Join(t.TempDir(), "typescript"))
	}
	c.Dir, c.Env = dir, append(os.Environ(), "PATH="+path(), "HOME="+dir, "TERM=xterm", "SHELL=/bin/bash", "NO_COLOR=")
	out, err := c.CombinedOutput()
	if err != nil && c.ProcessState == nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(out), "\r\n", "\n")
}

// TestVersion holds that a report of a fault can say what runs: release, commit, Go and platform.
func TestVersion(t *testing.T) {
	out, code := dicomesh(t, "--version")
	if code != 0 || !regexp.MustCompile(`^dicomesh \S+ \(commit ([0-9a-f]{12}(, changed since)?|unknown)\) go1\.\d+\S* linux/\w+\n$`).MatchString(out) {
		t.Errorf("exit code %d: %s", code, out)
	}
}

// TestColumns holds that the tables of commands that need no agent fit 80 columns, with UIDs and names as long as they may be.
func TestColumns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	long := strings.Repeat("a", 64)
	for _, command := range []string{
		"dicomesh sample --out samples --size 32 --instances 2",
		"dicomesh ingest --tree archive samples",
		"dicomesh ingest --tree archive -v samples/*/*",
		"dicomesh verify --tree archive --deep -v",
		"dicomesh combine --tree archive -n",
		"dicomesh combine --tree archive",
		"dicomesh gc --tree archive -n",
		"dicomesh export --tree archive --out out",
		"dicomesh regen --tree archive --current current",
		"dicomesh access add --data site " + long + " >/dev/null; dicomesh access list --data site",
	} {
		for _, line := range regexp.MustCompile(`[\r\n]+`).Split(spoken(t, dir, true, command), -1) {
			line = colours.ReplaceAllString(line, "")
			if n := utf8.RuneCountInString(line); n > 80 && len(strings.Fields(line)) > 1 { // a path alone is not cut
				t.Errorf("%s: %d columns: %s", command, n, line)
			}
		}
	}
}
