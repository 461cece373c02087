package verify

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/dicomesh/dicomesh/dedup"
)

// Kind is what a finding is about.
type Kind string

// Faults.
const (
	Corrupt    Kind = "corrupt"    // the file is not what was written
	Missing    Kind = "missing"    // something refers to the file, or knows it, and it is not there
	Unexpected Kind = "unexpected" // it has no place in an archive: a symbolic link, a device, a name that is none of the format's
)

// Information: true, worth knowing, and nothing that is broken.
const (
	CannotTell Kind = "cannot tell" // another writer's name, and no digest was taken when the file was first seen
	Conflict   Kind = "conflict"    // an instance has several contents, or an extract was corrected in several ways; a human decides
	Variant    Kind = "variant"     // a name stands for several contents; all are kept
	Incomplete Kind = "incomplete"  // a study without lists and instance files: what a crash before the first of them leaves, harmless
)

// Fault reports whether the archive is not sound because of this.
func (k Kind) Fault() bool { return k == Corrupt || k == Missing || k == Unexpected }

// Finding is one thing to say about one file.
type Finding struct {
	Kind  Kind   `json:"kind"`
	Path  string `json:"path"` // in the tree; of the digest log, in the state folder
	What  string `json:"what"`
	Study string `json:"study,omitempty"`
}

// String is the finding as one line.
func (f Finding) String() string { return fmt.Sprintf("%-11s %s: %s", f.Kind, f.Path, f.What) }

func (f Finding) compare(g Finding) int {
	return cmp.Or(strings.Compare(f.Path, g.Path), strings.Compare(string(f.Kind), string(g.Kind)), strings.Compare(f.What, g.What))
}

// Summary counts what was looked at.
type Summary struct {
	Studies    int   `json:"studies"`
	Instances  int   `json:"instances"` // live ones
	Files      int64 `json:"files"`
	Bytes      int64 `json:"bytes"` // on disk
	Read       int64 `json:"read"`  // bytes of those that were read
	Right      int64 `json:"right"` // files
	Corrupt    int64 `json:"corrupt"`
	Missing    int64 `json:"missing"`
	Unexpected int64 `json:"unexpected"`
	CannotTell int64 `json:"cannot_tell"`
	Unread     int64 `json:"unread"` // files of which only name and size were looked at
	Conflicts  int64 `json:"conflicts"`
	Variants   int64 `json:"variants"`
	Recorded   int64 `json:"recorded,omitempty"` // files whose digests were taken down
}

// Faults is the number of faults.
func (s Summary) Faults() int64 { return s.Corrupt + s.Missing + s.Unexpected }

func (s *Summary) add(t Summary) {
	s.Studies, s.Instances, s.Files = s.Studies+t.Studies, s.Instances+t.Instances, s.Files+t.Files
	s.Bytes, s.Read, s.Unread = s.Bytes+t.Bytes, s.Read+t.Read, s.Unread+t.Unread
	s.Right, s.Corrupt, s.Missing = s.Right+t.Right, s.Corrupt+t.Corrupt, s.Missing+t.Missing
	s.Unexpected, s.CannotTell = s.Unexpected+t.Unexpected, s.CannotTell+t.CannotTell
	s.Conflicts, s.Variants, s.Recorded = s.Conflicts+t.Conflicts, s.Variants+t.Variants, s.Recorded+t.Recorded
}

// count takes up a finding.
func (s *Summary) count(k Kind) {
	switch k {
	case Corrupt:
		s.Corrupt++
	case Missing:
		s.Missing++
	case Unexpected:
		s.Unexpected++
	case CannotTell:
		s.CannotTell++
	case Conflict:
		s.Conflicts++
	case Variant:
		s.Variants++
	}
}

// Progress is how far a Run is. The totals are settled before the first file is read.
type Progress struct {
	Files, FilesTotal int64
	Bytes, BytesTotal int64 // on disk; of files that are not read as well
}

// verdict is the answer about one file, and what was seen of it.
type verdict struct {
	held   dedup.Held
	answer dedup.Answer
	what   string // why it is corrupt
	unread bool   // only name and size were looked at
	gone   bool   // it vanished while it was looked for
	taken  taken
	file   *dedup.File // of a list or instance file
}
