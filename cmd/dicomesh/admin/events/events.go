// Package events is what an operator should know of a site, in the order in which it happened: a bounded log in memory, and behind it a longer one on disk.
//
// It is there to be read by people, and by programs that watch (Log.Next). It is no record that anything rests on: nothing is synced, a power cut takes the
// last seconds, and a disk that is full takes nothing while memory still does. Events name studies by their UIDs, and never a patient, a file that somebody
// sent, or anything out of one.
//
// On disk are lines of JSON in events.jsonl; when it has Config.FileBytes it becomes events.1.jsonl, that one events.2.jsonl, and so on up to Config.Files.
package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Kind is what an event is about: one of the words below.
type Kind string

// The kinds.
const (
	Started    Kind = "started"    // the agent is ready
	Stopping   Kind = "stopping"   // it was told to end
	Adopted    Kind = "adopted"    // a tree or a state without a marker became this site's
	Index      Kind = "index"      // the index was begun anew, or could not be used
	Refused    Kind = "refused"    // a file of the inbox went to the quarantine
	Inbox      Kind = "inbox"      // the inbox cannot take files, or can again
	Fault      Kind = "fault"      // a file of the tree is torn, corrupt or foreign, and does not count
	Vanished   Kind = "vanished"   // a file of the tree is gone that was there
	Incomplete Kind = "incomplete" // something that a study refers to is missing
	Held       Kind = "held"       // a study may not be published now
	Conflict   Kind = "conflict"   // a study waits for a human
	Published  Kind = "published"  // a study's current files are those of what is held
	Settled    Kind = "settled"    // and nothing changes any more
	Combined   Kind = "combined"   // a study's instance files and lists were written once more, as one list
	Collected  Kind = "collected"  // instance files and lists were removed that others account for
	Generation Kind = "generation" // current files could not be made
	Watch      Kind = "watch"      // notifications were lost or are limited, the tree is gone or back
	DiskLow    Kind = "disk-low"   // less room than the watermark
	DiskFull   Kind = "disk-full"  // less room than the floor, or a file system that can only be read: nothing new is taken
	DiskRoom   Kind = "disk-room"  // there is room again
	Link       Kind = "link"       // a link to a site came up, went down, or cannot be made
	Stranger   Kind = "stranger"   // somebody was turned away: not of this cluster, not who he says, not in the roster any more
	Joined     Kind = "joined"     // a site joined with a token of this one
	Neighbour  Kind = "neighbour"  // a site sent what it should not have, or what came could not be stored
	Operator   Kind = "operator"   // somebody typed a command that changes the cluster
	Alarm      Kind = "alarm"      // something about a member that an operator has to decide: two machines with one name
	Cluster    Kind = "cluster"    // the cluster became whole, partial or split
)

// Event is one thing that happened.
type Event struct {
	Seq    uint64    `json:"seq"` // greater than that of every event before it, also of earlier runs as far as their files are there
	Time   time.Time `json:"time"`
	Kind   Kind      `json:"kind"`
	Site   string    `json:"site"`
	Study  string    `json:"study,omitempty"`
	Reason string    `json:"reason,omitempty"`
}

// Config says how much a Log keeps. Zero values are replaced by defaults.
type Config struct {
	Site      string
	Memory    int   // events that can be asked for; 0 is 2,000
	FileBytes int64 // of a file on disk; 0 is 4 MiB
	Files     int   // on disk; 0 is 4
	Now       func() time.Time
	Log       *slog.Logger // of a disk that takes no events
}

// Log keeps events. Its methods may be called from several goroutines.
type Log struct {
	config Config
	dir    string

	mu      sync.Mutex
	recent  []Event       // the last Config.Memory, in order
	next    uint64        // number of the next event
	more    chan struct{} // closed, and another one made, when there is a new event
	file    *os.File      // nil while the disk takes nothing
	written int64         // bytes in file
	torn    bool          // the last write was cut short: the next one begins with a new line
	failing bool          // the log was told that the disk takes nothing
}

// Open reads the last events in folder dir, which is made if need be, and goes on after them. Lines that cannot be read are passed over. Close it.
func Open(dir string, c Config) (*Log, error) {
	c = c.filled()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open events: %w", err)
	}
	l := &Log{config: c, dir: dir, next: 1, more: make(chan struct{})}
	for n := c.Files - 1; n >= 0; n-- {
		if err := l.read(l.name(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("open events: %w", err)
		}
	}
	if err := l.openFile(); err != nil {
		return nil, fmt.Errorf("open events: %w", err)
	}
	return l, nil
}

func (c Config) filled() Config {
	if c.Memory == 0 {
		c.Memory = 2000
	}
	if c.FileBytes == 0 {
		c.FileBytes = 4 << 20
	}
	if c.Files == 0 {
		c.Files = 4
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Add enters an event; study may be "". It never fails: what the disk does not take is in memory at least.
func (l *Log) Add(kind Kind, study, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := Event{Seq: l.next, Time: l.config.Now().UTC(), Kind: kind, Site: l.config.Site, Study: study, Reason: reason}
	l.next++
	l.remember(e)
	close(l.more)
	l.more = make(chan struct{})
	l.write(e)
}

// remember keeps an event in memory, and lets the oldest go in steps, so that each costs little.
func (l *Log) remember(e Event) {
	if l.recent = append(l.recent, e); len(l.recent) > 2*l.config.Memory {
		l.recent = append([]Event(nil), l.recent[len(l.recent)-l.config.Memory:]...)
	}
}

// After returns up to limit events with numbers above seq, oldest first, of those that are kept in memory. With a number that no event has yet,
// as after the folder was emptied, it returns none.
func (l *Log) After(seq uint64, limit int) []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.after(seq, limit)
}

func (l *Log) after(seq uint64, limit int) []Event {
	from := len(l.recent)
	for from > 0 && l.recent[from-1].Seq > seq && len(l.recent)-from < l.config.Memory {
		from--
	}
	events := l.recent[from:]
	return append([]Event(nil), events[:min(limit, len(events))]...)
}

// Last returns the last limit events, oldest first.
func (l *Log) Last(limit int) []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(limit, len(l.recent), l.config.Memory)
	return append([]Event(nil), l.recent[len(l.recent)-n:]...)
}

// Next is After that waits until there is an event. It returns none only with the error of ctx.
func (l *Log) Next(ctx context.Context, seq uint64, limit int) ([]Event, error) {
	for {
		l.mu.Lock()
		events, more := l.after(seq, limit), l.more
		l.mu.Unlock()
		if len(events) > 0 {
			return events, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-more:
		}
	}
}

// Close lets the files go. Events that are added afterwards are in memory only.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file, l.failing = nil, true
	return err
}

// name is that of the n-th file, 0 being the one that is written.
func (l *Log) name(n int) string {
	if n == 0 {
		return filepath.Join(l.dir, "events.jsonl")
	}
	return filepath.Join(l.dir, fmt.Sprintf("events.%d.jsonl", n))
}

// encode is an event as a line.
func encode(e Event) []byte {
	line, err := json.Marshal(e)
	if err != nil {
		panic("events: " + err.Error()) // strings, a number and a time always have a JSON form
	}
	return append(line, '\n')
}
