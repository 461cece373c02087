package index

import (
	"time"

	"github.com/dicomesh/dicomesh/dedup"
)

// Facts are what a study comes to. The index keeps them in the study's row, so that lists of studies and totals cost no reading of files.
type Facts struct {
	Instances int   // live ones
	Series    int   // of those
	Files     int   // that are entered and were there when somebody looked
	Bytes     int64 // of those, on disk
	// Complete says that everything that the leaves refer to is here and right, that nothing that claims to be a list or an instance file is unreadable, and that no
	// leaf is lost. Only then may the study be shown as whole.
	Complete bool
	// Wanting is 0 of a study that is Complete, else a digest of the names of what it wants. Two sites with the same leaves may want different files; then they do not hold the same, and
	// each may have what the other one wants.
	Wanting uint32
	// Conflict says that the study waits for a human (dedup.State.Conflict). It is shown all the same.
	Conflict bool
}

// Holding is what this site holds of a study now, as a Look found it.
type Holding struct {
	Study dedup.UID
	// Leaf is dedup.LeafDigest of the leaves that are here and right. A file that is torn, corrupt or not finished is no part of it, so nothing is promised to
	// others that could not be given; Complete is false as long as there is one among the lists and instance files. Keeper.Leaves has the ids.
	Leaf dedup.Digest
	Facts

	// What is wrong or wanting: how many, and of each the first Shown, in order.
	MissingCount int
	Missing      []dedup.Ref // bulkdata that live records need and that is not here, or not right
	CorruptCount int
	Corrupt      []Trouble // files that are there and do not count: not what they should be, or maybe not finished
	// Spare are those of Corrupt, at most Shown, that are lists which others accounted for as long as they were right. Nothing is lost with one of them, and only a site that has it can
	// bring it back: where none has, it may be moved out of the study, which is not complete until then.
	Spare         []Trouble
	VanishedCount int
	Vanished      []Trouble // files that were entered and are gone, and nothing that is here accounts for them: an alarm, never a deletion
	StrayCount    int
	Strays        []Trouble // what has no place in an archive: symbolic links, devices, names that are none of the format's. Only LookAll sees them

	// Change is the number of the study's last change in the index, 0 if the index has nothing of it.
	Change uint64
	// Incarnation is the index's: numbers and digests under another one do not hold.
	Incarnation string
	// Changed says that something of the above but Change is not what the Look before found, in this process or an earlier one.
	Changed bool
	// Retry is when to look again though nobody touches the study: a file may still be being written, and nothing but time will tell. 0: never.
	Retry time.Duration

	bare bool // there are no files of class other
}

// Shown is how many of each kind of trouble a Holding names.
const Shown = 100

// Trouble is a file that is not as it should be, and why. There is no patient data in Reason.
type Trouble struct {
	Ref    dedup.Ref // zero for a stray
	Path   string    // in the tree
	Reason string
	New    bool // no Look of this Keeper reported it before: something to tell an operator once
}

// Nothing reports whether the site has nothing of the study and misses nothing of it. Bulkdata that no list and no instance file names is nothing: a power cut
// in the middle of an ingest leaves it behind, nobody can show it, and no other site has it.
func (h Holding) Nothing() bool {
	return (h.Files == 0 || h.bare && h.Complete && h.Leaf == dedup.LeafDigest(nil)) && h.CorruptCount == 0 && h.VanishedCount == 0
}

// Nothing is Holding.Nothing, as far as the row tells.
func (s Study) Nothing() bool {
	return s.Files == 0 || s.Complete && s.Leaf == dedup.LeafDigest(nil) && s.Others == (dedup.Digest{})
}

// Checked is what reading one file to its end told.
type Checked struct {
	Entry  Entry        // its measures; Ref and Path alone where it could not be read
	Answer dedup.Answer // Right; Corrupt; CannotTell: another writer's name says nothing
	Reason string       // why it is not Right
	Gone   bool         // it vanished while it was looked for
	File   *dedup.File  // what a list or an instance file says, with a Fault if that is nothing; nil for other files
}

// head reports whether files of the class are what Resolve reads.
func head(c dedup.Class) bool { return c == dedup.List || c == dedup.Instance }
