// Package audit keeps a log of what was decided at a site, that cannot be changed afterwards without showing: what was accepted and refused, changes of the roster,
// sites that were acknowledged as down or removed, conflicts, purges.
//
// An entry is a line of JSON. It has the number of the entry, and the SHA-256 of the line before it, so a line that is changed, left out, put in or moved breaks
// the chain behind it, and Verify says where. The chain alone cannot show that the last entry was changed, or that some were cut off at the end: so where the log ends is noted in a
// file of its own, after each write. What neither shows is a log that was written anew together with its note: whoever wants to know that keeps the head that Verify, or Log.Head, gave, somewhere else.
//
//	audit/00000001.log, audit/00000002.log ...    each up to 64 KiB and what was appended at once
//	audit.head                                    number and hash of the last entry
//
// Append is durable when it returns nil; calls at the same time share one write. The last file is replaced as a whole with each, so a crash leaves the entries
// before or after it, and nobody ever reads half a line. A crash before the note is written leaves entries that are newer than it and follow the one that it names: that is no fault, and the next start notes
// them. An end that is before the note, or another one, is. A log whose end is damaged is not repaired: it goes on in a new file, after what was noted, and the damage stays for Verify to find.
//
// The log is private to the site, like all of its state. Names of studies may be in it; nothing else of patients belongs there.
package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	folder   = "audit"
	fileSize = 64 << 10 // from which on a new file is begun
	maxLine  = 8 << 10
	maxWord  = 256
	maxText  = 2 << 10
	maxFile  = 64 << 20 // that is read at all
)

// Kind is what an entry is about.
type Kind string

// The kinds.
const (
	Accepted  Kind = "accepted"  // files were stored
	Refused   Kind = "refused"   // a file, a site, a request
	Roster    Kind = "roster"    // it changed, in another way than the next three
	Down      Kind = "ack-down"  // an operator said that a site is down
	Returned  Kind = "returned"  // it counts again
	Removed   Kind = "removed"   // an operator removed a site
	Conflict  Kind = "conflict"  // of a study
	Corrected Kind = "corrected" // a study, by an operator
	Purged    Kind = "purged"
	Broken    Kind = "broken" // the log before this entry was damaged when the site started
)

// Hash is the SHA-256 of an entry's line. That before the first entry is zero.
type Hash [sha256.Size]byte

// String is the whole hash.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Entry is a line of the log. Append fills in Number and Prev, and cuts what is too long.
type Entry struct {
	Number uint64
	Prev   Hash
	At     time.Time // by this site's wall clock
	Kind   Kind
	By     string // who: a site, an operator's word, a calling station
	About  string // what: a study, a site, a file's name
	Text   string // in words
}

// line is the form of an entry.
type line struct {
	Number uint64 `json:"n"`
	Prev   string `json:"prev"`
	At     string `json:"at"`
	Kind   Kind   `json:"kind"`
	By     string `json:"by,omitempty"`
	About  string `json:"about,omitempty"`
	Text   string `json:"text,omitempty"`
}

const timeForm = "2006-01-02T15:04:05.000Z07:00"

// ErrForm says that a line is no entry, or not in the one form that it has.
var ErrForm = errors.New("not an entry of an audit log")

var kindForm = regexp.MustCompile(`^[a-z-]{1,32}$`)

// cut makes a text fit.
func cut(text string, most int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= most {
		return text
	}
	end := most - len("…")
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

// encode writes the entry as a line, without its end.
func (e Entry) encode() ([]byte, error) {
	if !kindForm.MatchString(string(e.Kind)) {
		return nil, fmt.Errorf("audit: kind %.40q is none", e.Kind)
	}
	return json.Marshal(line{e.Number, e.Prev.String(), e.At.UTC().Format(timeForm), e.Kind, cut(e.By, maxWord), cut(e.About, maxWord), cut(e.Text, maxText)})
}

// parse reads a line. ErrForm.
func parse(text []byte) (Entry, error) {
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		return Entry{}, fmt.Errorf("%w: %w", ErrForm, err)
	}
	at, err := time.Parse(timeForm, l.At)
	prev, err2 := hex.DecodeString(l.Prev)
	if err != nil || err2 != nil || len(prev) != sha256.Size {
		return Entry{}, fmt.Errorf("%w: its time or its hash", ErrForm)
	}
	e := Entry{l.Number, Hash(prev), at.UTC(), l.Kind, l.By, l.About, l.Text}
	if again, err := e.encode(); err != nil || string(again) != string(text) {
		return Entry{}, fmt.Errorf("%w: written in another form", ErrForm)
	}
	return e, nil
}
