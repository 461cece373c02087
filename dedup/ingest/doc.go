// Package ingest puts Part 10 files into an archive: each is taken apart, proven and made durable before anybody is told that it is stored.
//
// The proof: the file is put together again from what was staged, read back, and compared with the original byte for byte. The promise: when
// a Result says stored, a power cut one instruction later loses nothing of it. Files go in batches, because a sync costs the same for one file as for a thousand.
//
// A file that is here already is answered without writing anything, after the same proof, read from the tree. So
// a resend is also a check: what a damaged archive cannot give back any more is stored again from the file at hand.
//
// Several processes may ingest into one tree at the same time (package durable has the lock). Doors to this package: the command line, and later
// inbox, dimse and stow below it.
package ingest

import (
	"github.com/dicomesh/dicomesh/dedup"
)

// Status is what became of a file.
type Status string

// The answers. Refused files have left nothing in the tree; all others can be exported byte for byte.
const (
	Stored    Status = "stored"    // it is new
	Duplicate Status = "duplicate" // its content was here: the same bytes, another encoding of it, or deleted before
	Conflict  Status = "conflict"  // another content was here under its SOP Instance UID; both are kept
	Refused   Status = "refused"   // it is not sound, not DICOM, or cannot be stored now
)

// Result tells what became of one file. Reason and Remarks hold no patient data: places in the file, tags, lengths.
type Result struct {
	Path     string
	Status   Status
	Encoding string // "other": the content was here in another encoding, and this one was added
	Reason   string
	Remarks  []string // what is odd about a file that was taken
	Study    dedup.UID
	Series   dedup.UID
	SOP      dedup.UID
	Size     int64
	SHA256   string // of the file, if Config asks for it
	Err      error  // what Reason says, for errors.Is; nil unless refused
}
