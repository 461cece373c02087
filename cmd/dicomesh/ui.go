package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// terminal is how a command talks: results on out, everything said about them on err.
type terminal struct {
	out, err io.Writer
	log      *slog.Logger
	level    string        // of the log, as it was typed; "" if it was not
	watched  bool          // err is a terminal: someone sees progress
	shown    bool          // out is one
	colours  bool          // and shows colours, which nobody has asked to leave out
	json     bool          // what is asked for is for programs, which look at no progress
	pause    time.Duration // between two lines about progress
	drawn    *progress     // as a bar, now; nil for none
	screen   *os.File      // what out goes to at last; nil if that is no file
	lost     error         // why something that was to be printed to out was not; nil if all was
}

// newTerminal makes a terminal that logs from level on.
func newTerminal(out, err io.Writer, level string) *terminal {
	var least slog.Level
	if least.UnmarshalText([]byte(level)) != nil {
		least = slog.LevelInfo
	}
	t := &terminal{level: level, watched: isTerminal(err) && capable(), shown: isTerminal(out), colours: isTerminal(out) && coloured(), pause: pause}
	t.screen, _ = out.(*os.File)
	t.out, t.err = above{kept{out, &t.lost}, t}, above{err, t}
	t.log = slog.New(slog.NewTextHandler(t.err, &slog.HandlerOptions{Level: least}))
	return t
}

// above is where lines go that are said while a bar is drawn: the bar makes room for them, and is drawn again below.
type above struct {
	io.Writer
	terminal *terminal
}

func (a above) Write(p []byte) (int, error) {
	if a.terminal.drawn != nil {
		a.terminal.drawn.clear()
	}
	return a.Writer.Write(p)
}

// kept keeps the first error of a writer: most who print do not look at it.
type kept struct {
	io.Writer
	failed *error
}

func (k kept) Write(p []byte) (int, error) {
	n, err := k.Writer.Write(p)
	if err != nil && *k.failed == nil {
		*k.failed = err
	}
	return n, err
}

// ended is how a command ended: not well if what it says is not where it was to go.
func (t *terminal) ended(err error) error {
	if err == nil && t.lost != nil {
		return fault{code: exitFault, err: fmt.Errorf("what was to be printed is not all there: %w", t.lost)}
	}
	return err
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// item prints what became of something, and below it lines about that, folded to the width that there is.
func (t *terminal) item(word, about string, lines ...string) error {
	text := fmt.Sprintf("%-12s %s\n", word, about)
	for _, l := range lines {
		text += hang + fold(l, t.width()-len(hang)) + "\n"
	}
	_, err := io.WriteString(t.out, text)
	return err
}

// hang is what the lines below an item begin with.
const hang = "             "

// fold breaks a text between words, so that no line has more columns, and indents what follows the first line as item does. A word that is longer has a line of its own: it is a path, to be
// copied as a whole.
func fold(text string, columns int) string {
	line, folded := 0, ""
	for i, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case line+1+n > columns:
			folded, line = folded+"\n"+hang, 0
		default:
			folded, line = folded+" ", line+1
		}
		folded, line = folded+word, line+n
	}
	return folded
}

// capable reports whether a terminal understands more than letters.
func capable() bool { return os.Getenv("TERM") != "dumb" }

// coloured reports whether a terminal is to show colours: see https://no-color.org.
func coloured() bool { return os.Getenv("NO_COLOR") == "" && capable() }

// The colours, by what they say. Nothing is said by its colour alone.
const (
	good  = "\x1b[32m"
	odd   = "\x1b[33m"
	bad   = "\x1b[31m"
	plain = "\x1b[0m"
)

// paint gives a text a colour, on a terminal that shows them.
func (t *terminal) paint(colour, text string) string {
	if !t.colours || text == "" {
		return text
	}
	return colour + text + plain
}

// paintState gives the word for a state of the cluster, a site or a study its colour.
func (t *terminal) paintState(word string) string {
	switch word {
	case "whole", "up", "settled":
		return t.paint(good, word)
	case "partial", "held", "syncing":
		return t.paint(odd, word)
	case "split", "incomplete", "conflict", "down":
		return t.paint(bad, word)
	}
	return word
}

// size is a number of bytes for a person.
func size(n int64) string {
	const units = "kMGTPE"
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/1000, 0
	for value >= 999.95 && unit < len(units)-1 {
		value, unit = value/1000, unit+1
	}
	return fmt.Sprintf("%.1f %cB", value, units[unit])
}

// release is the version of the module that this program was built from; "(devel)" where nothing says it.
func release() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "(unknown)"
}

// version is the release, the commit, and what the program was built by and for.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = new(debug.BuildInfo)
	}
	return fmt.Sprintf("dicomesh %s (%s) %s %s/%s", release(), commit(info.Settings), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// commit is what a program was built from.
func commit(settings []debug.BuildSetting) string {
	built := map[string]string{}
	for _, s := range settings {
		built[s.Key] = s.Value
	}
	revision := built["vcs.revision"]
	switch {
	case revision == "":
		return "commit unknown"
	case built["vcs.modified"] == "true":
		return "commit " + revision[:min(12, len(revision))] + ", changed since"
	}
	return "commit " + revision[:min(12, len(revision))]
}
