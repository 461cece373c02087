package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// The exit codes, which scripts rely on.
const (
	exitFault       = 1 // found a fault, or some items failed
	exitUsage       = 2
	exitUnreachable = 3 // no agent answers
	exitInVain      = 4 // the time is over
)

// fault is an error that says what to do about it: the exit code, and a line with what to type next.
type fault struct {
	code int
	err  error
	next string
}

func (f fault) Error() string { return f.err.Error() }
func (f fault) Unwrap() error { return f.err }

// terminal is how a command talks: results on out, everything said about them on err.
type terminal struct {
	out, err io.Writer
	log      *slog.Logger
	level    string // of the log, as it was typed; "" if it was not
	watched  bool   // err is a terminal: someone sees progress
	shown    bool   // out is one
}

// newTerminal makes a terminal that logs from level on.
func newTerminal(out, err io.Writer, level string) *terminal {
	var least slog.Level
	if least.UnmarshalText([]byte(level)) != nil {
		least = slog.LevelInfo
	}
	return &terminal{out: out, err: err, level: level, watched: isTerminal(err), shown: isTerminal(out),
		log: slog.New(slog.NewTextHandler(err, &slog.HandlerOptions{Level: least}))}
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// progress shows how far a task of so many bytes is: rate and remaining time, on a terminal only. The caller writes to it what it has done,
// not more than total, and calls Finish.
func (t *terminal) progress(title string, total int64) *progressbar.ProgressBar {
	return progressbar.NewOptions64(total, progressbar.OptionSetWriter(t.err), progressbar.OptionSetVisibility(t.watched),
		progressbar.OptionSetDescription(title), progressbar.OptionShowBytes(true), progressbar.OptionSetWidth(24),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish())
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

// version is the module's version, or the commit that it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "dicomesh (unknown)"
	}
	words := []string{"dicomesh", info.Main.Version}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && !strings.Contains(info.Main.Version, s.Value[:min(12, len(s.Value))]) {
			words = append(words, s.Value[:min(12, len(s.Value))])
		}
	}
	return strings.Join(append(words, info.GoVersion), " ")
}

// advance moves a bar on by n bytes.
func advance(bar *progressbar.ProgressBar, n int64) {
	_ = bar.Add64(n) // a bar that cannot be drawn is no reason to fail
}
