package inbox

import (
	"io/fs"
	"path"
	"strings"
	"syscall"
	"time"
)

// stamp is what the file system says of a file: while it is the same, so is the file.
type stamp struct {
	dev, ino        uint64
	size            int64
	written, change int64 // nanoseconds; no program can set the time of change
}

func stampOf(info fs.FileInfo) stamp {
	s := stamp{size: info.Size(), written: info.ModTime().UnixNano(), change: info.ModTime().UnixNano()}
	if t, ok := info.Sys().(*syscall.Stat_t); ok {
		s.dev, s.ino, s.change = t.Dev, t.Ino, t.Ctim.Nano()
	}
	return s
}

// age is how long ago the file changed by the clock of this machine. A file from the future is new.
func (s stamp) age(now time.Time) time.Duration { return max(0, now.Sub(time.Unix(0, s.change))) }

// memo is what is remembered of a file that was not taken.
type memo struct {
	stamp
	since time.Time // it is seen to be like this since then
	state state
	tried time.Time // for held
	stuck string    // held for what its folder or its permissions are: why
	tries int
	sweep int // that saw it last
}

// state is why a file was not taken.
type state uint8

const (
	fresh state = iota // it was too young, or somebody writes it
	early              // it was tried, and ends too early
	held               // it was tried, and something that is not its own fault was in the way
)

// pace says how long files are left alone.
type pace struct{ quiet, patience, brokenOff time.Duration }

// wait is how long a file has to be left alone yet; 0 says that it is its turn. leases says whether the kernel will tell who writes it.
//
// Where the kernel tells, the time is for politeness, and the file's own time of change is good enough. Where it does not, time is all there is: then only what was seen
// here counts, because the file's times may be another machine's.
func (p pace) wait(m memo, now time.Time, leases bool) time.Duration {
	seen, need := now.Sub(m.since), p.patience
	if leases {
		seen, need = max(seen, m.age(now)), p.quiet
	}
	switch m.state {
	case early:
		need = max(need, p.left(leases))
	case held:
		return max(0, p.patience-now.Sub(m.tried))
	}
	return max(0, need-seen)
}

// left is how long a file that ends too early may still be continued.
func (p pace) left(leases bool) time.Duration {
	if leases {
		return p.brokenOff
	}
	return p.patience
}

// hopeless reports whether a file that ends too early will not be continued any more.
func (p pace) hopeless(m memo, now time.Time, leases bool) bool {
	m.state = early
	return p.wait(m, now, leases) == 0
}

// leftAlone reports whether a name says that its file is not finished.
func leftAlone(name string) bool {
	switch path.Ext(strings.ToLower(name)) {
	case ".tmp", ".part", ".partial", ".filepart":
		return true
	}
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "tempFile-")
}
