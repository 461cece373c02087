package watch

import (
	"log/slog"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
)

// Config says what to watch, and whom to tell.
type Config struct {
	// Dir is the root of the tree on disk. It may be missing, or go missing, at any time; Status then says so.
	Dir string
	// Touched is told of a study that somebody should look at. Run calls it from one goroutine and waits for it: it hands the study on and returns.
	// A study may be told of again for the same news, never too few times.
	Touched func(study dedup.UID, why Why)
	// Hot is how many studies have their folders watched at most: those that had news last. 0 is 4,096, some 16,000 watches.
	// Where the kernel grants fewer, there are fewer, and Status says so.
	Hot int
	// Cycle is how long one look over all studies should take. 0 is 5 minutes.
	Cycle time.Duration
	// Deep says that in one of so many cycles a study is listed whatever the hints say, and files of class Other are looked for. 0 is 12: every hour.
	Deep int
	// Rest is how many times as long as it took work rests that no news asked for: 9 leaves it a tenth of the time. 0 is 9, less than 0 is no rest.
	Rest int
	// Quiet is for how long nothing must have changed a list or instance file before it is read to see whether it is complete. 0 is 1 second.
	// Files of which nothing tells where they end wait 15 times as long.
	Quiet time.Duration
	// Patience is how long a file that is not complete and does not change is waited for. 0 is 10 minutes.
	Patience time.Duration
	// Log is told of what an operator should know. UIDs are at debug level only. nil is nobody.
	Log *slog.Logger

	pulse time.Duration // how often the tree's root is looked at: every 5 seconds
}

// Why is the reason for which a study is touched.
type Why uint8

// The reasons. Whatever it is, the answer is to look at the study; a reason tells how urgent that is, and what to say if nothing is found.
const (
	// First is said once of every study that is in the tree when the watcher begins: nobody knows what has changed since it was last looked at.
	First Why = iota + 1
	// Appeared: a file is there and complete that was not, or is another one than it was.
	Appeared
	// Vanished: a file, or all of the study, is no longer there. That is never a deletion: a look that finds less than it knew of raises an alarm.
	Vanished
	// Torn: a file has been there for Patience, as it is, and does not read to its end.
	Torn
	// Expected: somebody waits for something of the study, and it is time to look again.
	Expected
)

// String is the reason in a word.
func (w Why) String() string {
	switch w {
	case First:
		return "first"
	case Appeared:
		return "appeared"
	case Vanished:
		return "vanished"
	case Torn:
		return "torn"
	case Expected:
		return "expected"
	}
	return "unknown"
}

// Status is what a watcher is doing: a copy, taken at one moment.
type Status struct {
	Watches    int // folders that are watched now
	Hot        int // studies of which all folders are watched
	Cold       int // studies that only the cycle looks at
	Expected   int // studies of which somebody waits for something
	Unfinished int // files that are not complete yet
	Failing    int // studies that the disk refuses to show; they are tried again, at least once a minute

	Looks   uint64 // listings of a study
	Glances uint64 // looks at the times of a study's folders alone
	Touches uint64 // calls of Touched
	Rescans Rescans
	// Overflows is how often the kernel lost notifications because there were too many at once.
	Overflows uint64

	Cycles    uint64        // times that all studies have been looked at
	LastCycle time.Time     // when that was last done, zero if not yet
	CycleTook time.Duration // how long it took; more than Config.Cycle where the disk is slow

	// Limited is why fewer folders are watched than Config.Hot asks for, "" if that is not so.
	Limited string
	// Unreachable is since when the tree is not there, zero if it is. Reason says what is wrong then, or else why new studies cannot be
	// listed (known ones are looked at all the same), "" if all is well.
	Unreachable time.Time
	Reason      string
}

// Rescans counts, by cause, how often watched studies were all looked at again because notifications of them may have been lost.
type Rescans struct {
	Overflow uint64 // too many notifications at once
	Folders  uint64 // a folder that holds studies appeared, moved or went
	Limit    uint64 // the kernel granted no more watches, or none at all
	Returned uint64 // the tree was away and is back: everything, not only what is watched
}
